"""The settings page: a recommendation beside each setting, what a judge needs, and prices."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from labelling.forms import PriceForm, ProjectSettingsForm
from labelling.models import DiaryEntry, Price, Project
from labelling.services.prices import missing
from tests.factories import make_project, make_user, typed

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

PRICE = {
    "model": "big-1",
    "input": "3",
    "output": "15",
    "cache_write": "3.75",
    "cache_read": "0.3",
    "cache_min_tokens": "1024",
    "batch_share": "0.5",
    "source": "the provider's page",
}


@pytest.fixture
def project(ann, client) -> Project:
    client.force_login(ann)
    return make_project(ann)


def show(client, name: str, project: Project, **query: str) -> str:
    return " ".join(client.get(reverse(name, args=[project.slug]), query).content.decode().split())


def test_every_setting_is_shown_once_and_says_what_it_does():
    form = ProjectSettingsForm()
    shown = [field for _title, fields in [*form.sections(), *form.advanced()] for field in fields]
    assert sorted(field.name for field in shown) == sorted(form.fields)
    assert set(ProjectSettingsForm.ADVICE) <= set(form.fields)
    assert [field.name for field in shown if not field.help_text] == ["name"]


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("limit", "5 %"),
        ("judge", "None"),
        ("retrain_after", "40"),
        ("strategy", "Settling"),
        ("auto_accept", "on"),
        ("use_batches", "off"),
    ],
)
def test_a_setting_names_its_default(name, default):
    assert str(ProjectSettingsForm()[name].help_text).endswith(f"Default: {default}.")


def test_what_has_no_default_names_none():
    assert not [
        name for name in ("task", "judge_model", "round_cap") if "Default:" in ProjectSettingsForm()[name].help_text
    ]


@pytest.mark.parametrize("has_key", [True, False])
@pytest.mark.parametrize("has_price", [True, False])
@pytest.mark.parametrize("judge", ["anthropic", "none", "", "neighbours"])
def test_what_a_judge_needs(settings, price, judge, has_key, has_price):
    settings.HAS_JUDGE_KEY = has_key
    found = missing(judge, "stub-1" if has_price else "other")
    asks = judge == "anthropic"
    assert (found.key, found.price) == (asks and not has_key, asks and not has_price)


def test_no_model_is_the_sites_own(settings, price):
    settings.JUDGE_MODEL = "stub-1"
    assert missing("anthropic", " ").model == "stub-1"
    assert not missing("anthropic", "").price


def test_a_model_without_key_or_price_says_so_before_it_is_saved(client, project, settings):
    settings.HAS_JUDGE_KEY = False
    assert "no key" not in show(client, "project_settings", project)
    asked = show(client, "judge_needs", project, judge="anthropic", judge_model="big-1")
    assert "ANTHROPIC_API_KEY" in asked
    assert "No price is known for <bdi>big-1</bdi>" in asked
    assert f"{reverse('prices', args=[project.slug])}?model=big-1" in asked
    assert "notice" not in show(client, "judge_needs", project, judge="none")
    # Without JavaScript: once it is saved.
    data = typed(client.get(reverse("project_settings", args=[project.slug])).context["form"])
    client.post(reverse("project_settings", args=[project.slug]), data | {"judge": "anthropic"})
    assert "ANTHROPIC_API_KEY" in show(client, "project_settings", project)


def test_a_manager_enters_a_price_that_nothing_overwrites(client, project, ann):
    address = reverse("prices", args=[project.slug])
    assert "No price is known yet." in show(client, "prices", project)
    assert typed(client.get(address, {"model": "big-1"}).context["form"])["model"] == "big-1"
    today = timezone.localdate()
    client.post(address, PRICE | {"valid_from": str(today)})
    assert Price.objects.today("big-1").output == Decimal(15)
    told = DiaryEntry.objects.get(act="price")
    assert (told.who, told.about, told.project) == ("ann", "big-1", project)
    again = client.post(address, PRICE | {"valid_from": str(today), "output": "1"})
    assert "has a price from that day on" in again.content.decode()
    assert Price.objects.today("big-1").output == Decimal(15)
    client.post(address, PRICE | {"valid_from": str(today + timedelta(days=1)), "output": "1"})
    assert Price.objects.today("big-1").output == Decimal(15), "not before its day"
    assert "1,024 tokens" in show(client, "prices", project)


@pytest.mark.parametrize(
    ("field", "value"), [("input", "-1"), ("batch_share", "2"), ("cache_min_tokens", ""), ("model", "")]
)
def test_an_impossible_price_is_refused(field, value):
    form = PriceForm(PRICE | {"valid_from": "2026-01-01", field: value})
    assert list(form.errors) == [field]


def test_the_danger_zone_comes_last_and_managers_are_counted(client, project):
    project.memberships.create(user=make_user(), role="reviewer")
    shown = show(client, "project_settings", project)
    assert "1 manager, 1 reviewer." in shown
    assert shown.index("Advanced</summary>") < shown.index("Danger zone") < shown.index("Archive or delete")
