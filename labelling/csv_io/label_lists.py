"""Lists of labels, as people have them: names, codes, parents, definitions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from labelling.csv_io.cleaning import clean

# By what a column holds: what it is called, the most telling name first.
COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "name": ("name", "label", "title", "titel", "bezeichnung", "category", "kategorie", "group"),
    "code": ("code", "label_code", "kode", "schlüssel", "nummer", "number", "id"),
    "parent": ("parent", "parent_code", "parent code", "parent_id", "broader", "oberbegriff", "übergeordnet"),
    "definition": ("definition", "description", "beschreibung", "explanation", "scope", "notes"),
    "synonyms": ("synonyms", "synonyme", "index", "alternative names"),
}
MAX_CODE_CHARS = 50
MAX_NAME_CHARS = 200
NO_CODE = re.compile(r"[^0-9A-Za-z]+")


@dataclass(frozen=True)
class ListedLabel:
    """One row of a list. ``parent``: the code or the name of the label above it; empty at the top, or untold.

    ``definition`` and ``synonyms`` are empty where the list says nothing of them.
    """

    name: str
    code: str = ""
    parent: str = ""
    definition: str = ""
    synonyms: str = ""

    @property
    def key(self) -> str:
        """What others call it by."""
        return self.code or self.name


class Unreadable(Exception):
    """A list that can't be read so. ``reasons`` say why, for people, each with its row."""

    def __init__(self, reasons: Sequence[str]):
        super().__init__(*reasons)
        self.reasons = list(reasons)


def called(header: Sequence[str], column_names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """By what a column may hold: the one that is called so, the most telling name first; empty where none is."""
    by_plain = {name.strip().lower(): name for name in reversed(header)}
    return {
        what: next((by_plain[name] for name in names if name in by_plain), "") for what, names in column_names.items()
    }


def guess_columns(header: Sequence[str]) -> dict[str, str]:
    """Guess which column holds what, by what they are called; a list without names has its definitions for names."""
    found = called(header, COLUMN_NAMES)
    if not found["name"] and found["code"]:
        found["name"], found["definition"] = found["definition"], ""
    return found


def read_labels(rows: Iterable[Mapping[str, str]], columns: Mapping[str, str]) -> list[ListedLabel]:
    """Read the rows of a list.

    Where labels of different codes share a name, as levels of a classification do, the code is put before the later.

    Args:
        rows: cells by column.
        columns: as guess_columns returns them.

    Raises:
        Unreadable: for rows without a name, with too long a one, or with the code of another row.
    """
    told = [{what: _cell(row, what, name) for what, name in columns.items()} for row in rows]
    reasons = [
        _("Row %(number)s: %(reason)s") % {"number": number, "reason": reason}
        for number, cells in enumerate(told, start=1)
        if (reason := _what_is_wrong(cells))
    ]
    codes = Counter(cells["code"] for cells in told if cells["code"])
    bare = Counter(cells["name"] for cells in told if not cells["code"])
    reasons += [_("More than one row: %(names)s.") % {"names": key} for key, n in (codes + bare).items() if n > 1]
    if reasons:
        raise Unreadable(reasons)
    taken: set[str] = set()
    labels = []
    for cells in told:
        if cells["name"] in taken and cells["code"]:
            cells["name"] = f"{cells['code']} {cells['name']}"[:MAX_NAME_CHARS]
        taken.add(cells["name"])
        labels.append(ListedLabel(**cells))
    return labels


def parents_by_prefix(codes: Collection[str]) -> dict[str, str]:
    """By code, the longest other code that it begins with, letters and digits alone; none at the top.

    Codes of one length are padded: zeros at their end say nothing, 11-1000 lies above 11-1020.
    """
    stems = {code: NO_CODE.sub("", code) for code in codes}
    if len(set(map(len, stems.values()))) == 1:
        stems = {code: stem.rstrip("0") for code, stem in stems.items()}
    by_stem = {stem: code for code, stem in reversed(stems.items())}
    parents = {}
    for code, stem in stems.items():
        above = (by_stem[stem[:n]] for n in range(len(stem) - 1, 0, -1) if stem[:n] in by_stem)
        if parent := next(above, ""):
            parents[code] = parent
    return parents


def _cell(row: Mapping[str, str], what: str, column: str) -> str:
    cell = row[column] if column else ""
    return cell.strip() if what in ("definition", "synonyms") else clean(cell)


def _what_is_wrong(cells: Mapping[str, str]) -> str:
    if not cells["name"]:
        return _("The label has no name.")
    for what, limit in (("name", MAX_NAME_CHARS), ("code", MAX_CODE_CHARS)):
        if len(cells[what]) > limit:
            told = {"n": f"{len(cells[what]):,}", "limit": limit}
            return (
                _("The name has %(n)s characters; at most %(limit)s are allowed.") % told
                if what == "name"
                else _("The code has %(n)s characters; at most %(limit)s are allowed.") % told
            )
    return ""
