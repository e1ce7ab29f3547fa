"""Later texts: the bound turned round, and the permutation test of the labels' shares."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers import drift
from classifiers.certificate import log_enough, log_wealth

UNIFORM = np.full(10, 300)


def test_more_wrong_than_promised_is_told_soon_and_as_much_as_promised_hardly_ever():
    rng = np.random.default_rng(0)
    n = np.arange(1, 401)
    told = {
        share: (log_wealth(n, n - np.cumsum(rng.random((400, 400)) < share, axis=1), 0.95) >= log_enough(0.95))
        for share in (0.02, 0.05, 0.15)
    }
    assert told[0.02].any(axis=1).mean() <= 0.01
    assert told[0.05].any(axis=1).mean() <= 0.05
    assert told[0.15][:, 150].mean() > 0.9


@pytest.mark.parametrize(("n", "k"), [(0, 0), (20, 1), (20, 5), (60, 9), (100, 5), (100, 30)])
def test_it_is_broken_where_at_least_the_limit_is_wrong(n, k):
    at_least = drift.wrong_at_least(n, k, 0.95)
    assert 0 <= at_least <= k / max(n, 1)
    assert drift.is_broken(n, k, 0.05, 0.95) == (at_least >= 0.05)


def test_the_bound_grows_with_every_wrong_answer_and_falls_with_every_right_one():
    by_wrong = [drift.wrong_at_least(50, k, 0.95) for k in range(51)]
    assert by_wrong == sorted(by_wrong)
    assert drift.wrong_at_least(100, 10, 0.95) < drift.wrong_at_least(50, 10, 0.95)


def test_the_divergence_is_that_of_jensen_and_shannon():
    before, later = np.array([1, 1, 0]), np.array([0, 2, 2])
    assert drift.divergence(before, later) == pytest.approx(0.5)
    assert drift.divergence(before, 7 * before) == pytest.approx(0)
    assert drift.divergence(np.array([1, 0]), np.array([0, 1])) == pytest.approx(1)
    assert drift.divergence(before, np.stack([later, before])).tolist() == pytest.approx([0.5, 0])


def test_the_same_shares_raise_no_alarm_and_others_do():
    rng = np.random.default_rng(1)
    looks = [drift.is_shifted(UNIFORM, rng.multinomial(100, UNIFORM / UNIFORM.sum()), 0, seed) for seed in range(40)]
    assert sum(looks) <= 2
    other = np.array([3, *[1] * 9])
    assert drift.is_shifted(UNIFORM, rng.multinomial(400, other / other.sum()), 1, 0)
    assert drift.is_shifted(UNIFORM, np.array([0] * 9 + [100]), 5, 0)


def test_what_is_certain_and_small_is_no_matter():
    before = np.full(10, 10**6)
    later = before.copy()
    later[0] += 10**5
    assert not drift.is_shifted(before, later, 0, 0)


def test_looks_come_further_and_further_apart_and_their_false_alarms_add_up_to_the_chance():
    assert [drift.texts_for_look(number) for number in range(4)] == [100, 400, 1_600, 6_400]
    assert sum(drift.FALSE_ALARMS / 2 ** (look + 1) for look in range(60)) == pytest.approx(drift.FALSE_ALARMS)
