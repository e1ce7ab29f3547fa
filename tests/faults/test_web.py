"""The real web server under faults: what its pages say, what it saves, and that it goes on."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import NamedTuple

import httpx2
import psutil
import psycopg
import pytest

from tests import databases
from tests.site import Site, wait_for
from tests.slow.test_front_door import HEAD, ask_health, connect

pytestmark = pytest.mark.slow

LAY_OUT = """
from pathlib import Path
from django.conf import settings
from tests.conftest import stand_ins
from tests.factories import fruit_project, import_doubtful, make_user, run_round
from labelling.models import Round
with stand_ins(Path(settings.MEDIA_ROOT).parent):
    ann = make_user("ann", is_staff=True, is_superuser=True)
    project = fruit_project(manager=ann, name="Fruit", retrain_after=0)
    import_doubtful(project)
    run_round(project)
ann.set_password("secret")
ann.save()
"""
FACTS = """
import json
from pathlib import Path
from django.conf import settings
from labelling.models import *
kept = [Decision, Comment, Guideline, CsvImport, Project, Token, Invitation, DiaryEntry]
files = [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]
print(json.dumps({model.__name__: model.objects.count() for model in kept} | {"files": len(files)}))
"""
# Of deaths that are no crash loop.
APART_SECONDS = 6
NOTHING_SAVED = "Nothing of this was saved."


class Person:
    """Somebody with a browser who manages the project and administers the site."""

    def __init__(self, site: Site):
        self.client = httpx2.Client(base_url=site.url, follow_redirects=True, timeout=60, trust_env=False)
        self.client.get("/login/")
        self.send("/login/", username="ann", password="secret").raise_for_status()

    def send(self, address: str, file: tuple[str, bytes] | None = None, **values: str) -> httpx2.Response:
        sent = values | {"csrfmiddlewaretoken": self.client.cookies["csrftoken"]}
        return self.client.post(address, data=sent, files={"file": file} if file else None)


PLACES: dict[str, Callable[[Person], httpx2.Response]] = {
    "comment": lambda ann: ann.send("/p/fruit/labels/1/comment/", text="Why?"),
    "upload": lambda ann: ann.send("/p/fruit/import/", file=("texts.csv", b"text,label\nkiwi,kiwi\n" * 20_000)),
    "new project": lambda ann: ann.send("/projects/new/", name="Trees", description="", task="Which tree?"),
    "token": lambda ann: ann.send("/tokens/", name="script", scope="read", days="5", project=""),
    "invitation": lambda ann: ann.send("/accounts/invite/", name="Bob", role="reviewer", project=""),
    "label": lambda ann: ann.send("/p/fruit/labels/new/", name=f"kiwi {time.monotonic_ns()}", definition="Green."),
    "review": lambda ann: ann.client.get("/p/fruit/review/"),
    "log-in": lambda ann: ann.send("/logout/"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("faulty"), WEB_CONCURRENCY="2")
    site.manage("shell", "--no-imports", "-c", LAY_OUT)
    site.start("web")
    yield site
    site.stop()


def facts(site: Site) -> dict[str, int]:
    return json.loads(site.manage("shell", "--no-imports", "-c", FACTS))


class Seen(NamedTuple):
    """What a request brought while something was wrong, what it brings later, and whether it left anything."""

    status: int
    text: str
    later: int
    left: dict[str, int]


@contextmanager
def without_database(site: Site) -> Iterator[None]:
    """Somebody else keeps the database to themselves, longer than anybody waits; or the server lets nobody in."""
    name = site.environment["DATABASE_URL"].rpartition("/")[2]
    if databases.server():
        with psycopg.connect(databases.server(), autocommit=True) as other:
            other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            yield
            other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        return
    with closing(sqlite3.connect(site.folder / name, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def without_room(site: Site) -> Iterator[None]:
    """No file of the web server grows any more."""
    for limit in (0, -1):
        for process in site.web_processes():
            process.rlimit(psutil.RLIMIT_FSIZE, (limit, -1))
        if limit == 0:
            yield


TROUBLES = {"without database": without_database, "without room": without_room}


@pytest.fixture(scope="module", params=TROUBLES)
def seen(request, site) -> dict[str, Seen]:
    """By place: all of them at once."""
    people = {place: Person(site) for place in PLACES}
    before = facts(site)
    with ThreadPoolExecutor(len(PLACES)) as pool:
        with TROUBLES[request.param](site):
            answers = dict(zip(PLACES, pool.map(lambda place: PLACES[place](people[place]), PLACES), strict=True))
        left = {name: n - before[name] for name, n in facts(site).items() if n != before[name]}
        later = {place: PLACES[place](people[place]).status_code for place in PLACES}
    return {place: Seen(found.status_code, found.text, later[place], left) for place, found in answers.items()}


@pytest.mark.parametrize("place", PLACES)
def test_request(seen, place):
    found = seen[place]
    if found.status == 200:
        assert place == "review", "it reads, and writes only who has what open"
    else:
        assert found.status in (503, 507)
        assert NOTHING_SAVED in found.text or "has no room for this file" in found.text
    assert found.left == {}
    assert found.later < 400


@pytest.mark.parametrize("place", ["comment", "upload", "new project", "review"])
def test_killed_while_it_answers(site, place):
    """All of it was saved, or nothing; and somebody else answers soon."""
    ann = Person(site)
    before = facts(site)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(PLACES[place], ann)
        time.sleep(0.01)
        for process in serving(site):
            process.kill()
        with suppress(httpx2.HTTPError):
            answer.result()
    # One that dies as often as it is started is not started for ever: that is for the supervisor to see.
    time.sleep(APART_SECONDS)
    wait_for(lambda: health(site), "another process")
    assert all(n >= before[name] for name, n in facts(site).items())
    assert PLACES[place](Person(site)).status_code < 500


def serving(site: Site) -> list[psutil.Process]:
    """The web server's processes that answer, without the one that starts them."""
    main, *others = sorted(site.web_processes(), key=lambda process: process.create_time())
    return [process for process in others if process.ppid() == main.pid]


def health(site: Site) -> bool:
    with suppress(OSError, httpx2.HTTPError):
        return httpx2.get(f"{site.url}/health/", timeout=2, trust_env=False).status_code == 200
    return False


LONG_HEAD = HEAD + b"Content-Length: 1000\r\n\r\n"
# What is sent, in pieces, how long is waited between them, and how the answer begins; "" for none.
KNOCKS: dict[str, tuple[list[bytes], float, tuple[bytes, ...]]] = {
    "nothing": ([], 0, (b"",)),
    "half a head": ([HEAD], 0, (b"",)),
    "a slow head": ([HEAD, *[b"X-A: b\r\n"] * 12], 2, (b"",)),
    "half a body": ([LONG_HEAD, b"abc"], 0, (b"HTTP/1.1 408",)),
    "a slow body": ([LONG_HEAD, *[b"a"] * 12], 2, (b"HTTP/1.1 408",)),
    "a body of 400 MB": ([HEAD + b"Content-Length: 419430400\r\n\r\n"], 0, (b"HTTP/1.1 413",)),
    "a body without end": (
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"10000\r\n" + b"x" * 65_536 + b"\r\n"] * 6],
        0,
        (b"HTTP/1.1 413",),
    ),
    "two lengths": ([HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"], 0, (b"HTTP/1.1 400", b"")),
    "length and chunks": (
        [HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        0,
        (b"HTTP/1.1 400", b"HTTP/1.1 403", b""),
    ),
    "a head of 1 MB": ([HEAD + b"X-A: " + b"b" * 2**20 + b"\r\n\r\n"], 0, (b"HTTP/1.1 431", b"HTTP/1.1 400", b"")),
    "10,000 headers": ([HEAD + b"X-A: b\r\n" * 10_000 + b"\r\n"], 0, (b"HTTP/1.1 431", b"HTTP/1.1 400", b"")),
    "no HTTP": ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20], 0, (b"HTTP/1.1 400", b"")),
    "another host": ([b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n"], 0, (b"HTTP/1.1 400",)),
    "a path that is no text": (
        [b"GET /%ff%fe%00 HTTP/1.1\r\nHost: localhost\r\n\r\n"],
        0,
        (b"HTTP/1.1 404",),
    ),
}


@pytest.fixture(scope="module")
def answers(site) -> dict[str, bytes]:
    """By knock: all of them at once."""

    def knock(name: str) -> bytes:
        pieces, pause, _ = KNOCKS[name]
        with closing(connect(site, b"")) as connection, suppress(ConnectionError):
            for piece in pieces:
                with suppress(ConnectionError):
                    connection.sendall(piece)
                time.sleep(pause)
            return connection.recv(12)
        return b""

    with ThreadPoolExecutor(len(KNOCKS)) as pool:
        return dict(zip(KNOCKS, pool.map(knock, KNOCKS), strict=True))


@pytest.mark.parametrize("knock", KNOCKS)
def test_knock(knock, answers, site):
    assert answers[knock] in KNOCKS[knock][2]
    ask_health(site)
