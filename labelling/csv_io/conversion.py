"""Files that are no CSV to lines that are kept: which kind a file is, and whose."""

from __future__ import annotations

import codecs
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, BinaryIO
from zipfile import ZipFile

from django.utils.translation import gettext as _

from labelling.csv_io import parquet
from labelling.csv_io.archives import ZIP, is_of_doccano, members_of, open_archive, texts_in_folders
from labelling.csv_io.columns import data_records, read_header
from labelling.csv_io.dialects import (
    ARGILLA,
    DOCCANO,
    FASTTEXT,
    FOLDERS,
    JSON,
    JSON_LINES,
    LABEL_STUDIO,
    PARQUET,
    PRODIGY,
    WORKBOOK,
)
from labelling.csv_io.exporting import COLUMNS
from labelling.csv_io.formats import MARKUP, NotCsv, detect, detect_encoding, open_text
from labelling.csv_io.json_documents import named_rows, objects_of, row_of
from labelling.csv_io.json_lists import values
from labelling.csv_io.peers import argilla, doccano, fasttext, label_studio, prodigy
from labelling.csv_io.records import Malformed, Record
from labelling.csv_io.stored import Numbered, stored_lines, table_of
from labelling.csv_io.workbooks import CalamineError, read_workbook

OLD_EXCEL, PARQUET_MARK = b"\xd0\xcf\x11\xe0", b"PAR1"
HEAD_BYTES = 65_536
# JSON that is one value is read as a whole.
MAX_DOCUMENT_BYTES = 2**26
WORKBOOK_PARTS = {"xl/workbook.xml", "content.xml", "xl/workbook.bin"}
DOCUMENT_PARTS = {"word/document.xml", "ppt/presentation.xml"}
MAX_SHOWN_MEMBERS = 5

Found = tuple[str, Iterable[Numbered]]

# What an object may be, by how each peer writes its own.
MARKS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "object": lambda value: True,
    "answered": prodigy.is_example,
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
    readers = (_read_binary, _read_json, _read_fasttext, _read_peers_csv)
    found = next((found for read in readers if (found := read(source, head))), None)
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
    archive = open_archive(source)
    names = set(archive.namelist())
    if names & DOCUMENT_PARTS or ("mimetype" in names and b"spreadsheet" not in archive.read("mimetype")):
        raise NotCsv(_("This is a text document and no table. Copy what you need of it into a spreadsheet."))
    if names & WORKBOOK_PARTS:
        return WORKBOOK, read_workbook(source)
    if is_of_doccano(archive):
        return DOCCANO, _peers_table(doccano.rows_of(_examples(archive)))
    members = members_of(archive)
    if members and all(name.lower().endswith(".txt") for name in members):
        return FOLDERS, table_of(enumerate(texts_in_folders(archive, members), start=1))
    shown = ", ".join(members[:MAX_SHOWN_MEMBERS]) + (" …" if len(members) > MAX_SHOWN_MEMBERS else "")
    raise NotCsv(
        _(
            "This archive (%(names)s) holds no table, or several. Import tables one by one; "
            "or .txt files, one for each text, in folders that are called as their labels."
        )
        % {"names": shown}
    )


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
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and MARKUP.match(head.decode("utf-16", "ignore")):
        raise NotCsv(_("This JSON file is not written in UTF-8."))
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"{":
        return _read_json_lines(source) or _read_document(source, head)
    if start != b"[":
        return None
    try:
        return _whose(_Objects(lambda: _of_list(source)), JSON)
    except (ValueError, RecursionError) as error:
        if head.lstrip(b"\xef\xbb\xbf \t\r\n[")[:1] not in (b"{", b'"'):
            return None
        raise NotCsv(_("This JSON file can't be read: %(reason)s") % {"reason": error}) from error


def _of_list(source: BinaryIO) -> Iterator[Mapping[str, Any]]:
    found = values(source)
    first = list(islice(found, 1))
    are_rows = isinstance(first[0], list) if first else False
    checked = _only(chain(first, found), (list,) if are_rows else (dict, str))
    yield from named_rows(checked) if are_rows else checked


def _only(found: Iterable[Any], kinds: tuple[type, ...]) -> Iterator[Any]:
    for number, value in enumerate(found, start=1):
        if not isinstance(value, kinds):
            raise NotCsv(_("Value %(number)s of this JSON file is neither an object nor a text.") % {"number": number})
        yield {"text": value} if isinstance(value, str) else value


def _read_json_lines(source: BinaryIO) -> Found | None:
    """Objects, one a line; None where there is but one line, which may be a table as a whole."""
    source.seek(0)
    lines = filter(bytes.strip, source)
    first = next(lines, b"").removeprefix(codecs.BOM_UTF8)
    if _object(first) is None or next(lines, None) is None:
        return None
    return _whose(_Objects(lambda: _lines(source)), JSON_LINES)


def _read_document(source: BinaryIO, head: bytes) -> Found | None:
    """An object as a table; None for a text that only begins like one."""
    source.seek(0)
    data = source.read(MAX_DOCUMENT_BYTES + 1)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise NotCsv(_("This JSON file is one object, and too large to be read at once. Write an object on each line."))
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise NotCsv(_("This JSON file is not written in UTF-8.")) from error
    except (ValueError, RecursionError) as error:
        if not MARKUP.match(head.decode(errors="replace")):
            return None
        raise NotCsv(_("This JSON file can't be read: %(reason)s") % {"reason": error}) from error
    is_peers = any(is_one(value) for name, is_one in MARKS.items() if name != "object")
    return _whose([value] if is_peers else objects_of(value), JSON)


def _read_fasttext(source: BinaryIO, head: bytes) -> Found | None:
    """Lines that begin with their labels; None where the first does not."""
    if not fasttext.is_labelled(head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe").decode(errors="replace")):
        return None
    return FASTTEXT, table_of(fasttext.rows_of(_lines_of_text(source)), ("text", "label"))


def _lines_of_text(source: BinaryIO) -> Iterator[str]:
    text = open_text(source, detect_encoding(source))
    try:
        yield from text
    finally:
        text.detach()


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


def _whose(found: Iterable[Mapping[str, Any]], kind: str) -> Found:
    """Read objects as a peer wrote them where all of them are of one, else each as a row.

    Args:
        found: is read several times, the first time before this returns: what can't be read is noticed then.
        kind: of the file.
    """
    n = Counter(name for value in found for name, is_one in MARKS.items() if is_one(value))
    if not n["object"]:
        raise NotCsv(_("The file is empty."))
    if n["answered"] == n["object"]:
        return PRODIGY, _peers_table(prodigy.rows_of(found))
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
    return kind, table_of(enumerate(map(row_of, found), start=1))


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
