"""Lists of labels, as people have them: names, codes, parents, definitions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from labelling.csv_io.cleaning import clean
from labelling.csv_io.dialects import CLASSIFICATION
from labelling.csv_io.label_columns import LEVELS, find_label_columns

Cells = dict[str, str]

# By what a column holds: what it is called, the most telling name first.
COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "name": (
        "name", "label", "title", "titel", "bezeichnung", "category", "kategorie", "preflabel", "class", "topic",
        "intent", "class name", "category name", "label name", "group title", "code title", "title en", "benennung",
        "klartext", "libellé", "intitulé", "nom", "nombre", "etiqueta", "denominación", "denominazione", "nome", "naam",
        "название", "наименование", "名称", "group", "text",
    ),
    "code": (
        "code", "label_code", "kode", "schlüssel", "nummer", "number", "notation", "kürzel", "codes", "class code",
        "category code", "código", "codice", "kód", "код", "代码", "id",
    ),
    "parent": (
        "parent", "parent_code", "parent code", "parent_id", "parent name", "broader", "oberbegriff", "übergeordnet",
        "oberkategorie",
    ),
    "definition": (
        "definition", "description", "beschreibung", "explanation", "scope", "notes", "scope note", "scopenote",
        "inclusion criteria", "this item includes", "includes", "erläuterung", "erklärung", "définition", "descripción",
        "definición", "definizione", "descrizione", "definição", "omschrijving", "описание", "определение", "定义",
    ),
    "synonyms": (
        "synonyms", "synonyme", "index", "alternative names", "altlabel", "index entry", "index entries", "aliases",
        "keywords", "stichwörter", "synonymes", "sinónimos",
    ),
}  # fmt: skip
MAX_CODE_CHARS = 50
MAX_NAME_CHARS = 200
# "110: Bakery", "A.01 - Crops", "A: Agriculture", "01.1 Bread"; of a number alone nobody knows.
CODED_NAME = re.compile(
    r"([A-Z]{0,2}\.?\d[\w./-]*|[A-Z])(?:\s*[:\u2013\u2014]|\s+-)\s+\S|([A-Z]?\d+(?:\.\d+)+|0\d+)\s+\S"
)
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
    found["code"] = found["code"] or next((name for name in header if CLASSIFICATION.fullmatch(name.strip())), "")
    if not found["name"] and (levels := _levels(header)):
        found["parent"], found["name"] = levels[-2:]
    if not found["name"] and found["code"]:
        found["name"] = found["definition"]
        found["definition"] = called([name for name in header if name != found["name"]], COLUMN_NAMES)["definition"]
    return found


def _levels(header: Sequence[str]) -> tuple[str, ...]:
    """The columns of a list that has one for each level, from the top down."""
    found = find_label_columns(header, (), ())
    return found.names if found and found.kind == LEVELS else ()


def _by_level(rows: Iterable[Mapping[str, str]], levels: Sequence[str], columns: Mapping[str, str]) -> list[Cells]:
    """What is told of each label in a list with a column for each level; what else a row tells is of its last.

    An empty cell above a filled one stands for what is above it. Of labels that share a name the later has its parent's
    before it.
    """
    found: dict[tuple[str, ...], Cells] = {}
    names: set[str] = set()
    above: list[str] = []
    for row in rows:
        cells = [clean(row[level]) for level in levels]
        depth = max((n for n, cell in enumerate(cells, start=1) if cell), default=0)
        first = next((n for n, cell in enumerate(cells) if cell), 0)
        above = above[:first] + cells[first:depth]
        for n in range(1, len(above) + 1):
            path = tuple(above[:n])
            if path not in found:
                parent = found[path[:-1]]["name"] if n > 1 else ""
                name = above[n - 1] if above[n - 1] not in names else f"{parent}: {above[n - 1]}"
                names.add(name)
                found[path] = dict.fromkeys(columns, "") | {"name": name, "parent": parent}
        told = {what: _cell(row, what, columns[what]) for what in columns if what not in ("name", "parent")}
        if above:
            found[tuple(above)] |= {what: cell for what, cell in told.items() if cell}
    return list(found.values())


def _together(told: Iterable[Cells]) -> list[Cells]:
    """Rows that differ in their synonyms alone as one, as in lists with a row for each index entry."""
    found: list[Cells] = []
    by_rest: dict[tuple[str, ...], Cells] = {}
    for cells in told:
        first = by_rest.setdefault(tuple(cells[what] for what in sorted(cells) if what != "synonyms"), cells)
        if first is cells or not (first["synonyms"] or cells["synonyms"]):
            found.append(cells)
        elif cells["synonyms"] not in first["synonyms"].split("; "):
            first["synonyms"] = "; ".join(filter(None, [first["synonyms"], cells["synonyms"]]))
    return found


def read_labels(rows: Iterable[Mapping[str, str]], columns: Mapping[str, str]) -> list[ListedLabel]:
    """Read the rows of a list.

    Where labels of different codes share a name, as levels of a classification do, the code is put before the later.
    A code that stands before each name is known as a code, too. Rows that differ in their synonyms alone are one.

    Args:
        rows: cells by column.
        columns: as guess_columns returns them.

    Raises:
        Unreadable: for rows without a name, with too long a one, or with the code of another row.
    """
    rows = list(rows)
    levels = _levels(list(rows[0])) if rows else ()
    if levels and (columns["parent"], columns["name"]) == levels[-2:]:
        told = _by_level(rows, levels, columns)
    else:
        told = [{what: _cell(row, what, name) for what, name in columns.items()} for row in rows]
    reasons = [
        _("Row %(number)s: %(reason)s") % {"number": number, "reason": reason}
        for number, cells in enumerate(told, start=1)
        if (reason := _what_is_wrong(cells))
    ]
    told = _with_codes(_together(told))
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


def _with_codes(told: list[Cells]) -> list[Cells]:
    """Take codes out of the names where there are no others, and each name begins with one of its own."""
    found = [CODED_NAME.match(cells["name"]) for cells in told]
    codes = [match.group(1) or match.group(2) for match in found if match]
    if any(cells["code"] for cells in told) or len(set(codes)) < max(2, len(told)):
        return told
    return [{**cells, "code": code} for cells, code in zip(told, codes, strict=True)]


def _cell(row: Mapping[str, str], what: str, column: str) -> str:
    cell = row[column] if column else ""
    if what == "synonyms" and ";" not in cell:
        return "; ".join(filter(None, map(clean, re.split(r"[|\n]", cell))))
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
