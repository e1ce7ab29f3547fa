"""A judge is tried on examples before it is asked: what is asked first, what counts, and what comes of it."""

from __future__ import annotations

import csv
import io
from itertools import combinations

import pytest
from django.urls import reverse

from classifiers.judge import Answer
from labelling import jobs
from labelling.jobs.lease import JobFailed
from labelling.models import JudgeFailure, Query, Verdict
from labelling.services import audits, rounds
from labelling.services.exports import export_lines
from labelling.services.projects import set_member
from tests.factories import FRUIT, fruit_project, import_doubtful, import_rows, make_user, run_round
from tests.fakes import KnowingJudge

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


class Contrary(KnowingJudge):
    """Never right."""

    def ask(self, question) -> Answer:
        answer = super().ask(question)
        return Answer("valid" if answer.verdict == "invalid" else "invalid", "Not so.", model=answer.model)


@pytest.fixture(autouse=True)
def _doubts(monkeypatch):
    """Each example is doubted, so that a few of fruit make a trial."""
    monkeypatch.setattr("classifiers.loop.trying.DOUBT", 0.5)
    monkeypatch.setattr("classifiers.loop.trying.LEAST_TRIED", 4)


def use(judge: KnowingJudge, monkeypatch) -> KnowingJudge:
    monkeypatch.setattr("labelling.jobs.rounds.auditing.make_judge", lambda *arguments: judge)
    return judge


def doubtful_project(**settings):
    project = fruit_project(**{"judge": "neighbours", "batch_size": 36, "retrain_after": 0, **settings})
    import_doubtful(project)
    return project


@pytest.mark.parametrize("question", ["validate", "choose"])
def test_examples_come_first_and_count_from_the_trials_end(monkeypatch, question):
    judge = use(KnowingJudge(), monkeypatch)
    project = doubtful_project(question=question)
    round_ = run_round(project)
    trial = round_.queries.filter(reason="trial")
    seeds = set(project.documents.filter(example__source="seed").values_list("text", flat=True))
    assert trial.count() >= 4
    texts = [text for text, _ in judge.asked]
    assert set(texts[: trial.count()]) <= seeds
    assert not set(texts[trial.count() :]) & seeds
    assert round_.reliability["n_weighed"] >= trial.count() or question == "choose"
    found = audits.tried(round_)
    assert (found.n, found.was_asked) == (trial.count(), True)
    assert found.n_right == found.n or question == "choose"
    assert not Query.objects.filter(queue_entry__isnull=False, reason="trial").exists()


def test_it_takes_its_part_of_the_rounds_calls_and_comes_once(monkeypatch):
    judge = use(KnowingJudge(), monkeypatch)
    project = doubtful_project()
    first = run_round(project)
    assert len(judge.asked) <= 3 * first.settings["batch_size"]
    assert first.queries.filter(reason="trial").count() <= first.settings["batch_size"] / 4
    import_doubtful(project)
    assert not run_round(project).queries.filter(reason="trial").exists()


def test_a_judge_that_is_no_use_is_asked_no_more_and_the_page_says_so(client, monkeypatch):
    judge = use(Contrary(), monkeypatch)
    project = doubtful_project(batch_size=200)
    pairs = combinations(FRUIT, 2)
    # Of these the best label is often the other one.
    import_rows(project, [(f"{one} {other} {other} seed {n}", one) for one, other in pairs for n in range(2)])
    round_ = run_round(project)
    assert round_.state == "done"
    n_tried = round_.queries.filter(reason="trial").count()
    assert len(judge.asked) == n_tried
    assert not audits.tried(round_).was_asked
    assert not run_round(project).queries.exclude(reason__in=Query.UNASKED).exists()
    manager = make_user()
    set_member(project, manager, "manager")
    client.force_login(manager)
    page = client.get(reverse("round", args=[project.slug, round_.number])).content.decode()
    assert "it was not asked any further" in page
    assert "Choose another judge" in page


def test_a_worker_that_is_stopped_in_the_trial_goes_on_and_asks_nothing_twice(monkeypatch):
    judge = use(KnowingJudge(stops_after=2), monkeypatch)
    project = doubtful_project()
    with pytest.raises(JobFailed):
        run_round(project)
    round_ = project.rounds.get()
    assert audits.tried(round_) is None
    assert audits.answered(round_) == {}
    judge.stops_after = None
    rounds.go_on(round_)
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert round_.state == "done"
    assert len(judge.asked) == len(set(judge.asked)) == Verdict.objects.count()
    assert audits.tried(round_).n_right == audits.tried(round_).n >= 4


def test_a_question_without_an_answer_does_not_hold_the_trial_up(monkeypatch):
    use(KnowingJudge(), monkeypatch)
    round_ = run_round(doubtful_project())
    verdict = Verdict.objects.filter(query__reason="trial").first()
    JudgeFailure.objects.create(query=verdict.query, reason="No answer.")
    n = audits.tried(round_).n
    verdict.delete()
    assert audits.tried(round_).n == n - 1


def test_what_it_said_of_examples_is_in_no_export(monkeypatch):
    use(KnowingJudge(), monkeypatch)
    project = doubtful_project()
    run_round(project)
    lines = list(csv.DictReader(io.StringIO("".join(export_lines(project)).removeprefix("\ufeff"))))
    assert any(line["verdict"] for line in lines if line["source"] != "seed")
    assert not any(line["verdict"] for line in lines if line["source"] == "seed")


def test_too_few_calls_make_no_trial(monkeypatch):
    use(KnowingJudge(), monkeypatch)
    assert not run_round(doubtful_project(batch_size=12)).queries.filter(reason="trial").exists()
