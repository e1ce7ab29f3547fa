"""Scores against a calculation by hand."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.evaluation import Score, score


def test_accuracy_and_macro_f1_by_hand():
    found = score(np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2]))
    assert found is not None
    assert found.n == 6
    assert found.accuracy == pytest.approx(4 / 6)
    # F1 of label 0: 2*2/(3+2); of 1: 2*1/(2+2); of 2: 2*1/(1+2).
    assert found.macro_f1 == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)


def test_a_rare_label_counts_as_much_as_a_common_one_in_macro_f1():
    found = score(np.array([0] * 99 + [1]), np.zeros(100, dtype=int))
    assert found is not None
    assert found.accuracy == 0.99
    assert found.macro_f1 < 0.5


def test_a_label_that_cannot_be_predicted_is_wrong():
    assert score(np.array([-1, 0]), np.array([0, 0])) == Score(n=2, accuracy=0.5, macro_f1=pytest.approx(1 / 3))


@pytest.mark.parametrize(("predicted", "value"), [([0, 1], 1.0), ([1, 0], 0.0)])
def test_all_right_and_all_wrong(predicted, value):
    assert score(np.array([0, 1]), np.array(predicted)) == Score(n=2, accuracy=value, macro_f1=value)


def test_scores_are_plain_numbers():
    found = score(np.array([0, 1]), np.array([0, 1]))
    assert found is not None
    assert (type(found.accuracy), type(found.macro_f1)) == (float, float)


def test_without_documents_there_is_no_score():
    assert score(np.array([]), np.array([])) is None
