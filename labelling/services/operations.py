"""How the installation is: for supervisors, staff, and whoever draws it on a wall."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from labelling.models import BackgroundJob, Worker
from labelling.services.queueing import TASKS

# With less room nothing larger than a form can be kept.
LEAST_FREE_BYTES = 100 * 2**20
# Why a file can't be written: no room, for the disk or for whoever writes, or no right to.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
# Why one can't be read that may be there again in a while: its disk is being mounted, a backup is being put back.
NOT_THERE = (errno.ENOENT, errno.ESTALE, errno.EIO)


@dataclass(frozen=True)
class Health:
    """What works, and how much waits.

    Attributes:
        database: whether it answers.
        workers: processes that beat.
        jobs: by kind and state, those that are queued or running.
        waits_since: when the oldest queued job was queued.
        free_bytes: where files are kept; -1 where that can't be told.
    """

    database: bool
    workers: int = 0
    jobs: Counter[tuple[str, str]] = field(default_factory=Counter)
    waits_since: datetime | None = None
    free_bytes: int = -1

    @property
    def answers(self) -> bool:
        """Whether people can work: without a worker they can still review."""
        return self.database and self.free_bytes >= LEAST_FREE_BYTES

    @property
    def seconds_waiting(self) -> float:
        return max(0.0, (timezone.now() - self.waits_since).total_seconds()) if self.waits_since else 0.0


def look() -> Health:
    """Look at database, workers, queue and disk; none of them being away is an error here."""
    free = _free_bytes(Path(settings.MEDIA_ROOT))
    try:
        jobs, oldest = _jobs()
        return Health(True, Worker.objects.alive().count(), jobs, oldest, free)
    except (DatabaseError, InterfaceError):
        connection.close()
        return Health(False, free_bytes=free)


def metrics() -> bytes:
    """What Prometheus reads."""
    health, registry = look(), CollectorRegistry()
    Gauge("red_database_up", "Whether the database answers.", registry=registry).set(health.database)
    Gauge("red_workers", "Worker processes that beat.", registry=registry).set(health.workers)
    Gauge("red_disk_free_bytes", "Where files are kept.", registry=registry).set(health.free_bytes)
    Gauge("red_oldest_job_seconds", "How long the oldest job waits.", registry=registry).set(health.seconds_waiting)
    jobs = Gauge("red_jobs", "Jobs by kind and state.", ["kind", "state"], registry=registry)
    for model in TASKS:
        for state in BackgroundJob.ACTIVE:
            kind = model.__name__.lower()
            jobs.labels(kind, state).set(health.jobs[kind, state])
    return generate_latest(registry)


def _jobs() -> tuple[Counter[tuple[str, str]], datetime | None]:
    counts: Counter[tuple[str, str]] = Counter()
    oldest = []
    for model in TASKS:
        active = model._default_manager.filter(state__in=BackgroundJob.ACTIVE).order_by()
        for state, n, since in active.values_list("state").annotate(Count("pk"), Min("queued_at")):
            counts[model.__name__.lower(), state] = n
            if state == BackgroundJob.State.QUEUED:
                oldest.append(since)
    return counts, min(oldest, default=None)


def _free_bytes(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return -1
