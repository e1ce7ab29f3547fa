"""The real web server before people who never end what they began to send."""

from __future__ import annotations

import select
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from tests.site import Site, running_site, wait_for

pytestmark = pytest.mark.slow

N_HELD = 200
HEAD = b"POST /login/ HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("door"), "web") as site:
        yield site


def connect(site: Site, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", site.port), timeout=60)
    connection.sendall(sent)
    return connection


def ask_health(site: Site) -> None:
    urllib.request.urlopen(f"{site.url}/health/", timeout=30).read()


@pytest.mark.parametrize(
    ("half", "ends"),
    [(b"", b""), (HEAD, b""), (HEAD + b"Content-Length: 1000\r\n\r\nabc", b"HTTP/1.1 408")],
    ids=["nothing", "head", "body"],
)
def test_200_half_sent_requests_hold_nobody_up_and_end(site, half, ends):
    held = [connect(site, half) for _ in range(N_HELD)]
    for _ in range(5):
        ask_health(site)
    ended, _, _ = select.select(held, [], [], 0)
    assert not ended, "somebody else was answered no sooner"
    assert {connection.recv(12) for connection in held} == {ends}


def test_400_mb_of_a_stranger_are_refused_before_they_come(site):
    connection = connect(site, HEAD + b"Content-Length: 419430400\r\n\r\n")
    assert connection.recv(12) == b"HTTP/1.1 413"


def test_a_body_without_an_end_is_refused_within_a_megabyte(site):
    connection = connect(site, HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    with suppress(BrokenPipeError, ConnectionResetError):  # the answer may come, and the end, before all is sent
        for _ in range(16):
            connection.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
    assert connection.recv(12) == b"HTTP/1.1 413"


def test_the_server_is_started_again_when_its_processes_die_again_and_again(site):
    def has_ended() -> bool:
        for process in sorted(site.web_processes(), key=lambda process: process.create_time())[1:]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return "The web server died and is started again." in site.log()

    wait_for(has_ended, "the end of the web server")
    wait_for(site.answers, "the web server")
