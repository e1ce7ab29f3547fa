"""What a judge is asked next: so many that their follow-ups fit, and when a refusal leads on."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.loop.asking import DELEGATION_FLOOR, MAX_IN_A_ROW, batch, delegates
from classifiers.loop.believing import open_belief
from classifiers.query import STRATEGIES, Asked, choose
from classifiers.reliability import Rates

RATES = Rates(0.9, 0.9)


def some_batch(belief: np.ndarray, calls: int, question: str = "validate", **changes) -> np.ndarray:
    n, k = len(belief), belief.shape[1] - 1
    given = {
        "asked": np.zeros((n, k), dtype=bool),
        "entropy": np.zeros(n),
        "settled": np.zeros(n, dtype=bool),
        "rates": RATES,
        "strategy": "settling",
        "threshold": 0.85,
        "random_state": 0,
    }
    return batch(belief, question=question, calls=calls, **(given | changes))


def dirichlet(n: int, k: int = 3) -> np.ndarray:
    return np.random.default_rng(n).dirichlet(np.ones(k + 1), n)


@pytest.mark.parametrize("in_a_row", range(1, MAX_IN_A_ROW + 2))
@pytest.mark.parametrize("gain", [-np.inf, 0.0, 0.9 * DELEGATION_FLOOR, DELEGATION_FLOOR, 0.5])
def test_a_refusal_leads_on_while_the_next_verdict_tells_enough_and_not_for_long(gain, in_a_row):
    expected = gain >= DELEGATION_FLOOR and in_a_row < MAX_IN_A_ROW
    assert bool(delegates(gain, in_a_row)) is expected
    assert delegates(np.array([gain, gain]), in_a_row).tolist() == [expected] * 2
    assert delegates(np.array([gain]), np.array([in_a_row])).tolist() == [expected]


def expected_calls(best: np.ndarray, rates: Rates = RATES) -> np.ndarray:
    """The first question, the second after a refusal, the third after two."""
    refused = best * (1 - rates.sensitivity) + (1 - best) * rates.specificity
    return 1 + refused + refused**2


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("calls", [0, 1, 2, 5, 17, 500])
def test_the_best_documents_are_asked_about_as_long_as_their_expected_calls_fit(strategy, calls):
    belief = dirichlet(40)
    found = some_batch(belief, calls, strategy=strategy)
    offered = Asked(belief, np.zeros(40), *RATES, np.zeros(40, dtype=bool))
    ranked = choose(offered, strategy, calls)
    assert found.tolist() == ranked[: len(found)].tolist()
    all_calls = expected_calls(belief[ranked, :-1].max(axis=1)).cumsum()
    assert len(found) == max((all_calls <= calls).sum(), min(calls, 1))


def test_what_was_asked_about_is_expected_to_lead_on_more_often():
    belief = np.tile([0.6, 0.3, 0.1], (30, 1))
    none, first = np.zeros((30, 2), dtype=bool), np.tile([True, False], (30, 1))
    # 1.6 calls a document, then 2.1.
    assert len(some_batch(belief, 20, asked=none)) == 20 // expected_calls(np.array(0.6)) == 12
    assert len(some_batch(belief, 20, asked=first)) == 20 // expected_calls(np.array(0.3)) == 9
    assert open_belief(belief, first)[0] == pytest.approx([0, 0.3, 0.7])


def test_a_judge_that_refuses_much_is_asked_about_fewer_documents():
    belief = np.tile([0.6, 0.3, 0.1], (60, 1))
    found = [len(some_batch(belief, 40, rates=Rates(rate, 0.95))) for rate in (0.5, 0.7, 0.95)]
    assert found == sorted(found)
    assert found[0] < found[2]


@pytest.mark.parametrize("calls", [0, 1, 7, 500])
def test_a_choice_is_one_call(calls):
    belief = np.tile([0.6, 0.3, 0.1], (30, 1))
    assert len(some_batch(belief, calls, "choose")) == min(calls, 30)


@pytest.mark.parametrize("question", ["validate", "choose"])
def test_nothing_is_asked_of_nothing_and_without_calls(question):
    assert some_batch(np.empty((0, 4)), 10, question).tolist() == []
    assert some_batch(dirichlet(9), 0, question).tolist() == []


@pytest.mark.parametrize("question", ["validate", "choose"])
def test_a_coin_is_asked_nothing(question):
    assert some_batch(dirichlet(9), 10, question, rates=Rates(0.5, 0.5)).tolist() == []


def test_the_same_seed_asks_the_same():
    first, again, other = (some_batch(dirichlet(60), 20, strategy="random", random_state=seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


def test_near_duplicates_are_passed_over():
    belief = np.tile([0.6, 0.3, 0.1], (6, 1))
    X = np.eye(5)[[0, 0, 1, 2, 3, 4]]
    # 1.6 calls each.
    assert some_batch(belief, 4).tolist() == [0, 1]
    assert some_batch(belief, 4, X=X).tolist() == [0, 2]
