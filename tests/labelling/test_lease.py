"""Jobs that are claimed, lost, taken over, cancelled."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from labelling.csv_io.formats import NotCsv
from labelling.jobs.lease import LEASE, MAX_ATTEMPTS, JobFailed, Lease, LeaseLost, hold
from labelling.jobs.worker import SEND_AGAIN_AFTER, STUCK_AFTER, Heart, record_beat, requeue_lost_jobs
from labelling.models import BackgroundJob, CsvImport, Project, Round, Worker
from labelling.services import Refused, queueing
from tests.factories import make_project

pytestmark = pytest.mark.django_db

State = BackgroundJob.State


@pytest.fixture
def round_() -> Round:
    return Round.objects.create(project=make_project(), number=1, state=State.QUEUED)


def expire(round_: Round) -> None:
    Round.objects.filter(pk=round_.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_a_queued_job_is_claimed_once(round_):
    with hold(Round, round_.pk) as first, hold(Round, round_.pk) as second:
        assert first is not None
        assert second is None
        assert first.job.state == State.RUNNING


@pytest.mark.parametrize("state", [State.WAITING, State.DONE, State.FAILED, State.CANCELLED])
def test_a_job_that_is_not_waiting_for_a_worker_is_not_claimed(round_, state):
    Round.objects.filter(pk=round_.pk).update(state=state)
    with hold(Round, round_.pk) as lease:
        assert lease is None


def test_a_dead_workers_job_is_taken_over_and_the_dead_one_changes_nothing_more(round_):
    with hold(Round, round_.pk) as dead:
        assert dead
        expire(round_)
        with hold(Round, round_.pk) as heir:
            assert heir
            heir.report("fit", 1, 2)
            with pytest.raises(LeaseLost):
                dead.report("embed", 5, 9)
            with pytest.raises(LeaseLost), dead.transaction():
                Project.objects.update(name="written by the dead")
    round_.refresh_from_db()
    assert (round_.step, round_.done) == ("fit", 1)
    assert not Project.objects.filter(name="written by the dead").exists()


def test_a_cancelled_job_stops_at_its_next_word(round_):
    with hold(Round, round_.pk) as lease:
        assert lease
        queueing.cancel(round_)
        lease.report("fit", 1, 2)
        pytest.fail("reporting on a cancelled job must raise")
    round_.refresh_from_db()
    assert round_.state == State.CANCELLED


def test_an_ended_job_cannot_be_cancelled(round_):
    Round.objects.update(state=State.DONE)
    with pytest.raises(Refused, match="ended already"):
        queueing.cancel(round_)


@pytest.mark.parametrize("error", [JobFailed("Do this."), NotCsv("Do this."), Refused("Do this.")])
def test_an_expected_error_is_told_as_it_is(round_, error):
    with pytest.raises(type(error)), hold(Round, round_.pk):
        raise error
    round_.refresh_from_db()
    assert (round_.state, round_.error) == (State.FAILED, "Do this.")


def test_a_stopped_worker_gives_its_job_back_at_once(round_):
    with pytest.raises(SystemExit), hold(Round, round_.pk):
        raise SystemExit
    with hold(Round, round_.pk) as lease:
        assert lease is not None


def test_a_job_that_keeps_killing_its_worker_fails_in_the_end(round_):
    for _ in range(MAX_ATTEMPTS):
        with hold(Round, round_.pk) as lease:
            assert lease
            expire(round_)
            Round.objects.filter(pk=round_.pk).update(lease=uuid4())
    with hold(Round, round_.pk) as lease:
        assert lease is None
    round_.refresh_from_db()
    assert round_.state == State.FAILED
    assert f"died {MAX_ATTEMPTS} times" in round_.error


@pytest.mark.parametrize("steps", [["embed"], ["embed", "fit"]])
def test_starting_afresh_and_dying_again_is_not_getting_further(round_, steps):
    for _ in range(MAX_ATTEMPTS):
        with hold(Round, round_.pk) as lease:
            for step in steps:
                lease.report(step)
            expire(round_)
            Round.objects.filter(pk=round_.pk).update(lease=uuid4())
    with hold(Round, round_.pk) as lease:
        assert lease is None


def test_getting_further_forgives_earlier_deaths(round_):
    Round.objects.update(attempts=MAX_ATTEMPTS - 1)
    with hold(Round, round_.pk) as lease:
        lease.got_further()
    round_.refresh_from_db()
    assert round_.attempts == 1


def test_a_worker_that_is_stopped_in_order_counts_for_no_death(round_):
    for _ in range(MAX_ATTEMPTS + 1):
        with pytest.raises(SystemExit), hold(Round, round_.pk) as lease:
            assert lease
            raise SystemExit
    round_.refresh_from_db()
    assert round_.attempts == 0


def test_reports_are_written_at_most_twice_a_second_but_always_at_the_end(round_, django_assert_num_queries):
    with hold(Round, round_.pk) as lease:
        assert lease
        lease.report("fit", 0, 1000)
        with django_assert_num_queries(1):
            for done in range(1, 1001):
                lease.report("fit", done, 1000)
    round_.refresh_from_db()
    assert round_.done == 1000


def test_renewing_moves_the_expiry(round_):
    with hold(Round, round_.pk) as lease:
        assert lease
        expire(round_)
        Lease(lease.job).renew()
        round_.refresh_from_db()
        assert round_.lease_until is not None
        assert round_.lease_until > timezone.now() + LEASE / 2


def test_a_lost_job_is_queued_again_once(round_, messages, django_capture_on_commit_callbacks):
    Round.objects.update(state=State.RUNNING, lease=uuid4(), lease_until=timezone.now() - timedelta(seconds=1))
    with django_capture_on_commit_callbacks(execute=True):
        requeue_lost_jobs()
        requeue_lost_jobs()
    round_.refresh_from_db()
    assert round_.state == State.QUEUED
    assert messages == [("labelling.jobs.run_round", round_.pk)]


def test_a_living_workers_job_is_left_alone(round_, messages):
    Round.objects.update(state=State.RUNNING, lease=uuid4(), lease_until=timezone.now() + LEASE)
    requeue_lost_jobs()
    round_.refresh_from_db()
    assert round_.state == State.RUNNING


def waits_for(waited: timedelta) -> None:
    Round.objects.update(queued_at=timezone.now() - waited)


def test_an_idle_worker_sends_a_waiting_jobs_message_again_once(round_, messages, django_capture_on_commit_callbacks):
    waits_for(SEND_AGAIN_AFTER + timedelta(seconds=1))
    heart = Heart(main_pid=0, lane="red")
    with django_capture_on_commit_callbacks(execute=True):
        heart.beat()
        heart.beat()
    assert messages == [("labelling.jobs.run_round", round_.pk)]


def test_a_busy_worker_sends_nothing_and_kills_nobody(round_, messages, monkeypatch):
    monkeypatch.setattr("os.kill", lambda *args: pytest.fail("a busy worker must not start over"))
    waits_for(STUCK_AFTER * 2)
    heart = Heart(main_pid=0, lane="red")
    heart.spawned_at -= STUCK_AFTER * 2
    heart.busy = True
    heart.beat()
    assert messages == []


def test_a_stuck_queue_makes_the_worker_start_over(round_, monkeypatch):
    killed = []
    monkeypatch.setattr("os.kill", lambda pid, signal: killed.append(pid))
    waits_for(STUCK_AFTER * 2)
    heart = Heart(main_pid=4711, lane="red")
    heart.beat()
    assert killed == []
    heart.spawned_at -= STUCK_AFTER * 2
    heart.beat()
    assert killed == [4711]


def test_a_beat_shows_the_worker_and_forgets_the_long_dead():
    Worker.objects.create(host="old", pid=1, seen_at=timezone.now() - timedelta(days=1))
    Worker.objects.create(host="gone", pid=2, seen_at=timezone.now() - timedelta(minutes=1))
    record_beat()
    record_beat()
    assert Worker.objects.alive().count() == 1
    assert set(Worker.objects.values_list("host", flat=True)) & {"old", "gone"} == {"gone"}


def test_each_lane_has_its_own_worker_and_its_own_places(round_, messages):
    """An idle worker of the quick lane leaves the rounds that wait alone, and an import never waits behind them."""
    waits_for(STUCK_AFTER * 2)
    heart = Heart(main_pid=0, lane=queueing.QUICK_LANE)
    heart.spawned_at -= STUCK_AFTER * 2
    heart.beat()
    assert messages == []
    csv_import = CsvImport.objects.create(project=round_.project, state=State.QUEUED)
    assert queueing.lane_of(csv_import) != queueing.lane_of(round_)
    assert csv_import.ahead == (0, 0)
    later = Round.objects.create(project=make_project(), number=1)
    assert later.ahead == (0, 1)
    Round.objects.filter(pk=round_.pk).update(state=State.RUNNING)
    assert later.ahead == (1, 0)
