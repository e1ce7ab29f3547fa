"""Several people: claims that renew, documents for two, disagreements, bulk, and what each has done."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from labelling import jobs
from labelling.jobs import rounds as round_job
from labelling.models import (
    Decision,
    Measurement,
    People,
    Prediction,
    Project,
    Query,
    QueueEntry,
    TrainingExample,
    Verdict,
)
from labelling.services import Refused, audits, bulk, claims, measuring, people, rounds
from labelling.services.claims import Conflict, available, claim_next, renew
from labelling.services.exports import export_lines
from labelling.services.review import decide, relabel, standing_decisions
from tests.factories import FRUIT, account, fresh, fruit_project, import_doubtful, import_rows, run_round, undo_last

pytestmark = pytest.mark.django_db


@pytest.fixture
def cem():
    return account("cem")


def team_project(**settings) -> Project:
    people = {"manager": account("ann"), "reviewers": [account("bob"), account("cem")]}
    return questions_alone(fruit_project(**people, retrain_after=0, **settings), 5)


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    return team_project()


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


@pytest.fixture
def shared(ann, bob, cem) -> Project:
    """A project all of whose documents go to two people."""
    return team_project(overlap=1)


def questions_alone(project: Project, n: int) -> Project:
    """Let so many documents wait that no classifier is sure of, and no audit."""
    import_doubtful(project)
    run_round(project)
    project.queue.filter(query__reason__in=Query.AUDITS).delete()
    project.queue.exclude(pk__in=project.queue.values_list("pk", flat=True)[:n]).delete()
    return project


def expire(entry: QueueEntry) -> None:
    QueueEntry.objects.filter(pk=entry.pk).update(claimed_until=timezone.now() - timedelta(seconds=1))


def source_of(entry: QueueEntry) -> str | None:
    return TrainingExample.objects.filter(document=entry.document).values_list("source", flat=True).first()


def other_label(entry: QueueEntry):
    return entry.project.labels.exclude(pk=entry.query.label_id)[0]


# Claims


def test_who_is_still_there_keeps_the_document_and_who_lost_it_is_told(project, ann, bob):
    entry = claim_next(project, ann)
    expire(entry)
    renew(project, entry.pk, ann)
    assert claim_next(project, bob) != entry

    expire(entry)
    claims.release(project, bob)
    assert claim_next(project, bob) == entry
    with pytest.raises(Conflict, match="bob is reviewing"):
        renew(project, entry.pk, ann)
    decide(project, entry.pk, bob, "accept")
    with pytest.raises(Conflict, match="does not wait for you"):
        renew(project, entry.pk, ann)


def test_looking_again_writes_nothing_while_the_claim_is_fresh(project, ann):
    entry = claim_next(project, ann)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert claim_next(project, ann) == entry
    assert len(queries) == 2
    assert not [query for query in queries if "UPDATE" in query["sql"] or "BEGIN" in query["sql"]]


def test_the_lease_follows_how_long_decisions_take_within_bounds(project, ann):
    def lease_after(seconds: list[int]) -> timedelta:
        Decision.objects.all().delete()
        document = project.documents.first()
        Decision.objects.bulk_create(
            Decision(document=document, reviewer=ann, action="accept", seconds=n) for n in seconds
        )
        claims.learn_lease(project)
        return claims.lease(Project.objects.get(pk=project.pk))

    assert claims.lease(project) == timedelta(minutes=10)
    assert lease_after([5] * 19) == timedelta(minutes=10), "too few to tell"
    assert lease_after([5] * 40) == claims.SHORTEST_LEASE
    assert lease_after([5] * 38 + [5_000] * 2) == claims.SHORTEST_LEASE, "a long lunch is no pace"
    assert lease_after([150] * 40) == timedelta(minutes=5)
    assert lease_after([3_000] * 40) == timedelta(minutes=10), "never longer than the setting"


def test_a_decision_knows_how_long_it_took_and_renewing_does_not_start_anew(project, ann):
    entry = claim_next(project, ann)
    QueueEntry.objects.filter(pk=entry.pk).update(claimed_at=timezone.now() - timedelta(seconds=90))
    renew(project, entry.pk, ann)
    assert 89 <= decide(project, entry.pk, ann, "accept").seconds <= 95


# Two people


def test_neither_of_two_people_learns_what_the_other_decided_before_both_have(shared, client, ann, bob):
    entry = claim_next(shared, ann)
    assert entry.people == People.TWO
    decide(shared, entry.pk, ann, "override", other_label(entry))
    assert source_of(entry) is None
    assert claim_next(shared, ann) != entry, "not twice to the same person"
    address = reverse("document", args=[shared.slug, entry.document_id])
    for reader, knows in ((ann, True), (bob, False)):
        client.force_login(reader)
        assert ("Changed to" in client.get(address).content.decode()) is knows
    assert not any(",override,ann," in line for line in export_lines(shared))

    assert claim_next(shared, bob) == entry
    decide(shared, entry.pk, bob, "override", other_label(entry))
    assert source_of(entry) == "human"
    assert not QueueEntry.objects.filter(pk=entry.pk).exists()
    assert "Changed to" in client.get(address).content.decode()
    assert any(",override,bob," in line for line in export_lines(shared))


def test_each_document_is_decided_exactly_twice(shared, ann, bob, cem):
    for _ in range(20):
        for user in (ann, bob, cem):
            if entry := claim_next(shared, user):
                decide(shared, entry.pk, user, "accept")
    assert not shared.queue.exists()
    assert TrainingExample.objects.filter(source="human").count() == 5
    by_document = Decision.objects.order_by().values_list("document", "reviewer")
    assert len(by_document) == len(set(by_document)) == 10


def test_a_second_click_of_the_first_of_two_is_not_a_second_decision(shared, ann):
    entry = claim_next(shared, ann)
    first = decide(shared, entry.pk, ann, "accept")
    assert decide(shared, entry.pk, ann, "accept") == first
    with pytest.raises(Conflict, match="You have decided"):
        decide(shared, entry.pk, ann, "none")


def disagree(project, ann, bob):
    entry = claim_next(project, ann)
    decide(project, entry.pk, ann, "accept")
    claims.release(project, ann)
    assert claim_next(project, bob) == entry
    decide(project, entry.pk, bob, "none")
    return entry


def test_a_disagreement_goes_to_a_third_person_who_sees_both(shared, client, ann, bob, cem):
    entry = disagree(shared, ann, bob)
    assert source_of(entry) is None
    assert entry not in available(shared, cem), "not in the normal queue"
    for one_of_two in (ann, bob):
        assert claim_next(shared, one_of_two, disputed=True) is None
        with pytest.raises(Conflict, match="You have decided"):
            decide(shared, entry.pk, one_of_two, "override", other_label(entry))
    client.force_login(cem)
    page = client.get(reverse("disagreements", args=[shared.slug])).content.decode()
    assert "ann says" in page
    assert "bob says" in page
    client.post(
        reverse("decide_disagreement", args=[shared.slug, entry.pk]),
        {"choice": "override", "label": other_label(entry).pk},
    )
    example = TrainingExample.objects.get(document=entry.document)
    assert (example.label, example.source) == (other_label(entry), "human")
    undo_last(shared, cem)
    assert source_of(entry) is None
    assert claim_next(shared, cem, disputed=True).document == entry.document


def test_one_of_two_who_disagree_may_think_again(shared, ann, bob, cem):
    entry = disagree(shared, ann, bob)
    undo_last(shared, bob)
    assert claim_next(shared, cem, disputed=True) is None
    assert claim_next(shared, bob) == entry
    decide(shared, entry.pk, bob, "accept")
    assert source_of(entry) == "human"


def test_taking_back_one_of_two_that_agreed_asks_for_a_second_one_again(shared, ann, bob, cem):
    entry = claim_next(shared, ann)
    decide(shared, entry.pk, ann, "accept")
    assert claim_next(shared, bob) == entry
    decide(shared, entry.pk, bob, "accept")
    undo_last(shared, ann)
    assert source_of(entry) is None
    again = shared.queue.get(document=entry.document)
    assert (again.people, again.claimed_by) == (People.TWO, ann)
    expire(again)
    assert again in available(shared, cem)
    assert again not in available(shared, bob)


def test_a_round_leaves_what_waits_for_the_second_or_third_person(ann, bob):
    project = fruit_project(judge="neighbours", batch_size=20, retrain_after=0, overlap=1)
    import_doubtful(project)
    run_round(project)
    disputed = disagree(project, ann, bob)
    half = claim_next(project, ann)
    decide(project, half.pk, ann, "accept")
    claims.release(project, ann)
    claims.release(project, bob)
    Prediction.objects.update(probability=0.99, posterior=0.99)
    run_round(project)
    kept = set(project.queue.values_list("pk", "people"))
    assert {(half.pk, 2), (disputed.pk, 3)} <= kept


def test_the_share_for_two_people_is_drawn_by_document_and_the_same_each_time(ann):
    project = fruit_project(batch_size=40, retrain_after=0, overlap=0.5)
    run_round(project)
    drawn = dict(project.queue.values_list("document", "people"))
    assert set(drawn.values()) == {1, 2}
    for entry in project.queue.select_related("query__round"):
        assert claims.people(entry.query) == drawn[entry.document_id]


def test_an_audit_for_two_counts_with_what_they_agree_on(ann, bob):
    project = fruit_project(batch_size=5, retrain_after=0, overlap=1)
    run_round(project)
    entry = claim_next(project, ann)
    decide(project, entry.pk, ann, "none")
    assert audits.truths(project) == {}
    assert audits.waits(entry.document)
    assert claim_next(project, bob) == entry
    decide(project, entry.pk, bob, "none")
    assert audits.truths(project) == {entry.document_id: None}


# Numbers and agreement


def test_numbers_and_agreement(shared, client, ann, bob, cem):
    for n in range(3):
        entry = claim_next(shared, ann)
        decide(shared, entry.pk, ann, "accept")
        assert claim_next(shared, bob) == entry
        decide(shared, entry.pk, bob, "none" if n == 2 else "accept")
    third = claim_next(shared, cem, disputed=True)
    decide(shared, third.pk, cem, "accept")
    relabel(shared.documents.filter(given_source="seed").first(), ann, None)

    by_name = {found.reviewer.username: found for found in people.numbers(shared)}
    assert list(by_name) == ["ann", "bob", "cem"]
    assert (by_name["ann"].n_decisions, by_name["ann"].n_today, by_name["ann"].a_day) == (4, 4, 4)
    assert (by_name["ann"].n_shared, by_name["ann"].n_same) == (3, 2)
    assert [by_name[name].n_overturned for name in ("ann", "bob", "cem")] == [0, 1, 0]
    assert by_name["bob"].median_seconds == 0
    assert [found.reviewer for found in people.numbers(shared, bob)] == [bob]

    assert measuring.is_old(shared, None)
    jobs.run_measurement(measuring.measure(shared).pk)
    measured = Measurement.objects.get(project=shared)
    assert not measuring.is_old(shared, measured)
    assert (measured.people["alpha"]["n"], measured.people["alpha"]["value"]) == (3, None)
    assert measured.people["pairs"][0]["reviewers"] == sorted([ann.pk, bob.pk])
    pages = {}
    for user in (ann, bob):
        client.force_login(user)
        pages[user] = client.get(reverse("people", args=[shared.slug])).content.decode()
    assert "<bdi>cem</bdi>" in pages[ann]
    assert "<bdi>cem</bdi>" not in pages[bob]
    assert "<bdi>bob</bdi>" in pages[bob]

    undo_last(shared, cem)
    undo_last(shared, bob)
    assert measuring.is_old(shared, measured)


def test_agreement_with_the_judge_is_about_audits(ann):
    project = fruit_project(judge="neighbours", batch_size=20, retrain_after=0)
    import_doubtful(project)
    run_round(project)
    project.queue.exclude(query__reason=Query.Reason.SPOT_CHECK).delete()
    assert project.queue.count() == 2
    Verdict.objects.update(verdict="valid")
    for action in ("accept", "none"):
        decide(project, claim_next(project, ann).pk, ann, action)
    found = people.numbers(project)[0]
    assert (found.n_audits, found.n_as_judge) == (2, 1)


# Bulk


@pytest.fixture
def apples(ann, bob):
    """A project in which all that waits is predicted to be about apples, an audit among it."""
    project = fruit_project(manager=ann, reviewers=[bob], retrain_after=0)
    import_doubtful(project)
    run_round(project)
    apple = project.labels.get(name=FRUIT[0])
    for entry in project.queue.all():
        entry.query.label = apple
        entry.query.save()
    Prediction.objects.update(posterior_label=apple)
    return project


def test_bulk_accepts_what_stays_ticked_names_what_it_leaves_out_and_is_undone_as_one(apples, client, ann, bob):
    apple = apples.labels.get(name=FRUIT[0])
    held = claim_next(apples, bob)
    if held.query.is_audit:
        decide(apples, held.pk, bob, "none")
        held = claim_next(apples, bob)
    shown = bulk.table(apples, ann, apple)
    assert held not in [row.entry for row in shown]
    assert not any(row.entry.query.is_audit for row in shown)
    unticked, taken, *ticked = [row.entry.document_id for row in shown]
    entry = apples.queue.get(document=taken)
    decide(apples, entry.pk, bob, "none")

    client.force_login(ann)
    page = client.get(reverse("bulk", args=[apples.slug])).context
    assert page["label"] == apple, "the commonest, where none is asked for"
    assert taken not in [row.entry.document_id for row in page["rows"]]
    address = reverse("accept_in_bulk", args=[apples.slug, apple.pk])
    said = client.post(address, {"document": [taken, held.document_id, *ticked]}, follow=True).content.decode()
    assert f"Accepted {len(ticked)} documents as apple" in said
    assert "bob has decided on it already: None of these" in said
    assert "bob is reviewing this document now" in said
    decisions = standing_decisions(apples, ann)
    assert {decision.document_id for decision in decisions} == set(ticked)
    assert len(set(decisions.values_list("bulk", flat=True))) == 1
    assert TrainingExample.objects.filter(source="human", label=apple).count() == len(ticked)
    assert apples.queue.filter(document=unticked).exists()

    again = client.post(address, {"document": ticked}, follow=True).content.decode()
    assert "Left out" not in again, "a second click tells nothing new"
    assert decisions.count() == len(ticked)

    undone = client.post(reverse("undo_bulk", args=[apples.slug]), {"decision": decisions.first().pk}, follow=True)
    assert "Undone" in undone.content.decode()
    assert not standing_decisions(apples, ann).exists()
    assert apples.queue.filter(document__in=ticked, claimed_by=None).count() == len(ticked)


def test_bulk_shows_the_most_probable_label_and_ticks_nothing_that_the_judge_refused(apples, ann):
    apple, mango = (apples.labels.get(name=name) for name in ("apple", "mango"))
    refused, other, none, *_ = [row.entry for row in bulk.table(apples, ann, apple)]
    Prediction.objects.filter(document=other.document_id).update(posterior_label=mango)
    Prediction.objects.filter(document=none.document_id).update(posterior_label=None)
    judge = {"judge": "neighbours", "model": "m", "prompt_version": "p"}
    Verdict.objects.create(query=refused.query, verdict="invalid", **judge)
    rows = {row.entry.pk: row.ticked for row in bulk.table(apples, ann, apple)}
    assert rows.pop(refused.pk) is False
    assert rows
    assert all(rows.values())
    assert {other.pk, none.pk}.isdisjoint(rows), "though the question is about apples"
    assert [(row.entry, row.ticked) for row in bulk.table(apples, ann, mango)] == [(other, True)]
    assert {found["name"]: found["n"] for found in bulk.labels(apples, ann)} == {"apple": len(rows) + 1, "mango": 1}
    accepted = bulk.accept(apples, ann, mango, [other.document_id, none.document_id])
    assert [decision.label for decision in accepted.decisions] == [mango]
    assert "Another label is predicted by now." in accepted.left_out[0].reason


@pytest.mark.parametrize("n", [0, bulk.AT_MOST + 1])
def test_bulk_has_a_size(project, ann, n):
    with pytest.raises(Refused, match="between one and 50"):
        bulk.accept(project, ann, project.labels.first(), list(range(n)))


def test_bulk_takes_neither_audits_nor_shared_documents_nor_other_labels_even_when_asked(shared, apples, ann):
    for project in (shared, apples):
        label = project.labels.get(name=FRUIT[1])
        documents = list(project.queue.values_list("document", flat=True))
        accepted = bulk.accept(project, ann, label, documents)
        assert accepted.decisions == []
        assert len(accepted.left_out) == len(documents)


# After a round


def test_a_round_tells_what_the_decisions_changed(client, ann):
    project = fruit_project(manager=ann, batch_size=10, retrain_after=0)
    import_doubtful(project)
    import_rows(project, [(f"{fruit} held out {n}", fruit) for fruit in FRUIT for n in range(3)], holdout_percent=100)
    assert run_round(project).changes == {}
    moved = Prediction.objects.filter(document__in=project.documents.pool()).select_related("label").first()
    wrong = project.labels.exclude(pk=moved.label_id).first()
    Prediction.objects.filter(pk=moved.pk).update(label=wrong)
    held_out = Prediction.objects.filter(document__holdout=True, document__given_label__name="apple")
    held_out.update(label=project.labels.get(name="mango"))
    decide(project, claim_next(project, ann).pk, ann, "none")

    found = run_round(project).changes
    assert (found["since"], found["learnt"]) == (1, {"human": 1})
    assert [moved.document_id, wrong.pk, moved.label_id] in [row[:3] for row in found["moved"]]
    assert found["n_moved"] >= 1
    assert found["better"][0][1:] == [0, 3, 3]
    assert (found["worse"], found["right_now"] - found["right_before"]) == ([], 3)

    client.force_login(ann)
    page = client.get(reverse("latest_changes", args=[project.slug]), follow=True).content.decode()
    assert "What your decisions changed" in page
    assert "<strong>apple</strong>: 0 → 3 of 3 right" in page
    assert moved.document.text in page


def test_the_queue_stays_open_while_the_next_round_runs(project, ann, monkeypatch):
    waiting = set(project.queue.values_list("pk", flat=True))

    def decide_one() -> None:
        entry = claim_next(project, ann)
        decide(project, entry.pk, ann, "accept")
        waiting.remove(entry.pk)
        assert set(project.queue.values_list("pk", flat=True)) == waiting

    def after(step):
        def step_and_decide(*arguments):
            result = step(*arguments)
            decide_one()
            return result

        return step_and_decide

    for name in ("fit", "predict", "choose_queries"):
        monkeypatch.setattr(round_job, name, after(getattr(round_job, name)))
    round_ = rounds.start_round(project)
    decide_one()
    jobs.run_round(round_.pk)
    assert len(waiting) == 1


# Speed


@pytest.mark.parametrize(("every", "most"), [pytest.param(10**9, 27, id="any"), pytest.param(1, 28, id="a twentieth")])
def test_deciding_asks_the_database_a_few_times_and_starts_nothing_that_is_not_due(
    project, client, ann, monkeypatch, every, most
):
    """Each twentieth decision by its key, which no test begins anew on PostgreSQL, learns the lease from the last."""
    monkeypatch.setattr(claims, "LEARN_EVERY", every)
    client.force_login(ann)
    client.get(reverse("review", args=[project.slug]))
    entry = project.queue.get(claimed_by=ann)
    with CaptureQueriesContext(connection) as queries:
        client.post(
            reverse("decide", args=[project.slug, entry.pk]), {"choice": "accept"}, headers={"HX-Request": "true"}
        )
    assert len(queries) <= most
    writing = [query["sql"] for query in queries if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    assert len(writing) == 4, "decision, example, queue, claim"
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            # As if there were many rows; rounds of other tests have told SQLite how few there are.
            for statement in ("ANALYZE", "DELETE FROM sqlite_stat1", "ANALYZE sqlite_schema"):
                cursor.execute(statement)
            for rows, index in (
                (available(project, ann), "next_in_queue"),
                (available(project, ann), "said_of_a_document"),
                (claims.held(project, ann), "held_in_queue"),
                (standing_decisions(project, ann), "decisions_of_a_reviewer"),
            ):
                plan = _plan(cursor, rows[:1])
                assert f"INDEX {index}" in plan
                assert "TEMP B-TREE" not in plan
                assert "SCAN" not in plan


def _plan(cursor, rows) -> str:
    sql, values = rows.query.sql_with_params()
    cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)
    return "\n".join(row[-1] for row in cursor.fetchall())
