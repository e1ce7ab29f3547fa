"""Hand a job to the worker."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from labelling.models import (
    Adaptation,
    BackgroundJob,
    Comparison,
    CsvImport,
    Drafting,
    Encoding,
    Measurement,
    Packing,
    Project,
    Release,
    Round,
    Unpacking,
)
from labelling.services import Refused

QUICK_LANE = "quick"

SENDING = "labelling.jobs.run_sending"
TASKS: dict[type[BackgroundJob], str] = {
    Round: "labelling.jobs.run_round",
    CsvImport: "labelling.jobs.run_import",
    Drafting: "labelling.jobs.run_drafting",
    Comparison: "labelling.jobs.run_comparison",
    Measurement: "labelling.jobs.run_measurement",
    Release: "labelling.jobs.run_release",
    Encoding: "labelling.jobs.run_encoding",
    Adaptation: "labelling.jobs.run_adaptation",
    Packing: "labelling.jobs.run_packing",
    Unpacking: "labelling.jobs.run_unpacking",
}


def is_busy(*kinds: Any, **of: Any) -> bool:
    """Whether a job of one of these models is under way, of those that fit the conditions."""
    return any(kind._default_manager.filter(state__in=BackgroundJob.ACTIVE, **of).exists() for kind in kinds)


def check_idle(project: Project, *kinds: Any) -> None:
    """Make sure that no job is under way in a project.

    Args:
        project: to be left alone.
        kinds: models of jobs that a project has.

    Raises:
        Refused: when one is.
    """
    if is_busy(*kinds, project=project):
        raise Refused(_("Something is running in this project. Wait until it has ended."))


@transaction.atomic
def enqueue(job: BackgroundJob, send: bool = True) -> None:
    """Queue a job, for the first time or again; it goes on from the step it had reached.

    Without ``send`` no worker is told: the caller runs the job itself.

    Raises:
        Refused: when somebody else has started or cancelled it since it was read.
    """
    rows = type(job)._default_manager.select_for_update().filter(pk=job.pk)
    if rows.values_list("state", flat=True).first() != job.state:
        raise Refused(_("It has changed meanwhile. Look at it again."))
    job.state = BackgroundJob.State.QUEUED
    job.error = ""
    job.attempts = 0
    job.lease = job.lease_until = job.finished_at = None
    job.queued_at = timezone.now()
    job.save()
    if send:
        notify(job)


def notify(job: BackgroundJob) -> None:
    """Tell the worker about a queued job. A message too many is harmless: only one claim succeeds.

    So is one that Redis, being away, doesn't take: a heartbeat sends it again.
    """
    transaction.on_commit(lambda: async_task(TASKS[type(job)], job.pk, cluster=lane_of(job)), robust=True)


def send() -> None:
    """Tell the worker that mails or deliveries are due. A message too many is harmless: each is claimed."""
    transaction.on_commit(lambda: async_task(SENDING, cluster=QUICK_LANE), robust=True)


def lane_of(job: BackgroundJob) -> str:
    """The name of the queue from which a job is taken."""
    return QUICK_LANE if job.is_quick else str(settings.Q_CLUSTER["name"])


def cancel(job: BackgroundJob) -> None:
    """Stop a job. A running one notices before its next write.

    Raises:
        Refused: when it has ended already.
    """
    stoppable = [*BackgroundJob.ACTIVE, BackgroundJob.State.WAITING, BackgroundJob.State.PAUSED]
    cancelled = {"state": BackgroundJob.State.CANCELLED, "lease": None, "finished_at": timezone.now()}
    if not type(job)._default_manager.filter(pk=job.pk, state__in=stoppable).update(**cancelled):
        raise Refused(_("It has ended already."))
