"""When the loop stops: inflection, nothing gained, nothing left or to spend, and not one round too early."""

from __future__ import annotations

import pytest

from classifiers.posterior import expected_information_gain
from classifiers.stopping import GAIN_FLOOR, PATIENCE
from classifiers.stopping import stop_reason as reason


def stop_reason(uncertain: list[int], learnt: int = 20, question: str = "validate") -> str | None:
    """The reason when each round has so many training examples more than the one before."""
    return reason(uncertain, [learnt * n for n in range(len(uncertain))], question=question)


def first_stop(uncertain: list[int]) -> int | None:
    """The number of the round after which the loop would have stopped."""
    return next((n for n in range(len(uncertain) + 1) if stop_reason(uncertain[:n])), None)


@pytest.mark.parametrize("uncertain", [[], [500], [500, 400], [500, 400, 400], [10, 10, 10]])
def test_too_few_rounds_say_nothing(uncertain):
    assert stop_reason(uncertain) is None


@pytest.mark.parametrize("uncertain", [[0], [0, 0], [500, 0], [500, 100, 0], [9, 8, 7, 6, 0]])
def test_no_uncertain_document_is_a_reason_at_once(uncertain):
    assert stop_reason(uncertain) == "No uncertain document is left."


@pytest.mark.parametrize(
    ("question", "uncertain", "enough"),
    [
        ("validate", [500, 21], False),
        ("validate", [500, 20], True),
        ("validate", [24, 1], False),
        ("validate", [25, 1], True),
        ("choose", [500, 11], False),
        ("choose", [500, 10], True),
    ],
)
def test_hardly_any_uncertain_document_left_is_a_reason_too(question, uncertain, enough):
    expected = (
        f"Only {uncertain[-1]} of {uncertain[0]} uncertain documents are left: people are done sooner than a round."
    )
    assert stop_reason(uncertain, question=question) == (expected if enough else None)


@pytest.mark.parametrize(
    ("uncertain", "settled"),
    [
        ([500] * 4, 0),
        ([500, 500, 500, 496], 4),
        ([500, 520, 510, 530], 0),
        ([1000, 600, 300, 298, 295, 291], 9),
        ([0, 5, 5, 5], 0),
    ],
)
def test_a_flat_number_means_nothing_more_is_gained(uncertain, settled):
    assert stop_reason(uncertain) == (
        f"Nothing more is gained: 3 rounds with 60 new training examples settled {settled} of {uncertain[0]} "
        "uncertain documents."
    )


def test_one_per_cent_of_the_first_round_still_counts_as_gained():
    assert stop_reason([500, 499, 497, 495]) is None
    assert stop_reason([500, 499, 497, 496]) is not None


def test_a_small_share_of_a_large_pool_counts_as_gained_while_it_is_more_than_people_labelled():
    falling = [40_000, 39_900, 39_780, 39_650]
    assert stop_reason(falling, learnt=50) is None
    assert stop_reason(falling, learnt=116) is None
    assert stop_reason(falling, learnt=117) is not None


def test_past_the_inflection_the_reason_names_the_drops():
    assert stop_reason([1000, 900, 500, 450, 420, 400]) == (
        "The number of uncertain documents is past its inflection: it fell by 400 in the steepest round "
        "and by 50, 30, 20 in the last 3."
    )


def test_the_inflection_counts_as_passed_only_after_patience():
    falling = [1000, 900, 500, 450, 420, 400]
    assert PATIENCE == 3
    assert first_stop(falling) == len(falling)


def test_an_s_curve_stops_after_its_middle():
    assert first_stop([1000, 980, 930, 800, 550, 350, 270, 240, 230, 226]) == 10


@pytest.mark.parametrize(
    "uncertain",
    [
        pytest.param([1000, 990, 970, 930, 850, 690], id="falls ever faster"),
        pytest.param([1000, 900, 800, 700, 600, 500], id="falls evenly"),
        pytest.param([1000, 600, 400, 200, 180], id="half of the steepest drop is not slow"),
        pytest.param([1000, 600, 590, 580, 300], id="a quick round among slow ones"),
        pytest.param([1000, 600, 590, 300, 290, 280], id="two slow rounds since the last quick one"),
    ],
)
def test_while_the_number_falls_the_loop_goes_on(uncertain):
    assert first_stop(uncertain) is None


def test_a_bump_upwards_is_a_slow_round_and_no_end_by_itself():
    assert first_stop([1000, 700, 720, 500]) is None
    assert first_stop([1000, 400, 410, 350, 340]) == 5


def test_of_two_equally_steep_drops_the_first_is_the_inflection():
    assert first_stop([1000, 700, 400, 350, 300, 270]) == 6


# Gain and budget.


def little(gain: str, floor: str = "0.02") -> str:
    return (
        "Another round would teach little: the judge's next answers are expected to gain "
        f"{gain} nats each, below {floor}."
    )


@pytest.mark.parametrize(
    ("gain", "words"),
    [(0.01, "0.01"), (0.0, "0"), (0.0129, "0.012"), (0.019, "0.019"), (0.01999, "0.019"), (1e-7, "0")],
)
def test_a_small_gain_is_a_reason_that_reads_as_below_the_floor(gain, words):
    assert reason([500, 400], [0, 20], gains=[0.3, gain]) == little(words)


@pytest.mark.parametrize("gains", [None, [], [GAIN_FLOOR], [0.3], [0.001, 0.3], [0.0, 0.0, 0.021]])
def test_an_unknown_or_larger_gain_at_the_end_is_none(gains):
    assert reason([500, 400], [0, 20], gains=gains) is None


def test_another_floor():
    assert reason([500], [0], gains=[0.3], gain_floor=0.35) == little("0.3", "0.35")
    assert reason([500], [0], gains=[0.001], gain_floor=0.0) is None


def test_the_floor_lies_where_a_good_judge_has_almost_certain_candidates_left():
    assert expected_information_gain(0.99, 0.9, 0.9) < GAIN_FLOOR < expected_information_gain(0.98, 0.9, 0.9)


@pytest.mark.parametrize("uncertain", [[], [500], [500, 400, 300]])
@pytest.mark.parametrize("budget_left", [0, -3])
def test_a_spent_budget_is_a_reason_at_once(uncertain, budget_left):
    assert reason(uncertain, [0] * len(uncertain), budget_left=budget_left) == "The budget of judge calls is spent."


@pytest.mark.parametrize("budget_left", [None, 1, 10_000])
def test_while_calls_are_left_the_budget_is_no_reason(budget_left):
    assert reason([500, 400], [0, 20], budget_left=budget_left) is None


def test_the_reason_that_leaves_least_to_do_comes_first():
    assert reason([500, 0], [0, 20], gains=[0.0], budget_left=0) == "No uncertain document is left."
    assert reason([500, 400], [0, 20], gains=[0.0], budget_left=0) == "The budget of judge calls is spent."
    assert reason([500] * 4, [0, 20, 40, 60], gains=[0.0]) == little("0")


@pytest.mark.parametrize("uncertain", [[500] * 4, [1000, 900, 500, 450, 420, 400]])
def test_gain_and_budget_to_spare_leave_the_other_rules_as_they_are(uncertain):
    examples = [20 * n for n in range(len(uncertain))]
    assert reason(uncertain, examples) is not None
    assert reason(uncertain, examples, gains=[0.3], budget_left=100) == reason(uncertain, examples)
