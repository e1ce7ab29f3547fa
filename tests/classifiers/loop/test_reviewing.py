"""How people's time is shared out between audits, spot checks and questions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from classifiers.ledger import Look
from classifiers.loop.reviewing import SPOT_CHECKS, Shares, questions, share_out, spot_checks
from classifiers.query import STRATEGIES, Asked, choose

CAPACITIES = (0, 1, 2, 3, 10, 39, 40, 400)
NOT_YET = Look(
    n=10,
    k=0,
    corrected=0,
    ever=500,
    now=500,
    undecided=490,
    depth=0.02,
    n_open=0,
    n_catching_up=0,
    finite=False,
    limit=0.05,
    level=0.95,
)
HOLDS = replace(NOT_YET, n=200, undecided=300)
CATCHES_UP = replace(HOLDS, undecided=10, n_catching_up=7)


def shared(capacity: int, look: Look | None, n_outside: int = 5, **changes: bool) -> Shares:
    told = {"has_held": False, "asks": True, "learns": True}
    return share_out(capacity, look, n_outside=n_outside, **(told | changes))


def test_the_looks_are_what_their_names_say():
    assert (NOT_YET.holds, HOLDS.holds, CATCHES_UP.holds) == (False, True, True)


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("look", [None, NOT_YET, HOLDS, CATCHES_UP])
@pytest.mark.parametrize("n_outside", [0, 5])
@pytest.mark.parametrize("has_held", [True, False])
@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("learns", [True, False])
def test_no_more_is_laid_out_than_people_decide(capacity, look, n_outside, has_held, asks, learns):
    shares = shared(capacity, look, n_outside, has_held=has_held, asks=asks, learns=learns)
    parts = list(vars(shares).values())
    assert min(parts) >= 0
    assert sum(parts) == capacity
    proves_first = look is not None and not has_held
    assert shares.from_pool == (spot_checks(capacity) if learns and not proves_first else 0)
    assert shares.from_batch == (spot_checks(capacity) if asks else 0)


@pytest.mark.parametrize(("n_audits", "n_questions"), [(20, 10), (15, 15), (0, 30)])
def test_audits_that_the_ledger_lacks_become_questions(n_audits, n_questions):
    assert Shares(20, 2, 2, 10).questions_beside(n_audits) == n_questions


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_half_of_the_spot_checks_come_from_the_pool_and_half_from_the_batch(capacity):
    assert spot_checks(capacity) == pytest.approx(SPOT_CHECKS / 2 * capacity, abs=0.5)


def test_before_the_ledger_everything_is_questions():
    shares = shared(400, None)
    assert shares.audits == 0
    assert shares.questions == 400 - 2 * spot_checks(400)


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("learns", [True, False])
def test_audits_come_first_until_the_certificate_holds(asks, learns):
    shares = shared(400, NOT_YET, asks=asks, learns=learns)
    assert shares == Shares(400 - shares.from_batch, 0, shares.from_batch, 0)


@pytest.mark.parametrize("look", [NOT_YET, HOLDS])
def test_once_it_has_held_audits_get_half_where_people_alone_teach(look):
    room = 400 - spot_checks(400)
    shares = shared(400, look, has_held=True, asks=False)
    assert (shares.audits, shares.questions) == (room // 2, room - room // 2)


@pytest.mark.parametrize(("n_catching_up", "audits"), [(3, 19), (19, 19), (25, 25), (100, 38)])
def test_catching_up_may_take_more_than_half(n_catching_up, audits):
    look = replace(NOT_YET, n_catching_up=n_catching_up)
    assert shared(40, look, has_held=True, asks=False).audits == audits


def test_where_a_judge_teaches_people_prove():
    shares = shared(400, HOLDS, has_held=True, asks=True)
    assert (shares.audits, shares.questions) == (400 - 2 * spot_checks(400), 0)


@pytest.mark.parametrize(("capacity", "audits"), [(400, 7), (8, 7), (5, 5), (0, 0)])
@pytest.mark.parametrize("asks", [True, False])
def test_once_it_covers_everything_audits_catch_up(capacity, audits, asks):
    assert shared(capacity, CATCHES_UP, n_outside=0, has_held=True, asks=asks).audits == audits
    assert shared(capacity, HOLDS, n_outside=0, has_held=True, asks=asks).audits == 0


def test_where_nothing_is_worth_learning_any_more_audits_come_first_and_the_pool_is_not_checked():
    told = {"learns": False, "asks": False, "has_held": True}
    assert shared(40, NOT_YET, **told) == Shares(40, 0, 0, 0)
    assert shared(40, HOLDS, **told) == Shares(40, 0, 0, 0)
    assert shared(40, CATCHES_UP, n_outside=0, **told) == Shares(7, 0, 0, 33)
    assert shared(40, None, **told) == Shares(0, 0, 0, 40)


# What people are asked.


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("size", [0, 1, 6, 100])
def test_people_are_asked_by_the_strategy_as_if_they_were_always_right(strategy, size):
    rng = np.random.default_rng(0)
    belief, entropy = rng.dirichlet(np.ones(4), 20), rng.random(20)
    found = questions(belief, entropy, size, strategy, 3)
    sure = Asked(belief, entropy, 1.0, 1.0, np.zeros(20, dtype=bool))
    assert found.tolist() == choose(sure, strategy, size, 3).tolist()
    assert len(set(found.tolist())) == len(found) <= min(size, 20)


def test_margin_asks_people_where_the_best_two_are_closest():
    belief = np.array([[0.9, 0.05, 0.05], [0.45, 0.4, 0.15], [0.1, 0.2, 0.7], [0.48, 0.04, 0.48]])
    assert questions(belief, np.zeros(4), 3, "margin", 0).tolist() == [3, 1, 2]


def test_people_are_not_asked_nearly_the_same_twice():
    belief = np.tile([0.5, 0.3, 0.2], (3, 1))
    X = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert questions(belief, np.zeros(3), 2, "margin", 0, X).tolist() == [0, 2]
    assert questions(np.empty((0, 3)), np.empty(0), 2, "margin", 0, np.empty((0, 2))).tolist() == []
