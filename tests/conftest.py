"""What all tests share: no network, no model, no message to a worker that is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from django.conf import settings
from django.db import transaction
from django.test import override_settings
from django.test.utils import setup_databases, teardown_databases
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests import databases
from tests.fakes import HashingEncoder

ROOT = Path(__file__).resolve().parents[1]
ON_THE_DEMO = tuple(f"tests/browser/test_{name}.py" for name in ("api_walk", "review", "walk"))
# Begun first, so that no process is busy long after the others.
LONGEST = (
    *ON_THE_DEMO,
    *("/browser/", "/slow/", "faults/test_jobs", "test_paying.py", "test_killed", "test_simulation", "test_rounds"),
    *("test_beliefs", "labelling/test_ledger", "test_subsets"),
)


def some_of(cases: Iterable[str], *quick: str) -> list[ParameterSet]:
    """All cases, for ``parametrize``: the quick ones go every way that there is, the others the same ways once more."""
    return [pytest.param(case, marks=[] if case in quick else pytest.mark.slow) for case in cases]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((n for n, name in enumerate(LONGEST) if name in str(item.path)), len(LONGEST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


class Scheduling(LoadFileScheduling):
    """A file's tests run in one process, and so do all files on the demo: its first round is long."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "the demo" if file in ON_THE_DEMO else file


@pytest.fixture(scope="session")
def django_db_setup(request, django_test_environment, django_db_blocker, tmp_path_factory) -> Iterator[None]:
    """A database of this process, whose migrations have run: see databases.py."""
    worker = getattr(request.config, "workerinput", {}).get("workerid", "alone")
    name = f"test_red_{worker}"
    url = databases.copy_to(name, tmp_path_factory.mktemp("database"))
    settings.DATABASES["default"]["TEST"]["NAME"] = name if databases.server() else url.removeprefix("sqlite:///")
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, keepdb=True, serialized_aliases=())
    yield
    with django_db_blocker.unblock():
        # Threads may still have it open: whoever needs a database of this name puts another in its place.
        teardown_databases(made, verbosity=0, keepdb=True)


@dataclass(frozen=True)
class StandIns:
    """What answers in place of the model, and what would have been sent to the worker: (task, job id)."""

    encoder: HashingEncoder
    messages: list[tuple[str, int]]


@contextmanager
def stand_ins(folder: Path) -> Iterator[StandIns]:
    """Rounds embed in this process and files go to the folder."""
    stands = StandIns(HashingEncoder(), [])
    changed = override_settings(
        MEDIA_ROOT=folder / "media",
        MODEL_SOCKET=folder / "models",
        STATIC_ROOT=folder / "static",  # WhiteNoise reads all of it for each test's client
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ENCODER=stands.encoder.name,
        ENCODER_LANGUAGES=[],
    )
    with changed, pytest.MonkeyPatch.context() as patch:
        patch.setattr("labelling.jobs.vectors.load_encoder", lambda name: stands.encoder)
        patch.setattr(
            "labelling.services.queueing.async_task", lambda task, pk, cluster: stands.messages.append((task, pk))
        )
        yield stands


@pytest.fixture(scope="module")
def laying_out(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[Path]:
    """For fixtures of module scope: the rows and files they lay out are what each test of their file finds.

    For plain ``django_db`` tests alone, whose changes are rolled back: with ``transaction=True`` none would be found.
    """
    folder = tmp_path_factory.mktemp("laid_out")
    with django_db_blocker.unblock(), stand_ins(folder), transaction.atomic():
        yield folder
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _stand_ins(request, tmp_path) -> Iterator[StandIns]:
    if "laying_out" in request.fixturenames:
        laid_out = request.getfixturevalue("laying_out") / "media"
        if laid_out.exists():
            shutil.copytree(laid_out, tmp_path / "media")
    with stand_ins(tmp_path) as stands:
        yield stands


@pytest.fixture
def encoder(_stand_ins) -> HashingEncoder:
    """Every round in the tests' own process embeds with this one."""
    return _stand_ins.encoder


@pytest.fixture
def messages(_stand_ins) -> list[tuple[str, int]]:
    """What would have been sent to the worker: (task, job id)."""
    return _stand_ins.messages


@pytest.fixture
def run_python():
    """Run a line of Python in a process of its own and return what it printed."""

    def run(code: str) -> str:
        environment = os.environ | {"SECRET_KEY": "test", "DJANGO_SETTINGS_MODULE": "red_project.settings"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
