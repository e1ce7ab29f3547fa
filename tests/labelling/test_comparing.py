"""Another judge on documents that were audited: the real SDK against a stub, the paired table, and the switch."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from labelling import jobs
from labelling.fake_messages_api import MessagesApi, Reply, Request, error, message
from labelling.fake_messages_api.answers import mark_of
from labelling.models import (
    Call,
    ComparedAnswer,
    Comparison,
    Decision,
    Label,
    Prediction,
    Project,
    Query,
    TrainingExample,
    Verdict,
)
from labelling.services import Refused, claims, labels, measuring, review
from labelling.services.audits import JudgeId
from tests.factories import account, fresh, fruit_project, run_round

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

BASE = JudgeId("neighbours", "nearest examples", "neighbours-1")


@pytest.fixture
def manager():
    return account("manager", is_staff=True)


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    """20 spot checks, all decided on; of the first six texts a person said that the predicted label is wrong."""
    manager = account("manager", is_staff=True)
    project = fruit_project(manager=manager, judge="neighbours", batch_size=30, retrain_after=400)
    run_round(project)
    for index in range(20):
        entry = claims.claim_next(project, manager)
        review.decide(project, entry.pk, manager, "none" if index < 6 else "accept")
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


@pytest.fixture
def client(client, manager):
    client.force_login(manager)
    return client


def run(comparison: Comparison) -> Comparison:
    jobs.run_comparison(comparison.pk)
    comparison.refresh_from_db()
    return comparison


def start(project: Project, question: str = "validate") -> Comparison:
    return run(measuring.start_comparison(project, None, BASE, "stub-1", question))


def agree(comparison: Comparison) -> Comparison:
    measuring.go_on(comparison)
    return run(comparison)


def verdict(request: Request, said: str) -> Reply:
    user = request.body["messages"][0]["content"]
    return message(json.dumps({"text": mark_of(user), "reason": "So.", "verdict": said, "better_label": None}))


def knowing(project: Project, errs_on: int = 0):
    """A judge that says what people said, but for the first so many documents."""
    wrong = set(Decision.objects.filter(action="none").values_list("document__text", flat=True))
    errs = set(
        project.documents.filter(decisions__isnull=False).order_by("pk").values_list("text", flat=True)[:errs_on]
    )

    def respond(request: Request) -> Reply:
        user = request.body["messages"][0]["content"]
        text = user.split("=====")[-3].strip()
        right = (text in wrong) == (text in errs)
        return verdict(request, "valid" if right else "invalid")

    return respond


def evidence() -> list[object]:
    """Everything that a comparison must leave alone."""
    tables = (Query, Verdict, Decision, TrainingExample, Prediction)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def page(client, name: str, *args: object, **query: object) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def said(response) -> str:
    return " ".join(str(one) for one in get_messages(response.wsgi_request))


def test_nothing_is_asked_before_the_forecast_was_seen(api: MessagesApi, project, price):
    comparison = start(project)
    assert comparison.state == "waiting"
    assert (api.requests, Call.objects.count()) == ([], 0)
    forecast = comparison.forecast
    assert (forecast["calls"], forecast["counted"], forecast["output_is_assumed"]) == (20, 20, True)
    expected = (forecast["prompt_tokens"] + 5 * 90 * 20) / Decimal(1_000_000)
    assert Decimal(forecast["cost"]) + Decimal(forecast["saved"]) == expected
    assert "Proposed label: " in forecast["prompts"][0]["system"]


def test_both_judges_stand_side_by_side_on_the_same_audits(api, project, price):
    before = evidence()
    api.respond = knowing(project)
    comparison = agree(start(project))
    assert (comparison.state, comparison.done, comparison.total) == ("done", 20, 20)
    test = comparison.result["test"]
    assert (test["n"], test["both"], test["only_first"], test["only_second"], test["neither"]) == (20, 14, 0, 6, 0)
    assert test["p_value"] == pytest.approx(2 * 0.5**6)
    assert (test["first"]["value"], test["second"]["value"]) == (0.7, 1.0)
    assert comparison.result["second"]["agreement"]["value"] == 1.0
    assert comparison.result["first"]["agreement"]["value"] == 0.7
    assert Decimal(comparison.result["cost"]["second"]) == (100 + 5 * 20) / Decimal(1_000_000)
    assert comparison.result["cost"]["first"] == "0"
    assert evidence() == before, "a comparison changes no belief, verdict or training example"
    assert set(Call.objects.values_list("purpose", "state")) == {("comparison", "done")}


def test_unsure_is_not_right_and_counted_apart(api, project):
    api.respond = lambda request: verdict(request, "unsure")
    comparison = agree(start(project))
    test = comparison.result["test"]
    assert (test["only_first"], test["only_second"], test["neither"]) == (14, 0, 6)
    assert comparison.result["second"]["n_unsure"] == 20
    assert comparison.result["second"]["agreement"]["n"] == 0


def test_the_other_form_of_the_question_is_compared_too(api, project):
    comparison = agree(start(project, "choose"))
    assert comparison.state == "done"
    assert all("Labels to choose from" in request.body["messages"][0]["content"] for request in api.requests)
    assert comparison.prompt_version != start_version(project)
    assert comparison.answers.exclude(verdict="").count() == 20
    assert set(Query.objects.values_list("form", flat=True)) == {"validate"}, "what was asked then stays"


def test_two_judges_of_one_model_are_told_apart(api, project):
    other = start(project, "choose")
    assert other.base_model != other.model
    assert str(other) == f"{other.base_model} against {other.model}"
    other.base_model = other.model
    assert other.base_name == f"{other.model} · {other.base_prompt_version}"
    assert other.name == f"{other.model} · choose"


def start_version(project: Project) -> str:
    return start(project).prompt_version


def test_the_prompt_that_was_shown_is_among_those_that_are_sent(api, project):
    comparison = start(project)
    agree(comparison)
    sent = [request.body["messages"][0]["content"] for request in api.requests]
    assert [prompt["user"] in sent for prompt in comparison.forecast["prompts"]] == [True] * 3


def test_asking_the_same_again_costs_nothing(api, project):
    agree(start(project))
    agree(start(project))
    assert len(api.requests) == 20
    assert Comparison.objects.first().answers.exclude(verdict="").count() == 20


def test_failures_are_listed_and_asked_again(api, project):
    right = knowing(project)
    api.respond = lambda request: message("no", "refusal") if len(api.requests) <= 3 else right(request)
    comparison = agree(start(project))
    assert (comparison.state, comparison.result["test"]["n"], comparison.result["n_failed"]) == ("done", 17, 3)
    assert comparison.result["test"]["p_value"] is None, "17 are too few to claim anything"
    measuring.retry_failed(comparison)
    comparison = run(comparison)
    assert (comparison.result["test"]["n"], comparison.result["n_failed"], len(api.requests)) == (20, 0, 23)


def test_a_refused_key_stops_it_with_what_to_do(api, project):
    api.respond = lambda request: error(401)
    measuring.go_on(comparison := start(project))
    with pytest.raises(Exception, match="ANTHROPIC_API_KEY"):
        run(comparison)
    api.respond = knowing(project)
    assert agree(Comparison.objects.get()).result["test"]["n"] == 20


def test_at_the_cap_it_pauses_and_goes_on(api, project, price, settings):
    settings.JUDGE_CONCURRENCY = 1
    api.respond = lambda request: Reply(
        verdict(request, "valid").body | {"usage": {"input_tokens": 1, "output_tokens": 900}}
    )
    comparison = start(project)
    Project.objects.update(project_cap=Decimal("0.02"))
    comparison = agree(comparison)
    assert comparison.state == "paused"
    assert 0 < comparison.result["test"]["n"] < 20
    Project.objects.update(project_cap=None)
    assert agree(comparison).result["test"]["n"] == 20


def test_an_older_definition_is_told(api, project, manager):
    labels.define(project.labels.get(name="apple"), "Round.", manager)
    comparison = agree(start(project))
    assert comparison.result["n_older"] == Verdict.objects.filter(query__label__name="apple").count() > 0


def test_a_decision_that_was_taken_back_is_compared_no_more(api, project, manager):
    comparison = start(project)
    review.undo(project, manager, Decision.objects.first().pk)
    assert agree(comparison).result["test"]["n"] == 19


def test_without_audits_there_is_nothing_to_compare_on(project):
    with pytest.raises(Refused, match="No audit"):
        measuring.start_comparison(project, None, JudgeId("anthropic", "x", "y"), "stub-1", "validate")


def test_one_comparison_at_a_time(api, project):
    start(project)
    with pytest.raises(Refused, match="not ended"):
        start(project)


# The pages


def counted(project: Project) -> None:
    jobs.run_measurement(measuring.measure(project).pk)


def test_from_the_judges_page_to_the_switch(client, api, project, price):
    counted(project)
    assert "Compare before you switch" in page(client, "judge", project.slug)
    address = reverse("start_comparison", args=[project.slug])
    response = client.post(address, {"base": 0, "model": "stub-1", "question": "choose"})
    comparison = Comparison.objects.get()
    assert response["Location"] == comparison.get_absolute_url()
    assert "Waiting for the worker" in page(client, "comparison_progress", project.slug, comparison.pk)
    run(comparison)
    waiting = page(client, "comparison", project.slug, comparison.pk)
    assert "Ask 20 questions" in waiting
    client.post(reverse("go_on_comparison", args=[project.slug, comparison.pk]))
    comparison = run(comparison)
    done = page(client, "comparison", project.slug, comparison.pk)
    for figure in ("Who is right where", "McNemar", "Cost of a question", "Where they disagree", "Switch to stub-1"):
        assert figure in done
    switch = reverse("switch_judge", args=[project.slug, comparison.pk])
    assert "so does the certificate" in client.get(switch).content.decode()
    project.refresh_from_db()
    assert project.judge == "neighbours", "a look switches nothing"
    assert "stub-1 is the judge now" in said(client.post(switch))
    project.refresh_from_db()
    assert (project.judge, project.judge_model, project.question) == ("anthropic", "stub-1", "choose")


def test_a_comparison_that_has_not_ended_is_no_reason_to_switch(client, api, project):
    comparison = start(project)
    assert "has not ended" in said(client.post(reverse("switch_judge", args=[project.slug, comparison.pk])))
    assert Project.objects.get().judge == "neighbours"


def test_what_both_say_is_shown_as_text(client, api, project):
    hostile = "<script>alert(1)</script>"
    Label.objects.filter(name="apple").update(name=hostile)

    def respond(request: Request) -> Reply:
        user = request.body["messages"][0]["content"]
        answer = {"text": mark_of(user), "reason": hostile, "verdict": "invalid", "better_label": None}
        return message(json.dumps(answer))

    api.respond = respond
    comparison = agree(start(project))
    text = page(client, "comparison", project.slug, comparison.pk)
    assert "&lt;script&gt;" in text
    assert hostile not in text


def test_failures_and_stops_are_told_on_the_page(client, api, project):
    api.respond = lambda request: message("no", "refusal")
    comparison = agree(start(project))
    text = page(client, "comparison", project.slug, comparison.pk)
    assert text.count("The judge refused to answer.") == 20 + 1, "each question, and why it was stopped"
    assert "Only 0 questions were answered by both" in text
    client.post(reverse("retry_comparison", args=[project.slug, comparison.pk]))
    client.post(reverse("cancel_comparison", args=[project.slug, comparison.pk]))
    assert "The comparison was stopped" in page(client, "comparison", project.slug, comparison.pk)
    assert ComparedAnswer.objects.filter(failure="").count() == 20


def test_a_model_must_be_named(client, project):
    counted(project)
    address = reverse("start_comparison", args=[project.slug])
    assert "name a model" in said(client.post(address, {"base": 0, "model": "", "question": "validate"}))
    assert "Choose a judge" in said(client.post(address, {"base": 7, "model": "x", "question": "validate"}))
