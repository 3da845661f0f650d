"""Classification metrics, equal to scikit-learn's; classes without positives are left out and named."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score


@dataclass
class ClassificationMetrics:
    """Metrics of one evaluation; None where no class allows it.

    `accuracy`: part of the clips whose highest score is one of its labels. `map`: mean over classes of average
    precision. `mauc`: mean over classes of the area under the ROC curve. `dprime`: sqrt(2) Phi^-1(mauc), infinite at 1.
    `without_positives`: class indices that no clip has, left out of `map` and `mauc`; `without_negatives`: those that
    every clip has, left out of `mauc`.
    `per_class_ap`, `per_class_auc`: by class index. `confusion`: (C, C), rows true, columns predicted; None if clips
    have several labels.
    """

    accuracy: float | None
    map: float | None
    mauc: float | None
    dprime: float | None
    without_positives: list[int]
    without_negatives: list[int]
    per_class_ap: dict[int, float]
    per_class_auc: dict[int, float]
    confusion: np.ndarray | None

    def values(self) -> dict[str, float]:
        """The scalar metrics that exist, by name."""
        scalars = {"accuracy": self.accuracy, "map": self.map, "mauc": self.mauc, "dprime": self.dprime}
        return {name: value for name, value in scalars.items() if value is not None}


def dprime(auc: float) -> float:
    """sqrt(2) Phi^-1(auc): the distance of two unit normals with this area under the ROC curve; +-inf at 1 and 0."""
    if not 0 < auc < 1:
        return math.inf if auc >= 1 else -math.inf
    return math.sqrt(2) * NormalDist().inv_cdf(auc)


def classification_metrics(scores: np.ndarray, targets: np.ndarray) -> ClassificationMetrics:
    """Metrics of `scores` (clips, C), any monotone scale, against multi-hot `targets` (clips, C) of 0 and 1.

    Raises ValueError for unequal shapes, no clips, scores that are not finite or targets other than 0 and 1.
    """
    scores, targets = np.asarray(scores, dtype=np.float64), np.asarray(targets)
    if scores.ndim != 2 or scores.shape != targets.shape:
        raise ValueError(f"scores {scores.shape} and targets {targets.shape}, expected the same (clips, classes)")
    if len(scores) == 0:
        raise ValueError("no clips to measure")
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{(~np.isfinite(scores)).any(axis=1).sum()} of {len(scores)} clips have scores that are not finite"
        )
    if not np.isin(targets, (0, 1)).all():
        raise ValueError("targets must be 0 or 1")
    targets = targets.astype(np.int64)
    positives = targets.sum(axis=0)
    ap, auc = {}, {}
    for index in np.flatnonzero(positives):
        ap[int(index)] = float(average_precision_score(targets[:, index], scores[:, index]))
        if positives[index] < len(targets):
            auc[int(index)] = float(roc_auc_score(targets[:, index], scores[:, index]))
    mean_auc = float(np.mean(list(auc.values()))) if auc else None
    labelled = targets.any(axis=1)
    best = scores.argmax(axis=1)
    hits = targets[np.arange(len(targets)), best][labelled]
    single = bool((targets.sum(axis=1) == 1).all())
    return ClassificationMetrics(
        accuracy=float(hits.mean()) if len(hits) else None,
        map=float(np.mean(list(ap.values()))) if ap else None,
        mauc=mean_auc,
        dprime=dprime(mean_auc) if mean_auc is not None else None,
        without_positives=np.flatnonzero(positives == 0).tolist(),
        without_negatives=np.flatnonzero(positives == len(targets)).tolist(),
        per_class_ap=ap,
        per_class_auc=auc,
        confusion=confusion_matrix(targets.argmax(axis=1), best, scores.shape[1]) if single else None,
    )


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often each class (row) was taken for each (column), (classes, classes) int64."""
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)
