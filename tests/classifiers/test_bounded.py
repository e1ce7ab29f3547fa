"""Answers that come in drops, or without an end."""

from __future__ import annotations

import itertools
import time

import httpx2
import pytest

from classifiers.bounded import MAX_ANSWER_BYTES, bounds


class Parts(httpx2.SyncByteStream):
    def __init__(self, parts, pause: float = 0.0):
        self.parts, self.pause = parts, pause

    def __iter__(self):
        for part in self.parts:
            time.sleep(self.pause)
            yield part


def post(path: str, parts, pause: float = 0.0, seconds: float = 5.0) -> int:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, stream=Parts(parts, pause)))
    with httpx2.Client(transport=transport, event_hooks=bounds(seconds)) as client:
        return len(client.post(f"http://judge{path}").content)


def test_an_answer_comes_as_it_is():
    assert post("/v1/messages", [b"ab", b"c"]) == 3
    assert post("/v1/messages", [b"x" * MAX_ANSWER_BYTES]) == MAX_ANSWER_BYTES


def test_one_that_comes_in_drops_fails_at_its_time():
    drops = itertools.count()
    with pytest.raises(httpx2.ReadTimeout):
        post("/v1/messages", (b" " for _ in drops), pause=0.005, seconds=0.03)
    assert next(drops) <= 8


def test_one_without_an_end_fails():
    with pytest.raises(httpx2.ReadError):
        post("/v1/messages", itertools.repeat(b"x" * 2**16))


def test_a_batchs_results_may_be_long():
    assert post("/v1/messages/batches/1/results", [b"x" * MAX_ANSWER_BYTES] * 2) == 2 * MAX_ANSWER_BYTES
