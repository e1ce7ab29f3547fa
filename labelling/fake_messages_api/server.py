"""The server: HTTP in, HTTP out, on this machine only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from labelling.fake_messages_api.answers import Reply, error
from labelling.fake_messages_api.batches import Batches
from labelling.fake_messages_api.failures import FAILURES, Fault
from labelling.fake_messages_api.model import FakeModel


@dataclass(frozen=True)
class Request:
    """What the server was asked; the names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


Responder = Callable[[Request], Reply | Fault]


class MessagesApi(ThreadingHTTPServer):
    """Serves the Messages API at a port of 127.0.0.1.

    As a context it serves in the background for as long as the block lasts. Besides the real API's addresses:
    GET /fake/books tells what was asked and what it cost, POST /fake/failures {"name": share} makes calls fail from
    then on, and a request with the header X-Fake-Failure fails in that way.

    Args:
        model: answers the requests.
        respond: answers POST /v1/messages in place of the model, where given; may be replaced at any time.
        port: 0 for any free one.

    Attributes:
        requests: everything that was asked for messages so far.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, model: FakeModel | None = None, respond: Responder | None = None, port: int = 0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.model = model or FakeModel()
        self.respond = respond
        self.batches = Batches(self.model)
        self.requests: list[Request] = []
        self.closing = Event()
        self.numbers = count(1)

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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error here: tests kill them."""


class _Handler(BaseHTTPRequestHandler):
    server: MessagesApi
    protocol_version = "HTTP/1.1"
    # Headers and body are written apart: without this the second write waits for the client's acknowledgement.
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.request_id = f"req_{next(self.server.numbers)}"
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path == "/v1/messages":
            self._message(body)
        elif self.path == "/v1/messages/count_tokens":
            self._send(Reply({"input_tokens": self.server.model.count(body)}))
        elif self.path == "/v1/messages/batches":
            self._send(_reply(self.server.batches.create(body["requests"])))
        elif self.path.startswith("/v1/messages/batches/") and self.path.endswith("/cancel"):
            self._send(self._batch(self.server.batches.cancel))
        elif self.path == "/fake/failures" and set(body) <= set(FAILURES):
            self.server.model.failures = body
            self._send(Reply(body))
        else:
            self._send(error(404, f"Nothing is served at {self.path}.", retry_after=None))

    def do_GET(self) -> None:
        self.request_id = f"req_{next(self.server.numbers)}"
        if self.path == "/fake/books":
            self._send(Reply(self.server.model.books.as_json()))
        elif self.path.endswith("/results"):
            self._send(self._batch(self.server.batches.results))
        elif self.path.startswith("/v1/messages/batches/"):
            self._send(self._batch(lambda batch_id: self.server.batches.state(batch_id, self.server.url)))
        else:
            self._send(error(404, f"Nothing is served at {self.path}.", retry_after=None))

    def _message(self, body: dict[str, Any]) -> None:
        request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        self.server.requests.append(request)
        if self.server.respond:
            reply = self.server.respond(request)
        else:
            failure = request.headers.get("x-fake-failure", "")
            reply = self.server.model.respond(body, self.request_id, failure if failure in FAILURES else "")
        if reply is Fault.SILENCE:
            self.server.closing.wait()
        if isinstance(reply, Reply):
            self._send(reply)
        else:
            self.close_connection = True

    def _batch(self, act: Callable[[str], Any]) -> Reply:
        batch_id = self.path.split("/")[4]
        try:
            found = act(batch_id)
        except KeyError:
            return error(404, f"There is no batch {batch_id}.", retry_after=None)
        return _reply(found)

    def _send(self, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        standard = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Request-Id": self.request_id,
        }
        self.send_response(reply.status)
        headers = {name.title(): value for name, value in reply.headers.items()}
        for name, value in (standard | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if reply.cut or int((standard | headers)["Content-Length"]) > len(body):
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet: what was asked is in the books."""


def _reply(found: Any) -> Reply:
    return found if isinstance(found, Reply) else Reply(found)
