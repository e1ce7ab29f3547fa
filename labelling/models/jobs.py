"""Work that the worker process does, and how the web process sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, NamedTuple

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from labelling.models.sentences import SentenceField

# A worker beats every 5 seconds (labelling/jobs/worker.py); after 15 without a beat it counts as gone.
WORKER_GONE_AFTER = timedelta(seconds=15)


class Ahead(NamedTuple):
    """How many jobs of the same lane are worked on, and how many were queued before."""

    n_running: int
    n_queued: int


class BackgroundJob(models.Model):
    """A row that a worker claims, works on, and reports to.

    Whoever holds ``lease`` until ``lease_until`` works on the job; an expired lease means that
    its worker died, and the next one goes on from ``step``.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting for you")
        QUEUED = "queued", _("Waiting for a worker")
        RUNNING = "running", _("Running")
        PAUSED = "paused", _("Paused")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    ACTIVE: ClassVar[tuple[str, ...]] = (State.QUEUED, State.RUNNING)
    # Jobs of seconds have a worker of their own: they never wait behind the rounds of other projects.
    is_quick: ClassVar[bool] = False

    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    step = models.CharField(max_length=20, blank=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    error = SentenceField(blank=True)
    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Claims since the job last got further.")
    lease = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def is_active(self) -> bool:
        return self.state in self.ACTIVE

    @property
    def ahead(self) -> Ahead:
        """What a queued job waits for, in all projects."""
        lane = [model for model in BackgroundJob.__subclasses__() if model.is_quick == self.is_quick]
        queued = models.Q(state=self.State.QUEUED, queued_at__lt=self.queued_at)
        return Ahead(
            sum(model._default_manager.filter(state=self.State.RUNNING).count() for model in lane),
            sum(model._default_manager.filter(queued).count() for model in lane),
        )

    @property
    def percent(self) -> int:
        """Share of the current step that is done, 0 to 100."""
        return min(100, round(100 * self.done / self.total)) if self.total else 0

    @property
    def is_interrupted(self) -> bool:
        """Whether the worker that held this job is gone and no other has taken it yet."""
        return self.state == self.State.RUNNING and (self.lease_until is None or self.lease_until < timezone.now())


class WorkerManager(models.Manager["Worker"]):
    def alive(self) -> models.QuerySet[Worker]:
        return self.filter(seen_at__gt=Now() - WORKER_GONE_AFTER)


class Worker(models.Model):
    """A running worker process, known by its heartbeat."""

    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    seen_at = models.DateTimeField(default=timezone.now)

    objects = WorkerManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "pid"], name="one_beat_a_worker")]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
