"""Rounds, run in the tests' own process with a fake encoder."""

from __future__ import annotations

import pytest

from classifiers.judge import JudgeUnavailable, NeighbourJudge
from labelling import jobs
from labelling.jobs.lease import JobFailed
from labelling.jobs.rounds import graduating, judging, learning, settling
from labelling.jobs.rounds.judging import asked
from labelling.jobs.rounds.memory import recall
from labelling.models import (
    BackgroundJob,
    Decision,
    Embedding,
    JudgeFailure,
    Prediction,
    Project,
    QueueEntry,
    Round,
    TrainingExample,
    Verdict,
)
from labelling.services import Refused, rounds
from labelling.services.claims import claim_next, take
from labelling.services.review import decide, relabel
from tests.factories import (
    FRUIT,
    fruit_project,
    fruit_rows,
    import_doubtful,
    import_rows,
    make_project,
    make_user,
    run_round,
    undo_last,
)

pytestmark = pytest.mark.django_db


def doubtful_project(**settings) -> Project:
    """20 texts of which the model is sure and 24 that lie between two labels; 10 wait for people."""
    project = fruit_project(**{"retrain_after": 10} | settings)
    import_doubtful(project)
    return project


def test_a_round_predicts_the_pool_settles_what_is_sure_and_lays_out_the_rest():
    project = doubtful_project()
    round_ = run_round(project)

    assert (round_.state, round_.error) == (BackgroundJob.State.DONE, "")
    assert (round_.training_examples, round_.labels_learned, round_.pool) == (16, 4, 44)
    assert Prediction.objects.filter(round=round_).count() == 44
    sure = Prediction.objects.filter(document__text__contains="in the pool").select_related("document", "label")
    assert all(prediction.label.name in prediction.document.text for prediction in sure)
    settled = project.settled_labels.filter(left_at=None, round=round_, source="model")
    assert set(settled.values_list("document", "label")) == set(sure.values_list("document", "label"))
    assert (round_.uncertain, round_.accepted, round_.laid_out, project.queue.count()) == (24, 0, 10, 10)
    assert set(project.queue.values_list("query__reason", flat=True)) == {"review"}
    assert not TrainingExample.objects.exclude(source="seed").exists(), "what the model is sure of teaches it nothing"
    assert not Verdict.objects.exists()
    assert set(round_.seconds) == {"embed", "fit", "predict", "query", "settle"}


def test_a_judge_is_asked_before_people():
    round_ = run_round(doubtful_project(judge="neighbours", batch_size=6))
    assert asked(round_).count() == Verdict.objects.filter(query__round=round_).count()
    assert 3 <= asked(round_).count() <= 6
    assert set(round_.seconds) == {"embed", "fit", "predict", "query", "judge", "settle"}


def test_a_round_asks_the_most_uncertain_first():
    project = fruit_project(judge="neighbours", batch_size=5)
    round_ = run_round(project)
    entropies = [query.entropy for query in asked(round_).order_by("rank")]
    everything = sorted(Prediction.objects.values_list("entropy", flat=True), reverse=True)
    assert 3 <= len(entropies) <= 5
    assert entropies == everything[: len(entropies)]


def test_the_evidence_names_nearest_examples_of_the_label_and_its_rival():
    query = asked(run_round(fruit_project(judge="neighbours", batch_size=1))).get()
    labels = list(dict.fromkeys(label_id for _, label_id, _ in query.examples))
    assert labels[0] == query.label_id
    assert [label_id for _, label_id, _ in query.examples] == [label for label in labels for _ in range(4)]
    assert [label_id for _, label_id, _ in query.compared_examples] == [labels[0]] * 4 + [labels[1]] * 4
    similarities = [similarity for _, _, similarity in query.neighbours]
    assert similarities == sorted(similarities, reverse=True)


def test_texts_are_embedded_once(encoder):
    project = fruit_project()
    run_round(project)
    assert encoder.n_encoded == Embedding.objects.count() == 36 + len(FRUIT)
    run_round(project)
    assert encoder.n_encoded == 36 + len(FRUIT)


def test_the_next_round_asks_about_others_and_learns_from_decisions():
    project = doubtful_project(judge="neighbours", batch_size=4)
    reviewer = make_user()
    first = run_round(project)
    decide(project, claim_next(project, reviewer).pk, reviewer, "accept")

    second = run_round(project)
    assert second.training_examples == 17 + first.accepted
    questions = [set(asked(round_).values_list("document", "label")) for round_ in (first, second)]
    assert not questions[0] & questions[1]


def test_questions_of_earlier_rounds_give_way_and_audits_stay():
    project = doubtful_project(retrain_after=20)
    first = run_round(project)
    (check,) = project.queue.filter(query__reason="pool_check")
    second = run_round(project)
    assert project.queue.count() == 20
    assert project.queue.first() == check
    assert set(project.queue.filter(query__reason="review").values_list("round", flat=True)) == {second.pk}
    assert not first.waiting.exclude(pk=check.pk).exists()


def test_what_waits_never_exceeds_a_round_and_what_people_skipped():
    project, ann = doubtful_project(), make_user()
    for number in range(1, 6):
        run_round(project)
        skipped = Decision.objects.filter(action="skip").count()
        assert project.queue.count() <= 10 + skipped
        for action in ("skip", *["accept"] * (3 + number)):
            if entry := claim_next(project, ann):
                decide(project, entry.pk, ann, action)
    left = Decision.objects.filter(action="skip").values("document")
    assert len(left) >= 2
    assert project.queue.filter(document__in=left).count() == len(left), "for others"


def unsure_and_then_sure(held: bool) -> tuple[Round, QueueEntry | None]:
    """The second of two rounds: the model is sure of everything by then. 5 documents wait; one may be open."""
    project = fruit_project(certainty=0.999, retrain_after=5)
    run_round(project)
    assert project.queue.count() == 5
    entry = claim_next(project, make_user()) if held else None
    project.certainty = 0.85
    project.save()
    return run_round(project), entry


def test_documents_the_model_became_sure_of_leave_the_queue():
    round_, _ = unsure_and_then_sure(held=False)
    assert round_.left_queue == 5
    assert set(round_.project.queue.values_list("query__reason", flat=True)) == {"audit"}


def test_a_claimed_document_stays_in_the_queue_though_the_model_became_sure():
    round_, entry = unsure_and_then_sure(held=True)
    assert round_.left_queue == 4
    assert round_.project.queue.filter(pk=entry.pk).exists()
    assert not round_.project.settled_labels.filter(document=entry.document).exists()


def test_enough_new_examples_start_the_next_round(django_capture_on_commit_callbacks, messages):
    project = doubtful_project(retrain_after=3)
    reviewer = make_user()
    run_round(project)
    messages.clear()
    for n in range(1, 4):
        assert project.last_round.number == 1
        entry = claim_next(project, reviewer)
        with django_capture_on_commit_callbacks(execute=True):
            decide(project, entry.pk, reviewer, "accept")
        assert project.rounds.count() == (2 if n == 3 else 1)
    assert project.active_round.number == 2, "what was known of the last round is found out anew"
    newest = project.rounds.first()
    assert (newest.number, newest.state, newest.started_by) == (2, "queued", None)
    assert messages == [("labelling.jobs.run_round", newest.pk)]


def test_the_next_round_starts_when_nothing_waits_but_what_was_skipped(django_capture_on_commit_callbacks):
    project = doubtful_project(retrain_after=4)
    reviewer = make_user()
    run_round(project)
    with django_capture_on_commit_callbacks(execute=True):
        for action in ("skip", "accept", "skip"):
            decide(project, claim_next(project, reviewer).pk, reviewer, action)
    assert project.rounds.count() == 1
    with django_capture_on_commit_callbacks(execute=True):
        decide(project, claim_next(project, reviewer).pk, reviewer, "accept")
    assert project.rounds.count() == 2


def test_where_all_is_skipped_no_round_starts(django_capture_on_commit_callbacks):
    project = doubtful_project(retrain_after=2)
    reviewer = make_user()
    run_round(project)
    with django_capture_on_commit_callbacks(execute=True):
        while entry := claim_next(project, reviewer):
            decide(project, entry.pk, reviewer, "skip")
    assert project.rounds.count() == 1


def test_rounds_start_by_hand_alone_where_the_project_says_so(django_capture_on_commit_callbacks):
    project = doubtful_project(retrain_after=0)
    reviewer = make_user()
    run_round(project)
    with django_capture_on_commit_callbacks(execute=True):
        while entry := claim_next(project, reviewer):
            decide(project, entry.pk, reviewer, "accept")
    assert project.rounds.count() == 1


def test_decisions_that_came_during_a_round_start_another_when_it_ends(monkeypatch):
    project = doubtful_project(retrain_after=1)
    document, label = project.documents.pool().last(), project.labels.first()
    settle = settling.settle

    def settle_while_somebody_decides(lease):
        relabel(document, make_user(), label)
        settle(lease)

    monkeypatch.setattr("labelling.jobs.rounds.settle", settle_while_somebody_decides)
    run_round(project)
    assert project.rounds.count() == 2


def test_labels_that_nobody_decided_start_no_round():
    project = doubtful_project(judge="neighbours", batch_size=100, retrain_after=1)
    run_round(project)
    assert TrainingExample.objects.filter(source="judge").exists()
    assert project.rounds.count() == 1


def test_no_round_starts_by_itself_after_the_loop_has_ended(django_capture_on_commit_callbacks):
    project = fruit_project(batch_size=10, retrain_after=1)
    reviewer = make_user()
    round_ = run_round(project)
    Round.objects.filter(pk=round_.pk).update(stop_reason="Nothing more is gained.")
    with django_capture_on_commit_callbacks(execute=True):
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
    project = doubtful_project()
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
    assert encoder.n_encoded == 36 + len(FRUIT)


def test_the_loop_ends_when_every_document_has_its_label():
    project, expert = make_project(retrain_after=0, certainty=0.999), make_user()
    import_rows(project, fruit_rows(n_pool=1))
    assert run_round(project).learning_over == ""
    assert run_round(project).stop_reason == "", "what waits for people can still be decided"
    round_ = rounds.start_round(project)
    while entry := claim_next(project, expert):
        decide(project, entry.pk, expert, "accept")
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert (round_.error, round_.state, round_.stop_reason) == ("", "done", "No uncertain document is left.")


def ended_loop() -> Round:
    """The last round of a project where people have decided on all documents but two."""
    project, expert = make_project(auto_accept=False, retrain_after=50), make_user()
    import_rows(project, fruit_rows(n_pool=13))
    import_rows(project, [(f"one more {fruit} to measure with", fruit) for fruit in FRUIT], holdout_percent=100)
    run_round(project)
    while entry := claim_next(project, expert):
        decide(project, entry.pk, expert, "accept")
    return run_round(project)


def test_a_loop_that_ends_trains_a_last_time_on_what_the_model_is_certain_of_itself():
    round_ = ended_loop()
    assert (
        round_.stop_reason
        == round_.learning_over
        == ("Only 2 of 52 uncertain documents are left: people are done sooner than a round.")
    )
    assert round_.project.queue.count() == 2, "people get them"
    assert round_.step == Round.Step.GRADUATE
    assert "graduate" in round_.seconds
    assert 0 < round_.taught_itself <= 2
    assert (round_.training_examples, round_.final_holdout_accuracy) == (66, 1.0)
    memory = recall(round_.project)
    assert memory is not None
    assert (memory.model.n_taught_, memory.n_examples) == (round_.taught_itself, 66)
    # The pool was not predicted anew.
    assert set(Prediction.objects.filter(document__example=None, document__holdout=False).values_list("round")) == {
        (round_.pk,)
    }


def test_texts_that_come_after_the_end_are_predicted_by_the_model_that_was_kept():
    round_ = ended_loop()
    import_rows(round_.project, [("a late apple", "")])
    late = round_.project.rounds.first()
    jobs.run_round(late.pk)
    late.refresh_from_db()
    assert late.experts_fitted < late.experts
    assert Prediction.objects.get(document__text="a late apple").label.name == "apple"
    memory = recall(round_.project)
    assert memory is not None
    assert memory.model.n_taught_ > 0


def test_a_worker_that_dies_in_the_last_fit_leaves_it_to_the_next(monkeypatch):
    fit = graduating.graduate

    def dies(lease):
        raise SystemExit

    monkeypatch.setattr("labelling.jobs.rounds.graduate", dies)
    with pytest.raises(SystemExit):
        ended_loop()
    round_ = Round.objects.order_by("-number")[0]
    assert (round_.state, round_.stop_reason, round_.taught_itself) == (BackgroundJob.State.QUEUED, "", None)
    monkeypatch.setattr("labelling.jobs.rounds.graduate", fit)
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert round_.state == BackgroundJob.State.DONE
    assert round_.taught_itself > 0


def test_the_articles_combination_learns_no_labels_of_its_own():
    project, expert = fruit_project(auto_accept=False, retrain_after=0, combination="highest"), make_user()
    import_rows(project, [("a held-out apple", "apple")], holdout_percent=100)
    run_round(project)
    while entry := claim_next(project, expert):
        decide(project, entry.pk, expert, "accept")
    round_ = run_round(project)
    assert (round_.error, round_.state, round_.stop_reason) == ("", "done", "No uncertain document is left.")
    assert (round_.taught_itself, round_.final_holdout_accuracy) == (0, 1.0)


def test_texts_that_come_in_beside_a_round_wait_for_the_next(monkeypatch):
    project = fruit_project(batch_size=5, retrain_after=0)
    import_rows(project, [("a held-out apple", "apple")], holdout_percent=100)
    fit = learning.fit

    def fit_while_rows_come_in(lease):
        import_rows(project, [("apple late seed", "apple"), ("a late text in the pool", "")])
        import_rows(project, [("a late held-out mango", "mango")], holdout_percent=100)
        return fit(lease)

    with monkeypatch.context() as beside:
        beside.setattr("labelling.jobs.rounds.fit", fit_while_rows_come_in)
        round_ = run_round(project)
    assert (round_.state, round_.training_examples, round_.pool, round_.holdout_size) == ("done", 16, 20, 1)
    round_ = run_round(project)
    assert (round_.training_examples, round_.pool, round_.holdout_size) == (17, 21, 2)


@pytest.mark.parametrize("auto_accept", [False, True])
def test_what_becomes_holdout_during_a_round_is_neither_learnt_nor_asked(auto_accept, monkeypatch):
    project = fruit_project(judge="neighbours", batch_size=20, retrain_after=0, auto_accept=auto_accept)
    pool = [(document.text, "apple") for document in project.documents.pool()]
    ask_judge = judging.ask_judge

    def ask_while_rows_come_in(lease):
        ask_judge(lease)
        import_rows(project, pool, holdout_percent=100)

    monkeypatch.setattr("labelling.jobs.rounds.ask_judge", ask_while_rows_come_in)
    run_round(project)
    assert project.documents.filter(holdout=True).count() == 20
    assert not TrainingExample.objects.filter(document__holdout=True).exists()
    assert not project.queue.exists()


def test_a_skipped_document_that_becomes_holdout_does_not_come_back():
    project, expert = fruit_project(batch_size=5, retrain_after=0), make_user()
    run_round(project)
    entry = claim_next(project, expert)
    decide(project, entry.pk, expert, "skip")
    import_rows(project, [(entry.document.text, "apple")], holdout_percent=100)
    assert undo_last(project, expert)
    assert not project.queue.filter(document=entry.document).exists()
    assert not TrainingExample.objects.filter(document=entry.document).exists()


def test_answers_that_are_there_are_kept_when_the_judge_becomes_unavailable(monkeypatch):
    project = fruit_project(judge="neighbours", batch_size=6, retrain_after=0)

    class Failing(NeighbourJudge):
        n = 0

        def ask(self, question):
            Failing.n += 1
            if Failing.n == 4:
                raise JudgeUnavailable("No credit is left.")
            return super().ask(question)

    monkeypatch.setattr("labelling.jobs.rounds.auditing.make_judge", lambda *arguments: Failing())
    with pytest.raises(JobFailed, match="No credit"):
        run_round(project)
    n_answers = Verdict.objects.count()
    assert 3 <= n_answers <= 4
    rounds.go_on(project.rounds.get())
    jobs.run_round(project.rounds.get().pk)
    assert Verdict.objects.count() == 5
    assert Failing.n == 6, "no question that was answered is asked again"


def test_a_document_that_was_decided_on_is_not_judged_any_more():
    project, expert = doubtful_project(judge="neighbours", batch_size=5, retrain_after=40), make_user()
    round_ = run_round(project)
    entry = project.queue.filter(document__in=asked(round_).values("document")).first()
    assert take(entry, expert)
    decide(project, entry.pk, expert, "accept")
    for query in asked(round_):
        query.verdict.delete()
        JudgeFailure.objects.create(query=query, reason="It was down.")
    rounds.retry_judge(round_)
    jobs.run_round(round_.pk)
    labelled = TrainingExample.objects.filter(source__in=["human", "judge"]).values("document")
    assert set(Verdict.objects.values_list("query", flat=True)) == set(
        asked(round_).exclude(document__in=labelled).values_list("pk", flat=True)
    ), "and those for people alone are never asked"


def test_going_on_asks_the_judge_that_is_chosen_by_then():
    project = fruit_project(batch_size=5, retrain_after=0, judge="anthropic")
    with pytest.raises(JobFailed, match="ANTHROPIC_API_KEY"):
        run_round(project)
    project.judge = "neighbours"
    project.save()
    rounds.go_on(project.rounds.get())
    jobs.run_round(project.rounds.get().pk)
    assert project.rounds.get().state == "done"
    assert set(Verdict.objects.values_list("judge", flat=True)) == {"neighbours"}


def test_the_last_examples_are_learnt_when_there_is_a_holdout_to_measure_with():
    project, expert = make_project(auto_accept=False, retrain_after=0), make_user()
    import_rows(project, fruit_rows(n_pool=1))
    import_rows(project, [("a held-out apple", "apple")], holdout_percent=100)
    run_round(project)
    while entry := claim_next(project, expert):
        decide(project, entry.pk, expert, "accept")
    assert run_round(project).training_examples == 20
    with pytest.raises(Refused, match="every document has its label"):
        rounds.start_round(project)


def test_labelled_texts_that_come_in_start_no_round_and_others_do():
    project = doubtful_project(retrain_after=2)
    run_round(project)
    import_rows(project, [("apple more", "apple"), ("mango more", "mango")])
    assert project.rounds.count() == 1
    import_rows(project, [("a late apple", "")])
    late = project.rounds.first()
    assert (late.number, late.settings["only_predicts"], late.asks) == (2, True, False)


def test_rounds_that_count_the_uncertain_differently_are_not_compared():
    project = fruit_project()
    for number in range(1, 6):
        fields = {"uncertain": 500, "training_examples": 20 * number, "unlabelled_at_import": 20}
        settings = {"certainty": 0.9, "auto_accept": True}
        round_ = Round.objects.create(project=project, number=number, state="done", settings=settings, **fields)
    assert "Nothing more is gained" in settling._learning_over(round_, 500)
    for changed in ({"certainty": 0.8}, {"auto_accept": False}):
        round_.settings = settings | changed
        assert settling._learning_over(round_, 500) == ""


def test_once_learning_is_over_it_stays_over_until_a_manager_or_new_texts_start_a_round(ann):
    project = fruit_project()
    first = run_round(project)
    assert (first.learning_over, first.stop_reason) == ("No uncertain document is left.", "")
    entry = claim_next(project, ann)
    decide(project, entry.pk, ann, "accept")
    Round.objects.filter(pk=first.pk).update(learning_over="It was flat.")
    second = rounds.start_round(project)
    assert not second.learns
    rounds.queueing.cancel(second)
    Round.objects.filter(pk=second.pk).update(learning_over="It was flat.")
    assert rounds.start_round(project, user=ann).learns
