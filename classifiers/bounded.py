"""Answers over HTTP that come by a time, and have an end: a client's own time-out begins anew with every byte."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import httpx2

MAX_ANSWER_BYTES = 4 * 2**20


def bounds(seconds: float) -> dict[str, list[Callable[[Any], None]]]:
    """Event hooks for a client: the answer to one call is there so many seconds after it left, or fails.

    The results of a batch are many answers, and may take their time.
    """

    def begin(request: httpx2.Request) -> None:
        request.extensions["deadline"] = time.monotonic() + seconds

    def bound(response: httpx2.Response) -> None:
        if response.request.url.path.endswith("/messages"):
            stream = cast("Iterable[bytes]", response.stream)
            response.stream = _Bounded(stream, response.request.extensions["deadline"])

    return {"request": [begin], "response": [bound]}


class _Bounded(httpx2.SyncByteStream):
    """Raises httpx2.ReadTimeout for what comes in drops, httpx2.ReadError for what is longer than any answer."""

    def __init__(self, stream: Iterable[bytes], deadline: float):
        self._stream, self._deadline = stream, deadline

    def __iter__(self) -> Iterator[bytes]:
        n_bytes = 0
        for part in self._stream:
            n_bytes += len(part)
            if time.monotonic() > self._deadline:
                raise httpx2.ReadTimeout("The answer took too long.")
            if n_bytes > MAX_ANSWER_BYTES:
                raise httpx2.ReadError("The answer has no end.")
            yield part

    def close(self) -> None:
        if close := getattr(self._stream, "close", None):
            close()
