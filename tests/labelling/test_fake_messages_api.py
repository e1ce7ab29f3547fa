"""The stand-in for the Messages API: as a command, and as the real SDK sees it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import Any

import anthropic
import pytest
from django.core.management import CommandError, call_command

from classifiers.judge import Example, Question, Rival, make_judge
from labelling.fake_messages_api import FAILURES, FakeModel, MessagesApi
from tests.conftest import ROOT
from tests.site import free_port

QUESTION = Question(
    "My card was stolen yesterday",
    "lost card",
    rivals=[Rival("refund")],
    examples=[Example("Somebody stole my card, it was stolen", "lost card", 0.9), Example("Money back", "refund", 0.1)],
)


@pytest.fixture
def key(monkeypatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    monkeypatch.setenv("NO_PROXY", "*")


def test_the_command_serves_this_machine_alone(key, monkeypatch):
    port = free_port()
    command = [sys.executable, "manage.py", "fake_messages_api", f"--port={port}", "--latency=0"]
    with subprocess.Popen(command, cwd=ROOT, env={"SECRET_KEY": "test"}, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert f"http://127.0.0.1:{port}" in process.stdout.readline()
            assert make_judge("anthropic", "stub-1", f"http://127.0.0.1:{port}").ask(QUESTION).verdict == "valid"
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/fake/books") as response:
                books = json.loads(response.read())
            assert (books["calls"], books["outcomes"]) == (1, {"answered": 1})
            with socket.socket() as elsewhere, pytest.raises(ConnectionRefusedError):
                elsewhere.connect(("127.0.0.2", port))
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0


@pytest.mark.parametrize("wrong", ["overloaded", "overloaded=much", "earthquake=0.1"])
def test_a_failure_that_is_none_is_refused(wrong):
    with pytest.raises(CommandError, match="--fail"):
        call_command("fake_messages_api", "--fail", wrong)


def test_the_cache_behaves_like_the_real_one(key):
    """Written by the first call, read by those that come when it has answered, kept apart by prompt and by length."""
    system: Any = [{"type": "text", "text": "word " * 1000, "cache_control": {"type": "ephemeral"}}]
    schema = {"type": "json_schema", "schema": {"type": "object", "properties": {"title": {"type": "string"}}}}
    with MessagesApi(FakeModel(cache_min_tokens=1000)) as api:
        client = anthropic.Anthropic(base_url=api.url, max_retries=0)
        hello: Any = [{"role": "user", "content": "Hello"}]

        def ask(system: Any) -> anthropic.types.Usage:
            body: dict[str, Any] = {"system": system, "messages": hello, "output_config": {"format": schema}}
            return client.messages.create(model="m", max_tokens=9, **body).usage

        counted = client.messages.count_tokens(model="m", system=system, messages=hello)
        first, second = ask(system), ask(system)
        short = ask([system[0] | {"text": "word"}])
        unmarked = ask([{"type": "text", "text": "word " * 1000}])
    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens) == (1250, 0)
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens) == (0, 1250)
    assert first.input_tokens + 1250 == counted.input_tokens
    assert short.cache_creation_input_tokens == unmarked.cache_creation_input_tokens == 0


@pytest.mark.parametrize("failure", FAILURES)
def test_every_failure_is_to_be_had_by_a_header(key, failure):
    schema = {"type": "object", "properties": {"verdict": {"type": "string"}}}
    body: dict[str, Any] = {
        "system": [{"type": "text", "text": "Proposed label: x"}],
        "messages": [{"role": "user", "content": "=====text-ab=====\nx"}],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }
    with MessagesApi() as api:
        client = anthropic.Anthropic(
            base_url=api.url, max_retries=0, timeout=0.3, default_headers={"X-Fake-Failure": failure}
        )
        try:
            message = client.messages.create(model="m", max_tokens=9, **body)
        except anthropic.AnthropicError:
            charged = False
        else:
            charged = True
            assert (message.stop_reason in ("refusal", "max_tokens")) == (failure in ("refusal", "truncated"))
        assert api.model.books.outcomes == {failure: 1}
        assert (api.model.books.cost > 0) == charged
