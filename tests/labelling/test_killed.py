"""A worker killed with SIGKILL at any step: the next one goes on, and nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import pytest
from django.db import connections, transaction
from django.utils import timezone

from labelling import jobs
from labelling.jobs.lease import Lease
from labelling.jobs.worker import requeue_lost_jobs
from labelling.models import (
    Adaptation,
    AuditDraw,
    BackgroundJob,
    CohortMember,
    CsvImport,
    Embedding,
    Encoding,
    Prediction,
    Project,
    Query,
    Round,
    TrainingExample,
    Verdict,
)
from labelling.services import adapting, encoding, imports, review, rounds
from labelling.services.claims import claim_next
from labelling.services.exports import export_lines
from labelling.services.imports import writing
from tests.conftest import some_of, stand_ins
from tests.factories import (
    csv_file,
    fruit_project,
    fruit_rows,
    import_doubtful,
    import_rows,
    make_project,
    make_user,
    numbered,
    run_round,
)
from tests.fakes import AdaptedEncoder, HashingEncoder, KnowingJudge

pytestmark = pytest.mark.django_db(transaction=True)

N_CHUNKS = 4
# Of a small round: predictions, holdout, batch, a verdict for each of the questions, and the end.
N_WRITES = 11


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def when_reporting(step: str, act: Callable[[], object]) -> Callable[[], None]:
    """Do something once, when the job has announced a step."""

    def arm() -> None:
        report = Lease.report

        def reporting(self: Lease, said: str, done: int = 0, total: int = 0) -> None:
            report(self, said, done, total)
            if said == step:
                Lease.report = report
                act()

        Lease.report = reporting

    return arm


def kill_when_reporting(step: str) -> Callable[[], None]:
    """Die when the job announces a step."""
    return when_reporting(step, die)


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


def fork(job: Callable[[], None], arm: Callable[[], None]) -> int:
    """Run a job in a process of its own, whose key is returned."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            arm()
            job()
        finally:
            os._exit(0)
    return child


def run_and_be_killed(job: Callable[[], None], arm: Callable[[], None]) -> bool:
    """Run a job in a process that kills itself; False when it ended before it came to that."""
    _, status = os.waitpid(fork(job, arm), 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def go_on(model: type[BackgroundJob], run: Callable[[int], None], pk: int) -> None:
    """What a living worker does: find the job by its expired lease, queue it again, run it."""
    model._default_manager.filter(pk=pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    requeue_lost_jobs()
    assert model._default_manager.get(pk=pk).state == "queued"
    run(pk)


def picture(project: Project, round_: Round) -> dict[str, object]:
    """Everything a round leaves behind, without keys and times."""
    return {
        "round": (round_.state, round_.training_examples, round_.pool, round_.uncertain, round_.accepted),
        "queries": list(
            Query.objects.filter(document__project=project)
            .order_by("rank", "reason", "label__name")
            .values_list("document__text", "label__name", "rank", "reason", "posterior", "gain")
        ),
        "verdicts": sorted(
            Verdict.objects.filter(query__document__project=project).values_list(
                "query__document__text", "query__label__name", "verdict"
            )
        ),
        "predictions": sorted(
            Prediction.objects.filter(document__project=project).values_list(
                "document__text", "label__name", "probability", "posterior", "gain"
            )
        ),
        "settled": sorted(
            project.settled_labels.values_list("document__text", "label__name", "source", "left_because")
        ),
        "ledger": sorted(
            CohortMember.objects.filter(settled__project=project).values_list(
                "settled__document__text", "cohort__number", "key"
            )
        ),
        "audits": list(
            AuditDraw.objects.filter(member__settled__project=project).values_list(
                "member__settled__document__text", "query__reason", "depth"
            )
        ),
        # Looking twice at the same audits is no second look.
        "certificates": set(project.certificates.values_list("n", "k", "ever", "now", "holds")),
        "examples": sorted(
            TrainingExample.objects.filter(document__project=project).values_list(
                "document__text", "label__name", "source"
            )
        ),
        "learnt": TrainingExample.objects.filter(learned_in=round_).count(),
        "queue": list(project.queue.values_list("document__text", flat=True)),
    }


STEPS = [step for step in Round.Step.values if step not in (Round.Step.FORECAST, Round.Step.GRADUATE)]
AT_STEPS = {f"at {step}": step for step in STEPS}
MOMENTS = {
    # This judge costs nothing, so nothing is forecast; the one that does is in test_paying and slow/test_judge.
    # Nor does this round end the loop: the last fit is in test_rounds.
    **{at: kill_when_reporting(step) for at, step in AT_STEPS.items()},
    **{f"in write {n}": kill_in_transaction(n) for n in range(1, N_WRITES)},
    **{f"after write {n}": kill_after_transaction(n) for n in range(1, N_WRITES)},
}
OF_AN_IMPORT = [f"{when} write {n}" for when in ("in", "after") for n in range(1, 6)]
OF_THE_LEDGER = [f"{when} write {n}" for when in ("in", "after") for n in range(1, 4)]


@pytest.fixture(autouse=True, scope="module")
def _judge_that_refuses():
    """So that questions are asked which only a refusal leads to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labelling.jobs.rounds.auditing.make_judge", lambda *arguments: KnowingJudge())
        yield


@pytest.fixture(scope="module")
def untouched_picture(django_db_setup, django_db_blocker, tmp_path_factory) -> dict[str, object]:
    """The same round without a kill."""
    with django_db_blocker.unblock(), stand_ins(tmp_path_factory.mktemp("untouched")), transaction.atomic():
        project = small_round()
        jobs.run_round(project.rounds.get().pk)
        expected = picture(project, project.rounds.get())
        assert Query.objects.filter(reason="delegated").count() >= 2, "else this proves little"
        transaction.set_rollback(True)
    return expected


def small_round() -> Project:
    project = fruit_project(judge="neighbours", batch_size=10, retrain_after=0)
    import_doubtful(project)
    rounds.start_round(project)
    return project


@pytest.mark.parametrize(
    "moment", some_of(MOMENTS, *AT_STEPS, "in write 1", "after write 1", "in write 10", "after write 10")
)
def test_a_round_killed_at_any_moment_ends_as_if_nothing_had_happened(moment, untouched_picture):
    project = small_round()
    pk = project.rounds.get().pk
    assert run_and_be_killed(lambda: jobs.run_round(pk), MOMENTS[moment]), "the moment was never reached"
    assert project.rounds.get().state == "running"
    go_on(Round, jobs.run_round, pk)
    assert picture(project, project.rounds.get()) == untouched_picture


def test_a_round_killed_at_every_step_in_turn_still_ends_well(untouched_picture):
    project = small_round()
    pk = project.rounds.get().pk
    for step in Round.Step.values:
        run_and_be_killed(lambda: jobs.run_round(pk), kill_when_reporting(step))
        Round.objects.filter(pk=pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        requeue_lost_jobs()
    jobs.run_round(pk)
    assert picture(project, project.rounds.get()) == untouched_picture


@pytest.fixture
def audited() -> Project:
    """A project whose first audits are decided, one of them an error: the next round looks, settles and draws."""
    ann, bob = make_user(), make_user()
    project = make_project(ann, [bob], retrain_after=15)
    import_rows(project, fruit_rows(n_seeds=6, n_pool=15))
    run_round(project)
    # From here on rounds start by hand.
    Project.objects.filter(pk=project.pk).update(retrain_after=0)
    project.refresh_from_db()
    (error,) = project.queue.all()[:1]
    for user in (ann, bob):
        while entry := claim_next(project, user):
            review.decide(project, entry.pk, user, "none" if entry == error else "accept")
    assert AuditDraw.objects.count() == 15
    return project


@pytest.fixture
def audited_picture(audited) -> dict[str, object]:
    """What the second round leaves behind without a kill; the project is as before."""
    model = audited.model_file.read_bytes()
    with transaction.atomic():
        expected = picture(audited, run_round(audited))
        transaction.set_rollback(True)
    audited.model_file.write_bytes(model)
    assert len(expected["certificates"]) == 1
    assert len(expected["audits"]) > 15
    assert AuditDraw.objects.count() == 15
    return expected


@pytest.mark.parametrize(
    "moment",
    some_of(["at settle", *OF_THE_LEDGER], "at settle", "in write 1", "after write 1"),
)
def test_the_ledger_is_written_once_however_often_a_round_is_killed(moment, audited, audited_picture):
    round_ = rounds.start_round(audited)
    assert run_and_be_killed(lambda: jobs.run_round(round_.pk), MOMENTS[moment]), "the moment was never reached"
    go_on(Round, jobs.run_round, round_.pk)
    round_.refresh_from_db()
    assert picture(audited, round_) == audited_picture


@pytest.mark.parametrize("moment", some_of(OF_AN_IMPORT, "in write 1", "after write 1", "in write 4", "after write 4"))
def test_an_import_killed_at_any_moment_ends_as_if_nothing_had_happened(moment, monkeypatch):
    monkeypatch.setattr(writing, "CHUNK_ROWS", len(fruit_rows()) // N_CHUNKS)
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


ENCODING_MOMENTS = {
    **{f"at {step}": kill_when_reporting(step) for step in Encoding.Step.values},
    "in the last write": kill_in_transaction(1),
    "after the last write": kill_after_transaction(1),
}


@pytest.mark.parametrize("moment", ENCODING_MOMENTS)
def test_another_encoder_is_there_once_after_a_kill(moment, settings, monkeypatch):
    encoders = {name: HashingEncoder(size) for name, size in (("hashing", 256), ("wide", 512))}
    encoders["wide"].name = "wide"
    monkeypatch.setattr("labelling.jobs.vectors.load_encoder", encoders.get)
    settings.ENCODERS = ["wide"]
    project = fruit_project(retrain_after=0)
    run_round(project)
    job = encoding.start(project, None, "wide")
    jobs.run_encoding(job.pk)
    job.refresh_from_db()
    encoding.go_on(job)
    assert run_and_be_killed(lambda: jobs.run_encoding(job.pk), ENCODING_MOMENTS[moment])
    job.refresh_from_db()
    assert (job.state == "done") == (moment == "after the last write")
    if job.state != "done":
        assert Project.objects.get().encoder == ""
        go_on(Encoding, jobs.run_encoding, job.pk)
    assert Encoding.objects.get().state == "done"
    assert Embedding.objects.filter(encoder="wide").count() == 36
    assert (Project.objects.get().encoder, project.rounds.count()) == ("wide", 2)


ADAPTING_MOMENTS = {
    **{f"at {step}": kill_when_reporting(step) for step in Adaptation.Step.values},
    "in the last write": kill_in_transaction(1),
    "after the last write": kill_after_transaction(1),
}


@pytest.mark.parametrize("moment", ADAPTING_MOMENTS)
def test_an_adapted_encoder_is_kept_once_after_a_kill(moment, monkeypatch):
    maker = AdaptedEncoder()
    monkeypatch.setattr("labelling.jobs.adapting.fine_tune", maker)
    monkeypatch.setattr("labelling.jobs.vectors.load_encoder", maker.load)
    project = make_project()
    import_rows(project, numbered(range(240)))
    job = adapting.start(project, None)
    assert run_and_be_killed(lambda: jobs.run_adaptation(job.pk), ADAPTING_MOMENTS[moment])
    job.refresh_from_db()
    assert (job.state == "done") == project.encodings.exists() == (moment == "after the last write")
    if job.state != "done":
        go_on(Adaptation, jobs.run_adaptation, job.pk)
    job.refresh_from_db()
    assert (job.state, job.is_kept) == ("done", True)
    assert [str(encoding) for encoding in project.encodings.all()] == [job.encoder]
