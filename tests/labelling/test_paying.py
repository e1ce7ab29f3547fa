"""Rounds whose judge costs money: the real SDK against the stand-in, and a ledger that agrees with it to the cent."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from classifiers.messages_api import MessagesClient
from labelling import jobs
from labelling.fake_messages_api import FAILURES, MessagesApi, Reply, error
from labelling.jobs.lease import JobFailed, hold
from labelling.jobs.rounds.auditing import all_rates
from labelling.jobs.rounds.judging import _Recorder, asked
from labelling.models import Call, Event, JudgeFailure, Price, Project, Query, Round, Total, TrainingExample, Verdict
from labelling.services import Refused, audits, ledger, queueing, rounds
from labelling.services.claims import claim_next, waiting
from labelling.services.labels import define
from labelling.services.next_action import Kind, next_action
from labelling.services.review import decide
from tests.conftest import some_of
from tests.factories import fruit_project, import_doubtful, make_user, run_round
from tests.labelling.conftest import KEY

pytestmark = pytest.mark.django_db

# Their answers are billed, so they are not asked for again by themselves.
PAID_FAILURES = ("refusal", "truncated", "malformed", "other_document")
PASSING = ("rate_limit", "overloaded", "server_error", "timeout", "connection_lost", "cut_off")
LASTING = ("unauthorized", "unknown_model", "spend_limit")


def paying_project(**settings) -> Project:
    """A project with 44 documents to ask a language model about: 20 at first.

    Those may be refused, so that more than one question is expected of each: 10 begin with 5, and 6 with 3.
    """
    wanted = {"judge": "anthropic", "batch_size": 36, "retrain_after": 0, "confirm_spending": False}
    project = fruit_project(**wanted | settings)
    import_doubtful(project)
    return project


def go_on(round_: Round) -> Round:
    rounds.go_on(round_)
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    return round_


def adds_up() -> bool:
    """Whether what the caps go by is what the calls have cost at most."""
    totals = {(total.project_id, total.round_id): round(total.at_most, 8) for total in Total.objects.all()}
    keys = set(Call.objects.values_list("project", "round"))
    calls = {(project, round_): Call.objects.filter(project=project, round=round_) for project, round_ in keys}
    return totals == {key: round(of_key.at_most(), 8) for key, of_key in calls.items()}


def agrees(api: MessagesApi) -> bool:
    """Whether ledger and stand-in tell the same: cost to the last digit, tokens, and who was billed for what."""
    assert adds_up()
    books = api.model.books
    done = Call.objects.exclude(request_id="").filter(cost__gt=0)
    return (
        round(Call.objects.all().known_cost(), 6) == round(books.cost, 6)
        and sorted(done.values_list("request_id", flat=True)) == sorted(books.request_ids)
        and Call.objects.count() == books.calls
        and not Call.objects.in_flight().exists()
    )


def test_a_round_asks_the_model_and_the_ledger_says_what_it_cost(api, price):
    round_ = run_round(paying_project())
    assert (round_.state, round_.error) == ("done", "")
    verdicts = Verdict.objects.filter(query__round=round_)
    assert verdicts.count() == asked(round_).count() >= 20
    assert set(verdicts.values_list("model", "judge")) == {("stub-1", "anthropic")}
    assert agrees(api)
    call = verdicts.first().call
    assert (call.state, call.query_id, call.purpose) == ("done", verdicts.first().query_id, "verdict")
    assert call.latency > 0
    spent = ledger.spent(round_.project, round_)
    assert spent.cost == spent.at_most > 0
    assert spent.cached_share > 0.2, "documents of one label share the cached prompt"


def fail(api: MessagesApi, *names: str) -> None:
    """Let the next calls fail in these ways, "" for a good one, and all further ones succeed."""
    turns = iter(names)
    api.model._drawn = lambda: next(turns, "")


def test_no_question_is_asked_twice_for_money(api, price):
    run_round(paying_project())
    prompts = [str(request.body) for request in api.requests]
    assert len(prompts) == len(set(prompts))


@pytest.mark.parametrize("failure", some_of(PASSING, "rate_limit", "timeout", "cut_off"))
def test_what_passes_is_repeated_and_each_call_is_in_the_ledger(api, price, failure, monkeypatch):
    monkeypatch.setitem(FAILURES, "rate_limit", lambda reply: error(429, retry_after=0.01))
    fail(api, failure, failure)
    round_ = run_round(paying_project(batch_size=10))
    assert round_.state == "done"
    assert not JudgeFailure.objects.exists()
    assert Verdict.objects.count() == asked(round_).count()
    lost = failure in ("timeout", "connection_lost", "cut_off")
    bad = Call.objects.exclude(state="done")
    assert [call.state for call in bad] == ["lost" if lost else "failed"] * 2
    assert all(call.error and call.ended_at for call in bad)
    assert all(call.cost is None and call.ceiling > 0 if lost else call.cost == 0 for call in bad)
    assert agrees(api)


@pytest.mark.parametrize("failure", some_of(PAID_FAILURES, "refusal", "other_document"))
def test_what_was_paid_for_and_is_no_answer_is_listed_with_its_reason_and_not_repeated(api, price, failure):
    fail(api, failure)
    project = paying_project(batch_size=10)
    round_ = run_round(project)
    query = JudgeFailure.objects.get().query
    assert not Verdict.objects.filter(query=query).exists()
    assert Verdict.objects.count() == asked(round_).count() - 1
    call = Call.objects.get(query=query)
    assert (call.state, call.error) == ("failed", query.judge_failure.reason)
    assert call.cost > 0
    assert agrees(api)
    assert project.queue.filter(document=query.document).exists(), "it waits for a person"

    rounds.retry_judge(round_)
    jobs.run_round(round_.pk)
    assert Verdict.objects.filter(query=query).exists()
    assert not JudgeFailure.objects.exists()
    assert agrees(api)


def test_answers_that_are_all_of_no_use_for_one_reason_pause_the_round(api, price, monkeypatch):
    monkeypatch.setattr("labelling.jobs.calls.EQUAL_FAILURES", 5)
    fail(api, *["malformed"] * 30)
    round_ = run_round(paying_project())
    assert (round_.state, Verdict.objects.count()) == (Round.State.PAUSED, 0)
    assert "all for one reason: The judge's answer was not in the agreed form." in round_.error
    assert 5 <= Call.objects.count() < 10, "no more than were on their way"
    fail(api)
    assert go_on(round_).state == Round.State.DONE


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("unauthorized", "check ANTHROPIC_API_KEY"),
        ("unknown_model", "knows no model 'stub-1'"),
        ("spend_limit", "raise it with the provider"),
    ],
)
def test_what_lasts_stops_the_round_says_what_to_do_and_keeps_the_answers(api, price, failure, said):
    fail(api, "", "", "", failure)
    project = paying_project()
    with pytest.raises(JobFailed, match=said):
        run_round(project)
    round_ = project.rounds.get()
    assert round_.state == "failed"
    assert said in round_.error
    assert 3 <= Verdict.objects.count() < 20
    assert not JudgeFailure.objects.exists()
    assert agrees(api)
    n_paid = len(api.model.books.request_ids)
    assert go_on(round_).state == "done"
    assert len(api.model.books.request_ids) == n_paid + asked(round_).count() - n_paid
    assert agrees(api)


@pytest.mark.parametrize(("has_key", "step"), [(True, "judge"), (False, "forecast")])
def test_people_get_their_documents_where_the_key_is_refused(client, api, price, monkeypatch, has_key, step):
    api.model.failures = {"unauthorized": 1.0}
    project = paying_project(retrain_after=10)
    with monkeypatch.context() as now, pytest.raises(JobFailed):
        if not has_key:
            now.delenv("ANTHROPIC_API_KEY")
        run_round(project)
    round_ = project.rounds.get()
    assert (round_.state, round_.step, round_.learning_over) == ("failed", step, "")
    assert round_.laid_out == waiting(project).count() > 0
    manager = project.memberships.get().user
    action = next_action(project, manager)
    assert (action.kind, action.n_further) == (Kind.GO_ON, waiting(project).count())
    told = set(Event.objects.filter(project=project).values_list("kind", flat=True))
    assert {Event.Kind.ROUND_FAILED, Event.Kind.QUEUE_READY} <= told
    client.force_login(manager)
    page = client.get(reverse("project", args=[project.slug])).content.decode()
    assert f"{action.n_further} documents wait for you all the same." in page
    assert "ANTHROPIC_API_KEY" in page
    api.model.failures = {}
    assert go_on(round_).state == "done"
    assert Verdict.objects.exists()


def test_the_forecast_says_what_the_questions_buy(client, api, price):
    project = paying_project(confirm_spending=True)
    round_ = run_round(project)
    buys = round_.forecast["buys"]
    assert buys["of"] == project.documents.pool().count() == 44
    assert buys["numbers"][0] == 0
    for form in ("validate", "choose"):
        assert buys[form] == sorted(buys[form])
        assert buys[form][0] < buys[form][-1] <= 44
    client.force_login(project.memberships.get().user)
    page = client.get(reverse("round", args=[project.slug, 1])).content.decode()
    assert "What it buys" in page
    assert "As many again" in page
    # What the choose form would settle more is recommended, and only then.
    chooses = "Asked to choose among several labels"
    as_many, more = [0, 5, 10, 12, 14, 16, 18], [0, 9, 18, 20, 22, 24, 26]
    for choosing, says in ((as_many, False), (more, True)):
        told = {"numbers": [0, 10, 20, 30, 40, 60, 80], "of": 44, "validate": as_many, "choose": choosing}
        Round.objects.update(forecast=round_.forecast | {"buys": told})
        page = " ".join(client.get(reverse("round", args=[project.slug, 1])).content.decode().split())
        assert "20 questions are expected to settle 10 more labels" in page
        assert (chooses in page) is says
    Round.objects.update(forecast=round_.forecast | {"buys": {}})
    assert "What it buys" not in client.get(reverse("round", args=[project.slug, 1])).content.decode()


def test_what_never_passes_is_given_up_and_the_outage_is_no_convergence(api, price):
    api.model.failures = {"overloaded": 1.0}
    round_ = run_round(paying_project(batch_size=6))
    assert (round_.state, round_.stop_reason) == ("done", "")
    assert [failure.reason for failure in JudgeFailure.objects.all()] == [
        "The judge was overloaded or down (HTTP 529)."
    ] * 3
    assert Counter(Call.objects.values_list("query", flat=True)).most_common()[0][1] == 7
    assert Call.objects.all().known_cost() == 0


def test_a_server_that_is_not_there_stops_the_round_soon(api, price, settings, monkeypatch):
    monkeypatch.setattr("labelling.jobs.calls.SILENT_SECONDS", 0.2)
    with MessagesApi() as gone:
        settings.JUDGE_BASE_URL = gone.url
    project = paying_project()
    with pytest.raises(JobFailed, match="Nothing was heard from the judge"):
        run_round(project)
    assert not Verdict.objects.exists()
    settings.JUDGE_BASE_URL = api.url
    assert go_on(project.rounds.get()).state == "done"


def test_a_question_comes_back_after_the_time_that_the_server_asked_for(api, price):
    seen: dict[str, list[float]] = {}

    def respond(request):
        times = seen.setdefault(str(request.body), [])
        times.append(time.monotonic())
        first = len(seen) == 1 and len(times) == 1
        return error(429, retry_after=0.4) if first else api.model.respond(request.body, f"req_{len(api.requests)}")

    api.respond = respond
    run_round(paying_project(batch_size=6))
    (came_back,) = (times for times in seen.values() if len(times) > 1)
    assert came_back[1] - came_back[0] >= 0.4


# Budgets


def test_at_the_cap_the_round_pauses_with_what_it_has_and_goes_on_when_it_is_raised(api, price):
    project = paying_project(batch_size=70, round_cap=Decimal("0.01"))
    round_ = run_round(project)
    assert round_.state == "paused"
    assert "The round's cap of $0.01 is reached" in round_.error
    n_verdicts = Verdict.objects.count()
    assert 0 < n_verdicts < asked(round_).count()
    assert Decimal("0.003") < Call.objects.all().at_most() <= Decimal("0.01")
    assert project.queue.exists(), "people go on with what there is"
    assert agrees(api)

    project.round_cap = Decimal("1.00")
    project.save()
    round_ = go_on(round_)
    assert (round_.state, round_.error) == ("done", "")
    assert Verdict.objects.count() == asked(round_).count()
    assert Call.objects.count() == asked(round_).count(), "no question was asked twice"
    assert agrees(api)


def test_the_projects_cap_counts_all_its_rounds(api, price):
    project = paying_project(project_cap=Decimal("0.01"), batch_size=15)
    first = run_round(project)
    assert first.state == "done"
    project.batch_size = 44
    project.save()
    second = run_round(project)
    assert (second.state, "The project's cap of $0.01" in second.error) == ("paused", True)
    assert Call.objects.all().at_most() <= Decimal("0.01")


def test_lost_calls_count_against_the_cap_at_their_ceiling(api, price):
    project = paying_project(project_cap=Decimal("0.02"))
    api.model.failures = {"connection_lost": 1.0}
    assert run_round(project).state == "paused"
    assert Call.objects.all().known_cost() == 0
    assert Decimal("0.01") < Call.objects.all().at_most() <= Decimal("0.02")


def test_the_caps_cost_as_little_after_many_calls(api, price):
    project = paying_project(project_cap=Decimal("100"), round_cap=Decimal("100"))
    round_ = run_round(project)

    def reserve() -> None:
        ledger.reserve(Call(project=project, round=round_, purpose="verdict", model="stub-1"), 100, 10)

    with CaptureQueriesContext(connection) as queries:
        reserve()
    assert not [query["sql"] for query in queries if 'FROM "labelling_call"' in query["sql"]], "no sum over all calls"
    assert adds_up()


def test_a_lost_call_that_comes_back_costs_what_it_took(api, price):
    project = paying_project()
    call = ledger.reserve(Call(project=project, purpose="verdict", model="stub-1"), 1_000_000, 0)
    ledger.lose(Call.objects.all(), "Silence.")
    assert Total.objects.get().at_most == Decimal("1.25")
    for _ in range(2):
        ledger.finish(call, {"input_tokens": 1000})
    assert Total.objects.get().at_most == Decimal("0.001")


def test_a_cap_needs_a_price(api):
    project = paying_project(round_cap=Decimal("1.00"))
    with pytest.raises(JobFailed, match="No price is known for the model “stub-1”"):
        run_round(project)
    assert api.model.books.calls == 0


def test_without_a_price_tokens_are_counted_and_no_money(api):
    round_ = run_round(paying_project(batch_size=6))
    assert round_.state == "done"
    assert set(Call.objects.values_list("cost", "ceiling")) == {(None, None)}
    assert ledger.spent(round_.project).prompt_tokens == sum(
        api.model.books.tokens[kind]
        for kind in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )


def test_the_price_that_holds_on_the_day_counts(api, price):
    Price.objects.create(
        **{field: 2 * getattr(price, field) for field in ("input", "output", "cache_write", "cache_read")},
        model="stub-1",
        valid_from="2999-01-01",
        cache_min_tokens=50,
    )
    run_round(paying_project(batch_size=6))
    assert agrees(api)


# Before anything is spent


def test_the_forecast_comes_first_and_the_prompts_are_sent_exactly_as_shown(api, price):
    project = paying_project(confirm_spending=True)
    round_ = run_round(project)
    assert (round_.state, api.model.books.calls) == ("waiting", 0)
    forecast = round_.forecast
    assert forecast["calls"] == 20
    with pytest.raises(Refused, match="waits for you"):
        rounds.start_round(project)

    rounds.agree(round_)
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert round_.state == "done"
    sent = [(request.body["system"][0]["text"], request.body["messages"][0]["content"]) for request in api.requests]
    assert [(prompt["system"], prompt["user"]) in sent for prompt in forecast["prompts"]] == [True] * 3
    first = Call.objects.exclude(query__reason=Query.Reason.DELEGATED)
    tokens = sum(call.prompt_tokens for call in first)
    assert forecast["prompt_tokens"] == pytest.approx(tokens, rel=0.02)
    assert float(first.known_cost()) < float(forecast["cost"]) < 2 * float(first.known_cost()), "answers are shorter"
    assert float(forecast["at_most"]) > float(first.known_cost())
    assert forecast["cache_share"] > 0.2
    assert float(forecast["saved"]) > 0


def test_a_server_that_counts_no_tokens_leaves_an_estimate(api, price, monkeypatch):
    monkeypatch.setattr(api.model, "count", lambda body: 1 / 0)
    round_ = run_round(paying_project(confirm_spending=True, batch_size=6))
    assert round_.state == "waiting"
    assert "could not be counted" in round_.forecast["note"]
    assert round_.forecast["prompt_tokens"] > 500


def test_who_agrees_twice_or_after_somebody_cancelled_changes_nothing(api, price):
    round_ = run_round(paying_project(confirm_spending=True, batch_size=6))
    first, second, third = (Round.objects.get(pk=round_.pk) for _ in range(3))
    rounds.agree(first)
    with hold(Round, round_.pk) as lease:
        with pytest.raises(Refused, match="changed meanwhile"):
            rounds.agree(second)
        queueing.cancel(lease.job)
    with pytest.raises(Refused, match="changed meanwhile"):
        rounds.agree(third)
    round_.refresh_from_db()
    assert round_.state == "cancelled"


def test_another_model_needs_another_forecast(api, price):
    project = paying_project(confirm_spending=True, batch_size=6)
    round_ = run_round(project)
    project.judge_model = "stub-2"
    project.save()
    rounds.agree(round_)
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert (round_.state, round_.forecast["model"], round_.forecast["cost"]) == ("waiting", "stub-2", None)
    assert api.model.books.calls == 0


# Stopping


def after(n: int, act, monkeypatch) -> None:
    """Do something when the n-th call is about to leave."""
    reserve, seen = ledger.reserve, []

    def reserving(*arguments, **options):
        seen.append(1)
        if len(seen) == n:
            act()
        return reserve(*arguments, **options)

    monkeypatch.setattr("labelling.jobs.calls.ledger.reserve", reserving)
    monkeypatch.setattr("labelling.jobs.calls.LOOK_SECONDS", 0.05)


def test_stop_asking_pauses_within_seconds_with_what_there_is(api, price, monkeypatch):
    project = paying_project()
    api.model.latency = 0.1
    after(6, lambda: rounds.stop_asking(project.rounds.get()), monkeypatch)
    round_ = run_round(project)
    assert (round_.state, round_.error) == ("paused", "Stopped by a manager before all was asked.")
    assert project.queue.exists()
    assert len(api.requests) < 15
    assert agrees(api)
    assert go_on(round_).state == "done"
    assert Verdict.objects.count() == asked(round_).count()
    assert len(api.model.books.request_ids) == asked(round_).count(), "what was answered meanwhile is not paid again"


def test_a_judge_that_costs_nothing_stops_too(monkeypatch):
    project = paying_project(judge="neighbours")
    record = _Recorder.result

    def result(self, *arguments):
        rounds.stop_asking(project.rounds.get())
        record(self, *arguments)

    monkeypatch.setattr(_Recorder, "result", result)
    round_ = run_round(project)
    assert (round_.state, Verdict.objects.count()) == ("paused", 1)


def test_a_verdict_knows_which_definition_it_saw_when_that_changes_meanwhile(api, price, monkeypatch):
    # What it refuses leads to a second helping of questions.
    monkeypatch.setattr("classifiers.loop.asking.DELEGATION_FLOOR", -1.0)

    def refuse(request):
        reply = api.model.respond(request.body, f"req_{len(api.requests)}")
        said = json.loads(reply.body["content"][0]["text"]) | {"verdict": "invalid"}
        content = [{"type": "text", "text": json.dumps(said)}]
        return replace(reply, body=reply.body | {"content": content})

    api.respond = refuse
    project = paying_project()

    def define_all() -> None:
        for label in project.labels.all():
            define(label, "New words.", None)

    after(5, define_all, monkeypatch)
    run_round(project)
    new = [request for request in api.requests if "\nDefinition: New words." in request.body["system"][0]["text"]]
    assert 0 < len(new) < len(api.requests)
    assert Verdict.objects.filter(definition_version=1).count() == len(new)


@pytest.mark.parametrize("latency", [0.1, 60])
def test_a_cancelled_round_ends_within_seconds_and_keeps_what_was_paid_for(api, price, monkeypatch, latency, settings):
    settings.JUDGE_TIMEOUT_SECONDS = 2
    monkeypatch.setattr("labelling.jobs.calls.GRACE_SECONDS", 0.5)
    project = paying_project()
    api.model.latency = latency
    after(4, lambda: queueing.cancel(project.rounds.get()), monkeypatch)
    started = time.monotonic()
    round_ = run_round(project)
    assert round_.state == "cancelled"
    assert time.monotonic() - started < 60, "it has waited for the answers"
    assert not Call.objects.in_flight().exists()
    answered = Call.objects.filter(state="done").count()
    assert bool(answered) == (latency < 1)
    api.model.latency = 0
    round_ = go_on(round_)
    assert Verdict.objects.count() == asked(round_).count()
    assert Call.objects.filter(state="done").count() == asked(round_).count()


def test_what_a_dead_worker_left_in_flight_is_lost_and_asked_again(api, price):
    project = paying_project(batch_size=6)
    fail(api, "unauthorized")
    with pytest.raises(JobFailed):
        run_round(project)
    query = project.rounds.get().queries.first()
    ledger.reserve(Call(project=project, round=query.round, query=query, purpose="verdict", model="stub-1"), 100, 10)
    round_ = go_on(project.rounds.get())
    lost = Call.objects.get(state="lost")
    assert (lost.query, lost.error) == (query, "The worker stopped while this call was in flight.")
    assert Verdict.objects.count() == asked(round_).count()


def test_what_nobody_expected_stops_the_round_and_its_calls_may_have_been_paid_for(api, price, monkeypatch):
    def read(reply, question):
        raise ZeroDivisionError

    api.model.latency = 0.1
    monkeypatch.setattr("labelling.jobs.rounds.judging.read_answer", read)
    with pytest.raises(ZeroDivisionError):
        run_round(paying_project())
    assert Call.objects.count() > 1
    assert set(Call.objects.values_list("state", "cost")) == {("lost", None)}


# The same words again


def test_the_very_same_question_is_not_paid_for_again(api, price):
    first = paying_project(random_seed=7)
    run_round(first)
    calls, cost = api.model.books.calls, api.model.books.cost
    second = paying_project(random_seed=7)
    round_ = run_round(second)
    assert (api.model.books.calls, api.model.books.cost) == (calls, cost)
    verdicts = Verdict.objects.filter(query__round=round_).select_related("call")
    assert verdicts.count() == asked(round_).count()
    assert {verdict.call.project_id for verdict in verdicts} == {first.pk}
    assert {verdict.input_tokens for verdict in verdicts} == {0}
    assert ledger.spent(second).calls == 0


def test_an_answer_that_was_kept_unread_and_is_of_no_use_is_asked_for_again(api, price):
    run_round(paying_project(random_seed=7))
    Call.objects.update(answer={"text": "of another", "reason": "So.", "verdict": "valid"})
    round_ = run_round(paying_project(random_seed=7))
    assert (round_.state, round_.error) == ("done", "")
    assert Verdict.objects.filter(query__round=round_).count() == asked(round_).count()
    assert agrees(api)


def test_what_may_follow_from_answers_that_cost_nothing_is_not_spent_unasked(api, price):
    run_round(paying_project(random_seed=7))
    round_ = run_round(paying_project(random_seed=7, confirm_spending=True))
    assert (round_.forecast["calls"], round_.forecast["further"] > 0, round_.state) == (0, True, "waiting")


def test_another_model_is_another_question(api, price):
    run_round(paying_project(batch_size=6))
    calls = api.model.books.calls
    run_round(paying_project(batch_size=6, judge_model="stub-2"))
    assert api.model.books.calls == 2 * calls


# Message batches


def test_a_batch_costs_half_and_its_answers_find_their_questions(api, price):
    project = paying_project(use_batches=True)
    round_ = run_round(project)
    assert (round_.state, round_.error) == ("done", "")
    assert Verdict.objects.count() == asked(round_).count() >= 20
    assert {call.batch.remote_id for call in Call.objects.all()} <= {"msgbatch_1", "msgbatch_2", "msgbatch_3"}
    assert agrees(api)
    full = sum(
        price.cost(call.input_tokens, call.output_tokens, call.cache_read_tokens, call.cache_write_tokens)
        for call in Call.objects.all()
    )
    assert Call.objects.all().known_cost() == pytest.approx(full / 2)
    # By word and example: an answer given to another question would not fit.
    for verdict in Verdict.objects.filter(verdict="valid").select_related("query__document", "query__label"):
        assert verdict.query.label.name in verdict.query.document.text


def test_failures_in_a_batch_are_listed_and_what_passes_is_asked_in_the_next(api, price):
    fail(api, "refusal", "overloaded", "other_document")
    round_ = run_round(paying_project(use_batches=True, batch_size=10))
    assert sorted(JudgeFailure.objects.values_list("reason", flat=True)) == [
        "The judge refused to answer.",
        "The judge's answer was about another text.",
    ]
    assert Verdict.objects.count() == asked(round_).count() - 2
    assert agrees(api)


@pytest.mark.parametrize(
    ("failure", "said"),
    [("unauthorized", "check ANTHROPIC_API_KEY"), ("unknown_model", "knows no model 'stub-1'")],
)
def test_what_lasts_in_a_batch_stops_the_round_says_what_to_do_and_keeps_the_answers(api, price, failure, said):
    fail(api, "", "", failure, "refusal")
    project = paying_project(use_batches=True, batch_size=10)
    with pytest.raises(JobFailed, match=said):
        run_round(project)
    round_ = project.rounds.get()
    assert (round_.state, said in round_.error) == ("failed", True)
    assert (Verdict.objects.count(), JudgeFailure.objects.count()) == (3, 1)
    assert agrees(api)
    assert go_on(round_).state == "done"
    assert Verdict.objects.count() == asked(round_).count() - 1
    assert agrees(api)


def test_a_key_that_is_quoted_in_a_batch_is_stored_nowhere(api, price, monkeypatch):
    respond = api.model.respond
    quoting = iter([Reply({"error": {"type": "invalid_request_error", "message": f"Not with {KEY}."}}, 400, {})])
    monkeypatch.setattr(api.model, "respond", lambda *args, **kwargs: next(quoting, None) or respond(*args, **kwargs))
    run_round(paying_project(use_batches=True, batch_size=6))
    assert "Not with [key]." in JudgeFailure.objects.get().reason
    assert not Call.objects.filter(error__contains=KEY).exists()


def test_a_batch_survives_its_worker(api, price, monkeypatch):
    project = paying_project(use_batches=True, batch_size=10)

    def die(self, batch):
        raise JobFailed("Killed.")

    with monkeypatch.context() as dying, pytest.raises(JobFailed):
        dying.setattr("labelling.jobs.batches.BatchSender._wait", die)
        run_round(project)
    assert Call.objects.in_flight().count() == 5
    round_ = go_on(project.rounds.get())
    assert round_.state == "done"
    assert Verdict.objects.count() == asked(round_).count()
    assert not Call.objects.filter(state="lost").exists()
    assert Call.objects.count() == asked(round_).count(), "the batch under way was collected, not sent again"
    assert agrees(api)


def test_a_cap_pauses_a_round_of_batches(api, price):
    round_ = run_round(paying_project(use_batches=True, batch_size=70, round_cap=Decimal("0.01")))
    assert round_.state == "paused"
    assert 0 < Verdict.objects.count() < 44
    assert Call.objects.all().at_most() <= Decimal("0.01")
    assert agrees(api)


def test_a_stopped_batch_is_cancelled_with_the_provider_and_collected_later(api, price, monkeypatch):
    project = paying_project(use_batches=True, batch_size=10)
    api.model.latency = 60
    send = MessagesClient.send_batch

    def send_and_stop(self, prompts):
        remote_id = send(self, prompts)
        rounds.stop_asking(project.rounds.get())
        return remote_id

    with monkeypatch.context() as stopping:
        stopping.setattr(MessagesClient, "send_batch", send_and_stop)
        round_ = run_round(project)
    assert round_.state == "paused"
    assert api.batches._batches["msgbatch_1"].cancelled.is_set()
    api.model.latency = 0
    round_ = go_on(round_)
    assert Verdict.objects.count() == asked(round_).count()
    assert set(Call.objects.filter(batch__remote_id="msgbatch_1").values_list("cost", "error")) == {
        (0, "The batch ended before this question was asked (canceled).")
    }
    assert Call.objects.all().known_cost() == api.model.books.cost


def test_what_passes_while_a_batch_is_sent_or_fetched_is_repeated(api, price, monkeypatch):
    create, results = api.batches.create, api.batches.results
    busy = iter([error(529, retry_after=None)])
    broken = iter([error(529, retry_after=None), lambda whole: Reply(whole, cut=True)])

    def fetch(batch_id):
        fault = next(broken, None)
        return fault(results(batch_id)) if callable(fault) else fault or results(batch_id)

    monkeypatch.setattr(api.batches, "create", lambda requests: next(busy, None) or create(requests))
    monkeypatch.setattr(api.batches, "results", fetch)
    round_ = run_round(paying_project(use_batches=True, batch_size=10))
    assert (round_.state, round_.error) == ("done", "")
    assert Verdict.objects.count() == asked(round_).count() == Call.objects.count()
    assert agrees(api)


def test_a_batch_that_says_nothing_is_not_paid_for_again_and_again(api, price, monkeypatch):
    monkeypatch.setattr(api.batches, "results", lambda batch_id: b"")
    round_ = run_round(paying_project(use_batches=True, batch_size=10))
    assert round_.state == "done"
    assert JudgeFailure.objects.count() == 5
    assert Call.objects.filter(state="lost").count() == Call.objects.count() == 15
    assert adds_up()


def left_under_way(api: MessagesApi, project: Project, monkeypatch) -> Round:
    """A round that failed while its batch of 5 was under way."""

    def die(self, batch):
        raise JobFailed("Killed.")

    with monkeypatch.context() as dying, pytest.raises(JobFailed):
        dying.setattr("labelling.jobs.batches.BatchSender._wait", die)
        run_round(project)
    return project.rounds.get()


def test_a_batch_that_the_provider_knows_no_more_is_lost_and_its_questions_are_asked_anew(api, price, monkeypatch):
    project = paying_project(use_batches=True, batch_size=10)
    round_ = left_under_way(api, project, monkeypatch)
    api.batches._batches.clear()
    round_ = go_on(round_)
    assert (round_.state, round_.error) == ("done", "")
    lost = Call.objects.filter(state="lost")
    assert (lost.count(), "knows no such batch" in lost.first().error) == (5, True)
    assert Verdict.objects.count() == asked(round_).count()


def test_who_wants_no_batches_any_more_still_gets_what_was_paid_for(api, price, monkeypatch):
    project = paying_project(use_batches=True, batch_size=10)
    round_ = left_under_way(api, project, monkeypatch)
    project.use_batches = False
    project.save()
    round_ = go_on(round_)
    assert round_.state == "done"
    assert Call.objects.filter(batch__isnull=False, state="done").count() == 5
    assert Call.objects.count() == Verdict.objects.count() == asked(round_).count()
    assert agrees(api)


def test_the_next_round_books_the_batch_that_the_last_one_has_left(api, price, monkeypatch):
    project = paying_project(use_batches=True, batch_size=10)
    left_under_way(api, project, monkeypatch)
    project.use_batches = False
    project.save()
    assert run_round(project).state == "done"
    assert Call.objects.filter(round__number=1, state="done").count() == 5
    assert agrees(api)


# Choosing among candidates


def test_a_choice_is_one_question_a_document_and_changes_what_is_believed(api, price):
    project = paying_project(question="choose", certainty=0.8)
    round_ = run_round(project)
    assert round_.state == "done"
    queries = list(asked(round_).select_related("verdict", "document__prediction", "label"))
    assert Counter(query.document_id for query in queries).most_common(1)[0][1] == 1
    assert {query.form for query in queries} == {"choose"}
    assert {len(query.offered) for query in queries} == {4}
    assert {query.offered.index(query.label_id) for query in queries} > {0, 1}, "in random order"
    assert all(query.verdict.chosen_id in (None, *query.offered) for query in queries)
    chose_it = [query for query in queries if query.verdict.verdict == "valid"]
    assert chose_it
    for query in chose_it:
        assert query.document.prediction.beliefs[query.label_id] > query.posterior
    assert TrainingExample.objects.filter(source="judge").exists()
    user = api.requests[0].body["messages"][0]["content"]
    assert "Labels to choose from:\nA. " in user
    assert agrees(api)


def test_spot_checks_of_choices_measure_how_often_the_right_option_is_chosen(api, price):
    project = paying_project(question="choose", batch_size=12, retrain_after=400)
    run_round(project)
    expert = make_user("expert")
    while entry := claim_next(project, expert):
        decide(project, entry.pk, expert, "override", project.labels.get(name=entry.document.text.split()[0]))
    following = rounds.start_round(project)
    (((judge, form), rows),) = audits.answered(following).items()
    assert (judge.judge, form) == ("anthropic", "choose")
    right, wrong = (sum(row.spot_check and row.right is is_right for row in rows) for is_right in (True, False))
    said = Verdict.objects.exclude(verdict="unsure").select_related("query__document", "query__label", "better_label")
    expected = [
        (verdict.query.label if verdict.verdict == "valid" else verdict.better_label or "none").name
        == verdict.query.document.text.split()[0]
        for verdict in said
    ]
    assert (right, wrong) == (expected.count(True), expected.count(False))
    rates = all_rates(following)[judge]
    assert rates.sensitivity == rates.specificity
    assert rates.sensitivity.n == right + wrong == 12


def test_what_was_chosen_from_is_not_asked_about_again(api, price):
    project = paying_project(question="choose", batch_size=44, auto_accept=False)
    first, second = (set(asked(run_round(project)).values_list("document", flat=True)) for _ in range(2))
    assert first
    assert not first & second


# Where the key may go


def test_an_address_that_is_not_allowed_is_sent_nothing(api, price):
    with MessagesApi() as elsewhere:
        project = paying_project(judge_base_url=elsewhere.url)
        with pytest.raises(JobFailed, match="is not allowed"):
            run_round(project)
        assert elsewhere.model.books.calls == 0


def test_a_project_may_have_a_server_of_its_own(api, price, settings):
    with MessagesApi() as elsewhere:
        settings.JUDGE_BASE_URLS = [elsewhere.url]
        round_ = run_round(paying_project(judge_base_url=elsewhere.url, judge_model="own-model", batch_size=6))
    assert (round_.state, api.model.books.calls) == ("done", 0)
    assert set(Verdict.objects.values_list("model", flat=True)) == {"own-model"}
