"""What is promised of the labels that the machine settled, what is known on the way there, and how to begin anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import AuditDraw, Certificate, Cohort, Decision, Label, Project, QueueEntry
from labelling.services import Refused, audits, diary
from labelling.services.counting import kept_of
from labelling.services.outlook import Outlook, audited_since, figures, minutes, outlook

# As in classifiers.certificate: the first ledger gets most of what may go wrong, each further one so much less.
FIRST_PART = 0.8


class Stage(StrEnum):
    """How far a certificate is."""

    OFF = "off"
    NO_ROUND = "no round"
    NOTHING_SETTLED = "nothing settled"
    AWAITED = "awaited"
    NO_AUDIT = "no audit"
    CATCHING_UP = "catching up"
    NOT_YET = "not yet"
    HOLDS = "holds"


@dataclass(frozen=True)
class Promise:
    """A project's certificate in figures, for the pages to word.

    Attributes:
        look: the last look at the present ledger; None before audits have begun.
        held: the last certificate that held, in any ledger: it stands whatever came after.
        n_settled: labels that the machine had settled when it held, or else has settled now.
        n_further: settled labels in the ledger that it does not cover yet.
        n_skipped: audits that count as wrong because somebody skipped them and nobody decided.
        since: audits that people have finished since the last look.
        stopped: whether nothing is settled any more because audits found too much wrong.
    """

    stage: Stage
    look: Certificate | None
    held: Certificate | None
    n_settled: int
    n_further: int
    n_skipped: int
    since: int
    stopped: bool
    ahead: Outlook

    @property
    def to_first(self) -> int | None:
        """How many more audits, all without an error, bring the first certificate; None where that can't be said."""
        if self.stage != Stage.NOT_YET or self.look is None:
            return None
        return max(self.look.still_needed - self.since, 0) or None

    @property
    def minutes_to_first(self) -> int:
        return minutes(self.to_first or 0, self.ahead.seconds)

    @property
    def is_out_of_reach(self) -> bool:
        """Whether so many audits are still needed that a larger share wrong should be promised instead."""
        return self.held is None and self.ahead.first is not None and self.ahead.first.is_out_of_reach


@dataclass(frozen=True)
class AuditRow:
    """An audit as the certificate's page lists it; what was settled is told only once people have decided."""

    draw: AuditDraw
    state: audits.State
    decisions: Sequence[Decision]

    @property
    def machine(self) -> Label | None:
        return self.draw.member.settled.label

    @property
    def people(self) -> Label | None:
        """The label that stands now, None for none of these."""
        return self.decisions[-1].label if self.decisions else None

    @property
    def is_right(self) -> bool:
        return self.state == audits.State.RIGHT

    @property
    def is_skipped(self) -> bool:
        return self.state == audits.State.SKIPPED

    @property
    def at(self) -> datetime:
        return self.decisions[-1].created_at if self.decisions else self.draw.drawn_at


def promise(project: Project) -> Promise:
    """How far the project's certificate is."""
    last = project.rounds.exclude(settled_at=None).order_by("-number").first()
    seen = figures(project)
    look = project.certificates.filter(ledger=project.restarts).first()
    held = project.certificates.filter(holds=True).select_related("round").first()
    n_settled = seen.get("settled", 0)
    return Promise(
        stage=_stage(project, look, held, has_round=last is not None, n_settled=n_settled),
        look=look,
        held=held,
        n_settled=held.round.outlook.get("settled", n_settled) if held else n_settled,
        n_further=max(seen.get("entered", 0) - seen.get("certified", 0), 0),
        n_skipped=_n_skipped(project),
        since=audited_since(project, look),
        stopped=last is not None and last.settling_stopped,
        ahead=outlook(project),
    )


def in_force(project: Project) -> Certificate | None:
    """The newest that held; None where there is none, or audits say by now that more is wrong than was promised."""
    stopped = project.rounds.exclude(settled_at=None).order_by("-number").values_list("settling_stopped", flat=True)
    return None if stopped.first() else project.certificates.filter(holds=True).first()


def draws(project: Project) -> QuerySet[AuditDraw]:
    """The audits of the present ledger, the last drawn first."""
    found = AuditDraw.objects.filter(member__cohort__project=project, member__cohort__ledger=project.restarts)
    return found.select_related("member__settled__label", "member__cohort", "query__document").order_by("-number")


def told(project: Project) -> QuerySet[AuditDraw]:
    """Those of which somebody has said something."""
    return draws(project).filter(Exists(Decision.objects.filter(query=OuterRef("query"), withdrawn_by=None)))


def cohorts(project: Project) -> list[Cohort]:
    """The cohorts of the present ledger with ``size``, ``n_left`` (labels that left) and ``n_drawn``."""
    return kept_of(project, "cohorts", lambda one: list(_cohorts(one)))


def _cohorts(project: Project) -> QuerySet[Cohort]:
    left = Q(members__settled__left_at__isnull=False)
    found = project.cohorts.filter(ledger=project.restarts).select_related("round")
    return found.annotate(size=Count("members"), n_left=Count("members", filter=left), n_drawn=Count("members__draw"))


def audit_rows(project: Project, drawn: Sequence[AuditDraw]) -> list[AuditRow]:
    """What became of these audits."""
    states = audits.states(project)
    said: dict[int, list[Decision]] = {}
    asked = [draw.query_id for draw in drawn]
    decisions = Decision.objects.standing().filter(query__in=asked).select_related("reviewer", "label")
    for decision in decisions.order_by("pk"):
        query_id = decision.query_id or 0
        if states[query_id] not in (audits.State.OPEN, audits.State.SKIPPED):
            said.setdefault(query_id, []).append(decision)
    return [AuditRow(draw, states[draw.query_id], said.get(draw.query_id, [])) for draw in drawn]


def level_of(project: Project, restarts: int | None = None) -> float:
    """The level of the project's present ledger, or of the one after so many restarts, so that all together keep its
    promise: for 95 % they are 96 %, 99.2 %, 99.84 %, …
    """
    restarts = project.restarts if restarts is None else restarts
    return 1 - (1 - float(project.level)) * FIRST_PART * (1 - FIRST_PART) ** restarts


@dataclass(frozen=True)
class Price:
    """What it costs to begin the ledger anew.

    Attributes:
        n_audits: that people have finished and that then prove nothing.
        n_waiting: audits that are taken from the queue.
        level, next_level: what each look has to reach now, and then.
    """

    n_audits: int
    n_waiting: int
    level: float
    next_level: float


def price_of_restart(project: Project) -> Price:
    """What beginning anew costs now."""
    return Price(
        n_audits=draws(project).filter(query__queue_entry=None).count(),
        n_waiting=_waiting(project).count(),
        level=level_of(project),
        next_level=level_of(project, project.restarts + 1),
    )


@transaction.atomic
def begin_anew(project: Project) -> None:
    """Begin the ledger of audits anew, from the next round on; certificates that held before stand.

    Raises:
        Refused: where none is begun, or a round is working with it.
    """
    locked = Project.objects.select_for_update().get(pk=project.pk)
    if not locked.cohorts.filter(ledger=locked.restarts).exists():
        raise Refused(_("No audits have begun yet: there is nothing to begin anew."))
    if locked.active_round:
        raise Refused(_("A round is running: wait until it has ended."))
    _waiting(locked).delete()
    locked.restarts += 1
    locked.save(update_fields=["restarts"])
    project.restarts = locked.restarts
    diary.write(diary.Act.LEDGER_RESTARTED, project, project)


def _waiting(project: Project) -> QuerySet[QueueEntry]:
    """Audits of the present ledger in the queue, but for those that somebody has open."""
    waiting = project.queue.filter(
        query__draw__member__cohort__project=project, query__draw__member__cohort__ledger=project.restarts
    )
    return waiting.filter(Q(claimed_until=None) | Q(claimed_until__lte=timezone.now()))


def _stage(
    project: Project, look: Certificate | None, held: Certificate | None, *, has_round: bool, n_settled: int
) -> Stage:
    if held:
        return Stage.HOLDS
    if not project.auto_accept:
        return Stage.OFF
    if not has_round:
        return Stage.NO_ROUND
    begun = project.cohorts.filter(ledger=project.restarts).exists()
    if not begun:
        return Stage.AWAITED if n_settled else Stage.NOTHING_SETTLED
    if look is None or not look.n:
        return Stage.NO_AUDIT
    return Stage.CATCHING_UP if look.n_catching_up else Stage.NOT_YET


def _n_skipped(project: Project) -> int:
    skipped = Decision.objects.filter(query=OuterRef("query"), action=Decision.Action.SKIP, withdrawn_by__isnull=True)
    return draws(project).filter(Exists(skipped), query__queue_entry__isnull=False).count()
