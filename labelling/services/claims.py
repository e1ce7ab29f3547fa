"""Which documents wait for people, how many have to decide on each, and who holds which."""

from __future__ import annotations

import zlib
from datetime import timedelta
from typing import NamedTuple

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import Decision, Document, Membership, People, Project, Query, QueueEntry
from labelling.services import Refused, domains

# Audits come first, the oldest before the others, then spot checks, then what is asked to learn from.
PRIORITIES_A_ROUND = 100_000
BEFORE_QUESTIONS = 10**12
# Where rounds start by hand alone, a round lays out so many documents.
REVIEWS_BY_HAND = 40

# The lease is learnt from so many of the project's last decisions, and anew after each so many.
OBSERVED = 200
LEARN_EVERY = 20
ENOUGH = 20
QUANTILE = 0.95
LEASES_A_DECISION = 2
SHORTEST_LEASE = timedelta(minutes=2)

# Further than this nobody counts what waits: with a hundred thousand documents that costs more than a decision.
MANY = 1_000

# What is read of an entry to decide on its document, and what to show it: a small part of all columns.
CLAIM = ("project", "people", "answer_first", "claimed_by", "claimed_at", "claimed_until")
DECIDED = (
    *CLAIM,
    *(f"query__{name}" for name in ("label", "reason", "round__settings")),
    *(f"document__{name}" for name in ("holdout", "recoded_from", "prediction__posterior_label")),
)
SHOWN = (
    *CLAIM,
    *(f"query__{name}" for name in ("label", "reason", "probability", "candidates", "examples", "neighbours")),
    *(f"query__{name}" for name in ("near_duplicates", "words", "suggested", "judge_failure__reason")),
    *(f"query__round__{name}" for name in ("number", "settings", "laid_out")),
    *(f"document__{name}" for name in ("external_id", "text", "metadata", "proposals", "is_disputed", "recoded_from")),
    *(f"document__prediction__{name}" for name in ("label", "candidates", "belief", "posterior_label")),
)


class Conflict(Refused):
    """Somebody else decided on the document, or holds it now."""


class Renewal(NamedTuple):
    """After how many seconds a page renews its claim, and after how many without a sign of life it stops."""

    every: int
    patience: int


def entry_for(query: Query) -> QueueEntry:
    """A place in the review queue, not saved yet, for the document of a question."""
    return QueueEntry(
        project_id=query.round.project_id,
        document_id=query.document_id,
        query=query,
        round_id=query.round_id,
        priority=priority(query),
        people=people(query),
        answer_first=answers_first(query),
    )


def priority(query: Query) -> int:
    """Place of a query in the review queue; lower is sooner."""
    place = query.round.number * PRIORITIES_A_ROUND + query.rank
    if query.reason == Query.Reason.AUDIT:
        return place - 2 * BEFORE_QUESTIONS
    return place - BEFORE_QUESTIONS if query.is_audit else place


def reviews_a_round(project: Project) -> int:
    """How many documents a round lays out for people."""
    return project.retrain_after or REVIEWS_BY_HAND


def waiting(project: Project) -> QuerySet[QueueEntry]:
    """What waits for people, without what somebody has skipped, or left to a second person."""
    # Where nobody else reviews, a second look is their own.
    another = Q(query__draw__isnull=True) | Exists(reviewing(project).exclude(user=OuterRef("reviewer")))
    passed = Decision.objects.filter(
        Q(action=Decision.Action.SKIP) | Q(another, people=People.TWO),
        document=OuterRef("document"),
        withdrawn_by__isnull=True,
    )
    return project.queue.filter(~Exists(passed))


def reviewing(project: Project) -> QuerySet[Membership]:
    """The members who have decided on anything, and may log in: others are not waited for."""
    return _reviewing().filter(project=project)


def people(query: Query) -> People:
    """How many people have to decide: the round's share of documents goes to two, always the same ones."""
    return People.TWO if _is_drawn(query, query.round.settings.get("overlap", 0)) else People.ONE


def answers_first(query: Query) -> bool:
    """Whether people answer before they see the machine's word: the round's share of documents, always the same.

    At least as many as have gold in their place: nobody can tell the two apart.
    """
    share = max(query.round.settings.get(name, 0) for name in ("answer_first", "gold_share"))
    return _is_drawn(query, share, "answer first ")


def _is_drawn(query: Query, share: float, draw: str = "") -> bool:
    seed = query.round.settings.get("random_seed", 0)
    return zlib.crc32(f"{draw}{seed}/{query.document_id}".encode()) / 2**32 < share


def available(project: Project, user: User, disputed: bool = False) -> QuerySet[QueueEntry]:
    """The entries that this user could be given: free, and neither skipped nor decided on by them.

    ``disputed``: those on which two others disagree, instead of all the rest.
    """
    return open_to(user, project.queue.all(), disputed, project)


def open_to(
    user: User, entries: QuerySet[QueueEntry], disputed: bool = False, project: Project | None = None
) -> QuerySet[QueueEntry]:
    """Of entries, of one project or of many, those that are ``available`` to this user, within their limits."""
    said = Decision.objects.filter(
        Q(action=Decision.Action.SKIP) | Q(people=People.TWO),
        document=OuterRef("document"),
        reviewer=user,
        withdrawn_by=None,
    )
    return entries.filter(_free_for(user), ~Exists(said), _kind(disputed), domains.open_to(user, project))


def second_looks(project: Project, user: User) -> QuerySet[QueueEntry]:
    """Audits in which this user found an error, and nobody else reviews here: they look again, later."""
    return looked_at_again_by(user, project.queue.all())


def looked_at_again_by(user: User, entries: QuerySet[QueueEntry]) -> QuerySet[QueueEntry]:
    """Of entries, perhaps of many projects, those that are this user's ``second_looks``."""
    own = Decision.objects.filter(
        people=People.TWO, document=OuterRef("document"), query=OuterRef("query"), reviewer=user, withdrawn_by=None
    )
    drawn = entries.filter(people=People.TWO, query__draw__isnull=False)
    others = _reviewing().filter(project=OuterRef("project")).exclude(user=user)
    return drawn.filter(_free_for(user), Exists(own), ~Exists(others))


def looks_again(entry: QueueEntry, user: User) -> bool:
    """Whether the user, being alone, has this audit before them for the second time."""
    return second_looks(entry.project, user).filter(pk=entry.pk).exists()


def held(project: Project, user: User, disputed: bool = False) -> QuerySet[QueueEntry]:
    """What the user has open. Not by priority: in that order a database would look through the whole queue for it."""
    return project.queue.filter(_kind(disputed), claimed_by=user, claimed_until__gt=timezone.now()).order_by()


def standing(user: User) -> QuerySet[Decision]:
    """What the user decided, in any project, and has not withdrawn; the last first."""
    return Decision.objects.filter(~Q(action=Decision.Action.UNDO), reviewer=user, withdrawn_by=None)


def n_available(project: Project, user: User) -> int:
    """How many entries this user could be given; ``MANY`` where as many wait, whoever they are for."""
    if project.queue.order_by()[:MANY].count() == MANY:
        return MANY
    return available(project, user).count() + second_looks(project, user).count()


def claim_next(project: Project, user: User, disputed: bool = False) -> QueueEntry | None:
    """Return the document this user holds, or reserve the next one for them; None when nothing is left.

    Two users never get the same document: of those who reach for it at once, the database lets one have it. Nothing is
    written while the user's claim has most of its time left.
    """
    lasts = lease(project)
    while entry := (
        _open(project, user, disputed)
        or _shown(available(project, user, disputed))
        or (None if disputed else _shown(second_looks(project, user)))
    ):
        fresh = timezone.now() + lasts / 2
        if entry.claimed_by_id == user.pk and entry.claimed_until and entry.claimed_until > fresh:
            return entry
        if take(entry, user):
            return entry
    return None


def locked(project: Project, entry_id: int) -> QueueEntry | None:
    """An entry that nobody else can change before the transaction ends, nor its document, with what deciding needs."""
    entries = project.queue.select_for_update(of=("self", "document")).filter(pk=entry_id).order_by()
    return _read(entries.select_related("query__round", "document__prediction").only(*DECIDED))


def take(entry: QueueEntry, user: User) -> bool:
    """Reserve a document for a user, or renew what they hold; False when somebody else was quicker."""
    now = timezone.now()
    holds_it = entry.claimed_by_id == user.pk and entry.claimed_until is not None and entry.claimed_until > now
    claimed_at = entry.claimed_at if holds_it and entry.claimed_at else now
    claimed = {"claimed_by": user, "claimed_at": claimed_at, "claimed_until": now + lease(entry.project)}
    if not QueueEntry.objects.filter(_free_for(user), pk=entry.pk, people=entry.people).update(**claimed):
        return False
    for name, value in claimed.items():
        setattr(entry, name, value)
    return True


def renew(project: Project, entry_id: int, user: User) -> None:
    """Keep a document for somebody who still has it open, also when their claim ran out and nobody took it.

    Raises:
        Conflict: when it is not theirs any more.
    """
    if project.queue.filter(pk=entry_id, claimed_by=user).update(claimed_until=timezone.now() + lease(project)):
        return
    entry = project.queue.filter(pk=entry_id).select_related("claimed_by").first()
    if entry and is_held_by_another(entry, user):
        raise Conflict(reviewing_now(entry))
    raise Conflict(_("This document does not wait for you any more."))


def renewal(project: Project) -> Renewal:
    """How a page keeps the document that it shows."""
    return Renewal(every=int(lease(project).total_seconds()) // 3, patience=60 * project.claim_minutes)


def release(project: Project, user: User) -> None:
    """Give back what the user holds, so that others get it at once."""
    project.queue.filter(claimed_by=user).update(claimed_by=None, claimed_at=None, claimed_until=None)


def reviewing_now(entry: QueueEntry) -> str:
    """Who has the document open, in a sentence."""
    return _("%(reviewer)s is reviewing this document now.") % {"reviewer": entry.claimed_by}


def is_held_by_another(entry: QueueEntry, user: User) -> bool:
    """Whether somebody else has the document open."""
    held = entry.claimed_until is not None and entry.claimed_until > timezone.now()
    return held and entry.claimed_by_id not in (None, user.pk)


def lease(project: Project) -> timedelta:
    """How long a claim lasts unless it is renewed: what was learnt, and at most the project's own setting."""
    longest = timedelta(minutes=project.claim_minutes)
    return min(longest, timedelta(seconds=project.lease_seconds)) if project.lease_seconds else longest


def learn_lease(project: Project) -> None:
    """Set the lease to twice the time within which nearly all of the last decisions were taken.

    Below ``ENOUGH`` observations the project's own setting holds.
    """
    # Not as a join: SQLite would go through all documents of the project for the last decisions.
    of_project = Document.objects.filter(pk=OuterRef("document"), project=project)
    decisions = Decision.objects.filter(Exists(of_project), seconds__isnull=False)
    seconds = sorted(n or 0 for n in decisions.order_by("-pk").values_list("seconds", flat=True)[:OBSERVED])
    if len(seconds) < ENOUGH:
        return
    usual = timedelta(seconds=seconds[int(QUANTILE * (len(seconds) - 1))])
    learnt = max(LEASES_A_DECISION * usual, SHORTEST_LEASE)
    Project.objects.filter(pk=project.pk).update(lease_seconds=int(learnt.total_seconds()))


def _open(project: Project, user: User, disputed: bool) -> QueueEntry | None:
    found = held(project, user, disputed).values_list("pk", flat=True)[:1]
    return _shown(project.queue.filter(pk=found[0]).order_by()) if found else None


def _shown(entries: QuerySet[QueueEntry]) -> QueueEntry | None:
    entries = entries.select_related("query__round", "query__judge_failure", "document__prediction")
    return _read(entries.only(*SHOWN))


def _read(entries: QuerySet[QueueEntry]) -> QueueEntry | None:
    # As they come: of a single row "first" would put the key in order.
    entry = next(iter(entries[:1]), None)
    if entry:
        # The same rows by another way: they would be read again.
        entry.query.document, entry.query.round.project = entry.document, entry.project
    return entry


def _reviewing() -> QuerySet[Membership]:
    decided = Decision.objects.filter(reviewer=OuterRef("user"), document__project=OuterRef("project"))
    return Membership.objects.filter(Exists(decided), user__is_active=True)


def _free_for(user: User) -> Q:
    return Q(claimed_until=None) | Q(claimed_until__lte=timezone.now()) | Q(claimed_by=user)


def _kind(disputed: bool) -> Q:
    return Q(people=People.THREE) if disputed else Q(people__lt=People.THREE)
