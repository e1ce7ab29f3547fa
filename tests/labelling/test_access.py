"""Who may see and do what, for every address there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, reverse

from labelling import jobs
from labelling.models import (
    Adaptation,
    BulkAct,
    Comparison,
    CsvImport,
    Definition,
    Delivery,
    Encoding,
    Event,
    Flag,
    Invitation,
    Label,
    Project,
    ProposedLabel,
    Release,
    Revision,
    Suspicion,
)
from labelling.services import (
    access,
    definitions,
    imports,
    invitations,
    label_life,
    notices,
    releases,
    rounds,
    threads,
    webhooks,
)
from labelling.urls import project_urls, urlpatterns
from red_project.urls import urlpatterns as site_urls
from tests.factories import account, csv_file, fresh, fruit_project, make_user, run_round

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

ONLY_MANAGERS = {
    "project_settings",
    "judge_needs",
    "write_guidelines",
    "prices",
    "members",
    "expertise",
    "people_only",
    "diary",
    "invite",
    "take_back_invitation",
    "remove_member",
    "create_label",
    "delete_label",
    "change_label",
    "undo_label_event",
    "carry_out_revision",
    "discard_revision",
    "ask_about_revision",
    "undo_revision",
    "make_label",
    "dismiss_proposal",
    "import_definitions",
    "upload",
    "remove_project",
    "delete_documents",
    "undo_import",
    "import",
    "answer_import",
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
    "restart_ledger",
    "deliver",
    "mend_definition",
    "retry_release",
    "cancel_release",
    "watch_anew",
    "webhooks",
    "webhook",
    "pause_webhook",
    "resume_webhook",
    "remove_webhook",
    "resend",
    "encoder",
    "adapt_encoder",
    "adaptation_progress",
    "cancel_adaptation",
    "encoding_progress",
    "go_on_encoding",
    "cancel_encoding",
    "pack",
    "packing_progress",
    "cancel_packing",
    "packed_project",
}
ALL = sorted(pattern.name for pattern in project_urls if isinstance(pattern, URLPattern) and pattern.name)
# What strangers are shown, and what of that is a page without more than its address.
OPEN = {
    "login",
    "account_login",
    "health",
    "metrics",
    "password_reset",
    "password_reset_done",
    "password_reset_complete",
    "password_reset_confirm",
    "set_language",
    "join",
    "stop_mails",
    "mfa_authenticate",
    "openid_connect_login",
    "openid_connect_callback",
    "socialaccount_login_cancelled",
}
# With a row's key in them, or its number.
OF_A_ROW = re.compile(r"/\d+/")
# Where somebody may well come too late: what is answered then.
TOO_LATE = {"decide": {409}, "renew_claim": {409}, "decide_disagreement": {302}, "discard_revision": {302}}
NOT_LOGGED_IN = {"login", "health", "metrics", "password_reset"}
OF_NO_PROJECT = {
    pattern.name: pattern.pattern
    for pattern in (*site_urls, *urlpatterns)
    if isinstance(pattern, URLPattern) and pattern.name
}


@pytest.fixture
def manager():
    return account("manager")


@pytest.fixture
def reviewer():
    return account("reviewer")


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    people = {"manager": account("manager"), "reviewers": [account("reviewer")]}
    project = fruit_project(**people, batch_size=5, retrain_after=0)
    run_round(project)
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


@pytest.fixture
def deliver(monkeypatch):
    """Release a project twice; the test's own transaction is the snapshot."""
    monkeypatch.setattr("labelling.jobs.releasing.snapshot", nullcontext)

    def twice(project: Project) -> None:
        for _ in range(2):
            jobs.run_release(releases.start_here(project).pk)

    return twice


@pytest.fixture
def addresses(project, deliver) -> dict[str, str]:
    return addresses_of(project, deliver)


def addresses_of(project: Project, deliver: Callable[[Project], None]) -> dict[str, str]:
    """Each address of the project, with arguments that exist."""
    waiting = imports.upload(project, csv_file([("new", "")]), user=None)
    drafting = definitions.start_drafting(project, None, "all", "big-1")
    comparison = Comparison.objects.create(project=project, model="big-1", state="waiting")
    flag = Flag.objects.create(document=project.documents.all()[0], comment="odd")
    deliver(project)
    delivery = _delivery(project)
    arguments: dict[str, dict[str, Any]] = {
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
        **dict.fromkeys(
            ["go_on_encoding", "cancel_encoding"], {"pk": Encoding.objects.create(project=project, state="waiting").pk}
        ),
        "cancel_adaptation": {"pk": Adaptation.objects.create(project=project, state="done", n_examples=0).pk},
        "decide_draft": {"pk": drafting.drafts.first().pk},
        **dict.fromkeys(
            ["label", "delete_label", "versions", "mend_definition", "comment_on_label"],
            {"pk": Label.objects.filter(project=project)[0].pk},
        ),
        "suspicion": {"pk": _suspected(project).pk},
        "change_label": {"pk": project.labels.first().pk, "kind": "retire"},
        **dict.fromkeys(
            ["revision", "carry_out_revision", "discard_revision", "ask_about_revision", "undo_revision"],
            {"pk": Revision.objects.create(project=project, table=[["apple", "quince", "", ""]]).pk},
        ),
        **dict.fromkeys(
            ["make_label", "dismiss_proposal"],
            {"pk": ProposedLabel.objects.create(project=project, name="tools", size=0).pk},
        ),
        "undo_label_event": {"pk": label_life.restore(*_retired(project)).pk},
        "undo_act": {"pk": BulkAct.objects.create(project=project, kind="flag", n=0, user=None).pk},
        "saved_view": {"pk": project.saved_views.create(user=project.memberships.all()[0].user, is_shared=True).pk},
        **dict.fromkeys(
            ["document", "flag", "answer_gold", "comment_on_document"], {"pk": project.documents.first().pk}
        ),
        "remove_comment": {"pk": threads.say(project.labels.first(), make_user(), "odd").pk},
        "lower_flag": {"pk": project.documents.first().pk, "flag_pk": flag.pk},
        "remove_member": {"pk": project.memberships.first().pk},
        "expertise": {"pk": project.memberships.filter(role="reviewer")[0].pk},
        "take_back_invitation": {"pk": _invited(project).pk},
        **dict.fromkeys(
            [
                "import",
                "answer_import",
                "import_progress",
                "keep_good_rows",
                "cancel_import",
                "retry_import",
                "rejected_rows",
                "undo_import",
            ],
            {"pk": waiting.pk},
        ),
        **dict.fromkeys(
            ["round", "cancel_round", "go_on_round", "retry_judge", "agree_to_forecast", "stop_asking"], {"number": 1}
        ),
        **dict.fromkeys(
            [
                "release",
                "release_progress",
                "retry_release",
                "cancel_release",
                "release_diff",
                "release_diff_csv",
            ],
            {"number": 2},
        ),
        "release_file": {"number": 2, "name": Release.LABELS_CSV},
        **dict.fromkeys(["decide", "renew_claim", "decide_disagreement"], {"entry_id": project.queue.first().pk}),
        **dict.fromkeys(["webhook", "pause_webhook", "resume_webhook", "remove_webhook"], {"pk": delivery.webhook_id}),
        "resend": {"pk": delivery.webhook_id, "delivery_pk": delivery.pk},
        "accept_in_bulk": {"label_id": project.labels.first().pk},
    }
    return {name: reverse(name, kwargs={"slug": project.slug} | arguments.get(name, {})) for name in ALL}


def _invited(project: Project) -> Invitation:
    invitations.invite(project, make_user(), "Bob", "reviewer")
    return project.invitations.get()


def _delivery(project: Project) -> Delivery:
    """An event on its way to a webhook."""
    webhooks.add(project, project.memberships.first().user, "https://93.184.215.14/", [Event.Kind.RELEASED])
    return notices.tell(project, Event.Kind.RELEASED, 1, 1).deliveries.get()


def _suspected(project: Project) -> Suspicion:
    """An example whose label is doubted."""
    document = project.documents.filter(example__source="seed")[0]
    return Suspicion.objects.create(project=project, document=document, label=document.example.label, margin=-0.1)


def _retired(project: Project) -> tuple[Label, None]:
    """A label that was retired, for nobody in particular."""
    return label_life.retire(project.labels.last(), None).label, None


def answers(client: Client, addresses: dict[str, str], names: Iterable[str]) -> dict[str, set[int]]:
    """By address, the answers to a look and to a send, each as if it were the first; 405 says nothing of who may."""
    found = {}
    for name in names:
        before = transaction.savepoint()
        found[name] = {client.get(addresses[name]).status_code, client.post(addresses[name]).status_code} - {405}
        transaction.savepoint_rollback(before)
    return found


def test_nobody_gets_in_without_logging_in(client, addresses):
    login = reverse("login")
    for name in ALL:
        for response in (client.get(addresses[name]), client.post(addresses[name])):
            assert (response.status_code, response["Location"][: len(login)]) == (302, login), name


def test_a_page_that_asks_without_a_login_is_loaded_anew(client, addresses):
    response = client.get(addresses["round_progress"], headers={"HX-Request": "true"})
    assert response["HX-Refresh"] == "true"


def test_a_stranger_is_told_that_there_is_no_such_project(client, addresses):
    client.force_login(make_user("stranger", is_staff=True))
    assert answers(client, addresses, ALL) == dict.fromkeys(ALL, {404})


def test_a_reviewer_may_not_do_what_managers_do(client, addresses, reviewer):
    client.force_login(reviewer)
    assert answers(client, addresses, ONLY_MANAGERS) == dict.fromkeys(ONLY_MANAGERS, {403})


def test_a_project_tells_of_everybody_whether_they_manage_it_whoever_asked(project, reviewer, manager):
    asked = [access.project_of(reviewer, project.slug), access.project_of(manager, project.slug), project]
    assert [(one.is_managed_by(reviewer), one.is_managed_by(manager)) for one in asked] == [(False, True)] * 3


def test_a_reviewer_may_do_the_rest(client, addresses, reviewer):
    client.force_login(reviewer)
    found = answers(client, addresses, sorted(set(ALL) - ONLY_MANAGERS - {"label", "confusion", "saved_view"}))
    assert {name: codes for name, codes in found.items() if codes - {200, 302, 400, 409}} == {}


def test_a_manager_may_do_everything(client, addresses, manager):
    client.force_login(manager)
    found = answers(client, addresses, ALL)
    assert {name: codes for name, codes in found.items() if codes - {200, 302, 400, 404, 409}} == {}


@pytest.mark.parametrize("name", ["label", "confusion"])
def test_a_reviewer_can_read_definitions_but_not_change_them(client, addresses, reviewer, project, name):
    client.force_login(reviewer)
    assert client.get(addresses[name]).status_code == 200
    label = project.labels.first()
    assert client.post(addresses[name], {"label": label.pk, "name": "x", "definition": "y"}).status_code == 403
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


def test_another_projects_rows_are_not_reached_through_ones_own(client, manager, project, deliver):
    other = fruit_project(manager=make_user(), reviewers=[make_user()])
    run_round(other)
    theirs = addresses_of(other, deliver)
    # Rounds are numbered in each project: both have a first one.
    with_rows = {name for name in theirs if OF_A_ROW.search(theirs[name]) and "/rounds/" not in theirs[name]}
    assert len(with_rows) > 60
    mine = {name: theirs[name].replace(f"/p/{other.slug}/", f"/p/{project.slug}/") for name in with_rows}
    of_both = {"slug": project.slug, "pk": _delivery(project).webhook_id}
    mine["resend"] = reverse("resend", kwargs=of_both | {"delivery_pk": other.webhooks.get().deliveries.get().pk})
    flag = Flag.objects.get(document__project=other)
    of_both = {"slug": project.slug, "pk": project.documents.first().pk}
    mine["lower_flag"] = reverse("lower_flag", kwargs=of_both | {"flag_pk": flag.pk})
    client.force_login(manager)
    found = answers(client, mine, mine)
    assert {name: codes for name, codes in found.items() if codes != {404}} == TOO_LATE
    client.post(mine["discard_revision"])
    assert other.revisions.exists()


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
    login = reverse("login")
    assert set(OF_NO_PROJECT) >= OPEN
    for name in set(OF_NO_PROJECT) - OPEN:
        address = reverse(name, kwargs=dict.fromkeys(OF_NO_PROJECT[name].converters, 1))
        for answer in (client.get(address), client.post(address)):
            assert (answer.status_code, answer.headers.get("Location", "")[: len(login)]) == (302, login), name
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
