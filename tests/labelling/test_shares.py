"""How common each label is: from beliefs and random decisions of a real project to pages, export, release and card."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from django.urls import reverse

from classifiers.prevalence import prevalence
from labelling.jobs.releasing import SOURCES
from labelling.jobs.rounds import prevailing, reading
from labelling.models import CohortMember, Label, Prediction, Project, Release, TrainingExample
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


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_shares_of_a_pool_read_in_batches_are_those_of_all_its_beliefs(audited, size, monkeypatch):
    """Against the same of each document's lists, label by label."""
    monkeypatch.setattr(reading, "CHUNK_ROWS", size)
    round_, label_ids = audited.rounds.get(number=2), list(audited.labels.order_by("pk").values_list("pk", flat=True))
    undecided = Prediction.objects.filter(document__given_source="").exclude(document__example__source="human")
    strata, n_drawn = prevailing._strata(round_, prevailing._stored(undecided), np.array(label_ids))
    in_ledger = set(CohortMember.objects.values_list("settled__document", flat=True))
    settled = set(audited.settled_labels.values_list("document", flat=True))
    kept = dict.fromkeys(range(3), 0) | Counter(
        0 if pk in in_ledger else 1 if pk in settled else 2 for pk in undecided.values_list("document", flat=True)
    )
    assert [stratum.n for stratum in strata] == [kept[number] for number in range(3)]
    assert n_drawn == round_.shares["drawn"] == sum(len(stratum.found) for stratum in strata)
    believed, doubt = np.zeros((2, len(label_ids) + 1))
    for prediction in undecided:
        for pk, belief in prediction.beliefs.items():
            code = len(label_ids) if pk is None else label_ids.index(pk)
            believed[code] += belief
            doubt[code] += belief * (1 - belief)
    assert sum(stratum.believed for stratum in strata) == pytest.approx(believed, rel=1e-12)
    assert sum(stratum.doubt for stratum in strata) == pytest.approx(doubt, rel=1e-12)
    drawn = np.concatenate([stratum.drawn for stratum in strata])
    assert drawn.sum(axis=1) == pytest.approx(np.ones(n_drawn), abs=1e-5)
    told = round_.shares["labels"]
    known = Counter(TrainingExample.objects.filter(source="human").values_list("label", flat=True))
    counted = np.array([*(known[pk] for pk in label_ids), known[None]])
    assert prevalence(counted, strata).share[:-1].round(5).tolist() == [told[str(pk)][0] for pk in label_ids]


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
