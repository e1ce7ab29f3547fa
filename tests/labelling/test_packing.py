"""A project in one file, and what another installation makes of it."""

from __future__ import annotations

import pytest

from labelling.jobs.packing import pack, unpack
from labelling.services import exports
from tests.factories import fruit_project, make_user, run_round

pytestmark = pytest.mark.django_db(transaction=True)


def export_of(project) -> str:
    return "".join(exports.export_lines(project, for_programs=True))


def test_smoke(tmp_path):
    project = fruit_project(manager=make_user("ann"), reviewers=[make_user("rea")], retrain_after=0)
    run_round(project)
    pack(project, tmp_path / "a.zip")
    other = unpack(tmp_path / "a.zip", make_user("olga"))
    assert export_of(other) == export_of(project)
    run_round(other)
