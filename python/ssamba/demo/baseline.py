"""The simple way to beat: a logistic regression on the mean log-mel of a clip."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from ssamba.audio.log_mel import log_mel
from ssamba.audio.reading import read_audio


def mean_log_mel(paths: Iterable[str], sample_rate: int = 16000) -> np.ndarray:
    """Log-mel of each file averaged over time, float32 (clips, mel)."""
    means = [
        log_mel(torch.from_numpy(read_audio(path, sample_rate)), sample_rate)[0].mean(dim=0)  # (F,)
        for path in paths
    ]
    return torch.stack(means).numpy()


def logistic_regression_accuracy(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, seed: int = 0
) -> float:
    """Share of test rows (clips, features) a logistic regression gets right; its penalty is chosen by cross-validation
    on the training rows, so that the baseline is as good as it can honestly be.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fewest = int(np.unique(train_labels, return_counts=True)[1].min())
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]},
        cv=StratifiedKFold(min(5, fewest), shuffle=True, random_state=seed),
    )
    return float(search.fit(train, train_labels).score(test, test_labels))
