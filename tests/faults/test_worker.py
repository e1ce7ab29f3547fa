"""The real worker and its queue under faults: every import is done in the end, once, and nobody has to act."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.site import ROOT, Site, free_port, running_site, wait_for
from tests.slow.test_sigkill import kill

pytestmark = pytest.mark.slow

N_ROWS = 3_000
QUEUE = """
from tests.factories import csv_file, make_project, make_user
from labelling.services import imports
project = make_project(make_user("{name}"), name="{name}")
rows = [(f"text {{n}} of many", f"label {{n % 7}}") for n in range({n})]
imports.start(imports.upload(project, csv_file(rows), user=None))
"""
FOUND = """
from labelling.models import CsvImport
found = CsvImport.objects.get(project__name="{name}")
print(found.state, found.project.documents.count(), found.error)
"""


def in_python(site: Site, code: str) -> str:
    return site.manage("shell", "--no-imports", "-c", code).strip()


def queue(site: Site, name: str) -> None:
    in_python(site, QUEUE.format(name=name, n=N_ROWS))


def ends(site: Site, name: str) -> None:
    found = ""

    def is_done() -> bool:
        nonlocal found
        found = in_python(site, FOUND.format(name=name))
        return found.startswith(("done", "failed"))

    wait_for(is_done, "the import", pause=1)
    assert found == f"done {N_ROWS}"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("worked"))
    site.start("worker")
    wait_for(lambda: len(site.worker_processes()) == 10, "the worker's processes")
    yield site
    site.stop()


def killed(which: slice) -> Callable[[Site], None]:
    def act(site: Site) -> None:
        time.sleep(0.5)
        kill(site.worker_processes()[which])

    return act


def frozen(site: Site) -> None:
    """For longer than a lease lasts, with everything."""
    processes = site.worker_processes()
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    time.sleep(32)
    for process in processes:
        process.send_signal(signal.SIGCONT)


def with_a_second_one(site: Site) -> None:
    command = [sys.executable, "manage.py", "worker"]
    with subprocess.Popen(command, cwd=ROOT, env=site.environment, stderr=subprocess.DEVNULL) as second:
        time.sleep(8)
        second.terminate()


def in_the_queue(code: str) -> Callable[[Site], object]:
    return lambda site: (
        in_python(site, f"from django_q.models import OrmQ\nfrom labelling.models import *\n{code}") and None
    )


FAULTS: dict[str, Callable[[Site], object]] = {
    "all killed": killed(slice(None)),
    "main process killed": killed(slice(1)),
    "one killed": killed(slice(-1, None)),
    "frozen": frozen,
    "a second worker": with_a_second_one,
    "messages lost": in_the_queue("OrmQ.objects.all().delete()"),
    "a message that is nonsense": in_the_queue("OrmQ.objects.create(key='quick', payload='nonsense')"),
    "a message of a job that is gone": in_the_queue(
        "from django_q.tasks import async_task\nasync_task('labelling.jobs.run_import', 10**9, cluster='quick')"
    ),
    "a message of a task that is none": in_the_queue(
        "from django_q.tasks import async_task\nasync_task('labelling.jobs.run_nothing', 1, cluster='quick')"
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_worker(fault, site):
    queue(site, fault)
    FAULTS[fault](site)
    ends(site, fault)


def test_worker_that_starts_later(tmp_path):
    site = Site(tmp_path)
    queue(site, "later")
    site.start("worker")
    try:
        ends(site, "later")
    finally:
        site.stop()


@contextmanager
def redis(port: int, folder: Path) -> Iterator[None]:
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.skipif(not shutil.which("redis-server"), reason="needs a redis-server")
def test_redis_away_and_back(tmp_path):
    port = free_port()
    with running_site(tmp_path, REDIS_URL=f"redis://127.0.0.1:{port}/0") as site:
        queue(site, "away")
        with redis(port, tmp_path):
            ends(site, "away")
        queue(site, "away again")
        with redis(port, tmp_path):
            ends(site, "away again")
