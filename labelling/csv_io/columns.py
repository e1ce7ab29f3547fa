"""The columns of a file: their names, and which of them holds what."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice, zip_longest
from typing import BinaryIO

from django.utils.translation import gettext as _

from labelling.csv_io.dialects import (
    CLASSIFICATION,
    CODE_OF_QUESTION,
    ID_NAMES,
    LABEL_NAMES,
    TEXT_NAMES,
    WEAK_LABEL_NAMES,
    WORKBOOK,
    have_one_shape,
    is_empty,
    records_of,
)
from labelling.csv_io.exporting import COLUMNS as EXPORT_COLUMNS
from labelling.csv_io.exporting import restore
from labelling.csv_io.formats import Format, NotCsv, is_damaged, open_text, printable
from labelling.csv_io.names import tells_parts
from labelling.csv_io.records import MAX_COLUMNS, Malformed, Record, check_width

MAX_NAME_CHARS = 200
NO_WORD = re.compile(r"[\d@/\\_]")
# A column of labels that is not called so: so many cells, and none longer.
MIN_CELLS_OF_LABELS = 6
MAX_CHARS_OF_LABELS = 60
SOURCES = ("seed", "judge", "human")
MODEL = "model"
REJECTED_COLUMNS = ("rejected_line", "rejected_column", "rejected_reason")

# What people and models said elsewhere, as JSON: a column of peers' files alone.
PROPOSALS = "proposals"

# Columns that say which labels to learn from; one of them beside text and label may make a file an export.
TELLING_COLUMNS = {"source", "holdout"}
# What Label Studio, doccano and Argilla write beside our columns when somebody has worked with them there.
FOREIGN_COLUMNS = {
    "annotation_id", "annotator", "lead_time", "comments", "created_at", "updated_at", "label.responses",
    "label.responses.users", "label.suggestion",
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Which column holds what; the others are metadata. Empty: there is none."""

    text: str
    label: str = ""
    id: str = ""
    is_export: bool = False
    more_text: tuple[str, ...] = ()


def read_header(file: BinaryIO, fmt: Format) -> list[str]:
    """Return the column names, very long ones cut and all made unique; "Column 3" where one is missing.

    Raises:
        NotCsv: when not even the first row can be read.
    """
    first = next(_records(file, fmt), None)
    if not isinstance(first, Record):
        told = {"reason": first.reason if first else _("The file is empty.")}
        raise NotCsv(_("The first row cannot be read. %(reason)s") % told)
    check_width(len(first.cells))
    if any("\0" in cell for cell in first.cells):
        raise NotCsv(_("The first row holds NUL bytes: this is not a CSV file, or its encoding is another."))
    if any(is_damaged(cell, fmt.encoding) for cell in first.cells):
        reason = _("The first row holds bytes that are not %(encoding)s. Choose another encoding or mend them.")
        raise NotCsv(reason % {"encoding": fmt.encoding})
    names: dict[str, None] = {}
    for position, cell in enumerate(_full_names(first, file, fmt), start=1):
        name = (_column_name(cell, fmt) if fmt.has_header else "") or f"Column {position}"
        if name in names or len(name) > MAX_NAME_CHARS:
            numbered = (f"{name[: MAX_NAME_CHARS - 20]} ({n})" for n in count(position))
            name = next(candidate for candidate in numbered if candidate not in names)
        names[name] = None
    return list(names)


def _column_name(cell: str, fmt: Format) -> str:
    return cell.strip() if fmt.kind not in ("", WORKBOOK) else restore(cell.strip())


def _full_names(first: Record, file: BinaryIO, fmt: Format) -> list[str]:
    """The cells of the header, with those of its further rows where it has none."""
    cells = list(first.cells)
    if fmt.has_header and fmt.more_header_rows:
        for record in islice(_records(file, fmt), 1, 1 + fmt.more_header_rows):
            if isinstance(record, Record):
                cells = [
                    cell if cell.strip() else more for cell, more in zip_longest(cells, record.cells, fillvalue="")
                ]
    return cells


def preview(file: BinaryIO, fmt: Format, n_rows: int = 20) -> list[list[str]]:
    """Return the first rows below the header to look at, malformed ones left out."""
    records = (item for item in data_records(file, fmt) if isinstance(item, Record) and not is_empty(item.cells))
    rows = ([printable(cell) for cell in item.cells[:MAX_COLUMNS]] for item in records)
    return list(islice(rows, n_rows))


def guess_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Columns:
    """Guess from the names, and for the text from the length of the cells, which column is which."""
    if is_export_of(header, rows):
        return Columns(text="text", label="label", id="id" if "id" in header else "", is_export=True)
    label, identifier = _named(header, LABEL_NAMES), _named(header, ID_NAMES)
    label = label or next((name for name in header if CODE_OF_QUESTION.fullmatch(name)), "")
    label = label or _named(header, WEAK_LABEL_NAMES)
    label = label or next((name for name in header if CLASSIFICATION.fullmatch(name)), "")
    text = _named(header, TEXT_NAMES)
    columns = {name: [row[n] for row in rows if len(row) == len(header)] for n, name in enumerate(header)}
    others = [name for name in header[n_passed_over(header) :] if name not in (label, identifier)] or list(header)
    text = text or max(others, key=lambda name: (_n_letters(columns[name]), sum(map(len, columns[name]))))
    nameless = [name for name in header if not tells_parts(name)]
    if all(name == f"Column {position}" for position, name in enumerate(nameless, start=1)):
        identifier = next((name for name in nameless if name != text and have_one_shape(columns[name])), "")
        rest = [name for name in nameless if name not in (text, identifier)]
        label = rest[0] if len(rest) == 1 else ""
    return Columns(text, label if label != text else "", identifier if identifier != text else "")


def may_hold_labels(header: Sequence[str], rows: Sequence[Sequence[str]], taken: Collection[str]) -> list[str]:
    """Name the columns, but those that are taken, whose short words come again and again."""
    found = []
    for n, name in enumerate(header):
        cells = [row[n].strip() for row in rows if n < len(row) and row[n].strip()]
        different = set(cells)
        if name not in taken and len(cells) >= MIN_CELLS_OF_LABELS and 1 < len(different) <= len(cells) / 2:
            found += [name] if all(len(cell) <= MAX_CHARS_OF_LABELS for cell in different) else []
    return found


def is_export_of(header: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> bool:
    """Whether a file with these columns may be an export, also one from which somebody removed some.

    A peer's columns, or words that an export never has in its own, mean that it is not.
    """
    if not {"text", "label"} <= set(header) or not TELLING_COLUMNS & set(header):
        return False
    if any(name.casefold() in FOREIGN_COLUMNS or name.startswith("_data_") for name in header):
        return False
    allowed = {"source": {*SOURCES, MODEL, ""}, "holdout": {"yes", ""}}
    return all(
        row[position] in allowed[name]
        for position, name in enumerate(header)
        if name in TELLING_COLUMNS
        for row in rows
        if len(row) == len(header)
    )


def is_whole_export(header: Sequence[str]) -> bool:
    """Whether most of an export's columns are there: hardly anybody else names them so."""
    own = set(EXPORT_COLUMNS) & set(header)
    return own >= TELLING_COLUMNS and 2 * len(own) > len(EXPORT_COLUMNS)


def header_with(file: BinaryIO, fmt: Format, columns: Columns) -> list[str]:
    header = read_header(file, fmt)
    missing = [
        name for name in (columns.text, *columns.more_text, columns.label, columns.id) if name and name not in header
    ]
    if missing:
        raise NotCsv(f"The file has no column {', '.join(missing)}. Its columns: {', '.join(header)}.")
    return header


def fitted(cells: list[str], header: Sequence[str]) -> list[str]:
    """Return a row without empty cells beyond the header's width, or with those that only nameless columns lack."""
    n, expected = len(cells), len(header)
    if n > expected and is_empty(cells[expected:]):
        return cells[:expected]
    if n < expected and all(name == f"Column {position}" for position, name in enumerate(header[n:], start=n + 1)):
        return [*cells, *[""] * (expected - n)]
    return cells


def text_of(by_name: Mapping[str, str], names: Sequence[str], empty: Collection[str] = ()) -> str:
    """Return the text of one column, or of several, each under its name, without those that are empty."""
    if len(names) == 1:
        return by_name[names[0]].strip()
    parts = [(name, by_name[name].strip()) for name in names]
    return "\n".join(f"{name}: {part}" for name, part in parts if part and part not in empty)


def wrong_record(header: Sequence[str], cells: Sequence[str], encoding: str) -> tuple[str, str] | None:
    """Name the column and the reason why a record can't be read under this header; None when it can."""
    n, expected = len(cells), len(header)
    if n < expected:
        return header[n], _("The row has %(n)s of %(expected)s columns.") % {"n": n, "expected": expected}
    if n > expected:
        counts = {"n": n, "expected": expected}
        return f"Column {expected + 1}", _("The row has %(n)s columns instead of %(expected)s.") % counts
    for name, cell in zip(header, cells, strict=True):
        if "\0" in cell:
            return name, _("The cell holds a NUL byte.")
        if is_damaged(cell, encoding):
            reason = _("The cell holds bytes that are not %(encoding)s. Choose another encoding or mend them.")
            return name, reason % {"encoding": encoding}
    return None


def _records(file: BinaryIO, fmt: Format) -> Iterator[Record | Malformed]:
    text = open_text(file, fmt.encoding)
    try:
        yield from records_of(text, fmt)
    finally:
        if not text.closed:  # the caller may have closed the file before this generator, on an error
            text.detach()


def data_records(file: BinaryIO, fmt: Format) -> Iterator[Record | Malformed]:
    """Yield the records below the header."""
    return islice(_records(file, fmt), 1 + fmt.more_header_rows if fmt.has_header else 0, None)


def _n_letters(cells: Sequence[str]) -> int:
    """How many letters stand in words; addresses, dates and codes are none."""
    return sum(len(word) for cell in cells for word in cell.split() if not NO_WORD.search(word))


def _named(header: Sequence[str], names: Sequence[str]) -> str:
    by_lower = {name.lower(): name for name in reversed(header)}
    return next((by_lower[name] for name in names if name in by_lower), "")


def n_passed_over(header: Sequence[str]) -> int:
    """How many columns say why a row was rejected the last time."""
    return len(REJECTED_COLUMNS) if tuple(header[: len(REJECTED_COLUMNS)]) == REJECTED_COLUMNS else 0
