"""When the loop stops: inflection, nothing gained, nothing left, and not one round too early."""

from __future__ import annotations

import pytest

from classifiers.stopping import PATIENCE
from classifiers.stopping import stop_reason as reason


def stop_reason(uncertain: list[int], learnt: int = 20) -> str | None:
    """The reason when each round has so many training examples more than the one before."""
    return reason(uncertain, [learnt * n for n in range(len(uncertain))])


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
    assert first_stop([1000, 980, 930, 800, 550, 350, 270, 240, 230, 226]) == 9


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
