"""Unpack a project: everything that the file holds becomes a new project, or nothing does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import DataError, IntegrityError, transaction
from django.db.models import Exists, Model, OuterRef

from classifiers.encoders import origin, weights_digest, weights_file
from labelling.csv_io.rows import text_hash
from labelling.jobs.packing import model_file, vector_file
from labelling.jobs.packing.container import CHUNK_BYTES, ENCODER, MODEL, OF_A_RELEASE, PEOPLE, Packed, at_line, faulty
from labelling.jobs.packing.keys import reserve
from labelling.jobs.packing.shapes import Misshapen
from labelling.jobs.packing.tables import TABLES, Table, leads_to_person
from labelling.jobs.packing.values import Reader, check_names
from labelling.jobs.releasing import READ_ONLY
from labelling.models import BackgroundJob, Call, Document, Membership, MessageBatch, Project, Release
from labelling.models.sentences import Sentence as _
from labelling.services import Refused, encoding, packing, projects, rows, trees

# Each becomes an account.
MOST_PEOPLE = 10_000


def unpack(
    path: Path,
    opener: User,
    same_people: bool = False,
    within: Callable[[], AbstractContextManager[None]] = transaction.atomic,
    done: Callable[[Project], None] = lambda project: None,
) -> Project:
    """Make a new project of a file, and its opener the manager.

    The people in it become accounts that nobody can log in to: a name in a file says nothing of who has it here.

    Args:
        path: the file.
        opener: who is to manage the project.
        same_people: accounts here of the same names are theirs; the caller answers for that.
        within: the transaction in which all is written.
        done: called in it, at the end.

    Raises:
        Refused: when the file is damaged, none of these, or of a newer version; its message names the member at fault.
    """
    with Packed(path) as packed:
        packed.check()
        unpacker = _Unpacker(packed, opener, same_people)
        try:
            with within():
                project = unpacker.write()
                done(project)
        except BaseException:
            unpacker.remove_files()
            raise
    return project


@dataclass
class _Unpacker:
    """One file on its way in.

    Attributes:
        keys: by model, those in the file, with what lies between them.
        moved_by: by model, what is added to each key.
        people: accounts by the keys that people have in the file.
        releases: numbers of those that were read.
        weights: of an adapted encoder, where none of that name was here.
    """

    packed: Packed
    opener: User
    same_people: bool
    keys: dict[type[Model], range] = field(default_factory=dict)
    moved_by: dict[type[Model], int] = field(default_factory=dict)
    people: dict[int, int] = field(default_factory=dict)
    releases: set[int] = field(default_factory=set)
    project: Project | None = None
    weights: Path | None = None

    def __post_init__(self) -> None:
        told = self.packed.manifest["keys"]
        for model in (table.model for table in TABLES):
            lowest, highest = told.get(model._meta.model_name, (1, 0))
            self.keys[model] = keys = range(lowest, highest + 1)
            self.moved_by[model] = reserve(model, len(keys)) + 1 - lowest if keys else 0

    def write(self) -> Project:
        self._make_people()
        for table in TABLES:
            self._write_rows(table)
        if self.project is None:
            faulty(TABLES[0].file, _("there is no project in it."))
        for table in TABLES:
            self._check_links(table)
        self._check_tree(self.project)
        self._place_weights(self.project)
        vector_file.read(self.packed, self.project)
        self._place_files(self.project)
        Membership.objects.update_or_create(
            project=self.project, user=self.opener, defaults={"role": Membership.Role.MANAGER}
        )
        packing.note_unpacked(self.project, self.opener)
        return self.project

    def remove_files(self) -> None:
        """Take back what a transaction doesn't."""
        if self.project:
            shutil.rmtree(_release_folder(self.project), ignore_errors=True)
            self.project.model_file.unlink(missing_ok=True)
        if self.weights:
            self.weights.unlink(missing_ok=True)

    def _move(self, model: type[Model], key: Any) -> int:
        """The key here of a row in the file.

        Raises:
            Misshapen: for what is none: others' rows have keys outside of what was reserved.
        """
        if not isinstance(key, int) or isinstance(key, bool):
            raise Misshapen("a key is wanted")
        if model is User:
            if key not in self.people:
                raise Misshapen("nobody is known by this key")
            return self.people[key]
        if key not in self.keys[model]:
            raise Misshapen(f"there is no {model._meta.verbose_name} of this key")
        return self.moved_by[model] + key

    def _make_people(self) -> None:
        reader = Reader.of(User._meta.get_field("username"))
        for n, row in enumerate(self.packed.lines(PEOPLE), start=1):
            if n > MOST_PEOPLE:
                faulty(PEOPLE, _("there are too many people in it."))
            try:
                name = reader.read(row.get("name"))
            except Misshapen as error:
                faulty(at_line(PEOPLE, n), error)
            pk = row.get("id")
            if not isinstance(pk, int) or pk in self.people:
                faulty(at_line(PEOPLE, n), _("its key is missing, or there twice."))
            self.people[pk] = packing.person(name, self.same_people).pk

    def _write_rows(self, table: Table) -> None:
        try:
            rows.insert(table.model, self._instances(table))
        except (IntegrityError, DataError, ValueError, OverflowError, RecursionError) as error:
            faulty(
                table.file,
                _("these rows can't stand beside each other (%(error)s).") % {"error": str(error).splitlines()[0]},
            )

    def _instances(self, table: Table) -> Iterator[Model]:
        readers = {column.attname: Reader.of(column) for column in table.fields}
        for n, row in enumerate(self.packed.lines(table.file), start=1):
            try:
                check_names(readers, row)
                yield self._instance(table, readers, row)
            except Misshapen as error:
                faulty(at_line(table.file, n), f"{error}.")

    def _instance(self, table: Table, readers: dict[str, Reader], row: dict[str, Any]) -> Model:
        known = {name: readers[name].read(raw) for name, raw in row.items()}
        for name, value in known.items():
            column = readers[name].column
            target: Any = table.model if column.primary_key else column.related_model
            if target and value is not None:
                known[name] = self._move(target, value)
        for name, shape in table.shapes.items():
            if name in known:
                known[name] = shape(known[name], self._move, known)
        instance = table.model(**known)
        _check_at_rest(instance)
        if isinstance(instance, Project):
            self._take_project(instance)
        elif isinstance(instance, Document) and instance.text_hash != text_hash(instance.text):
            raise Misshapen("text_hash is of another text")
        elif isinstance(instance, Release):
            _check_release(instance)
            self.releases.add(instance.number)
        return instance

    def _take_project(self, project: Project) -> None:
        if self.project:
            raise Misshapen("there is more than one project")
        if not self._has_encoder(project.encoder):
            project.encoder = ""
        project.slug = projects.free_slug(project.slug)
        self.project = project

    def _has_encoder(self, encoder: str) -> bool:
        """Whether the project can keep its encoder: it is listed here, or adapted from one that is, and came along."""
        if origin(encoder) not in encoding.choices() or not weights_digest(encoder):
            return encoder in encoding.choices()
        told = self.packed.members.get(ENCODER)
        if told and not told["sha256"].startswith(weights_digest(encoder)):
            faulty(ENCODER, _("it is not the project's encoder, which is named by its checksum."))
        return told is not None

    def _place_weights(self, project: Project) -> None:
        """Put an adapted encoder's weights where all of them are; they are tried before anything rests on them."""
        if not weights_digest(project.encoder):
            return
        place = weights_file(encoding.adapted_folder(), project.encoder)
        if place.exists():
            return
        self.weights = place
        self._copy(ENCODER, place)
        vector_file.try_encoder(project)

    def _check_links(self, table: Table) -> None:
        """Make sure that what a row leads to came along; the database would say so later, and not where."""
        keys, moved_by = self.keys[table.model], self.moved_by[table.model]
        ours = table.model._base_manager.filter(pk__gte=keys.start + moved_by, pk__lt=keys.stop + moved_by)
        for column in table.fields:
            if column.remote_field is None or leads_to_person(column):
                continue
            model: Any = column.related_model
            there = model._base_manager.filter(pk=OuterRef(column.attname))
            lost = ours.filter(~Exists(there), **{f"{column.attname}__isnull": False})
            if lost.exists():
                faulty(table.file, _("%(column)s leads to a row that is not in the file.") % {"column": column.name})

    def _check_tree(self, project: Project) -> None:
        """Whoever goes up or down a tree that is none would never come to an end."""
        labels = project.labels.in_bulk()
        try:
            trees.check({pk: label.parent_id for pk, label in labels.items()}, labels)
        except Refused as refusal:
            faulty("label.jsonl", refusal)

    def _place_files(self, project: Project) -> None:
        for member, number, name in self.packed.releases():
            if number not in self.releases:
                faulty(member, _("there is no such release."))
            place = _release_folder(project) / str(number) / name
            self._copy(member, place)
            place.chmod(READ_ONLY)
        if MODEL in self.packed.members:
            self._copy(MODEL, project.model_file)
            model_file.move_labels(project, self._move)

    def _copy(self, member: str, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with self.packed.opened(member) as source, place.open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK_BYTES)
            target.flush()
            os.fsync(target.fileno())


def _release_folder(project: Project) -> Path:
    return Release(project=project, number=0).folder.parent


def _check_at_rest(row: Model) -> None:
    """No job starts by itself, and nobody waits for an answer that goes to another installation."""
    if isinstance(row, BackgroundJob) and row.is_active:
        raise Misshapen("it was packed while it ran")
    if isinstance(row, Call) and row.state == Call.State.IN_FLIGHT:
        raise Misshapen("it was packed while an answer was on its way")
    if isinstance(row, MessageBatch) and row.ended_at is None:
        raise Misshapen("it was packed while answers were on their way")


def _check_release(release: Release) -> None:
    """Its files are named in addresses and opened by their names."""
    for name, told in release.files.items():
        if name not in OF_A_RELEASE or not isinstance(told, dict) or not isinstance(told.get("sha256"), str):
            raise Misshapen("files has another one than a release has")
