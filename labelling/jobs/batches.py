"""Put prompts to a language model as message batches: cheaper, but the answers may take hours.

What was submitted is in the database before anybody waits for it: a worker that goes on after a kill waits for the
same batch, and matches its answers by the calls' own ids.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from classifiers.messages_api import JudgeError, JudgeUnavailable, MessagesClient, Prompt, Reply
from labelling.jobs.calls import LOOK_SECONDS, AtCap, Outcome, Paused, Task, answer_again, close, look, pause_after
from labelling.jobs.lease import JobFailed, Lease, LeaseLost
from labelling.models import Call, MessageBatch
from labelling.models.sentences import Sentence as _
from labelling.models.sentences import said_by
from labelling.services import Refused, ledger

Key = TypeVar("Key")
Answer = TypeVar("Answer")

# The API takes up to 100,000 requests and 256 MB at once; so many are written down in a moment.
MAX_REQUESTS = 10_000
# What failed in a batch in a way that passes goes into the next one, so often.
MAX_TRIES = 3
# A call about a batch that fails in a way that passes is repeated so often in a row.
MAX_MISSES = 20
NOT_FOUND = 404


class BatchSender(Generic[Key, Answer]):
    """Sends tasks as batches and yields their outcomes when a batch has ended.

    Args:
        client: the model and where it is.
        lease: of the job that asks; its job has ``batches`` and ``project``.
    """

    def __init__(self, client: MessagesClient, lease: Lease[Any]):
        self.client, self.lease = client, lease
        self._paused: Paused | None = None
        self._stopped = ""

    def outcomes(self, tasks: Iterable[Task[Key, Answer]]) -> Generator[Outcome[Key, Answer], None, None]:
        """Send tasks.

        Raises:
            JobFailed: when nothing can be answered until somebody acts.
            Paused: at a cap, when no batch is under way any more, or when somebody asked to stop.
            LeaseLost: when the job was cancelled. In both cases the provider is asked to stop, too.
        """
        by_fingerprint = self._by_fingerprint(tasks)
        with self._connected():
            while by_fingerprint and not self._paused:
                for fingerprint, task in list(by_fingerprint.items()):
                    if again := answer_again(task, fingerprint):
                        del by_fingerprint[fingerprint]
                        yield again
                if batch := self._submit(by_fingerprint):
                    yield from self._collect(batch, by_fingerprint)
                self._stop_if_unavailable()
        if self._paused:
            raise self._paused

    def collected(self, tasks: Iterable[Task[Key, Answer]]) -> Generator[Outcome[Key, Answer], None, None]:
        """Collect what is still under way, and what came of batches that earlier rounds have left; send nothing.

        Raises as ``outcomes`` does.
        """
        batches = MessageBatch.objects.filter(project=self.lease.job.project_id, ended_at=None).order_by("pk")
        if not batches.exists():
            return
        by_fingerprint = self._by_fingerprint(tasks)
        self._drop_unsubmitted(batches.filter(remote_id=""))
        with self._connected():
            for batch in batches:
                if batch.round_id == self.lease.job.pk or self._is_over(batch):
                    yield from self._collect(batch, by_fingerprint)
        self._stop_if_unavailable()

    def _stop_if_unavailable(self) -> None:
        """Send nothing more when a batch's answers say that somebody must act first."""
        if self._stopped:
            raise JobFailed(self._stopped)

    def _by_fingerprint(self, tasks: Iterable[Task[Key, Answer]]) -> dict[str, Task[Key, Answer]]:
        return {self.client.fingerprint(task.prompt): task for task in tasks}

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            self.client.open()
            yield
        except JudgeUnavailable as error:
            raise JobFailed(said_by(error)) from error
        finally:
            self.client.close()

    def _drop_unsubmitted(self, batches: QuerySet[MessageBatch]) -> None:
        """A worker was killed while it submitted these: whether the provider took them nobody knows."""
        for batch in batches:
            ledger.lose(batch.calls.all(), _("The worker stopped while this batch was being submitted."))
            MessageBatch.objects.filter(pk=batch.pk).update(ended_at=timezone.now())

    def _submit(self, by_fingerprint: dict[str, Task[Key, Answer]]) -> MessageBatch | None:
        """Write down as many calls as the budget allows, and send them."""
        batch, prompts = self._write_down(by_fingerprint)
        if not prompts:
            return None
        try:
            remote_id = self._sent(prompts)
        except (JudgeError, JudgeUnavailable) as error:
            self._not_taken(batch, error)
            raise JobFailed(said_by(error)) from error
        except (LeaseLost, Paused):
            self._not_taken(batch, JudgeError(_("The round was stopped before this batch was submitted.")))
            raise
        MessageBatch.objects.filter(pk=batch.pk).update(remote_id=remote_id, submitted_at=timezone.now())
        batch.remote_id = remote_id
        return batch

    def _sent(self, prompts: dict[str, Prompt]) -> str:
        tries = 0
        while True:
            try:
                return self.client.send_batch(prompts)
            except JudgeError as error:
                # One that may have been taken is not sent twice.
                if error.usage is None:
                    raise
                tries += 1
                self._rest_after(error, tries)

    def _write_down(self, by_fingerprint: dict[str, Task[Key, Answer]]) -> tuple[MessageBatch, dict[str, Prompt]]:
        prompts: dict[str, Prompt] = {}
        job = self.lease.job
        batch = MessageBatch.objects.create(project_id=job.project_id, round=job)
        for fingerprint, task in islice(by_fingerprint.items(), MAX_REQUESTS):
            row = task.row()
            row.model, row.fingerprint, row.batch = self.client.model, fingerprint, batch
            try:
                call = ledger.reserve(row, task.prompt.most_input_tokens, task.prompt.max_tokens, in_batch=True)
            except ledger.OverBudget as refusal:
                self._paused = None if prompts else AtCap(said_by(refusal))
                break
            except Refused as refusal:
                raise JobFailed(said_by(refusal)) from refusal
            task.tries += 1
            prompts[str(call.pk)] = task.prompt
        if not prompts:
            batch.delete()
        return batch, prompts

    def _not_taken(self, batch: MessageBatch, error: JudgeError | JudgeUnavailable) -> None:
        if isinstance(error, JudgeError) and error.usage is None:
            ledger.lose(batch.calls.all(), said_by(error))
        else:
            for call in batch.calls.all():
                ledger.finish(call, {}, error=said_by(error))
        MessageBatch.objects.filter(pk=batch.pk).update(ended_at=timezone.now())

    def _collect(
        self, batch: MessageBatch, by_fingerprint: dict[str, Task[Key, Answer]]
    ) -> Iterator[Outcome[Key, Answer]]:
        """Wait for a batch to end, and yield what came of each of its calls."""
        calls = {str(call.pk): call for call in batch.calls.filter(state=Call.State.IN_FLIGHT)}
        silence: str = _("The batch ended without a word about this question.")
        try:
            self._wait(batch)
            yield from self._matched(batch, calls, by_fingerprint)
        except JudgeError as error:
            if error.status != NOT_FOUND:
                unseen = _("The message batch can't be looked at: %(reason)s") % {"reason": said_by(error)}
                raise JobFailed(unseen) from error
            silence = said_by(error)
        for call in calls.values():
            task = by_fingerprint.get(call.fingerprint)
            if task and task.tries >= MAX_TRIES:
                del by_fingerprint[call.fingerprint]
                yield Outcome(task.key, call, None, JudgeError(silence, usage=None))
        ledger.lose(batch.calls.all(), silence)
        MessageBatch.objects.filter(pk=batch.pk).update(ended_at=timezone.now())

    def _matched(
        self, batch: MessageBatch, calls: dict[str, Call], by_fingerprint: dict[str, Task[Key, Answer]]
    ) -> Iterator[Outcome[Key, Answer]]:
        """Take out of the calls those that have a result, and yield what came of them for their tasks."""
        for custom_id, result in self._results(batch):
            call = calls.pop(custom_id, None)
            # Recorded before a kill, or no call of ours.
            if call is None:
                continue
            if isinstance(result, JudgeUnavailable):
                ledger.finish(call, {}, error=said_by(result))
                self._stopped = said_by(result)
                continue
            task = by_fingerprint.get(call.fingerprint)
            again = task and isinstance(result, JudgeError) and result.passing and task.tries < MAX_TRIES
            if task is None or again:
                # Its question was withdrawn or is put otherwise by now, and the ledger keeps the answer; or there
                # is none yet, and the next batch asks again.
                _close_unread(call, result)
                continue
            del by_fingerprint[call.fingerprint]
            yield _outcome(task, call, result)

    def _results(self, batch: MessageBatch) -> Iterator[tuple[str, Reply | JudgeError | JudgeUnavailable]]:
        """All results, from the first one again when they break off."""
        misses = 0
        while True:
            try:
                yield from self.client.batch_results(batch.remote_id)
            except JudgeError as error:
                misses += 1
                self._rest_after(error, misses)
            else:
                return

    def _rest_after(self, error: JudgeError, tries: int) -> None:
        if not error.passing or tries > MAX_MISSES:
            raise error
        until = time.monotonic() + max(error.wait or 0.0, pause_after(tries))
        while (left := until - time.monotonic()) > 0:
            look(self.lease)
            time.sleep(min(LOOK_SECONDS, left))

    def _is_over(self, batch: MessageBatch) -> bool:
        """Whether an earlier round's batch has ended, or is known to nobody; it is not waited for."""
        try:
            return self.client.batch_state(batch.remote_id).ended
        except JudgeError as error:
            return error.status == NOT_FOUND

    def _wait(self, batch: MessageBatch) -> None:
        misses, next_look = 0, 0.0
        while True:
            try:
                look(self.lease)
            except (LeaseLost, Paused):
                self._cancel(batch)
                raise
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + settings.JUDGE_BATCH_POLL_SECONDS
                try:
                    if self.client.batch_state(batch.remote_id).ended:
                        return
                    misses = 0
                except JudgeError as error:
                    misses += 1
                    if misses > MAX_MISSES or not error.passing:
                        raise
            time.sleep(min(LOOK_SECONDS, settings.JUDGE_BATCH_POLL_SECONDS))

    def _cancel(self, batch: MessageBatch) -> None:
        """Ask the provider to stop. What it has answered by then is collected when the round goes on."""
        try:
            self.client.cancel_batch(batch.remote_id)
        except (JudgeError, JudgeUnavailable):
            return


def _outcome(task: Task[Key, Answer], call: Call, result: Reply | JudgeError) -> Outcome[Key, Answer]:
    if isinstance(result, JudgeError):
        return Outcome(task.key, call, None, result)
    try:
        return Outcome(task.key, call, result, task.read(result))
    except JudgeError as error:
        return Outcome(task.key, call, None, error)


def _close_unread(call: Call, result: Reply | JudgeError) -> None:
    if isinstance(result, JudgeError):
        close(call, None, result)
    else:
        close(call, result)
