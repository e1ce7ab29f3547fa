"""Jobs that are hit while they run, at each of their steps: the next worker ends them as if nothing had happened."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.core.files.base import ContentFile
from django.db import connection
from django.utils import timezone

from labelling import jobs
from labelling.jobs.lease import LEASE
from labelling.jobs.worker import requeue_lost_jobs
from labelling.models import BackgroundJob, CsvImport, Packing, Project, Release, Unpacking
from labelling.services import imports, packing, queueing, releases
from labelling.services.exports import export_lines
from tests import databases
from tests.factories import csv_file, fruit_project, fruit_rows, make_project, make_user, run_round
from tests.labelling.test_killed import (
    STEPS,
    _judge_that_refuses,
    die,
    fork,
    picture,
    small_round,
    when_reporting,
)
from tests.slow.test_judge import database_url

__all__ = ["_judge_that_refuses"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

State = BackgroundJob.State


@dataclass(frozen=True)
class Work:
    """A kind of job: how one comes about that is queued, and all that one leaves behind when it ends."""

    run: Callable[[int], None]
    queue: Callable[[], BackgroundJob]
    left_by: Callable[[Any], object]
    steps: tuple[str, ...]


def an_import() -> CsvImport:
    csv_import = imports.upload(make_project(), csv_file(fruit_rows()), user=None)
    csv_import.holdout_percent = 25
    imports.start_here(csv_import)
    return csv_import


def rows_of(project: Project) -> list[str]:
    return sorted(line.split(",", 1)[1] for line in export_lines(project))


def settled_project() -> Project:
    project = fruit_project(retrain_after=0, limit="0.10")
    run_round(project)
    return project


def an_unpacking() -> Unpacking:
    packed = packing.start(settled_project(), make_user())
    jobs.run_packing(packed.pk)
    return packing.upload(ContentFile(packed.path.read_bytes(), name="project.zip"), make_user(is_staff=True))


def left_by_packing(packed: Packing) -> object:
    kept = packing.take(packed)
    beside = packed.path.parent.glob(f"*{packed.project_id}.*")
    return kept is not None and kept.close() is None, list(beside) == [packed.path]


WORKS = {
    "import": Work(
        jobs.run_import, an_import, lambda job: (job.counts, rows_of(job.project)), tuple(CsvImport.Step.values)
    ),
    "round": Work(
        jobs.run_round, lambda: small_round().rounds.get(), lambda job: picture(job.project, job), tuple(STEPS)
    ),
    "release": Work(
        jobs.run_release,
        lambda: releases.start_here(settled_project()),
        lambda job: (job.counts, [releases.is_intact(job, name) for name in sorted(job.files)]),
        tuple(Release.Step.values),
    ),
    "packing": Work(
        jobs.run_packing,
        lambda: packing.start(settled_project(), make_user()),
        left_by_packing,
        tuple(Packing.Step.values),
    ),
    "unpacking": Work(jobs.run_unpacking, an_unpacking, lambda job: rows_of(job.project), tuple(Unpacking.Step.values)),
}
_undisturbed: dict[str, object] = {}


def undisturbed(name: str) -> object:
    """What such a job leaves behind when nothing happens."""
    if name not in _undisturbed:
        work = WORKS[name]
        job = work.queue()
        work.run(job.pk)
        job.refresh_from_db()
        _undisturbed[name] = work.left_by(job)
    return _undisturbed[name]


def lose_the_database() -> None:
    """End the job's connection, or, as a file has none to end, let somebody else keep it to themselves."""
    if databases.server():
        with connection.cursor() as cursor, psycopg.connect(database_url(), autocommit=True) as other:
            cursor.execute("SELECT pg_backend_pid()")
            other.execute("SELECT pg_terminate_backend(%s)", cursor.fetchone())
        return
    connection.close()
    connection.settings_dict["OPTIONS"]["timeout"] = 0.1
    kept.append(sqlite3.connect(connection.settings_dict["NAME"]))
    kept[-1].execute("BEGIN IMMEDIATE")


kept: list[sqlite3.Connection] = []


def leave_no_room() -> None:
    """No file grows any more."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def freeze() -> None:
    """As a machine does that is suspended."""
    os.kill(os.getpid(), signal.SIGSTOP)


def with_a_fast_clock(step: str) -> Callable[[], None]:
    """Die, on a machine whose clock is an hour ahead."""

    def arm() -> None:
        now = timezone.now
        timezone.now = lambda: now() + timedelta(hours=1)
        when_reporting(step, die)()

    return arm


CAUSES: dict[str, Callable[[str], Callable[[], None]]] = {
    "killed": lambda step: when_reporting(step, die),
    "stopped": lambda step: when_reporting(step, sys.exit),
    "without its database": lambda step: when_reporting(step, lose_the_database),
    "without room": lambda step: when_reporting(step, leave_no_room),
    "killed with a fast clock": with_a_fast_clock,
    "frozen and back": lambda step: when_reporting(step, freeze),
}
MOMENTS = [(cause, name, step) for cause in CAUSES for name, work in WORKS.items() for step in work.steps]


@pytest.mark.parametrize(("cause", "name", "step"), MOMENTS, ids=["-".join(moment) for moment in MOMENTS])
def test_hit(cause, name, step, person):
    expected, work = undisturbed(name), WORKS[name]
    job = work.queue()
    child = fork(lambda: work.run(job.pk), CAUSES[cause](step))
    _, status = os.waitpid(child, os.WUNTRACED)
    go_on(work, job)
    if os.WIFSTOPPED(status):
        os.kill(child, signal.SIGCONT)
        os.waitpid(child, 0)
    job.refresh_from_db()
    if job.state == State.FAILED:
        person(job.error)
        queueing.enqueue(job, send=False)
        work.run(job.pk)
        job.refresh_from_db()
    assert (job.state, job.error, work.left_by(job)) == (State.DONE, "", expected)


def go_on(work: Work, job: BackgroundJob) -> None:
    """What a living worker does with a job once its lease, of half a minute at most, has run out."""
    jobs_ = type(job)._default_manager.filter(pk=job.pk)
    job.refresh_from_db()
    assert job.state != State.DONE, "the moment was never reached"
    if job.state == State.RUNNING:
        assert job.lease_until < timezone.now() + LEASE
        jobs_.update(lease_until=timezone.now() - timedelta(seconds=1))
        requeue_lost_jobs()
    if job.state != State.FAILED:
        work.run(job.pk)
