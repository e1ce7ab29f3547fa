"""Files that are damaged, foreign or hostile: each is refused by the name of what is wrong, and leaves nothing."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.contrib.auth.models import User

from labelling.jobs.packing import container, unpack
from labelling.jobs.packing.container import MANIFEST, Faulty
from labelling.jobs.packing.tables import TABLES
from labelling.models import Embedding, Project
from tests.factories import account, make_user, run_round
from tests.labelling.packed import line, manifest, packed, tampered, whole_project

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


@pytest.fixture(scope="module")
def path(laying_out) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labelling.jobs.releasing.snapshot", nullcontext)
        return packed(laying_out, whole_project(account("ann"), account("rea")))


@pytest.fixture
def opener() -> User:
    return make_user("olga")


@pytest.fixture
def nothing_changes(path) -> Iterator[None]:
    """No row and no file more than before."""
    before = _standing()
    yield
    assert _standing() == before


def _standing() -> tuple[Any, ...]:
    files = sorted(str(one) for one in Path(settings.MEDIA_ROOT).rglob("*") if one.is_file())
    rows = [table.model._base_manager.count() for table in TABLES]
    return files, rows, User.objects.exclude(username="olga").count(), Embedding.objects.count()


def refused(path: Path, opener: User) -> str:
    with pytest.raises(Faulty) as refusal:
        unpack(path, opener)
    return str(refusal.value)


def told(**values: Any) -> Callable[[bytes], bytes]:
    """Another manifest."""
    return lambda text: json.dumps(json.loads(text) | values).encode()


def appended(row: object) -> Callable[[bytes], bytes]:
    return lambda content: content + json.dumps(row).encode() + b"\n"


def test_a_copy_with_the_same_members_is_no_other_file(path, opener):
    assert unpack(tampered(path, {}), opener).documents.exists()


# Damaged on the way


@pytest.mark.parametrize("share", [0.999, 0.9, 0.7, 0.5, 0.3, 0.1])
@pytest.mark.usefixtures("nothing_changes")
def test_what_is_cut_off_names_the_member(path, opener, tmp_path, share):
    content = path.read_bytes()
    cut = int(share * len(content))
    with zipfile.ZipFile(path) as file:
        begun = [one.filename for one in file.infolist() if one.header_offset + 30 + len(one.filename) <= cut]
    (short := tmp_path / "short.zip").write_bytes(content[:cut])
    assert refused(short, opener) == f"{begun[-1]}: the file is cut off here."


@pytest.mark.parametrize(("content", "name"), [(b"", "x.zip"), (b"id,text\n1,apple\n", "x.zip"), (None, "x.zip")])
@pytest.mark.usefixtures("nothing_changes")
def test_what_is_no_zip_is_named_itself(opener, tmp_path, content, name):
    file = tmp_path / "x.zip"
    if content is not None:
        file.write_bytes(content)
    assert refused(file, opener).startswith(f"{name}: ")


@pytest.mark.usefixtures("nothing_changes")
def test_a_flipped_bit_names_the_member(path, opener, tmp_path):
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        info = file.getinfo("document.jsonl")
    content[info.header_offset + len("document.jsonl") + 60] ^= 1
    (flipped := tmp_path / "flipped.zip").write_bytes(content)
    assert refused(flipped, opener).startswith("document.jsonl: ")


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("document.jsonl", lambda content: content.replace(b"apple", b"grape"), "checksum"),
        ("label.jsonl", lambda content: content + b"\n", "larger"),
        ("query.jsonl", lambda content: None, "missing"),
        ("evil.py", lambda content: b"x", "no such member"),
        ("../../evil.jsonl", lambda content: b"x", "no such member"),
        ("/etc/passwd", lambda content: b"x", "no such member"),
        ("releases/1/../../evil", lambda content: b"x", "no such member"),
        ("releases/9/labels.csv", lambda content: b"x", "manifest doesn't know"),
    ],
)
@pytest.mark.usefixtures("nothing_changes")
def test_members_are_what_the_manifest_says(path, opener, name, change, why):
    refusal = refused(tampered(path, {name: change}, is_told=False), opener)
    assert refusal.startswith(f"'{name}'" if "such" in why else name)
    assert why in refusal


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.usefixtures("nothing_changes")
def test_a_member_is_there_once(path, opener):
    copy = tampered(path, {})
    with zipfile.ZipFile(copy, "a") as file:
        file.writestr("label.jsonl", b"")
    assert refused(copy, opener).startswith("label.jsonl: it is there twice")


# Foreign, or newer


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (told(format=2, version="9.0"), "version 9.0"),
        (told(schema="0999_later"), "newer"),
        (told(schema=None), "version"),
        (told(format=True), "version"),
        (told(kind="Other"), "no file of a project"),
        (told(members=[]), "members"),
        (told(members={"label.jsonl": {"bytes": -1, "sha256": "0" * 64}}), "members"),
        (told(members={"label.jsonl": {"bytes": 1, "sha256": "x"}}), "members"),
        (told(keys={"label": [1, 10**11]}), "keys"),
        (told(keys={"label": [10**18, 10**18]}), "keys"),
        (told(keys={"label": [0, 1]}), "keys"),
        (told(keys={"label": [2, 1]}), "keys"),
        (told(keys={"label": [1]}), "keys"),
        (told(keys={"label": ["1", 2]}), "keys"),
        (told(keys=None), "keys"),
        (told(encoder=7), "encoder"),
        (lambda text: b"[1]", "no file of a project"),
        (lambda text: b"{", "no JSON"),
        (lambda text: b"[" * 100_000, "no JSON"),
        (lambda text: text.replace(b'"format": 1', b'"format": NaN'), "no JSON"),
    ],
)
@pytest.mark.usefixtures("nothing_changes")
def test_the_manifest_is_looked_at_first(path, opener, change, why):
    refusal = refused(tampered(path, {MANIFEST: change}), opener)
    assert refusal.startswith("manifest.json: ")
    assert why in refusal


@pytest.mark.usefixtures("nothing_changes")
def test_another_programs_zip_has_no_manifest(opener, tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("a.txt", "b")
    assert refused(tmp_path / "other.zip", opener).startswith("manifest.json: it is missing")


# Filled up


@pytest.mark.usefixtures("nothing_changes")
def test_what_unpacks_to_far_more_than_it_is_packed_is_not_read(path, opener, monkeypatch):
    monkeypatch.setattr(container, "SMALL_BYTES", 1_000)
    grown = tampered(path, {"vectors.jsonl": lambda content: content + b" " * 20_000_000})
    monkeypatch.setattr(zipfile.ZipFile, "open", _only_the_manifest(zipfile.ZipFile.open))
    assert refused(grown, opener).startswith("vectors.jsonl: it would be larger")


def _only_the_manifest(open_: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: zipfile.ZipFile, name: Any, *arguments: Any, **more: Any) -> Any:
        assert name == MANIFEST
        return open_(self, name, *arguments, **more)

    return guarded


@pytest.mark.usefixtures("nothing_changes")
def test_a_line_without_an_end_is_not_held_in_memory(path, opener, monkeypatch):
    monkeypatch.setattr(container, "MOST_LINE_BYTES", 2_000)
    long = tampered(path, {"label.jsonl": lambda content: b'{"name": "' + b"x" * 10_000 + b'"}'})
    assert refused(long, opener).startswith("label.jsonl, line 1: no JSON")


# Rows


def in_a_ring(content: bytes) -> bytes:
    one, other, *others = [json.loads(row) for row in content.splitlines()]
    one["parent_id"], other["parent_id"] = other["id"], one["id"]
    return b"".join(json.dumps(row).encode() + b"\n" for row in (one, other, *others))


@pytest.mark.parametrize(
    ("file", "change", "why"),
    [
        ("project", lambda content: b"", "there is no project"),
        ("project", lambda content: content + content, "line 2: there is more than one project"),
        ("project", line(0, judge="evil"), "line 1: judge can't be 'evil'"),
        ("project", line(0, metadata_columns={}), "metadata_columns"),
        ("project", line(0, confirm_spending=False), "confirm_spending is unknown"),
        ("project", line(0, slug="../x"), "slug"),
        ("project", line(0, created_at="2026-01-01T00:00:00"), "time zone"),
        ("project", line(0, created_at="yesterday"), "created_at"),
        ("project", line(0, batch_size=0), "batch_size"),
        ("project", line(0, batch_size="7"), "batch_size"),
        ("project", line(0, auto_accept=1), "auto_accept"),
        ("project", line(0, name=None), "name"),
        ("project", line(0, name=...), "name is missing"),
        ("project", line(0, name="x" * 101), "name"),
        ("project", line(0, id=...), "id is missing"),
        ("project", line(0, id=True), "id"),
        ("project", line(0, id=0), "no project of this key"),
        ("project", line(0, id=10**9), "no project of this key"),
        ("project", line(0, id=-5), "no project of this key"),
        ("label", line(1, project_id=1), "no project of this key"),
        ("label", line(1, parent_id=1), "no label of this key"),
        ("label", lambda content: content + content, "can't stand beside each other"),
        ("label", appended([]), "no row"),
        ("label", appended({"surprise": 1}), "surprise is unknown"),
        ("label", in_a_ring, "lie under itself"),
        ("document", line(0, metadata={"a": ["b"]}), "a str is wanted"),
        ("document", line(0, text="another"), "text_hash is of another text"),
        ("document", line(0, csv_import_id=10**9), "no csv import of this key"),
        ("csvimport", line(0, file="../../secret"), "file is unknown"),
        ("csvimport", line(0, made_labels=[10**12]), "no label of this key"),
        ("csvimport", line(0, state="running"), "packed while it ran"),
        ("round", line(0, state="queued"), "packed while it ran"),
        ("round", line(0, rivals={"x": []}), "a key is wanted"),
        ("round", line(0, expected=[]), "expected"),
        ("prediction", line(0, candidates=[[1]]), "too short"),
        ("prediction", line(0, candidates=[[None, "x"]]), "a number is wanted"),
        ("prediction", line(0, candidates="x"), "candidates"),
        ("prediction", line(0, posterior=None), "posterior is empty"),
        ("query", line(0, examples=[["1", 1, 0.5]]), "a key is wanted"),
        ("query", line(0, examples={}), "a list is wanted"),
        ("call", line(0, state="in flight"), "on its way"),
        ("call", line(0, fingerprint="f"), "fingerprint is unknown"),
        ("call", line(0, cost="much"), "cost"),
        ("messagebatch", line(0, ended_at=None), "on their way"),
        ("decision", line(0, reviewer_id=10**6), "nobody is known by this key"),
        ("queueentry", line(0, claimed_by_id=1), "claimed_by_id is unknown"),
        ("bulkact", line(0, rows=["x"]), "a key is wanted"),
        ("bulkact", line(0, kind="label"), "nothing is stored with this kind"),
        ("revision", line(0, counts={"created": [10**12]}), "no label of this key"),
        ("release", line(0, files={"../../etc/passwd": {"sha256": "0"}}), "files"),
        ("release", line(0, number=7), "releases/1/"),
        ("people", lambda content: content + content, "there twice"),
        ("people", line(0, name="a b"), "username"),
        ("people", line(0, name=None), "username"),
        ("people", line(0, id="1"), "its key is missing"),
    ],
)
@pytest.mark.usefixtures("nothing_changes")
def test_every_row_is_what_the_tables_hold(path, opener, file, change, why):
    refusal = refused(tampered(path, {f"{file}.jsonl": change}), opener)
    assert refusal.startswith((f"{file}.jsonl", "releases/")), refusal
    assert why in refusal


@pytest.mark.parametrize("name", ["label_id", "document_id", "round_id", "posterior_label_id"])
@pytest.mark.usefixtures("nothing_changes")
def test_no_row_leads_to_one_that_was_here_before(path, opener, name):
    """Whatever key a file names, it is moved to where only its own rows are."""
    keys = {model: [1, highest] for model, (_, highest) in manifest(path)["keys"].items()}
    stray = {"prediction.jsonl": line(0, **{name: 1}), MANIFEST: told(keys=keys)}
    refusal = refused(tampered(path, stray), opener)
    assert refusal == f"prediction.jsonl: {name[:-3]} leads to a row that is not in the file."


@pytest.mark.usefixtures("nothing_changes")
def test_no_more_accounts_are_made_than_a_project_has_people(path, opener, monkeypatch):
    monkeypatch.setattr("labelling.jobs.packing.reading.MOST_PEOPLE", 1)
    assert refused(path, opener) == "people.jsonl: there are too many people in it."


# Vectors and the model


def vector(values: np.ndarray) -> str:
    return base64.b64encode(values.astype(np.float32).tobytes()).decode()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"vector": "%%%"}, "no vector"),
        ({"vector": None}, "no vector"),
        ({"vector": base64.b64encode(b"abc").decode()}, "no vector"),
        ({"vector": vector(np.full(64, np.nan))}, "not all of it are numbers"),
        ({"vector": vector(np.ones(3))}, "another length"),
        ({"text_hash": "0" * 64}, "of no text of the project"),
        ({"n_windows": -1}, "n_windows"),
    ],
)
@pytest.mark.usefixtures("nothing_changes")
def test_vectors_are_of_the_projects_texts(path, opener, values, why):
    refusal = refused(tampered(path, {"vectors.jsonl": line(2, **values)}), opener)
    assert refusal.startswith("vectors.jsonl")
    assert why in refusal


@pytest.mark.parametrize("size", [64, 3])
def test_vectors_are_what_the_encoder_makes_of_the_texts(path, opener, size):
    """They are kept by the text: another project with the same text would be given them."""
    Embedding.objects.all().delete()

    def others(content: bytes) -> bytes:
        rows = [json.loads(one) | {"vector": vector(np.arange(size) - 7)} for one in content.splitlines()]
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)

    assert refused(tampered(path, {"vectors.jsonl": others}), opener).startswith("vectors.jsonl")
    assert not Embedding.objects.exists()


def arrays(**values: Any) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            kept = {name: file[name] for name in file.files} | values
        np.savez(out := io.BytesIO(), **kept)
        return out.getvalue()

    return change


def squeezed(content: bytes) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        np.savez_compressed(out := io.BytesIO(), **{name: file[name] for name in file.files})
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda content: b"no archive", "can't be read"),
        (lambda content: content[:-100], "can't be read"),
        (arrays(label_ids=np.array([print], dtype=object)), "no model that can be read"),
        (arrays(label_ids=np.array([10**12])), "no label of this key"),
        (squeezed, "packed once more"),
    ],
)
@pytest.mark.usefixtures("nothing_changes")
def test_a_model_is_arrays_of_numbers(path, opener, change, why):
    refusal = refused(tampered(path, {"model.npz": change}), opener)
    assert refusal.startswith("model.npz: ")
    assert why in refusal


# At the source


def test_a_value_that_could_not_be_unpacked_is_not_packed(path, tmp_path):
    project = Project.objects.get()
    project.rounds.update(rivals={"apple": []})
    with pytest.raises(Faulty, match=r"round.jsonl, rivals of \d+: a key is wanted"):
        packed(tmp_path, project)
    assert not list(tmp_path.glob("*.zip"))


def test_what_is_younger_than_a_file_has_its_default(path, opener):
    older = tampered(path, {"decision.jsonl": _without("answered_first"), "query.jsonl": _without("words")})
    project = unpack(older, opener)
    assert not any(project.rounds.first().queries.values_list("words", flat=True))
    assert run_round(project).state == "done"


def _without(name: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        rows = [json.loads(one) for one in content.splitlines()]
        return b"".join(json.dumps({k: v for k, v in row.items() if k != name}).encode() + b"\n" for row in rows)

    return change
