"""Scores, worked by hand."""

import numpy as np
import pytest

from model.scores import (
    accuracy_and_macro_f1,
    calibration_error_by_chance,
    confidence_threshold,
    predicted_labels,
    share_limits,
)

SCORES = [[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]]


def test_two_class_sets_are_judged_without_neutral() -> None:
    assert predicted_labels(SCORES, two_classes=False).tolist() == [1, 0, 2]
    assert predicted_labels(SCORES, two_classes=True).tolist() == [2, 0, 2]


def test_accuracy_and_macro_f1() -> None:
    scored = accuracy_and_macro_f1([0, 0, 1, 2], np.array([0, 1, 1, 2]))
    assert scored["accuracy"] == 0.75
    assert scored["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_macro_f1_counts_the_labels_that_a_set_has() -> None:
    assert accuracy_and_macro_f1([0, 2], np.array([0, 2]))["macro_f1"] == 1.0


def test_the_threshold_is_the_lowest_that_keeps_answers_right() -> None:
    confidences = np.array([0.9, 0.8, 0.7, 0.6])
    right = np.array([True, True, False, True])
    assert confidence_threshold(confidences, right, 0.9) == 0.8
    assert confidence_threshold(confidences, right, 0.7) == 0.6
    assert confidence_threshold(confidences, ~right, 0.9) == 1.0


def test_few_answers_miss_their_confidence_by_chance() -> None:
    # Of four coins, 0, 1, 2, 3 and 4 show heads 1, 4, 6, 4 and 1 times in 16.
    expected = (2 * 0.5 + 8 * 0.25) / 16
    assert calibration_error_by_chance(np.full(4, 0.5), 2000) == pytest.approx(expected, abs=0.01)
    assert calibration_error_by_chance(np.full(4000, 0.5)) < 0.02
    assert calibration_error_by_chance(np.ones(4)) == 0


def test_a_share_of_few_says_little_about_all() -> None:
    share, count = np.array([1.0, 0.5, 0.85]), np.array([3, 10, 200])
    lower, upper = share_limits(share, count, 1.96)
    assert lower == pytest.approx([0.4385, 0.2366, 0.7939], abs=1e-4)
    assert upper == pytest.approx([1.0, 0.7634, 0.8929], abs=1e-4)


def test_a_bound_that_few_answers_reach_needs_proof() -> None:
    confidences, correct = np.full(10, 0.9), np.full(10, True)
    assert confidence_threshold(confidences, correct, 0.95) == 0.9
    assert confidence_threshold(confidences, correct, 0.95, 1.0) == 1.0
    assert confidence_threshold(confidences.repeat(2), correct.repeat(2), 0.95, 1.0) == 0.9
