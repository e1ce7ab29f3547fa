"""The one thing that brings a project on now, for whoever looks at it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from django.contrib.auth.models import User

from labelling.models import BackgroundJob, Decision, Project, Query, Release, Round, TrainingExample
from labelling.models.documents import Source
from labelling.services import claims, domains, rounds
from labelling.services.outlook import minutes, seconds_a_decision

FEWEST_LABELS = 2


class Kind(StrEnum):
    """What is to be done, or waited for."""

    IMPORT_TEXTS = "import texts"
    IMPORT_EXAMPLES = "import examples"
    WRITE_DEFINITIONS = "write definitions"
    START_FIRST = "start first"
    START_NEXT = "start next"
    WAIT_FOR_MANAGER = "wait for manager"
    WAIT_FOR_ROUND = "wait for round"
    AGREE = "agree"
    GO_ON = "go on"
    AUDIT = "audit"
    SETTLE_DISAGREEMENTS = "settle disagreements"
    DECIDE = "decide"
    LOOK_AT_SKIPPED = "look at skipped"
    WAIT_FOR_COLLEAGUES = "wait for colleagues"
    DELIVER = "deliver"
    DELIVERED = "delivered"


FOR_MANAGERS = (
    Kind.IMPORT_TEXTS,
    Kind.IMPORT_EXAMPLES,
    Kind.WRITE_DEFINITIONS,
    Kind.START_FIRST,
    Kind.START_NEXT,
    Kind.AGREE,
    Kind.GO_ON,
)


@dataclass(frozen=True)
class NextAction:
    """What one user does next.

    Attributes:
        n: documents, or labels, that it is about; ``claims.MANY`` stands for as many or more.
        minutes: what that takes, 0 where nothing is to be decided.
        n_further: documents that wait for the same user besides, or all the same.
        may_deliver: whether nothing more is learnt, so that only audits add to what is there.
        may_start: whether a round can be started all the same.
        release: the one that holds everything as it is now.
    """

    kind: Kind
    n: int = 0
    minutes: int = 0
    n_further: int = 0
    may_deliver: bool = False
    may_start: bool = False
    release: Release | None = None


def next_action(project: Project, user: User) -> NextAction:
    """What this user does next: what stops the project first, then what waits for people, then what comes after."""
    is_manager = project.is_managed_by(user)
    last = project.rounds.order_by("-number").first()
    stopped = _stopped(last) if last and is_manager else None
    if stopped:
        return replace(stopped, n_further=claims.n_available(project, user))
    found = _for_people(project, user, last) or _between(project, last)
    return NextAction(Kind.WAIT_FOR_MANAGER) if found.kind in FOR_MANAGERS and not is_manager else found


def _stopped(last: Round) -> NextAction | None:
    """A round that waits for a manager, or for somebody to mend what stopped it."""
    if last.state == BackgroundJob.State.WAITING:
        return NextAction(Kind.AGREE)
    return NextAction(Kind.GO_ON) if last.state in rounds.STOPPED else None


def _for_people(project: Project, user: User, last: Round | None) -> NextAction | None:
    """What waits for this user's decision, audits first."""
    n = claims.n_available(project, user)
    seconds = seconds_a_decision(project) if n else 0.0
    audits = claims.available(project, user).filter(query__reason=Query.Reason.AUDIT)
    if n_audits := audits.order_by()[: claims.MANY].count() + claims.second_looks(project, user).count():
        return NextAction(
            Kind.AUDIT,
            n_audits,
            minutes(n_audits, seconds),
            n_further=n if n == claims.MANY else n - n_audits,
            may_deliver=bool(last and last.learning_over),
        )
    if n_disputed := claims.available(project, user, disputed=True).count():
        return NextAction(Kind.SETTLE_DISAGREEMENTS, n_disputed, minutes(n_disputed, seconds_a_decision(project)), n)
    return NextAction(Kind.DECIDE, n, minutes(n, seconds)) if n else None


def _between(project: Project, last: Round | None) -> NextAction:
    """Nothing waits for this user."""
    if last is None:
        return _before_the_first_round(project)
    if last.is_active:
        return NextAction(Kind.WAIT_FOR_ROUND)
    if stopped := _stopped(last):
        return stopped
    n_waiting = project.queue.count()
    if n_waiting and _somebody_can(project):
        return NextAction(Kind.WAIT_FOR_COLLEAGUES, n_waiting)
    if rounds.nothing_left(project) or (last.stop_reason and not domains.undecided(project).exists()):
        return _delivery(project, last)
    return NextAction(Kind.LOOK_AT_SKIPPED, n_waiting) if n_waiting else NextAction(Kind.START_NEXT)


def _before_the_first_round(project: Project) -> NextAction:
    if not project.documents.filter(holdout=False).exists():
        return NextAction(Kind.IMPORT_TEXTS)
    has_pool = project.documents.pool().exists()
    if not has_pool and TrainingExample.objects.filter(document__project=project, source=Source.HUMAN).exists():
        return _delivery(project, None)
    may_start = project.labels.leaves().count() >= FEWEST_LABELS
    n_without = project.labels.leaves().filter(examples=None).count()
    if n_without or not may_start:
        return NextAction(Kind.IMPORT_EXAMPLES, n_without, may_start=may_start)
    if not has_pool:
        return NextAction(Kind.IMPORT_TEXTS)
    n_undefined = project.labels.in_use().filter(definition="").count()
    if n_undefined and project.judge != Project.JudgeName.NONE:
        return NextAction(Kind.WRITE_DEFINITIONS, n_undefined, may_start=True)
    return NextAction(Kind.START_FIRST)


def _delivery(project: Project, last: Round | None) -> NextAction:
    release = _release_of_all(project, last)
    may_start = not rounds.nothing_left(project)
    return NextAction(Kind.DELIVERED if release else Kind.DELIVER, may_start=may_start, release=release)


def _release_of_all(project: Project, last: Round | None) -> Release | None:
    """The newest release, if no round has ended and nobody has decided anything since it was asked for."""
    release = project.releases.filter(state=BackgroundJob.State.DONE).first()
    if release is None or (last and (last.finished_at is None or last.finished_at > release.created_at)):
        return None
    decided = Decision.objects.filter(document__project=project, created_at__gt=release.created_at)
    return None if decided.exists() else release


def _somebody_can(project: Project) -> bool:
    """Whether another member has what waits open, or could get it."""
    return any(
        claims.available(project, member.user).exists()
        or claims.available(project, member.user, disputed=True).exists()
        or claims.held(project, member.user).exists()
        for member in project.memberships.filter(user__is_active=True).select_related("user")
    )
