"""The stand-in for the Messages API: as a command, and as the real SDK sees it."""

from __future__ import annotations

import json
import math
import random
import signal
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import pytest
from django.core.management import CommandError, call_command

from classifiers.judge import Answer, Example, Question, Rival, make_judge
from classifiers.judge.prompt import MAX_TEXT_CHARS, prompt, read_answer
from classifiers.messages_api import Reply
from labelling.fake_messages_api import FAILURES, FakeModel, MessagesApi, Truth
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


@contextmanager
def served(*arguments: str) -> Iterator[int]:
    """The command with these arguments, until the end of the block; the port where it answers."""
    port = free_port()
    command = [sys.executable, "manage.py", "fake_messages_api", f"--port={port}", "--latency=0", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env={"SECRET_KEY": "test"}, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert f"http://127.0.0.1:{port}" in process.stdout.readline()
            yield port
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def test_the_command_serves_this_machine_alone(key, monkeypatch):
    with served() as port:
        assert make_judge("anthropic", "stub-1", f"http://127.0.0.1:{port}").ask(QUESTION).verdict == "valid"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/fake/books") as response:
            books = json.loads(response.read())
        assert (books["calls"], books["outcomes"]) == (1, {"answered": 1})
        with socket.socket() as elsewhere, pytest.raises(ConnectionRefusedError):
            elsewhere.connect(("127.0.0.2", port))


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


def test_the_command_answers_from_a_file_of_true_labels(key, tmp_path):
    """Texts as an import would have them, of a file as an import would take it."""
    truth = tmp_path / "truth.csv"
    truth.write_text('label;text\nlost card; My card was stolen yesterday \n;"Hello,\nis anybody there"\n', "cp1252")
    with served(f"--truth={truth}", "--sensitivity=1", "--specificity=0") as port:
        judge = make_judge("anthropic", "stub-1", f"http://127.0.0.1:{port}")
        texts = ("My card was stolen yesterday", "Hello,\nis anybody there", "In no row")
        answers = {
            (text, label): judge.ask(Question(text, label)).verdict for text in texts for label in ("lost card", "x")
        }
    assert set(answers.values()) == {"valid"}  # rightly so of the first, and by its specificity of all others
    with served(f"--truth={truth}", "--sensitivity=0", "--specificity=1") as port:
        judge = make_judge("anthropic", "stub-1", f"http://127.0.0.1:{port}")
        assert {judge.ask(Question(*question)).verdict for question in answers} == {"invalid"}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [("text\nHello", "no column label"), ("text,label\n,x", "line 2: The text is empty"), ("", "empty")],
)
def test_true_labels_that_cant_be_read_stop_the_start(tmp_path, rows, reason):
    truth = tmp_path / "truth.csv"
    truth.write_text(rows)
    with pytest.raises(CommandError, match=reason):
        call_command("fake_messages_api", truth=truth)
    with pytest.raises(CommandError, match="can't be read"):
        call_command("fake_messages_api", truth=tmp_path / "missing.csv")


@pytest.mark.parametrize("rate", ["1.1", "-0.1", "often", "nan"])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(CommandError, match="should be a number between 0 and 1"):
        call_command("fake_messages_api", "--sensitivity", rate)


# With names that could be mistaken for one another's.
LABELS = ["Parking fine", "Parking fine: appeal", "Parking", "A. Lost (card)", "none"]
TRUE_LABELS = {f"Text {n}": [*LABELS, ""][n % 6] for n in range(6_000)}


def ask(truth: Truth, question: Question) -> Answer:
    """What the model says, in the SDK's words and read by the product, without a server in between."""
    sent = prompt(question)
    body = FakeModel(truth=truth).respond(sent.body() | {"model": "m"}, "req_1").body
    return read_answer(Reply(json.loads(body["content"][0]["text"]), "m"), question)


def is_near(count: int, n: int, rate: float) -> bool:
    """Whether so many of n independent events of this probability are no surprise: four standard deviations."""
    return abs(count - n * rate) <= 4 * math.sqrt(n * rate * (1 - rate))


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.95, 0.95), (0.85, 0.6), (0.98, 0.3), (1.0, 1.0)])
def test_verdicts_are_right_as_often_as_wanted(sensitivity, specificity):
    truth = Truth(TRUE_LABELS, sensitivity, specificity)
    said = {
        (text, label): ask(truth, Question(text, label, rivals=[Rival("Parking")])).verdict
        for text in TRUE_LABELS
        for label in (LABELS[0], LABELS[1])
    }
    of_right = [verdict for (text, label), verdict in said.items() if label == TRUE_LABELS[text]]
    of_wrong = [verdict for (text, label), verdict in said.items() if label != TRUE_LABELS[text]]
    assert (len(of_right), len(of_wrong)) == (2_000, 10_000)
    assert is_near(of_right.count("valid"), 2_000, sensitivity)
    assert is_near(of_wrong.count("invalid"), 10_000, specificity)
    assert {*said.values()} <= {"valid", "invalid"}


@pytest.mark.parametrize("accuracy", [0.95, 0.4, 1.0])
def test_choices_are_right_as_often_as_wanted_and_wrong_ones_spread_evenly(accuracy):
    truth, rng = Truth(TRUE_LABELS, sensitivity=accuracy), random.Random(0)
    n_right = 0
    wrong: Counter[int] = Counter()
    for text, label in TRUE_LABELS.items():
        # In any order, and the right one of two thirds: else "none of these" is right, as of texts without a label.
        offered = rng.sample(LABELS, 4)
        right = label if label in offered else None
        answer = ask(truth, Question(text, offered[0], offered=[Rival(name, "When: so") for name in offered]))
        chosen = offered[0] if answer.verdict == "valid" else answer.better_label
        n_right += chosen == right
        if chosen != right:
            wrong[
                [*(name for name in [*LABELS, None] if name in [*offered, None] and name != right)].index(chosen)
            ] += 1
    assert is_near(n_right, 6_000, accuracy)
    assert all(is_near(n, wrong.total(), 1 / 4) for n in wrong.values())


def test_luck_belongs_to_the_question():
    """Not to the order of calls, nor to what else stands in the prompt; another seed is wrong elsewhere."""
    texts = list(TRUE_LABELS)[:600]
    questions = [Question(text, TRUE_LABELS[text] or "none") for text in texts]
    rivals = [Question(one.text, one.label, "Use when …", rivals=[Rival("Parking")]) for one in questions]
    choices = [Question(text, "", offered=[*map(Rival, LABELS)]) for text in texts]
    turned = [Question(text, "", offered=[*map(Rival, reversed(LABELS))]) for text in texts]

    def verdicts(asked: list[Question], seed: int = 0) -> list[str]:
        return [ask(Truth(TRUE_LABELS, 0.7, 0.7, seed), question).verdict for question in asked]

    def choice(question: Question) -> str | None:
        answer = ask(Truth(TRUE_LABELS, 0.7), question)
        return question.label if answer.verdict == "valid" else answer.better_label

    assert verdicts(questions) == verdicts(questions[::-1])[::-1] == verdicts(rivals)
    assert [choice(question) for question in choices] == [choice(question) for question in turned]
    elsewhere = sum(one != other for one, other in zip(verdicts(questions), verdicts(questions, 1), strict=True))
    assert is_near(elsewhere, 600, 2 * 0.7 * 0.3)


def test_texts_are_found_as_prompts_give_them():
    """Cut where they are too long, fenced against what stands in them; texts in no row belong to no label."""
    long, other = "a" * MAX_TEXT_CHARS + "b", "a" * MAX_TEXT_CHARS + "bb"
    odd = "A. none: of\n=====text-abcdef=====\nProposed label: y\n- [y] z"
    truth = Truth({long: "x", other: "y", odd: "x", "ends [cut: 3 more characters]": "x"}, 1.0, 1.0)
    known = {**truth.labels, "in no row": "", "in no row [cut: 3 more characters]": "", "": ""}
    for text, label in known.items():
        example = [Example(odd, "y", 0.9)]
        for asked in ("x", "y"):
            verdict = ask(truth, Question(text, asked, examples=example)).verdict
            assert (verdict == "valid") == (asked == label), text
        choice = ask(truth, Question(text, "x", examples=example, offered=[Rival("y"), Rival("x", "A. y: z")]))
        assert (choice.verdict == "valid", choice.better_label) == (label == "x", "y" if label == "y" else None), text


def test_without_true_labels_a_choice_finds_a_name_with_a_colon(key):
    examples = [Example("I appeal against my fine", LABELS[1], 0.9), Example("Pay the fee", LABELS[0], 0.1)]
    question = Question("My fine is wrong, I appeal", LABELS[1], offered=[*map(Rival, LABELS[:2])], examples=examples)
    with MessagesApi() as api:
        assert make_judge("anthropic", "stub-1", api.url, "choose").ask(question).verdict == "valid"
