"""The demo project is made once, whole, and never over somebody's work."""

from __future__ import annotations

import io

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from labelling.management.commands.fake_messages_api import labels_in
from labelling.models import Document, Price, Project
from tests.conftest import ROOT

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


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


def test_a_simulated_judge_is_the_demos_and_named_on_every_page(client, admin_client, settings):
    """Also where nobody has logged in, where nothing is found, and in the admin; without it no page speaks of it."""
    addresses = ["/login/", "/admin/", "/no/such/page/", "/", "/p/eastmere-contact-centre/"]
    settings.SIMULATED_JUDGE = 0.95
    load_demo()
    project = Project.objects.get()
    assert (project.judge, project.judge_model, project.confirm_spending) == ("anthropic", "simulation", False)
    assert Price.objects.today("simulation").cost(10**6, 10**6, 10**6, 10**6) == 0
    pages = [client.get("/login/"), client.get("/admin/login/"), *map(admin_client.get, addresses)]
    assert all("is right 95 % of the time" in page.text for page in pages if page.status_code != 302)
    assert sum(page.status_code != 302 for page in pages) >= 5
    settings.SIMULATED_JUDGE = 0.0
    assert "simulation" not in client.get("/login/").text


def test_without_a_simulation_the_demo_asks_no_language_model():
    load_demo()
    assert Project.objects.get().judge != "anthropic"
    assert not Price.objects.exists()


def test_the_simulation_knows_every_text_of_the_demo():
    """The file that `make run-judge` gives the stand-in holds the true label of each text that the demo loads."""
    command = (ROOT / "Procfile.judge").read_text()
    truth = next(word for word in command.split() if word.endswith(".csv"))
    load_demo()
    known = labels_in(ROOT / truth)
    assert {*known} == {*Document.objects.values_list("text", flat=True)}
    assert {*known.values()} - {""} == {*Project.objects.get().labels.values_list("name", flat=True)}
