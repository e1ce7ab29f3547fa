"""What questions are expected to settle, against judges who are asked."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.loop.buying import curve, settled_by_asking
from classifiers.posterior import after_choice, after_verdict
from classifiers.reliability import Rates

BAR = 0.85
GOOD = Rates(0.95, 0.95)


def beliefs(n: int, k: int = 5) -> np.ndarray:
    scores = np.exp(2 * np.random.default_rng(n).normal(size=(n, k + 1)))
    return scores / scores.sum(axis=1, keepdims=True)


def test_a_clear_case():
    belief, nothing = np.array([[0.6, 0.3, 0.1]]), np.zeros((1, 2), dtype=bool)
    chance, questions = settled_by_asking(belief, nothing, Rates(1.0, 1.0), "validate", BAR)
    # The first label is right with 0.6, or else the second with 0.3.
    assert chance == pytest.approx([0.9])
    assert questions == pytest.approx([1 + 0.4])
    chance, questions = settled_by_asking(belief, nothing, Rates(1.0, 1.0), "choose", BAR)
    assert (chance, questions) == (pytest.approx([0.9]), pytest.approx([1.0]))


@pytest.mark.parametrize("question", ["validate", "choose"])
def test_what_was_asked_settles_nothing_more_and_a_coin_nothing_at_all(question):
    belief = np.array([[0.6, 0.3, 0.1]])
    chance, questions = settled_by_asking(belief, np.ones((1, 2), dtype=bool), GOOD, question, BAR)
    assert (chance.tolist(), questions.tolist()) == ([0], [0])
    chance, _ = settled_by_asking(belief, np.zeros((1, 2), dtype=bool), Rates(0.5, 0.5), "validate", BAR)
    assert chance.tolist() == [0]
    assert settled_by_asking(np.empty((0, 3)), np.empty((0, 2), dtype=bool), GOOD, question, BAR)[0].shape == (0,)


def test_a_thousand_verdicts_settle_as_many_as_expected():
    belief = beliefs(2_000)
    rng = np.random.default_rng(0)
    truth = (belief.cumsum(axis=1) > rng.random((len(belief), 1))).argmax(axis=1)
    chance, questions = settled_by_asking(belief, np.zeros((2_000, 5), dtype=bool), GOOD, "validate", BAR)
    settled, n_asked = np.zeros(len(belief), dtype=bool), 0
    for row, one in enumerate(belief):
        believed, left = one[None], list(np.argsort(-one[:-1]))
        for _ in range(3):
            column = max(left, key=lambda at: believed[0, at])
            left.remove(column)
            valid = rng.random() < (0.95 if truth[row] == column else 0.05)
            n_asked += 1
            believed = after_verdict(believed, np.array([column]), np.array([valid]), *GOOD)
            if valid:
                settled[row] = believed[0, :-1].max() >= BAR
                break
    assert settled.sum() == pytest.approx(chance.sum(), rel=0.05)
    assert n_asked == pytest.approx(questions.sum(), rel=0.05)


def test_a_thousand_choices_settle_as_many_as_expected():
    belief = beliefs(2_000)
    rng = np.random.default_rng(1)
    truth = (belief.cumsum(axis=1) > rng.random((len(belief), 1))).argmax(axis=1)
    offered = np.ones((2_000, 5), dtype=bool)
    chance, questions = settled_by_asking(belief, ~offered, GOOD, "choose", BAR)
    wrong = (truth + rng.integers(1, 6, len(truth))) % 6
    chosen = np.where(rng.random(len(truth)) < 0.95, truth, wrong)
    after = after_choice(belief, chosen, offered, 0.95)
    settled = (chosen < 5) & (after[:, :-1].max(axis=1) >= BAR)
    assert settled.sum() == pytest.approx(chance.sum(), rel=0.05)
    assert questions.tolist() == [1.0] * 2_000


def test_the_curve_takes_what_settles_most_a_question_first():
    found = curve(np.array([0.5, 0.9, 0.0, 0.8]), np.array([1.0, 1.0, 0.0, 2.0]), np.array([0, 1, 2, 4, 9]))
    assert found == pytest.approx([0.0, 0.9, 1.4, 2.2, 2.2])
    assert curve(np.empty(0), np.empty(0), np.array([0, 5])).tolist() == [0, 0]
