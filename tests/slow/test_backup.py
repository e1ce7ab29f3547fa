"""A backup of a running site, restored into the other database."""

from __future__ import annotations

import os

import pytest

from tests.site import Site, running_site, wait_for

pytestmark = pytest.mark.slow

PROJECT = "eastmere-contact-centre"


def labels_of(site: Site) -> bytes:
    file = site.folder / "export.csv"
    site.manage("export_csv", PROJECT, str(file))
    return file.read_bytes()


def empty(tmp_path, name: str, **settings: str) -> Site:
    folder = tmp_path / name
    folder.mkdir()
    return Site(folder, **settings)


def test_what_is_kept_while_a_round_is_written_is_whole_and_goes_on_elsewhere(tmp_path):
    with running_site(tmp_path) as site:
        wait_for(lambda: b",seed," in labels_of(site), "the demo's texts")
        backup = tmp_path / "backup"
        site.manage("backup", str(backup), "--portable")
        copies = [empty(tmp_path, "sqlite", DATABASE_URL=f"sqlite:///{tmp_path / 'copy.sqlite3'}")]
        if os.environ.get("DATABASE_URL", "").startswith("postgres"):
            copies.append(empty(tmp_path, "postgres"))
        before = labels_of(site)
        for copy in copies:
            copy.manage("restore", str(backup))
            assert {line.split(b",")[1] for line in labels_of(copy).splitlines()} == {
                line.split(b",")[1] for line in before.splitlines()
            }
    copies[0].start("worker")
    wait_for(lambda: b",model," in labels_of(copies[0]), "the round, gone on with", seconds=400, pause=3)
    copies[0].stop()
