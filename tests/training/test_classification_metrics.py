"""Metrics against scikit-learn, hand values, and data that crash other implementations."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import accuracy_score, average_precision_score, confusion_matrix, roc_auc_score

from ssamba.training.metrics import classification_metrics, dprime


def random_case(clips, classes, labels, seed):
    random = np.random.default_rng(seed)
    scores = random.standard_normal((clips, classes)).round(1)  # with ties
    targets = np.zeros((clips, classes), dtype=int)
    for row in targets:
        row[random.choice(classes, size=labels, replace=False)] = 1
    return scores, targets


def test_single_label_equals_sklearn():
    scores, targets = random_case(200, 6, 1, 0)
    found = classification_metrics(scores, targets)
    assert found.accuracy == accuracy_score(targets.argmax(1), scores.argmax(1))
    assert found.map == pytest.approx(average_precision_score(targets, scores, average="macro"), abs=1e-12)
    assert found.mauc == pytest.approx(roc_auc_score(targets, scores, average="macro"), abs=1e-12)
    assert found.dprime == pytest.approx(math.sqrt(2) * norm.ppf(found.mauc), abs=1e-9)
    np.testing.assert_array_equal(found.confusion, confusion_matrix(targets.argmax(1), scores.argmax(1)))
    assert found.confusion.sum() == 200


def test_multi_label_equals_sklearn():
    scores, targets = random_case(150, 8, 3, 1)
    found = classification_metrics(scores, targets)
    assert found.map == pytest.approx(average_precision_score(targets, scores, average="macro"), abs=1e-12)
    assert found.confusion is None
    assert found.accuracy == pytest.approx(np.mean([targets[i, scores[i].argmax()] for i in range(150)]))


def test_by_hand():
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    targets = np.array([[1, 0], [0, 1], [0, 1], [1, 0]])
    found = classification_metrics(scores, targets)
    # class 0 ranks clips 0, 1, 3, 2; its positives 0 and 3 stand at ranks 1 and 3
    assert found.per_class_ap[0] == pytest.approx((1 / 1 + 2 / 3) / 2)
    # class 1 ranks clips 2, 3, 1, 0; its positives 2 and 1 stand at ranks 1 and 3
    assert found.per_class_ap[1] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert found.per_class_auc[0] == pytest.approx(3 / 4)
    assert found.accuracy == 0.75
    assert found.confusion.tolist() == [[2, 0], [1, 1]]


def test_classes_without_positives_are_left_out_and_named():
    scores, targets = random_case(60, 4, 1, 2)
    targets[targets[:, 2] == 1] = [1, 0, 0, 0]
    found = classification_metrics(scores, targets)
    assert found.without_positives == [2]
    present = [0, 1, 3]
    assert found.map == pytest.approx(average_precision_score(targets[:, present], scores[:, present], average="macro"))
    assert found.mauc == pytest.approx(roc_auc_score(targets[:, present], scores[:, present], average="macro"))
    assert 2 not in found.per_class_ap
    assert found.confusion.shape == (4, 4)


def test_one_class_only():
    found = classification_metrics(np.array([[0.2, 0.1], [0.3, 0.9]]), np.array([[1, 0], [1, 0]]))
    assert (found.without_positives, found.without_negatives) == ([1], [0])
    assert found.accuracy == 0.5
    assert found.map == 1.0
    assert found.mauc is None
    assert "mauc" not in found.values()
    assert "dprime" not in found.values()


def test_dprime():
    assert dprime(0.5) == 0
    assert dprime(norm.cdf(1 / math.sqrt(2))) == pytest.approx(1)
    assert (dprime(1.0), dprime(0.0)) == (math.inf, -math.inf)


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 2)), "the same"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "no clips"),
        (
            np.array([[np.nan, 0.0], [0.0, 0.0]]),
            np.array([[1, 0], [1, 0]]),
            "1 of 2 clips have scores that are not finite",
        ),
        (np.zeros((1, 2)), np.array([[0.5, 0.5]]), "0 or 1"),
    ],
)
def test_refusals(scores, targets, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics(scores, targets)


def test_one_class_is_measured_without_warnings():
    """scikit-learn warns of a single label, in words that say nothing to who calls `ssamba evaluate`."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = classification_metrics(np.array([[0.3], [0.1]]), np.array([[1], [1]]))
    assert found.confusion.tolist() == [[2]]
    assert (found.accuracy, found.mauc, found.without_negatives) == (1.0, None, [0])
