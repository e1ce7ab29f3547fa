"""What a round's questions buy, and what more of them would, in figures for its forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labelling.models import Query, Round

# The other form is recommended where it settles so many times as many.
CLEARLY_MORE = 1.1
WIDTH, HEIGHT = 240, 80


@dataclass(frozen=True)
class Bought:
    """What is expected of questions; shares are of all that the machine may settle, in [0, 1].

    Attributes:
        n_questions: of this round.
        now, then, after_twice: what is settled before them, after them, and after as many again.
        n_settled: labels that the round's questions settle.
        n_choosing: labels that they would settle as choices, where that is clearly more; else None.
        line: the share against the number of questions, as the points of a line.
        most: questions at the end of the line.
    """

    n_questions: int
    now: float
    then: float
    after_twice: float
    n_settled: int
    n_choosing: int | None
    line: str
    most: int


def bought(round_: Round) -> Bought | None:
    """What the forecast of a round says of that; None where it says nothing."""
    told = round_.forecast.get("buys")
    if not told or not told["numbers"][-1]:
        return None
    numbers, of = told["numbers"], max(told["of"], 1)
    settled, choosing = told[round_.question], told[Query.Form.CHOOSE]
    at, twice = numbers[-1] // 4, numbers[-1] // 2
    once, again = (min(range(len(numbers)), key=lambda place: abs(numbers[place] - n)) for n in (at, twice))
    won, won_choosing = settled[once] - settled[0], choosing[once] - choosing[0]
    return Bought(
        n_questions=numbers[once],
        now=settled[0] / of,
        then=settled[once] / of,
        after_twice=settled[again] / of,
        n_settled=won,
        n_choosing=won_choosing if won_choosing > max(CLEARLY_MORE * won, won + 1) else None,
        line=_line(numbers, [n / of for n in settled]),
        most=numbers[-1],
    )


def _line(numbers: Sequence[int], shares: Sequence[float]) -> str:
    points = zip(numbers, shares, strict=True)
    return " ".join(f"{WIDTH * n / numbers[-1]:.0f},{HEIGHT * (1 - share):.0f}" for n, share in points)
