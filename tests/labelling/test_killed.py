"""A worker killed with SIGKILL at any step: the next one goes on, and nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import pytest
from django.db import connections
from django.utils import timezone

from labelling import jobs
from labelling.jobs.lease import Lease
from labelling.jobs.worker import requeue_lost_jobs
from labelling.models import (
    Audit,
    BackgroundJob,
    CsvImport,
    Prediction,
    Project,
    Query,
    Round,
    TrainingExample,
    Verdict,
)
from labelling.services import imports, rounds
from labelling.services.exports import export_lines
from tests.factories import csv_file, fruit_project, fruit_rows, import_doubtful, make_project
from tests.fakes import KnowingJudge

pytestmark = pytest.mark.django_db(transaction=True)

N_CHUNKS = 4
# Of a small round: predictions, holdout, batch, a verdict for each of the questions, and the end.
N_WRITES = 11


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_when_reporting(step: str) -> Callable[[], None]:
    """Die when the job announces a step."""

    def arm() -> None:
        report = Lease.report

        def dying(self: Lease, said: str, done: int = 0, total: int = 0) -> None:
            report(self, said, done, total)
            if said == step:
                die()

        Lease.report = dying

    return arm


def kill_in_transaction(number: int) -> Callable[[], None]:
    """Die with everything of the n-th write done and nothing of it committed."""

    def arm() -> None:
        begin = Lease.transaction
        seen = 0

        @contextmanager
        def dying(self: Lease):
            nonlocal seen
            seen += 1
            with begin(self):
                yield
                if seen == number:
                    die()

        Lease.transaction = dying

    return arm


def kill_after_transaction(number: int) -> Callable[[], None]:
    """Die right after the n-th write was committed."""

    def arm() -> None:
        begin = Lease.transaction
        seen = 0

        @contextmanager
        def dying(self: Lease):
            nonlocal seen
            seen += 1
            with begin(self):
                yield
            if seen == number:
                die()

        Lease.transaction = dying

    return arm


def run_and_be_killed(job: Callable[[], None], arm: Callable[[], None]) -> bool:
    """Run a job in a process that kills itself; False when it ended before it came to that."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            arm()
            job()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def go_on(model: type[BackgroundJob], run: Callable[[int], None], pk: int) -> None:
    """What a living worker does: find the job by its expired lease, queue it again, run it."""
    model._default_manager.filter(pk=pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    requeue_lost_jobs()
    assert model._default_manager.get(pk=pk).state == "queued"
    run(pk)


def picture(project: Project) -> dict[str, object]:
    """Everything a round leaves behind, without keys and times."""
    round_ = project.rounds.get()
    return {
        "round": (round_.state, round_.training_examples, round_.pool, round_.uncertain, round_.accepted),
        "queries": list(
            Query.objects.order_by("rank", "reason", "label__name").values_list(
                "document__text", "label__name", "rank", "reason", "posterior", "gain"
            )
        ),
        "verdicts": sorted(Verdict.objects.values_list("query__document__text", "query__label__name", "verdict")),
        "predictions": sorted(
            Prediction.objects.values_list("document__text", "label__name", "probability", "posterior", "gain")
        ),
        "audits": sorted(Audit.objects.values_list("query__document__text", "posterior")),
        "examples": sorted(TrainingExample.objects.values_list("document__text", "label__name", "source")),
        "learnt": TrainingExample.objects.filter(learned_in=round_).count(),
        "queue": list(project.queue.values_list("document__text", flat=True)),
    }


STEPS = [step for step in Round.Step.values if step not in (Round.Step.FORECAST, Round.Step.GRADUATE)]
MOMENTS = {
    # This judge costs nothing, so nothing is forecast; the one that does is in test_paying and slow/test_judge.
    # Nor does this round end the loop: the last fit is in test_rounds.
    **{f"at {step}": kill_when_reporting(step) for step in STEPS},
    **{f"in write {n}": kill_in_transaction(n) for n in range(1, N_WRITES)},
    **{f"after write {n}": kill_after_transaction(n) for n in range(1, N_WRITES)},
}


@pytest.fixture(autouse=True)
def _judge_that_refuses(monkeypatch):
    """So that questions are asked which only a refusal leads to."""
    monkeypatch.setattr("labelling.jobs.rounds.auditing.make_judge", lambda *arguments: KnowingJudge())


@pytest.fixture
def untouched_picture():
    """The same round without a kill."""
    project = small_round()
    jobs.run_round(project.rounds.get().pk)
    expected = picture(project)
    assert Query.objects.filter(reason="delegated").count() >= 2, "else this proves little"
    project.documents.all().delete()
    project.delete()
    return expected


def small_round() -> Project:
    project = fruit_project(batch_size=5, auto_accept="threshold", retrain_after=0, audit_share=0.2)
    import_doubtful(project)
    rounds.start_round(project)
    return project


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_round_killed_at_any_moment_ends_as_if_nothing_had_happened(moment, untouched_picture):
    project = small_round()
    pk = project.rounds.get().pk
    assert run_and_be_killed(lambda: jobs.run_round(pk), MOMENTS[moment]), "the moment was never reached"
    assert project.rounds.get().state == "running"
    go_on(Round, jobs.run_round, pk)
    assert picture(project) == untouched_picture


def test_a_round_killed_at_every_step_in_turn_still_ends_well(untouched_picture):
    project = small_round()
    pk = project.rounds.get().pk
    for step in Round.Step.values:
        run_and_be_killed(lambda: jobs.run_round(pk), kill_when_reporting(step))
        Round.objects.filter(pk=pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        requeue_lost_jobs()
    jobs.run_round(pk)
    assert picture(project) == untouched_picture


@pytest.mark.parametrize(
    "moment", [*(f"in write {n}" for n in range(1, 6)), *(f"after write {n}" for n in range(1, 6))]
)
def test_an_import_killed_at_any_moment_ends_as_if_nothing_had_happened(moment, monkeypatch):
    monkeypatch.setattr(imports, "CHUNK_ROWS", len(fruit_rows()) // N_CHUNKS)
    exports = []
    for killed in (False, True):
        project = make_project()
        csv_import = imports.upload(project, csv_file(fruit_rows()), user=None)
        csv_import.holdout_percent = 25
        imports.start_here(csv_import)
        if killed:
            assert run_and_be_killed(partial(jobs.run_import, csv_import.pk), MOMENTS[moment])
            go_on(CsvImport, jobs.run_import, csv_import.pk)
        else:
            jobs.run_import(csv_import.pk)
        csv_import.refresh_from_db()
        rows = sorted(line.split(",", 1)[1] for line in export_lines(project))
        exports.append(
            (
                csv_import.state,
                csv_import.counts,
                rows,
                TrainingExample.objects.filter(document__project=project).count(),
            )
        )
    assert exports[0] == exports[1]
