"""The ledger: keys, rings, what is audited next, and what a look at it says when cohorts come late and labels leave."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from classifiers.certificate import LIMIT, audits_needed, bound, set_bound
from classifiers.ledger import (
    MOST_FINITE,
    NOT_DRAWN,
    Look,
    Source,
    State,
    cohort_keys,
    covered,
    first_ring,
    kappas,
    look,
    may_begin,
    next_audits,
    next_ring,
    risk,
)

# Keys.


@pytest.mark.parametrize("size", [1, 2, 7, 100, 3001])
def test_every_part_of_the_keys_range_holds_its_share_of_a_cohort(size):
    for seed in range(5):
        keys = cohort_keys(size, seed)
        assert keys.shape == (size,)
        assert ((keys >= 0) & (keys < 1)).all()
        assert np.diff(np.sort(keys)) == pytest.approx(1 / size)
        for depth in (0.013, 0.2, 0.5, 0.99):
            assert abs((keys < depth).sum() - depth * size) < 1


def test_every_label_has_the_same_chance_to_come_before_a_depth():
    below = np.mean([cohort_keys(6, seed) < 0.25 for seed in range(8000)], axis=0)
    assert below == pytest.approx(np.full(6, 0.25), abs=0.02)


def test_keys_come_from_the_seed_alone():
    assert (cohort_keys(50, [3, 1, 2]) == cohort_keys(50, [3, 1, 2])).all()
    drawn = [tuple(cohort_keys(50, seed)) for seed in (3, [3, 1, 2], [3, 2, 1], [3, 1], [4, 1, 2])]
    assert len(set(drawn)) == len(drawn)
    assert cohort_keys(0, 1).shape == (0,)


@pytest.mark.parametrize("seed", [5, [5, 2]])
def test_keys_have_nothing_in_common_with_other_draws_of_the_same_seed(seed):
    """Not even with a cohort's number 0 at the end, which numpy does not tell from no number."""
    keys = cohort_keys(2000, [*np.atleast_1d(seed), 0])
    assert abs(np.corrcoef(keys, np.random.default_rng(seed).permutation(2000))[0, 1]) < 0.1
    assert abs(np.corrcoef(keys, np.random.default_rng(seed).random(2000))[0, 1]) < 0.1


def test_the_smallest_open_keys_are_audited_next_in_their_order():
    key = np.array([0.5, 0.1, 0.9, 0.3, 0.2])
    is_open = np.array([True, False, True, True, True])
    assert next_audits(key, is_open, 3).tolist() == [4, 3, 0]
    assert next_audits(key, is_open, 9).tolist() == [4, 3, 0, 2]
    assert next_audits(key, is_open, 0).tolist() == []
    assert next_audits(key, np.zeros(5, dtype=bool), 3).tolist() == []


# Risk and rings.


def test_a_source_that_errs_more_than_believed_counts_for_less():
    posterior = np.array([0.9, 0.8, 0.95, 0.95])
    source = np.array([Source.MODEL, Source.MODEL, Source.JUDGE, Source.JUDGE])
    found = kappas(posterior, source, np.array([True, False, False, False]))
    assert found == pytest.approx([2 / 1.3, 1 / 1.1])
    assert risk(posterior, source, found) == pytest.approx([0.2 / 1.3, 0.4 / 1.3, 0.05 / 1.1, 0.05 / 1.1])
    assert risk(np.array([0.1]), np.array([0]), np.array([3.0, 1.0])) == [1]


def test_nothing_is_scaled_before_audits():
    none = np.empty(0)
    assert kappas(none, none.astype(int), none.astype(bool)).tolist() == [1, 1]
    only_judge = kappas(np.array([0.9]), np.array([Source.JUDGE]), np.array([False]))
    assert only_judge == pytest.approx([1, 1 / 1.1])


@pytest.mark.parametrize("limit", [0.02, 0.05, 0.1])
def test_the_first_ring_is_the_largest_of_the_surest(limit):
    risks = 0.15 * np.random.default_rng(0).random(500) ** 3
    ring = first_ring(risks, limit)
    assert risks[ring].mean() <= limit / 20
    assert risks[ring].max() < risks[~ring].min()
    one_more = np.append(risks[ring], risks[~ring].min())
    assert one_more.mean() > limit / 20


def test_first_rings_at_the_edges():
    assert first_ring(np.zeros(5)).all()
    assert not first_ring(np.full(5, 0.1)).any()
    assert first_ring(np.full(5, LIMIT / 20)).all()
    assert first_ring(np.empty(0)).shape == (0,)


@pytest.mark.parametrize(("n_in", "n_settled", "begins"), [(0, 0, False), (1, 3, True), (33, 100, False), (4, 9, True)])
def test_a_ledger_begins_with_a_third_of_the_settled_labels(n_in, n_settled, begins):
    assert may_begin(np.arange(n_settled) < n_in) is begins


@pytest.mark.parametrize(("n_settled", "ring_size"), [(30, 3), (31, 4), (9, 1), (1000, 100)])
def test_the_next_ring_is_the_surest_tenth_that_has_not_entered(n_settled, ring_size):
    risks = np.random.default_rng(1).random(n_settled)
    entered = risks < 0.4
    seen = entered.copy()
    while not seen.all():
        ring = next_ring(risks, seen)
        assert not (ring & seen).any()
        assert ring.sum() == min(ring_size, (~seen).sum())
        seen |= ring
        assert not (~seen).any() or risks[ring].max() <= risks[~seen].min()
    assert not next_ring(risks, seen).any()


def test_a_label_that_entered_although_it_is_less_sure_takes_no_room():
    risks = np.arange(20) / 20
    entered = np.isin(np.arange(20), [0, 2, 19])
    assert np.flatnonzero(next_ring(risks, entered)).tolist() == [1, 3]


# Looks.


class Book:
    """A ledger to write in."""

    def __init__(self) -> None:
        self.key = np.empty(0)
        self.cohort, self.drawn, self.state = (np.empty(0, dtype=int) for _ in range(3))
        self.left = np.empty(0, dtype=bool)

    def enter(self, size: int) -> np.ndarray:
        number, first = len(set(self.cohort.tolist())), len(self.key)
        self.key = np.append(self.key, cohort_keys(size, [7, number]))
        self.cohort = np.append(self.cohort, np.full(size, number))
        self.left = np.append(self.left, np.zeros(size, dtype=bool))
        self.drawn = np.append(self.drawn, np.full(size, NOT_DRAWN))
        self.state = np.append(self.state, np.zeros(size, dtype=int))
        return np.arange(first, first + size)

    def audit(self, *states: State) -> np.ndarray:
        drawn = next_audits(self.key, ~self.left & (self.drawn == NOT_DRAWN), len(states))
        self.drawn[drawn] = self.drawn.max(initial=-1) + 1 + np.arange(len(drawn))
        self.state[drawn] = states
        return drawn

    def look(self, **options) -> Look:
        return look(self.key, self.cohort, self.left, self.drawn, self.state, **options)


RIGHT, WRONG, OPEN, SKIPPED = State.RIGHT, State.WRONG, State.OPEN, State.SKIPPED


@pytest.fixture
def book() -> Book:
    """A set so large that nothing of it is counted."""
    book = Book()
    book.enter(5000)
    return book


def test_a_ledger_without_audits(book):
    found = book.look()
    assert (found.n, found.k, found.ever, found.now, found.depth) == (0, 0, 5000, 5000, 0)
    assert (found.bound, found.holds, found.still_needed, found.finite) == (1, False, 71, False)
    assert (found.limit, found.level) == (0.05, 0.95)


def test_an_empty_ledger_certifies_nothing():
    found = Book().look()
    assert (found.now, found.bound, found.holds, found.still_needed) == (0, 1, False, 0)


def test_it_holds_from_71_clean_audits(book):
    book.audit(*[RIGHT] * 70)
    assert (book.look().bound, book.look().holds, book.look().still_needed) == (bound(70, 0), False, 1)
    last = book.audit(RIGHT)
    found = book.look()
    assert (found.n, found.bound, found.holds, found.still_needed) == (71, bound(71, 0), True, 0)
    assert found.depth == book.key[last[0]] == book.key[book.drawn != NOT_DRAWN].max()


def test_another_limit_and_level(book):
    book.audit(*[RIGHT] * 56)
    assert book.look(level=0.9).holds
    assert book.look(limit=0.1).holds
    assert not book.look().holds
    assert book.look(limit=0.02, level=0.99).still_needed == audits_needed(56, 0, 0.02, 0.99)


def test_errors_and_skipped_audits_count_as_wrong(book):
    drawn = book.audit(*[RIGHT] * 80, WRONG, SKIPPED)
    found = book.look()
    assert (found.n, found.k, found.corrected) == (82, 2, 1)
    assert found.bound == bound(82, 2)
    assert found.undecided == 5000 - 81
    book.state[drawn[-1]] = RIGHT
    assert (book.look().k, book.look().bound) == (1, bound(82, 1))


def test_what_comes_after_an_open_audit_does_not_count_yet(book):
    drawn = book.audit(*[RIGHT] * 71)
    book.state[drawn[[10, 40]]] = OPEN
    found = book.look()
    assert (found.n, found.n_open, found.holds) == (10, 2, False)
    assert found.depth == book.key[drawn[9]]
    assert found.still_needed == 61
    book.state[drawn[10]] = RIGHT
    assert (book.look().n, book.look().n_open) == (40, 1)
    book.state[drawn[40]] = RIGHT
    assert book.look().holds


def test_open_audits_at_the_end_do_not_hold_it_up(book):
    book.audit(*[RIGHT] * 71, OPEN, OPEN)
    assert book.look().holds
    assert book.look().n_open == 2


def test_a_late_cohort_has_to_catch_up(book):
    book.audit(*[RIGHT] * 75)
    assert book.look().holds
    book.enter(5000)
    found = book.look()
    # Those with a key below the depth: as many as in the other cohort, give or take one.
    assert (found.holds, found.n_catching_up, found.still_needed) == (False, 74, 74)
    # Nothing is known of the new ones, and nothing decided of most of the others.
    assert found.bound == (10_000 - 75) / 10_000
    late = book.audit(*[RIGHT] * 74)
    assert (late >= 5000).all()
    assert (book.look().holds, book.look().n_catching_up) == (True, 0)


def test_late_audits_that_are_not_decided_hold_it_up_too(book):
    """Those that a first person calls wrong wait for a second: just these must not be passed over."""
    book.audit(*[RIGHT] * 75)
    book.enter(5000)
    late = book.audit(OPEN, *[RIGHT] * 73)
    found = book.look()
    assert (found.n, found.n_open, found.n_catching_up, found.holds) == (75, 1, 74, False)
    book.state[late[0]] = WRONG
    assert (book.look().n, book.look().k, book.look().n_catching_up, book.look().holds) == (149, 1, 0, True)


def test_the_depth_is_of_what_counts(book):
    book.audit(*[RIGHT] * 75)
    book.audit(OPEN, RIGHT, RIGHT)
    late = book.enter(5000)
    found = book.look()
    assert found.n_catching_up == (book.key[late] < found.depth).sum()
    assert found.depth < book.key[book.drawn != NOT_DRAWN].max()


def test_what_left_shrinks_the_limit_for_all_that_ever_entered(book):
    drawn = book.audit(*[RIGHT] * 75)
    open_ = np.flatnonzero(book.drawn == NOT_DRAWN)
    book.left[open_[:1000]] = True
    # What is audited stays, whatever became of it afterwards.
    book.left[drawn[:20]] = True
    found = book.look()
    assert (found.ever, found.now, found.holds) == (5000, 4000, False)
    assert found.bound == pytest.approx(bound(75, 0) * 5000 / 4000)
    assert found.still_needed == audits_needed(75, 0, LIMIT * 4000 / 5000) > 0
    book.audit(*[RIGHT] * found.still_needed)
    assert book.look().holds
    assert book.look().bound <= LIMIT


def test_what_left_has_not_to_catch_up(book):
    book.audit(*[RIGHT] * 75)
    late = book.enter(100)
    book.left[late] = True
    found = book.look()
    assert (found.n_catching_up, found.now, found.ever) == (0, 5000, 5100)
    assert found.bound == pytest.approx(bound(75, 0) * 5100 / 5000)


def test_it_covers_what_is_in_the_set_or_audited():
    left, drawn = np.array([False, True, False, True]), np.array([NOT_DRAWN, NOT_DRAWN, 0, 1])
    assert covered(left, drawn).tolist() == [True, False, True, True]


@pytest.mark.parametrize(("size", "finite"), [(MOST_FINITE, True), (MOST_FINITE + 1, False)])
def test_what_is_left_is_counted_in_small_sets_alone(size, finite):
    book = Book()
    book.enter(size)
    book.audit(*[RIGHT] * 50, WRONG)
    found = book.look()
    assert found.finite is finite
    assert found.bound == (set_bound(51, 1, 1, size) if finite else bound(51, 1))


def test_it_is_counted_no_more_when_the_set_changes():
    book = Book()
    book.enter(500)
    drawn = book.audit(*[RIGHT] * 62)
    assert book.look().finite
    assert (book.look().bound, book.look().holds) == (0.05, True)
    book.left[drawn[3]] = True
    assert book.look().finite
    book.left[np.flatnonzero(book.drawn == NOT_DRAWN)[0]] = True
    assert (book.look().finite, book.look().holds) == (False, False)
    book.left[:] = False
    book.enter(50)
    assert not book.look().finite


def test_a_skipped_error_of_a_small_set_is_not_corrected():
    book = Book()
    book.enter(400)
    drawn = book.audit(*[RIGHT] * 90, SKIPPED)
    assert book.look().bound == set_bound(91, 1, 0, 400)
    book.state[drawn[-1]] = WRONG
    assert book.look().bound == set_bound(91, 1, 1, 400)


@pytest.mark.parametrize("n_cohorts", [1, 2])
def test_when_people_have_decided_nearly_all_the_rest_may_be_wrong(n_cohorts):
    book = Book()
    for _ in range(n_cohorts):
        book.enter(100 // n_cohorts)
    book.audit(*[WRONG] * 94)
    found = book.look()
    assert (found.bound, found.holds, found.still_needed) == (0.06, False, 1)
    book.audit(SKIPPED)
    assert book.look().still_needed == 1
    book.audit(WRONG)
    assert (book.look().bound, book.look().holds) == (0.05, True)
    book.audit(*[WRONG] * 4)
    assert book.look().bound == 0.01


@pytest.mark.parametrize("sizes", [(300,), (5000,), (200, 100), (4000, 1500)])
@pytest.mark.parametrize("limit", [0.02, 0.05, 0.1])
def test_so_many_clean_audits_make_it_hold_and_no_fewer(sizes, limit):
    rng = np.random.default_rng([*sizes, round(100 * limit)])
    for _ in range(4):
        book = Book()
        for size in sizes:
            book.enter(size)
            book.audit(*rng.choice([RIGHT, WRONG], p=[0.97, 0.03], size=int(rng.integers(60))))
        book.left[rng.integers(len(book.key), size=int(rng.integers(2)) * 10)] = True
        needed = book.look(limit=limit).still_needed
        assert book.look(limit=limit).holds is (needed == 0)
        book.audit(*[RIGHT] * max(needed - 1, 0))
        assert needed == 0 or not book.look(limit=limit).holds
        book.audit(*[RIGHT] * min(needed, 1))
        assert book.look(limit=limit).holds
        assert book.look(limit=limit).bound <= limit


def test_more_errors_are_never_better(book):
    book.enter(700)
    bounds = []
    drawn = book.audit(*[RIGHT] * 200)
    for position in drawn[:10]:
        bounds.append(book.look().bound)
        book.state[position] = WRONG
    assert all(fewer < more for fewer, more in pairwise(bounds))
