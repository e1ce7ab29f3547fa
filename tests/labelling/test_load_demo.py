"""The demo project is made once, whole, and never over somebody's work."""

from __future__ import annotations

import io

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from labelling.models import Document, Project

pytestmark = pytest.mark.django_db


def load_demo(*options: str) -> str:
    out = io.StringIO()
    call_command("load_demo", *options, stdout=out)
    return out.getvalue()


def test_a_first_start_loads_the_demo_and_prints_its_passwords():
    said = load_demo("--once")
    for name in ("admin", "expert"):
        password = said.split(f"Log in as {name}")[1].split("password ")[1].split()[0]
        assert User.objects.get(username=name).check_password(password)
    assert (Document.objects.count(), Document.objects.filter(holdout=True).count()) == (1278, 240)
    assert Project.objects.get().rounds.get().state == "queued"


def test_a_second_start_leaves_everything_as_it_is():
    load_demo("--once")
    Project.objects.update(name="Renamed")
    assert "there already" in load_demo("--once")
    assert Document.objects.count() == 1278


def test_a_demo_that_was_deleted_does_not_come_back_by_itself():
    load_demo("--once")
    Project.objects.all().delete()
    assert "in use" in load_demo("--once")
    assert not Project.objects.exists()
    load_demo()
    assert Document.objects.count() == 1278


def test_a_start_that_was_interrupted_is_finished_by_the_next():
    load_demo("--once")
    project = Project.objects.get()
    project.rounds.all().delete()
    project.documents.filter(holdout=True).delete()
    load_demo("--once")
    assert Document.objects.count() == 1278
    assert Project.objects.get().rounds.exists()
