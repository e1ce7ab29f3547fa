"""What audits say: how often the judge is right, and whether what is accepted from it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import F, Max, Q, QuerySet

from labelling.models import Audit, Decision, Document, People, Project, Query, QueueEntry, Round, Verdict

# Verdicts from which on something is said about a judge, as on its page.
MIN_MEASURED = 20

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


class Outcome(NamedTuple):
    """A verdict against the truth: whether the label was right, and whether the judge said so."""

    right: bool
    said_valid: bool


def waiting(project: Project) -> QuerySet[Query]:
    """Audits that nobody has decided on: what the judge said of their documents is shown to nobody."""
    return Query.objects.filter(
        round__project=project, reason__in=Query.AUDITS, document__example=None, document__holdout=False
    )


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


def verdict_counts(project: Project) -> dict[JudgeId, Counter[Outcome]]:
    """Verdicts on audited documents against what people decided without seeing them."""
    counts: dict[JudgeId, Counter[Outcome]] = {}
    for row in judged(project):
        if row.form == Query.Form.VALIDATE and row.verdict != Verdict.Name.UNSURE:
            outcome = Outcome(row.right, row.verdict == Verdict.Name.VALID)
            counts.setdefault(row.judge, Counter())[outcome] += 1
    return counts


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


def choice_counts(project: Project) -> dict[JudgeId, tuple[int, int]]:
    """By judge, how many choices on audited documents were right, and how many wrong.

    Where the right label was not offered, "none of these" is right.
    """
    truths = _blind_decisions(project)
    rows = _audited(project).filter(query__form=Query.Form.CHOOSE).exclude(verdict=Verdict.Name.UNSURE).distinct()
    counts: dict[JudgeId, tuple[int, int]] = {}
    for verdict in rows.select_related("query"):
        if verdict.query.document_id in truths:
            truth = truths[verdict.query.document_id]
            right = verdict.chosen_id == (truth if truth in verdict.query.offered else None)
            judge = JudgeId.of(verdict)
            so_far = counts.get(judge, (0, 0))
            counts[judge] = (so_far[0] + right, so_far[1] + (not right))
    return counts


def _audited(project: Project) -> QuerySet[Verdict]:
    """Verdicts on audits, in the audit's own round: what came before was not drawn at random."""
    return Verdict.objects.filter(
        query__round__project=project,
        query__document__queries__reason__in=Query.AUDITS,
        query__document__queries__round=F("query__round"),
    )


def verdicts_and_beliefs(round_: Round) -> dict[JudgeId, list[tuple[float, bool]]]:
    """By judge, each verdict of earlier rounds: what was believed of the label before, and whether it is "valid".

    What people said of a document stands in place of the belief, as 0 or 1; audits count on their own. Nothing of this
    round: one that is interrupted and goes on must believe what it believed before.
    """
    blind, truths = _blind_decisions(round_.project), _decisions(round_.project)
    rows = Verdict.objects.filter(
        query__round__project=round_.project_id,
        query__round__number__lt=round_.number,
        query__form=Query.Form.VALIDATE,
        verdict__in=[Verdict.Name.VALID, Verdict.Name.INVALID],
    ).values_list("query__document", "query__label", "query__posterior", "verdict", *JudgeId._fields)
    found: dict[JudgeId, list[tuple[float, bool]]] = {}
    for document_id, label_id, posterior, verdict, *who in rows:
        if document_id not in blind:
            believed = float(truths[document_id] == label_id) if document_id in truths else posterior
            found.setdefault(JudgeId(*who), []).append((believed, verdict == Verdict.Name.VALID))
    return found


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


def none_counts(project: Project) -> tuple[int, int]:
    """Of the audits drawn from the whole pool: how many people said belong to none of the labels, and how many in all.

    Those of the batch were chosen for their doubt, and belong nowhere more often.
    """
    drawn = Query.objects.filter(round__project=project, reason=Query.Reason.AUDIT).values_list("document", flat=True)
    labels = list(_blind_decisions(project, drawn).values())
    return labels.count(None), len(labels)


def accepted_counts(project: Project, judge: JudgeId, certainty: float, accept_from: float) -> tuple[int, int]:
    """How many audits would have been accepted on this judge's word, and of how many a person said otherwise.

    A document that the model was certain of before the judge was asked says nothing of those that rest on its word.
    """
    truths = _blind_decisions(project)
    audits = Audit.objects.filter(
        query__round__project=project,
        query__posterior__lt=certainty,
        posterior__gte=accept_from,
        **{f"query__verdict__{name}": value for name, value in judge._asdict().items()},
    )
    right = [
        truths[document_id] == label_id
        for document_id, label_id in audits.values_list("query__document", "label")
        if document_id in truths
    ]
    return len(right), right.count(False)


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
