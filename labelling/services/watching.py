"""Texts that come after a certificate: a few of those that are answered under it are audited, all are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from secrets import SystemRandom

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from labelling.csv_io.rows import text_hash
from labelling.models import Decision, Document, DriftLook, Label, LaterCount, LaterText, Project, Query
from labelling.services import audits, diary, trees

_random = SystemRandom()


def draw(project: Project, answers: Sequence[tuple[str, Label, float]]) -> list[str]:
    """Count answers that were given as certified, and draw the project's share of their texts: return those.

    Texts that the project knows already are neither: they are no later ones.

    Args:
        project: whose certificate it is.
        answers: text, label and its probability.
    """
    by_hash = {text_hash(text.strip()): (text, label, probability) for text, label, probability in answers}
    for known in (project.documents, project.later_texts):
        for found in known.filter(text_hash__in=list(by_hash)).values_list("text_hash", flat=True):
            by_hash.pop(found, None)
    for label, n in Counter(label for _text, label, _probability in by_hash.values()).items():
        row, _is_new = LaterCount.objects.get_or_create(project=project, watch=project.watches, label=label)
        LaterCount.objects.filter(pk=row.pk).update(n=F("n") + n)
    drawn = {key: answer for key, answer in by_hash.items() if _random.random() < project.watch_share}
    LaterText.objects.bulk_create(
        LaterText(project=project, watch=project.watches, text_hash=key, label=label, probability=probability)
        for key, (_text, label, probability) in drawn.items()
    )
    return [text for text, _label, _probability in drawn.values()]


def to_audit(project: Project) -> QuerySet[Document]:
    """Later texts that were drawn and that nobody has decided on or skipped, the oldest first."""
    said = Decision.objects.filter(document=OuterRef("pk"), withdrawn_by=None).exclude(action=Decision.Action.UNDO)
    undecided = project.documents.filter(~Exists(said), text_hash__in=_drawn(project), holdout=False, queue_entry=None)
    return undecided.exclude(example__source__in=["human", "seed"]).order_by("pk")


def audited(project: Project) -> tuple[int, int]:
    """How many later texts people have decided on without seeing the answer, and how many answers were wrong.

    An answer is right where people say it, one below it, or what it has become a part of.
    """
    said = Decision.objects.standing().filter(
        document__project=project, document__text_hash__in=_drawn(project), query__reason__in=Query.BLIND
    )
    said = said.select_related("document").defer("document__text", "document__metadata").order_by("pk")
    by_hash = {decision.document.text_hash: decision for decision in said}
    lines, current = trees.lines(project), project.labels.current()
    right = []
    for text in project.later_texts.filter(watch=project.watches, text_hash__in=list(by_hash)):
        answered = audits.Settled(current[text.label_id].pk, None, lines)
        right.append(answered.is_confirmed_by(by_hash[text.text_hash]))
    return len(right), right.count(False)


def _drawn(project: Project) -> QuerySet[LaterText, str]:
    """The hashes of the texts that were drawn since the watch was begun."""
    return project.later_texts.filter(watch=project.watches).values_list("text_hash", flat=True)


def last_look(project: Project) -> DriftLook | None:
    """The newest look at the later texts since the watch was begun."""
    return project.drift_looks.filter(watch=project.watches).first()


@transaction.atomic
def begin_anew(project: Project) -> None:
    """Watch from now on alone: what was found before says nothing of what comes."""
    Project.objects.filter(pk=project.pk).update(watches=F("watches") + 1)
    project.refresh_from_db(fields=["watches"])
    diary.write(diary.Act.WATCHED_ANEW, project, project)
