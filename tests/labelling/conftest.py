"""A judge behind the Messages API: the real SDK against the stand-in, on a port of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import translation

from labelling.fake_messages_api import FakeModel, MessagesApi
from labelling.jobs.serving import answer
from labelling.jobs.suggesting import Models
from labelling.models import Price
from tests.factories import account

KEY = "sk-ant-api03-planted-key-that-must-appear-nowhere"


@pytest.fixture(autouse=True)
def _language() -> Iterator[None]:
    """The language of a test's last request is not that of the next test."""
    yield
    translation.deactivate()


@pytest.fixture
def ann() -> User:
    return account("ann")


@pytest.fixture
def bob() -> User:
    return account("bob")


@pytest.fixture
def served(monkeypatch) -> Models:
    """The models, held in this process: nothing goes over a socket."""
    models = Models()
    monkeypatch.setattr(
        "labelling.services.suggesting._asked", lambda message: nullcontext(partial(answer, models, message))
    )
    return models


@contextmanager
def serving(patch: pytest.MonkeyPatch, home: Path) -> Iterator[MessagesApi]:
    """The stand-in as the site's default judge, and one key in the environment, until the patch is undone."""
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        patch.delenv(name)
    patch.setenv("HOME", str(home))
    patch.setenv("NO_PROXY", "*")
    patch.setenv("ANTHROPIC_API_KEY", KEY)
    # The pauses of the product are for servers far away.
    patch.setattr("labelling.jobs.calls.FIRST_PAUSE", 0.01)
    with MessagesApi(FakeModel(cache_min_tokens=50)) as server:
        patch.setattr(settings, "JUDGE_BASE_URL", server.url)
        patch.setattr(settings, "JUDGE_MODEL", "stub-1")
        patch.setattr(settings, "JUDGE_TIMEOUT_SECONDS", 0.5)
        patch.setattr(settings, "JUDGE_BATCH_POLL_SECONDS", 0.1)
        yield server


@pytest.fixture
def api(monkeypatch, tmp_path) -> Iterator[MessagesApi]:
    with serving(monkeypatch, tmp_path) as server:
        yield server


@pytest.fixture
def price() -> Price:
    """What the stand-in charges."""
    return Price.objects.create(
        model="stub-1",
        valid_from="2020-01-01",
        input=Decimal("1.00"),
        output=Decimal("5.00"),
        cache_write=Decimal("1.25"),
        cache_read=Decimal("0.10"),
        cache_min_tokens=50,
    )
