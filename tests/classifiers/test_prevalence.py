"""Shares of labels with intervals: what they are made of, and that they hold in simulated projects."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.prevalence import Prevalence, Stratum, prevalence

N_LABELS, N, K = 12, 1_500, 4
NOBODY = (np.empty((0, 1), dtype=int), np.empty((0, 2)), np.empty(0, dtype=int))


def one(labels, belief, n_labels=2, drawn=NOBODY) -> Stratum:
    drawn_labels, drawn_belief, found = drawn
    belief = np.array(belief, dtype=float)
    return Stratum.of(np.array(labels), belief, drawn_labels, drawn_belief, found, n_labels)


def test_a_stratum_spreads_what_is_believed_of_candidates_over_all_labels():
    drawn = (np.array([[2, 0]]), np.array([[0.5, 0.3, 0.2]]), np.array([3]))
    stratum = one([[0, 1], [1, 2]], [[0.7, 0.2, 0.1], [0.6, 0.4, 0.0]], 3, drawn)
    assert stratum.n == 2
    assert stratum.believed == pytest.approx([0.7, 0.8, 0.4, 0.1])
    assert stratum.doubt == pytest.approx([0.21, 0.16 + 0.24, 0.24, 0.09])
    assert stratum.off_by == pytest.approx(np.array([[-0.3, 0.0, -0.5, 0.8]]))


@pytest.mark.parametrize("bounds", [[0], [40], [1, 2, 3], list(range(5, 40, 5))])
def test_a_stratum_that_grows_is_to_the_last_bit_what_it_is_at_once(bounds):
    rng = np.random.default_rng(0)
    labels, belief = rng.integers(0, N_LABELS + 1, (40, K)), rng.dirichlet(np.full(K + 1, 0.3), 40)
    drawn = (labels[:3], belief[:3], np.array([0, 1, N_LABELS]))
    grown = one(labels[:0], belief[:0], N_LABELS, drawn)
    for part, its_belief in zip(np.split(labels, bounds), np.split(belief, bounds), strict=True):
        grown = grown.plus(part, its_belief)
    whole = one(labels, belief, N_LABELS, drawn)
    columns = np.hstack([labels, np.full((40, 1), N_LABELS)]).ravel()
    assert grown.n == whole.n == 40
    assert grown.believed.tolist() == whole.believed.tolist() == np.bincount(columns, belief.ravel()).tolist()
    assert grown.doubt.tolist() == np.bincount(columns, (belief * (1 - belief)).ravel()).tolist()


def test_labels_that_no_one_knows_are_none_of_these():
    assert one([[2, 2]], [[0.0, 0.0, 1.0]]).believed == pytest.approx([0, 0, 1])


def test_what_is_known_is_its_own_interval():
    nothing = one(np.empty((0, 1), dtype=int), np.empty((0, 2)))
    found = prevalence(np.array([3, 1, 0]), [nothing])
    for values in (found.share, found.low, found.high):
        assert values == pytest.approx([0.75, 0.25, 0.0])
    with pytest.raises(ValueError, match="no documents"):
        prevalence(np.zeros(3, dtype=int), [nothing])


def test_certain_beliefs_need_no_decision_and_doubtful_ones_get_a_wide_interval():
    certain = prevalence(np.zeros(3), [one([[0]] * 10, [[1.0, 0.0]] * 10)])
    assert certain.share == pytest.approx([1, 0, 0])
    assert certain.low == pytest.approx(certain.high)
    doubtful = prevalence(np.zeros(3), [one([[0]] * 10, [[0.5, 0.5]] * 10)])
    assert (doubtful.low[[0, 2]].tolist(), doubtful.high[[0, 2]].tolist()) == ([0, 0], [1, 1])


def test_what_is_known_bounds_the_interval():
    found = prevalence(np.array([5, 0, 0]), [one([[1]] * 5, [[0.5, 0.5]] * 5)])
    assert found.low[0] == 0.5
    assert found.high.tolist() == [0.5, 0.5, 0.5]


def test_many_decisions_put_wrong_beliefs_right():
    """All is believed to be label 0, and half of it is label 1."""
    drawn = (np.zeros((200, 1), dtype=int), np.tile([0.99, 0.01], (200, 1)), np.arange(200) % 2)
    found = prevalence(np.zeros(3), [one([[0]] * 1_000, [[0.99, 0.01]] * 1_000, 2, drawn)])
    assert found.share == pytest.approx([0.5, 0.5, 0.0], abs=0.02)
    assert (found.low[:2] < 0.5).all()
    assert (found.high[:2] > 0.5).all()


def test_one_surprise_among_few_decisions_is_not_taken_for_a_share():
    drawn = (np.zeros((20, 1), dtype=int), np.tile([0.95, 0.05], (20, 1)), np.eye(1, 20, dtype=int)[0])
    found = prevalence(np.zeros(3), [one([[0]] * 1_000, [[0.95, 0.05]] * 1_000, 2, drawn)])
    assert found.share[1] < 0.05
    assert found.high[1] > 0.05


def test_the_interval_narrows_with_decisions():
    rng = np.random.default_rng(0)
    few, many = (estimated(rng, 1, n_audits, n_checks)[0] for n_audits, n_checks in ((20, 2), (400, 60)))
    assert (many.high - many.low).mean() < (few.high - few.low).mean() / 2


@pytest.mark.parametrize("too_sure", [1, 2, 4])
@pytest.mark.parametrize(("n_audits", "n_checks"), [(0, 0), (40, 4), (200, 20), (600, 80)])
def test_intervals_hold_whatever_the_beliefs_are_worth(too_sure, n_audits, n_checks):
    """Asked for in 95 % of cases; documents that people chose to decide on are in no sample."""
    rng = np.random.default_rng(n_audits + too_sure)
    held = [holds(*estimated(rng, too_sure, n_audits, n_checks)) for _ in range(40)]
    assert np.mean(held) >= 0.93
    assert np.mean(held, axis=0)[:3].min() >= 0.85, "the common ones, too"


def holds(found: Prevalence, truth: np.ndarray) -> np.ndarray:
    return (found.low <= truth + 1e-9) & (truth <= found.high + 1e-9)


def estimated(rng: np.random.Generator, too_sure: float, n_audits: int, n_checks: int) -> tuple[Prevalence, np.ndarray]:
    """The estimate in a project with skewed shares whose beliefs have odds to the power ``too_sure``, and the truth."""
    share = 1 / np.arange(1, N_LABELS + 1)
    labels = np.argsort(-(np.log(share) + rng.gumbel(size=(N, N_LABELS))), axis=1)[:, :K]
    scores = 4 * rng.normal(size=(N, K + 1)) - np.eye(K + 1)[K] * 3
    chance = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    column = (chance.cumsum(axis=1) > rng.random((N, 1))).argmax(axis=1)
    truth = np.hstack([labels, np.full((N, 1), N_LABELS)])[np.arange(N), column]
    belief = chance**too_sure
    belief /= belief.sum(axis=1, keepdims=True)
    settled = belief[:, :-1].max(axis=1) >= 0.9
    parts = [
        (part, rng.permutation(np.flatnonzero(part))[:n]) for part, n in ((settled, n_audits), (~settled, n_checks))
    ]
    decided = np.zeros(N, dtype=bool)
    decided[np.concatenate([rows for _, rows in parts])] = True
    ranked = np.sort(belief, axis=1)
    least = np.where(decided | settled, 1.0, ranked[:, -1] - ranked[:, -2])
    decided[np.argsort(least)[:60]] = True
    strata = [
        Stratum.of(labels[left], belief[left], labels[rows], belief[rows], truth[rows], N_LABELS)
        for left, rows in ((part & ~decided, rows) for part, rows in parts)
    ]
    known = np.bincount(truth[decided], minlength=N_LABELS + 1)
    return prevalence(known, strata), np.bincount(truth, minlength=N_LABELS + 1) / N
