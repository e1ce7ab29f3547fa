"""Texts that come in after the first round: predicted at once, settled or asked about like all others."""

from __future__ import annotations

import csv
from functools import partial

import pytest
from django.urls import reverse

from labelling import jobs
from labelling.models import BackgroundJob, CsvImport, Prediction, Project, Round, SettledLabel
from labelling.services import imports, queueing, rounds
from labelling.services.claims import claim_next
from labelling.services.exports import export_lines
from labelling.services.imports import writing
from labelling.services.progress import counts
from labelling.services.review import decide
from tests.factories import FRUIT, csv_file, fruit_project, import_doubtful, import_rows, make_user, run_round
from tests.fakes import KnowingJudge
from tests.labelling.test_killed import die, go_on, kill_in_transaction, run_and_be_killed

pytestmark = pytest.mark.django_db

LATE = [(f"{fruit} {fruit} came late, item {n}", "") for fruit in FRUIT for n in range(3)]
DOUBTFUL = [("apple mango came late", ""), ("banana cherry came late", "")]


def newest(project: Project) -> Round:
    return project.rounds.order_by("-number")[0]


def run_newest(project: Project) -> Round:
    """Let the worker do what was queued."""
    round_ = newest(project)
    assert round_.state == BackgroundJob.State.QUEUED
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert (round_.state, round_.error) == (BackgroundJob.State.DONE, "")
    return round_


def decide_all(project: Project) -> None:
    """Let somebody decide rightly on everything that waits: a text begins with its label."""
    expert = make_user()
    while entry := claim_next(project, expert):
        decide(project, entry.pk, expert, "override", project.labels.get(name=entry.document.text.split()[0]))


def rows_of(project: Project) -> list[dict[str, str]]:
    return list(csv.DictReader("".join(export_lines(project)).lstrip("\ufeff").splitlines()))


def test_later_texts_are_predicted_at_once_by_the_model_that_is_there(encoder):
    project = fruit_project()
    first = run_round(project)
    n_encoded = encoder.n_encoded
    import_rows(project, LATE)
    late = run_newest(project)
    assert (late.number, late.started_by, late.pool) == (2, None, first.pool + len(LATE))
    assert (late.experts_fitted, late.experts) == (0, first.experts)
    assert encoder.n_encoded == n_encoded + len(LATE), "nothing is embedded twice"
    found = Prediction.objects.filter(document__text__contains="came late").select_related("document", "label")
    assert len(found) == len(LATE)
    assert all(prediction.document.text.startswith(prediction.label.name) for prediction in found)
    assert project.rounds.count() == 2, "and no more rounds follow"
    assert not rounds.has_unpredicted(project)


def test_later_texts_are_settled_or_asked_about_and_every_count_has_them():
    project = fruit_project(certainty=0.5)
    run_round(project)
    import_rows(project, LATE + DOUBTFUL)
    late = run_newest(project)
    settled = set(SettledLabel.objects.filter(round=late, left_at=None).values_list("document__text", "label__name"))
    assert settled <= {(text, text.split()[0]) for text, _ in LATE}
    assert settled
    assert {text for text, _ in DOUBTFUL} <= set(project.queue.values_list("document__text", flat=True))
    standing = counts(project)
    assert standing.total == project.documents.pool().count() == 20 + len(LATE) + len(DOUBTFUL)
    assert late.uncertain == standing.open
    rows = rows_of(project)
    assert len(rows) == 16 + standing.total
    assert all(row["label"] and row["source"] for row in rows)
    assert [row["source"] for row in rows].count("model") == standing.total


@pytest.mark.parametrize("auto_accept", [True, False])
def test_later_texts_come_in_where_people_decide_on_everything_too(auto_accept):
    project = fruit_project(auto_accept=auto_accept)
    run_round(project)
    import_rows(project, LATE)
    run_newest(project)
    assert all(row["label"] and row["source"] for row in rows_of(project))
    assert SettledLabel.objects.exists() == auto_accept


def test_no_judge_is_asked_about_later_texts_until_people_have_decided_enough(monkeypatch):
    judge = KnowingJudge()
    monkeypatch.setattr("labelling.jobs.rounds.auditing.make_judge", lambda *arguments: judge)
    project = fruit_project(judge="neighbours", retrain_after=3, batch_size=4)
    import_doubtful(project)
    run_round(project)
    n_asked = len(judge.asked)
    assert n_asked
    import_rows(project, LATE + DOUBTFUL)
    assert newest(project).settings["only_predicts"]
    run_newest(project)
    assert len(judge.asked) == n_asked

    expert = make_user()
    for _ in range(3):
        entry = claim_next(project, expert)
        decide(project, entry.pk, expert, "override", project.labels.get(name=entry.document.text.split()[0]))
    import_rows(project, [("one more apple apple", "")])
    third = newest(project)
    assert (third.number, "only_predicts" in third.settings) == (3, False), "both at once: an ordinary round"
    run_newest(project)
    assert len(judge.asked) > n_asked


def test_nothing_is_spent_on_later_texts(api, price):
    project = fruit_project(judge="anthropic", confirm_spending=False, batch_size=4, retrain_after=3)
    import_doubtful(project)
    run_round(project)
    n_calls = project.calls.count()
    assert n_calls
    import_rows(project, LATE + DOUBTFUL)
    late = run_newest(project)
    assert (late.forecast, project.calls.count()) == ({}, n_calls)


def test_later_texts_come_in_after_the_loop_has_ended():
    project = fruit_project()
    first = run_round(project)
    Round.objects.filter(pk=first.pk).update(stop_reason="Nothing is left.", learning_over="Nothing is left.")
    import_rows(project, DOUBTFUL)
    late = run_newest(project)
    assert (late.learns, late.learning_over, late.stop_reason) == (True, "", "")
    assert {text for text, _ in DOUBTFUL} <= set(project.queue.values_list("document__text", flat=True))


def test_where_rounds_start_by_hand_alone_the_project_knows_what_waits_for_one(client):
    manager = make_user()
    project = fruit_project(manager=manager, retrain_after=0)
    run_round(project)
    assert not rounds.has_unpredicted(project)
    import_rows(project, LATE)
    assert project.rounds.count() == 1
    assert rounds.has_unpredicted(project)
    client.force_login(manager)
    page = client.get(reverse("deliver", args=[project.slug])).content.decode()
    assert "no round has looked at yet" in page
    project.retrain_after = 40
    project.save()
    assert rounds.start_if_due(project, texts_came=True).number == 2
    run_newest(project)
    assert not rounds.has_unpredicted(project)


@pytest.mark.parametrize("state", ["failed", "paused", "cancelled", "waiting"])
def test_a_round_that_somebody_has_to_see_to_is_not_passed_over(state):
    project = fruit_project()
    Round.objects.filter(pk=run_round(project).pk).update(state=state)
    import_rows(project, LATE)
    assert project.rounds.count() == 1
    assert rounds.has_unpredicted(project)


def test_before_the_first_round_nothing_starts_by_itself():
    project = fruit_project()
    import_rows(project, LATE)
    assert not project.rounds.exists()


def test_texts_that_come_in_beside_a_round_are_predicted_by_the_next(monkeypatch):
    from labelling.jobs.rounds import learning

    project = fruit_project()
    fit = learning.fit

    def fit_while_rows_come_in(lease):
        import_rows(project, LATE)
        return fit(lease)

    with monkeypatch.context() as beside:
        beside.setattr("labelling.jobs.rounds.fit", fit_while_rows_come_in)
        first = run_round(project)
    assert first.pool == 20
    late = run_newest(project)
    assert (late.number, late.pool, late.experts_fitted) == (2, 20 + len(LATE), 0)


def test_texts_of_an_import_that_was_cancelled_halfway_are_predicted_too(monkeypatch):
    project = fruit_project()
    run_round(project)
    monkeypatch.setattr(writing, "CHUNK_ROWS", 5)
    write = writing._write_chunk

    def write_and_be_cancelled(csv_import, *arguments):
        write(csv_import, *arguments)
        queueing.cancel(csv_import)

    monkeypatch.setattr(writing, "_write_chunk", write_and_be_cancelled)
    assert import_rows(project, LATE).state == "cancelled"
    assert project.documents.filter(text__contains="came late").count() == 5
    run_newest(project)
    assert Prediction.objects.filter(document__text__contains="came late").count() == 5


def test_texts_with_labels_start_no_round_and_are_learnt_by_the_next():
    project = fruit_project()
    run_round(project)
    assert rounds.new_examples(project) == 0
    until_next = rounds.decisions_until_next(project.last_round)
    import_rows(project, [("a late apple", "apple"), ("the first kiwi", "kiwi"), ("a second kiwi", "kiwi")])
    assert project.rounds.count() == 1
    assert rounds.new_examples(project) == 3
    assert rounds.decisions_until_next(project.last_round) == until_next, "people's decisions alone start a round"
    import_rows(project, LATE)
    late = run_newest(project)
    assert (late.training_examples, late.labels_learned) == (19, 5)
    assert rounds.new_examples(project) == 0


def test_texts_with_labels_alone_can_be_measured_with_in_a_round_by_hand():
    project = fruit_project()
    import_rows(project, [(f"one more {fruit} to measure with", fruit) for fruit in FRUIT], holdout_percent=100)
    run_round(project)
    import_rows(project, [("a late apple", "apple")])
    assert run_round(project).training_examples == 17


def test_labels_that_come_in_for_settled_texts_take_their_place_and_audits_go_on():
    project = fruit_project(limit="0.10")
    run_round(project)
    right, wrong = project.queue.filter(query__reason="audit")[:2]
    free = SettledLabel.objects.filter(memberships=None).select_related("document").first()
    entered = SettledLabel.objects.filter(document=right.document_id).get()
    label = right.document.text.split()[0]
    import_rows(project, [(right.document.text, label), (wrong.document.text, "kiwi"), (free.document.text, "kiwi")])
    decide_all(project)
    run_round(project)
    look = project.certificates.first()
    assert (look.n, look.k, look.n_open) == (17, 1, 0), "nobody waits for an answer that has come in"
    entered.refresh_from_db()
    free.refresh_from_db()
    assert (entered.left_at, free.left_because) == (None, "decided")
    rows = {row["text"]: (row["label"], row["source"], row["certified"]) for row in rows_of(project)}
    assert rows[free.document.text] == ("kiwi", "seed", "")
    assert rows[wrong.document.text] == ("kiwi", "seed", "yes")


def test_a_decision_looks_for_no_texts(monkeypatch, django_capture_on_commit_callbacks):
    project = fruit_project(certainty=0.999)
    run_round(project)
    monkeypatch.setattr(rounds, "has_unpredicted", lambda project: pytest.fail("that is a look at every document"))
    reviewer = make_user()
    with django_capture_on_commit_callbacks(execute=True):
        decide(project, claim_next(project, reviewer).pk, reviewer, "accept")


# Killed


def kill_when_the_import_ends() -> None:
    """Die with the import's end and the next round written, and neither committed."""
    from labelling.jobs import start_if_due

    def dying(project, texts_came=False):
        start_if_due(project, texts_came)
        die()

    jobs.start_if_due = dying


@pytest.mark.django_db(transaction=True)
def test_an_import_that_is_killed_at_its_end_leaves_no_text_to_nobody():
    project = fruit_project()
    run_round(project)
    csv_import = imports.upload(project, csv_file(LATE), user=None)
    imports.start_here(csv_import)
    assert run_and_be_killed(partial(jobs.run_import, csv_import.pk), kill_when_the_import_ends)
    assert CsvImport.objects.get(pk=csv_import.pk).state == "running"
    assert project.rounds.count() == 1
    go_on(CsvImport, jobs.run_import, csv_import.pk)
    assert CsvImport.objects.get(pk=csv_import.pk).state == "done"
    run_newest(project)
    assert not rounds.has_unpredicted(project)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("write", [1, 3])
def test_a_round_of_later_texts_that_is_killed_goes_on(write):
    project = fruit_project()
    run_round(project)
    import_rows(project, LATE)
    round_ = newest(project)
    assert run_and_be_killed(partial(jobs.run_round, round_.pk), kill_in_transaction(write))
    go_on(Round, jobs.run_round, round_.pk)
    round_.refresh_from_db()
    assert (round_.state, round_.experts_fitted, round_.settings["only_predicts"]) == ("done", 0, True)
    assert all(row["label"] and row["source"] for row in rows_of(project))
    assert counts(project).total == project.documents.pool().count()
