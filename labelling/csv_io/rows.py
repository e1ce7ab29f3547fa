"""Records to rows that can be imported, and a message for each that cannot."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

from django.utils.translation import gettext as _

from labelling.csv_io.cleaning import clean
from labelling.csv_io.columns import (
    PROPOSALS,
    REJECTED_COLUMNS,
    SOURCES,
    TELLING_COLUMNS,
    Columns,
    data_records,
    fitted,
    header_with,
    n_passed_over,
    preview,
    text_of,
    wrong_record,
)
from labelling.csv_io.dialects import PEERS, WORKBOOK, is_empty, plain, same_names
from labelling.csv_io.exporting import COLUMNS as EXPORT_COLUMNS
from labelling.csv_io.exporting import TREE_COLUMNS, csv_lines, restore
from labelling.csv_io.formats import Format, NotCsv
from labelling.csv_io.label_columns import LEVELS, find_label_columns
from labelling.csv_io.names import Meaning, Survey, is_held_out, survey, tells_parts
from labelling.csv_io.records import Malformed, Record

MAX_LABEL_CHARS = 200
MAX_ID_CHARS = 200
LETTERS_AND_DIGITS = re.compile(r"[^\W_]+")
NO_LETTERS_OR_DIGITS = {n: None for n in range(128) if not chr(n).isalnum()}
EMPTY_ROW, REPEATED_NAMES, EMPTY_WORD, FOOTER = "empty_rows", "repeated_names", "empty_words", "footer"
LEFT_OUT = (EMPTY_ROW, REPEATED_NAMES, EMPTY_WORD, FOOTER)


class Row(NamedTuple):
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
    metadata: Mapping[str, str] = MappingProxyType({})
    provenance: Mapping[str, str] = MappingProxyType({})
    proposals: Sequence[Mapping[str, Any]] = ()

    @property
    def proposed(self) -> list[str]:
        """The labels that people proposed who don't agree."""
        return list(dict.fromkeys(each["label"] for each in self.proposals if each["is_person"]))

    @property
    def is_disputed(self) -> bool:
        return len(self.proposed) > 1


@dataclass(frozen=True)
class Problem:
    """A row that is not imported: where, why, and what it held."""

    line: int
    column: str
    reason: str
    cells: Sequence[str]


@dataclass(frozen=True)
class LeftOut:
    """A record that holds no row: ``reason`` is one of the names in LEFT_OUT."""

    line: int
    reason: str


def text_hash(text: str) -> str:
    """The key under which a text is known: SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def folded(text: str) -> str:
    """What near copies have in common: letters and digits, in Unicode's compatible form and one case.

    A text without letters and digits is near to no other.
    """
    if text.isascii():
        return text.casefold().translate(NO_LETTERS_OR_DIGITS) or text
    text = unicodedata.normalize("NFKC", text)
    return "".join(LETTERS_AND_DIGITS.findall(text.casefold())) or text


def survey_rows(file: BinaryIO, fmt: Format, columns: Columns) -> Survey:
    """Count what the file holds in its columns, as ``names.survey`` does.

    Raises:
        NotCsv: when a chosen column is not in the file.
    """
    header = header_with(file, fmt, columns)
    taken = {columns.text, *columns.more_text, columns.id, *header[: n_passed_over(header)]}
    taken.update(filter(tells_parts, header))
    several = None if columns.label else find_label_columns(header, preview(file, fmt), taken)
    return survey(data_records(file, fmt), header, columns.text, columns.label, columns.id, several)


def read_rows(
    file: BinaryIO, fmt: Format, columns: Columns, max_text_chars: int, meaning: Meaning | None = None
) -> Iterator[Row | Problem | LeftOut]:
    """Yield each row of the file, or what is wrong with it. Looks at every row on its own.

    Raises:
        NotCsv: when a chosen column is not in the file, or its columns change their order on the way.
    """
    header = header_with(file, fmt, columns)
    reader = _RowReader(header, fmt, columns, max_text_chars, meaning or Meaning())
    for item in data_records(file, fmt):
        if isinstance(item, Malformed):
            column = header[item.column] if item.column < len(header) else f"Column {item.column + 1}"
            yield Problem(item.line, column, item.reason, [item.text])
        else:
            yield reader.read(item)


class _RowReader:
    """Checks one record at a time against the header."""

    def __init__(self, header: Sequence[str], fmt: Format, columns: Columns, max_text_chars: int, meaning: Meaning):
        self.header = header
        self.encoding = fmt.encoding
        self.has_names = fmt.has_header
        self.plain_names = sorted(map(plain, header))
        self.columns = columns
        self.max_text_chars = max_text_chars
        self.meaning = meaning
        self.n_passed_over = n_passed_over(header)
        self.neutralised = (columns.is_export or self.n_passed_over > 0) and fmt.kind in ("", WORKBOOK)
        self.has_proposals = fmt.kind in PEERS and PROPOSALS in header
        taken = {columns.text, *columns.more_text, columns.label, columns.id, *header[: self.n_passed_over]}
        told = {"text", "label", "label_code", *TELLING_COLUMNS}
        self.history = [name for name in EXPORT_COLUMNS if name in header and name not in taken | told]
        several = self.meaning.label_columns
        self.told_by_labels = several.names if several and several.kind != LEVELS else ()
        own = {*EXPORT_COLUMNS, *TREE_COLUMNS, PROPOSALS} if columns.is_export else set()
        self.extra = [name for name in header if name not in taken | own]

    def read(self, record: Record) -> Row | Problem | LeftOut:
        if reason := self._is_left_out(record):
            return LeftOut(record.line, reason)
        cells = fitted(record.cells, self.header)
        cells = [restore(cell) for cell in cells] if self.neutralised else cells
        own = Record(record.line, cells[self.n_passed_over :])
        problem = wrong_record(self.header, cells, self.encoding)
        if problem:
            return Problem(record.line, *problem, own.cells)
        by_name = dict(zip(self.header, cells, strict=True))
        text = text_of(by_name, (self.columns.text, *self.columns.more_text), self.meaning.empty_texts)
        if text in self.meaning.empty_texts:
            return LeftOut(record.line, EMPTY_WORD)
        several = self.meaning.label_columns
        label = several.cell(by_name) if several else clean(by_name.get(self.columns.label, ""))
        identifier = self.meaning.identifier(by_name.get(self.columns.id, "").strip())
        longest = max(self.meaning.parts(label), key=len, default="") if len(label) > MAX_LABEL_CHARS else ""
        problem = self._wrong_values(text, longest, identifier)
        if problem:
            return Problem(record.line, *problem, own.cells)
        return self._row(own, text, label, identifier, by_name)

    def _is_left_out(self, record: Record) -> str:
        if is_empty(record.cells):
            return EMPTY_ROW
        if record.line in self.meaning.footer:
            return FOOTER
        if self.has_names and plain(record.cells[0]) in self.plain_names:
            if same_names(record.cells, self.header):
                return REPEATED_NAMES
            if len(self.header) > 1 and sorted(map(plain, record.cells)) == self.plain_names:
                told = {"line": record.line}
                raise NotCsv(
                    _("Line %(line)s holds the column names in another order: import these files one by one.") % told
                )
        return ""

    def _row(self, own: Record, text: str, cell: str, identifier: str, by_name: Mapping[str, str]) -> Row | Problem:
        parts = self.meaning.parts(cell) if cell else []
        dropped = self.told_by_labels if len(parts) == 1 else ()
        metadata = {name: by_name[name] for name in self.extra if by_name[name] and name not in dropped}
        source = by_name.get("source", "") if self.columns.is_export else ""
        if len(parts) > 1:
            if self.meaning.several == "reject":
                return Problem(own.line, self.columns.label, _("The cell holds several labels."), own.cells)
            if self.meaning.several == "people":
                metadata |= {self.columns.label: cell} if self.columns.label else {}
                parts = []
        label = parts[0] if parts else ""
        if not source and (label or cell in self.meaning.no_label):
            source = "seed"  # also a label that somebody typed into an export
        provenance = {name: by_name[name] for name in self.history if by_name[name]} if self.columns.is_export else {}
        if source not in SOURCES:
            # What a model predicted is history, not a label to learn from.
            provenance |= {name: value for name, value in (("label", label), ("source", source)) if value}
            label = source = ""
        return Row(
            line=own.line,
            cells=own.cells,
            text=text,
            text_hash=text_hash(text),
            label=label,
            external_id=identifier,
            source=source,
            holdout=self._is_held_out(by_name, source),
            metadata=metadata,
            provenance=provenance,
            proposals=json.loads(by_name[PROPOSALS] or "[]") if self.has_proposals else (),
        )

    def _is_held_out(self, by_name: Mapping[str, str], source: str) -> bool:
        if self.columns.is_export:
            return by_name.get("holdout") == "yes"
        return bool(source and self.meaning.split) and is_held_out(by_name[self.meaning.split])

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


def rejected_lines(header: Sequence[str], problems: Iterable[Problem]) -> Iterator[str]:
    """Yield the lines of a CSV file of the rejected rows: line, column and reason, then the row as it was.

    Mended, the file can be imported as it is: its first three columns are passed over. Rows that
    are rejected once more lose the reasons of the last time.
    """
    cells = ([str(problem.line), problem.column, problem.reason, *problem.cells] for problem in problems)
    return csv_lines([*REJECTED_COLUMNS, *header[n_passed_over(header) :]], cells)
