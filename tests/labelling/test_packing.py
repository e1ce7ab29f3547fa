"""A project in one file, and what another installation makes of it."""

from __future__ import annotations

import json
import re
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db.models import JSONField
from django.forms.models import model_to_dict
from django.utils import timezone

from labelling.jobs.packing import unpack
from labelling.jobs.packing.keys import reserve
from labelling.jobs.packing.tables import LEFT_OUT, TABLES, VECTORS
from labelling.jobs.packing.values import COMPACT
from labelling.jobs.suggesting import Model
from labelling.models import Embedding, LabelEvent, Project, Release
from labelling.services import certificates, exports, label_life, revisions
from tests.factories import account, fresh, fruit_project, make_user, run_round
from tests.labelling.packed import FIRST_KEY, lines, manifest, packed, whole_project

pytestmark = pytest.mark.django_db

TEXTS = ["apple or mango", "a cherry on a fig", "nothing of the kind"]


@pytest.fixture(scope="module")
def laid_out(laying_out) -> tuple[Project, Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labelling.jobs.releasing.snapshot", nullcontext)
        project = whole_project(account("ann"), account("rea"))
    return project, packed(laying_out, project)


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out[0])


@pytest.fixture
def path(laid_out) -> Path:
    return laid_out[1]


@pytest.fixture
def opener() -> User:
    return make_user("olga", is_staff=True)


def export_of(project: Project) -> str:
    return "".join(exports.export_lines(project, for_programs=True))


def promise_of(project: Project) -> tuple[object, ...]:
    """What the project promises, without the keys of the looks at its ledger."""
    promise = certificates.promise(project)
    looks = [look and model_to_dict(look, exclude=["id", "project", "round"]) for look in (promise.look, promise.held)]
    return (replace(promise, look=None, held=None), *looks)


def predictions_of(project: Project) -> list[tuple]:
    fields = ("document__text", "label__name", "probability", "belief", "posterior", "posterior_label__name", "gain")
    return list(project.rounds.first().predictions.order_by("document").values_list(*fields))


def test_every_table_and_every_value_with_keys_is_known():
    """A new model or a new JSON field has to be placed in tables.py."""
    known = [table.model for table in TABLES]
    ours = set(apps.get_app_config("labelling").get_models(include_auto_created=True))
    assert ours == {*known, *LEFT_OUT, VECTORS}
    assert len(known) + len(LEFT_OUT) + 1 == len(ours)
    for table in TABLES:
        values = {column.name for column in table.fields if isinstance(column, (JSONField, *COMPACT))}
        assert values == (table.plain | table.shapes.keys()) & values, table.model
        assert table.plain <= values, table.model
        assert not table.plain & table.shapes.keys(), table.model
        for column in table.fields:
            assert column.remote_field is None or column.related_model in {*known, User}, (table.model, column)


def test_the_project_of_these_tests_has_something_in_every_table(path):
    assert [table.file for table in TABLES if not lines(path, table.file)] == []
    assert {event["kind"] for event in lines(path, "labelevent.jsonl")} == set(LabelEvent.Kind) - {"make"}
    assert lines(path, "vectors.jsonl")
    assert manifest(path)["members"].keys() > {"model.npz", "releases/1/labels.csv"}


def test_it_gives_the_same_export_certificate_and_predictions(project, path, opener):
    other = unpack(path, opener, same_people=True)
    assert other.pk != project.pk
    assert export_of(other) == export_of(project)
    assert promise_of(other) == promise_of(project)
    release, same = project.releases.get(), other.releases.get()
    assert same.certificate == release.certificate
    for name in release.files:
        assert (same.folder / name).read_bytes() == (release.folder / name).read_bytes()
    names = [dict(one.labels.values_list("pk", "name")) | {None: None} for one in (project, other)]
    found = [Model.of(one).propose(TEXTS) for one in (project, other)]
    told = [[[(names[n][pk], belief) for pk, belief in text] for text in found[n]] for n in (0, 1)]
    assert told[0] == told[1]
    assert predictions_of(project) == predictions_of(other) != []


# Of the packed project keys have seven or eight digits, of the one that is made of it nine, and nothing else has.
OLD_KEY = re.compile(r"(?<![\w.:+-])\d{7,8}(?![\w.:-])")
NEW_KEY = re.compile(r"(?<![\w.:+-])\d{9}(?![\w.:-])")


def test_it_is_packed_again_as_it_was_with_other_keys(path, opener, tmp_path):
    """Row by row; and nowhere, however deep in a value, is a key that was not moved."""
    for table in TABLES:
        reserve(table.model, 100 * FIRST_KEY)
    made = unpack(path, opener, same_people=True)
    again, address = packed(tmp_path, made), f'"{made.slug}"'
    moved_by = {
        new["id"] - old["id"]
        for table in TABLES
        for old, new in zip(lines(path, table.file)[:1], lines(again, table.file)[:1], strict=True)
    }
    for table in TABLES:
        before, after = ([json.dumps(row) for row in lines(one, table.file)] for one in (path, again))
        if table.file == "membership.jsonl":
            assert '"role": "manager"' in after.pop()
        assert len(before) == len(after) > 0
        for one, other in zip(before, after, strict=True):
            assert not OLD_KEY.search(other), table.file
            moved = zip(OLD_KEY.findall(one), NEW_KEY.findall(other), strict=True)
            assert {int(new) - int(old) for old, new in moved} <= moved_by, table.file
            assert OLD_KEY.sub("key", one) == NEW_KEY.sub("key", other).replace(address, address[:-3] + '"'), table.file
    assert lines(path, "vectors.jsonl") == lines(again, "vectors.jsonl")


def test_there_and_back_again_takes_as_many_keys_as_there_are_rows(path, opener, tmp_path):
    twice = packed(tmp_path, unpack(packed(tmp_path, unpack(path, opener)), opener))
    spans = [manifest(one)["keys"] for one in (path, twice)]
    lengths = [{name: last - first for name, (first, last) in span.items()} for span in spans]
    lengths[1]["membership"] -= 2
    assert lengths[0] == lengths[1]


def test_a_next_round_runs_and_finds_the_same(project, path, opener):
    other = unpack(path, opener, same_people=True)
    assert [run_round(one).state for one in (project, other)] == ["done", "done"]
    assert export_of(other) == export_of(project)


def test_steps_in_labels_lives_are_undone_as_at_home(project, path, opener):
    other = unpack(path, opener, same_people=True)
    for one in (project, other):
        revisions.undo(one.revisions.get(), opener)
        for event in LabelEvent.objects.standing().filter(project=one, revision=None).order_by("-pk"):
            label_life.undo(event, opener)
        assert not LabelEvent.objects.standing().filter(project=one).exists()
    assert export_of(other) == export_of(project)
    columns = ("name", "merged_into__name", "parent__name", "definition")
    assert [*other.labels.values_list(*columns)] == [*project.labels.values_list(*columns)]


def test_people_are_names_alone(path, project, opener):
    """Nobody here is made responsible for what a file says in their name."""
    with zipfile.ZipFile(path) as file:
        assert json.loads(file.read("people.jsonl").splitlines()[0]).keys() == {"id", "name"}
    other = unpack(path, opener)
    people = {member.user.username: member for member in other.memberships.select_related("user")}
    assert people.keys() == {"ann-2", "rea-2", "olga"}
    assert people["olga"].role == people["ann-2"].role == "manager"
    for name in ("ann-2", "rea-2"):
        assert not people[name].user.is_active
        assert not people[name].user.has_usable_password()
    assert not account("rea").decisions.filter(document__project=other).exists()
    assert export_of(other).replace("rea-2", "rea").replace("ann-2", "ann") == export_of(project)


def test_what_is_of_an_installation_stays_behind(project, opener, tmp_path):
    project.queue.update(claimed_by=opener)
    project.rounds.update(confirmed_at=timezone.now())
    other = unpack(packed(tmp_path, project), opener)
    assert not other.queue.exclude(claimed_by=None).exists()
    assert not other.calls.exclude(fingerprint="").exists()
    assert not other.imports.exclude(file="").exists()
    assert other.confirm_spending
    assert not other.rounds.exclude(confirmed_at=None).exists()
    assert [entry.act for entry in other.diary.all()] == ["unpacked"]


def test_the_address_is_free_and_other_projects_are_as_they_were(path, project, opener):
    foreign = fruit_project()
    before = [export_of(one) for one in (project, foreign)]
    vectors = Embedding.objects.count()
    other = unpack(path, opener)
    assert other.slug == f"{project.slug}-2"
    assert [export_of(one) for one in (project, foreign)] == before
    assert Embedding.objects.count() == vectors
    new = fruit_project()
    assert new.pk > other.pk
    assert new.labels.first().pk > other.labels.order_by("pk").last().pk


def test_vectors_of_another_encoder_stay_in_the_file(path, opener, encoder, monkeypatch):
    Embedding.objects.all().delete()
    monkeypatch.setattr(type(encoder), "name", "another", raising=False)
    assert unpack(path, opener).rounds.count() == 2
    assert not Embedding.objects.exists()


def test_a_release_that_was_lost_is_lost_there_too(project, opener, tmp_path):
    (project.releases.get().folder / Release.LABELS_CSV).unlink()
    project.model_file.write_bytes(b"nothing that can be read")
    other = unpack(packed(tmp_path, project), opener)
    assert not other.model_file.exists()
    assert sorted(path.name for path in other.releases.get().folder.iterdir()) == ["certificate.json", "labels.jsonl"]
