"""A project's file from outside: a ZIP with a manifest, which says what each member must be."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, Self

from django.db.migrations.loader import MigrationLoader

from labelling.jobs.packing.tables import TABLES
from labelling.models import Release
from labelling.models.sentences import Sentence
from labelling.models.sentences import Sentence as _
from labelling.services import Refused
from labelling.services.operations import NO_ROOM, NOT_WRITABLE

# What reads a file refuses one of a higher number.
FORMAT = 1
KIND = "R.E.D. project"
MANIFEST, PEOPLE, MODEL, VECTORS = "manifest.json", "people.jsonl", "model.npz", "vectors.jsonl"
# Weights, where the project has an encoder that was adapted to it.
ENCODER = "encoder.safetensors"
OF_A_RELEASE = (Release.LABELS_CSV, Release.LABELS_JSONL, Release.CERTIFICATE)
RELEASED = re.compile(rf"releases/([1-9][0-9]{{0,8}})/({'|'.join(map(re.escape, OF_A_RELEASE))})")
MOST_MEMBERS = 10_000
MOST_MANIFEST_BYTES = 4 * 2**20
# A line is held in memory.
MOST_LINE_BYTES = 32 * 2**20
# JSON lines are some ten times as long as they are packed; what is meant to fill a disk, a thousand times.
MOST_TIMES = 100
SMALL_BYTES = 16 * 2**20
# As many keys are reserved as lie between a table's lowest and highest: nobody shall use them all up.
MOST_KEY, MOST_KEYS = 2**53, 10**10
CHUNK_BYTES = 2**20
# A member's head in a ZIP: its packed bytes, and the lengths of its name and of what follows. There stand the packed
# bytes of a member that may be large, as all may here.
HEAD, LARGE = struct.Struct("<18xI4x2H"), struct.Struct("<12xQ")
# What reading a damaged member raises.
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)


class Faulty(Refused):
    """A project's file is damaged, or none that can be read here; the message begins with the name of what is wrong."""


def faulty(name: str, why: object) -> NoReturn:
    raise Faulty(_("%(name)s: %(why)s") % {"name": name, "why": why})


def at_line(name: str, n: int) -> Sentence:
    """How a line of a member is called."""
    return _("%(name)s, line %(n)s") % {"name": name, "n": n}


class Packed:
    """A project's file, open for reading. Nothing of it is believed before ``check`` has gone through it.

    Attributes:
        manifest: what the file says of itself.
        members: by name, bytes and SHA-256.

    Raises:
        Faulty: when it is none, cut off, or of a newer version.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            faulty(*_why_unreadable(path))
        try:
            self.manifest = self._read_manifest()
            self.members: dict[str, dict[str, Any]] = self.manifest["members"]
            self._check_members()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._zip.close()

    def check(self) -> None:
        """Read every member to its end, and make sure that it is what the manifest says.

        Raises:
            Faulty: with the name of the first one that is not.
        """
        for name, told in self.members.items():
            digest, n_bytes = hashlib.sha256(), 0
            with self.opened(name) as member:
                while chunk := member.read(CHUNK_BYTES):
                    n_bytes += len(chunk)
                    if n_bytes > told["bytes"]:
                        faulty(name, _("it is longer than the manifest says."))
                    digest.update(chunk)
            if n_bytes != told["bytes"] or digest.hexdigest() != told["sha256"]:
                faulty(name, _("it is not what was packed: its checksum is another one."))

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """A member to read from; what is wrong with it while the block reads is Faulty, too."""
        try:
            with self._zip.open(name) as member:
                yield member
        except Refused:
            raise
        except UNREADABLE as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM + NOT_WRITABLE:
                # Of what is written meanwhile: the file is as good as it was.
                raise
            faulty(name, _("it can't be read (%(error)s).") % {"error": error})

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The objects of a member of JSON lines; none where the file has no such member."""
        if name not in self.members:
            return
        with self.opened(name) as member:
            n = 0
            while line := member.readline(MOST_LINE_BYTES):
                n += 1
                try:
                    found = json.loads(line, parse_constant=_no_number)
                except (ValueError, RecursionError) as error:
                    faulty(at_line(name, n), _("no JSON (%(error)s).") % {"error": error})
                if not isinstance(found, dict):
                    faulty(at_line(name, n), _("no row."))
                yield found

    def releases(self) -> Iterator[tuple[str, int, str]]:
        """The files of releases: member, number of the release, name of the file."""
        for member in self.members:
            if found := RELEASED.fullmatch(member):
                yield member, int(found[1]), found[2]

    def _read_manifest(self) -> dict[str, Any]:
        if MANIFEST not in self._zip.namelist():
            faulty(MANIFEST, _("it is missing: this is no file of a project."))
        with self.opened(MANIFEST) as member:
            text = member.read(MOST_MANIFEST_BYTES + 1)
        try:
            manifest = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            faulty(MANIFEST, _("no JSON (%(error)s).") % {"error": error})
        if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
            faulty(MANIFEST, _("this is no file of a project."))
        _check_version(manifest)
        keys = manifest.get("keys")
        if not isinstance(keys, dict) or not all(map(_is_span, keys.values())):
            faulty(MANIFEST, _("the lowest and highest keys are missing, or too far from each other."))
        if not isinstance(manifest.get("encoder"), str):
            faulty(MANIFEST, _("the encoder is missing."))
        members = manifest.get("members")
        if not isinstance(members, dict) or not all(map(_is_member, members.values())):
            faulty(MANIFEST, _("the list of members is missing, or damaged."))
        return manifest

    def _check_members(self) -> None:
        """Before anything is read: the names, that none stands there twice, and how much there would be."""
        there = self._zip.namelist()
        known = {PEOPLE, MODEL, VECTORS, ENCODER, *(table.file for table in TABLES)}
        for name in (*there, *self.members):
            if name != MANIFEST and name not in known and not RELEASED.fullmatch(name):
                faulty(ascii(name[:100]), _("a file of a project has no such member."))
        if len(there) > MOST_MEMBERS:
            faulty(self.path.name, _("it has too many members."))
        for name in {*self.members, MANIFEST} ^ {*there}:
            faulty(name, _("it is missing.") if name in self.members else _("the manifest doesn't know it."))
        if len(there) != len(self.members) + 1:
            faulty(next(name for name in there if there.count(name) > 1), _("it is there twice."))
        most = max(MOST_TIMES * self.path.stat().st_size, SMALL_BYTES)
        total = 0
        for name, told in self.members.items():
            total += told["bytes"]
            if total > most or self._zip.getinfo(name).file_size != told["bytes"]:
                faulty(name, _("it would be larger unpacked than what is packed can be."))


def schema() -> str:
    """The newest migration that this installation's tables have."""
    return max(_migrations())


def _migrations() -> set[str]:
    return {name for app, name in MigrationLoader(None).disk_migrations if app == "labelling"}


def _check_version(manifest: dict[str, Any]) -> None:
    if not _is_whole(manifest.get("format"), MOST_KEY) or not isinstance(manifest.get("schema"), str):
        faulty(MANIFEST, _("its version is missing."))
    if manifest["format"] > FORMAT or manifest["schema"] not in _migrations():
        version = str(manifest.get("version"))[:20]
        faulty(
            MANIFEST,
            _("version %(version)s wrote it, which is newer. Bring this installation up to date first.")
            % {"version": version},
        )


def _is_whole(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _is_span(keys: object) -> bool:
    if not isinstance(keys, list) or len(keys) != 2 or not all(_is_whole(key, MOST_KEY) for key in keys):
        return False
    return 0 < keys[0] <= keys[1] < keys[0] + MOST_KEYS


def _is_member(told: object) -> bool:
    return (
        isinstance(told, dict)
        and _is_whole(told.get("bytes"), 2**50)
        and isinstance(told.get("sha256"), str)
        and re.fullmatch("[0-9a-f]{64}", told["sha256"]) is not None
    )


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _why_unreadable(path: Path) -> tuple[str, str]:
    """The name of what is wrong with a file that can't be opened, and why.

    Where it is cut off, the ZIP's own list at its end is missing: the members' heads say which of them is the last.
    """
    try:
        with path.open("rb") as file:
            last, size = "", path.stat().st_size
            while file.tell() < size and (head := file.read(HEAD.size))[:4] == b"PK\x03\x04" and len(head) == HEAD.size:
                packed, n_name, n_more = HEAD.unpack(head)
                if len(name := file.read(n_name)) < n_name:
                    break
                last = name.decode("utf-8", "replace")
                if len(more := file.read(n_more)) >= LARGE.size:
                    (packed,) = LARGE.unpack_from(more)
                file.seek(packed, 1)
    except OSError as error:
        return path.name, _("it can't be read (%(error)s).") % {"error": error}
    return (
        (ascii(last[:100]).strip("'"), _("the file is cut off here.")) if last else (path.name, _("it is no ZIP file."))
    )
