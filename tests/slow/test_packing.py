"""A project goes from an installation on SQLite to one on another database, and on there."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from tests.site import Site, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

PROJECT = "eastmere-contact-centre"
# What a release says of itself and its time.
OF_A_RELEASE = ("released_at", "files", "claim")
N_PREDICTED = 1_000


def empty(tmp_path: Path, name: str, **settings: str) -> Site:
    (folder := tmp_path / name).mkdir()
    return Site(folder, **settings)


def written(site: Site, command: str, *arguments: str) -> bytes:
    file = site.folder / f"{command}.out"
    site.manage(command, PROJECT, *arguments, str(file))
    return file.read_bytes()


def in_python(site: Site, code: str) -> str:
    return site.manage("shell", "--no-imports", "--command", code).strip()


def certificate_of(site: Site) -> dict[str, object]:
    """What the next release promises."""
    site.manage("deliver", PROJECT, "--to", str(site.folder))
    told = json.loads(next(site.folder.glob("*-certificate.json")).read_text("utf-8"))
    return {name: value for name, value in told.items() if name not in OF_A_RELEASE}


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

    is_postgres = os.environ.get("DATABASE_URL", "").startswith("postgres")
    there = empty(tmp_path, "postgres" if is_postgres else "sqlite")
    make = "from django.contrib.auth.models import User; User.objects.create_user('olga', is_staff=True)"
    in_python(there, make)
    there.manage("unpack_project", str(file), "--manager", "olga")
    export = written(home, "export_csv")
    assert written(there, "export_csv") == export
    rows = list(csv.DictReader(io.StringIO(export.decode("utf-8-sig"))))
    texts = [f"{rows[n % len(rows)]['text']} ({n})" for n in range(N_PREDICTED)]
    with (tmp_path / "texts.csv").open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([["text"], *([text] for text in texts)])
    predicted = written(home, "predict", str(tmp_path / "texts.csv"), "--text-column", "text", "--to")
    assert written(there, "predict", str(tmp_path / "texts.csv"), "--text-column", "text", "--to") == predicted
    assert len(predicted.splitlines()) > N_PREDICTED
    assert certificate_of(there) == certificate_of(home)

    in_python(
        there,
        "from labelling.services.rounds import start_round; from labelling.models import Project;"
        "start_round(Project.objects.get(), Project.objects.get().memberships.get(user__username='olga').user)",
    )
    there.start("worker")
    wait_for(lambda: in_python(there, n_rounds) == "2", "the next round", seconds=400, pause=3)
    there.stop()
