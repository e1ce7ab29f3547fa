"""Files that are no CSV to lines that are kept: which kind a file is, and whose."""

from __future__ import annotations

import codecs
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

from django.utils.translation import gettext as _

from labelling.csv_io import parquet
from labelling.csv_io.columns import data_records, read_header
from labelling.csv_io.dialects import (
    ARGILLA,
    DOCCANO,
    JSON,
    JSON_LINES,
    LABEL_STUDIO,
    PARQUET,
    WORKBOOK,
)
from labelling.csv_io.exporting import COLUMNS
from labelling.csv_io.formats import NotCsv, detect
from labelling.csv_io.json_lists import values
from labelling.csv_io.peers import argilla, doccano, label_studio
from labelling.csv_io.records import Malformed, Record
from labelling.csv_io.stored import Numbered, stored_lines, table_of
from labelling.csv_io.workbooks import CalamineError, read_workbook

ZIP, OLD_EXCEL, PARQUET_MARK = b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"PAR1"
HEAD_BYTES = 65_536
# A small archive may unpack to more than any memory holds.
MAX_UNPACKED_BYTES = 2**31

Found = tuple[str, Iterable[Numbered]]

# What an object may be, by how each peer writes its own.
MARKS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "object": lambda value: True,
    "task": label_studio.is_task,
    "min": label_studio.is_min,
    "nested": argilla.is_nested,
    "flat": argilla.is_flat,
    "example": doccano.is_example,
}


def convert(source: BinaryIO, target: BinaryIO) -> str:
    """Write the lines to keep of a file that is no CSV, or a peer's, and return its kind; nothing for other CSV files.

    Raises:
        NotCsv: when it is damaged, or says too little.
    """
    source.seek(0)
    head = source.read(HEAD_BYTES)
    if head.startswith(PARQUET_MARK):
        _convert_parquet(source, target)
        return PARQUET
    found = _read_binary(source, head) or _read_json(source, head) or _read_peers_csv(source, head)
    if found is None:
        return ""
    kind, records = found
    try:
        target.writelines(line.encode() for line in stored_lines(records))
    except CalamineError as error:
        raise NotCsv(_("This workbook is damaged: %(reason)s") % {"reason": error}) from error
    except argilla.NoStatus as error:
        raise NotCsv(
            _(
                "These records don't say which responses were submitted. Export them with "
                "“dataset.records.to_list(flatten=True)”."
            )
        ) from error
    return kind


def _convert_parquet(source: BinaryIO, target: BinaryIO) -> None:
    try:
        parquet.convert(source, target)
    except parquet.NoPyarrow as error:
        raise NotCsv(_("Parquet files need the package pyarrow, which is not installed here.")) from error
    except parquet.NotParquet as error:
        raise NotCsv(_("This Parquet file can't be read: %(reason)s") % {"reason": error}) from error


def _read_binary(source: BinaryIO, head: bytes) -> Found | None:
    if head.startswith(OLD_EXCEL):
        return WORKBOOK, read_workbook(source)
    if not head.startswith(ZIP):
        return None
    try:
        archive = ZipFile(source)
    except BadZipFile as error:
        raise NotCsv(_("This archive is damaged: %(reason)s") % {"reason": error}) from error
    if sum(member.file_size for member in archive.infolist()) > MAX_UNPACKED_BYTES:
        raise NotCsv(_("This archive is too large when it is unpacked."))
    if doccano.is_export(archive):
        return DOCCANO, _peers_table(doccano.rows_of(_examples(archive)))
    if {"xl/workbook.xml", "content.xml", "xl/workbook.bin"} & set(archive.namelist()):
        return WORKBOOK, read_workbook(source)
    return None


def _examples(archive: ZipFile) -> Iterator[tuple[str, doccano.Said]]:
    try:
        for person, example in doccano.read_archive(archive):
            if not doccano.is_example(example):
                raise NotCsv(_("The files of this archive are no examples of doccano: “text” or “label” is missing."))
            yield person, example
    except ValueError as error:
        raise NotCsv(_("A file of this archive can't be read: %(reason)s") % {"reason": error}) from error


def _read_json(source: BinaryIO, head: bytes) -> Found | None:
    """JSON as such, or as a peer writes it; None for a text that only begins like it."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"{":
        return _read_json_lines(source)
    if start != b"[":
        return None
    try:
        return _whose(_Objects(lambda: _of_list(source)), JSON)
    except (ValueError, RecursionError) as error:
        if head.lstrip(b"\xef\xbb\xbf \t\r\n[")[:1] not in (b"{", b'"'):
            return None
        raise NotCsv(_("This JSON file can't be read: %(reason)s") % {"reason": error}) from error


def _of_list(source: BinaryIO) -> Iterator[Mapping[str, Any]]:
    for number, value in enumerate(values(source), start=1):
        if not isinstance(value, (dict, str)):
            raise NotCsv(_("Value %(number)s of this JSON file is neither an object nor a text.") % {"number": number})
        yield {"text": value} if isinstance(value, str) else value


def _read_json_lines(source: BinaryIO) -> Found | None:
    source.seek(0)
    first = next(filter(bytes.strip, source), b"").removeprefix(codecs.BOM_UTF8)
    if _object(first) is None:
        return None
    return _whose(_Objects(lambda: _lines(source)), JSON_LINES)


@dataclass(frozen=True)
class _Objects:
    """Those of a file, read anew each time: no memory has to hold them together."""

    read: Callable[[], Iterator[Mapping[str, Any]]]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return self.read()


def _lines(source: BinaryIO) -> Iterator[Mapping[str, Any]]:
    source.seek(0)
    text = io.TextIOWrapper(source, encoding="utf-8-sig")
    try:
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            if (value := _object(line)) is None:
                raise NotCsv(_("Line %(number)s of this file is no JSON object.") % {"number": number})
            yield value
    except UnicodeDecodeError as error:
        raise NotCsv(_("This JSON file is not written in UTF-8.")) from error
    finally:
        text.detach()


def _object(line: str | bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _whose(found: Iterable[Mapping[str, Any]], kind: str) -> Found | None:
    """Read objects as a peer wrote them where all of them are of one, else each as a row; None where there are none.

    Args:
        found: is read several times, the first time before this returns: what can't be read is noticed then.
        kind: of the file.
    """
    n = Counter(name for value in found for name, is_one in MARKS.items() if is_one(value))
    if not n["object"]:
        return None
    if n["task"] == n["object"]:
        look = label_studio.look(found)
        rows = label_studio.rows_of_tasks(found, look)
        return (kind, table_of(rows)) if len(look.controls) > 1 else (LABEL_STUDIO, _peers_table(rows))
    if n["min"] == n["object"]:
        return LABEL_STUDIO, _peers_table(label_studio.rows_of_min(found))
    if n["nested"] == n["object"] or n["flat"]:
        return ARGILLA, _peers_table(argilla.rows_of(found))
    if n["example"] == n["object"]:
        return DOCCANO, _peers_table(doccano.rows_of(("", value) for value in found))
    return kind, table_of(enumerate(found, start=1))


def _read_peers_csv(source: BinaryIO, head: bytes) -> Found | None:
    """The CSV file that Label Studio writes; what separates its cells doesn't matter."""
    if not all(name.encode() in head for name in label_studio.MIN_COLUMNS):
        return None
    fmt = detect(source)
    header = read_header(source, fmt)
    if not fmt.has_header or not label_studio.is_min(header):
        return None

    def read() -> Iterator[Mapping[str, Any]]:
        return (dict(zip(header, item.cells, strict=True)) for item in whole(data_records(source, fmt)))

    def whole(items: Iterable[Record | Malformed]) -> Iterator[Record]:
        return (item for item in items if isinstance(item, Record) and len(item.cells) == len(header))

    if sum(1 for _ in data_records(source, fmt)) > sum(1 for _ in whole(data_records(source, fmt))):
        return None  # read as any other file, which tells what is wrong with which line
    return LABEL_STUDIO, _peers_table(label_studio.rows_of_min(_Objects(read)))


def _peers_table(rows: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[Numbered]:
    return table_of(chain(rows), COLUMNS[:5])
