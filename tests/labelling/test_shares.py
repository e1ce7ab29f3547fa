"""How common each label is: from beliefs and random decisions of a real project to pages, export, release and card."""

from __future__ import annotations

import pytest
from django.urls import reverse

from labelling.jobs.releasing import SOURCES
from labelling.models import Label, Project, Release
from labelling.services.health import table
from labelling.services.promises import describe
from labelling.services.shares import shares
from tests.factories import FRUIT, account, fresh, import_rows, make_project, run_round
from tests.labelling.test_finish_line import decide_all

pytestmark = pytest.mark.django_db

# How many documents of the pool there are of each.
TRUE = dict(zip(FRUIT, (48, 24, 16, 8), strict=True))
N = sum(TRUE.values())


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    """Two rounds with audits between, of a pool that is skewed as the seeds are not."""
    project = make_project(account("mia"), retrain_after=30)
    import_rows(project, [(f"{fruit} {fruit} seed number {n}", fruit) for fruit in FRUIT for n in range(6)])
    import_rows(project, [(f"{fruit} {fruit} item {n}", "") for fruit, n_texts in TRUE.items() for n in range(n_texts)])
    run_round(project)
    decide_all(project, account("mia"))
    project.rounds.filter(state="queued").delete()
    run_round(project)
    return project


@pytest.fixture
def audited(laid_out) -> Project:
    return fresh(laid_out)


def test_the_intervals_hold_the_true_shares_and_narrow_with_audits(audited):
    found = shares(audited)
    assert (found.n, found.round) == (N, 2)
    assert found.drawn >= 30
    labels = {label.pk: label.name for label in Label.objects.filter(project=audited)}
    for pk, interval in found.of_label.items():
        share = TRUE[labels[pk]] / N
        assert interval.low - 1e-4 <= share <= interval.high + 1e-4
        assert interval.share == pytest.approx(share, abs=0.03)
    first = audited.rounds.get(number=1).shares
    assert (first["n"], first["drawn"]) == (N, 0)
    for pk, (_, low, high) in first["labels"].items():
        assert high - low > found.of_label[int(pk)].high - found.of_label[int(pk)].low
    assert [label.name for label, _ in found.by_share(audited.labels.all())] == list(TRUE)


def test_seeds_and_holdout_are_not_counted(audited):
    import_rows(audited, [("apple apple held out", "apple")], holdout_percent=100)
    audited.queue.all().delete()
    assert run_round(audited).shares["n"] == N


def test_nothing_is_shown_before_a_round(client):
    project = make_project(account("mia"))
    import_rows(project, [("apple", "apple"), ("banana", "banana")])
    client.force_login(account("mia"))
    assert shares(project) is None
    assert all(row.share is None for row in table(project))
    for name in ("label_health", "export_page"):
        assert "95 times in 100" not in client.get(reverse(name, args=[project.slug])).content.decode()


def test_pages_show_them(client, audited):
    client.force_login(account("mia"))
    apple = audited.labels.get(name="apple")
    rows = {row.label.name: row for row in table(audited)}
    assert rows["apple"].share == shares(audited).of_label[apple.pk]
    response = client.get(reverse("label_health", args=[audited.slug]), {"sort": "share"})
    assert [row.label.name for row in response.context["page"]] == list(TRUE)
    assert f"{N} documents that came without a label" in response.content.decode()
    for address in (reverse("label", args=[audited.slug, apple.pk]), reverse("export_page", args=[audited.slug])):
        text = client.get(address).content.decode()
        assert "Share of the pool" in text
        assert f"{100 * rows['apple'].share.share:.1f} %" in text.replace("\u202f", " ").replace("\xa0", " ")


def test_a_release_says_them(audited):
    counts = dict.fromkeys(("all", *SOURCES, "certified", "holdout", "without_label"), 0)
    told = describe(Release(project=audited, number=1), counts, {})["shares"]
    assert (told["documents"], told["level"], list(told["labels"])) == (N, 0.95, list(TRUE))
    assert told["labels"]["apple"] == shares(audited).of_label[audited.labels.get(name="apple").pk]._asdict()
