"""What managers see of the judge's cost, and the buttons that decide about it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.urls import reverse

from labelling import jobs
from labelling.models import Call, JudgeFailure, Price, Round
from labelling.services import audits
from tests.factories import fruit_project, make_user, run_round, typed

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


@pytest.fixture
def manager():
    return make_user("manager", is_staff=True)


@pytest.fixture
def project(manager, client):
    client.force_login(manager)
    return fruit_project(manager=manager, judge="anthropic", batch_size=8, retrain_after=0)


def page(client, name: str, project, *arguments: int) -> str:
    return " ".join(client.get(reverse(name, args=[project.slug, *arguments])).content.decode().split())


def test_a_manager_sees_the_forecast_agrees_and_reads_the_bill(client, api, price, project):
    round_ = run_round(project)
    shown = page(client, "round", project, 1)
    assert f"${Decimal(round_.forecast['cost']):.4f}" in shown
    assert "Proposed label: " in shown
    assert "See the forecast" in page(client, "project", project)

    client.post(reverse("agree_to_forecast", args=[project.slug, 1]))
    round_.refresh_from_db()
    assert round_.state == "queued"
    jobs.run_round(round_.pk)
    cost = Call.objects.all().known_cost()
    for shown in (page(client, "round", project, 1), page(client, "project", project), page(client, "ledger", project)):
        assert f"${cost:.4f}" in shown
    ledger = page(client, "ledger", project)
    assert all(call.request_id in ledger for call in Call.objects.all())
    assert "$1 input, $5 output" in ledger


def test_a_reviewer_sees_that_the_round_waits_and_no_button(client, api, price, project):
    run_round(project)
    reviewer = make_user("reviewer")
    project.memberships.create(user=reviewer, role="reviewer")
    client.force_login(reviewer)
    shown = page(client, "round", project, 1)
    assert "Before anything is spent" in shown
    assert "Ask the judge</button>" not in shown
    assert "A prompt as it" not in shown, "one about an audit's next label would tell what the judge said"
    assert "A manager of this project has the next step." in page(client, "project", project)


def test_without_a_price_the_pages_say_so(client, api, project):
    project.confirm_spending = False
    project.save()
    run_round(project)
    for name, arguments in (("round", [1]), ("project", []), ("ledger", [])):
        assert "no price known" in page(client, name, project, *arguments)
    assert "No price is known for <bdi>stub-1</bdi>" in page(client, "ledger", project)


def test_at_the_cap_the_page_says_what_to_do(client, api, price, project):
    Price.objects.update(output=Decimal("500"))
    project.confirm_spending = False
    project.round_cap = Decimal("0.30")
    project.save()
    run_round(project)
    shown = page(client, "round", project, 1)
    assert "Paused with what it has." in shown
    assert "Raise it in the project&#x27;s settings, then go on." in shown
    project.round_cap = None
    project.save()
    client.post(reverse("go_on_round", args=[project.slug, 1]))
    jobs.run_round(Round.objects.get().pk)
    assert Round.objects.get().state == "done"


def test_what_failed_is_listed_with_its_reason_and_can_be_retried(client, api, price, project):
    project.confirm_spending = False
    project.save()
    turns = iter(["refusal"])
    api.model._drawn = lambda: next(turns, "")
    run_round(project)
    assert "Retry failed" in page(client, "round", project, 1)
    listed = client.get(reverse("round", args=[project.slug, 1]) + "?verdict=failed").content.decode()
    assert listed.count("The judge refused to answer.") == 1
    client.post(reverse("retry_judge", args=[project.slug, 1]))
    jobs.run_round(Round.objects.get().pk)
    assert not JudgeFailure.objects.exists()
    assert "Retry failed" not in page(client, "round", project, 1)


def test_the_ledger_tells_nothing_of_audits_that_wait(client, api, price, project):
    project.confirm_spending = False
    project.save()
    run_round(project)
    shown = page(client, "ledger", project)
    waiting = audits.waiting(project).values("document")
    hidden = Call.objects.filter(query__document__in=waiting)
    assert shown.count("shown when somebody has decided") == hidden.count() > 0
    assert not any(call.query.document.text[:40] in shown for call in hidden)


def test_a_project_chooses_among_the_addresses_that_are_allowed(client, api, settings, project):
    settings.JUDGE_BASE_URLS = ["http://127.0.0.1:9"]
    address = reverse("project_settings", args=[project.slug])
    form = client.get(address).context["form"]
    data = typed(form)
    for url, kept in (("http://127.0.0.1:9", "http://127.0.0.1:9"), ("http://evil.example", "http://127.0.0.1:9")):
        client.post(address, data | {"judge_base_url": url})
        project.refresh_from_db()
        assert project.judge_base_url == kept
    settings.JUDGE_BASE_URLS = []
    refused = client.post(address, data | {"judge_base_url": "http://127.0.0.1:9"})
    assert "not allowed any more" in str(refused.context["form"].errors)


def test_batches_need_a_language_model(client, project):
    address = reverse("project_settings", args=[project.slug])
    form = client.get(address).context["form"]
    data = typed(form)
    refused = client.post(address, data | {"judge": "none", "use_batches": "on"})
    assert "need the judge" in str(refused.context["form"].errors)


def test_a_waiting_round_says_whom_it_waits_for(client, api, price, project):
    run_round(project)
    reviewer = make_user("reviewer")
    project.memberships.create(user=reviewer, role="reviewer")
    client.force_login(reviewer)
    assert "Waiting for you" not in page(client, "round", project, 1)
    assert "A manager of this project has the next step." in page(client, "project", project)
    client.force_login(project.memberships.get(role="manager").user)
    assert "Waiting for you" in page(client, "round", project, 1)


def test_calls_without_a_price_do_not_hide_what_the_others_cost(client, api, price, project):
    project.confirm_spending = False
    project.save()
    run_round(project)
    one, *_ = Call.objects.all()
    Call.objects.filter(pk=one.pk).update(cost=None)
    assert f"${Call.objects.all().known_cost():.4f} and 1 call without a price" in page(client, "ledger", project)
