"""The pages on which definitions are drafted, decided on and looked back at."""

from __future__ import annotations

import json

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from labelling.models import Draft, Drafting, Label
from labelling.services import definitions as services
from labelling.services import labels
from labelling.templatetags.red import changes
from tests.labelling.test_drafting import (  # noqa: F401
    MODEL,
    agree,
    api,
    drafted,
    drafts,
    manager,
    message,
    price,
    project,
    run,
    start,
)

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


@pytest.fixture
def client(client, manager):  # noqa: F811
    client.force_login(manager)
    return client


def page(client, name: str, *args: object, **query: object) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def said(response) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def send(client, name: str, *args: object, **data: object):
    return client.post(reverse(name, args=args), data)


# Small functions


@pytest.mark.parametrize(
    ("old", "new", "pieces"),
    [
        ("", "", []),
        ("same text", "same text", [("equal", "same text")]),
        ("", "all new", [("insert", "all new")]),
        ("all gone", "", [("delete", "all gone")]),
        ("use it now", "use them now", [("equal", "use "), ("delete", "it "), ("insert", "them "), ("equal", "now")]),
        ("a b c d", "x b y d", [("delete", "a b c "), ("insert", "x b y "), ("equal", "d")]),
        (
            "old one two three old",
            "new one two three new",
            [("delete", "old "), ("insert", "new "), ("equal", "one two three "), ("delete", "old"), ("insert", "new")],
        ),
        ("one\ntwo", "one\nthree", [("equal", "one\n"), ("delete", "two"), ("insert", "three")]),
    ],
)
def test_changes_are_told_word_by_word(old, new, pieces):
    assert changes(old, new) == pieces


# The flow


def test_from_the_forecast_to_an_approved_definition(client, api, project, price, manager):  # noqa: F811
    assert "4 of 4 labels have no approved definition" in page(client, "drafts", project.slug)
    send(client, "start_drafting", project.slug, scope="undefined", model=MODEL)
    drafting = run(Drafting.objects.get())
    text = page(client, "drafts", project.slug)
    for figure in ("Draft 4 definitions", "Expected cost", "exactly as it will be sent", "apple apple seed", MODEL):
        assert figure in text
    assert api.requests == []
    send(client, "go_on_drafting", project.slug, drafting.pk)
    assert "Waiting for the worker" in page(client, "drafting_progress", project.slug)
    run(drafting)
    assert client.get(reverse("drafting_progress", args=[project.slug]))["HX-Refresh"] == "true"
    assert page(client, "drafts", project.slug).count('value="approve"') == 4
    assert "4 drafts of definitions wait for your approval" in page(client, "labels", project.slug)
    for draft, choice in zip(Draft.objects.all(), ("approve", "reject", "edit"), strict=False):
        send(client, "decide_draft", project.slug, draft.pk, choice=choice, text="Edited.")
    assert [label.definition for label in project.labels.all()] == [Draft.objects.first().text, "", "Edited.", ""]
    edited = page(client, "label", project.slug, project.labels.get(name="cherry").pk)
    assert "drafted by stub-1, then edited" in edited
    assert "manager" in edited


def test_htmx_gets_the_decided_draft_in_its_place(client, drafts, project):  # noqa: F811
    address = reverse("decide_draft", args=[project.slug, drafts["apple"].pk])
    answer = client.post(address, {"choice": "approve"}, headers={"HX-Request": "true"}).content.decode()
    assert "Approved as version 1" in answer
    assert "<html" not in answer
    again = client.post(address, {"choice": "reject"}, headers={"HX-Request": "true"}).content.decode()
    assert "Somebody has decided on this draft already" in again


def test_single_labels_are_ticked_in_the_list(client, api, project):  # noqa: F811
    apple, banana, *_ = project.labels.all()
    send(client, "start_drafting", project.slug, label=[apple.pk, banana.pk], ticked=1)
    assert [draft.label for draft in Draft.objects.all()] == [apple, banana]
    assert Drafting.objects.get().scope == "chosen"


def test_nothing_ticked_and_no_model_are_said(client, project):  # noqa: F811
    assert "Choose a label" in said(send(client, "start_drafting", project.slug, ticked=1))
    assert "name a model" in said(send(client, "start_drafting", project.slug, scope="all", model=""))
    assert not Drafting.objects.exists()


def test_another_projects_label_is_not_drafted_here(client, project):  # noqa: F811
    from tests.factories import fruit_project

    foreign = fruit_project().labels.first()
    assert "Choose a label" in said(send(client, "start_drafting", project.slug, label=foreign.pk))


def test_all_are_approved_after_a_second_look(client, drafts, project, manager):  # noqa: F811
    labels.define(Label.objects.get(name="mango"), "By hand.", manager)
    text = page(client, "approve_drafts", project.slug)
    assert "4 drafts wait" in text
    assert "1 of them is left out" in text
    assert Draft.objects.filter(state="approved").count() == 0
    assert "3 definitions approved" in said(send(client, "approve_drafts", project.slug))
    assert "The definition has changed since this was drafted" in page(client, "drafts", project.slug)


def test_a_draft_for_a_defined_label_shows_what_it_would_change(client, api, project):  # noqa: F811
    labels.define(project.labels.get(name="apple"), "It is round.", None)
    agree(start(project))
    assert "<del>It is round.</del><ins>Use when: It is apple." in page(client, "drafts", project.slug)


def test_failures_are_listed_with_reasons(client, api, project):  # noqa: F811
    api.respond = lambda request: message("no", "refusal")
    agree(start(project))
    assert "4 of the last 4 labels got no draft" in page(client, "drafts", project.slug)
    assert page(client, "drafts", project.slug, show="failed").count("The judge refused to answer.") == 4
    send(client, "retry_drafting", project.slug, Drafting.objects.get().pk)
    assert Drafting.objects.get().state == "queued"


def test_stopped_paused_and_failed_draftings_say_so_and_go_on(client, api, project):  # noqa: F811
    drafting = start(project)
    services.go_on(drafting)
    send(client, "cancel_drafting", project.slug, drafting.pk)
    Drafting.objects.update(done=1, total=4)
    assert "Stopped after 1 of 4" in page(client, "drafts", project.slug)
    for state, word in (("paused", "Paused"), ("failed", "Drafting failed")):
        Drafting.objects.update(state=state, error="Raise the cap.")
        text = page(client, "drafts", project.slug)
        assert word in text
        assert "Raise the cap." in text
    send(client, "go_on_drafting", project.slug, drafting.pk)
    assert Drafting.objects.get().state == "queued"


HOSTILE = '<script>alert(1)</script> <img src=x onerror="x"> \u202eback'


def test_what_a_model_or_a_text_says_is_shown_as_text(client, api, project):  # noqa: F811
    hostile = json.dumps({"use_when": HOSTILE, "not_when": "", "against": []})
    api.respond = lambda request: message(hostile)
    labels.define(project.labels.get(name="apple"), HOSTILE + " old", None)
    drafting = agree(start(project))
    services.approve(drafting.drafts.get(label__name="apple"), None)
    apple = project.labels.get(name="apple")
    for text in (
        page(client, "drafts", project.slug),
        page(client, "versions", project.slug, apple.pk),
        page(client, "label", project.slug, apple.pk),
    ):
        assert "&lt;script&gt;" in text
        assert "<script>alert" not in text
        assert "<img src=x" not in text


# Versions


def test_any_two_versions_are_compared(client, project, manager):  # noqa: F811
    apple = project.labels.get(name="apple")
    assert "No definition has been written" in page(client, "versions", project.slug, apple.pk)
    for text in ("Round fruit.", "Round red fruit.", "Red fruit."):
        labels.define(apple, text, manager)
    assert "<del>Round red </del><ins>Red </ins>fruit." in page(client, "versions", project.slug, apple.pk)
    whole = page(client, "versions", project.slug, apple.pk, **{"from": 0, "to": 2})
    assert "<ins>Round red fruit.</ins>" in whole
    assert "Nothing differs" in page(client, "versions", project.slug, apple.pk, **{"from": 3, "to": 3})
    strange = page(client, "versions", project.slug, apple.pk, **{"from": "x", "to": "999"})
    assert "<ins>Red fruit.</ins>" in strange, "what is no version counts as none, what is too new as the newest"


def test_labels_without_an_approved_definition_are_listed(client, project, manager):  # noqa: F811
    labels.define(project.labels.get(name="apple"), "Round.", manager)
    text = page(client, "labels", project.slug, undefined=1)
    assert "3 labels have no approved definition" in text
    assert ">banana</a>" in text
    assert ">apple</a>" not in text
