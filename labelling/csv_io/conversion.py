"""Files that are no CSV to lines that are kept: which kind a file is, and whose."""

from __future__ import annotations

import codecs
import io
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
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
from labelling.csv_io.peers import argilla, doccano, label_studio
from labelling.csv_io.records import Record
from labelling.csv_io.stored import Numbered, stored_lines, table_of
from labelling.csv_io.workbooks import CalamineError, read_workbook

ZIP, OLD_EXCEL, PARQUET_MARK = b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"PAR1"
HEAD_BYTES = 65_536
# A small archive may unpack to more than any memory holds.
MAX_UNPACKED_BYTES = 2**31

BLOCK_CHARS = 2**18
DECODER = json.JSONDecoder()
# What stands before the first value of a list, before the others, behind the last, and where there is none.
BRACKET, COMMA, END, NOTHING = (re.compile(rf"\s*{marks}\s*") for marks in (r"\[", ",", r"\]", r"\[\s*\]"))

Found = tuple[str, Iterable[Numbered]]


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
    spooled = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        spooled.writelines(_spooled(_values(source)))
    except (ValueError, RecursionError) as error:
        if head.lstrip(b"\xef\xbb\xbf \t\r\n[")[:1] not in (b"{", b'"'):
            return None
        raise NotCsv(_("This JSON file can't be read: %(reason)s") % {"reason": error}) from error
    return _whose(_Objects(spooled), JSON) if spooled.tell() else None


def _values(source: BinaryIO) -> Iterator[Any]:
    """Yield the values of a list, one by one: no memory has to hold them together.

    Raises:
        ValueError, RecursionError: when it can't be read.
    """
    source.seek(0)
    text = io.TextIOWrapper(source, encoding="utf-8-sig")
    try:
        window, place, n = text.read(BLOCK_CHARS), 0, 0
        while True:
            if found := _value(window, place, COMMA if n else BRACKET):
                value, place = found
                n += 1
                yield value
            elif more := text.read(max(BLOCK_CHARS, len(window) - place)):
                # Twice as much each time: a value that never ends is not begun again with every block.
                window, place = window[place:] + more, 0
            elif (END if n else NOTHING).fullmatch(window, place):
                return
            else:
                raise ValueError(_("value %(n)s does not end, or no comma stands behind it") % {"n": n + 1})
    finally:
        text.detach()


def _value(window: str, place: int, before: re.Pattern[str]) -> tuple[Any, int] | None:
    """The value behind what stands before it, and where it ends; None where it is not there as a whole."""
    if found := before.match(window, place):
        with suppress(json.JSONDecodeError):
            return DECODER.raw_decode(window, found.end())
    return None


def _spooled(values: Iterable[Any]) -> Iterator[bytes]:
    for number, value in enumerate(values, start=1):
        if not isinstance(value, (dict, str)):
            raise NotCsv(_("Value %(number)s of this JSON file is neither an object nor a text.") % {"number": number})
        yield json.dumps({"text": value} if isinstance(value, str) else value).encode() + b"\n"


def _read_json_lines(source: BinaryIO) -> Found | None:
    source.seek(0)
    first = next(filter(bytes.strip, source), b"").removeprefix(codecs.BOM_UTF8)
    if _object(first) is None:
        return None
    return _whose(_Objects(source), JSON_LINES)


class _Objects:
    """Those of a file of JSON lines, read anew each time: no memory has to hold them together."""

    def __init__(self, source: BinaryIO):
        self._source = source

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return _lines(self._source)


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


def _whose(values: Iterable[Mapping[str, Any]], kind: str) -> Found:
    """Read objects as a peer wrote them where all of them are of one, else each as a row."""
    if all(map(label_studio.is_task, values)):
        if len(label_studio.controls(values)) > 1:
            return kind, table_of(label_studio.rows_of_tasks(values))
        return LABEL_STUDIO, _peers_table(label_studio.rows_of_tasks(values))
    if all(map(label_studio.is_min, values)):
        return LABEL_STUDIO, _peers_table(label_studio.rows_of_min(values))
    if all(map(argilla.is_nested, values)) or any(map(argilla.is_flat, values)):
        return ARGILLA, _peers_table(argilla.rows_of(values))
    if all(map(doccano.is_example, values)):
        return DOCCANO, _peers_table(doccano.rows_of(("", value) for value in values))
    return kind, table_of(enumerate(values, start=1))


def _read_peers_csv(source: BinaryIO, head: bytes) -> Found | None:
    """The CSV file that Label Studio writes; what separates its cells doesn't matter."""
    if not all(name.encode() in head for name in label_studio.MIN_COLUMNS):
        return None
    fmt = detect(source)
    header = read_header(source, fmt)
    if not fmt.has_header or not label_studio.is_min(header):
        return None
    records = list(data_records(source, fmt))
    rows = [record for record in records if isinstance(record, Record) and len(record.cells) == len(header)]
    if len(rows) < len(records):
        return None  # read as any other file, which tells what is wrong with which line
    values = [dict(zip(header, row.cells, strict=True)) for row in rows]
    return LABEL_STUDIO, _peers_table(label_studio.rows_of_min(values))


def _peers_table(rows: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[Numbered]:
    return table_of(chain(rows), COLUMNS[:5])
