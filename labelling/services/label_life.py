"""The life of a label: renamed, merged, split, retired, restored. Counted before, logged, and undone as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Avg, Count, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import (
    BackgroundJob,
    Call,
    Document,
    Label,
    LabelEvent,
    Prediction,
    Project,
    ProposedLabel,
    Query,
    QueueEntry,
    SettledLabel,
    TrainingExample,
    Verdict,
)
from labelling.services import Refused, examples, labels, review, trees
from labelling.services.undoing import Undo, iso, locked, log_step, moment, pks, put_back, settle_again, take_back

Kind = LabelEvent.Kind

# Documents that can be moved at once.
MOVE_AT_MOST = 500


@dataclass(frozen=True)
class Effect:
    """What a step changes, counted.

    Attributes:
        examples: training examples by source.
        held_out: documents of the holdout.
        predicted: documents without a label for which it is the most probable one.
        settled: labels that the machine settled and that leave; the next round settles them anew.
        questions: documents that leave the review queue until the next round lays them out.
        audits: those of settled labels that wait for a person, and go on.
        verdicts: of the judge, on documents without a label, that say nothing any more.
        below: labels under it.
        cost: dollars for asking the judge again, by what its answers have cost so far; None where that is not known.
    """

    examples: dict[str, int]
    held_out: int
    predicted: int
    settled: int
    questions: int
    audits: int
    verdicts: int
    below: int
    cost: Decimal | None

    @property
    def n_examples(self) -> int:
        return sum(self.examples.values())

    def counts(self) -> dict[str, Any]:
        """As an event keeps it."""
        return {**vars(self), "n_examples": self.n_examples, "cost": None if self.cost is None else str(self.cost)}


def effect(label: Label, other: Label | None = None) -> Effect:
    """What is changed when a label is retired, or becomes a part of another one."""
    sources = label.examples.order_by().values_list("source").annotate(Count("pk"))
    verdicts = _verdicts([label, *([other] if other else [])]).count()
    return Effect(
        examples=dict(sources),
        held_out=Document.objects.filter(given_label=label, holdout=True).count(),
        predicted=Prediction.objects.filter(posterior_label=label, document__example=None).count(),
        settled=_settled(label).count(),
        questions=_questions(label).count(),
        audits=QueueEntry.objects.filter(query__label=label, query__reason=Query.Reason.AUDIT).count(),
        verdicts=verdicts,
        below=label.children.filter(retired_at=None).count(),
        cost=_cost(label.project, verdicts),
    )


@transaction.atomic
def rename(label: Label, name: str, user: User | None) -> LabelEvent:
    """Give a label another name; everything that it is stays.

    Raises:
        Refused: for an empty name, one that is too long, or another label's.
    """
    name = name.strip()
    label = locked(label)
    longest = Label._meta.get_field("name").max_length or 0
    if not name or len(name) > longest:
        raise Refused(_("A name has 1 to %(n)s characters.") % {"n": longest})
    if namesake(label, name):
        raise Refused(_("The project has a label of this name already."))
    event = log_step(Kind.RENAME, label, None, user, {}, {"name": label.name, "after": name})
    label.name = name
    label.save(update_fields=["name"])
    return event


@transaction.atomic
def change(label: Label, name: str | None, definition: str | None, synonyms: str | None, user: User | None) -> Label:
    """Change what is given, and return the label as it is now; another name is a renaming.

    Raises:
        Refused: for a name that it can't have.
    """
    if name is not None and name != label.name:
        rename(label, name, user)
    label.refresh_from_db()
    if synonyms is not None:
        label.synonyms = synonyms
        labels.save(label)
    if definition is not None:
        labels.define(label, definition, user)
        label.refresh_from_db()
    return label


def namesake(label: Label, name: str) -> Label | None:
    """The other label of the project that has this name."""
    return Label.objects.filter(project=label.project_id, name=name.strip()).exclude(pk=label.pk).first()


@transaction.atomic
def merge(label: Label, into: Label, user: User | None) -> LabelEvent:
    """Make a label a part of another one: its examples, and what lies below it, become the other's.

    Decisions and verdicts stay as they are. What was decided for it counts as the other; verdicts on either from before
    say nothing of what the other means now.

    Raises:
        Refused: for a label and itself, one that lies above or is retired, or while something else changes labels.
    """
    label, into = locked(label), locked(into)
    check_idle(label.project)
    if label == into or label.retired_at or into.retired_at:
        raise Refused(_("Choose another label, one that is in use."))
    if label in trees.lineage(into):
        raise Refused(_("“%(label)s” lies above “%(other)s”.") % {"label": label, "other": into})
    counts, now = effect(label, into).counts(), timezone.now()
    before = {
        "examples": pks(label.examples.all()),
        "given": pks(Document.objects.filter(given_label=label)),
        "predicted": pks(Prediction.objects.filter(label=label)),
        "believed": pks(Prediction.objects.filter(posterior_label=label)),
        "children": pks(label.children.all()),
        "merged": pks(label.merged.all()),
        "since": iso(label.since),
        "other_since": iso(into.since),
        "synonyms": into.synonyms,
        **_leave(label, now),
    }
    label.examples.update(label=into, learned_in=None)
    Document.objects.filter(given_label=label).update(given_label=into)
    Prediction.objects.filter(label=label).update(label=into)
    Prediction.objects.filter(posterior_label=label).update(posterior_label=into)
    label.children.update(parent=into)
    label.merged.update(merged_into=into)
    _check_depth(into.project)
    label.retired_at = label.since = into.since = now
    label.merged_into = into
    label.save(update_fields=["retired_at", "since", "merged_into"])
    into.synonyms = "; ".join(filter(None, [into.synonyms, label.name]))
    into.save(update_fields=["since", "synonyms"])
    return log_step(Kind.MERGE, label, into, user, counts, before)


@transaction.atomic
def retire(label: Label, user: User | None) -> LabelEvent:
    """Propose and learn a label no more. Its examples, and all that was said of it, stay.

    Raises:
        Refused: when it is retired, has labels below it, or something else changes labels.
    """
    label = locked(label)
    check_idle(label.project)
    if label.retired_at:
        raise Refused(_("“%(label)s” is retired already.") % {"label": label})
    if label.children.filter(retired_at=None).exists():
        raise Refused(_("Labels lie below “%(label)s”: retire or move them first.") % {"label": label})
    counts, now = effect(label).counts(), timezone.now()
    before = _leave(label, now)
    label.retired_at = now
    label.save(update_fields=["retired_at"])
    return log_step(Kind.RETIRE, label, None, user, counts, before)


@transaction.atomic
def restore(label: Label, user: User | None) -> LabelEvent:
    """Take a retired label into use again; it is learnt in the next round.

    Raises:
        Refused: when it is in use or a part of another one, or something else changes labels.
    """
    label = locked(label)
    check_idle(label.project)
    if label.retired_at is None or label.merged_into:
        raise Refused(_("Only a retired label can be restored; of a merged one, undo the merge."))
    event = log_step(Kind.RESTORE, label, None, user, {}, {"retired_at": iso(label.retired_at)})
    label.retired_at = None
    label.save(update_fields=["retired_at"])
    return event


@transaction.atomic
def move(label: Label, to: Label, document_ids: Iterable[int], user: User) -> LabelEvent:
    """Say that examples of one label belong to another: a decision on each.

    Raises:
        Refused: when no example was chosen, too many were, or the other label is the same or retired.
    """
    return _move(Kind.MOVE, locked(label), locked(to), document_ids, user, {})


@transaction.atomic
def split(label: Label, name: str, document_ids: Iterable[int], user: User) -> LabelEvent:
    """Make a new label of some of a label's examples, beside it in the tree.

    Verdicts on the label from before say nothing of what it means now.

    Raises:
        Refused: as ``move``, and for a name that another label has.
    """
    label, name = locked(label), name.strip()
    if not name or namesake(label, name):
        raise Refused(_("A new label needs a name that no other label has."))
    now = timezone.now()
    new = Label.objects.create(project=label.project, name=name, parent=label.parent, since=now)
    event = _move(Kind.SPLIT, label, new, document_ids, user, {"since": iso(label.since)})
    label.since = now
    label.save(update_fields=["since"])
    return event


def movable(label: Label, text: str = "") -> QuerySet[Document]:
    """A label's examples that have certain words in their texts, the newest first."""
    documents = Document.objects.filter(example__label=label, holdout=False).order_by("-pk")
    return documents.filter(text__icontains=text) if text else documents


@transaction.atomic
def undo(event: LabelEvent, user: User | None) -> None:
    """Put everything back that a step has changed and nobody has changed since.

    Raises:
        Refused: when it was undone before, a later step touches the same labels, or something else changes labels.
    """
    event = LabelEvent.objects.select_for_update().get(pk=event.pk)
    if event.undone_at:
        raise Refused(_("It has been undone already."))
    check_idle(event.project)
    if event.revision_id:
        raise Refused(_("It is a part of a revision: undo that as a whole."))
    touched = [pk for pk in (event.label_id, event.other_id) if pk]
    later = event.project.label_events.standing().filter(pk__gt=event.pk)
    if later.filter(Q(label__in=touched) | Q(other__in=touched)).exists():
        raise Refused(_("A later step touches the same label: undo that first."))
    take_back(event, user, UNDO[Kind(event.kind)])


def _undo_rename(event: LabelEvent, label: Label, _other: Label | None, _user: User | None) -> None:
    if namesake(label, event.before["name"]):
        raise Refused(_("Another label has the name “%(name)s” by now.") % {"name": event.before["name"]})
    label.name = event.before["name"]
    label.save(update_fields=["name"])


def _undo_merge(event: LabelEvent, label: Label, into: Label | None, _user: User | None) -> None:
    before = event.before
    label.retired_at = label.merged_into = None
    label.since = moment(before["since"])
    label.save(update_fields=["retired_at", "merged_into", "since"])
    if into:
        into.since, into.synonyms = moment(before["other_since"]), before["synonyms"]
        into.save(update_fields=["since", "synonyms"])
    put_back(TrainingExample.objects.filter(label=into), before["examples"], label=label, learned_in=None)
    put_back(Document.objects.filter(given_label=into), before["given"], given_label=label)
    put_back(Prediction.objects.filter(label=into), before["predicted"], label=label)
    put_back(Prediction.objects.filter(posterior_label=into), before["believed"], posterior_label=label)
    put_back(Label.objects.filter(parent=into), before["children"], parent=label)
    put_back(Label.objects.filter(merged_into=into), before["merged"], merged_into=label)
    settle_again(before["settled"])
    # Decided for the label, and counted as the other one since.
    decided = Document.objects.filter(decisions__label=label, decisions__withdrawn_by=None, example__label=into)
    for document_id in decided.values_list("pk", flat=True).distinct():
        examples.settle(document_id)


def _undo_retire(event: LabelEvent, label: Label, _other: Label | None, _user: User | None) -> None:
    label.retired_at = None
    label.save(update_fields=["retired_at"])
    settle_again(event.before["settled"])


def _undo_restore(event: LabelEvent, label: Label, _other: Label | None, _user: User | None) -> None:
    label.retired_at = moment(event.before["retired_at"])
    label.save(update_fields=["retired_at"])


def _undo_move(event: LabelEvent, _label: Label, _other: Label | None, user: User | None) -> None:
    review.withdraw_together(event.project, UUID(event.before["bulk"]), user)


def _undo_split(event: LabelEvent, label: Label, new: Label | None, user: User | None) -> None:
    _undo_move(event, label, new, user)
    label.since = moment(event.before["since"])
    label.save(update_fields=["since"])
    if new:
        # Decisions name it: it stays, out of use.
        new.retired_at = timezone.now()
        new.save(update_fields=["retired_at"])


def _undo_make(event: LabelEvent, label: Label, _other: Label | None, user: User | None) -> None:
    """Texts that belonged nowhere do so again; the label is proposed once more."""
    _undo_move(event, label, None, user)
    settle_again(event.before["settled"])
    free = Document.objects.filter(pk__in=event.before["judged"], example=None).values_list("pk", flat=True)
    TrainingExample.objects.bulk_create(
        TrainingExample(document_id=pk, label=None, source="judge") for pk in list(free)
    )
    ProposedLabel.objects.filter(label=label).update(label=None, decided_by=None)
    label.retired_at = timezone.now()
    label.save(update_fields=["retired_at"])


UNDO: dict[LabelEvent.Kind, Undo] = {
    Kind.RENAME: _undo_rename,
    Kind.MERGE: _undo_merge,
    Kind.RETIRE: _undo_retire,
    Kind.RESTORE: _undo_restore,
    Kind.MOVE: _undo_move,
    Kind.SPLIT: _undo_split,
    Kind.MAKE: _undo_make,
}


def _move(
    kind: Kind, label: Label, to: Label, document_ids: Iterable[int], user: User, before: dict[str, Any]
) -> LabelEvent:
    if label == to or to.retired_at:
        raise Refused(_("Choose another label, one that is in use."))
    documents = list(movable(label).filter(pk__in=list(document_ids)[: MOVE_AT_MOST + 1]))
    if not 0 < len(documents) <= MOVE_AT_MOST:
        raise Refused(_("Choose between 1 and %(n)s examples.") % {"n": MOVE_AT_MOST})
    together = review.relabel_together(label.project, documents, user, to)
    return log_step(kind, label, to, user, {"n_examples": len(documents)}, {"bulk": str(together), **before})


def check_idle(project: Project) -> None:
    """A round or an import under way would go on with the labels as they were.

    Raises:
        Refused: when there is one.
    """
    running = BackgroundJob.State.RUNNING
    if project.rounds.filter(state=running).exists() or project.imports.filter(state=running).exists():
        raise Refused(_("A round or an import is running and changes labels. Wait until it has ended."))


def _check_depth(project: Project) -> None:
    known = project.labels.in_bulk()
    trees.check({pk: label.parent_id for pk, label in known.items()}, known)


def _leave(label: Label, now: datetime) -> dict[str, Any]:
    """Let what the machine settled leave, unless it is drawn for an audit, and the questions about it."""
    settled = pks(_settled(label))
    left = {"left_at": now, "left_because": SettledLabel.Left.WITHDRAWN}
    SettledLabel.objects.filter(pk__in=_settled(label).values("pk")).update(**left)
    _questions(label).delete()
    return {"settled": settled}


def _settled(label: Label) -> QuerySet[SettledLabel]:
    return SettledLabel.objects.filter(label=label, left_at=None).exclude(memberships__draw__isnull=False)


def _questions(label: Label) -> QuerySet[QueueEntry]:
    """What is laid out because of the label and in nobody's hands; audits stay."""
    about = Q(query__label=label) | Q(document__prediction__posterior_label=label)
    free = Q(claimed_until=None) | Q(claimed_until__lte=timezone.now())
    entries = QueueEntry.objects.filter(about, free, project=label.project).exclude(query__reason__in=Query.BLIND)
    return QueueEntry.objects.filter(pk__in=entries.values("pk"))


def _verdicts(labels: Sequence[Label]) -> QuerySet[Verdict]:
    about = Q(query__label__in=labels) | Q(better_label__in=labels)
    return Verdict.objects.filter(about, query__document__example=None, query__document__holdout=False)


def _cost(project: Project, n_questions: int) -> Decimal | None:
    asked = project.calls.filter(purpose=Call.Purpose.VERDICT, state=Call.State.DONE).exclude(cost=None)
    mean = asked.aggregate(mean=Avg("cost"))["mean"]
    return None if mean is None else n_questions * Decimal(mean)
