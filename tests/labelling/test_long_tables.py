"""Long tables: rows that open, sorted and filtered, a page at a time; and what hides a verdict hides it in each."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from labelling.models import Call, Decision, Measurement, Project, Query, Round
from labelling.services import claims, review
from labelling.services.gold import Record
from labelling.services.people import Numbers
from labelling.services.progress import QUESTIONS, RoundScore, charts
from labelling.views import ledger, measuring, people, rounds
from tests.factories import account, fresh, fruit_project, import_doubtful, run_round

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    people = {"manager": account("ann"), "reviewers": [account("bob"), account("cem")]}
    project = fruit_project(**people, judge="neighbours", batch_size=40, retrain_after=0)
    import_doubtful(project)
    run_round(project)
    return project


@pytest.fixture
def project(laid_out, client, ann) -> Project:
    client.force_login(ann)
    return fresh(laid_out)


def asked(client, project: Project, **query: str):
    return client.get(reverse("round", args=[project.slug, 1]), query)


def text_of(response) -> str:
    return " ".join(response.content.decode().split())


@pytest.mark.parametrize("sort", [*rounds.SORTS, "", "nonsense", "pk"])
def test_a_rounds_questions_are_sorted(client, project, sort):
    shown = list(asked(client, project, sort=sort).context["page"])
    key = {"label": lambda one: one.label.name, "probability": lambda one: one.probability}.get(sort)
    values = [(key(one) if key else one.rank) for one in shown]
    assert values == sorted(values)


def test_a_round_is_shown_a_page_at_a_time_and_its_rows_open(client, project, monkeypatch):
    monkeypatch.setattr(rounds, "PER_PAGE", 10)
    response = asked(client, project)
    n = project.rounds.get().queries.count()
    assert n > rounds.PER_PAGE
    assert text_of(response).count('<td class="opens"><details><summary') == rounds.PER_PAGE
    assert f"Asked: {n} questions" in text_of(response)
    second = asked(client, project, page="2", sort="label")
    assert "sort=label" in text_of(second)
    assert len(second.context["page"]) == min(n - rounds.PER_PAGE, rounds.PER_PAGE)


def test_a_row_keeps_an_audits_verdict_to_itself_until_somebody_has_decided(client, project, ann):
    entry = project.queue.filter(query__reason__in=Query.AUDITS, query__verdict__isnull=False).first()
    reason = entry.query.reason
    Query.objects.filter(pk=entry.query_id).update(rank=0)
    entry.query.verdict.__class__.objects.filter(query=entry.query_id).update(reason="told too early")
    assert "told too early" not in text_of(asked(client, project, reason=reason))
    while (next_ := claims.claim_next(project, ann)) and next_.pk != entry.pk:
        review.decide(project, next_.pk, ann, Decision.Action.SKIP)
    review.decide(project, entry.pk, ann, Decision.Action.ACCEPT)
    assert "told too early" in text_of(asked(client, project, reason=reason))


def test_the_page_of_a_round_takes_as_many_queries_for_many_questions(client, project, django_assert_max_num_queries):
    with django_assert_max_num_queries(22):
        asked(client, project)


def test_calls_are_sorted_and_those_without_a_cost_come_last(client, project):
    costs = [Decimal("0.5"), None, Decimal("0.1"), Decimal("2")]
    for n, cost in enumerate(costs):
        Call.objects.create(
            project=project, purpose="draft", model="m", fingerprint=str(n), state="done", cost=cost, latency=4 - n
        )
    address = reverse("ledger", args=[project.slug])
    found = {sort: [call.cost for call in client.get(address, {"sort": sort}).context["page"]] for sort in ledger.SORTS}
    assert found == {
        "time": costs[::-1],
        "cost": [Decimal(2), Decimal("0.5"), Decimal("0.1"), None],
        "seconds": costs,
    }
    assert [call.cost for call in client.get(address, {"sort": "x"}).context["page"]] == costs[::-1]


def numbers(user, **more) -> Numbers:
    of_one = dict.fromkeys(
        ["n_decisions", "n_bulk", "n_today", "n_days", "n_shared", "n_same", "n_audits", "n_as_judge", "n_overturned"],
        0,
    )
    return Numbers(user, median_seconds=None, gold=Record(0, 0), needs_second=False, **of_one | more)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("name", "ann bob cem"),
        ("decisions", "bob ann cem"),
        ("today", "ann bob cem"),
        ("agreement", "bob ann cem"),
        ("overturned", "ann bob cem"),
    ],
)
def test_people_are_sorted_the_most_first_and_the_unknown_last(ann, bob, sort, order):
    rows = [
        numbers(account("cem")),
        numbers(ann, n_decisions=4, n_today=2, n_shared=2, n_same=1, n_overturned=2),
        numbers(bob, n_decisions=9, n_today=1, n_shared=1, n_same=1, n_overturned=1),
    ]
    assert " ".join(one.reviewer.username for one in sorted(rows, key=people.SORTS[sort])) == order
    assert set(people.SORTS) == set(people.COLUMNS)


def test_the_peoples_page_is_sorted_by_its_heads(client, project, ann):
    review.decide(project, claims.claim_next(project, ann).pk, ann, Decision.Action.SKIP)
    entry = claims.claim_next(project, ann)
    review.decide(project, entry.pk, ann, Decision.Action.ACCEPT)
    shown = text_of(client.get(reverse("people", args=[project.slug]), {"sort": "agreement"}))
    assert 'aria-sort="descending"' in shown
    assert "<bdi>ann</bdi>" in shown


def estimate(value, n):
    missing = 0 if value is not None else max(20 - n, 1)
    return {"value": value, "low": 0.5, "high": 1.0, "n": n, "still_needed": missing}


@pytest.fixture
def measured(project) -> Project:
    """With a judge's figures for each label: apple 0.9, banana 0.6, cherry none, mango none."""
    rows = []
    for n, (name, value) in enumerate([("apple", 0.9), ("banana", 0.6), ("cherry", None), ("mango", None)]):
        rates = dict.fromkeys(measuring.RATES, estimate(value, 4 + n))
        rows.append({"label": project.labels.get(name=name).pk, "n": 4 + n, "n_unsure": n % 2, **rates})
    whole = dict.fromkeys(measuring.RATES, estimate(0.8, 40))
    one = {"judge": "anthropic", "model": "m", "prompt_version": "v", "n": 40, "n_unsure": 2, **whole, "labels": rows}
    Measurement.objects.create(project=project, state="done", figures=[one], finished_at=timezone.now())
    return project


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", "mango cherry banana apple"),
        ("label", "apple banana cherry mango"),
        ("agreement", "banana apple mango cherry"),
        ("unsure", "banana mango apple cherry"),
        ("nonsense", "mango cherry banana apple"),
    ],
)
def test_the_judges_labels_are_sorted_and_found(client, measured, sort, order):
    address = reverse("judge", args=[measured.slug])
    page = client.get(address, {"sort": sort}).context["page"]
    assert " ".join(row["label"].name for row in page) == order
    assert [row["label"].name for row in client.get(address, {"q": "AN", "sort": "label"}).context["page"]] == [
        "banana",
        "mango",
    ]
    assert "No label fits." in text_of(client.get(address, {"q": "zzz"}))


def score(number: int, **more) -> RoundScore:
    figures = {"uncertain": 7, "training_examples": 20, "holdout_accuracy": None}
    round_ = Round(number=number, **{name: more.pop(name, value) for name, value in figures.items()})
    nothing = dict.fromkeys(["n_queries", "n_documents", "n_verdicts", "n_failures", "n_decisions", "n_compared"], 0)
    return RoundScore(round=round_, acceptance=None, agreement=more.pop("agreement", None), **nothing)


def test_each_chart_answers_one_question_in_words():
    shown = charts([score(3, uncertain=1200, agreement=0.5), score(2, holdout_accuracy=0.912), score(1)])
    assert [one.key for one in shown] == list(QUESTIONS)
    words = {one.key: one.words for one in shown}
    assert words["uncertain"] == "1,200 documents were uncertain in round 3. In round 2: 7."
    assert words["holdout_accuracy"] == "On 91.2 % of the held-out texts in round 2."
    assert words["agreement"].startswith("On 50.0 % of the documents of round 3")
    assert {one.key for one in shown if one.is_share} == {"holdout_accuracy", "agreement"}


def test_nothing_is_drawn_of_which_nothing_is_known():
    assert [one.key for one in charts([score(1)])] == ["uncertain", "training_examples"]
    assert charts([]) == []
