"""How far each level of the tree of labels is: what is settled there, and what its own certificate promises."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import Max

from labelling.models import CohortMember, Project
from labelling.services.counting import kept_of

# What sums and products of shares may be off by.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Level:
    """One level of the tree, 1 at the top, and the labels that the machine settled on it or below it.

    Attributes:
        n_settled: how many there are.
        n_certified: of them, those that the level's certificate covers.
        look: the last look at the level in the present ledger, see Certificate.levels; None before there is one.
        wrong_at_most: of all that was ever certified on the level, how many are wrong there at most.
    """

    level: int
    n_settled: int
    n_certified: int
    look: dict[str, Any] | None
    wrong_at_most: int

    @property
    def share_wrong(self) -> float:
        """As a part of what is certified."""
        return min(self.wrong_at_most / self.n_certified, 1.0) if self.n_certified else 1.0


def shown(project: Project) -> list[Level]:
    """The levels as pages show them: in a large project as they were counted last."""
    return kept_of(project, "levels", levels)


def levels(project: Project) -> list[Level]:
    """The levels from the top; none where labels have no parents or nothing is settled."""
    in_force = project.settled_labels.filter(left_at=None)
    depth = in_force.aggregate(depth=Max("level"))["depth"] or 0
    looks = list(project.certificates.exclude(levels=[]).order_by("pk"))
    if depth < 2 and not looks:
        return []
    settled = Counter(in_force.values_list("level", flat=True))
    members = CohortMember.objects.filter(settled__project=project, settled__left_at=None)
    covered = Counter(members.exclude(certified_to=0).values_list("certified_to", flat=True))
    newest: dict[tuple[int, int], dict[str, Any]] = {}
    held: dict[tuple[int, int], dict[str, Any]] = {}
    for look in looks:
        for one in look.levels:
            newest[look.ledger, one["level"]] = one
            if one["holds"]:
                held[look.ledger, one["level"]] = one
    return [
        Level(
            level,
            n_settled=_from(settled, level),
            n_certified=_from(covered, level),
            look=newest.get((project.restarts, level)),
            wrong_at_most=sum(most_wrong(one["bound"], one["now"]) for (_, of), one in held.items() if of == level),
        )
        for level in range(1, max([depth, *(level for _, level in newest)]) + 1)
    ]


def most_wrong(bound: float, now: int) -> int:
    """How many of ``now`` labels are wrong at most, where at most this share of them is."""
    return math.floor(bound * now + ROUNDING)


def _from(counted: Counter[int], level: int) -> int:
    return sum(n for of, n in counted.items() if of >= level)
