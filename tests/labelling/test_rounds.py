"""Rounds, run in the tests' own process with a fake encoder and the offline judge."""

from __future__ import annotations

import pytest

from labelling import jobs
from labelling.models import (
    BackgroundJob,
    Embedding,
    Prediction,
    Query,
    QueueEntry,
    Round,
    TrainingExample,
    Verdict,
)
from labelling.services import Refused, rounds
from labelling.services.review import claim_next, decide
from tests.factories import FRUIT, fruit_project, fruit_rows, import_rows, make_project, make_user, queued, run_round

pytestmark = pytest.mark.django_db


def test_a_round_predicts_the_pool_asks_and_lays_out_the_queue():
    project = fruit_project(batch_size=6)
    round_ = run_round(project)

    assert (round_.state, round_.error) == (BackgroundJob.State.DONE, "")
    assert (round_.training_examples, round_.labels_learned, round_.pool) == (16, 4, 20)
    assert Prediction.objects.filter(round=round_).count() == 20
    right = [p for p in Prediction.objects.select_related("document", "label") if p.label.name in p.document.text]
    assert len(right) == 20
    assert round_.queries.count() == Verdict.objects.filter(query__round=round_).count() == 6
    assert project.queue.count() == 6
    assert set(round_.seconds) == {"embed", "fit", "predict", "query", "judge", "settle"}


def test_a_round_asks_the_most_uncertain_first():
    project = fruit_project(batch_size=5)
    run_round(project)
    asked = [query.entropy for query in Query.objects.order_by("rank")]
    everything = sorted(Prediction.objects.values_list("entropy", flat=True), reverse=True)
    assert asked == everything[:5]


def test_the_evidence_names_nearest_examples_of_the_label_and_its_rival():
    project = fruit_project(batch_size=1)
    run_round(project)
    query = Query.objects.get()
    labels = [label_id for _, label_id, _ in query.examples]
    best, rival = [label_id for label_id, _ in query.candidates[:2]]
    assert labels == [best] * 4 + [rival] * 4
    similarities = [similarity for _, _, similarity in query.neighbours]
    assert similarities == sorted(similarities, reverse=True)


def test_texts_are_embedded_once(encoder):
    project = fruit_project()
    run_round(project)
    assert encoder.n_encoded == Embedding.objects.count() == 36
    run_round(project)
    assert encoder.n_encoded == 36


def test_the_labels_are_split_anew_only_when_they_or_the_settings_change():
    project = fruit_project(subset_size=2, retrain_after=0)
    first = run_round(project)
    names = dict(project.labels.values_list("pk", "name"))
    assert sorted(names[pk] for subset in first.subsets for pk in subset) == sorted(FRUIT)
    Round.objects.filter(pk=first.pk).update(subsets=[sorted(names)[:3], sorted(names)[3:]])
    assert run_round(project).subsets == [sorted(names)[:3], sorted(names)[3:]]
    project.subset_size = 3
    project.save()
    assert sorted(map(len, run_round(project).subsets)) == [2, 2]
    import_rows(project, [("kiwi kiwi", "kiwi")])
    assert len([pk for subset in run_round(project).subsets for pk in subset]) == 5


def test_the_next_round_asks_about_others_and_learns_from_decisions():
    project = fruit_project(batch_size=4, retrain_after=0)
    reviewer = make_user()
    run_round(project)
    first = {entry.document_id for entry in queued(project)}
    entry = claim_next(project, reviewer)
    decide(project, entry.pk, reviewer, "accept")

    second = run_round(project)
    assert second.training_examples == 17
    assert not {query.document_id for query in second.queries.all()} & first


def test_the_newest_rounds_questions_come_first():
    project = fruit_project(batch_size=3, certainty=0.999)
    run_round(project)
    second = run_round(project)
    assert [entry.query.round_id == second.pk for entry in queued(project)] == [True] * 3 + [False] * 3


def test_documents_the_model_became_sure_of_leave_the_queue():
    project = fruit_project(batch_size=3, certainty=0.999, retrain_after=0)
    run_round(project)
    project.certainty = 0.01
    project.save()
    second = run_round(project)
    assert second.left_queue == 3
    assert {entry.query.round_id for entry in queued(project)} == {second.pk}


def test_a_claimed_document_stays_in_the_queue_though_the_model_became_sure():
    project = fruit_project(batch_size=3, certainty=0.999)
    run_round(project)
    held = claim_next(project, make_user())
    project.certainty = 0.01
    project.save()
    assert run_round(project).left_queue == 2
    assert QueueEntry.objects.filter(pk=held.pk).exists()


def test_valid_verdicts_are_accepted_only_when_the_project_says_so():
    project = fruit_project(batch_size=20, auto_accept="valid", retrain_after=0)
    round_ = run_round(project)
    valid = Verdict.objects.filter(verdict="valid").count()
    assert round_.accepted == valid > 0
    assert TrainingExample.objects.filter(source="judge").count() == valid
    assert project.queue.count() == 20 - valid


def test_nothing_is_accepted_from_the_judge_by_default():
    run_round(fruit_project(batch_size=20))
    assert not TrainingExample.objects.filter(source="judge").exists()


def test_enough_new_examples_start_the_next_round(django_capture_on_commit_callbacks, messages):
    project = fruit_project(batch_size=10, retrain_after=3)
    reviewer = make_user()
    run_round(project)
    messages.clear()
    for n in range(1, 4):
        entry = claim_next(project, reviewer)
        with django_capture_on_commit_callbacks(execute=True):
            decide(project, entry.pk, reviewer, "accept")
        assert project.rounds.count() == (2 if n == 3 else 1)
    newest = project.rounds.first()
    assert (newest.number, newest.state, newest.started_by) == (2, "queued", None)
    assert messages == [("labelling.jobs.run_round", newest.pk)]


def test_examples_that_came_during_a_round_start_another_when_it_ends(messages):
    project = fruit_project(batch_size=10, auto_accept="valid", retrain_after=1)
    run_round(project)
    assert project.rounds.count() == 2


def test_no_round_starts_by_itself_after_the_loop_has_ended():
    project = fruit_project(batch_size=10, retrain_after=1)
    reviewer = make_user()
    round_ = run_round(project)
    Round.objects.filter(pk=round_.pk).update(stop_reason="Nothing more is gained.")
    decide(project, claim_next(project, reviewer).pk, reviewer, "accept")
    assert project.rounds.count() == 1


def test_holdout_is_scored_and_never_learnt():
    project = fruit_project()
    import_rows(project, [(f"one more {fruit} to measure with", fruit) for fruit in FRUIT], holdout_percent=100)
    round_ = run_round(project)
    assert (round_.holdout_size, round_.holdout_accuracy) == (4, 1.0)
    assert round_.training_examples == 16
    assert not project.queue.filter(document__holdout=True).exists()


def test_a_label_that_no_example_has_counts_as_wrong_in_the_holdout():
    project = fruit_project()
    import_rows(project, [("a kiwi", "kiwi"), ("one more apple", "apple")], holdout_percent=100)
    assert run_round(project).holdout_accuracy == 0.5


def test_none_of_these_becomes_noise():
    project = fruit_project(batch_size=2)
    reviewer = make_user()
    run_round(project)
    decide(project, claim_next(project, reviewer).pk, reviewer, "none")
    second = run_round(project)
    assert (second.state, second.training_examples, second.labels_learned) == ("done", 17, 4)


def test_a_round_without_examples_is_refused_with_a_reason():
    project = make_project()
    import_rows(project, [("a text", ""), ("another", "")])
    with pytest.raises(Refused, match="At least two labels"):
        rounds.start_round(project)


def test_a_round_without_a_pool_is_refused_with_a_reason():
    project = make_project()
    import_rows(project, [("a text", "a"), ("another", "b")])
    with pytest.raises(Refused, match="every document has its label"):
        rounds.start_round(project)


def test_one_round_at_a_time():
    project = fruit_project()
    rounds.start_round(project)
    with pytest.raises(Refused, match="running already"):
        rounds.start_round(project)


def test_an_error_is_on_the_round_in_words_and_the_round_goes_on_from_there(monkeypatch, encoder):
    project = fruit_project()
    round_ = rounds.start_round(project)
    with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
        broken.setattr("labelling.jobs.rounds.fit", lambda lease: 1 / 0)
        jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert round_.state == "failed"
    assert "ZeroDivisionError" in round_.error

    rounds.go_on(round_)
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert (round_.state, round_.error) == ("done", "")
    assert encoder.n_encoded == 36


def test_the_loop_ends_when_nobody_can_be_asked_any_more():
    project = make_project(batch_size=10)
    import_rows(project, fruit_rows(n_pool=1))
    run_round(project)
    assert run_round(project).stop_reason == "No document is left to ask about."
