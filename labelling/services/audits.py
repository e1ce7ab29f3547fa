"""What audits say: how often the judge is right, and whether what is accepted from it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet

from labelling.models import (
    AuditDraw,
    Decision,
    Document,
    People,
    Project,
    Query,
    QueueEntry,
    Round,
    TrainingExample,
    Verdict,
)
from labelling.models.documents import Source
from labelling.services import trees

# Verdicts from which on something is said about a judge, as on its page.
MIN_MEASURED = 20

UNDO = Decision.Action.UNDO

# The state of a project without decisions and verdicts.
NOTHING_YET = [None, None, None]


class JudgeId(NamedTuple):
    """Who gave a verdict, and to which wording of the question; audits count for this one alone."""

    judge: str
    model: str
    prompt_version: str

    @classmethod
    def of(cls, verdict: Verdict) -> JudgeId:
        return cls(verdict.judge, verdict.model, verdict.prompt_version)


def waiting(project: Project) -> QuerySet[Query]:
    """Audits that nobody has decided on: what the judge said of their documents is shown to nobody.

    Those of a ledger that was begun anew wait no longer, once they have left the queue.
    """
    undecided = Query.objects.filter(round__project=project, reason__in=Query.BLIND, document__holdout=False)
    # A label that rests on the judge's word is audited like any other.
    undecided = undecided.exclude(document__example__source__in=[Source.HUMAN, Source.SEED])
    return undecided.exclude(draw__member__cohort__ledger__lt=F("round__project__restarts"), queue_entry=None)


def waits(document: Document) -> bool:
    """Whether the document is an audit that nobody has decided on."""
    return waiting(document.project).filter(document=document).exists()


class Judged(NamedTuple):
    """A judge's verdict on an audited document, and whether the label it was asked about is the one people chose."""

    judge: JudgeId
    document_id: int
    label_id: int
    right: bool
    verdict: str
    form: str = Query.Form.VALIDATE


def judged(project: Project) -> list[Judged]:
    """Every verdict on an audited document that people have decided on without seeing it."""
    truths = _blind_decisions(project)
    rows = (
        _audited(project)
        .values_list("query__document", "query__label", "verdict", "query__form", *JudgeId._fields)
        .distinct()
    )
    return [
        Judged(JudgeId(*who), document_id, label_id, label_id == truths[document_id], verdict, form)
        for document_id, label_id, verdict, form, *who in rows
        if document_id in truths
    ]


def questions(project: Project, judge: JudgeId) -> QuerySet[Query]:
    """The audits' own questions that this judge has answered and people have decided on without seeing the answer."""
    answered = {f"verdict__{name}": value for name, value in judge._asdict().items()}
    audits = Query.objects.filter(round__project=project, reason__in=Query.AUDITS, **answered)
    return audits.filter(document__in=list(_blind_decisions(project))).order_by("pk")


def truths(project: Project) -> dict[int, int | None]:
    """By audited document: the label people gave it without seeing a verdict, None for none of these."""
    return _blind_decisions(project)


def state(project: Project) -> list[int | None]:
    """What changes whenever a decision that is measured or a verdict is added: what was counted before is old then."""
    decisions = Decision.objects.filter(document__project=project, document__queries__reason__in=Query.AUDITS)
    verdicts = Verdict.objects.filter(query__round__project=project)
    shared = Decision.objects.filter(Q(people=People.TWO) | Q(withdraws__people=People.TWO), document__project=project)
    return [rows.aggregate(last=Max("pk"))["last"] for rows in (decisions, verdicts, shared)]


def _audited(project: Project) -> QuerySet[Verdict]:
    """Verdicts on audits, in the audit's own round: what came before was not drawn at random."""
    return Verdict.objects.filter(
        query__round__project=project,
        query__document__queries__reason__in=Query.AUDITS,
        query__document__queries__round=F("query__round"),
    )


class Record(NamedTuple):
    """How often a judge was right about one label, of its verdicts in audits that people have decided on."""

    n_right: int
    n: int

    @property
    def is_known(self) -> bool:
        """Whether there are enough to claim anything."""
        return self.n >= MIN_MEASURED

    @property
    def n_missing(self) -> int:
        return max(MIN_MEASURED - self.n, 0)


def record(project: Project, verdict: Verdict, label_id: int) -> Record:
    """What audits say of the judge that gave this verdict, and of this label alone."""
    asked = _audited(project).filter(query__label=label_id, query__form=Query.Form.VALIDATE)
    rows = asked.filter(**JudgeId.of(verdict)._asdict()).exclude(verdict=Verdict.Name.UNSURE)
    said = dict(rows.values_list("query__document", "verdict"))
    truths = _blind_decisions(project, said)
    right = [(said[document_id] == Verdict.Name.VALID) == (truth == label_id) for document_id, truth in truths.items()]
    return Record(sum(right), len(right))


class Answered(NamedTuple):
    """What a judge said, and what is known of it.

    Attributes:
        believed: probability, before, that what it is about is right: the label asked about, or what was chosen.
        valid: whether the judge called it right; always for a choice.
        right: whether it is, by what people decided; None where nobody has.
        spot_check: whether they were asked whatever the judge had said, and didn't see it.
    """

    believed: float
    valid: bool
    right: bool | None
    spot_check: bool


def answered(round_: Round) -> dict[tuple[JudgeId, str], list[Answered]]:
    """By judge and form of question, everything that was said in earlier rounds, but for "unsure".

    Of this round only the judge's trial, once it is over: a round that is interrupted and goes on must believe what it
    believed before.
    """
    blind = _blind_decisions(round_.project)
    decided = _labels_of_trials(round_.project) | _decisions(round_.project) | blind
    drawn = set(
        Query.objects.filter(round__project=round_.project_id, reason__in=Query.SPOT_CHECKS).values_list(
            "document", flat=True
        )
    )
    counts = Q(query__round__number__lt=round_.number)
    if not round_.queries.filter(reason=Query.Reason.TRIAL, verdict=None, judge_failure=None).exists():
        counts |= Q(query__round=round_, query__reason=Query.Reason.TRIAL)
    verdicts = Verdict.objects.filter(counts, query__round__project=round_.project_id)
    found: dict[tuple[JudgeId, str], list[Answered]] = {}
    for verdict in verdicts.exclude(verdict=Verdict.Name.UNSURE).select_related("query__round").order_by("pk"):
        query = verdict.query
        is_known, is_trial = query.document_id in decided, query.reason == Query.Reason.TRIAL
        answer = Answered(
            believed=query.belief_in(verdict.chosen_id) if query.offered else query.posterior,
            valid=bool(query.offered) or verdict.verdict == Verdict.Name.VALID,
            right=_is_right(verdict, decided[query.document_id]) if is_known else None,
            spot_check=is_known and (is_trial or (query.document_id in blind and query.document_id in drawn)),
        )
        found.setdefault((JudgeId.of(verdict), query.form), []).append(answer)
    return found


class Tried(NamedTuple):
    """How a round's judge did on texts whose label is known, before it was asked about others.

    Attributes:
        n: of them that it answered.
        n_right: where it was right.
        was_asked: whether it was then asked about others.
    """

    n: int
    n_right: int
    was_asked: bool


def tried(round_: Round) -> Tried | None:
    """What a round's trial found; None without one, or while it goes on."""
    trial = round_.queries.filter(reason=Query.Reason.TRIAL)
    if not trial.exists() or trial.filter(verdict=None, judge_failure=None).exists():
        return None
    truths = _labels_of_trials(round_.project)
    verdicts = Verdict.objects.filter(query__in=trial, query__document__in=list(truths)).select_related("query")
    right = [_was_right(verdict, truths[verdict.query.document_id]) for verdict in verdicts]
    return Tried(
        len(right), sum(right), round_.queries.exclude(reason__in=[Query.Reason.TRIAL, *Query.UNASKED]).exists()
    )


def _was_right(verdict: Verdict, truth: int | None) -> bool:
    """Whether a judge said the right thing; "unsure" is not."""
    if verdict.verdict == Verdict.Name.UNSURE:
        return False
    called_right = bool(verdict.query.offered) or verdict.verdict == Verdict.Name.VALID
    return _is_right(verdict, truth) == called_right


def _labels_of_trials(project: Project) -> dict[int, int | None]:
    """By document that a judge was tried on: the label it is an example of."""
    tried = Query.objects.filter(round__project=project, reason=Query.Reason.TRIAL, document=OuterRef("document"))
    examples = TrainingExample.objects.filter(Exists(tried), document__project=project)
    return dict(examples.values_list("document", "label"))


def _is_right(verdict: Verdict, truth: int | None) -> bool:
    """Whether what a verdict is about is right; where the true label was not offered, "none of these" is."""
    query = verdict.query
    if not query.offered:
        return query.label_id == truth
    return verdict.chosen_id == (truth if truth in query.offered else None)


def off_list_counts(project: Project) -> tuple[int, int]:
    """Of the spot checks of the whole pool: in how many the right label was no candidate, and how many in all."""
    checks = Query.objects.filter(round__project=project, reason=Query.Reason.POOL_CHECK)
    # Before there was a ledger, audits were drawn from the whole pool.
    checks |= Query.objects.filter(round__project=project, reason=Query.Reason.AUDIT, draw=None)
    candidates = dict(checks.values_list("document", "candidates"))
    truths = _blind_decisions(project, candidates)
    # A parent is never a candidate, and no text is off the list for that.
    parents = set(project.labels.exclude(parent=None).values_list("parent", flat=True))
    listed = [
        truth in {label_id for label_id, _ in candidates[document_id]}
        for document_id, truth in truths.items()
        if truth not in parents
    ]
    return listed.count(False), len(listed)


class State(IntEnum):
    """What came of an audit; as in classifiers.ledger."""

    OPEN = 0
    RIGHT = 1
    WRONG = 2
    SKIPPED = 3


class Merged(NamedTuple):
    """What a label became a part of, and when."""

    into_id: int
    at: datetime


class Settled(NamedTuple):
    """What the machine settled, as an audit asks for it; ``lines``: see trees.lines."""

    label_id: int | None
    merged: Merged | None
    lines: Mapping[int | None, Sequence[int | None]]

    def is_confirmed_by(self, decision: Decision) -> bool:
        """Whether a decision says that the machine's label is right: it names it, or one below it.

        Once that label is a part of another one, so does the other. An error found before stays one: else whoever
        merges what audits found wrong would lower the count.
        """
        said = self.lines.get(decision.label_id, [decision.label_id])
        if self.label_id in said:
            return True
        return self.merged is not None and self.merged.into_id in said and decision.created_at > self.merged.at


class Found(NamedTuple):
    """All that audits found in a project; by an audit's question unless said.

    Attributes:
        settled: the label that it asks for.
        said: decisions on it, in their order.
        came_in: see _came_in.
        merged: by label, see _merged.
        lines: see trees.lines.
    """

    settled: Mapping[int, int | None]
    said: Mapping[int, Sequence[Decision]]
    came_in: Mapping[int, int | None]
    merged: Mapping[int | None, Merged]
    lines: Mapping[int | None, Sequence[int | None]]

    @classmethod
    def of(cls, project: Project) -> Found:
        said: dict[int, list[Decision]] = {}
        found = Decision.objects.filter(document__project=project, query__draw__isnull=False).exclude(action=UNDO)
        for decision in found.select_related("withdrawn_by").order_by("pk"):
            if decision.query_id is not None:
                said.setdefault(decision.query_id, []).append(decision)
        draws = AuditDraw.objects.filter(member__cohort__project=project)
        settled = dict(draws.values_list("query_id", "member__settled__label_id"))
        return cls(settled, said, _came_in(project), _merged(project), trees.lines(project))

    def states(self, level: int | None = None) -> dict[int, State]:
        """By an audit's question, what people made of it; also of those that nobody has decided on.

        A label is right where people say it or one below it; with a ``level`` of the tree, where they agree on that
        one. An error counts once a second person, who doesn't see what the first one said, has not confirmed the
        machine's label either. A decision that was taken back after the verdict was shown counts as an error where it
        said so. A label that has come in for the text since, in a file, is the answer where nobody has decided.
        """
        settled = self.settled
        if level is not None:
            settled = {query_id: trees.lifted(self.lines, label_id, level) for query_id, label_id in settled.items()}
        states = {
            query_id: _state(self.said.get(query_id, []), Settled(label_id, self.merged.get(label_id), self.lines))
            for query_id, label_id in settled.items()
        }
        for query_id in states.keys() & self.came_in.keys():
            if states[query_id] in (State.OPEN, State.SKIPPED):
                given = self.came_in[query_id]
                states[query_id] = State.RIGHT if settled[query_id] in self.lines.get(given, [given]) else State.WRONG
        return states


def states(project: Project, level: int | None = None) -> dict[int, State]:
    """What people made of each audit, see Found.states."""
    return Found.of(project).states(level)


def _came_in(project: Project) -> dict[int, int | None]:
    """By audit that waits for nobody any more, the label that its text has come in with; None for none of these."""
    audited = Query.objects.filter(draw__isnull=False, document__project=project)
    given = audited.filter(Q(document__example__source=Source.SEED) | Q(document__holdout=True))
    return dict(given.values_list("pk", "document__given_label"))


def _merged(project: Project) -> dict[int | None, Merged]:
    """By label that became a part of another one: which, and when."""
    merged = project.labels.exclude(merged_into=None)
    return {
        label.pk: Merged(label.merged_into_id, label.retired_at)
        for label in merged
        if label.merged_into_id and label.retired_at
    }


def _state(decisions: Sequence[Decision], settled: Settled) -> State:
    labelling = [decision for decision in decisions if decision.action in Decision.LABELLING]
    standing = [decision for decision in labelling if not is_withdrawn(decision)]
    if not standing:
        return State.SKIPPED if any(not is_withdrawn(decision) for decision in decisions) else State.OPEN
    if any(is_withdrawn(decision) and not settled.is_confirmed_by(decision) for decision in labelling):
        return State.WRONG
    # A third person's word is the last one; of two people one is enough to confirm the machine.
    words = standing[-1:] if len(standing) > 2 else standing
    confirms = [settled.is_confirmed_by(decision) for decision in words]
    if all(decision.people == People.TWO for decision in words) and (len(words) == 1 or confirms[0] != confirms[1]):
        return State.OPEN  # for the second person, or the third
    return State.RIGHT if any(confirms) else State.WRONG


def is_withdrawn(decision: Decision) -> bool:
    return hasattr(decision, "withdrawn_by")


def contradicts(query: Query, label_id: int | None) -> bool | None:
    """Whether a decision says that the machine's label, which this audit is about, is wrong; None: it is no audit."""
    if query.reason != Query.Reason.AUDIT:
        return None
    label = ("member__settled__label", "member__settled__label__merged_into")
    found = next(iter(AuditDraw.objects.filter(query=query).order_by().values_list(*label)), None)
    if found is None:
        return None
    pk, merged_into = found
    meant = {pk, merged_into or pk}
    return label_id not in meant and not meant & set(trees.lines(query.round.project).get(label_id, []))


def _decisions(project: Project) -> dict[int, int | None]:
    """By document: the label that people gave it, None for none of these."""
    decisions = Decision.objects.standing().filter(document__project=project).exclude(_undecided()).order_by("pk")
    return dict(decisions.values_list("document", "label"))


def _blind_decisions(project: Project, document_ids: Iterable[int] | None = None) -> dict[int, int | None]:
    """By audited document: the label a person gave it before the verdict was shown, None for none of these.

    The first decision is the blind one. Once it is taken back, the verdict is known, and no later one counts. Where two
    people had to decide it is what they agree on, or else the third one's word.
    """
    decisions = Decision.objects.filter(
        document__project=project, document__queries__reason__in=Query.AUDITS, action__in=Decision.LABELLING
    ).exclude(_undecided())
    if document_ids is not None:
        decisions = decisions.filter(document__in=list(document_ids))
    blind: dict[int, list[tuple[int | None, int | None]]] = {}
    for document_id, people, label_id, withdrawn_by in (
        decisions.order_by("pk").distinct().values_list("document", "people", "label", "withdrawn_by")
    ):
        if people != People.ONE or document_id not in blind:
            blind.setdefault(document_id, []).append((label_id, withdrawn_by))
    return {
        document_id: said[-1][0]
        for document_id, said in blind.items()
        if all(withdrawn_by is None for _, withdrawn_by in said)
    }


def _undecided() -> Q:
    """Documents on which one of two people has decided, or on which they disagree."""
    return Q(document__in=QueueEntry.objects.exclude(people=People.ONE).values("document"))
