"""How the labels of two releases differ, as their files say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _

from labelling.csv_io.exporting import csv_lines
from labelling.csv_io.rows import text_hash
from labelling.models import Release
from labelling.services import releases


class Kind(models.TextChoices):
    CHANGED = "changed", _("Changed")
    ADDED = "added", _("Added")
    REMOVED = "removed", _("Removed")


class Labelled(NamedTuple):
    """The label of a text in one release; "" with a source is none of these, without a source nobody's yet."""

    label: str = ""
    source: str = ""
    certified: str = ""


class Difference(NamedTuple):
    """A text whose label is another one in the later release, or is in one of the two alone."""

    kind: Kind
    id: str
    text: str
    before: Labelled
    now: Labelled

    @property
    def sides(self) -> tuple[Labelled, Labelled]:
        return self.before, self.now


HEADER = (
    *("difference", "id", "text", "label_before", "source_before", "certified_before"),
    *("label", "source", "certified"),
)


def differences(earlier: Release, later: Release) -> Iterator[Difference]:
    """Yield what differs, in the order of the later release; texts that only the earlier one has come last.

    Of the earlier release the labels are held in memory, not the texts.

    Raises:
        Damaged: when a file is not what was released.
    """
    for release in (earlier, later):
        releases.verify(release, Release.LABELS_JSONL)
    return _differences(earlier, later)


def difference_lines(found: Iterable[Difference]) -> Iterator[str]:
    """Yield the lines of a CSV file of differences."""
    return csv_lines(HEADER, ([one.kind.value, one.id, one.text, *one.before, *one.now] for one in found))


def _differences(earlier: Release, later: Release) -> Iterator[Difference]:
    before = {text_hash(row["text"]): _labelled(row) for row in _rows(earlier)}
    seen: set[str] = set()
    for row in _rows(later):
        key = text_hash(row["text"])
        # Several rows may share a text, and with it the label.
        if key in seen:
            continue
        seen.add(key)
        then, now = before.get(key, Labelled()), _labelled(row)
        if kind := _kind(then, now):
            yield Difference(kind, row["id"], row["text"], then, now)
    for row in _rows(earlier) if before.keys() - seen else ():
        key = text_hash(row["text"])
        if key in seen:
            continue
        seen.add(key)
        if kind := _kind(before[key], Labelled()):
            yield Difference(kind, row["id"], row["text"], before[key], Labelled())


def _kind(then: Labelled, now: Labelled) -> Kind | None:
    if bool(then.source) != bool(now.source):
        return Kind.ADDED if now.source else Kind.REMOVED
    return Kind.CHANGED if then.label != now.label else None


def _rows(release: Release) -> Iterator[dict[str, str]]:
    with (release.folder / Release.LABELS_JSONL).open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield json.loads(line)


def _labelled(row: dict[str, str]) -> Labelled:
    return Labelled(row["label"], row["source"], row["certified"])
