"""The judge measured against people: what the worker counts, and what the page says of it."""

from __future__ import annotations

import pytest
from django.urls import reverse

from labelling import jobs
from labelling.models import Decision, Label, Measurement, Project, Query, Verdict
from labelling.services import claims, measuring, review
from labelling.services.audits import state
from tests.factories import account, fresh, fruit_project, make_project, make_user, run_round

pytestmark = pytest.mark.django_db

APPLE, BANANA = "apple", "banana"


@pytest.fixture
def manager():
    return account("manager", is_staff=True)


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    """A round that lays out so much checks all its questions to the judge."""
    manager = account("manager", is_staff=True)
    project = fruit_project(manager=manager, judge="neighbours", batch_size=30, retrain_after=400)
    run_round(project)
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


@pytest.fixture
def client(client, manager):
    client.force_login(manager)
    return client


def decide_all(project: Project, wrong: int = 0) -> None:
    """A person says that the first so many predicted labels are wrong, and that the others are right."""
    user = make_user()
    for index in range(project.queue.count()):
        review.decide(project, claims.claim_next(project, user).pk, user, "none" if index < wrong else "accept")


def measured(project: Project) -> Measurement:
    measurement = measuring.measure(project)
    jobs.run_measurement(measurement.pk)
    measurement.refresh_from_db()
    return measurement


def page(client, name: str, *args: object, **query: object) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def test_a_judge_is_measured_overall_and_by_label(project):
    decide_all(project, wrong=2)
    (judge,) = measured(project).figures
    verdicts = Verdict.objects.values_list("verdict", flat=True)
    assert set(verdicts) == {"valid"}, "else the figures below are others"
    assert (judge["judge"], judge["model"], judge["n"], judge["n_unsure"]) == ("neighbours", "nearest examples", 20, 0)
    assert judge["agreement"]["value"] == 0.9
    assert judge["agreement"]["low"] < 0.9 < judge["agreement"]["high"]
    assert (judge["sensitivity"]["n"], judge["sensitivity"]["still_needed"]) == (18, 2)
    assert judge["specificity"]["value"] is None
    assert judge["kappa"]["value"] == pytest.approx(0.0)
    assert sum(label["n"] for label in judge["labels"]) == 20
    assert {label["label"] for label in judge["labels"]} == set(project.labels.values_list("pk", flat=True))


def test_unsure_is_counted_apart(project):
    unsure = Verdict.objects.first()
    Verdict.objects.filter(pk=unsure.pk).update(verdict="unsure")
    decide_all(project)
    (judge,) = measured(project).figures
    assert (judge["n"], judge["n_unsure"], judge["agreement"]["n"]) == (20, 1, 19)
    assert judge["agreement"]["value"] is None


def test_another_wording_of_the_question_is_another_judge(project):
    for verdict in Verdict.objects.all()[:5]:
        Verdict.objects.filter(pk=verdict.pk).update(prompt_version="older")
    decide_all(project)
    found = {judge["prompt_version"]: judge["n"] for judge in measured(project).figures}
    assert found == {"neighbours-1": 15, "older": 5}


def test_what_is_no_blind_decision_counts_for_nothing(project):
    user = make_user()
    decision = review.decide(project, claims.claim_next(project, user).pk, user, "accept")
    review.undo(project, user, decision.pk)
    review.decide(project, claims.claim_next(project, user).pk, user, "accept")
    assert measured(project).figures == []


def test_figures_grow_old_with_each_decision_and_each_verdict(project):
    assert measuring.is_old(project, None)
    measurement = measured(project)
    assert not measuring.is_old(project, measurement)
    user = make_user()
    decision = review.decide(project, claims.claim_next(project, user).pk, user, "accept")
    assert measuring.is_old(project, measurement)
    measurement = measured(project)
    review.undo(project, user, decision.pk)
    assert measuring.is_old(project, measurement), "an undo is a decision too"


def test_measuring_twice_at_once_is_measuring_once(project, messages):
    messages.clear()
    first, second = measuring.measure(project), measuring.measure(project)
    assert first == second
    assert Measurement.objects.get().state == "queued"


def test_a_project_without_audits_says_where_they_come_from(client, manager):
    project = make_project(manager, judge="anthropic")
    text = page(client, "judge", project.slug)
    assert "No audit yet" in text
    assert "Count the audits" not in text


def test_the_page_counts_by_itself_what_is_new(client, project):
    decide_all(project)
    assert "Count the audits" in page(client, "judge", project.slug)
    address = reverse("measure", args=[project.slug])
    shown = client.post(address, headers={"HX-Request": "true"}).content.decode()
    assert "Waiting for the worker" in shown
    assert "Waiting for the worker" in page(client, "measuring_progress", project.slug)
    jobs.run_measurement(Measurement.objects.get().pk)
    assert client.get(reverse("measuring_progress", args=[project.slug]))["HX-Refresh"] == "true"
    text = page(client, "judge", project.slug)
    assert "Count the audits" not in text
    for figure in ("nearest examples", "100.0 %", "83.9 % to 100.0 %, n = 20", "0 so far, 20 more needed", "Kappa"):
        assert figure in text
    assert "all in one answer" in text, "kappa of answers that never vary"
    for label in project.labels.all():
        assert label.name in text


def test_labels_are_shown_for_the_judge_that_was_chosen(client, project):
    Verdict.objects.filter(query__label__name=BANANA).update(prompt_version="older")
    decide_all(project)
    measured(project)
    first, second = (page(client, "judge", project.slug, judge=chosen) for chosen in (0, 1))
    links = {name: reverse("label", args=[project.slug, Label.objects.get(name=name).pk]) for name in (APPLE, BANANA)}
    assert links[APPLE] in first
    assert links[BANANA] not in first
    assert links[APPLE] not in second
    assert links[BANANA] in second
    assert links[BANANA] in page(client, "judge", project.slug, judge=99), "the last one there is"


def test_a_label_that_is_gone_is_left_out(client, project):
    decide_all(project)
    measurement = measured(project)
    measurement.figures[0]["labels"][0]["label"] = 10**9
    measurement.save()
    assert page(client, "judge", project.slug).count('scope="row"') == 1 + 3


def test_a_failed_count_says_why_and_is_tried_again(client, project):
    measurement = measured(project)
    Measurement.objects.update(state="failed", error="The disk is full.")
    assert "The disk is full." in page(client, "judge", project.slug)
    client.post(reverse("measure", args=[project.slug]))
    measurement.refresh_from_db()
    assert measurement.state == "queued"


def test_measuring_changes_no_evidence(project):
    decide_all(project)
    before = [model.objects.count() for model in (Query, Verdict, Decision)], state(project)
    measured(project)
    assert ([model.objects.count() for model in (Query, Verdict, Decision)], state(project)) == before
