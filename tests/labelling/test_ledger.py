"""The ledger of audits in the web app: what enters, who looks, what counts, and what is promised."""

from __future__ import annotations

import csv
from collections.abc import Iterable

import pytest
from django.contrib.auth.models import User

from classifiers.certificate import level_of
from classifiers.subset_classifier import NOISE
from labelling import jobs
from labelling.jobs.rounds.books import StoredBook
from labelling.models import (
    AuditDraw,
    Certificate,
    Cohort,
    CohortMember,
    Decision,
    GoldAnswer,
    Label,
    Project,
    QueueEntry,
    Round,
    SettledLabel,
    TrainingExample,
)
from labelling.services import audits, claims, examples, progress
from labelling.services.audits import State
from labelling.services.claims import claim_next
from labelling.services.exports import export_lines
from labelling.services.review import decide, relabel, undo
from tests.factories import account, fresh, fruit_rows, import_doubtful, import_rows, make_project, run_round

pytestmark = pytest.mark.django_db

N_AUDITS = 20


def sure_project(people: Iterable[User], **settings) -> Project:
    """60 texts of which the model is sure: there is nothing to learn, and a third of them begins the ledger."""
    manager, *reviewers = people
    project = make_project(manager, reviewers, **{"retrain_after": N_AUDITS} | settings)
    import_rows(project, fruit_rows(n_seeds=6, n_pool=15))
    return project


@pytest.fixture
def people(ann, bob) -> list[User]:
    return [ann, bob, account("cleo")]


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    project = sure_project([account(name) for name in ("ann", "bob", "cleo")])
    run_round(project)
    assert AuditDraw.objects.count() == project.queue.count() == N_AUDITS
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


def machines(entry: QueueEntry) -> Label:
    label = entry.query.draw.member.settled.label
    assert label
    return label


def other(entry: QueueEntry, n: int = 0) -> Label:
    return entry.project.labels.exclude(pk=machines(entry).pk)[n]


def say(project: Project, entry: QueueEntry, user: User, label: Label | None) -> Decision:
    """Decide on just this document."""
    entry.refresh_from_db(fields=["people"])
    assert claims.take(entry, user)
    decision = decide(project, entry.pk, user, "override" if label else "none", label)
    claims.release(project, user)
    return decision


def state_of(project: Project, draw: AuditDraw) -> State:
    return audits.states(project)[draw.query_id]


def first(project: Project) -> tuple[QueueEntry, AuditDraw]:
    entry = project.queue.select_related("query__draw__member__settled__label", "project")[0]
    return entry, entry.query.draw


def agree_with_all(project: Project, people: Iterable[User]) -> None:
    """Confirm every label that waits."""
    for user in people:
        while entry := claim_next(project, user):
            decide(project, entry.pk, user, "accept")


def refuse_all(project: Project, people: list[User], n: int) -> None:
    """Two people find errors in the first so many audits."""
    for entry in project.queue.select_related("query__draw__member__settled__label", "project")[:n]:
        for user in people[:2]:
            say(project, entry, user, other(entry))


def certificate(project: Project) -> Certificate:
    return Certificate.objects.filter(project=project)[0]


def exported(project: Project) -> list[dict[str, str]]:
    return list(csv.DictReader("".join(export_lines(project)).lstrip("\ufeff").splitlines(keepends=True)))


# What is laid out


def test_the_first_ring_begins_and_its_audits_are_laid_out_first_in_the_order_of_their_keys(project):
    cohort = Cohort.objects.get()
    assert (cohort.ledger, cohort.number, cohort.members.count()) == (0, 0, N_AUDITS)
    entered = {member.settled for member in cohort.members.select_related("settled")}
    outside = project.settled_labels.filter(memberships=None)
    assert min(label.posterior for label in entered) >= max(label.posterior for label in outside)
    draws = AuditDraw.objects.select_related("member", "query__queue_entry")
    assert [draw.number for draw in draws] == list(range(N_AUDITS))
    keys = [draw.member.key for draw in draws]
    assert keys == sorted(keys)
    assert [draw.depth for draw in draws] == keys
    assert [draw.query_id for draw in draws] == list(project.queue.values_list("query", flat=True))
    assert {(draw.ever, draw.now) for draw in draws} == {(N_AUDITS, N_AUDITS)}
    assert set(project.queue.values_list("query__reason", flat=True)) == {"audit"}


def test_an_audit_asks_about_the_settled_label_and_its_verdict_is_told_to_nobody(project):
    for entry in project.queue.select_related("query__draw__member__settled"):
        assert entry.query.label == machines(entry)
        assert entry.query.is_audit
        assert audits.waits(entry.document)


def test_what_rests_on_the_judges_word_is_audited_blind_too(people):
    project = sure_project(people, judge="neighbours", strategy="gain", batch_size=60)
    run_round(project)
    run_round(project)
    drawn = TrainingExample.objects.filter(source="judge", document__queries__draw__isnull=False)
    assert drawn.exists(), "else this proves nothing"
    assert all(audits.waits(example.document) for example in drawn)
    agree_with_all(project, people)
    assert not any(audits.waits(example.document) for example in drawn)


def test_a_check_that_waits_becomes_the_audit_that_is_drawn(project, people):
    """Somebody skipped it, say: decided on as a check it would leave its audit open for ever."""
    entry, draw = first(project)
    check = entry.query
    AuditDraw.objects.filter(pk=draw.pk).delete()
    check.reason = "pool_check"
    check.save()
    decide(project, claim_next(project, people[0]).pk, people[0], "skip")
    run_round(project)
    entry.refresh_from_db()
    assert entry.query != check
    assert entry.query.draw.member.settled.document == entry.document
    agree_with_all(project, people[1:])
    assert state_of(project, entry.query.draw) == State.RIGHT


def test_audits_come_before_spot_checks_and_those_before_questions(people):
    project = sure_project(people, retrain_after=20)
    import_doubtful(project)
    round_ = run_round(project)
    assert list(project.queue.values_list("query__reason", flat=True)) == ["pool_check", *["review"] * 19]
    entry = project.queue.last()
    audit = entry.query
    audit.pk, audit.reason = None, "audit"
    assert claims.priority(audit) < project.queue.first().priority < entry.priority
    later = Round(number=round_.number + 1)
    audit.round = later
    assert claims.priority(audit) < project.queue.first().priority


# An error is looked at by a second person


def test_who_agrees_with_the_machine_decides_with_one_word(project, ann):
    entry, draw = first(project)
    say(project, entry, ann, machines(entry))
    assert state_of(project, draw) == State.RIGHT
    assert TrainingExample.objects.get(document=entry.document).label == machines(entry)
    assert not project.queue.filter(pk=entry.pk).exists()


def test_an_error_waits_for_a_second_person_who_sees_nothing_of_it(project, ann, bob):
    entry, draw = first(project)
    decision = say(project, entry, ann, other(entry))
    assert state_of(project, draw) == State.OPEN
    assert not TrainingExample.objects.filter(document=entry.document).exists()
    entry.refresh_from_db()
    assert entry.people == 2
    assert audits.waits(entry.document)
    assert not Decision.objects.told_to(bob).filter(pk=decision.pk).exists()
    assert entry not in claims.available(project, ann)
    assert claim_next(project, bob) == entry, "it stays the first"


@pytest.mark.parametrize(
    ("second", "third", "state"),
    [
        ("machine", None, State.RIGHT),
        ("first", None, State.WRONG),
        ("another", "machine", State.RIGHT),
        ("another", "first", State.WRONG),
        ("another", "another", State.WRONG),
        ("none", "none", State.WRONG),
    ],
)
def test_an_error_counts_only_where_the_second_look_finds_it_too(project, people, second, third, state):
    entry, draw = first(project)
    words = {"machine": machines(entry), "first": other(entry), "another": other(entry, 1), "none": None}
    say(project, entry, people[0], words["first"])
    entry.refresh_from_db()
    say(project, entry, people[1], words[second])
    if third:
        entry.refresh_from_db()
        assert (entry.people, state_of(project, draw)) == (3, State.WRONG), "nobody has confirmed the machine"
        assert claim_next(project, people[2], disputed=True) == entry
        say(project, entry, people[2], words[third])
    assert state_of(project, draw) == state
    assert not project.queue.filter(pk=entry.pk).exists()
    assert TrainingExample.objects.get(document=entry.document).label == words[third or second]


@pytest.mark.parametrize("with_a_colleague_who_never_came", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("again", "state"), [("machine", State.RIGHT), ("first", State.WRONG), ("other", State.WRONG)])
def test_who_is_alone_looks_again_when_all_else_is_done(ann, bob, again, state, with_a_colleague_who_never_came):
    project = sure_project([ann, bob] if with_a_colleague_who_never_came else [ann])
    run_round(project)
    entry, draw = first(project)
    say(project, entry, ann, other(entry))
    assert state_of(project, draw) == State.OPEN
    for _ in range(N_AUDITS - 1):
        held = claim_next(project, ann)
        assert held != entry
        decide(project, held.pk, ann, "accept")
    assert claims.n_available(project, ann) == 1
    assert claim_next(project, ann) == entry
    words = {"machine": machines(entry), "first": other(entry), "other": other(entry, 1)}
    decide(project, entry.pk, ann, "override", words[again])
    assert state_of(project, draw) == state
    assert claim_next(project, ann) is None
    assert TrainingExample.objects.get(document=entry.document).label == words[again]


def test_a_round_does_not_wait_for_the_second_person(ann, bob, django_capture_on_commit_callbacks):
    project = sure_project([ann, bob], retrain_after=N_AUDITS)
    run_round(project)
    decide(project, claim_next(project, bob).pk, bob, "accept")
    for n in range(N_AUDITS - 1):
        assert not project.rounds.filter(number=2).exists()
        with django_capture_on_commit_callbacks(execute=True):
            decide(project, claim_next(project, ann).pk, ann, "none" if n == N_AUDITS - 2 else "accept")
    assert claims.n_available(project, ann) == 0
    assert claims.n_available(project, bob) == 1
    assert project.rounds.get(number=2).state == "queued"


def test_a_skipped_audit_counts_as_wrong_until_a_colleague_decides(project, people):
    entry, draw = first(project)
    decide(project, claim_next(project, people[0]).pk, people[0], "skip")
    assert state_of(project, draw) == State.SKIPPED
    agree_with_all(project, people[:1])
    run_round(project)
    found = certificate(project)
    assert (found.n, found.k, found.n_open) == (N_AUDITS, 1, 0)
    assert project.queue.get(pk=entry.pk).query == draw.query, "it still waits for the others"
    agree_with_all(project, people[1:])
    run_round(project)
    assert (certificate(project).k, state_of(project, draw)) == (0, State.RIGHT)


def test_an_error_that_is_taken_back_once_the_verdict_was_shown_stays_one(project, ann, bob):
    entry, draw = first(project)
    say(project, entry, ann, other(entry))
    entry.refresh_from_db()
    decision = say(project, entry, bob, other(entry))
    undo(project, bob, decision.pk)
    assert state_of(project, draw) == State.WRONG
    entry = project.queue.get(document=entry.document)
    assert claims.take(entry, bob)
    decide(project, entry.pk, bob, "override", machines(entry))
    assert state_of(project, draw) == State.WRONG


def test_a_confirmation_that_is_taken_back_is_open_again(project, ann):
    entry, draw = first(project)
    decision = say(project, entry, ann, machines(entry))
    undo(project, ann, decision.pk)
    assert state_of(project, draw) == State.OPEN
    assert project.queue.get(document=entry.document).query == draw.query
    assert SettledLabel.objects.get(document=entry.document).left_at is None


def test_of_whom_gold_says_that_they_are_often_wrong_no_word_decides_an_audit_alone(project, people):
    one, two, three = people
    relabel(project.documents.filter(example=None, queue_entry=None)[0], two, None)
    gold = project.documents.filter(example__source="seed")[:10]
    GoldAnswer.objects.bulk_create(GoldAnswer(document=text, reviewer=one, is_right=False) for text in gold)
    project.gold_limit = 0.8
    project.save()
    entries = project.queue.select_related("query__draw__member__settled__label", "project")[:2]
    (entry, draw), (later, later_draw) = ((entry, entry.query.draw) for entry in entries)
    say(project, entry, one, machines(entry))
    assert state_of(project, draw) == State.OPEN
    say(project, entry, two, other(entry))
    assert state_of(project, draw) == State.OPEN, "they disagree"
    say(project, entry, three, other(entry))
    assert state_of(project, draw) == State.WRONG

    say(project, later, two, other(later))
    say(project, later, one, machines(later))
    assert state_of(project, later_draw) == State.OPEN, "it does not make up for the error that was found"
    say(project, later, three, machines(later))
    assert state_of(project, later_draw) == State.RIGHT


def test_deciding_on_an_audit_outside_the_queue_decides_it(project, ann):
    entry, draw = first(project)
    relabel(entry.document, ann, other(entry))
    assert state_of(project, draw) == State.WRONG
    assert SettledLabel.objects.get(document=entry.document).left_at is None, "it is in the ledger, corrected"
    relabel(entry.document, ann, machines(entry))
    assert state_of(project, draw) == State.WRONG, "what is said later is no evidence"


# The set


def test_what_a_person_decides_unasked_leaves_the_set(project, people):
    document = CohortMember.objects.filter(draw=None)
    project.retrain_after = 5
    project.save()
    agree_with_all(project, people)
    run_round(project)
    outside = project.settled_labels.filter(memberships__draw=None, left_at=None).first()
    relabel(outside.document, people[0], outside.label)
    outside.refresh_from_db()
    assert (outside.left_because, outside.left_at is not None) == ("decided", True)
    assert not document.filter(settled=outside, settled__left_at=None).exists()
    before = CohortMember.objects.count()
    run_round(project)
    found = certificate(project)
    assert found.ever - found.now == (1 if outside.memberships.exists() else 0)
    assert found.ever >= before


def test_a_decision_on_a_question_leaves_the_set_too(project, ann):
    """What was settled while it waited as a question of an earlier round."""
    settled = project.settled_labels.filter(memberships=None).first()
    examples_before = TrainingExample.objects.count()
    relabel(settled.document, ann, None)
    settled.refresh_from_db()
    assert settled.left_because == "decided"
    assert TrainingExample.objects.count() == examples_before + 1
    undo(project, ann, Decision.objects.first().pk)
    assert examples.settle(settled.document_id) is None
    run_round(project)
    assert project.settled_labels.filter(document=settled.document_id, left_at=None).exists(), "settled anew"
    assert project.settled_labels.filter(document=settled.document_id).count() == 2


def test_what_the_machine_does_not_believe_any_more_leaves_and_stays_written(project):
    stored = StoredBook.read(project)
    member = CohortMember.objects.filter(draw__isnull=False).first().settled
    loose = project.settled_labels.filter(memberships=None).first()
    doubted = stored.book.document == loose.document_id
    posterior = stored.book.posterior[doubted]
    new = stored.book.settle(
        stored.book.document[doubted],
        stored.book.label[doubted] * 0 + NOISE,
        posterior * 0 + 0.5,
        doubted[doubted] & False,
        0.85,
        stored.limit,
    )
    stored.write_settled(project.rounds.get(), new)
    loose.refresh_from_db()
    assert (len(new), loose.left_because) == (0, "withdrawn")
    member.refresh_from_db()
    assert member.left_at is None
    assert StoredBook.read(project).book.left.sum() == 0, "what never entered is read no more"


# The certificate


def test_a_certificate_covers_each_label_once_and_lets_the_next_ring_in(project, people):
    agree_with_all(project, people)
    run_round(project)
    found = certificate(project)
    assert (found.n, found.k, found.holds, found.finite, found.n_open) == (N_AUDITS, 0, True, True, 0)
    assert (found.limit, found.level) == (0.05, 0.95)
    assert found.members.count() == N_AUDITS
    second = Cohort.objects.get(number=1)
    assert second.members.count() == 6, "a tenth of what is settled"
    assert not second.members.exclude(certificate=None).exists()
    agree_with_all(project, people)
    run_round(project)
    later = certificate(project)
    assert later.holds
    assert not later.finite, "there are two cohorts"
    assert later.members.count() == 6
    assert found.members.count() == N_AUDITS


def test_only_part_of_a_small_set_has_to_be_audited(people):
    project = sure_project(people, retrain_after=19)
    run_round(project)
    agree_with_all(project, people)
    run_round(project)
    found = certificate(project)
    assert (found.n, found.ever, found.holds) == (19, N_AUDITS, True), "one of 20 is at most 5 %"


def test_errors_are_corrected_and_counted(project, people):
    refuse_all(project, people, 1)
    agree_with_all(project, people)
    run_round(project)
    found = certificate(project)
    assert (found.n, found.k) == (N_AUDITS, 1)
    assert found.holds, "all of them were looked at, and the wrong one put right"
    rows = exported(project)
    assert sum(row["certified"] == "yes" for row in rows) == N_AUDITS


def test_settling_stops_where_audits_find_more_than_the_limit(project, people):
    refuse_all(project, people, 8)
    agree_with_all(project, people)
    before = project.settled_labels.count()
    import_rows(project, [(f"apple apple in the pool, item {n}", "") for n in range(20, 30)])
    round_ = project.rounds.first()
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert round_.settling_stopped
    assert project.settled_labels.count() == before
    assert round_.uncertain >= 10
    assert project.queue.filter(query__reason="review").exists(), "so people decide"


def test_another_limit_and_level_count_from_the_next_look_on(project, people):
    refuse_all(project, people, 1)
    project.limit, project.level = "0.10", "0.90"
    project.save()
    agree_with_all(project, people)
    run_round(project)
    found = certificate(project)
    assert (found.limit, found.level, found.ledger) == (0.1, 0.9, 0)


def test_a_ledger_begun_anew_draws_afresh_at_a_higher_level(project, people):
    agree_with_all(project, people)
    old = dict(CohortMember.objects.values_list("settled", "key"))
    project.restarts += 1
    project.save()
    run_round(project)
    assert not Certificate.objects.filter(project=project, ledger=0).exists()
    new = Cohort.objects.get(ledger=1)
    assert new.number == 0
    settled = set(new.members.values_list("settled", flat=True))
    assert not settled & set(old), "what a person has looked at is neither evidence nor claimed"
    assert AuditDraw.objects.filter(member__cohort=new).count() == project.queue.count() > 0
    agree_with_all(project, people)
    run_round(project)
    found = certificate(project)
    assert (found.ledger, found.n, found.k, found.n_open) == (1, len(settled), 0, 0)
    assert found.holds
    assert level_of(1) > level_of(0) > found.level, "each look is at a higher level than the promise"


def test_where_people_decide_on_everything_nothing_is_settled(people):
    project = sure_project(people, auto_accept=False)
    round_ = run_round(project)
    assert not project.settled_labels.exists()
    assert not Certificate.objects.exists()
    assert (round_.uncertain, round_.accepted) == (60, 0)
    assert project.queue.count() == N_AUDITS
    assert {row["certified"] for row in exported(project)} == {""}


def test_the_export_tells_what_is_certified(project, people):
    assert {row["certified"] for row in exported(project) if row["source"] != "seed"} == {"no"}
    agree_with_all(project, people)
    run_round(project)
    rows = exported(project)
    assert sum(row["certified"] == "yes" for row in rows) == N_AUDITS
    assert sum(row["certified"] == "no" for row in rows) == 40
    assert {row["certified"] for row in rows if row["source"] == "seed"} == {""}
    outside = project.settled_labels.filter(memberships=None).first().document
    relabel(outside, people[0], None)
    assert next(row for row in exported(project) if row["text"] == outside.text)["certified"] == ""
    assert sum(row["certified"] == "yes" for row in exported(project)) == N_AUDITS


def test_every_document_is_counted_once(project, people):
    assert progress.counts(project) == progress.Counts(certified=0, settled=60, decided=0, open=0)
    agree_with_all(project, people)
    run_round(project)
    found = progress.counts(project)
    assert (found.certified, found.total) == (N_AUDITS, 60)
    relabel(project.settled_labels.filter(memberships=None).first().document, people[0], None)
    import_rows(project, [("something entirely else", "")])
    found = progress.counts(project)
    assert (found.certified, found.settled, found.decided, found.open) == (N_AUDITS, 39, 1, 1)


def test_the_loop_ends_once_all_that_is_settled_is_certified(people):
    project = make_project(people[0], people[1:], retrain_after=N_AUDITS)
    import_rows(project, fruit_rows(n_seeds=6, n_pool=3))
    for _ in range(12):
        round_ = run_round(project)
        agree_with_all(project, people)
        if round_.stop_reason:
            break
    assert round_.stop_reason == "No uncertain document is left."
    assert not project.settled_labels.filter(left_at=None, memberships__certificate=None).exists()
    assert {row["certified"] for row in exported(project) if row["source"] != "seed"} == {"yes"}
