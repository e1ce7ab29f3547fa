"""Several people at once, each on a database connection of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest
from django.db import connection

from labelling.jobs.lease import hold
from labelling.models import Decision, QueueEntry, Round, TrainingExample
from labelling.services import Refused, rounds
from labelling.services.claims import Conflict, claim_next
from labelling.services.review import decide, relabel, undo
from tests.factories import fruit_project, import_doubtful, make_user, run_round

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")


def at_once(n: int, action: Callable[[int], T]) -> list[T]:
    """Call an action from n threads that start together; each has its own connection."""
    start = Barrier(n)

    def run(number: int) -> T:
        try:
            start.wait()
            return action(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(run, range(n)))


@pytest.fixture
def project():
    """20 documents wait, and rounds start by hand."""
    project = fruit_project(retrain_after=20)
    import_doubtful(project)
    run_round(project)
    project.retrain_after = 0
    project.save()
    return project


def test_eight_reviewers_get_eight_documents(project):
    users = [make_user() for _ in range(8)]
    entries = at_once(8, lambda n: claim_next(project, users[n]).pk)
    assert len(set(entries)) == 8


def test_eight_reviewers_empty_the_queue_and_each_document_is_decided_once(project):
    users = [make_user() for _ in range(8)]

    def review(number: int) -> int:
        n = 0
        while entry := claim_next(project, users[number]):
            decide(project, entry.pk, users[number], "accept")
            n += 1
        return n

    assert sum(at_once(8, review)) == 20
    assert QueueEntry.objects.count() == 0
    decided = Counter(Decision.objects.values_list("document_id", flat=True))
    assert set(decided.values()) == {1}
    assert TrainingExample.objects.filter(source="human").count() == 20


def test_of_eight_who_decide_on_one_document_one_succeeds(project):
    entry = QueueEntry.objects.first()
    users = [make_user() for _ in range(8)]

    def try_it(number: int) -> str:
        try:
            decide(project, entry.pk, users[number], "accept")
        except Conflict:
            return "conflict"
        return "saved"

    assert Counter(at_once(8, try_it)) == {"saved": 1, "conflict": 7}
    assert Decision.objects.count() == 1


def test_of_eight_who_start_a_round_one_succeeds(project):
    def try_it(number: int) -> str:
        try:
            rounds.start_round(project)
        except Refused:
            return "refused"
        return "started"

    assert Counter(at_once(8, try_it)) == {"started": 1, "refused": 7}
    assert project.rounds.count() == 2


@pytest.mark.parametrize("retrain_after", [1, 8])
def test_eight_decisions_at_once_start_one_round(project, retrain_after):
    """Each of them reaches a threshold of 1; one of 8 is reached by none of them alone."""
    project.retrain_after = retrain_after
    project.save()
    users = [make_user() for _ in range(8)]
    entries = [claim_next(project, user) for user in users]
    at_once(8, lambda n: decide(project, entries[n].pk, users[n], "accept"))
    assert project.rounds.count() == 2


def test_one_person_who_clicks_eight_times_decides_once_and_gets_one_document(project):
    user = make_user()
    for _ in range(5):
        entry = claim_next(project, user)

        def click(number: int, entry: QueueEntry = entry) -> QueueEntry | None:
            decide(project, entry.pk, user, "accept")
            return claim_next(project, user)

        assert None not in at_once(8, click)
    assert Decision.objects.count() == 5


def test_of_eight_clicks_on_undo_one_undoes(project):
    user = make_user()
    decisions = [decide(project, claim_next(project, user).pk, user, "accept") for _ in range(3)]
    undone = at_once(8, lambda n: undo(project, user, decisions[2].pk))
    assert Counter(undone) == {decisions[2]: 1, None: 7}
    assert TrainingExample.objects.filter(source="human").count() == 2


def test_eight_people_who_put_one_document_right_leave_one_label(project):
    document = project.documents.pool().first()
    users, labels = [make_user() for _ in range(8)], list(project.labels.all())
    at_once(8, lambda n: relabel(document, users[n], labels[n % 4]))
    last = Decision.objects.filter(document=document).first()
    assert Decision.objects.filter(document=document).count() == 8
    assert TrainingExample.objects.get(document=document).label == last.label


def test_of_eight_workers_one_gets_the_job(project):
    round_ = rounds.start_round(project)

    def try_it(number: int) -> bool:
        with hold(Round, round_.pk) as lease:
            return lease is not None

    assert Counter(at_once(8, try_it)) == {True: 1, False: 7}
