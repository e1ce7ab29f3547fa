"""Definitions drafted by a language model: the real SDK against a stub, from the forecast to the drafts."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from labelling import jobs
from labelling.fake_messages_api import Fault, MessagesApi, Reply, Request, error, message
from labelling.models import Call, Draft, Drafting, Label, Price, Project
from labelling.services import Refused, labels
from labelling.services import definitions as services
from tests.factories import fruit_project, import_rows, make_user
from tests.labelling.conftest import KEY

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

MODEL = "big-1"


def asked_about(request: Request) -> dict:
    """What stood between the fences."""
    user = request.body["messages"][0]["content"]
    fence = user.splitlines()[1]
    return json.loads(user.split(f"\n{fence}\n")[1])


def drafted(request: Request, **usage: int) -> Reply:
    """A draft that names the label and every rival, so that a mix-up shows."""
    shown = asked_about(request)
    name = shown["label"]["name"]
    against = [{"rival": rival["name"], "difference": f"{name}, not {rival['name']}."} for rival in shown["rivals"]]
    return message(json.dumps({"use_when": f"It is {name}.", "not_when": "", "against": against}), usage=usage)


@pytest.fixture
def api(api: MessagesApi) -> MessagesApi:
    api.respond = drafted
    return api


@pytest.fixture
def manager():
    return make_user("manager", is_staff=True)


@pytest.fixture
def project(manager):
    return fruit_project(manager=manager, task="Fruit.")


@pytest.fixture
def price():
    return Price.objects.create(
        model=MODEL, input=Decimal(5), output=Decimal(25), cache_write=6, cache_read=1, cache_min_tokens=4096
    )


def run(drafting: Drafting) -> Drafting:
    jobs.run_drafting(drafting.pk)
    drafting.refresh_from_db()
    return drafting


def start(project: Project, scope: str = "all", chosen: tuple[int, ...] = ()) -> Drafting:
    return run(services.start_drafting(project, None, scope, MODEL, chosen))


def agree(drafting: Drafting) -> Drafting:
    services.go_on(drafting)
    return run(drafting)


def test_nothing_is_spent_before_a_manager_has_seen_the_forecast(api, project, price):
    drafting = start(project)
    assert drafting.state == "waiting"
    assert (api.requests, Call.objects.count()) == ([], 0)
    forecast = drafting.forecast
    assert (forecast["calls"], forecast["output_tokens"], forecast["output_is_assumed"]) == (4, 4 * 350, True)
    assert Decimal(forecast["cost"]) == (5 * forecast["input_tokens"] + 25 * 1400) / Decimal(1_000_000)
    assert Decimal(forecast["at_most"]) > Decimal(forecast["cost"])
    assert "Fruit." in forecast["prompts"][0]["system"]
    assert "apple apple seed number" in forecast["prompts"][0]["user"]


def test_every_label_gets_a_draft_from_its_examples_and_its_rivals(api, project, price):
    drafting = agree(start(project))
    assert (drafting.state, drafting.done, drafting.total) == ("done", 4, 4)
    for draft in drafting.drafts.select_related("label", "call"):
        name = draft.label.name
        assert draft.state == "proposed"
        assert draft.text.startswith(f"Use when: It is {name}.\nRather than “")
        assert draft.text.count("Rather than") == 3
        assert (draft.model, draft.call.label, draft.call.purpose) == ("stub-1", draft.label, "definition")
        assert draft.call.cost == (5 * 100 + 25 * 20) / Decimal(1_000_000)
    assert {label.definition for label in project.labels.all()} == {""}, "a draft is only a proposal"
    shown = asked_about(api.requests[0])
    assert all(text.startswith(shown["label"]["name"]) for text in shown["label"]["examples"])
    assert [len(rival["examples"]) for rival in shown["rivals"]] == [4, 4, 4]


def test_the_prompt_that_was_shown_is_the_one_that_is_sent(api, project):
    drafting = start(project)
    agree(drafting)
    sent = [(request.body["system"][0]["text"], request.body["messages"][0]["content"]) for request in api.requests]
    shown = drafting.forecast["prompts"]
    assert [(prompt["system"], prompt["user"]) in sent for prompt in shown] == [True] * 3


def test_only_the_labels_that_are_meant_are_drafted(api, project):
    apple, banana, *_ = project.labels.order_by("name")
    labels.define(apple, "A round fruit.", None)
    undefined = services.labels_of(project, "undefined")
    assert [label.name for label in undefined] == ["banana", "cherry", "mango"]
    drafting = agree(start(project, "chosen", (banana.pk,)))
    assert [draft.label for draft in drafting.drafts.all()] == [banana]
    assert len(api.requests) == 1


def test_a_label_without_examples_is_listed_and_costs_nothing(api, project):
    empty = Label.objects.create(project=project, name="kiwi")
    drafting = agree(start(project))
    draft = drafting.drafts.get(label=empty)
    assert (draft.state, draft.reason) == ("failed", "The label has no example yet. Give it some, then try again.")
    assert len(api.requests) == 4
    import_rows(project, [("kiwi kiwi furry", "kiwi")])
    services.retry_failed(drafting)
    assert run(drafting).drafts.get(label=empty).state == "proposed"
    assert len(api.requests) == 5


def test_failures_are_listed_with_their_reason_and_tried_again(api, project):
    def mostly(request: Request) -> Reply:
        name = asked_about(request)["label"]["name"]
        if name == "apple":
            return message("I'd rather not.", "refusal")
        if name == "banana":
            return message('{"use_when": "", "not_when": "", "against": []}')
        return message("{", "max_tokens") if name == "cherry" else drafted(request)

    api.respond = mostly
    drafting = agree(start(project))
    assert drafting.state == "done"
    assert dict(drafting.drafts.values_list("label__name", "reason")) == {
        "apple": "The judge refused to answer.",
        "banana": "The model wrote no definition.",
        "cherry": "The judge's answer was cut off.",
        "mango": "",
    }
    assert Call.objects.filter(state="failed").count() == 3
    api.respond = drafted
    services.retry_failed(drafting)
    run(drafting)
    assert set(drafting.drafts.values_list("state", flat=True)) == {"proposed"}
    assert len(api.requests) == 7, "what was drafted is not paid for again"


def test_what_passes_is_tried_again_by_itself(api, project):
    tries: list[str] = []

    def at_first_overloaded(request: Request) -> Reply | Fault:
        name = asked_about(request)["label"]["name"]
        tries.append(name)
        if tries.count(name) == 1:
            return error(529) if name in ("apple", "mango") else Fault.DROPPED
        return drafted(request)

    api.respond = at_first_overloaded
    drafting = agree(start(project))
    assert set(drafting.drafts.values_list("state", flat=True)) == {"proposed"}
    assert len(tries) == 8


def test_a_refused_key_stops_it_with_what_to_do_and_it_goes_on_afterwards(api, project):
    api.respond = lambda request: error(401, "no")
    drafting = start(project)
    services.go_on(drafting)
    with pytest.raises(Exception, match="ANTHROPIC_API_KEY"):
        run(drafting)
    drafting.refresh_from_db()
    assert drafting.state == "failed"
    assert "ANTHROPIC_API_KEY" in drafting.error
    assert KEY not in drafting.error
    api.respond = drafted
    assert agree(drafting).state == "done"


def test_without_a_key_the_forecast_says_so(api, project, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    drafting = services.start_drafting(project, None, "all", MODEL)
    with pytest.raises(Exception, match="No key"):
        run(drafting)


def test_at_the_projects_cap_it_pauses_with_what_it_has(api, project, price, settings):
    settings.JUDGE_CONCURRENCY = 1
    drafting = start(project)
    api.respond = lambda request: drafted(request, output_tokens=1000)
    Project.objects.filter(pk=project.pk).update(project_cap=Decimal("0.05"))
    services.go_on(drafting)
    run(drafting)
    assert drafting.state == "paused"
    assert "cap" in drafting.error
    drafts = drafting.drafts
    assert drafts.filter(state="proposed").count() == Call.objects.filter(state="done").count() == 1
    Project.objects.filter(pk=project.pk).update(project_cap=None)
    assert agree(drafting).state == "done"
    assert len(api.requests) == 4


def test_a_newer_draft_takes_the_place_of_an_older_one(api, project):
    first = agree(start(project, "all"))
    labels.define(project.labels.get(name="apple"), "By hand.", None)
    second = agree(start(project, "all"))
    assert set(first.drafts.values_list("state", flat=True)) == {"replaced"}
    assert set(second.drafts.values_list("state", flat=True)) == {"proposed"}
    with pytest.raises(Refused, match="newer one"):
        services.approve(first.drafts.first(), make_user())


def test_two_draftings_of_a_project_do_not_run_at_once(api, project):
    services.start_drafting(project, None, "all", MODEL)
    with pytest.raises(Refused, match="already"):
        services.start_drafting(project, None, "all", MODEL)


def test_there_must_be_something_to_draft(project):
    for label in project.labels.all():
        labels.define(label, "Defined.", None)
    with pytest.raises(Refused, match="Every label"):
        services.start_drafting(project, None, "undefined", MODEL)
    with pytest.raises(Refused, match="Choose"):
        services.start_drafting(project, None, "chosen", MODEL)


# What people make of the drafts


@pytest.fixture
def drafts(api, project) -> dict[str, Draft]:
    return {draft.label.name: draft for draft in agree(start(project)).drafts.select_related("label")}


def test_an_approved_draft_is_the_next_version_and_says_who_approved_it(drafts, manager):
    services.approve(drafts["apple"], manager)
    apple = Label.objects.get(name="apple")
    assert apple.definition == drafts["apple"].text
    version = apple.definitions.get()
    assert (version.version, version.author, version.draft.state) == (1, manager, "approved")


def test_an_edited_draft_becomes_what_it_was_edited_to(drafts, manager):
    services.approve(drafts["apple"], manager, " Round, and falls from trees. ")
    assert Label.objects.get(name="apple").definition == "Round, and falls from trees."
    assert Draft.objects.get(pk=drafts["apple"].pk).text == drafts["apple"].text, "what was proposed stays"


def test_a_rejected_draft_changes_nothing(drafts, manager):
    services.reject(drafts["apple"], manager)
    apple = Label.objects.get(name="apple")
    assert (apple.definition, apple.definition_version) == ("", 0)


@pytest.mark.parametrize("again", [services.approve, services.reject])
def test_a_draft_is_decided_on_once(drafts, manager, again):
    services.reject(drafts["apple"], manager)
    with pytest.raises(Refused, match="already"):
        again(drafts["apple"], manager)


def test_an_empty_definition_is_no_approval(drafts, manager):
    with pytest.raises(Refused, match="empty"):
        services.approve(drafts["apple"], manager, "  ")
    assert Draft.objects.get(pk=drafts["apple"].pk).state == "proposed"


def test_all_are_approved_but_those_that_were_defined_anew_meanwhile(drafts, manager, project):
    labels.define(Label.objects.get(name="apple"), "By hand.", manager)
    services.reject(drafts["banana"], manager)
    assert services.approve_all(Draft.objects.filter(state="proposed"), manager) == 2
    states = dict(Draft.objects.values_list("label__name", "state"))
    assert states == {"apple": "proposed", "banana": "rejected", "cherry": "approved", "mango": "approved"}
