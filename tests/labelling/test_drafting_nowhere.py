"""Names and definitions drafted for groups of texts that belong nowhere, from the button to the label."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.urls import reverse

from labelling.fake_messages_api import MessagesApi, Reply, Request, message
from labelling.models import Call, Draft, Drafting, Price, Project, TrainingExample
from labelling.services import Refused, label_life, nowhere
from labelling.services import definitions as services
from tests.factories import account, fresh, run_round
from tests.labelling.test_drafting import MODEL, agree, asked_about, run
from tests.labelling.test_nowhere import TOOLS, laid_out, page, proposal  # noqa: F401

pytestmark = pytest.mark.django_db


def named(request: Request) -> Reply:
    """A name that tells which texts were shown, and one sentence a rival."""
    shown = asked_about(request)
    tool = shown["texts"][0].split()[0]
    against = [{"rival": rival["name"], "difference": f"A {tool} is no {rival['name']}."} for rival in shown["rivals"]]
    told = {"name": f" {tool}s \n in boxes", "use_when": f"A {tool} is meant.", "not_when": "", "against": against}
    return message(json.dumps(told))


@pytest.fixture
def api(api: MessagesApi) -> MessagesApi:
    api.respond = named
    return api


@pytest.fixture
def project(laid_out) -> Project:  # noqa: F811
    found = fresh(laid_out)
    Project.objects.filter(pk=found.pk).update(judge="anthropic")
    return fresh(found)


@pytest.fixture
def client(client, ann):
    client.force_login(ann)
    return client


def start(project: Project) -> Drafting:
    return run(services.start_drafting(project, None, "nowhere", MODEL))


def test_the_button_shows_what_it_takes_and_then_the_page_has_names_to_edit(api, project, client):
    Price.objects.create(
        model=MODEL, input=Decimal(5), output=Decimal(25), cache_write=6, cache_read=1, cache_min_tokens=4096
    )
    assert "Draft names and definitions for 3 groups" in page(client, project)
    answer = client.post(reverse("start_drafting", args=[project.slug]), {"nowhere": "1"})
    assert answer.url == reverse("drafts", args=[project.slug])
    drafting = run(project.draftings.get())
    assert (drafting.state, drafting.forecast["calls"], api.requests) == ("waiting", 3, [])
    forecast = client.get(answer.url).content.decode()
    assert "Draft 3 definitions" in forecast
    assert reverse("nowhere", args=[project.slug]) in forecast
    client.post(reverse("go_on_drafting", args=[project.slug, drafting.pk]))
    run(drafting)
    shown = page(client, project)
    for tool in TOOLS:
        assert f'value="{tool}s in boxes"' in shown
        assert f"Use when: A {tool} is meant." in shown
    assert shown.count("drafted by stub-1") == 3
    assert "Draft names" not in shown


def test_the_model_sees_the_texts_and_the_closest_labels(api, project):
    agree(start(project))
    assert len(api.requests) == 3
    for request in api.requests:
        shown = asked_about(request)
        assert len({text.split()[0] for text in shown["texts"]}) == 1
        assert len(shown["texts"]) >= 8
        assert {rival["name"] for rival in shown["rivals"]} == {label.name for label in project.labels.all()}
        assert all(text.startswith(rival["name"]) for rival in shown["rivals"] for text in rival["examples"])
        assert "none of their labels" in request.body["system"][0]["text"]
    assert set(Call.objects.values_list("purpose", "label", "state")) == {("definition", None, "done")}


def test_what_is_made_of_a_draft_says_who_drafted_it(api, project, ann):
    agree(start(project))
    found = proposal(project)
    ids = list(found.documents.values_list("pk", flat=True))
    event = nowhere.make(found, found.name, found.definition, ids, ann)
    draft = Draft.objects.get(proposal=found)
    version = event.label.definitions.get()
    assert (draft.state, draft.definition, draft.decided_by) == ("approved", version, ann)
    assert version.text == draft.text
    label_life.undo(event, ann)
    assert proposal(project).name == "hammers in boxes"
    assert found.pk not in nowhere.undrafted(project).values_list("pk", flat=True)


def test_the_next_round_keeps_what_was_paid_for(api, project, ann):
    agree(start(project))
    found = proposal(project)
    found.documents.remove(found.documents.first())
    Project.objects.filter(pk=project.pk).update(judge="none")
    run_round(fresh(project))
    again = proposal(project)
    assert (again.pk, again.name) == (found.pk, "hammers in boxes")
    assert again.size == again.documents.count() >= 8
    with pytest.raises(Refused, match="without a draft"):
        start(project)


def test_what_was_decided_meanwhile_is_not_asked_about(api, project, ann):
    drafting = start(project)
    nowhere.dismiss(proposal(project), ann)
    found = proposal(project, "chisel")
    nowhere.make(found, "chisels", "", found.documents.values_list("pk", flat=True), ann)
    assert agree(drafting).state == "done"
    assert [asked_about(request)["texts"][0].split()[0] for request in api.requests] == ["spanner"]


def test_failures_are_shown_with_their_group_and_tried_again(api, project, client):
    api.respond = lambda request: message('{"name": " ", "use_when": "A tool.", "not_when": "", "against": []}')
    drafting = agree(start(project))
    shown = page(client, project)
    assert shown.count("No draft: The model gave no name.") == 3
    assert "hammer" in shown
    api.respond = named
    services.retry_failed(drafting)
    assert run(drafting).state == "done"
    assert page(client, project).count("drafted by stub-1") == 3


def test_without_a_label_that_has_examples_there_are_no_rivals(api, project):
    TrainingExample.objects.filter(label__isnull=False).delete()
    drafting = agree(start(project))
    assert (drafting.state, [asked_about(request)["rivals"] for request in api.requests]) == ("done", [[]] * 3)


def test_the_button_is_there_for_managers_of_projects_with_a_judge(project, client):
    Project.objects.filter(pk=project.pk).update(judge="none")
    assert "Draft names" not in page(client, project)
    Project.objects.filter(pk=project.pk).update(judge="anthropic")
    assert "Draft names" in page(client, project)
    reviewer = account("rita")
    project.memberships.create(user=reviewer, role="reviewer")
    client.force_login(reviewer)
    assert "Draft names" not in page(client, project)
