"""Tables that say which labels of an old classification become which of a new one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from django.utils.translation import gettext as _

from labelling.csv_io.cleaning import clean
from labelling.csv_io.label_lists import MAX_CODE_CHARS, MAX_NAME_CHARS, Unreadable, called

# By what a column holds: what it is called, the most telling name first.
COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "old": (
        "old", "old_code", "old code", "old label", "from", "source", "before", "source code", "source label", "alt",
        "alter code", "alter schlüssel", "von",
    ),
    "new": (
        "new", "new_code", "new code", "new label", "to", "target", "after", "target code", "target label", "neu",
        "neuer code", "neuer schlüssel", "nach",
    ),
    "name": (
        "name", "new_name", "new name", "new title", "target title", "target name", "title", "titel",
        "neue bezeichnung", "bezeichnung",
    ),
    "definition": ("definition", "new_definition", "description", "beschreibung", "notes"),
}  # fmt: skip


class Correspondence(NamedTuple):
    """One row: the code or name of an old label and of a new one.

    ``name``: what the new one is called, where ``new`` is its code; empty, like ``definition``, where nothing is told.
    """

    old: str
    new: str
    name: str = ""
    definition: str = ""


def guess_columns(header: Sequence[str]) -> dict[str, str]:
    """Guess which column holds what, by what they are called."""
    return called(header, COLUMN_NAMES)


def read_correspondences(rows: Iterable[Mapping[str, str]], columns: Mapping[str, str]) -> list[Correspondence]:
    """Read the rows of a table, each pair once.

    Args:
        rows: cells by column.
        columns: as guess_columns returns them.

    Raises:
        Unreadable: for rows without an old or a new label, and for too long a code or name.
    """
    found: dict[tuple[str, str], Correspondence] = {}
    reasons = []
    for number, row in enumerate(rows, start=1):
        cells = {what: clean(row[column]) if column else "" for what, column in columns.items()}
        if reason := _what_is_wrong(cells):
            reasons.append(_("Row %(number)s: %(reason)s") % {"number": number, "reason": reason})
        found.setdefault((cells["old"], cells["new"]), Correspondence(**cells))
    if reasons:
        raise Unreadable(reasons)
    return list(found.values())


def _what_is_wrong(cells: Mapping[str, str]) -> str:
    if not cells["old"] or not cells["new"]:
        return _("The old or the new label is missing.")
    limits = {"new": MAX_CODE_CHARS if cells["name"] else MAX_NAME_CHARS, "name": MAX_NAME_CHARS}
    for what, limit in limits.items():
        if len(cells[what]) > limit:
            return _("“%(cell)s” is too long; at most %(limit)s characters are allowed.") % {
                "cell": f"{cells[what][:40]}…",
                "limit": limit,
            }
    return ""
