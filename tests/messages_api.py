"""A stub of the Messages API on a local port: says what it was told to say, keeps what it was asked."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """What the server was asked; the names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One HTTP response; a body of bytes is sent as it is, any other as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Fault(Enum):
    """Instead of a reply."""

    SILENCE = auto()  # nothing, until the server closes
    DROPPED = auto()  # the connection ends without a word


Responder = Callable[[Request], Reply | Fault]


def message(text: str, stop_reason: str | None = "end_turn", **usage: int) -> Reply:
    """A message that ends for that reason; ``usage`` adds to or replaces the token counts."""
    return Reply(
        {
            "id": "msg_stub",
            "type": "message",
            "role": "assistant",
            "model": "stub-1",
            "content": [{"type": "text", "text": text}],
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {"input_tokens": 100, "output_tokens": 20} | usage,
        }
    )


def answer(verdict: str, reason: str = "It says so.", better_label: str | None = None) -> Reply:
    """A message in the form of ANSWER_SCHEMA."""
    return message(json.dumps({"reason": reason, "verdict": verdict, "better_label": better_label}))


def error(status: int, text: str = "", code: str | None = None) -> Reply:
    """An error in the API's form. It asks for a short pause: the SDK's own is half a second and more."""
    details = {"details": {"error_code": code}} if code else {}
    body = {"type": "error", "error": {"type": "stub_error", "message": text} | details}
    return Reply(body, status, {"retry-after": "0.001"})


def in_turn(*replies: Reply | Fault) -> Responder:
    """Give one reply after the other; the last one stays."""
    waiting = deque(replies)
    return lambda request: waiting.popleft() if len(waiting) > 1 else waiting[0]


class MessagesApi(ThreadingHTTPServer):
    """Serves POST /v1/messages in the background for as long as its context lasts.

    Args:
        respond: called with each request, from a thread of its own; may be replaced at any time.
        port: 0 for any free one.

    Attributes:
        requests: everything asked so far, in the order of arrival.
    """

    def __init__(self, respond: Responder, port: int = 0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.respond = respond
        self.requests: list[Request] = []
        self.closing = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: MessagesApi

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/messages":
            self._send(error(404, f"Nothing is served at {self.path}."))
            return
        request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        self.server.requests.append(request)
        reply = self.server.respond(request)
        if reply is Fault.SILENCE:
            self.server.closing.wait()
        if isinstance(reply, Reply):
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        standard = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Request-Id": f"req_{len(self.server.requests)}",
        }
        self.send_response(reply.status)
        for name, value in (standard | dict(reply.headers)).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet: the requests are in ``MessagesApi.requests``."""
