"""Put prompts to a language model: side by side, within the budget, each call in the ledger, each failure in its place.

The row of a call is written before it leaves, and finished by whoever records what came of it, in the same
transaction. So after a kill every call is either finished or found "in flight", and written off as lost.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from django.conf import settings

from classifiers.messages_api import JudgeError, JudgeUnavailable, MessagesClient, Prompt, Reply
from labelling.jobs.lease import JobFailed, Lease, LeaseLost
from labelling.models import Call
from labelling.models.sentences import Sentence as _
from labelling.models.sentences import said_by
from labelling.services import Refused, ledger

logger = logging.getLogger(__name__)

# A call that fails in a way that passes is repeated, at most so often, after a pause that doubles each time.
MAX_TRIES = 7
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
# A server that nothing was heard of for so many calls in a row and so many seconds is given up.
SILENT_CALLS = 10
SILENT_SECONDS = 20.0
# So many paid answers that can't be used, all for one reason and not one that can: those to come will be the same.
EQUAL_FAILURES = 20
# How often to look whether the job was stopped, and how long to wait then for calls that are on their way.
LOOK_SECONDS = 0.5
GRACE_SECONDS = 3.0

Key = TypeVar("Key")
Answer = TypeVar("Answer")


class Paused(Exception):
    """Somebody asked to stop, or see below. The message says so, and what to do."""


class AtCap(Paused):
    """A cap is reached."""


class JudgeFails(Paused):
    """What the judge answers is of no use."""


@dataclass
class Task(Generic[Key, Answer]):
    """One question.

    Attributes:
        key: what it is about, for whoever asks.
        prompt: what is sent.
        row: its line in the ledger, unsaved.
        read: turns the reply into an answer; raises JudgeError for one that can't be used.
        tries: calls made for it so far.
        due: time.monotonic() before which it must not be sent.
    """

    key: Key
    prompt: Prompt
    row: Callable[[], Call]
    read: Callable[[Reply], Answer]
    tries: int = 0
    due: float = 0.0


@dataclass(frozen=True)
class Outcome(Generic[Key, Answer]):
    """What came of a question, for good.

    Attributes:
        key: of its task.
        call: its row in the ledger. To be closed with ``close`` by whoever records the answer, unless ``reused``.
        reply: what was said; None when it failed.
        result: the answer, or why there is none.
        reused: the very same question had been answered before, and nothing was sent.
    """

    key: Key
    call: Call
    reply: Reply | None
    result: Answer | JudgeError
    reused: bool = False

    def close(self) -> None:
        """Write into the ledger what the call took."""
        if not self.reused:
            close(self.call, self.reply, self.result if isinstance(self.result, JudgeError) else None)


def close(call: Call, reply: Reply | None, error: JudgeError | None = None) -> None:
    """Finish a call's row: with its answer, with its failure, or as lost where nobody knows what it took."""
    if error is not None and error.usage is None:
        ledger.lose(Call.objects.filter(pk=call.pk), said_by(error))
    elif error is not None and error.usage is not None:
        ledger.finish(call, asdict(error.usage), error=said_by(error), request_id=error.request_id)
    elif reply is not None:
        ledger.finish(
            call,
            asdict(reply.usage),
            answer=dict(reply.said),
            request_id=reply.request_id,
            latency=reply.latency,
            answered_by=reply.model,
        )


def answer_again(task: Task[Key, Answer], fingerprint: str) -> Outcome[Key, Answer] | None:
    """The answer to a question that was put in the very same words before; None when there is none of use."""
    known = ledger.answered(fingerprint)
    if known is None or known.answer is None:
        return None
    reply = Reply(known.answer, known.answered_by, known.request_id)
    try:
        return Outcome(task.key, known, reply, task.read(reply), reused=True)
    except JudgeError:
        # Kept without being read, because nobody waited for it any more.
        return None


@contextmanager
def kept(lease: Lease[Any], outcome: Outcome) -> Iterator[None]:
    """Record an outcome and close its call, both or neither.

    What was paid for is kept in the ledger even when the job was stopped meanwhile: asked again, it is answered from
    there.
    """
    try:
        with lease.transaction():
            outcome.close()
            yield
    except LeaseLost:
        outcome.close()
        raise


def look(lease: Lease[Any]) -> None:
    """Stop when somebody wants it.

    Raises:
        LeaseLost: when the job was cancelled, or another worker has it.
        Paused: when somebody asked to stop asking.
    """
    job = lease.rows().first()
    if job is None:
        raise LeaseLost
    # Rounds can be stopped and keep what they have; other jobs are cancelled.
    if getattr(job, "stop_asked_at", None):
        raise Paused(_("Stopped by a manager before all was asked."))


class Sender(Generic[Key, Answer]):
    """Sends tasks and yields their outcomes as they arrive.

    Args:
        client: one for all threads.
        lease: of the round that asks; its loss, or the wish to stop, ends everything within seconds.
        concurrency: calls at the same time, at most.
    """

    def __init__(self, client: MessagesClient, lease: Lease[Any], concurrency: int | None = None):
        self.client, self.lease = client, lease
        self.concurrency = concurrency or settings.JUDGE_CONCURRENCY
        self._flying: dict[Future[tuple[Reply, Answer]], tuple[Task[Key, Answer], Call]] = {}
        self._waiting: deque[Task[Key, Answer]] = deque()
        # System prompts that are in the provider's cache by now, and those that a first call is putting there.
        self._warm: set[str] = set()
        self._warming: set[str] = set()
        self._stopped = ""
        self._paused: Paused | None = None
        self._full = False
        self._hold_until = self._looked_at = 0.0
        self._limited = self._unheard = self._equal = 0
        self._failure: str | None = ""
        self._heard_at = time.monotonic()
        self._leave_at: float | None = None

    def outcomes(self, tasks: Iterable[Task[Key, Answer]]) -> Generator[Outcome[Key, Answer], None, None]:
        """Send tasks in their order, as far as it goes.

        Raises:
            JobFailed: when nothing can be answered until somebody acts.
            Paused: at a cap, when nothing is in flight any more, or when somebody asked to stop.
            LeaseLost: when the job was cancelled.
        """
        try:
            self.client.open()
        except JudgeUnavailable as error:
            raise JobFailed(said_by(error)) from error
        source = iter(tasks)
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="judge")
        try:
            while self._refill(source) or self._flying:
                self._look()
                yield from self._launch(pool)
                yield from self._land()
                if self._is_over():
                    break
        finally:
            self._give_up()
            pool.shutdown(wait=False, cancel_futures=True)
            self.client.close()
        if self._stopped:
            raise JobFailed(self._stopped)
        if self._paused:
            raise self._paused

    def _is_over(self) -> bool:
        """Whether nothing more comes: at a cap all calls are waited for, after a stop those that come soon."""
        if self._stopped and self._leave_at is None:
            self._leave_at = time.monotonic() + GRACE_SECONDS
        late = self._leave_at is not None and time.monotonic() > self._leave_at
        return late or (not self._flying and bool(self._stopped or self._paused))

    def _refill(self, source: Iterator[Task[Key, Answer]]) -> bool:
        """Keep enough tasks at hand to choose among; whether there are any."""
        while len(self._waiting) < 4 * self.concurrency and (task := next(source, None)):
            self._waiting.append(task)
        return bool(self._waiting)

    def _look(self) -> None:
        """See, every now and then, whether the job is still ours and goes on."""
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._looked_at = time.monotonic()
            look(self.lease)

    def _launch(self, pool: ThreadPoolExecutor) -> Iterator[Outcome[Key, Answer]]:
        """Send what may be sent now; yield what needs no sending."""
        while len(self._flying) < self.concurrency and not (self._stopped or self._paused or self._full):
            task = self._next_due()
            if task is None:
                return
            fingerprint = self.client.fingerprint(task.prompt)
            if again := answer_again(task, fingerprint):
                self._waiting.remove(task)
                yield again
                continue
            call = self._reserve(task, fingerprint)
            if call is None:
                return
            self._waiting.remove(task)
            task.tries += 1
            if task.prompt.system not in self._warm:
                self._warming.add(task.prompt.system)
            self._flying[pool.submit(self._call, task)] = (task, call)

    def _next_due(self) -> Task[Key, Answer] | None:
        """The first task that is due and whose system prompt no other call is putting into the cache right now."""
        now = time.monotonic()
        if now < self._hold_until:
            return None
        ready = (task for task in self._waiting if task.due <= now and task.prompt.system not in self._warming)
        return next(ready, None)

    def _reserve(self, task: Task[Key, Answer], fingerprint: str) -> Call | None:
        """Write the call's row; None when the budget has no room for it, at least not yet."""
        row = task.row()
        row.model, row.fingerprint = self.client.model, fingerprint
        try:
            return ledger.reserve(row, task.prompt.most_input_tokens, task.prompt.max_tokens)
        except ledger.OverBudget as refusal:
            # What is in flight may cost less than feared.
            self._full = bool(self._flying)
            self._paused = None if self._full else AtCap(said_by(refusal))
        except Refused as refusal:
            self._stopped = said_by(refusal)
        return None

    def _call(self, task: Task[Key, Answer]) -> tuple[Reply, Answer]:
        reply = self.client.call(task.prompt)
        return reply, task.read(reply)

    def _land(self) -> Iterator[Outcome[Key, Answer]]:
        """Wait a little for calls to come back, and yield those that are settled."""
        if not self._flying:
            time.sleep(self._pause())
            return
        landed, _missing = wait(self._flying, timeout=self._pause(), return_when=FIRST_COMPLETED)
        for future in landed:
            task, call = self._flying.pop(future)
            self._full = False
            self._warming.discard(task.prompt.system)
            outcome = self._outcome(future, task, call)
            if outcome:
                yield outcome

    def _outcome(self, future: Future, task: Task[Key, Answer], call: Call) -> Outcome[Key, Answer] | None:
        """What came of a call; None when its question will be put again, or nothing can be answered any more."""
        error = future.exception()
        if error is None:
            self._hear(task)
            self._failure = None
            reply, answer = future.result()
            return Outcome(task.key, call, reply, answer)
        if isinstance(error, JudgeUnavailable):
            ledger.finish(call, {}, error=said_by(error))
            self._stopped = said_by(error)
            return None
        if not isinstance(error, JudgeError):
            ledger.lose(Call.objects.filter(pk=call.pk), f"{type(error).__name__}: {error}")
            raise error
        self._heed(error, task)
        if error.passing and task.tries < MAX_TRIES and not self._stopped:
            close(call, None, error)
            task.due = time.monotonic() + max(error.wait or 0.0, pause_after(task.tries))
            self._waiting.appendleft(task)
            return None
        self._count_failure(said_by(error))
        return Outcome(task.key, call, None, error)

    def _count_failure(self, reason: str) -> None:
        """Pause when all that comes back is of no use, for one reason."""
        if self._failure is None:
            return
        self._equal = self._equal + 1 if reason == self._failure else 1
        self._failure = reason
        if self._equal >= EQUAL_FAILURES:
            told = _("%(n)s questions in a row got no verdict, all for one reason: %(reason)s")
            self._paused = JudgeFails(told % {"n": self._equal, "reason": reason})

    def _hear(self, task: Task[Key, Answer]) -> None:
        self._warm.add(task.prompt.system)
        self._limited = self._unheard = 0
        self._heard_at = time.monotonic()

    def _heed(self, error: JudgeError, task: Task[Key, Answer]) -> None:
        """Slow down when the rate limit is hit again and again; stop when the server is silent."""
        if error.status is None:
            self._unheard += 1
            silent = time.monotonic() - self._heard_at
            if self._unheard >= SILENT_CALLS and silent >= SILENT_SECONDS:
                self._stopped = _(
                    "Nothing was heard from the judge for %(seconds)s seconds and %(n)s calls in a row: see whether "
                    "its server runs and can be reached, then go on."
                ) % {"seconds": round(silent), "n": self._unheard}
            return
        limited = self._limited + 1 if error.status == 429 else 0
        self._hear(task) if error.status == 200 else None
        self._limited, self._unheard, self._heard_at = limited, 0, time.monotonic()
        if limited > 1:
            # One call may be unlucky; two in a row are everybody's limit.
            self._hold_until = time.monotonic() + (error.wait or FIRST_PAUSE)

    def _pause(self) -> float:
        """Seconds to wait for something to happen: until a task is due, and not longer than between two looks."""
        if len(self._flying) >= self.concurrency or not self._waiting:
            return LOOK_SECONDS
        due = max(min(task.due for task in self._waiting), self._hold_until) - time.monotonic()
        # What is due may still wait for the cache or the budget, and those for a call to land.
        return min(max(due, 0.01), LOOK_SECONDS) if due > 0 or not self._flying else LOOK_SECONDS

    def _give_up(self) -> None:
        """Let calls on their way arrive for a moment, for the ledger; write the others off."""
        if not self._flying:
            return
        landed, _missing = wait(self._flying, timeout=0 if self._leave_at else GRACE_SECONDS)
        for future, (_task, call) in self._flying.items():
            if future not in landed:
                ledger.lose(Call.objects.filter(pk=call.pk), _("The round was stopped while this call was in flight."))
                continue
            error = future.exception()
            if isinstance(error, JudgeError):
                close(call, None, error)
            elif error is None:
                close(call, future.result()[0])
            elif isinstance(error, JudgeUnavailable):
                ledger.finish(call, {}, error=said_by(error))
            else:
                ledger.lose(Call.objects.filter(pk=call.pk), f"{type(error).__name__}: {error}")
        self._flying.clear()


def pause_after(tries: int) -> float:
    """Seconds to wait after so many tries that failed in a way that passes."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1))
    # At random, so that calls that failed together don't come back together.
    return random.uniform(longest / 2, longest)  # noqa: S311
