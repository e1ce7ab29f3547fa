"""How much people lean on the machine: how often they agree with it before and after they have seen its word."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q

from labelling.models import Decision, People, Project
from labelling.services.progress import share


@dataclass(frozen=True)
class Leaning:
    """Decisions of rounds in which a share was answered first: both kinds are of documents drawn from the same.

    Attributes:
        n_first: answered before the machine's word was shown; n_first_same with the label that it predicted.
        n_after: with its word in sight; n_after_same likewise.
    """

    n_first: int
    n_first_same: int
    n_after: int
    n_after_same: int

    @property
    def share_first(self) -> float | None:
        return share(self.n_first, self.n_first + self.n_after)

    @property
    def same_first(self) -> float | None:
        return share(self.n_first_same, self.n_first)

    @property
    def same_after(self) -> float | None:
        return share(self.n_after_same, self.n_after)


def measured(project: Project) -> Leaning:
    """Count what people decided in the review queue, one document at a time; withdrawn decisions count nowhere."""
    decisions = Decision.objects.standing().filter(
        document__project=project, query__round__settings__answer_first__gt=0, bulk=None
    )
    # A third person decides between two others, not with the machine.
    decisions = decisions.exclude(people=People.THREE)
    accepted = Q(action=Decision.Action.ACCEPT)
    return Leaning(
        **decisions.aggregate(
            n_first=Count("pk", filter=Q(answered_first=True)),
            n_first_same=Count("pk", filter=accepted & Q(answered_first=True)),
            n_after=Count("pk", filter=Q(answered_first=False)),
            n_after_same=Count("pk", filter=accepted & Q(answered_first=False)),
        )
    )
