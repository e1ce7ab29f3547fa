"""A program that listens to a webhook, and what docs/api.md tells such programs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Receiver(ThreadingHTTPServer):
    """A program on this machine that is told of events; it answers ``status``, or ``acts`` instead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.status = 204
        self.acts: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.got: list[tuple[dict[str, str], bytes]] = []

    def __enter__(self) -> Receiver:
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no longer."""
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}/hook"

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _headers, body in self.got]


class Answering(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))
        if self.server.acts:
            self.server.acts(self)
            return
        self.send_response(self.server.status)
        self.send_header("Location", "http://localhost:1/elsewhere")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def documented() -> Callable[[str, dict[str, str], bytes], None]:
    """The function of docs/api.md by which a program verifies."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs/api.md").read_text(encoding="utf-8"), re.DOTALL).group(1)
    names: dict[str, Callable] = {}
    exec(code, names)
    return names["verify"]
