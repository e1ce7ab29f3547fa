"""What all tests share: no network, no model, no message to a worker that is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import HashingEncoder

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _no_files_left(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def encoder(monkeypatch, settings) -> HashingEncoder:
    """Every round in the tests' own process embeds with this one."""
    fake = HashingEncoder()
    settings.ENCODER = fake.name
    monkeypatch.setattr("labelling.jobs.vectors.load_encoder", lambda name: fake)
    return fake


@pytest.fixture(autouse=True)
def messages(monkeypatch) -> list[tuple[str, int]]:
    """What would have been sent to the worker: (task, job id)."""
    sent: list[tuple[str, int]] = []
    monkeypatch.setattr("labelling.services.queueing.async_task", lambda task, pk: sent.append((task, pk)))
    return sent


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
