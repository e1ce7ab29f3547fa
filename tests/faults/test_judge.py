"""Judges that answer badly, or not at all: no verdict is invented, people get the work, and the books agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from django.db.models import Q

from labelling import jobs
from labelling.fake_messages_api import FAILURES, MessagesApi, Reply
from labelling.jobs.lease import JobFailed
from labelling.models import Round, Verdict
from labelling.services import rounds
from labelling.services.claims import waiting
from tests.labelling.test_paying import paying_project

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


def said(text: str, **more: object) -> Callable[[Reply], Reply]:
    """The model's answer is this text."""
    return lambda reply: replace(reply, body=reply.body | {"content": [{"type": "text", "text": text}]} | more)


def mended(**more: object) -> Callable[[Reply], Reply]:
    """The answer of a model that has other keys, besides its own."""

    def answer(reply: Reply) -> Reply:
        own = json.loads(reply.body["content"][0]["text"])
        return said(json.dumps(own | more))(reply)

    return answer


def fenced(reply: Reply) -> Reply:
    return said(f"```json\n{reply.body['content'][0]['text']}\n```")(reply)


def twice(reply: Reply) -> Reply:
    return replace(reply, body=reply.body | {"content": reply.body["content"] * 2})


def raw(body: bytes, **headers: str) -> Callable[[Reply], Reply]:
    return lambda reply: replace(reply, body=body, headers=reply.headers | headers)


ANSWERS: dict[str, Callable] = {
    **FAILURES,
    "fenced": fenced,
    "in two blocks": twice,
    "without a block": lambda reply: replace(reply, body=reply.body | {"content": []}),
    "of another kind": lambda reply: replace(reply, body=reply.body | {"content": [{"type": "image"}]}),
    **{
        f"stopped by {reason}": lambda reply, reason=reason: replace(reply, body=reply.body | {"stop_reason": reason})
        for reason in ("max_tokens", "stop_sequence", "tool_use", "pause_turn", "nonsense")
    },
    "without a word": said(""),
    "with a list": said("[]"),
    "with a number": said("1"),
    "with null": said("null"),
    "with half an object": said('{"verdict": "valid"'),
    "with an unknown verdict": mended(verdict="perhaps"),
    "with a verdict that is a list": mended(verdict=["valid"]),
    "with NUL": said("\0"),
    "deeply nested": said("[" * 10_000),
    "of 20 MB": said("x" * 20_000_000),
    "with a page of HTML": raw(b"<html><body>Log in to this network</body></html>", **{"content-type": "text/html"}),
    "empty": raw(b""),
    "with bytes that are no text": raw(b"\xff\xfe\x00"),
    "shorter than it says": raw(b"{}", **{"content-length": "1000"}),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer(answer, api: MessagesApi, price, monkeypatch, person):
    monkeypatch.setitem(FAILURES, "now", ANSWERS[answer])
    api.model.failures = {"now": 1.0}
    round_ = rounds.start_round(paying_project(batch_size=6))
    stops(round_)
    assert not Verdict.objects.exists()
    assert waiting(round_.project).exists(), "people have nothing to do meanwhile"
    assert not Round.objects.filter(Q(error__contains="Unexpected") | Q(error__contains="Traceback")).exists()
    api.model.failures = {}
    if round_.state != Round.State.DONE:
        person(round_.error)
        rounds.go_on(round_)
    else:
        round_ = rounds.start_round(round_.project)
    stops(round_)
    assert round_.state == Round.State.DONE
    assert Verdict.objects.exists()


def stops(round_: Round) -> None:
    """Run a round until it ends or stops."""
    with suppress(JobFailed):
        jobs.run_round(round_.pk)
    round_.refresh_from_db()
