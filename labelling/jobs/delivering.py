"""Post events to webhooks: side by side, each try short, and only to addresses that were looked up and checked."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from datetime import timedelta
from ssl import SSLContext
from typing import Any, NamedTuple

import httpcore2
from django.db.models import Min
from django.utils import timezone

from labelling.models import Delivery
from labelling.services import Refused, addresses, webhooks

SENDERS = 8
# From the look-up of the name to the head of the answer; its body is never read.
TRY_SECONDS = 8.0
# What is not sent by then is left to the next job: others on the lane wait no longer.
JOB_SECONDS = 30.0
# A worker that is killed in a try leaves it to another one, after so long.
CLAIM = timedelta(minutes=1)


class Answer(NamedTuple):
    """What came of a try: the status of the answer, and why the event has not arrived; empty where it has."""

    status: int | None
    error: str


def run() -> None:
    """Send what is due, oldest first; a webhook at which something fails is left in peace until the next job."""
    ends, failed = time.monotonic() + JOB_SECONDS, set[int]()
    pool = ThreadPoolExecutor(SENDERS, thread_name_prefix="webhook")
    while time.monotonic() < ends and (batch := _claimed(failed)):
        now = int(time.time())
        bodies = [webhooks.body_of(delivery.event) for delivery in batch]
        tries = [
            pool.submit(post, one.webhook.address, webhooks.signed(one.webhook, one.event, body, now), body)
            for one, body in zip(batch, bodies, strict=True)
        ]
        for delivery, answer in zip(batch, tries, strict=True):
            try:
                status, error = answer.result(timeout=2 * TRY_SECONDS)
            except TookTooLong:
                # The look-up of a name can't be stopped.
                status, error = None, "The look-up of the server's name took too long."
            webhooks.record(delivery, status, error)
            if error:
                failed.add(delivery.webhook_id)
    pool.shutdown(wait=False)


def _claimed(failed: Iterable[int]) -> list[Delivery]:
    """The oldest event of each webhook, for as many as are sent to side by side."""
    due = webhooks.due().exclude(webhook__in=failed)
    oldest = due.order_by().values("webhook").annotate(first=Min("pk")).values("first")
    until = timezone.now() + CLAIM
    return [one for one in due.filter(pk__in=oldest)[:SENDERS] if webhooks.claim(one, until)]


def post(address: str, headers: dict[str, str], body: bytes) -> Answer:
    """Post to an address; nothing is followed, and nothing of the answer is read but its head."""
    sent = {"Content-Type": "application/json", "User-Agent": "red-labelling", "Connection": "close"} | headers
    try:
        with (
            httpcore2.ConnectionPool(network_backend=Guarded(time.monotonic() + TRY_SECONDS)) as pool,
            pool.stream("POST", address, headers=list(sent.items()), content=body) as answer,
        ):
            return Answer(answer.status, _why_not(answer.status))
    except Refused as refusal:
        return Answer(None, str(refusal))
    except httpcore2.TimeoutException:
        return Answer(None, f"No answer within {TRY_SECONDS:g} seconds.")
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.UnsupportedProtocol) as error:
        return Answer(None, f"No answer: {error or type(error).__name__}")


def _why_not(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"It answered {status}: another address, which is not followed. Give the new one."
    return f"It answered {status}."


class Guarded(httpcore2.SyncBackend):
    """Connects to an address that was looked up and checked, so that no second look-up leads elsewhere.

    Args:
        deadline: of the whole request, by ``time.monotonic``.
    """

    def __init__(self, deadline: float):
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first of the name's addresses that answers.

        Raises:
            Refused: see ``addresses.resolve``.
        """
        *others, last = addresses.resolve(host, port)
        for ip in others:
            try:
                return self._connect(ip, port, socket_options)
            except httpcore2.ConnectError:
                continue
        return self._connect(last, port, socket_options)

    def _connect(self, ip: str, port: int, socket_options: Iterable[Any] | None) -> httpcore2.NetworkStream:
        seconds = _left(self._deadline, httpcore2.ConnectTimeout)
        return _Timed(super().connect_tcp(ip, port, seconds, socket_options=socket_options), self._deadline)


class _Timed(httpcore2.NetworkStream):
    """Ends at a deadline, however slowly something comes: a client's own time-out begins anew with every byte."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float):
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, httpcore2.WriteTimeout))

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        seconds = _left(self._deadline, httpcore2.ConnectTimeout)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, seconds), self._deadline)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, late: type[httpcore2.TimeoutException]) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise late
    return seconds
