"""Who may see and do what, for every address there is."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import URLPattern, reverse

from labelling.models import Comparison, CsvImport, Definition, Flag, Label, Round
from labelling.services import definitions, imports, labels, rounds
from labelling.urls import project_urls
from tests.factories import csv_file, fruit_project, make_user, run_round

pytestmark = pytest.mark.django_db

ONLY_MANAGERS = {
    "project_settings",
    "members",
    "remove_member",
    "create_label",
    "delete_label",
    "import_definitions",
    "upload",
    "import",
    "import_progress",
    "keep_good_rows",
    "cancel_import",
    "retry_import",
    "rejected_rows",
    "start_round",
    "ask_again",
    "cancel_round",
    "go_on_round",
    "retry_judge",
    "judge",
    "measure",
    "measuring_progress",
    "drafts",
    "start_drafting",
    "drafting_progress",
    "approve_drafts",
    "go_on_drafting",
    "cancel_drafting",
    "retry_drafting",
    "decide_draft",
    "start_comparison",
    "comparison",
    "comparison_progress",
    "go_on_comparison",
    "cancel_comparison",
    "retry_comparison",
    "switch_judge",
    "agree_to_forecast",
    "stop_asking",
    "ledger",
}
ALL = sorted(pattern.name for pattern in project_urls if isinstance(pattern, URLPattern) and pattern.name)
NOT_LOGGED_IN = {"login", "health"}


@pytest.fixture
def manager():
    return make_user("manager")


@pytest.fixture
def reviewer():
    return make_user("reviewer")


@pytest.fixture
def project(manager, reviewer):
    project = fruit_project(manager=manager, reviewers=[reviewer], batch_size=5, retrain_after=0)
    run_round(project)
    return project


@pytest.fixture
def addresses(project) -> dict[str, str]:
    """Each address of the project, with arguments that exist."""
    waiting = imports.upload(project, csv_file([("new", "")]), user=None)
    drafting = definitions.start_drafting(project, None, "all", "big-1")
    comparison = Comparison.objects.create(project=project, model="big-1", state="waiting")
    flag = Flag.objects.create(document=project.documents.first(), comment="odd")
    arguments: dict[str, dict[str, int]] = {
        **dict.fromkeys(
            [
                "comparison",
                "comparison_progress",
                "go_on_comparison",
                "cancel_comparison",
                "retry_comparison",
                "switch_judge",
            ],
            {"pk": comparison.pk},
        ),
        **dict.fromkeys(["go_on_drafting", "cancel_drafting", "retry_drafting"], {"pk": drafting.pk}),
        "decide_draft": {"pk": drafting.drafts.first().pk},
        **dict.fromkeys(["label", "delete_label", "versions"], {"pk": Label.objects.filter(project=project)[0].pk}),
        **dict.fromkeys(["document", "flag"], {"pk": project.documents.first().pk}),
        "lower_flag": {"pk": project.documents.first().pk, "flag_pk": flag.pk},
        "remove_member": {"pk": project.memberships.first().pk},
        **dict.fromkeys(
            ["import", "import_progress", "keep_good_rows", "cancel_import", "retry_import", "rejected_rows"],
            {"pk": waiting.pk},
        ),
        **dict.fromkeys(
            ["round", "cancel_round", "go_on_round", "retry_judge", "agree_to_forecast", "stop_asking"], {"number": 1}
        ),
        **dict.fromkeys(["decide", "renew_claim", "decide_disagreement"], {"entry_id": project.queue.first().pk}),
        "accept_in_bulk": {"label_id": project.labels.first().pk},
    }
    return {name: reverse(name, kwargs={"slug": project.slug} | arguments.get(name, {})) for name in ALL}


def both_ways(client: Client, address: str) -> set[int]:
    """The answers to a look and to a send; 405 is no answer to who may do it."""
    return {client.get(address).status_code, client.post(address).status_code} - {405}


@pytest.mark.parametrize("name", ALL)
def test_nobody_gets_in_without_logging_in(client, addresses, name):
    for response in (client.get(addresses[name]), client.post(addresses[name])):
        assert response.status_code == 302
        assert response["Location"].startswith(reverse("login"))


def test_a_page_that_asks_without_a_login_is_loaded_anew(client, addresses):
    response = client.get(addresses["round_progress"], headers={"HX-Request": "true"})
    assert response["HX-Refresh"] == "true"


@pytest.mark.parametrize("name", ALL)
def test_a_stranger_is_told_that_there_is_no_such_project(client, addresses, name):
    client.force_login(make_user("stranger", is_staff=True))
    assert both_ways(client, addresses[name]) == {404}


@pytest.mark.parametrize("name", sorted(ONLY_MANAGERS))
def test_a_reviewer_may_not_do_what_managers_do(client, addresses, reviewer, name):
    client.force_login(reviewer)
    assert both_ways(client, addresses[name]) == {403}


@pytest.mark.parametrize("name", sorted(set(ALL) - ONLY_MANAGERS - {"label"}))
def test_a_reviewer_may_do_the_rest(client, addresses, reviewer, name):
    client.force_login(reviewer)
    assert both_ways(client, addresses[name]) <= {200, 302, 400, 409}


@pytest.mark.parametrize("name", ALL)
def test_a_manager_may_do_everything(client, addresses, manager, name):
    client.force_login(manager)
    assert both_ways(client, addresses[name]) <= {200, 302, 400, 404, 409}


def test_a_reviewer_can_read_a_label_but_not_change_it(client, addresses, reviewer, project):
    client.force_login(reviewer)
    assert client.get(addresses["label"]).status_code == 200
    assert client.post(addresses["label"], {"name": "x", "definition": "y"}).status_code == 403
    assert not Definition.objects.exists()


def test_a_superuser_sees_every_project(client, addresses):
    client.force_login(make_user(is_superuser=True, is_staff=True))
    assert client.get(addresses["project_settings"]).status_code == 200


def test_the_list_shows_ones_own_projects_only(client, project, reviewer):
    fruit_project(name="Somebody else's")
    client.force_login(reviewer)
    page = client.get(reverse("project_list")).content.decode()
    assert project.name in page
    assert "Somebody else" not in page


@pytest.mark.parametrize(
    "kind",
    [
        "label",
        "versions",
        "document",
        "import",
        "round",
        "decide_draft",
        "go_on_drafting",
        "comparison",
        "switch_judge",
    ],
)
def test_another_projects_rows_are_not_reached_through_ones_own(client, manager, project, kind):
    other = fruit_project()
    run_round(other)
    labels.define(other.labels.first(), "secret", None)
    upload = imports.upload(other, csv_file([("new", "")]), user=None)
    drafting = definitions.start_drafting(other, None, "all", "big-1")
    comparison = Comparison.objects.create(project=other, model="big-1", state="done")
    second = Round.objects.create(project=other, number=2, state="done")
    arguments = {
        "label": {"pk": other.labels.first().pk},
        "versions": {"pk": other.labels.first().pk},
        "decide_draft": {"pk": drafting.drafts.first().pk},
        "go_on_drafting": {"pk": drafting.pk},
        **dict.fromkeys(["comparison", "switch_judge"], {"pk": comparison.pk}),
        "document": {"pk": other.documents.first().pk},
        "import": {"pk": upload.pk},
        "round": {"number": second.number},
    }[kind]
    client.force_login(manager)
    assert both_ways(client, reverse(kind, kwargs={"slug": project.slug} | arguments)) == {404}


def test_a_label_of_another_project_is_no_override(client, project, reviewer):
    client.force_login(reviewer)
    client.get(reverse("review", args=[project.slug]))
    entry = project.queue.get(claimed_by=reviewer)
    foreign = fruit_project().labels.first()
    address = reverse("decide", args=[project.slug, entry.pk])
    assert client.post(address, {"choice": f"override:{foreign.pk}"}).status_code == 400


def test_only_staff_create_projects(client, reviewer):
    client.force_login(reviewer)
    assert client.post(reverse("create_project"), {"name": "Mine"}).status_code == 403
    client.force_login(make_user(is_staff=True))
    assert client.post(reverse("create_project"), {"name": "Mine"}).status_code == 302


def test_every_other_address_needs_a_login_too(client):
    for name in ("project_list", "create_project", "worker_status", "password_change"):
        assert client.get(reverse(name)).status_code == 302
    for name in NOT_LOGGED_IN:
        assert client.get(reverse(name)).status_code == 200


def test_a_running_import_is_seen_by_managers_only(client, project, reviewer, manager):
    upload = imports.upload(project, csv_file([("new", "")]), user=None)
    imports.start(upload)
    for user, status in ((reviewer, 403), (manager, 200)):
        client.force_login(user)
        assert client.get(reverse("import", args=[project.slug, upload.pk])).status_code == status
    assert CsvImport.objects.get(pk=upload.pk).is_active


def test_cancelling_needs_a_post(client, project, manager):
    rounds.start_round(project)
    client.force_login(manager)
    assert client.get(reverse("cancel_round", args=[project.slug, 2])).status_code == 405
    assert project.active_round is not None
