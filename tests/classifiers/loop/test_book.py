"""The book of settled labels: what is settled, leaves, enters the ledger, is audited and certified."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers import ledger
from classifiers.ledger import NOT_DRAWN, Source, State
from classifiers.loop.book import NO_COHORT, Book, Branches
from classifiers.loop.settling import Standing, bars, settles
from classifiers.subset_classifier import NOISE
from classifiers.trees import Tree

LIMIT, LEVEL, CERTAINTY = 0.05, 0.95, 0.85
SEED = [0, 0]


def settle(book: Book, rows: list[tuple[int, int, float, bool]], limit: float = LIMIT) -> list[int]:
    """Settle documents, labels, probabilities; judged or not. Return the new positions."""
    document, label, posterior, judged = (np.array(column) for column in zip(*rows, strict=True))
    return book.settle(document, label, posterior, judged, CERTAINTY, limit).tolist()


def some_book(n: int = 60, random_state: int = 0) -> Book:
    """One cohort of sure labels, half of them on the judge's word."""
    rng = np.random.default_rng(random_state)
    book = Book()
    posterior = 1 - 0.02 * rng.random(n)
    book.settle(np.arange(n), rng.integers(0, 9, n), posterior, np.arange(n) % 2 == 0, CERTAINTY, LIMIT)
    book.enter(LIMIT, holds=False, waits=False, random_state=SEED)
    return book


def random_book(random_state: int) -> Book:
    """A book after some rounds of settling, entering, auditing and leaving."""
    rng = np.random.default_rng(random_state)
    n = 80
    book, learnt = Book(), np.zeros(n, dtype=bool)
    for _ in range(5):
        free = np.flatnonzero(~learnt & ~np.isin(np.arange(n), book.document[book.waiting]))
        posterior, judged = 1 - 0.3 * rng.random(len(free)) ** 3, rng.random(len(free)) < 0.3
        new = book.settle(free, rng.integers(0, 3, len(free)), posterior, judged, CERTAINTY, LIMIT)
        learnt[book.document[new[book.source[new] == Source.JUDGE]]] = True
        book.enter(LIMIT, holds=bool(rng.random() < 0.5), waits=bool(rng.random() < 0.5), random_state=SEED)
        for version in book.draw(int(rng.integers(0, 8))):
            if rng.random() < 0.7:
                decide(book, version, bool(rng.random() < 0.9))
                learnt[book.document[version]] = True
        unasked = rng.integers(0, n, 3)
        book.leave(unasked)
        learnt[unasked] = True
        book.look(LIMIT, LEVEL)
    return book


def decide(book: Book, version: int, right: bool) -> None:
    book.state[version] = State.RIGHT if right else State.WRONG


random_books = pytest.mark.parametrize("random_state", range(12))


# Settling.


def test_a_version_keeps_what_it_was_when_it_was_settled():
    book = Book()
    assert settle(book, [(4, 7, 0.99, True), (2, 8, 0.98, False), (9, 8, 0.5, True)]) == [0, 1]
    assert book.document.tolist() == [4, 2]
    assert book.label.tolist() == [7, 8]
    assert book.source.tolist() == [Source.JUDGE, Source.MODEL]
    assert book.posterior.tolist() == [0.99, 0.98]
    assert book.cohort.tolist() == [NO_COHORT] * 2
    assert book.drawn.tolist() == [NOT_DRAWN] * 2
    assert book.state.tolist() == [State.OPEN] * 2
    assert np.isnan(book.key).all()
    assert not (book.left | book.certified | book.entered | book.waiting | book.audited | book.covered).any()
    assert book.present.all()


def test_nothing_is_settled_of_nothing():
    nothing = np.empty(0, dtype=int)
    book = Book()
    assert book.settle(nothing, nothing, np.empty(0), nothing.astype(bool), CERTAINTY, LIMIT).tolist() == []
    assert (len(book), book.standing()) == (0, Standing())
    assert not book.look(LIMIT, LEVEL).holds
    assert book.draw(5).tolist() == []
    assert book.enter(LIMIT, holds=True, waits=False, random_state=SEED).tolist() == []


def test_a_label_that_is_still_believed_is_not_settled_twice():
    book = Book()
    settle(book, [(1, 7, 0.99, False)])
    assert settle(book, [(1, 7, 0.995, False)]) == []
    assert settle(book, [(1, 7, 0.5, False)]) == []
    assert book.present.tolist() == [True]
    assert book.posterior.tolist() == [0.99]


@pytest.mark.parametrize(("posterior", "new"), [(0.99, [1]), (0.5, [])])
def test_a_label_that_is_not_believed_any_more_leaves_and_another_may_come(posterior, new):
    book = Book()
    settle(book, [(1, 7, 0.99, False)])
    assert settle(book, [(1, 8, posterior, False)]) == new
    assert book.left.tolist() == [True, *[False] * len(new)]
    assert book.document[book.present].tolist() == [1] * len(new)


def test_a_label_of_the_models_that_the_judge_confirms_is_settled_on_its_word():
    book = Book()
    settle(book, [(1, 7, 0.99, False), (2, 7, 0.99, False), (3, 7, 0.99, False)])
    assert settle(book, [(1, 7, 0.995, True), (2, 7, 0.6, True), (3, 7, 0.995, False)]) == [3]
    assert book.left.tolist() == [True, False, False, False]
    assert (book.source[3], book.posterior[3]) == (Source.JUDGE, 0.995)


def test_what_has_entered_the_ledger_is_not_settled_anew_by_a_confirmation_but_leaves_when_it_is_not_believed():
    book = Book()
    settle(book, [(1, 7, 0.999, False), (2, 7, 0.999, False)])
    book.enter(LIMIT, holds=False, waits=False, random_state=SEED)
    assert book.entered.all()
    assert settle(book, [(1, 7, 0.9999, True)]) == []
    assert settle(book, [(1, 8, 0.9999, True)]) == [2]
    assert book.left.tolist() == [True, False, False]


@random_books
def test_what_settles_is_what_settling_says(random_state):
    rng = np.random.default_rng(random_state)
    book = random_book(random_state)
    new = np.arange(80, 160)
    posterior, judged = 1 - 0.3 * rng.random(80) ** 2, rng.random(80) < 0.5
    risk = book.scaled(posterior, np.where(judged, Source.JUDGE, Source.MODEL))
    passes = settles(posterior, bars(CERTAINTY, judged), risk, book.standing(), LIMIT)
    before = len(book)
    found = book.settle(new, np.zeros(80, dtype=int), posterior, judged, CERTAINTY, LIMIT)
    assert found.tolist() == list(range(before, len(book)))
    assert book.document[found].tolist() == new[passes].tolist()


@random_books
def test_no_document_has_two_versions_in_force_and_marks_agree(random_state):
    book = random_book(random_state)
    in_force = book.document[book.present]
    assert len(in_force) == len(set(in_force.tolist()))
    assert not (book.waiting & (book.left | book.audited)).any()
    assert not (book.left & book.audited).any()
    assert not (book.present & (book.left | book.audited)).any()
    assert (book.drawn[~book.entered] == NOT_DRAWN).all()
    assert np.isnan(book.key[~book.entered]).all()
    assert ((book.key >= 0) & (book.key < 1))[book.entered].all()
    drawn = book.drawn[book.drawn != NOT_DRAWN]
    assert sorted(drawn.tolist()) == list(range(len(drawn)))
    assert not (book.certified & ~book.entered).any()


@random_books
def test_the_standing_counts_what_no_person_has_looked_at_and_what_audits_found(random_state):
    book = random_book(random_state)
    standing = book.standing()
    wrong = sum(book.state[n] == State.WRONG and book.drawn[n] != NOT_DRAWN for n in range(len(book)))
    assert standing.n == book.present.sum()
    assert standing.expected_wrong == pytest.approx(book.risk[book.present].sum())
    assert (standing.n_audits, standing.n_errors) == (book.audited.sum(), wrong)


def test_risk_is_scaled_by_what_audits_of_the_same_source_found():
    book = some_book()
    assert book.risk == pytest.approx(1 - book.posterior)
    for version in book.draw(20):
        decide(book, version, right=book.source[version] == Source.JUDGE)
    audited = book.audited
    kappa = ledger.kappas(book.posterior[audited], book.source[audited], book.state[audited] == State.WRONG)
    assert kappa[Source.MODEL] > 1 > kappa[Source.JUDGE]
    assert book.risk == pytest.approx(np.minimum((1 - book.posterior) * kappa[book.source], 1))


# What people decide unasked.


def test_what_a_person_decides_unasked_leaves_and_what_was_audited_stays():
    book = some_book(12)
    first, second = book.draw(2)
    decide(book, first, right=True)
    book.leave(book.document[[first, second, 11]])
    assert (book.left[first], book.left[second], book.left[11]) == (False, True, True)
    assert book.left.sum() == 2 - (second == 11)
    assert not book.waiting[second]
    book.leave([])
    book.leave([999])
    assert book.left.sum() == 2 - (second == 11)


# Entering.


def with_risks(risk: list[float]) -> Book:
    """Settled labels of these risks, none of them in the ledger."""
    book = Book()
    n = len(risk)
    zeros = np.zeros(n, dtype=int)
    book._add(np.arange(n), zeros, zeros, 1 - np.array(risk, dtype=float), zeros + 1, is_parent=False)
    return book


def test_at_first_the_surest_enter_once_they_are_enough():
    few = with_risks([0.0001] * 10 + [0.04] * 40)
    assert few.enter(LIMIT, holds=False, waits=True, random_state=SEED).tolist() == []
    enough = with_risks([0.0001] * 20 + [0.04] * 30)
    entered = enough.enter(LIMIT, holds=False, waits=True, random_state=SEED)
    assert entered.tolist() == np.flatnonzero(ledger.first_ring(enough.risk, LIMIT)).tolist()
    assert set(range(20)) <= set(entered.tolist())
    assert (enough.cohort[entered] == 0).all()
    assert sorted(enough.key[entered]) == sorted(ledger.cohort_keys(len(entered), [*SEED, 0]))


def test_a_beginning_is_made_with_a_part_where_nothing_is_learnt_any_more():
    book = with_risks([0.04] * 50)
    assert book.enter(LIMIT, holds=False, waits=True, random_state=SEED).tolist() == []
    assert len(book.enter(LIMIT, holds=False, waits=False, random_state=SEED)) == 17


def test_then_what_is_as_sure_enters_at_once_and_the_next_tenth_while_the_certificate_holds():
    book = with_risks([0.0001] * 20 + [0.04] * 30)
    # One of the doubtful ones completes the first ring, so that the others are as sure as it.
    assert book.enter(LIMIT, holds=False, waits=True, random_state=SEED).tolist() == list(range(21))
    assert book.enter(LIMIT, holds=False, waits=True, random_state=SEED).tolist() == list(range(21, 50))
    settled = settle(book, [(n, 0, 0.94 + n / 10_000, False) for n in range(100, 120)])
    assert settled == list(range(50, 70))
    assert book.enter(LIMIT, holds=False, waits=True, random_state=SEED).tolist() == []
    rings = [book.enter(LIMIT, holds=True, waits=True, random_state=SEED).tolist() for _ in range(4)]
    assert rings == [list(range(63, 70)), list(range(56, 63)), list(range(50, 56)), []]
    assert book.cohort.max() == 4


def test_another_cohort_gets_other_keys_and_the_same_seed_the_same():
    books = [some_book(), some_book()]
    assert np.array_equal(books[0].key, books[1].key, equal_nan=True)
    other = Book()
    other.settle(
        books[0].document, books[0].label, books[0].posterior, books[0].source == Source.JUDGE, CERTAINTY, LIMIT
    )
    other.enter(LIMIT, holds=False, waits=False, random_state=[1, 0])
    assert not np.array_equal(books[0].key, other.key, equal_nan=True)


def test_what_has_left_or_entered_does_not_enter():
    book = with_risks([0.0001] * 30)
    book.leave([0, 1, 2])
    entered = book.enter(LIMIT, holds=False, waits=True, random_state=SEED)
    assert entered.tolist() == list(range(3, 30))
    assert book.enter(LIMIT, holds=True, waits=True, random_state=SEED).tolist() == []


@random_books
@pytest.mark.parametrize("holds", [True, False])
def test_what_enters_is_what_the_ledger_says(random_state, holds):
    book = random_book(random_state)
    before, was_in = book.cohort.copy(), book.entered.copy()
    there = book.present | book.audited
    risk = book.risk
    new = book.enter(LIMIT, holds=holds, waits=True, random_state=SEED)
    assert np.array_equal(np.delete(book.cohort, new), np.delete(before, new))
    assert not was_in[new].any()
    assert there[new].all()
    if was_in[there].any():
        as_sure = there & ~was_in & (risk <= risk[there & was_in].max())
        assert set(np.flatnonzero(as_sure)) <= set(new.tolist())
        assert holds or len(new) == as_sure.sum()
    if len(new):
        assert (book.cohort[new] == before.max() + 1).all()


# Audits.


def test_audits_are_drawn_in_the_order_of_their_keys_each_once():
    book = some_book(30)
    n_entered = int(book.entered.sum())
    drawn = np.concatenate([book.draw(3), book.draw(0), book.draw(4), book.draw(100), book.draw(5)])
    assert len(drawn) == len(set(drawn.tolist())) == n_entered
    assert (np.diff(book.key[drawn]) > 0).all()
    assert book.drawn[drawn].tolist() == list(range(n_entered))
    assert book.waiting[drawn].all()


def test_what_has_left_or_not_entered_is_not_drawn():
    book = some_book(30)
    book.leave(book.document[book.entered][:4])
    drawn = book.draw(100)
    assert book.entered[drawn].all()
    assert not book.left[drawn].any()
    assert len(drawn) == book.entered.sum() - 4


@random_books
def test_a_waiting_audit_stays_waiting_while_others_are_settled_and_drawn(random_state):
    book = random_book(random_state)
    book.draw(3)
    waiting = np.flatnonzero(book.waiting)
    free = np.setdiff1d(np.arange(80), book.document[book.waiting])
    book.settle(free, np.full(len(free), 5), np.full(len(free), 0.99), np.zeros(len(free), dtype=bool), 0.85, LIMIT)
    book.enter(LIMIT, holds=True, waits=False, random_state=SEED)
    book.draw(2)
    assert book.waiting[waiting].all()


# The certificate.


def test_what_the_certificate_covers_stays_certified_until_it_leaves():
    book = some_book(90)
    assert not book.look(LIMIT, LEVEL).holds
    assert not book.covered.any()
    for version in book.draw(90):
        decide(book, version, right=True)
    found = book.look(LIMIT, LEVEL)
    assert found.holds
    assert np.array_equal(book.certified, book.entered)
    assert np.array_equal(book.covered, book.entered)
    certified = np.flatnonzero(book.covered)
    late = settle(book, [(200, 1, 0.97, False)])
    assert not book.covered[late].any()
    assert np.array_equal(np.flatnonzero(book.covered), certified)


def test_a_certified_label_that_leaves_is_not_covered_any_more_and_an_audited_one_is():
    book = with_risks([0.0001] * 400)
    book.enter(LIMIT, holds=False, waits=True, random_state=SEED)
    for version in book.draw(150):
        decide(book, version, right=True)
    assert book.look(LIMIT, LEVEL).holds
    audited, open_ = np.flatnonzero(book.audited)[0], np.flatnonzero(book.present)[0]
    book.leave([audited, open_])
    assert book.certified[open_]
    assert book.covered[audited]
    assert not book.covered[open_]


@random_books
def test_a_look_is_the_ledgers_at_what_has_entered(random_state):
    book = random_book(random_state)
    there = book.entered
    columns = (book.key, book.cohort, book.left, book.drawn, book.state)
    key, cohort, left, drawn, state = (column[there] for column in columns)
    assert book.look(LIMIT, LEVEL) == ledger.look(key, cohort, left, drawn, state, LIMIT, LEVEL)


# Levels of a tree: 1 lies above 11 and 12, 2 is alone; NOISE is none of these.

TREE = Tree.of({1: None, 11: 1, 12: 1, 2: None})


def settle_in_tree(book: Book, rows: list[tuple[int, list[float]]]) -> list[int]:
    """Settle documents by what is believed of 11, 12 and 2; return the new positions."""
    document, belief = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    labels = np.tile([11, 12, 2], (len(rows), 1))
    full = np.hstack([belief, 1 - belief.sum(axis=1, keepdims=True)])
    best = np.append(labels, np.full((len(rows), 1), NOISE), axis=1)[np.arange(len(rows)), full.argmax(axis=1)]
    branches = Branches.of(TREE, best, *TREE.paths(labels, belief))
    judged = np.zeros(len(rows), dtype=bool)
    return book.settle(document, best, full.max(axis=1), judged, CERTAINTY, 0.2, branches).tolist()


@pytest.mark.parametrize(
    ("belief", "settled"),
    [
        ([0.95, 0.03, 0.0], (11, 2, False)),
        ([0.50, 0.48, 0.0], (1, 1, True)),
        ([0.10, 0.85, 0.0], (1, 1, True)),
        ([0.00, 0.02, 0.97], (2, 1, False)),
        ([0.01, 0.01, 0.01], (NOISE, 2, False)),
        ([0.30, 0.30, 0.40], None),
        ([0.40, 0.45, 0.0], None),
    ],
)
def test_the_deepest_certain_label_is_settled(belief, settled):
    book = Book()
    new = settle_in_tree(book, [(7, belief)])
    found = [(book.label[one], book.level[one], book.is_parent[one]) for one in new]
    assert found == ([settled] if settled else [])


@pytest.mark.parametrize(
    ("then", "left", "settled"),
    [
        ([0.50, 0.48, 0.0], False, 1),
        ([0.40, 0.30, 0.0], False, 1),
        ([0.96, 0.02, 0.0], True, 11),
        ([0.00, 0.00, 0.97], True, 2),
        ([0.20, 0.20, 0.30], True, None),
    ],
)
def test_a_parent_stays_while_it_is_believed_and_makes_room_for_what_is_deeper(then, left, settled):
    book = Book()
    settle_in_tree(book, [(7, [0.50, 0.48, 0.0])])
    settle_in_tree(book, [(7, then)])
    assert book.left[0] == left
    assert book.label[book.present].tolist() == ([] if settled is None else [settled])


def test_a_leaf_makes_no_room_for_its_parent():
    book = Book()
    settle_in_tree(book, [(7, [0.95, 0.03, 0.0])])
    assert settle_in_tree(book, [(7, [0.60, 0.38, 0.0])]) == []
    assert book.label[book.present].tolist() == [11]


def test_each_level_is_a_cohort_and_looked_at_with_what_lies_below():
    book = Book()
    settle_in_tree(book, [(n, [0.97, 0.02, 0.0] if n % 3 else [0.50, 0.485, 0.0]) for n in range(60)])
    book.enter(0.2, holds=False, waits=False, random_state=SEED)
    book.enter(0.2, holds=True, waits=False, random_state=SEED)
    while (outside := book.present & ~book.entered).any():
        assert len(book.enter(0.2, holds=True, waits=False, random_state=SEED)), outside
    for number in range(book.cohort.max() + 1):
        assert len(set(book.level[book.cohort == number])) == 1
    drawn = book.draw(60)
    book.state[drawn] = State.RIGHT
    # Right as far as the first level goes, and on the second one never.
    wrong_below = np.where(book.level == 2, State.WRONG, State.RIGHT)
    top, below = book.look_on(1, book.state, LIMIT, LEVEL), book.look_on(2, wrong_below, LIMIT, LEVEL)
    assert (top.n, top.now, top.holds) == (60, 60, True)
    assert (below.n, below.k, below.now) == (40, 40, 40)
    assert set(book.certified_to.tolist()) == {1, 2}, "all that was wrong is corrected"
    assert book.look(LIMIT, LEVEL).n == 60
