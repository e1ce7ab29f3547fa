"""What it takes to log a step in labels' lives and to undo it: what was there before, kept as JSON, and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from labelling.models import Label, LabelEvent, SettledLabel
from labelling.services import diary
from labelling.services.diary import Act

# Rows named in one statement: databases take a limited number of values.
CHUNK = 5_000

# What puts back what an event did to its label and the other one.
Undo = Callable[[LabelEvent, Label, Label | None, User | None], None]


def log_step(
    kind: LabelEvent.Kind,
    label: Label,
    other: Label | None,
    user: User | None,
    counts: Mapping[str, Any],
    before: Mapping[str, Any],
) -> LabelEvent:
    """Write down a step: in the labels' log with what undoing it puts back, and in the diary."""
    event = LabelEvent.objects.create(
        project=label.project, kind=kind, label=label, other=other, author=user, counts=counts, before=before
    )
    name = str(other) if other else before.get("after", str(label))
    told = {"label": str(label)}, {"label": name, "examples": counts.get("n_examples", 0)}
    diary.write(Act.LABEL_STEP, label.project, event, *told, user=user)
    return event


def take_back(event: LabelEvent, user: User | None, how: Undo) -> None:
    """Undo a step, and write down who did."""
    how(event, locked(event.label), locked(event.other) if event.other else None, user)
    event.undone_by, event.undone_at = user, timezone.now()
    event.save(update_fields=["undone_by", "undone_at"])
    diary.write(Act.LABEL_STEP_UNDONE, event.project, event, user=user)


def locked(label: Label) -> Label:
    """A label as it is now, its row taken until the transaction ends."""
    return Label.objects.select_for_update(of=("self",)).select_related("project").get(pk=label.pk)


def settle_again(keys: Sequence[int]) -> None:
    """Let settled labels that left be in force again, where nothing else is settled or decided on by now."""
    for chunk in chunks(keys):
        again = SettledLabel.objects.filter(pk__in=chunk)
        again = again.exclude(document__settled_labels__left_at=None).exclude(document__example__source="human")
        SettledLabel.objects.filter(pk__in=pks(again)).update(left_at=None, left_because="")


def put_back(rows: QuerySet[Any], keys: Sequence[int], **before: Any) -> None:
    """Change what rows of these keys are back, as far as they are still among ``rows``."""
    for chunk in chunks(keys):
        rows.filter(pk__in=chunk).update(**before)


def pks(rows: QuerySet[Any]) -> list[int]:
    """The rows' keys, as an event keeps them."""
    return list(rows.order_by("pk").values_list("pk", flat=True))


def chunks(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    """The keys, so many at a time."""
    for start in range(0, len(keys), CHUNK):
        yield keys[start : start + CHUNK]


def iso(at: datetime | None) -> str | None:
    """A moment as an event keeps it."""
    return at.isoformat() if at else None


def moment(text: str | None) -> datetime | None:
    """The moment that an event has kept."""
    return parse_datetime(text) if text else None
