"""Only one worker works on a job, and a dead worker's job is found.

A claim is a compare-and-set on the job's row that leaves a token and an expiry there. A thread
renews the expiry while the job runs. Every write of the job first makes sure that the token is
still its own, so a worker that was given up for dead, or whose job was cancelled, changes nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Generic, TypeVar
from uuid import uuid4

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from labelling.csv_io.formats import NotCsv
from labelling.models import BackgroundJob
from labelling.models.sentences import Sentence as _
from labelling.models.sentences import said_by
from labelling.services import Refused, notices
from labelling.services.operations import NO_ROOM, NOT_THERE, NOT_WRITABLE

logger = logging.getLogger(__name__)

State = BackgroundJob.State
Job = TypeVar("Job", bound=BackgroundJob)

LEASE = timedelta(seconds=30)
RENEW_SECONDS = 5.0
REPORT_SECONDS = 0.5
# A job that kills its worker this often without getting further (out of memory, say) would do so for ever.
MAX_ATTEMPTS = 10
# What the database says when it can't be reached: nothing of the job's own doing.
LOST = (OperationalError, InterfaceError)


class LeaseLost(Exception):
    """The job was cancelled, or another worker has taken it over: stop without a trace."""


class JobFailed(Exception):
    """The job can't go on. The message says why and what to do, for people."""


class Lease(Generic[Job]):
    """The right to work on a job, and the way to report on it."""

    def __init__(self, job: Job):
        self.job = job
        self._reported_at = 0.0

    def report(self, step: str, done: int = 0, total: int = 0) -> None:
        """Show how far the job is; written at most twice a second, except when the step changes.

        Raises:
            LeaseLost: when the job is no longer ours.
        """
        entered = step != self.job.step
        recently = done < total and time.monotonic() - self._reported_at < REPORT_SECONDS
        if not entered and (recently or done == self.job.done):
            return
        self._reported_at = time.monotonic()
        self.update(step=step, done=done, total=total)

    def got_further(self) -> None:
        """Forgive earlier deaths: something is written for good, and the next worker starts behind it."""
        if self.job.attempts > 1:
            self.update(attempts=1)

    def update(self, **values: object) -> None:
        """Write to the job's row.

        Raises:
            LeaseLost: when the job is no longer ours.
        """
        if not self.rows().update(**values):
            raise LeaseLost
        for name, value in values.items():
            setattr(self.job, name, value)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction that commits only while the job is ours.

        Raises:
            LeaseLost: when it is not.
        """
        with transaction.atomic():
            if not self.rows().select_for_update().exists():
                raise LeaseLost
            yield

    def finish(self, state: str, **values: object) -> None:
        """Record how the job ended and let go of it."""
        self.update(state=state, finished_at=timezone.now(), lease_until=None, **values)

    def renew(self) -> None:
        self.rows().update(lease_until=Now() + LEASE)

    def rows(self) -> QuerySet[Job]:
        """The job's row while it is ours, else nothing."""
        return type(self.job)._default_manager.filter(pk=self.job.pk, lease=self.job.lease, state=State.RUNNING)


@contextmanager
def hold(model: type[Job], pk: int) -> Iterator[Lease[Job] | None]:
    """Claim a job and hold it to the end of the block; None when it is not to be had.

    An error is recorded on the job in words for people and raised again. Where the database was lost, nothing can be
    written, or a file is not there, the job is given back: a worker goes on with it in a while. A file is looked for
    MAX_ATTEMPTS times, which takes some four minutes.
    """
    lease = _claim(model, pk)
    if lease is None:
        yield None
        return
    with _renewing(lease):
        try:
            yield lease
        except LeaseLost:
            logger.info("%s %s was cancelled or taken over", model.__name__, pk)
        except (JobFailed, NotCsv, Refused) as error:
            _fail(lease, said_by(error))
            raise
        except LOST as error:
            logger.warning("The database was lost in job %s; giving it back", pk, exc_info=True)
            connection.close()
            _give_back(lease, str(error)[:500])
            raise
        except OSError as error:
            if error.errno in NO_ROOM + NOT_WRITABLE:
                _give_back(lease, _what_to_do(error), attempts=F("attempts") - 1)
            elif error.errno in NOT_THERE and lease.job.attempts < MAX_ATTEMPTS:
                _give_back(lease, _not_there(error))
            else:
                _fail(lease, _unexpected(error))
            raise
        except Exception as error:
            _fail(lease, _unexpected(error))
            raise
        except SystemExit:
            # The worker is being stopped: leave the job to the next one, at once.
            _give_back(lease, attempts=F("attempts") - 1)
            raise


def _claim(model: type[Job], pk: int) -> Lease[Job] | None:
    # The database's clock alone counts: machines' own differ.
    now = Now()
    free = Q(state=State.QUEUED) | Q(state=State.RUNNING, lease_until__lt=now)
    claimed = model._default_manager.filter(free, pk=pk).update(
        state=State.RUNNING,
        lease=(token := uuid4()),
        lease_until=now + LEASE,
        started_at=Coalesce("started_at", now),
        error="",
        attempts=F("attempts") + 1,
    )
    if not claimed:
        return None
    lease = Lease(model._default_manager.get(pk=pk))
    if lease.job.lease != token:
        return None
    if lease.job.attempts > MAX_ATTEMPTS:
        died = _("The worker died %(n)s times at the same place, perhaps for lack of memory. See its log.")
        _fail(lease, died % {"n": MAX_ATTEMPTS})
        return None
    return lease


def _give_back(lease: Lease[Job], why: str = "", **values: object) -> None:
    """Queue a job again; a heartbeat sends it once it has waited. Without a database the lease runs out by itself."""
    queued = {"state": State.QUEUED, "lease": None, "lease_until": None, "queued_at": timezone.now()}
    try:
        lease.rows().update(**queued, error=why, **values)
    except LOST:
        logger.warning("Job %s could not be given back: its lease runs out", lease.job.pk)


def _what_to_do(error: OSError) -> str:
    told = {"reason": error.strerror}
    return _("The worker can't write files (%(reason)s). Make room on its disk: it tries again by itself.") % told


def _not_there(error: OSError) -> str:
    told = {"reason": error.strerror, "n": MAX_ATTEMPTS}
    return _("The worker can't read a file (%(reason)s). It looks for it again by itself, up to %(n)s times.") % told


def _unexpected(error: Exception) -> str:
    told = {"kind": type(error).__name__, "error": str(error)}
    return _("Unexpected error: %(kind)s: %(error)s. The worker's log has the details.") % told


@transaction.atomic
def _fail(lease: Lease, message: str) -> None:
    failed = {"state": State.FAILED, "error": message, "finished_at": timezone.now(), "lease_until": None}
    if lease.rows().update(**failed):
        notices.tell_of_failure(lease.job)


@contextmanager
def _renewing(lease: Lease) -> Iterator[None]:
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_SECONDS):
            try:
                lease.renew()
            except LOST:
                logger.warning("Lease of job %s not renewed; trying again", lease.job.pk, exc_info=True)
                # Opened anew the next time.
                connection.close()
        connection.close()

    thread = threading.Thread(target=renew, name=f"lease-{lease.job.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
