"""What asking will take, the same for rounds, drafts and comparisons: tokens by kind, prompts, and what caps leave."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.urls import reverse

from classifiers.messages_api import MessagesClient, Prompt
from labelling import jobs
from labelling.fake_messages_api import MessagesApi
from labelling.jobs.calls import Task
from labelling.jobs.forecasting import MAX_COUNTED, forecast
from labelling.models import Call, Drafting, Project
from labelling.services import definitions, rounds
from tests.factories import fruit_project, make_user, run_round

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

# Longer than what the stand-in caches from.
SYSTEM = "Say whether the label fits the text. " * 20


@pytest.fixture
def project() -> Project:
    return fruit_project(judge="anthropic", batch_size=8, retrain_after=0)


@pytest.fixture
def ask(api: MessagesApi, project):
    """Forecast these questions: system prompt and text of each."""

    def forecast_of(*questions: tuple[str, str], in_batches: bool = False) -> dict:
        label = project.labels.first()

        def row() -> Call:
            return Call(project=project, label=label, purpose=Call.Purpose.VERDICT)

        tasks = [Task(None, Prompt(system, user, {}, 100), row, lambda reply: reply) for system, user in questions]
        return forecast(MessagesClient("stub-1", api.url), tasks, 50, in_batches)

    return forecast_of


def answered(project: Project, output_tokens: int, **values: object) -> Call:
    row = {"purpose": "verdict", "model": "stub-1", "state": "done", "cost": 0} | values
    return Call.objects.create(project=project, output_tokens=output_tokens, **row)


def draft(project: Project) -> Drafting:
    drafting = definitions.start_drafting(project, None, "all", "stub-1")
    jobs.run_drafting(drafting.pk)
    drafting.refresh_from_db()
    return drafting


# Tokens and money


def test_the_first_call_with_a_system_prompt_writes_the_cache_and_the_others_read_it(ask, price):
    other = SYSTEM.replace("label", "name")
    found = ask((SYSTEM, "One."), (SYSTEM, "Two."), (other, "One."), (SYSTEM, "Four."), ("Short.", "One."))
    assert found["cache_write_tokens"] == pytest.approx(found["cache_read_tokens"], rel=0.05)
    assert found["prompt_tokens"] == sum(found[f"{kind}_tokens"] for kind in ("input", "cache_read", "cache_write"))
    assert found["cache_share"] == found["cache_read_tokens"] / found["prompt_tokens"] > 0.4
    tokens = {kind: found[f"{kind}_tokens"] for kind in ("input", "output", "cache_read", "cache_write")}
    rates = {"input": "1", "output": "5", "cache_read": "0.1", "cache_write": "1.25"}
    assert Decimal(found["cost"]) == sum(tokens[kind] * Decimal(rates[kind]) for kind in tokens) / 1_000_000
    uncached = (found["prompt_tokens"] + 5 * found["output_tokens"]) / Decimal(1_000_000)
    assert Decimal(found["cost"]) + Decimal(found["saved"]) == uncached
    assert (found["output_tokens"], found["output_is_assumed"]) == (5 * 50, True)


def test_a_batch_costs_half_and_counts_on_no_cache(ask, price):
    found = ask((SYSTEM, "One."), (SYSTEM, "Two."), in_batches=True)
    assert (found["cache_read_tokens"], found["cache_share"], Decimal(found["saved"])) == (0, 0, 0)
    assert Decimal(found["cost"]) == (found["prompt_tokens"] + 5 * 100) / Decimal(2_000_000)


def test_without_a_price_there_are_tokens_and_no_money(ask):
    found = ask((SYSTEM, "One."), (SYSTEM, "Two."))
    assert found["prompt_tokens"] > 100
    assert (found["cost"], found["cache_share"]) == (None, 0)
    assert not {"at_most", "saved", "price", "warnings"} & set(found)


def test_no_question_takes_nothing_and_needs_no_key(ask, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert ask()["calls"] == 0


@pytest.mark.parametrize("n", [1, MAX_COUNTED - 1, MAX_COUNTED, MAX_COUNTED + 1, 3 * MAX_COUNTED - 1])
def test_a_sample_is_counted_and_the_first_the_longest_and_a_middle_prompt_are_shown(ask, n):
    texts = [f"Text {i:3}." for i in range(n)]
    texts[n // 3] = "Much the longest text."
    found = ask(*((SYSTEM, text) for text in texts))
    assert (found["calls"], found["counted"]) == (n, min(n, MAX_COUNTED))
    shown = [prompt["user"] for prompt in found["prompts"]]
    assert len(shown) == len(set(shown)) == min(n, 3)
    assert {texts[0], texts[n // 3]} <= set(shown)
    assert {prompt["label"] for prompt in found["prompts"]} == {"apple"}


def test_answers_are_as_long_as_in_this_project_else_as_anywhere(ask, project):
    answered(project, 700, purpose="definition")
    answered(project, 700, model="stub-2")
    answered(project, 700, state="failed")
    assert (ask((SYSTEM, "One."))["output_tokens"], ask((SYSTEM, "One."))["output_is_assumed"]) == (50, True)
    answered(fruit_project(), 300)
    assert (ask((SYSTEM, "One."))["output_tokens"], ask((SYSTEM, "One."))["output_is_assumed"]) == (300, False)
    answered(project, 10)
    answered(project, 30)
    assert ask((SYSTEM, "One."), (SYSTEM, "Two."))["output_tokens"] == 40


# What the caps leave


@pytest.mark.parametrize(("cap", "warned"), [("0.15", True), ("0.16", False), (None, False)])
def test_a_warning_says_when_the_projects_cap_leaves_less(ask, project, price, cap, warned):
    price.input, price.cache_min_tokens = Decimal(0), 10_000
    price.output = Decimal(1_000)
    price.save()
    project.project_cap = cap and Decimal(cap)
    project.save()
    answered(project, 50, cost=Decimal("0.06"))
    found = ask((SYSTEM, "One."), (SYSTEM, "Two."))
    assert Decimal(found["cost"]) == Decimal("0.10")
    expected = (
        "This is more than the project's cap of $0.15 leaves: $0.0900 at the time of this forecast. "
        "At the cap asking pauses with what it has."
    )
    assert found["warnings"] == [expected] * warned


def test_the_page_of_a_round_warns_of_its_cap_and_not_of_what_other_rounds_spent(client, api, project, price):
    client.force_login(make_user("boss", is_superuser=True, is_staff=True))
    answered(project, 50, cost=Decimal(5))
    project.round_cap, project.project_cap = Decimal("1"), Decimal(100)
    project.save()
    first = run_round(project)
    assert (first.state, first.forecast["warnings"]) == ("waiting", [])
    rounds.queueing.cancel(first)
    project.round_cap = Decimal(0)
    project.save()
    (warning,) = run_round(project).forecast["warnings"]
    assert warning.startswith("This is more than the round's cap of $0.00 leaves: $0.0000")
    shown = client.get(reverse("round", args=[project.slug, 2])).content.decode()
    assert "This is more than the round&#x27;s cap" in shown
    assert "This is more" not in client.get(reverse("round", args=[project.slug, 1])).content.decode()


def test_drafts_show_the_same_figures_and_the_same_warning(client, api, project, price):
    client.force_login(make_user("boss", is_superuser=True, is_staff=True))
    project.project_cap = Decimal(0)
    project.save()
    drafting = draft(project)
    assert drafting.forecast["cache_read_tokens"] > drafting.forecast["cache_write_tokens"] > 0
    shown = client.get(reverse("drafts", args=[project.slug])).content.decode()
    assert shown.count("A prompt exactly as it will be sent: ") == 3
    for figure in ("… from the cache", "The cache saves", "This is more than the project&#x27;s cap of $0.00"):
        assert figure in shown
