"""What each worker process does beside its jobs: show that it lives, and find jobs that lost their worker."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone

from labelling.models import BackgroundJob, Worker
from labelling.services import mails, queueing, webhooks

logger = logging.getLogger(__name__)

State = BackgroundJob.State

BEAT_SECONDS = 5.0
# A queued job that no idle worker picks up lost its message with a worker that was killed.
SEND_AGAIN_AFTER = timedelta(seconds=20)
# A message that is not picked up even then means that the queue between django-q2's processes is
# stuck: a worker was killed while it waited there (django-q2 issue 23). Only a new cluster helps.
STUCK_AFTER = timedelta(seconds=60)
# A message about mails and deliveries that nobody has taken up by then is sent once more.
SENDING_SECONDS = 30.0


class Heart:
    """The heartbeat of one worker process.

    Args:
        main_pid: the process to kill when the queue is stuck, so that its supervisor starts it anew.
        lane: the queue whose jobs the process works on.
    """

    def __init__(self, main_pid: int, lane: str):
        self.main_pid = main_pid
        self.lane = lane
        self.busy = False
        self.spawned_at = timezone.now()
        self._asked_at = -SENDING_SECONDS
        self._sent: set[tuple[str, int, datetime]] = set()

    def start(self) -> None:
        """Beat from now on, in a thread of its own; called in the worker process."""
        self.spawned_at = timezone.now()
        threading.Thread(target=self._beat_for_ever, name="heartbeat", daemon=True).start()

    def _beat_for_ever(self) -> None:
        while True:
            try:
                self.beat()
            except (OperationalError, InterfaceError):
                logger.warning("No heartbeat this time", exc_info=True)
                connection.close()
            time.sleep(BEAT_SECONDS)

    def beat(self) -> None:
        """Show that this process lives, and see to jobs that no process works on."""
        record_beat()
        requeue_lost_jobs()
        if not self.busy:
            for job in waiting_jobs(self.lane, longer_than=SEND_AGAIN_AFTER):
                self._send_again(job)
            if self.lane == queueing.QUICK_LANE:
                self._have_sent()
            if timezone.now() - self.spawned_at > STUCK_AFTER and waiting_jobs(self.lane, longer_than=STUCK_AFTER):
                logger.critical("Jobs wait while this worker idles: the queue is stuck. Starting over.")
                os.kill(self.main_pid, signal.SIGKILL)

    def _have_sent(self) -> None:
        """Have mails and deliveries sent that are due; not at each beat, while the message is on its way."""
        just_now = time.monotonic() - self._asked_at < SENDING_SECONDS
        if not just_now and (webhooks.due().exists() or mails.due().exists()):
            self._asked_at = time.monotonic()
            queueing.send()

    def _send_again(self, job: BackgroundJob) -> None:
        key = (type(job).__name__, job.pk, job.queued_at)
        if key not in self._sent:
            self._sent.add(key)
            queueing.notify(job)


def record_beat() -> None:
    """Record that this process lives, and forget those that no longer do."""
    Worker.objects.update_or_create(host=socket.gethostname()[:255], pid=os.getpid(), defaults={"seen_at": Now()})
    Worker.objects.filter(seen_at__lt=Now() - timedelta(hours=1)).delete()


def requeue_lost_jobs() -> None:
    """Queue again what a dead worker was working on; its lease has run out."""
    now = timezone.now()
    for model in queueing.TASKS:
        jobs = model._default_manager
        for job in jobs.filter(state=State.RUNNING, lease_until__lt=Now()):
            lost = jobs.filter(pk=job.pk, state=State.RUNNING, lease=job.lease)
            if lost.update(state=State.QUEUED, queued_at=now, lease=None):
                logger.warning("%s %s lost its worker at step %r; queued again", model.__name__, job.pk, job.step)
                queueing.notify(job)


def waiting_jobs(lane: str, longer_than: timedelta) -> list[BackgroundJob]:
    """Jobs of a lane that were queued longer ago than this and not picked up since."""
    return [
        job
        for model in queueing.TASKS
        for job in model._default_manager.filter(state=State.QUEUED, queued_at__lt=timezone.now() - longer_than)
        if queueing.lane_of(job) == lane
    ]
