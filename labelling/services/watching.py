"""Texts that come after a certificate: a few of those that are answered under it are audited, all are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from secrets import SystemRandom

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from labelling.csv_io.rows import text_hash
from labelling.models import CsvImport, Decision, Document, DriftLook, Label, LaterCount, LaterText, Project, Query
from labelling.services import audits, diary, documents, trees

_random = SystemRandom()


class Watch:
    """Answers that are given as certified, on their way: nothing is kept before ``bring_in``.

    Args:
        project: whose certificate it is.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._seen: set[str] = set()
        self._counts: Counter[Label] = Counter()
        self._drawn: list[tuple[str, Label, float]] = []

    def see(self, answers: Iterable[tuple[str, Label, float]]) -> None:
        """Count answers that were given as certified, and draw the project's share of their texts, each text once.

        Texts that the project knows already are neither: they are no later ones.

        Args:
            answers: text, label and its probability.
        """
        by_hash = {text_hash(text.strip()): (text, label, probability) for text, label, probability in answers}
        for known in (self._project.documents, self._project.later_texts):
            self._seen.update(known.filter(text_hash__in=list(by_hash)).values_list("text_hash", flat=True))
        new = [answer for key, answer in by_hash.items() if key not in self._seen]
        self._seen.update(by_hash)
        self._counts.update(label for _text, label, _probability in new)
        self._drawn += [answer for answer in new if _random.random() < self._project.watch_share]

    @transaction.atomic
    def bring_in(self, user: User | None, others: Iterable[str] = ()) -> CsvImport | None:
        """Keep what was counted, and bring in what was drawn, to be audited, together with other texts.

        Returns:
            The import of them; None where there is nothing to bring in.

        Raises:
            Refused: when another import is running.
        """
        project = self._project
        for label, n in self._counts.items():
            row, _is_new = LaterCount.objects.get_or_create(project=project, watch=project.watches, label=label)
            LaterCount.objects.filter(pk=row.pk).update(n=F("n") + n)
        LaterText.objects.bulk_create(
            LaterText(
                project=project,
                watch=project.watches,
                text_hash=text_hash(text.strip()),
                label=label,
                probability=probability,
            )
            for text, label, probability in self._drawn
        )
        texts = [*others, *(text for text, _label, _probability in self._drawn)]
        return documents.add(project, [documents.NewText(text, "", "", {}) for text in texts], user) if texts else None


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
