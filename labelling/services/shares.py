"""How common each label is in the pool, as the last round estimated it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from labelling.models import Label, Project


class Interval(NamedTuple):
    """A share of the pool, in [0, 1], and the interval that holds the true one with a probability of LEVEL."""

    share: float
    low: float
    high: float


# As in classifiers.prevalence.
LEVEL = 0.95


@dataclass(frozen=True)
class Shares:
    """Of the documents that came without a label, and are not held out.

    Attributes:
        of_label: by the label's id.
        none: of those that belong to none of the labels.
        n: how many documents.
        drawn: decisions drawn at random, audits and spot checks of the pool, that the intervals rest on.
        round: that estimated them.
    """

    of_label: Mapping[int, Interval]
    none: Interval
    n: int
    drawn: int
    round: int

    def by_share(self, labels: Iterable[Label]) -> list[tuple[Label, Interval]]:
        """Those of these labels that a text can have, the most common first."""
        found = [(label, self.of_label[label.pk]) for label in labels if label.pk in self.of_label]
        return sorted((one for one in found if one[1].high), key=lambda one: (-one[1].share, one[0].name))


def shares(project: Project) -> Shares | None:
    """What the last round that estimated them found; None before there is one."""
    found = project.rounds.exclude(shares={}).values_list("shares", "number").first()
    if found is None:
        return None
    told, number = found
    of_label = {int(pk): Interval(*values) for pk, values in told["labels"].items()}
    return Shares(of_label, Interval(*told["none"]), told["n"], told["drawn"], number)
