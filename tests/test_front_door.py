"""The front door: who may send how much, how slowly, and what becomes of an answer that nobody takes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator

import pytest
from django.test import Client

from labelling.models import Token
from labelling.services import senders, tokens
from red_project import front_door
from red_project.front_door import CROWD, FORM_BYTES, UPLOADS_AT_ONCE, FrontDoor
from tests.factories import make_project, make_user

MAX_BYTES = 4 * FORM_BYTES


class Application:
    """WSGI: answers with the length of what it got."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.closed = threading.Event()

    def __call__(self, environ, start_response: Callable) -> Iterable[bytes]:
        self.bodies.append(environ["wsgi.input"].read())
        start_response("200 OK", [("X-Path", environ["PATH_INFO"])])
        return self

    def __iter__(self) -> Iterator[bytes]:
        yield str(len(self.bodies[-1])).encode()
        yield b"!"

    def close(self) -> None:
        self.closed.set()


def knock(
    door: FrontDoor, *parts: bytes, send: Callable | None = None, ends: bool = True, query: bytes = b"", **headers: str
):
    """Send a request in parts and return status and body of the answer; without ``ends`` nothing follows the parts."""
    answer: list[dict] = []
    waiting = list(parts)

    async def receive() -> dict:
        if waiting:
            part = waiting.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(waiting) or not ends}
        await asyncio.sleep(60)
        raise AssertionError

    async def collect(message: dict) -> None:
        answer.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/a/",
        "query_string": query,
        "http_version": "1.1",
        "client": ("10.0.0.1", 5),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(door(scope, receive, send or collect))
    body = b"".join(message.get("body", b"") for message in answer[1:])
    return answer[0]["status"] if answer else None, body.decode(), len(parts) - len(waiting)


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def door(application) -> FrontDoor:
    """Lets everybody upload who says their name."""
    return FrontDoor(application, lambda headers: headers.get("cookie") or None, MAX_BYTES)


def test_a_request_is_answered_once_it_is_whole(door, application):
    assert knock(door, b"ab", b"c", content_length="3") == (200, "3!", 2)
    assert application.bodies == [b"abc"]
    assert application.closed.is_set()


@pytest.mark.parametrize(("others", "kept"), [(0, True), (CROWD - 1, True), (CROWD, False)])
def test_a_process_with_a_crowd_keeps_no_connection(door, others, kept):
    door.n_under_way = others
    sent: list[dict] = []

    async def collect(message: dict) -> None:
        sent.append(message)

    knock(door, b"x", send=collect, content_length="1")
    assert door.n_under_way == others
    assert sent[0]["headers"].count((b"connection", b"close")) == int(not kept)
    assert [message.get("body") for message in sent[1:]] == [b"1", b"!", b""]


@pytest.mark.parametrize(
    ("length", "cookie", "status", "said"),
    [
        (FORM_BYTES, "", 200, ""),
        (FORM_BYTES + 1, "", 413, "Log in"),
        (FORM_BYTES + 1, "ann", 200, ""),
        (MAX_BYTES, "ann", 200, ""),
        (MAX_BYTES + 1, "ann", 413, "at most 1 MB"),
        (10**15, "", 413, "Log in"),
    ],
)
def test_a_body_is_refused_by_its_length_before_it_is_read(door, application, length, cookie, status, said):
    found, body, n_read = knock(door, b"x", content_length=str(length), cookie=cookie)
    assert (found, n_read) == (status, int(status == 200))
    assert said in body
    assert len(application.bodies) == int(status == 200)


def test_a_body_that_does_not_say_how_long_it_is_is_a_form(door):
    assert knock(door, b"x" * FORM_BYTES, b"") == (200, f"{FORM_BYTES}!", 2)
    assert knock(door, b"x" * FORM_BYTES, b"y", b"z", cookie="ann")[::2] == (413, 2)


def test_a_body_that_does_not_come_is_waited_for_a_while_only(door, application, monkeypatch):
    monkeypatch.setattr(front_door, "PATIENCE_SECONDS", 0.02)
    assert knock(door, b"ab", content_length="3", ends=False)[0] == 408
    assert application.bodies == []


def test_the_body_of_a_slow_line_may_take_as_long_as_its_length_does(door, monkeypatch):
    monkeypatch.setattr(front_door, "PATIENCE_SECONDS", 0.0)
    assert knock(door, b"x" * FORM_BYTES, content_length=str(FORM_BYTES))[0] == 200


def test_nobody_uploads_more_than_a_few_files_at_once(door):
    door.uploads["ann"] = UPLOADS_AT_ONCE
    assert knock(door, b"x", content_length=str(FORM_BYTES + 1), cookie="ann")[0] == 429
    assert knock(door, b"x", content_length=str(FORM_BYTES + 1), cookie="bob")[0] == 200
    assert door.uploads["bob"] == 0


def test_a_full_disk_is_told(door, monkeypatch):
    def write(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(front_door.SpooledTemporaryFile, "write", write)
    status, said, _n_read = knock(door, b"x" * 10)
    assert (status, "no room" in said) == (507, True)


def test_an_answer_that_nobody_takes_gives_its_thread_back(door, application, monkeypatch):
    monkeypatch.setattr(front_door, "READER_SECONDS", 0.02)

    async def never(message: dict) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    knock(door, b"x", send=never)
    assert application.closed.is_set()


def test_an_odd_length_is_none(door):
    assert knock(door, b"x", content_length="-1")[0] == 200


def test_a_query_that_is_no_ascii_is_refused(door):
    assert knock(door, b"x", query="é".encode())[0] == 400


@pytest.mark.django_db
def test_who_may_upload():
    member, stranger = make_user(), make_user()
    make_project(member)
    told = {
        None: {},
        "nonsense": {"cookie": "a=b; c", "authorization": "Bearer nonsense"},
        "no session": {"cookie": "sessionid=abc"},
    }
    for user in (member, stranger):
        client = Client()
        client.force_login(user)
        told[user] = {"cookie": f"csrftoken=x; sessionid={client.cookies['sessionid'].value}"}
        _token, secret = tokens.create(user, "script", Token.Scope.READ, 1)
        told[user, "token"] = {"authorization": f"Bearer {secret}"}
    allowed = {who: senders.find_sender(headers) for who, headers in told.items()}
    assert {who for who, key in allowed.items() if key == member.pk} == {member, (member, "token")}
    assert set(allowed.values()) == {member.pk, None}
