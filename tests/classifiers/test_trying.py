"""What a judge is tried on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from classifiers.candidates import Candidates
from classifiers.loop.asking import tells_something
from classifiers.loop.trying import LEAST_TRIED, MAX_LOOKED_AT, N_TRIED, looked_at, trial
from classifiers.red_classifier import RedClassifier
from classifiers.reliability import Rates
from classifiers.simulation import N_COPIED, CopyingJudge, Judge, Loop, Plan
from tests.classifiers.clusters import clusters
from tests.classifiers.test_simulation import some_data

CALLS = 4 * N_TRIED


def found(best: np.ndarray, second: np.ndarray) -> Candidates:
    """Candidates 0 and 1 with these probabilities, then 2 with the rest."""
    n = len(best)
    probabilities = np.stack([best, second, 1 - best - second], axis=1)
    return Candidates(np.tile([0, 1, 2], (n, 1)), probabilities, np.zeros(n))


def test_examples_of_labels_that_have_another_one_are_looked_at():
    assert looked_at(np.array([0, 1, 1, -1, -1, 2, 0]), 0).tolist() == [0, 1, 2, 6]
    assert looked_at(np.empty(0, dtype=int), 0).tolist() == []
    many = looked_at(np.zeros(3 * MAX_LOOKED_AT, dtype=int), 0)
    assert len(np.unique(many)) == MAX_LOOKED_AT
    assert (np.diff(many) > 0).all()


def test_the_most_doubtful_come_first_and_the_sure_ones_not_at_all():
    best = np.array([0.95, 0.5, 0.7, 0.6] * LEAST_TRIED)
    made = trial(np.arange(len(best)) + 100, np.zeros(len(best), dtype=int), found(best, 1 - best), CALLS)
    assert len(made) == N_TRIED
    assert np.abs(made.belief[:, 0] - 0.5).tolist() == sorted(np.abs(made.belief[:, 0] - 0.5).tolist())
    assert 0.95 not in best[made.rows - 100]


def test_what_is_labelled_with_neither_of_the_best_two_may_be_a_mistake():
    n = 2 * LEAST_TRIED
    y = np.repeat([0, 1, 2, 3], n // 2)
    made = trial(np.arange(2 * n), y, found(np.full(2 * n, 0.5), np.full(2 * n, 0.3)), CALLS)
    assert sorted(made.rows.tolist()) == list(range(n))
    assert made.belief == pytest.approx(np.tile([0.5 / 0.8, 0.3 / 0.8, 0, 0], (n, 1)))


@pytest.mark.parametrize(
    ("n_doubtful", "calls", "n_tried"),
    [
        (100, 1_000, N_TRIED),
        (100, 4 * LEAST_TRIED, LEAST_TRIED),
        (100, 4 * LEAST_TRIED - 1, 0),
        (100, 1, 0),
        (LEAST_TRIED, 1_000, LEAST_TRIED),
        (LEAST_TRIED - 1, 1_000, 0),
        (0, 1_000, 0),
    ],
)
def test_it_takes_a_quarter_of_the_calls_at_most_and_too_few_are_none(n_doubtful, calls, n_tried):
    even = np.full(n_doubtful, 0.5)
    assert len(trial(np.arange(n_doubtful), np.zeros(n_doubtful, dtype=int), found(even, even), calls)) == n_tried


@pytest.mark.parametrize(
    ("rates", "question", "tells"),
    [
        (Rates(0.9, 0.9), "validate", True),
        (Rates(0.98, 0.3), "validate", True),
        (Rates(0.5, 0.5), "validate", False),
        (Rates(0.6, 0.6), "validate", False),
        (Rates(0.9, 0.9), "choose", True),
        (Rates(1 / 6, 1 / 6), "choose", False),
    ],
)
def test_a_judge_whose_answers_tell_nothing_is_not_worth_asking(rates, question, tells):
    assert tells_something(rates, question) is tells


def test_an_example_is_predicted_as_if_it_had_not_been_learnt():
    X, y = clusters(6, 8, random_state=0, scale=0.3)
    # One that lies with another label: learnt, it is known; left out, it is not.
    y[0] = (y[0] + 1) % 6
    model = RedClassifier(subset_size=3).fit(X, y)
    seen, unseen = model.candidates(X[:1], 6), model.left_out(X[:1], y[:1], 6)
    assert unseen.labels[0, 0] != y[0]
    of = [float(one.probabilities[one.labels == y[0]][0]) for one in (seen, unseen)]
    assert of[1] < of[0]
    order = np.array([5, 3, 11])
    together, alone = model.left_out(X[order], y[order]), [model.left_out(X[[n]], y[[n]]) for n in order]
    assert together.probabilities == pytest.approx(np.concatenate([one.probabilities for one in alone]), abs=1e-6)


def test_the_article_can_not_tell():
    X, y = clusters(6, 4, random_state=0, scale=0.2)
    assert RedClassifier(combination="highest", subset_size=3).fit(X, y).left_out(X, y) is None


def test_a_copying_judge_on_a_seed_looks_at_the_others():
    data = some_data(scale=0.6)
    judge = CopyingJudge.of(data).on_seeds(data)
    for seed in range(0, len(data.X), 5):
        likeness = data.X @ data.X[seed]
        likeness[seed] = -1
        votes = data.y[np.argsort(-likeness, kind="stable")[:N_COPIED]].tolist()
        most = max(votes, key=lambda label: (votes.count(label), -votes.index(label)))
        assert judge.copied[seed] == most


@pytest.mark.parametrize("question", ["validate", "choose"])
def test_a_judge_that_guesses_is_found_out_before_it_is_asked(question):
    data = some_data(scale=0.6, n_pool=80)
    guess = 0.5 if question == "validate" else 1 / 6
    plan = Plan(rounds=2, judge_calls=200, question=question)

    def asked(judge: Judge) -> tuple[int, int]:
        loop = Loop(data, judge, lambda: RedClassifier(subset_size=3), plan)
        list(loop.run())
        return len(loop.tried.valid), len(loop.answers)

    assert asked(Judge(data.y_pool, 0.97, 0.97))[1] > 50
    tried, answers = asked(replace(Judge(data.y_pool, guess, guess), random_state=3))
    assert tried >= LEAST_TRIED
    assert answers == 0
