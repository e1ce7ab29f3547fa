"""Claims, decisions, undo."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from labelling.models import Decision, Document, Label, Project, Query, QueueEntry, TrainingExample
from labelling.services import Refused
from labelling.services.claims import Conflict, available, claim_next, release, take
from labelling.services.review import decide, relabel, undo
from tests.factories import FRUIT, fresh, fruit_project, import_doubtful, import_rows, make_user, run_round, undo_last

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    """24 documents wait that no classifier is sure of; the others are settled."""
    project = fruit_project(retrain_after=0)
    import_doubtful(project)
    run_round(project)
    project.queue.filter(query__reason__in=Query.AUDITS).delete()
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


def expire_claims() -> None:
    QueueEntry.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))


def other_label(entry: QueueEntry) -> Label:
    return entry.project.labels.exclude(pk=entry.query.label_id)[0]


def example_of(document: Document) -> tuple[str | None, str] | None:
    example = TrainingExample.objects.filter(document=document).first()
    return (example.label.name if example.label else None, example.source) if example else None


def test_two_reviewers_get_different_documents_and_keep_them(project, ann, bob):
    first, second = claim_next(project, ann), claim_next(project, bob)
    assert first != second
    assert claim_next(project, ann) == first
    assert claim_next(project, bob) == second


def test_the_queue_is_handed_out_in_its_order(project):
    order = list(project.queue.values_list("pk", flat=True))
    assert [claim_next(project, make_user()).pk for _ in order] == order
    assert claim_next(project, make_user()) is None


def test_an_expired_claim_is_given_to_the_next(project, ann, bob):
    entry = claim_next(project, ann)
    expire_claims()
    assert claim_next(project, bob) == entry


def test_a_released_document_is_free_at_once(project, ann, bob):
    entry = claim_next(project, ann)
    release(project, ann)
    assert claim_next(project, bob) == entry


def test_accepting_makes_a_human_training_example(project, ann):
    entry = claim_next(project, ann)
    decision = decide(project, entry.pk, ann, "accept")
    assert (decision.action, decision.label) == ("accept", entry.query.label)
    assert example_of(entry.document) == (entry.query.label.name, "human")
    assert not QueueEntry.objects.filter(pk=entry.pk).exists()


def test_overriding_makes_an_example_of_the_other_label(project, ann):
    entry = claim_next(project, ann)
    other = other_label(entry)
    decide(project, entry.pk, ann, "override", other)
    assert example_of(entry.document) == (other.name, "human")


def test_overriding_with_the_predicted_label_is_accepting(project, ann):
    entry = claim_next(project, ann)
    assert decide(project, entry.pk, ann, "override", entry.query.label).action == "accept"


def test_none_of_these_is_an_example_without_a_label(project, ann):
    entry = claim_next(project, ann)
    decide(project, entry.pk, ann, "none")
    assert example_of(entry.document) == (None, "human")


@pytest.mark.parametrize("action", ["override", "undo", "nonsense", ""])
def test_what_is_no_decision_is_refused_and_changes_nothing(project, ann, action):
    entry = claim_next(project, ann)
    with pytest.raises(Refused):
        decide(project, entry.pk, ann, action)
    assert not Decision.objects.exists()
    assert QueueEntry.objects.filter(pk=entry.pk).exists()


def test_a_skipped_document_goes_to_others_but_not_back(project, ann, bob):
    entry = claim_next(project, ann)
    decide(project, entry.pk, ann, "skip")
    assert claim_next(project, ann) != entry
    assert claim_next(project, bob) == entry
    assert example_of(entry.document) is None


def test_a_skip_sent_again_is_the_same_though_a_colleague_has_the_document_by_now(project, ann, bob):
    entry = claim_next(project, ann)
    skipped = decide(project, entry.pk, ann, "skip")
    assert take(project.queue.get(pk=entry.pk), bob)
    assert decide(project, entry.pk, ann, "skip") == skipped
    assert project.queue.get(pk=entry.pk).claimed_by == bob
    with pytest.raises(Conflict):
        decide(project, entry.pk, ann, "accept")


def test_a_skipped_document_is_not_asked_about_again(project, ann):
    entry = claim_next(project, ann)
    decide(project, entry.pk, ann, "skip")
    QueueEntry.objects.filter(pk=entry.pk).delete()
    assert entry.document_id not in run_round(project).queries.values_list("document_id", flat=True)


def test_a_second_click_is_not_a_second_decision(project, ann):
    entry = claim_next(project, ann)
    for action in ("accept", "skip"):
        first = decide(project, entry.pk, ann, action)
        assert decide(project, entry.pk, ann, action) == first
        entry = claim_next(project, ann)
    assert Decision.objects.count() == 2


def test_deciding_on_what_somebody_else_holds_is_a_conflict(project, ann, bob):
    entry = claim_next(project, ann)
    with pytest.raises(Conflict, match="ann is reviewing"):
        decide(project, entry.pk, bob, "accept")


def test_deciding_on_what_somebody_else_decided_names_them(project, ann, bob):
    entry = claim_next(project, ann)
    expire_claims()
    claim_next(project, bob)
    decide(project, entry.pk, bob, "none")
    with pytest.raises(Conflict, match="bob has decided on this document already: None of these"):
        decide(project, entry.pk, ann, "accept")
    assert example_of(entry.document) == (None, "human")


def test_an_expired_claim_that_nobody_took_still_counts(project, ann):
    entry = claim_next(project, ann)
    expire_claims()
    assert decide(project, entry.pk, ann, "accept").reviewer == ann


def test_deciding_on_what_left_the_queue_is_a_conflict(project, ann):
    entry = claim_next(project, ann)
    QueueEntry.objects.all().delete()
    with pytest.raises(Conflict, match="left the queue"):
        decide(project, entry.pk, ann, "accept")


def test_undo_withdraws_the_example_and_gives_the_document_back(project, ann, bob):
    entry = claim_next(project, ann)
    decision = decide(project, entry.pk, ann, "accept")
    claim_next(project, ann)

    assert undo_last(project, ann) == decision
    assert example_of(entry.document) is None
    assert claim_next(project, ann).document == entry.document
    assert claim_next(project, bob).document != entry.document
    assert Decision.objects.filter(pk=decision.pk).exists(), "undo is a row of its own"


def test_undo_goes_back_one_decision_at_a_time(project, ann):
    documents = []
    for _ in range(3):
        entry = claim_next(project, ann)
        documents.append(entry.document)
        decide(project, entry.pk, ann, "accept")
    for document in reversed(documents):
        assert undo_last(project, ann).document == document
    assert undo_last(project, ann) is None
    assert TrainingExample.objects.filter(source="human").count() == 0


def test_undo_touches_only_ones_own_decisions(project, ann, bob):
    entry = claim_next(project, ann)
    decision = decide(project, entry.pk, ann, "accept")
    assert undo(project, bob, decision.pk) is None
    assert undo_last(project, bob) is None


def test_undoing_the_same_decision_twice_undoes_it_once(project, ann):
    decisions = [decide(project, claim_next(project, ann).pk, ann, "accept") for _ in range(2)]
    assert undo(project, ann, decisions[1].pk) == decisions[1]
    assert undo(project, ann, decisions[1].pk) is None
    assert TrainingExample.objects.filter(source="human").count() == 1


def test_undoing_a_skip_brings_the_document_back(project, ann):
    entry = claim_next(project, ann)
    decide(project, entry.pk, ann, "skip")
    undo_last(project, ann)
    assert claim_next(project, ann) == entry


def test_undo_after_the_next_round_withdraws_what_it_learnt(project, ann):
    entry = claim_next(project, ann)
    decide(project, entry.pk, ann, "accept")
    assert run_round(project).training_examples == 17
    undo_last(project, ann)
    assert run_round(project).training_examples == 16


def test_undo_leaves_a_colleagues_later_word_alone(project, ann, bob):
    entry = claim_next(project, ann)
    decide(project, entry.pk, ann, "accept")
    other = other_label(entry)
    relabel(entry.document, bob, other)
    undo_last(project, ann)
    assert example_of(entry.document) == (other.name, "human")
    assert not QueueEntry.objects.filter(document=entry.document).exists()


def test_a_changed_label_is_new_to_the_classifiers(project, ann):
    entry = claim_next(project, ann)
    decide(project, entry.pk, ann, "accept")
    run_round(project)
    assert TrainingExample.objects.get(document=entry.document).learned_in is not None
    relabel(entry.document, ann, other_label(entry))
    assert TrainingExample.objects.get(document=entry.document).learned_in is None


def test_relabelling_a_waiting_document_takes_it_from_the_queue(project, ann):
    entry = claim_next(project, make_user())
    relabel(entry.document, ann, None)
    assert example_of(entry.document) == (None, "human")
    assert not QueueEntry.objects.filter(pk=entry.pk).exists()


def test_a_seed_can_be_put_right_and_undo_brings_it_back(project, ann):
    seed = project.documents.filter(given_source="seed").first()
    relabel(seed, ann, project.labels.exclude(pk=seed.given_label_id)[0])
    assert example_of(seed)[1] == "human"
    undo_last(project, ann)
    assert example_of(seed) == (seed.given_label.name, "seed")
    assert not QueueEntry.objects.filter(document=seed).exists()


def test_a_held_out_document_keeps_its_label(project, ann):
    import_rows(project, [("a held-out apple", FRUIT[0])], holdout_percent=100)
    with pytest.raises(Refused, match="held out"):
        relabel(project.documents.get(holdout=True), ann, None)


def test_what_the_judge_got_accepted_comes_back_some_rounds_after_a_person_takes_back_theirs(ann):
    # So few reviews that none is a spot check.
    project = fruit_project(judge="neighbours", batch_size=20, retrain_after=9)
    run_round(project)
    accepted = TrainingExample.objects.filter(source="judge", document__queue_entry=None)
    example = accepted.select_related("document").first()
    label = example.label.name
    relabel(example.document, ann, None)
    assert example_of(example.document) == (None, "human")
    undo_last(project, ann)
    assert example_of(example.document) is None
    assert claim_next(project, ann).document == example.document
    run_round(project)
    assert example_of(example.document) is None, "it is in somebody's hands"
    release(project, ann)
    run_round(project)
    assert example_of(example.document) == (label, "judge")


def test_available_counts_what_this_reviewer_could_get(project, ann, bob):
    n = project.queue.count()
    assert available(project, ann).count() == n
    claim_next(project, bob)
    assert available(project, ann).count() == n - 1
    assert available(project, bob).count() == n
