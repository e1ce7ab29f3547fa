"""Revisions of a classification: laid out with what they will do, carried out, and undone as one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.csv_io.correspondences import Correspondence
from labelling.models import (
    AuditDraw,
    Decision,
    Document,
    Label,
    LabelEvent,
    People,
    Project,
    Query,
    QueueEntry,
    Revision,
    Round,
    SettledLabel,
    TrainingExample,
)
from labelling.models.documents import Source
from labelling.services import Refused, label_life, labels, rounds
from labelling.services.undoing import chunks, iso, locked, log_step, moment, pks, put_back, settle_again, take_back

Kind = LabelEvent.Kind
WITHDRAWN = SettledLabel.Left.WITHDRAWN
STAYS = "stays"


@dataclass(frozen=True)
class Target:
    """A label of the new classification; ``label`` is the project's own where it has it already."""

    key: str
    name: str
    definition: str
    label: Label | None

    def __str__(self) -> str:
        return str(self.label) if self.label else f"{self.key} {self.name}" if self.name else self.key


@dataclass
class Step:
    """What becomes of one old label.

    Attributes:
        kind: RECODE for one to one, MERGE where several become one, DIVIDE for one to many, or STAYS.
        n_documents: those that have it, from whomever.
    """

    label: Label
    targets: list[Target]
    kind: str
    n_documents: int = 0


@dataclass
class Plan:
    """What a revision will do.

    Attributes:
        steps: one for each old label that the project has.
        unknown: old labels of the table that the project does not have.
        untouched: labels in use, without others below them, that the table does not mention.
    """

    steps: list[Step]
    unknown: list[str]
    untouched: list[Label]
    by_kind: dict[str, list[Step]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_kind = {
            kind: [step for step in self.steps if step.kind == kind]
            for kind in (Kind.DIVIDE, Kind.RECODE, Kind.MERGE, STAYS)
        }

    @property
    def n_asked_again(self) -> int:
        return sum(step.n_documents for step in self.by_kind[Kind.DIVIDE])

    @property
    def n_carried_over(self) -> int:
        return sum(step.n_documents for step in (*self.by_kind[Kind.RECODE], *self.by_kind[Kind.MERGE]))


def lay_out(project: Project, table: Sequence[Correspondence], author: User | None) -> Revision:
    """Keep a table of correspondences, so that what it will do can be looked at.

    Raises:
        Refused: when it would do nothing here, or what can't be.
    """
    revision = Revision(project=project, author=author, table=[list(row) for row in table])
    if not any(step.kind != STAYS for step in plan(revision).steps):
        raise Refused(_("Nothing would change: the project has none of these old labels, or they stay as they are."))
    revision.save()
    return revision


def plan(revision: Revision) -> Plan:
    """What the revision does to the project as it is now.

    Raises:
        Refused: for a label that is old and goes elsewhere, and new as well; or one that has others below it and would
            be divided.
    """
    known = {str(label.pk): label for label in revision.project.labels.in_use().order_by("-pk")}
    by_key = {label.name: label for label in known.values()} | {
        label.code: label for label in known.values() if label.code
    }
    rows = [Correspondence(*row) for row in revision.table]
    targets: dict[Label, dict[str, Target]] = defaultdict(dict)
    for row in rows:
        if old := by_key.get(row.old):
            label = by_key.get(row.new)
            key = str(label.pk) if label else row.new
            targets[old][key] = Target(row.new, row.name, row.definition, label)
    sources = Counter(key for found in targets.values() for key in found)
    numbers = _n_documents(revision.project)
    steps = [
        Step(old, list(found.values()), _kind(old, found, sources), numbers[old.pk]) for old, found in targets.items()
    ]
    _check(steps)
    untouched = revision.project.labels.leaves().exclude(pk__in=[step.label.pk for step in steps])
    unknown = sorted({row.old for row in rows if row.old not in by_key})
    steps.sort(key=lambda step: (-step.n_documents, step.label.code, step.label.name))
    return Plan(steps, unknown, list(untouched.order_by("code", "name").defer("definition")))


def _kind(old: Label, found: dict[str, Target], sources: Counter[str]) -> str:
    if len(found) > 1:
        return Kind.DIVIDE
    [(key, target)] = found.items()
    if target.label == old:
        return STAYS
    return Kind.RECODE if target.label is None and sources[key] == 1 else Kind.MERGE


def _check(steps: Sequence[Step]) -> None:
    """See that no label goes and comes at once.

    Raises:
        Refused: where one does.
    """
    goes = {step.label.pk for step in steps if step.label not in [target.label for target in step.targets]}
    for step in steps:
        for target in step.targets:
            if target.label and target.label.pk in goes:
                raise Refused(
                    _("“%(label)s” is an old label that becomes another one, and a new one as well: rename it first.")
                    % {"label": target.label}
                )
    divided = [step.label for step in steps if step.kind == Kind.DIVIDE]
    parents = set(Label.objects.in_use().filter(parent__in=divided).values_list("parent", flat=True))
    for label in divided:
        if label.pk in parents:
            raise Refused(_("“%(label)s” has labels below it: divide those.") % {"label": label})


def _n_documents(project: Project) -> Counter[int]:
    """By label: the documents that have it, from whomever, and those held out with it."""
    numbers: Counter[int] = Counter()
    documents = project.documents.order_by()
    for name, rows in (
        ("example__label", documents.filter(example__label__isnull=False)),
        ("given_label", documents.filter(holdout=True, given_label__isnull=False)),
        ("settled_labels__label", documents.filter(example=None, settled_labels__left_at=None)),
    ):
        for label_id, n in rows.values_list(name).annotate(Count("pk")):
            numbers[label_id] += n
    return numbers


@transaction.atomic
def carry_out(revision: Revision, user: User | None) -> None:
    """Take all steps of a revision: what is one to one is carried over, the rest has to be asked again.

    Raises:
        Refused: when it was carried out before, or something else changes labels.
    """
    revision = Revision.objects.select_for_update().select_related("project").get(pk=revision.pk)
    if revision.carried_out_at:
        raise Refused(_("It was carried out already."))
    label_life.check_idle(revision.project)
    wanted = plan(revision)
    new = _Successors(revision.project)
    events = []
    for step in wanted.steps:
        label = locked(step.label)
        if step.kind == Kind.RECODE:
            events.append(_recode(label, step.targets[0], user))
        elif step.kind == Kind.MERGE:
            events.append(label_life.merge(label, new.of(step.targets[0], label, user), user))
        elif step.kind == Kind.DIVIDE:
            events.append(_divide(label, [new.of(target, label, user) for target in step.targets], user))
    LabelEvent.objects.filter(pk__in=[event.pk for event in events]).update(revision=revision)
    revision.carried_out_at = timezone.now()
    revision.counts = {
        "carried_over": wanted.n_carried_over,
        "asked_again": wanted.n_asked_again,
        "created": [label.pk for label in new.created],
    }
    revision.save(update_fields=["carried_out_at", "counts"])


def open_documents(project: Project) -> QuerySet[Document]:
    """Texts whose label a revision has divided and that have no new one yet."""
    settled = SettledLabel.objects.final().filter(project=project).values("document")
    return project.documents.pool().filter(recoded_from__isnull=False).exclude(pk__in=settled)


def ask(project: Project, user: User | None) -> Round:
    """Start a round that asks the judge about them alone, each among the successors of its old label.

    Raises:
        Refused: when there is no judge, nothing is open, or no round can start.
    """
    if project.judge == Project.JudgeName.NONE:
        raise Refused(_("The project has no judge: the next round lays these texts out for people."))
    if not open_documents(project).exists():
        raise Refused(_("No text waits for a new label."))
    return rounds.start_round(project, user, revises=True)


@transaction.atomic
def undo(revision: Revision, user: User | None) -> None:
    """Put everything back that a revision has changed and nobody has changed since.

    Raises:
        Refused: when it does not stand, a later step touches the same labels, or something else changes labels.
    """
    revision = Revision.objects.select_for_update().select_related("project").get(pk=revision.pk)
    if not revision.stands:
        raise Refused(_("It has been undone already, or was never carried out."))
    label_life.check_idle(revision.project)
    events = list(revision.events.standing().select_related("label", "other"))
    touched = {pk for event in events for pk in (event.label_id, event.other_id)} | set(revision.counts["created"])
    later = revision.project.label_events.standing().filter(pk__gt=max(event.pk for event in events))
    if later.filter(Q(label__in=touched - {None}) | Q(other__in=touched - {None})).exists():
        raise Refused(_("A later step touches the same label: undo that first."))
    for event in events:
        take_back(event, user, UNDO[Kind(event.kind)])
    for label in Label.objects.filter(pk__in=revision.counts["created"]):
        _remove(label)
    revision.undone_by, revision.undone_at = user, timezone.now()
    revision.save(update_fields=["undone_by", "undone_at"])


class _Successors:
    """The labels of the new classification while a revision is carried out, each created once."""

    def __init__(self, project: Project):
        self.project = project
        self.names = set(project.labels.values_list("name", flat=True))
        self.by_key: dict[str, Label] = {}
        self.created: list[Label] = []

    def of(self, target: Target, old: Label, user: User | None) -> Label:
        if target.label:
            return target.label
        if target.key not in self.by_key:
            name, code = _called(target, self.names)
            label = Label.objects.create(project=self.project, name=name, code=code, parent=old.parent)
            labels.define(label, target.definition, user)
            self.names.add(name)
            self.by_key[target.key] = label
            self.created.append(label)
        return self.by_key[target.key]


def _called(target: Target, taken: set[str]) -> tuple[str, str]:
    """Name and code of a new label; where another one has the name, the code stands before it."""
    if not target.name:
        return target.key, ""
    longest = Label._meta.get_field("name").max_length
    name = target.name if target.name not in taken else f"{target.key} {target.name}"[:longest]
    return name, target.key


def _recode(label: Label, target: Target, user: User | None) -> LabelEvent:
    """Give a label the code and name that it has in the new classification: it means the same."""
    taken = set(label.project.labels.exclude(pk=label.pk).values_list("name", flat=True))
    name, code = _called(target, taken)
    before = {"name": label.name, "code": label.code, "after": f"{code} {name}".strip()}
    before["definition"] = label.definition if target.definition else ""
    label.name, label.code = name, code
    label.save(update_fields=["name", "code"])
    if target.definition:
        labels.define(label, target.definition, user)
    return log_step(Kind.RECODE, label, None, user, {}, before)


def _undo_recode(event: LabelEvent, label: Label, _other: Label | None, user: User | None) -> None:
    label.name, label.code = event.before["name"], event.before["code"]
    label.save(update_fields=["name", "code"])
    if event.before["definition"]:
        labels.define(label, event.before["definition"], user)


def _divide(label: Label, successors: Sequence[Label], user: User | None) -> LabelEvent:
    """Take a label from all documents that have it: each belongs to one of its successors now.

    What people and the judge said of it stays written, and says nothing of the successors.
    """
    now = timezone.now()
    examples = list(label.examples.values_list("document_id", "source").order_by("pk"))
    given = Document.objects.filter(given_label=label)
    settled = SettledLabel.objects.filter(label=label, left_at=None)
    recoded = sorted(
        {pk for pk, _source in examples} | set(pks(given)) | set(settled.values_list("document_id", flat=True))
    )
    before = {
        "examples": examples,
        "given": {source: pks(given.filter(given_source=source)) for source in _sources(given)},
        "held_out": pks(given.filter(holdout=True)),
        "settled": pks(settled),
        "recoded": recoded,
        "since": iso(label.since),
        "retired_at": iso(label.retired_at),
    }
    SettledLabel.objects.filter(pk__in=before["settled"]).update(left_at=now, left_because=WITHDRAWN)
    label.examples.all().delete()
    for chunk in chunks(recoded):
        _take_questions_back(chunk)
        Document.objects.filter(pk__in=chunk).update(
            given_label=None, given_source="", holdout=False, recoded_from=label
        )
    label.successors.set(successors)
    label.since = now
    label.retired_at = None if label in successors else now
    label.save(update_fields=["since", "retired_at"])
    counts = {"n_examples": len(examples), "recoded": len(recoded)}
    return log_step(Kind.DIVIDE, label, None, user, counts, before)


def _take_questions_back(document_ids: Sequence[int]) -> None:
    """Take from the queue what asks for a label that is no more, unless one of two people has said something.

    An audit that nobody has decided on was never drawn.
    """
    begun = QueueEntry.objects.exclude(people=People.ONE).filter(document__in=document_ids).values("document")
    decided = Decision.objects.filter(query=OuterRef("pk"))
    undecided = Query.objects.filter(~Exists(decided), document__in=document_ids, reason__in=Query.BLIND)
    undecided = undecided.exclude(document__in=begun)
    AuditDraw.objects.filter(query__in=undecided).delete()
    undecided.update(reason=Query.Reason.REVIEW)
    QueueEntry.objects.filter(document__in=document_ids, people=People.ONE).delete()


def _undo_divide(event: LabelEvent, label: Label, _other: Label | None, _user: User | None) -> None:
    before = event.before
    label.since, label.retired_at = moment(before["since"]), moment(before["retired_at"])
    label.save(update_fields=["since", "retired_at"])
    successors = pks(label.successors.all())
    label.successors.clear()
    for chunk in chunks(before["recoded"]):
        TrainingExample.objects.filter(document__in=chunk, source=Source.JUDGE).delete()
        machine = SettledLabel.objects.filter(document__in=chunk, label__in=successors, left_at=None)
        machine.update(left_at=timezone.now(), left_because=WITHDRAWN)
        _take_questions_back(chunk)
    free = Document.objects.filter(example=None, recoded_from=label)
    for source, given in before["given"].items():
        put_back(free, given, given_label=label, given_source=source)
    put_back(free, before["held_out"], holdout=True)
    still_free = set(free.values_list("pk", flat=True))
    TrainingExample.objects.bulk_create(
        TrainingExample(document_id=pk, label=label, source=source)
        for pk, source in before["examples"]
        if pk in still_free
    )
    Document.objects.filter(recoded_from=label).update(recoded_from=None)
    settle_again(before["settled"])


UNDO = label_life.UNDO | {Kind.RECODE: _undo_recode, Kind.DIVIDE: _undo_divide}


def _sources(given: QuerySet[Document]) -> list[str]:
    return list(given.order_by().values_list("given_source", flat=True).distinct())


def _remove(label: Label) -> None:
    """Delete a label that a revision made; where decisions name it by now, it stays, out of use."""
    try:
        with transaction.atomic():
            labels.delete_label(label)
    except Refused:
        label.retired_at = timezone.now()
        label.save(update_fields=["retired_at"])


def standing(revision: Revision) -> dict[str, int]:
    """What became of a revision: how many of its texts have a new label, and from whom."""
    recoded = revision.project.documents.filter(recoded_from__events__revision=revision)
    by_people = recoded.filter(example__source=Source.HUMAN)
    settled = SettledLabel.objects.final().filter(document__in=recoded).exclude(document__in=by_people)
    return {
        "n_recoded": recoded.count(),
        "n_people": by_people.count(),
        "n_machine": settled.count(),
        "n_open": open_documents(revision.project).filter(pk__in=recoded).count(),
    }
