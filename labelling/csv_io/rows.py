"""Records to rows that can be imported, and a message for each that cannot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import BinaryIO, NamedTuple

from django.utils.translation import gettext as _

from labelling.csv_io.exporting import COLUMNS as EXPORT_COLUMNS
from labelling.csv_io.exporting import csv_lines, restore
from labelling.csv_io.formats import Format, NotCsv, is_damaged, open_text, printable
from labelling.csv_io.records import Malformed, Record, read_records

MAX_LABEL_CHARS = 200
MAX_ID_CHARS = 200
MAX_NAME_CHARS = 200
SOURCES = ("seed", "judge", "human")
REJECTED_COLUMNS = ("rejected_line", "rejected_column", "rejected_reason")

# An export without these says no more which labels to learn from.
NEEDED_COLUMNS = {"text", "label", "source", "holdout"}

TEXT_NAMES = ("text", "message", "content", "body", "document", "question", "utterance", "sentence", "description")
LABEL_NAMES = ("label", "labels", "category", "intent", "class", "topic", "code")
ID_NAMES = ("id", "uuid", "key", "document_id", "external_id")


@dataclass(frozen=True)
class Columns:
    """Which column holds what; the others are metadata. Empty: there is none."""

    text: str
    label: str = ""
    id: str = ""
    is_export: bool = False


@dataclass(frozen=True)
class Row:
    """A document on its way in.

    ``label`` is empty for pool documents. ``source`` is empty for them too; with a source and
    no label, the text is known to belong to none of the labels.
    """

    line: int
    cells: Sequence[str]
    text: str
    text_hash: str
    label: str = ""
    external_id: str = ""
    source: str = ""
    holdout: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """A row that is not imported: where, why, and what it held."""

    line: int
    column: str
    reason: str
    cells: Sequence[str]


@dataclass(frozen=True)
class Known:
    """A row that adds nothing: the same text with the same label is there already."""

    row: Row
    reason: str
    in_file: bool


@dataclass(frozen=True)
class Existing:
    """What the project already knows of a text; ``labelled`` without a label: it belongs to none."""

    label: str
    labelled: bool


class _Seen(NamedTuple):
    line: int
    label: str
    labelled: bool


def text_hash(text: str) -> str:
    """The key under which a text is known: SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_header(file: BinaryIO, fmt: Format) -> list[str]:
    """Return the column names, very long ones cut and all made unique; "Column 3" where one is missing.

    Raises:
        NotCsv: when not even the first row can be read.
    """
    first = next(_records(file, fmt), None)
    if not isinstance(first, Record):
        told = {"reason": first.reason if first else _("The file is empty.")}
        raise NotCsv(_("The first row cannot be read. %(reason)s") % told)
    if any("\0" in cell for cell in first.cells):
        raise NotCsv(_("The first row holds NUL bytes: this is not a CSV file, or its encoding is another."))
    if any(is_damaged(cell, fmt.encoding) for cell in first.cells):
        reason = _("The first row holds bytes that are not %(encoding)s. Choose another encoding or mend them.")
        raise NotCsv(reason % {"encoding": fmt.encoding})
    names: list[str] = []
    for position, cell in enumerate(first.cells, start=1):
        name = (restore(cell.strip()) if fmt.has_header else "") or f"Column {position}"
        if name in names or len(name) > MAX_NAME_CHARS:
            numbered = (f"{name[: MAX_NAME_CHARS - 20]} ({n})" for n in count(position))
            name = next(candidate for candidate in numbered if candidate not in names)
        names.append(name)
    return names


def preview(file: BinaryIO, fmt: Format, n_rows: int = 20) -> list[list[str]]:
    """Return the first rows below the header to look at, malformed ones left out."""
    rows = ([printable(cell) for cell in item.cells] for item in data_records(file, fmt) if isinstance(item, Record))
    return list(islice(rows, n_rows))


def guess_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Columns:
    """Guess from the names, and for the text from the length of the cells, which column is which."""
    if is_export_of(header):
        return Columns(text="text", label="label", id="id" if "id" in header else "", is_export=True)
    label, identifier = _named(header, LABEL_NAMES), _named(header, ID_NAMES)
    text = _named(header, TEXT_NAMES)
    if not text:
        others = [name for name in header[_n_passed_over(header) :] if name not in (label, identifier)] or list(header)
        text = max(
            others, key=lambda name: sum(len(row[header.index(name)]) for row in rows if len(row) == len(header))
        )
    return Columns(text, label if label != text else "", identifier if identifier != text else "")


def is_export_of(header: Sequence[str]) -> bool:
    """Whether a file with these columns is an export, also one from which somebody removed some."""
    own = set(EXPORT_COLUMNS) & set(header)
    return own >= NEEDED_COLUMNS and 2 * len(own) > len(EXPORT_COLUMNS)


def read_rows(file: BinaryIO, fmt: Format, columns: Columns, max_text_chars: int) -> Iterator[Row | Problem]:
    """Yield each row of the file, or what is wrong with it. Looks at every row on its own.

    Raises:
        NotCsv: when a chosen column is not in the file.
    """
    header = read_header(file, fmt)
    missing = [name for name in (columns.text, columns.label, columns.id) if name and name not in header]
    if missing:
        raise NotCsv(f"The file has no column {', '.join(missing)}. Its columns: {', '.join(header)}.")
    reader = _RowReader(header, fmt, columns, max_text_chars)
    for item in data_records(file, fmt):
        if isinstance(item, Malformed):
            column = header[item.column] if item.column < len(header) else f"Column {item.column + 1}"
            yield Problem(item.line, column, item.reason, [item.text])
        else:
            yield reader.read(item)


def screen(
    rows: Iterator[Row | Problem], columns: Columns, existing: Mapping[str, Existing], known_ids: Mapping[str, str]
) -> Iterator[Row | Problem | Known]:
    """Compare the rows with each other and with the project: duplicates, contradictions, ids used twice.

    Args:
        rows: from ``read_rows``.
        columns: those that the rows were read with.
        existing: by text hash, what the project knows already.
        known_ids: text hash of each external id in the project.
    """
    seen: dict[str, _Seen] = {}
    ids: dict[str, tuple[str, int]] = {}
    for row in rows:
        if isinstance(row, Problem):
            yield row
            continue
        verdict = (
            _against_file(row, columns, seen.get(row.text_hash))
            or _against_project(row, columns, existing.get(row.text_hash))
            or _against_ids(row, columns, ids.get(row.external_id), known_ids.get(row.external_id))
        )
        if verdict is None and row.external_id:
            ids.setdefault(row.external_id, (row.text_hash, row.line))
        if not isinstance(verdict, Problem):
            seen[row.text_hash] = _remember(row, seen.get(row.text_hash))
        yield verdict or row


class _RowReader:
    """Checks one record at a time against the header."""

    def __init__(self, header: Sequence[str], fmt: Format, columns: Columns, max_text_chars: int):
        self.header = header
        self.encoding = fmt.encoding
        self.columns = columns
        self.max_text_chars = max_text_chars
        self.n_passed_over = _n_passed_over(header)
        self.neutralised = columns.is_export or self.n_passed_over > 0
        taken = {columns.text, columns.label, columns.id, *header[: self.n_passed_over]}
        self.history = [name for name in EXPORT_COLUMNS if name in header and name not in taken | NEEDED_COLUMNS]
        own = set(EXPORT_COLUMNS) if columns.is_export else set()
        self.extra = [name for name in header if name not in taken | own]

    def read(self, record: Record) -> Row | Problem:
        cells = [restore(cell) for cell in record.cells] if self.neutralised else record.cells
        own_cells = cells[self.n_passed_over :]
        problem = wrong_record(self.header, cells, self.encoding)
        if problem:
            return Problem(record.line, *problem, own_cells)
        by_name = dict(zip(self.header, cells, strict=True))
        text = by_name[self.columns.text].strip()
        label = by_name.get(self.columns.label, "").strip()
        identifier = by_name.get(self.columns.id, "").strip()
        problem = self._wrong_values(text, label, identifier)
        if problem:
            return Problem(record.line, *problem, own_cells)
        return self._row(Record(record.line, own_cells), text, label, identifier, by_name)

    def _row(self, record: Record, text: str, label: str, identifier: str, by_name: Mapping[str, str]) -> Row:
        source = by_name["source"] if self.columns.is_export else ""
        if label and not source:
            source = "seed"  # also a label that somebody typed into an export
        provenance = {name: by_name[name] for name in self.history if by_name[name]} if self.columns.is_export else {}
        if source not in SOURCES:
            # What a model predicted is history, not a label to learn from.
            provenance |= {name: value for name, value in (("label", label), ("source", source)) if value}
            label = source = ""
        return Row(
            line=record.line,
            cells=record.cells,
            text=text,
            text_hash=text_hash(text),
            label=label,
            external_id=identifier,
            source=source,
            holdout=self.columns.is_export and by_name["holdout"] == "yes",
            metadata={name: by_name[name] for name in self.extra if by_name[name]},
            provenance=provenance,
        )

    def _wrong_values(self, text: str, label: str, identifier: str) -> tuple[str, str] | None:
        if not text:
            return self.columns.text, "The text is empty."
        if len(text) > self.max_text_chars:
            return (
                self.columns.text,
                f"The text has {len(text):,} characters; at most {self.max_text_chars:,} are allowed.",
            )
        if len(label) > MAX_LABEL_CHARS:
            return (
                self.columns.label,
                f"The label has {len(label):,} characters; at most {MAX_LABEL_CHARS} are allowed.",
            )
        if len(identifier) > MAX_ID_CHARS:
            return self.columns.id, f"The id has {len(identifier):,} characters; at most {MAX_ID_CHARS} are allowed."
        return None


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
        yield from read_records(text, fmt.delimiter)
    finally:
        if not text.closed:  # the caller may have closed the file before this generator, on an error
            text.detach()


def data_records(file: BinaryIO, fmt: Format) -> Iterator[Record | Malformed]:
    """Yield the records below the header."""
    return islice(_records(file, fmt), 1 if fmt.has_header else 0, None)


def _named(header: Sequence[str], names: Sequence[str]) -> str:
    by_lower = {name.lower(): name for name in reversed(header)}
    return next((by_lower[name] for name in names if name in by_lower), "")


def _n_passed_over(header: Sequence[str]) -> int:
    """How many columns say why a row was rejected the last time."""
    return len(REJECTED_COLUMNS) if tuple(header[: len(REJECTED_COLUMNS)]) == REJECTED_COLUMNS else 0


def _problem(row: Row, column: str, reason: str) -> Problem:
    return Problem(row.line, column, reason, row.cells)


def _remember(row: Row, first: _Seen | None) -> _Seen:
    """Keep the first line of a text, unless a later one brings the label."""
    return first if first and (first.labelled or not row.source) else _Seen(row.line, row.label, bool(row.source))


def _against_file(row: Row, columns: Columns, first: _Seen | None) -> Problem | Known | None:
    if first is None or (row.source and not first.labelled):
        return None
    if row.source and row.label != first.label:
        return _problem(
            row,
            columns.label,
            f"Line {first.line} has the same text with the label “{first.label}”, here it is “{row.label}”.",
        )
    return Known(row, f"The same text as line {first.line}.", in_file=True)


def _against_project(row: Row, columns: Columns, known: Existing | None) -> Problem | Known | None:
    if known is None or (row.source and not known.labelled):
        return None
    if row.source and row.label != known.label:
        return _problem(
            row, columns.label, f"The project has this text with the label “{known.label}”, here it is “{row.label}”."
        )
    return Known(row, "The project has this text already.", in_file=False)


def _against_ids(row: Row, columns: Columns, here: tuple[str, int] | None, there: str | None) -> Problem | None:
    if here and here[0] != row.text_hash:
        return _problem(row, columns.id, f"The id “{row.external_id}” stands for another text in line {here[1]}.")
    if there and there != row.text_hash:
        return _problem(row, columns.id, f"The id “{row.external_id}” stands for another text in the project.")
    return None


def rejected_lines(header: Sequence[str], problems: Iterable[Problem]) -> Iterator[str]:
    """Yield the lines of a CSV file of the rejected rows: line, column and reason, then the row as it was.

    Mended, the file can be imported as it is: its first three columns are passed over. Rows that
    are rejected once more lose the reasons of the last time.
    """
    cells = ([str(problem.line), problem.column, problem.reason, *problem.cells] for problem in problems)
    return csv_lines([*REJECTED_COLUMNS, *header[_n_passed_over(header) :]], cells)
