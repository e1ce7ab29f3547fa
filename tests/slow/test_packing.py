"""A project goes from an installation on SQLite to one on another database, and on there."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from labelling.csv_io.rows import text_hash
from labelling.jobs.packing import pack, unpack
from labelling.models import (
    Cohort,
    CohortMember,
    Decision,
    Document,
    Embedding,
    Label,
    Prediction,
    Project,
    Query,
    Round,
    SettledLabel,
)
from tests import measure_loop
from tests.factories import make_project, make_user, quickest
from tests.fakes import HashingEncoder
from tests.labelling.packed import tampered
from tests.site import Site, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

PROJECT = "eastmere-contact-centre"
# What a release says of itself and its time.
OF_A_RELEASE = ("released_at", "files", "claim")
N_PREDICTED = 1_000


def empty(tmp_path: Path, name: str, **settings: str) -> Site:
    (folder := tmp_path / name).mkdir()
    return Site(folder, **settings)


def written(site: Site, command: str, project: str, *arguments: str) -> bytes:
    file = site.folder / f"{command}.out"
    site.manage(command, project, *arguments, str(file))
    return file.read_bytes()


def in_python(site: Site, code: str) -> str:
    return site.manage("shell", "--no-imports", "--command", code).strip()


def certificate_of(site: Site, project: str) -> dict[str, object]:
    """What the next release promises."""
    site.manage("deliver", project, "--to", str(site.folder))
    told = json.loads(next(site.folder.glob("*-certificate.json")).read_text("utf-8"))
    return {name: value for name, value in told.items() if name not in OF_A_RELEASE}


def installation(tmp_path: Path) -> Site:
    """Another one with a person in it, on the database that DATABASE_URL names."""
    there = empty(tmp_path, "postgres" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite")
    make = "from django.contrib.auth.models import User; User.objects.create_user('olga', is_staff=True)"
    in_python(there, make)
    return there


def assert_alike(home: Site, there: Site, project: str) -> None:
    """Both export the same bytes, predict the same of texts that neither knows, and promise the same."""
    export = written(home, "export_csv", project)
    assert written(there, "export_csv", project) == export
    rows = list(csv.DictReader(io.StringIO(export.decode("utf-8-sig"))))
    texts = [f"{rows[n % len(rows)]['text']} ({n})" for n in range(N_PREDICTED)]
    with (asked := home.folder / "texts.csv").open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([["text"], *([text] for text in texts)])
    predicted = written(home, "predict", project, str(asked), "--text-column", "text", "--to")
    assert written(there, "predict", project, str(asked), "--text-column", "text", "--to") == predicted
    assert len(predicted.splitlines()) > N_PREDICTED
    assert certificate_of(there, project) == certificate_of(home, project)


def test_it_gives_the_same_and_goes_on(tmp_path):
    home = empty(tmp_path, "home", DATABASE_URL=f"sqlite:///{tmp_path / 'home.sqlite3'}")
    home.manage("migrate")
    home.set_up()
    n_rounds = "from labelling.models import Round; print(Round.objects.filter(state='done').count())"
    home.start("worker")
    wait_for(lambda: in_python(home, n_rounds) == "1", "the first round", seconds=400, pause=3)
    home.stop()
    file = tmp_path / "project.zip"
    home.manage("pack_project", PROJECT, str(file))

    there = installation(tmp_path)
    there.manage("unpack_project", str(file), "--manager", "olga")
    assert_alike(home, there, PROJECT)

    in_python(
        there,
        "from labelling.services.rounds import start_round; from labelling.models import Project;"
        "start_round(Project.objects.get(), Project.objects.get().memberships.get(user__username='olga').user)",
    )
    there.start("worker")
    wait_for(lambda: in_python(there, n_rounds) == "2", "the next round", seconds=400, pause=3)
    there.stop()


N_DOCUMENTS, N_ROUNDS, N_ASKED, MOST_SECONDS = 10_000, 8, 500, 60
# A few of the last round's are left: all forty would start another one.
N_DECISIONS = 300


@pytest.mark.skipif("RED_DATA" not in os.environ, reason="Half an hour: make measure-archive.")
@pytest.mark.timeout(4 * 3_600)
def test_banking77_after_eight_rounds_gives_the_same_elsewhere(tmp_path, monkeypatch):
    """The loop of `make measure-loop` with its judge, packed and unpacked by commands that a clock stands beside."""
    with monkeypatch.context() as patch:
        patch.delenv("DATABASE_URL", raising=False)
        (folder := tmp_path / "home").mkdir()
        with measure_loop.loop(folder, "banking77", "anthropic", 0.95, 0.95, N_DECISIONS) as (home, *_):
            pass
    rounds = "from labelling.models import Round; print(*Round.objects.order_by('pk').values_list('state', flat=True))"
    assert in_python(home, rounds).split() == ["done"] * N_ROUNDS
    file, there, project = tmp_path / "project.zip", installation(tmp_path), "measured"
    packing = seconds_of(lambda: home.manage("pack_project", project, str(file)))

    other = {"decision.jsonl": lambda content: content.replace(b"accept", b"reject", 1)}
    with pytest.raises(AssertionError, match=r"decision\.jsonl"):
        there.manage("unpack_project", str(tampered(file, other, is_told=False)), "--manager", "olga")
    # Which every installation does once.
    in_python(
        there,
        "from django.conf import settings; from labelling.jobs import vectors; vectors.load_encoder(settings.ENCODER)",
    )
    unpacking = seconds_of(lambda: there.manage("unpack_project", str(file), "--manager", "olga"))
    sys.stdout.write(f"packing {packing:.0f} s, unpacking {unpacking:.0f} s, {file.stat().st_size / 2**20:.0f} MB\n")
    assert_alike(home, there, project)
    assert max(packing, unpacking) < MOST_SECONDS


def seconds_of(step: Callable[[], object]) -> float:
    started = time.monotonic()
    step()
    return time.monotonic() - started


@pytest.mark.django_db(transaction=True)
def test_ten_thousand_documents_and_eight_rounds_take_less_than_a_minute_each_way(tmp_path):
    project = _large_project()
    steps = (lambda: pack(project, tmp_path / "a.zip"), lambda: unpack(tmp_path / "a.zip", make_user()))
    seconds = [quickest(step, runs=1) for step in steps]
    assert max(seconds) < MOST_SECONDS, seconds
    assert Prediction.objects.count() == 2 * N_DOCUMENTS


def _large_project() -> Project:
    """Rows as a project of this size has them, written at once: eight rounds would take an hour."""
    project, encoder = make_project(), HashingEncoder()
    labels = Label.objects.bulk_create(Label(project=project, name=f"label {n}") for n in range(77))
    texts = [f"text {n} about this and that, and some words more, as long as usual" for n in range(N_DOCUMENTS)]
    documents = Document.objects.bulk_create(
        Document(project=project, text=text, text_hash=text_hash(text)) for text in texts
    )
    vectors = zip(documents, encoder.encode(texts), strict=True)
    Embedding.objects.bulk_create(
        Embedding(text_hash=document.text_hash, encoder=encoder.name, vector=vector.tobytes())
        for document, vector in vectors
    )
    rounds = [Round.objects.create(project=project, number=n + 1, state="done") for n in range(N_ROUNDS)]
    best = [[label.pk, 0.0625] for label in labels[:10]]
    believed = {"label": labels[0], "probability": 0.5, "entropy": 1.0, "posterior": 0.5, "candidates": best}
    Prediction.objects.bulk_create(
        Prediction(document=document, round=rounds[-1], belief=[0.0625] * 11, **believed) for document in documents
    )
    settled = {"project": project, "label": labels[1], "source": "model", "posterior": 0.9, "round": rounds[-1]}
    versions = SettledLabel.objects.bulk_create(SettledLabel(document=document, **settled) for document in documents)
    cohort = Cohort.objects.create(project=project, ledger=0, number=0, round=rounds[0])
    CohortMember.objects.bulk_create(CohortMember(cohort=cohort, settled=one, key=0.5) for one in versions)
    for round_ in rounds:
        shown = [[document.pk, labels[2].pk, 0.5] for document in documents[:12]]
        asked = {**believed, "posterior": 0.5, "examples": shown, "neighbours": shown}
        queries = Query.objects.bulk_create(
            Query(round=round_, document=document, rank=0, **asked) for document in documents[:N_ASKED]
        )
        Decision.objects.bulk_create(
            Decision(document=query.document, query=query, action="accept", label=query.label) for query in queries
        )
    return project
