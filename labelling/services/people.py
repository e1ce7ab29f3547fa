"""The people who review: what each has done, and how far they agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median

from django.contrib.auth.models import User
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, TruncDate
from django.utils import timezone

from labelling.models import Decision, People, Project, Query, Verdict
from labelling.services import gold
from labelling.services.progress import share

# A person's pace is that of their last decisions.
TIMED = 5_000

# The labels that two people gave one document, by reviewer.
Shared = dict[int, int | None]


@dataclass(frozen=True)
class Numbers:
    """What one person has done in a project; withdrawn decisions count nowhere, answers to gold in ``gold`` alone.

    Attributes:
        n_decisions: that gave a label, or none of these; n_bulk of them in bulk, n_today today.
        n_days: on which there are any.
        median_seconds: from opening a document to the decision; None without any that was timed.
        n_shared: documents that they and somebody else decided on, blind to each other; n_same with the same label.
        n_audits: audits on which the judge had a verdict, valid or invalid; n_as_judge where it says the same.
        n_overturned: decisions that somebody else has replaced since by another label.
        gold: how often they were right where the label is known; ``needs_second``: too seldom to decide alone.
    """

    reviewer: User
    n_decisions: int
    n_bulk: int
    n_today: int
    n_days: int
    median_seconds: float | None
    n_shared: int
    n_same: int
    n_audits: int
    n_as_judge: int
    n_overturned: int
    gold: gold.Record
    needs_second: bool

    @property
    def a_day(self) -> float:
        return self.n_decisions / self.n_days if self.n_days else 0.0

    @property
    def same(self) -> float | None:
        return share(self.n_same, self.n_shared)

    @property
    def as_judge(self) -> float | None:
        return share(self.n_as_judge, self.n_audits)

    @property
    def overturned(self) -> float | None:
        return share(self.n_overturned, self.n_decisions)


def numbers(project: Project, reviewer: User | None = None) -> list[Numbers]:
    """Everybody's numbers, the busiest first, or those of one person alone."""
    decisions = Decision.objects.standing().filter(document__project=project, reviewer__isnull=False)
    if reviewer:
        decisions = decisions.filter(reviewer=reviewer)
    counted = (
        decisions.order_by()
        .values("reviewer")
        .annotate(
            n=Count("pk"),
            n_bulk=Count("bulk"),
            n_today=Count("pk", filter=Q(created_at__date=timezone.localdate())),
            n_days=Count(TruncDate("created_at"), distinct=True),
        )
    )
    by_reviewer = {row["reviewer"]: row for row in counted}
    seconds, shared, audits = _seconds(decisions), _shared_counts(project), _audit_counts(decisions)
    overturned = Counter(_overturned(decisions).values_list("reviewer", flat=True))
    answered = gold.records(project, [reviewer] if reviewer else None)
    nothing = {"n": 0, "n_bulk": 0, "n_today": 0, "n_days": 0}
    found = [
        Numbers(
            reviewer=user,
            n_decisions=row["n"],
            n_bulk=row["n_bulk"],
            n_today=row["n_today"],
            n_days=row["n_days"],
            median_seconds=seconds.get(user.pk),
            n_shared=shared[user.pk, "all"],
            n_same=shared[user.pk, "same"],
            n_audits=audits[user.pk, "all"],
            n_as_judge=audits[user.pk, "same"],
            n_overturned=overturned[user.pk],
            gold=answered.get(user.pk, gold.Record(0, 0)),
            needs_second=user.pk in answered and gold.needs_second(project, user),
        )
        for user in User.objects.filter(pk__in=by_reviewer.keys() | answered.keys())
        if (row := by_reviewer.get(user.pk, nothing))
    ]
    return sorted(found, key=lambda one: (-one.n_decisions, one.reviewer.username))


def shared(project: Project) -> list[Shared]:
    """The documents that two people have decided on, neither of whom had seen the other's decision."""
    rows = Decision.objects.standing().filter(document__project=project, people=People.TWO, reviewer__isnull=False)
    by_question: dict[tuple[int, int | None], Shared] = {}
    for document_id, query_id, reviewer_id, label_id in rows.order_by("pk").values_list(
        "document", "query", "reviewer", "label"
    ):
        by_question.setdefault((document_id, query_id), {})[reviewer_id] = label_id
    return [labels for labels in by_question.values() if len(labels) > 1]


def _seconds(decisions: QuerySet[Decision]) -> dict[int, float]:
    by_reviewer: dict[int, list[int]] = {}
    timed = decisions.filter(seconds__isnull=False).order_by("-pk")
    for reviewer_id, seconds in timed.values_list("reviewer", "seconds")[:TIMED]:
        by_reviewer.setdefault(reviewer_id, []).append(seconds or 0)
    return {reviewer_id: median(seconds) for reviewer_id, seconds in by_reviewer.items()}


def _shared_counts(project: Project) -> Counter[tuple[int, str]]:
    counts: Counter[tuple[int, str]] = Counter()
    for labels in shared(project):
        same = len(set(labels.values())) == 1
        counts.update((reviewer_id, "all") for reviewer_id in labels)
        counts.update((reviewer_id, "same") for reviewer_id in labels if same)
    return counts


def _audit_counts(decisions: QuerySet[Decision]) -> Counter[tuple[int, str]]:
    audits = decisions.filter(
        query__reason__in=Query.AUDITS, query__verdict__verdict__in=[Verdict.Name.VALID, Verdict.Name.INVALID]
    )
    counts: Counter[tuple[int, str]] = Counter()
    for decision in audits.select_related("query__verdict__query"):
        counts[decision.reviewer_id or 0, "all"] += 1
        counts[decision.reviewer_id or 0, "same"] += _says_the_same(decision, decision.query.verdict)  # type: ignore[union-attr]
    return counts


def _says_the_same(decision: Decision, verdict: Verdict) -> bool:
    if verdict.query.form == Query.Form.CHOOSE:
        return verdict.chosen_id == decision.label_id
    return (verdict.verdict == Verdict.Name.VALID) == (decision.label_id == verdict.query.label_id)


def _overturned(decisions: QuerySet[Decision]) -> QuerySet[Decision]:
    """Decisions after which somebody else, knowing them, gave the document another label."""
    label = Coalesce(F("label"), 0)
    later = (
        Decision.objects.standing().annotate(given=label).filter(document=OuterRef("document"), pk__gt=OuterRef("pk"))
    )
    other = later.exclude(people=People.TWO).exclude(reviewer=OuterRef("reviewer")).exclude(given=OuterRef("given"))
    return decisions.order_by().annotate(given=label).filter(Exists(other))
