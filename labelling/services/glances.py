"""Many projects at a glance: where each stands, what waits for whoever looks, when somebody last did anything.

The number of queries is the same for one project and for hundreds.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count, Max, OuterRef, Q, QuerySet, Subquery

from labelling.models import BackgroundJob, Decision, DiaryEntry, Project, Query, QueueEntry, Round
from labelling.services import claims, rounds
from labelling.services.progress import Counts, counts_of

# Rounds in these states wait for a manager.
STOPPED = (*rounds.STOPPED, BackgroundJob.State.WAITING)


@dataclass(frozen=True)
class Waiting:
    """What waits for one user in a project; all of it is nothing by default.

    Attributes:
        n: documents to decide on, ``n_audits`` of them audits; ``claims.MANY`` stands for as many or more.
        n_disputed: disagreements of two others.
        stopped: number of the round that waits for this manager to act; 0 for none.
    """

    n: int = 0
    n_audits: int = 0
    n_disputed: int = 0
    stopped: int = 0

    def __bool__(self) -> bool:
        return bool(self.n or self.n_disputed or self.stopped)

    @property
    def is_many(self) -> bool:
        return self.n >= claims.MANY


@dataclass(frozen=True)
class Glance:
    """A project as its row on the list shows it; ``active_at`` is None where nothing was ever done."""

    project: Project
    waiting: Waiting
    counts: Counts
    active_at: datetime | None


def found(user: User, words: str) -> QuerySet[Project]:
    """The user's projects whose name or task holds all the words."""
    projects = Project.objects.visible_to(user)
    for word in words.split():
        projects = projects.filter(Q(name__icontains=word) | Q(task__icontains=word))
    return projects


def waiting_for(user: User, projects: QuerySet[Project]) -> dict[int, Waiting]:
    """What waits for the user, by the keys of those projects where anything does."""
    keys = list(projects.values_list("pk", flat=True))
    queue = QueueEntry.objects.filter(project__in=keys).order_by()
    n_queued = dict(queue.values_list("project").annotate(Count("pk")))
    # Further than that nobody counts whom it is for.
    counted = queue.filter(project__in=[pk for pk, n in n_queued.items() if n < claims.MANY])
    told: dict[int, dict[str, int]] = {pk: {"n": claims.MANY} for pk, n in n_queued.items() if n >= claims.MANY}
    for entries in (claims.open_to(user, counted), claims.looked_at_again_by(user, counted)):
        for row in _counted(entries, n=Count("pk"), n_audits=Count("pk", filter=Q(query__reason=Query.Reason.AUDIT))):
            of_project = told.setdefault(row.pop("project"), {})
            of_project.update({name: of_project.get(name, 0) + n for name, n in row.items()})
    for row in _counted(claims.open_to(user, counted, disputed=True), n_disputed=Count("pk")):
        told.setdefault(row.pop("project"), {}).update(row)
    for pk, number in _stopped(user, keys).items():
        told.setdefault(pk, {})["stopped"] = number
    return {pk: Waiting(**numbers) for pk, numbers in told.items()}


def glances(projects: Collection[Project], waiting: dict[int, Waiting]) -> list[Glance]:
    """The rows of some projects, in their order."""
    keys = [project.pk for project in projects]
    counts, active_at = counts_of(keys), _active_at(keys)
    return [
        Glance(project, waiting.get(project.pk, Waiting()), counts[project.pk], active_at.get(project.pk))
        for project in projects
    ]


def _counted(entries: QuerySet[QueueEntry], **numbers: Count) -> list[dict[str, Any]]:
    return list(entries.order_by().values("project").annotate(**numbers))


def _stopped(user: User, keys: Collection[int]) -> dict[int, int]:
    """By project that the user manages, the number of its last round where that waits for a manager."""
    last = Round.objects.filter(project=OuterRef("pk")).order_by("-number")
    managed = Project.objects.managed_by(user).filter(pk__in=keys).order_by()
    told = managed.annotate(number=Subquery(last.values("number")[:1]), state=Subquery(last.values("state")[:1]))
    return dict(told.filter(state__in=STOPPED).values_list("pk", "number"))


def _active_at(keys: Collection[int]) -> dict[int, datetime]:
    """When somebody last decided anything in a project, or did what the diary tells of."""
    decided = Decision.objects.filter(document__project__in=keys).order_by()
    done = DiaryEntry.objects.filter(project__in=keys).order_by()
    latest: dict[int, datetime] = {}
    for rows in (
        decided.values_list("document__project").annotate(Max("created_at")),
        done.values_list("project").annotate(Max("at")),
    ):
        for pk, at in rows:
            latest[pk] = max(at, latest.get(pk, at))
    return latest
