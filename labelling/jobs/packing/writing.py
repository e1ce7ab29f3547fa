"""Pack a project: its rows as JSON lines, table by table, its vectors, its model, the files of its releases."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Exists, Model, OuterRef
from django.utils import timezone

from classifiers.encoders import weights_digest, weights_file
from labelling.jobs.packing import container
from labelling.jobs.packing.container import (
    CHUNK_BYTES,
    ENCODER,
    FORMAT,
    KIND,
    MANIFEST,
    MODEL,
    MOST_KEY,
    PEOPLE,
    VECTORS,
)
from labelling.jobs.packing.shapes import Misshapen
from labelling.jobs.packing.tables import TABLES, Table, leads_to_person
from labelling.jobs.rounds.memory import recall
from labelling.jobs.snapshot import snapshot
from labelling.jobs.vectors import Space
from labelling.models import Document, Embedding, Project
from labelling.services import encoding, packing
from labelling.services.rows import CHUNK

# All members are as old as the ZIP format knows: the manifest says when they were packed.
EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(project: Project, path: Path) -> None:
    """Write a project's file as the project is at one moment; it is there once it is whole.

    Raises:
        Refused: while something runs in the project, or a stored value is not what belongs there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with snapshot(), zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as file:
            packing.check(project)
            _Packer(file).write(Project.objects.get(pk=project.pk))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


class _Packer:
    """Writes members and keeps what the manifest says of them."""

    def __init__(self, file: zipfile.ZipFile):
        self.file = file
        self.members: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, tuple[int, int]] = {}
        self.people: set[int] = set()

    def write(self, project: Project) -> None:
        # First: a round that starts now writes another one in its place. One that can't be read is made anew anywhere.
        if recall(project):
            self._copy(MODEL, project.model_file)
        if weights_digest(project.encoder):
            self._copy(ENCODER, weights_file(encoding.adapted_folder(), project.encoder))
        for table in TABLES:
            with self._member(table.file) as write:
                for row in self._rows(table, project):
                    write(_line(row))
        names = User.objects.filter(pk__in=self.people).order_by("pk").values_list("pk", "username")
        with self._member(PEOPLE) as write:
            for pk, name in names:
                write(_line({"id": pk, "name": name}))
        with self._member(VECTORS) as write:
            for vector in _vectors(project):
                write(_line(vector))
        for release in project.releases.order_by("number"):
            for name in release.files:
                self._copy(f"releases/{release.number}/{name}", release.folder / name)
        # Last: it has the digests of all others.
        self.file.writestr(_info(MANIFEST), json.dumps(self._manifest(project), ensure_ascii=False, indent=2))

    def _manifest(self, project: Project) -> dict[str, Any]:
        return {
            "kind": KIND,
            "format": FORMAT,
            "version": settings.VERSION,
            "schema": container.schema(),
            "packed_at": timezone.now().isoformat(timespec="seconds"),
            "project": project.name,
            "encoder": Space.of(project).name,
            "keys": self.keys,
            "members": self.members,
        }

    @contextmanager
    def _member(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """A member that is written bit by bit."""
        digest, size, lines = hashlib.sha256(), 0, 0
        with self.file.open(_info(name), "w", force_zip64=True) as member:

            def write(data: bytes) -> None:
                nonlocal size, lines
                size, lines = size + len(data), lines + 1
                digest.update(data)
                member.write(data)

            yield write
        told = {"rows": lines} if name.endswith(".jsonl") and "/" not in name else {}
        self.members[name] = {"bytes": size, "sha256": digest.hexdigest()} | told

    def _copy(self, name: str, path: Path) -> None:
        """A file as it is; nothing where it is gone."""
        if not path.is_file():
            return
        with path.open("rb") as source, self._member(name) as write:
            while data := source.read(CHUNK_BYTES):
                write(data)

    def _rows(self, table: Table, project: Project) -> Iterator[dict[str, Any]]:
        names = [column.attname for column in table.fields]
        for values in table.rows(project).values_list(*names).iterator(CHUNK):
            row = dict(zip(names, values, strict=True))
            self._note(table.model, row["id"])
            self._look_through(table, row)
            yield row

    def _look_through(self, table: Table, row: dict[str, Any]) -> None:
        """Note which keys and people a row names, and make sure that it can be unpacked."""
        people = (row[column.attname] for column in table.fields if leads_to_person(column))
        self.people.update(pk for pk in people if pk is not None)
        for name, shape in table.shapes.items():
            try:
                shape(row[name], self._note, row)
            except Misshapen as error:
                container.faulty(f"{table.file}, {name} of {row['id']}", error)

    def _note(self, model: type[Model], key: Any) -> int:
        if not isinstance(key, int) or not 0 < key <= MOST_KEY:
            raise Misshapen(f"{key!r} is no key")
        name = str(model._meta.model_name)
        lowest, highest = self.keys.get(name, (key, key))
        self.keys[name] = min(lowest, key), max(highest, key)
        return key


def _vectors(project: Project) -> Iterable[Mapping[str, Any]]:
    """Of the project's texts, those of its encoder; none where two stand side by side."""
    of_project = Document.objects.filter(project=project, text_hash=OuterRef("text_hash"))
    rows = Embedding.objects.filter(Exists(of_project), encoder=Space.of(project).name).order_by("pk")
    return rows.values("text_hash", "vector", "n_windows").iterator(CHUNK)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, default=_plain, separators=(",", ":")).encode() + b"\n"


def _plain(value: object) -> str:
    """What JSON has no type for, as the field reads it again."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is not stored")
