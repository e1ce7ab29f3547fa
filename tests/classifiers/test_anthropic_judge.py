"""The judge behind the Messages API: the real SDK against a stub of the API on a local port."""

from __future__ import annotations

import os

import pytest

from classifiers.judge import (
    Answer,
    AnthropicJudge,
    JudgeError,
    JudgeUnavailable,
    Question,
    Rival,
    make_judge,
)
from classifiers.judge.prompt import mark_of, prompt
from classifiers.messages_api import NO_KEY, MessagesClient, retry_after
from labelling.fake_messages_api import Fault, MessagesApi, Reply, answer, error, message
from tests.fakes import in_turn

KEY = "sk-ant-a-secret-key"

QUESTION = Question("My card was stolen", "lost card", "The card is gone.", rivals=[Rival("refund")])


def says(verdict: str, reason: str = "It says so.", better_label: str | None = None) -> Reply:
    """An answer about the question's own text."""
    return answer(verdict, reason, better_label, text=mark_of(QUESTION))


@pytest.fixture
def api(monkeypatch, tmp_path):
    """The stub, and an environment in which the SDK finds one key and nothing else."""
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with MessagesApi(respond=in_turn(says("valid"))) as stub:
        yield stub


def ask(api: MessagesApi, timeout: float = 30.0) -> Answer:
    return AnthropicJudge(MessagesClient("stub-1", api.url, timeout)).ask(QUESTION)


def test_an_answer_comes_back_with_what_it_took(api):
    api.respond = in_turn(says("invalid", "It was refunded.", "refund"))
    assert ask(api) == Answer("invalid", "It was refunded.", "refund", "stub-1", "req_1", 100, 20)


def test_the_question_is_put_with_a_cached_system_prompt_and_a_schema(api):
    ask(api)
    (request,) = api.requests
    assert request.path == "/v1/messages"
    assert KEY in request.headers.get("authorization", "") + request.headers.get("x-api-key", "")
    assert request.body["model"] == "stub-1"
    (system,) = request.body["system"]
    assert (system["text"], system["cache_control"]) == (prompt(QUESTION).system, {"type": "ephemeral"})
    assert request.body["messages"] == [{"role": "user", "content": prompt(QUESTION).user}]
    assert request.body["output_config"]["format"] == {"type": "json_schema", "schema": prompt(QUESTION).schema}


def test_one_judge_answers_one_question_after_the_other(api):
    api.respond = in_turn(says("valid"), says("unsure"), says("invalid"))
    judged = AnthropicJudge(MessagesClient("stub-1", api.url))
    assert [judged.ask(QUESTION).verdict for _ in range(3)] == ["valid", "unsure", "invalid"]


FAILURES = [
    (error(400, "prompt is too long"), JudgeError, r"did not accept the question \(HTTP 400\): prompt is too long"),
    (Reply(b"<html>Bad", 400), JudgeError, r"\(HTTP 400\): no reason given"),
    (error(401), JudgeUnavailable, "check ANTHROPIC_API_KEY"),
    (error(402), JudgeUnavailable, "spend limit is reached: raise it"),
    (error(403), JudgeUnavailable, "check ANTHROPIC_API_KEY"),
    (error(404), JudgeUnavailable, "knows no model 'stub-1': choose another"),
    (error(413), JudgeError, r"\(HTTP 413\)"),
    (error(429), JudgeError, "rate limit"),
    (error(429, code="ramp_limit_exceeded"), JudgeError, "rate limit"),
    (error(429, code="enforced_spend_limit_reached"), JudgeUnavailable, "spend limit is reached: raise it"),
    (error(429, code="contract_spend_limit_reached"), JudgeUnavailable, "spend limit is reached: raise it"),
    (error(500), JudgeError, r"overloaded or down \(HTTP 500\)"),
    (error(529), JudgeError, r"overloaded or down \(HTTP 529\)"),
    (Fault.DROPPED, JudgeError, "could not be reached"),
    (Reply(b'{"type": "mess', headers={"content-length": "999"}), JudgeError, "could not be reached"),
    (Reply(b'{"type": "mess'), JudgeError, "not in the form of the Messages API"),
    (Reply(b""), JudgeError, "not in the form of the Messages API"),
    (Reply(b"<html>Hello", headers={"content-type": "text/html"}), JudgeError, "not in the form of the Messages API"),
    (Reply([]), JudgeError, "not in the form of the Messages API"),
    (Reply(None), JudgeError, "not in the form of the Messages API"),
    (Reply({}), JudgeError, "not in the (agreed form|form of the Messages API)"),
    (Reply({"content": ["valid"], "stop_reason": "end_turn"}), JudgeError, "not in the agreed form"),
    (Reply(says("valid").body | {"usage": None}), JudgeError, "not in the agreed form"),
    (message('{"verdict": "va', "max_tokens"), JudgeError, "cut off"),
    (answer("valid", text="of another"), JudgeError, "about another text"),
    (message("", "refusal"), JudgeError, "refused to answer"),
    (message("I think it is valid."), JudgeError, "not in the agreed form"),
    (message(says("valid").body["content"][0]["text"].replace("null", "NaN")), JudgeError, "not in the agreed form"),
    (Reply(says("valid").body | {"usage": {"input_tokens": -1, "output_tokens": 1}}), JudgeError, "not in the agreed"),
    (Reply(says("valid").body | {"usage": {"input_tokens": 1, "output_tokens": "?"}}), JudgeError, "not in the agreed"),
]


@pytest.mark.parametrize(("reply", "kind", "said"), FAILURES)
def test_a_failure_is_told_in_words_and_is_never_an_answer(api, reply, kind, said):
    api.respond = in_turn(reply)
    with pytest.raises(kind, match=said) as raised:
        ask(api)
    assert type(raised.value) is kind
    assert KEY not in str(raised.value)


def test_what_no_database_takes_is_no_part_of_an_answer(api):
    said = says("valid", "Half a \ud800 and a \0.")
    api.respond = in_turn(Reply(said.body | {"model": "m" * 300}, headers={"request-id": "r" * 300}))
    answered = ask(api)
    assert answered.reason == "Half a ? and a ?."
    assert (answered.model, answered.request_id) == ("m" * 100, "r" * 100)


def test_silence_is_no_answer(api):
    api.respond = in_turn(Fault.SILENCE)
    with pytest.raises(JudgeError, match="did not answer in time"):
        ask(api, timeout=0.2)


def test_a_server_that_is_not_there_is_no_answer(api):
    with MessagesApi(respond=in_turn(says("valid"))) as closed:
        pass
    with pytest.raises(JudgeError, match="could not be reached"):
        ask(closed)


@pytest.mark.parametrize("passing", [error(408), error(409), error(429), error(500), error(529), Fault.DROPPED])
def test_a_passing_failure_says_so_and_is_asked_once(api, passing):
    api.respond = in_turn(passing)
    with pytest.raises(JudgeError) as raised:
        ask(api)
    assert raised.value.passing
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    "lasting",
    [
        *(error(status) for status in (400, 401, 402, 403, 404)),
        error(429, code="enforced_spend_limit_reached"),
        error(429, code="contract_spend_limit_reached"),
    ],
)
def test_what_no_repetition_can_help_is_asked_once(api, lasting):
    api.respond = in_turn(lasting)
    with pytest.raises((JudgeError, JudgeUnavailable)) as raised:
        ask(api)
    assert not getattr(raised.value, "passing", False)
    assert len(api.requests) == 1


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_the_message_says_what_to_do_and_nothing_is_sent(api, monkeypatch, key):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    if key is not None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    with pytest.raises(JudgeUnavailable, match="set ANTHROPIC_API_KEY in the environment of the worker"):
        ask(api)
    assert api.requests == []


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"ANTHROPIC_PROFILE": "missing"}, id="found missing when the client is made"),
        pytest.param(
            {
                "ANTHROPIC_IDENTITY_TOKEN_FILE": "/missing",
                "ANTHROPIC_FEDERATION_RULE_ID": "rule",
                "ANTHROPIC_ORGANIZATION_ID": "organisation",
            },
            id="found missing on the first call",
        ),
    ],
)
def test_other_credentials_that_cannot_be_read_are_no_key(api, monkeypatch, environment):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(JudgeUnavailable) as raised:
        ask(api)
    assert str(raised.value) == NO_KEY
    assert api.requests == []


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500, 529])
def test_a_key_that_the_server_quotes_is_in_no_message(api, status):
    api.respond = in_turn(error(status, f"The key {KEY} is not welcome here."))
    with pytest.raises((JudgeError, JudgeUnavailable)) as raised:
        ask(api)
    assert KEY not in str(raised.value)


def test_a_key_with_a_line_break_is_in_no_message(api, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", f"{KEY}\n")
    with pytest.raises(JudgeError) as raised:
        ask(api)
    assert KEY not in str(raised.value)
    assert api.requests == []


def test_a_judge_made_by_name_asks_the_endpoint(api):
    assert make_judge("anthropic", "stub-1", api.url).ask(QUESTION).verdict == "valid"


@pytest.mark.parametrize(("said", "seconds"), [("1.5", 1.5), ("-3", 0.0), ("nan", None), ("soon", None), ("", None)])
def test_a_server_that_asks_to_wait_is_heeded_when_it_says_how_long(said, seconds):
    assert retry_after({"retry-after": said}) == seconds
