"""The product as it runs: web server and worker from the Procfile, on a database of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.error import URLError

import psutil

from tests import databases

ROOT = Path(__file__).resolve().parents[1]


class Site:
    """One installation in a folder of its own, with an empty database.

    Attributes:
        url: where the web server answers.
        folder: database (with SQLite), uploads and log.
        passwords: of the accounts that load_demo made.
    """

    def __init__(self, folder: Path, **settings: str):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.passwords: dict[str, str] = {}
        self.environment = os.environ | {
            "SECRET_KEY": "a key for the tests only, longer than fifty characters, it is",
            "DJANGO_SETTINGS_MODULE": "red_project.settings",
            "DATABASE_URL": databases.copy_to(f"red_{folder.name.lower().replace('-', '_')}_{os.getpid()}", folder),
            "MEDIA_ROOT": str(folder / "media"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        self._honcho: subprocess.Popen[bytes] | None = None

    def manage(self, *arguments: str) -> str:
        """Run a management command and return what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def set_up(self) -> None:
        """Load the demo, as `make run` does before it starts anything."""
        said = self.manage("load_demo")
        self.passwords = dict(re.findall(r"Log in as (\w+) +with the password (\S+)", said))

    def start(self, *processes: str) -> None:
        """Start web server and worker, or only the named ones, and wait until the web server answers."""
        processes = processes or ("web", "worker")
        if "web" in processes:
            collect_static()
        with (self.folder / "log.txt").open("ab") as log:
            self._honcho = subprocess.Popen(
                ["honcho", "start", "--port", str(self.port), *processes],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if "web" in processes:
            wait_for(self.answers, "the web server")

    def stop(self) -> None:
        """Stop everything as Ctrl-C does."""
        if self._honcho:
            self._honcho.send_signal(signal.SIGINT)
            self._honcho.wait(timeout=20)
            self._honcho = None

    def worker_processes(self) -> list[psutil.Process]:
        """Every process of the worker: django-q2's main process, its sentinel, and their children."""
        return [process for process in self._children() if "manage.py worker" in " ".join(process.cmdline())[-40:]]

    def web_processes(self) -> list[psutil.Process]:
        return [process for process in self._children() if any("granian" in part for part in process.cmdline())]

    def log(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")

    def _children(self) -> Iterator[psutil.Process]:
        assert self._honcho
        for process in psutil.Process(self._honcho.pid).children(recursive=True):
            try:
                process.cmdline()
            except psutil.NoSuchProcess:
                continue
            yield process

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/", timeout=5) as response:
                return response.status == 200
        except (URLError, ConnectionError, TimeoutError):
            return False


@contextmanager
def running_site(folder: Path, *processes: str, **settings: str) -> Iterator[Site]:
    """A site that is set up and running, and stopped at the end of the block; see Site.start for ``processes``."""
    site = Site(folder, **settings)
    site.set_up()
    site.start(*processes)
    try:
        yield site
    finally:
        site.stop()


@cache
def collect_static() -> None:
    """What the web server serves besides pages: once, all sites share it."""
    command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"]
    # Two at once would trip over each other's files.
    with databases.locked(databases.KEPT / "static.lock"):
        subprocess.run(command, cwd=ROOT, env=os.environ | {"SECRET_KEY": "test"}, capture_output=True, check=True)


def wait_for(condition: Callable[[], object], what: str, seconds: float = 240, pause: float = 0.05) -> None:
    """Wait until a condition holds, asking again after each pause; fail with its name when it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(pause)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
