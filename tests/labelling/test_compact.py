"""Lists of probabilities in few bytes."""

from __future__ import annotations

import pytest

from labelling.models.compact import DIGITS, CandidatesField, ProbabilitiesField

STEP = 10**-DIGITS
CANDIDATES, PROBABILITIES = CandidatesField(), ProbabilitiesField()


@pytest.mark.parametrize("start", [0, 123_450, 499_990, 999_900])
def test_six_digits_come_back_as_they_were(start):
    values = [round(n * STEP, DIGITS) for n in range(start, start + 101)]
    assert PROBABILITIES.unpack(PROBABILITIES.pack(values)) == values
    assert len(PROBABILITIES.pack(values)) == 4 * len(values)


def test_every_value_of_six_digits_is_told_from_its_neighbours():
    values = [round(n * STEP, DIGITS) for n in range(0, 1_000_001, 97)]
    assert PROBABILITIES.unpack(PROBABILITIES.pack(values)) == values


@pytest.mark.parametrize(
    "pairs", [[], [[1, 0.0]], [[1, 1.0], [2**32 - 1, 0.000001]], [[n, n / 1000] for n in range(10)]]
)
def test_candidates_come_back_in_their_order(pairs):
    stored = CANDIDATES.pack(pairs)
    assert CANDIDATES.unpack(stored) == pairs
    assert len(stored) == 8 * len(pairs)
    assert CANDIDATES.pack([tuple(pair) for pair in pairs]) == stored


@pytest.mark.parametrize("pairs", [[[1]], [[1, 0.5, 2]]])
def test_what_is_no_pair_is_refused(pairs):
    with pytest.raises(ValueError, match="values to unpack"):
        CANDIDATES.pack(pairs)
