"""Archives: the one table that is in them, or texts in folders that are called as their labels."""

from __future__ import annotations

import gzip
import io
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import IO, BinaryIO, cast
from zipfile import BadZipFile, ZipFile

from django.utils.translation import gettext as _

from labelling.csv_io.formats import detect_encoding
from labelling.csv_io.names import SPLIT_WORDS
from labelling.csv_io.peers import doccano
from labelling.csv_io.records import NotCsv

ZIP, GZIP = b"PK\x03\x04", b"\x1f\x8b"
# A small archive may unpack to more than any memory holds.
MAX_UNPACKED_BYTES = 2**31
TABLES = {".csv", ".tsv", ".tab", ".txt", ".json", ".jsonl", ".ndjson", ".xlsx", ".xls", ".ods", ".parquet"}


def unpacked(source: BinaryIO) -> BinaryIO:
    """The file itself; of an archive that holds one table alone, this table.

    Raises:
        NotCsv: when the archive is damaged, or too large.
    """
    source.seek(0)
    head = source.read(len(ZIP))
    source.seek(0)
    if head.startswith(GZIP):
        with gzip.open(source) as packed:
            return _copy(packed)
    if head == ZIP and (member := _only_table(archive := open_archive(source))):
        with archive.open(member) as packed:
            return _copy(packed)
    return source


def _copy(packed: IO[bytes] | gzip.GzipFile) -> BinaryIO:
    """What is packed, on disk."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 closed with what reads it
    try:
        while block := packed.read(2**20):
            copy.write(block)
            if copy.tell() > MAX_UNPACKED_BYTES:
                raise NotCsv(_("This archive is too large when it is unpacked."))
    except (OSError, EOFError, zlib.error, BadZipFile) as error:
        raise NotCsv(_("This archive is damaged: %(reason)s") % {"reason": error}) from error
    return cast("BinaryIO", copy)


def open_archive(source: BinaryIO) -> ZipFile:
    """Open a ZIP file.

    Raises:
        NotCsv: when it is damaged, or too large.
    """
    try:
        archive = ZipFile(source)
    except BadZipFile as error:
        raise NotCsv(_("This archive is damaged: %(reason)s") % {"reason": error}) from error
    if sum(member.file_size for member in archive.infolist()) > MAX_UNPACKED_BYTES:
        raise NotCsv(_("This archive is too large when it is unpacked."))
    return archive


def members_of(archive: ZipFile) -> list[str]:
    """The files of an archive, without those that a Mac adds."""
    paths = (PurePosixPath(name) for name in archive.namelist() if not name.endswith("/"))
    return [str(path) for path in paths if path.parts[0] != "__MACOSX" and not path.name.startswith(".")]


def _only_table(archive: ZipFile) -> str:
    found = members_of(archive)
    is_table = len(found) == 1 and PurePosixPath(found[0]).suffix.lower() in TABLES
    return found[0] if is_table and not is_of_doccano(archive) else ""


def is_of_doccano(archive: ZipFile) -> bool:
    """Whether this is an export of doccano.

    Raises:
        NotCsv: when a file in it can't be read.
    """
    try:
        return doccano.is_export(archive)
    except ValueError as error:
        raise NotCsv(_("A file of this archive can't be read: %(reason)s") % {"reason": error}) from error


def texts_in_folders(archive: ZipFile, members: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield a row for each file: its folder is its label, and the folder above may say that it is to measure with."""
    for name in members:
        data = archive.read(name)
        above, label = ["", "", *PurePosixPath(name).parts[:-1]][-2:]
        split = {"split": above} if above.casefold() in SPLIT_WORDS else {}
        text = data.decode(detect_encoding(io.BytesIO(data)), errors="replace")
        yield {"id": name, "text": text, "label": label, **split}
