"""Files and vectors that are damaged or gone: what is only a cache is made anew, what is not is told of."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from classifiers.embeddings import DEFAULT_ENCODER
from classifiers.quantized import TOKENIZER, load_encoder
from labelling import jobs
from labelling.models import Embedding, Round
from labelling.services import imports, packing, releases
from tests.factories import csv_file, fruit_project, fruit_rows, import_doubtful, make_project, make_user, run_round

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def linked_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def turned(path: Path) -> None:
    """One bit in the middle is another."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def pickled(path: Path) -> None:
    np.savez(path, label_ids=np.array([object()], dtype=object), allow_pickle=True)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut off": cut,
    "another file": lambda path: path.write_bytes(b"PK\x03\x04 no such file"),
    "a link to nowhere": linked_to_nowhere,
}
OF_MODELS = DAMAGES | {
    "one bit turned": turned,
    "pickled": pickled,
    "another archive": lambda path: zipfile.ZipFile(path, "w").close(),
    "without a part": lambda path: np.savez(path, label_ids=np.array([1])),
}


@pytest.mark.parametrize("damage", OF_MODELS)
def test_model_file(damage):
    project = fruit_project(retrain_after=0)
    run_round(project)
    OF_MODELS[damage](project.model_file)
    import_doubtful(project)
    assert (round_ := run_round(project)).state == Round.State.DONE, round_.error
    assert project.model_file.is_file()
    with np.load(project.model_file, allow_pickle=False) as file:
        assert "round_number" in file.files


OF_VECTORS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda vector: b"",
    "cut off": lambda vector: vector[40:80],
    "cut in a number": lambda vector: vector[:-1],
    "too long": lambda vector: vector * 2,
    "no number": lambda vector: np.full(len(vector) // 4, np.nan, dtype=np.float32).tobytes(),
    "infinite": lambda vector: np.full(len(vector) // 4, np.inf, dtype=np.float32).tobytes(),
    "zero": lambda vector: bytes(len(vector)),
}


@pytest.mark.parametrize("whose", ["one", "all"])
@pytest.mark.parametrize("damage", OF_VECTORS)
def test_vectors(damage, whose):
    project = fruit_project(retrain_after=0)
    run_round(project)
    whole = {row.text_hash: bytes(row.vector) for row in Embedding.objects.all()}
    for key in list(whole)[: 1 if whose == "one" else None]:
        Embedding.objects.filter(text_hash=key).update(vector=OF_VECTORS[damage](whole[key]))
    import_doubtful(project)
    assert (round_ := run_round(project)).state == Round.State.DONE, round_.error
    assert whole.items() <= {row.text_hash: bytes(row.vector) for row in Embedding.objects.all()}.items()


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> Path:
    cache = tmp_path_factory.mktemp("encoders")
    load_encoder(DEFAULT_ENCODER, cache).encode(["a text"])
    return cache


@pytest.mark.parametrize(("damage", "file"), [("cut off", "model.bin"), ("empty", TOKENIZER), ("gone", "config.json")])
def test_encoder(damage, file, converted, tmp_path):
    cache = tmp_path / "encoders"
    shutil.copytree(converted, cache)
    expected = load_encoder(DEFAULT_ENCODER, converted).encode(["a text"])
    (found,) = cache.rglob(file)
    DAMAGES[damage](found)
    assert np.array_equal(load_encoder(DEFAULT_ENCODER, cache).encode(["a text"]), expected)


@pytest.mark.parametrize("damage", DAMAGES)
def test_packed_file(damage):
    project = fruit_project()
    packed = packing.start(project, make_user())
    jobs.run_packing(packed.pk)
    DAMAGES[damage](packed.path)
    client = Client(raise_request_exception=False)
    client.force_login(project.memberships.get().user)
    answer = client.get(reverse("packed_project", args=[project.slug]))
    assert answer.status_code < 500
    packed.refresh_from_db()
    packing.start(project, make_user())
    jobs.run_packing(packed.pk)
    assert zipfile.ZipFile(packed.path).testzip() is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_release_file(damage):
    project = fruit_project(retrain_after=0)
    run_round(project)
    release = releases.start_here(project)
    jobs.run_release(release.pk)
    release.refresh_from_db()
    path = release.folder / "labels.csv"
    path.chmod(0o644)
    DAMAGES[damage](path)
    client = Client(raise_request_exception=False)
    client.force_login(project.memberships.get().user)
    for name in ("release", "release_file"):
        arguments = [project.slug, release.number, "labels.csv"][: 3 if name == "release_file" else 2]
        answer = client.get(reverse(name, args=arguments))
        assert answer.status_code < 500, name
    again = releases.start_here(project)
    jobs.run_release(again.pk)
    again.refresh_from_db()
    assert (again.state, again.counts) == ("done", release.counts)


@pytest.mark.parametrize("damage", ["gone", "empty"])
def test_imported_file_for_a_while(damage):
    project = make_project()
    csv_import = imports.upload(project, csv_file(fruit_rows()), user=None)
    imports.start_here(csv_import)
    path = Path(settings.MEDIA_ROOT, csv_import.file.name)
    whole = path.read_bytes()
    DAMAGES[damage](path)
    with pytest.raises(FileNotFoundError):
        jobs.run_import(csv_import.pk)
    csv_import.refresh_from_db()
    assert (csv_import.state, bool(csv_import.error)) == ("queued", True)
    assert not project.documents.exists()
    path.write_bytes(whole)
    jobs.run_import(csv_import.pk)
    csv_import.refresh_from_db()
    assert (csv_import.state, csv_import.error) == ("done", "")
    assert project.documents.count() == len(fruit_rows())
