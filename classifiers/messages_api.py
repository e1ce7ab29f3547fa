"""One call of the Messages API: a prompt in, the model's structured answer out, with what it took.

The only module that imports the SDK. The SDK's own retries are off: each call here is at most one that is paid for, so
that whoever keeps the books sees all of them. The key comes from the environment (ANTHROPIC_API_KEY), is read by the
SDK alone, and is in no message.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx2

from classifiers.bounded import bounds
from classifiers.sentences import Reason as _

if TYPE_CHECKING:
    from anthropic import Anthropic, APIStatusError
    from anthropic.types import Message
    from anthropic.types.messages import MessageBatchResult

# Of a server that asks to come back later than this, somebody should know.
LONGEST_WAIT = 600.0


@dataclass(frozen=True)
class Usage:
    """Tokens as billed, >= 0.

    Attributes:
        input_tokens: of the prompt, without those of the cache.
        output_tokens: of the answer.
        cache_read_tokens: of the prompt, found in the cache.
        cache_write_tokens: of the prompt, put into the cache.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


NOTHING = Usage()


class JudgeError(Exception):
    """This call got no usable answer; another one may. The message says why, for people.

    Attributes:
        passing: the same call may well succeed in a while; else it is no use to repeat it.
        wait: seconds that the server asks to wait before the next call; None when it said nothing.
        status: HTTP status; None when nothing was heard of the server.
        usage: what was billed for it; None when that can't be known: it may have been paid for.
        request_id: the provider's id of the call, where known.
    """

    def __init__(
        self,
        message: str,
        *,
        passing: bool = False,
        wait: float | None = None,
        status: int | None = 200,
        usage: Usage | None = NOTHING,
        request_id: str = "",
    ):
        super().__init__(message)
        self.passing, self.wait, self.status, self.usage, self.request_id = passing, wait, status, usage, request_id


class JudgeUnavailable(Exception):
    """No call will get an answer until somebody acts. The message says what to do. Nothing was billed."""


@dataclass(frozen=True)
class Prompt:
    """What is sent.

    Attributes:
        system: the part that many calls share; it is cached by the provider.
        user: the rest.
        schema: JSON schema of the answer.
        max_tokens: of the answer, at most.
    """

    system: str
    user: str
    schema: Mapping[str, object]
    max_tokens: int = 1024

    def body(self) -> dict[str, Any]:
        """The parameters of the call, but for the model."""
        return {
            "max_tokens": self.max_tokens,
            "system": [{"type": "text", "text": self.system, "cache_control": {"type": "ephemeral"}}],
            "messages": [{"role": "user", "content": self.user}],
            "output_config": {"format": {"type": "json_schema", "schema": dict(self.schema)}},
        }

    @property
    def most_input_tokens(self) -> int:
        """No prompt has more tokens than bytes; a token of English has about four."""
        return len(self.system.encode()) + len(self.user.encode()) + len(json.dumps(self.schema)) + 200


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        said: the answer, a JSON object; whether it keeps to the schema is for the caller to check.
        model: the model that answered.
        request_id: the provider's id of the call.
        usage: tokens as billed.
        latency: seconds until the answer was there; None from a batch.
    """

    said: Mapping[str, Any]
    model: str
    request_id: str = ""
    usage: Usage = field(default_factory=Usage)
    latency: float | None = None


@dataclass(frozen=True)
class BatchState:
    """How far a message batch is: requests done, and whether all results are there."""

    ended: bool
    done: int
    total: int


class MessagesClient:
    """A model behind an endpoint that speaks the Messages API. One client serves many threads.

    Args:
        model: model name, as the endpoint knows it.
        base_url: the endpoint; None for the SDK's own choice.
        timeout: seconds to wait for one answer.

    Every method raises JudgeError when its call failed and JudgeUnavailable when all others would fail too.
    """

    def __init__(self, model: str, base_url: str | None = None, timeout: float = 60.0):
        self.model, self.base_url, self.timeout = model, base_url, timeout

    def fingerprint(self, prompt: Prompt) -> str:
        """Hash of everything that the answer depends on: two calls with the same one are the same question."""
        sent = json.dumps([self.base_url, self.model, prompt.body()], sort_keys=True)
        return hashlib.sha256(sent.encode("utf-8", "surrogatepass")).hexdigest()

    def open(self) -> None:
        """Make sure that there is a key, before many threads ask at once."""
        _ = self._client

    def close(self) -> None:
        """Break all connections; calls on their way fail."""
        if client := self.__dict__.pop("_client", None):
            client.close()

    def call(self, prompt: Prompt) -> Reply:
        """Send a prompt and wait for the answer."""
        started = time.monotonic()
        with self._in_words():
            message = self._client.messages.create(model=self.model, **prompt.body())
            return read_reply(message, time.monotonic() - started)

    def count_tokens(self, prompt: Prompt) -> int:
        """How many input tokens the prompt has; counting is free."""
        body = prompt.body()
        del body["max_tokens"]
        with self._in_words():
            return self._client.messages.count_tokens(model=self.model, **body).input_tokens

    def send_batch(self, prompts: Mapping[str, Prompt]) -> str:
        """Submit prompts by custom id, 1 to 64 letters, digits, - and _, as one batch; return the batch's id."""
        requests = [{"custom_id": key, "params": {"model": self.model, **p.body()}} for key, p in prompts.items()]
        with self._in_words():
            return self._client.messages.batches.create(requests=requests).id  # type: ignore[arg-type]

    def batch_state(self, batch_id: str) -> BatchState:
        """How far the batch is; the JudgeError for one that is not known here has the status 404."""
        with self._in_words(of_batch=True):
            batch = self._client.messages.batches.retrieve(batch_id)
            counts = batch.request_counts
            waiting = counts.processing
            total = waiting + counts.succeeded + counts.errored + counts.canceled + counts.expired
            return BatchState(batch.processing_status == "ended", total - waiting, total)

    def batch_results(self, batch_id: str) -> Iterator[tuple[str, Reply | JudgeError | JudgeUnavailable]]:
        """What came of each request of an ended batch, by custom id, in any order; 404 as for batch_state."""
        with self._in_words(of_batch=True):
            for line in self._client.messages.batches.results(batch_id):
                yield line.custom_id, _batch_outcome(line.result, self.model, self._client.auth_headers)

    def cancel_batch(self, batch_id: str) -> None:
        """Ask the provider to stop; what is answered already stays, and stays paid for."""
        with self._in_words():
            self._client.messages.batches.cancel(batch_id)

    @cached_property
    def _client(self) -> Anthropic:
        import anthropic

        client = anthropic.Anthropic(
            base_url=self.base_url,
            timeout=self.timeout,
            max_retries=0,
            # A redirect would take the key to another host.
            http_client=anthropic.DefaultHttpxClient(follow_redirects=False, event_hooks=bounds(self.timeout)),
        )
        # Without a key the SDK waits for the first call and raises a bare TypeError there.
        if not (client.auth_headers or client.credentials):
            raise JudgeUnavailable(NO_KEY)
        return client

    @contextmanager
    def _in_words(self, of_batch: bool = False) -> Iterator[None]:
        """Turn whatever the SDK raises into a sentence for people."""
        import anthropic

        try:
            yield
        except anthropic.APIStatusError as error:
            if of_batch and isinstance(error, anthropic.NotFoundError):
                raise JudgeError(NO_BATCH, status=404, usage=None) from error
            raise _explain(error, self.model) from error
        except anthropic.APITimeoutError as error:
            raise JudgeError(_("The judge did not answer in time."), passing=True, status=None, usage=None) from error
        # Of a connection that breaks while a batch's results come the SDK says nothing of its own.
        except (anthropic.APIConnectionError, httpx2.TransportError) as error:
            raise JudgeError(_("The judge could not be reached."), passing=True, status=None, usage=None) from error
        except anthropic.CredentialsError as error:
            raise JudgeUnavailable(NO_KEY) from error
        except (anthropic.AnthropicError, json.JSONDecodeError, AttributeError) as error:
            # The SDK hands on whatever JSON or text it was sent.
            raise JudgeError(NOT_A_MESSAGE, usage=None) from error


NO_KEY = _(
    "No key for the judge: set ANTHROPIC_API_KEY in the environment of the worker and start it again, "
    "or choose another judge."
)
KEY_REFUSED = _("The judge refused the key: check ANTHROPIC_API_KEY and what it may use.")
SPEND_LIMIT = _("The judge's spend limit is reached: raise it with the provider, then go on.")
NOT_A_MESSAGE = _("The judge's answer was not in the form of the Messages API.")
NO_BATCH = _("The judge knows no such batch: it is too old, or was sent to another address or with another key.")
NOT_AGREED = _("The judge's answer was not in the agreed form.")
# How providers say, under several statuses, that there is no money left.
NO_MONEY = ("spend_limit_reached", "credit balance is too low", "billing_error")
MAX_NAME_CHARS = 100
# No prompt and no answer comes near: whoever says so can't count.
MAX_TOKENS = 1_000_000_000
# What passes by itself: time-out, conflict, too early, rate limit.
PASSING = (408, 409, 425, 429)


def read_reply(message: Message, latency: float | None = None) -> Reply:
    """Turn a message into a reply.

    Raises:
        JudgeError: when the model refused, was cut off or stopped otherwise, or said anything but one JSON object.
    """
    import anthropic

    if not isinstance(message, anthropic.types.Message):
        raise JudgeError(NOT_A_MESSAGE, usage=None)
    # Only the answer to a call has its id; one from a batch has the message's.
    billed, request_id = _usage(message), _name(getattr(message, "_request_id", None) or message.id)
    if message.stop_reason == "refusal":
        raise JudgeError(_("The judge refused to answer."), usage=billed, request_id=request_id)
    if message.stop_reason in ("max_tokens", "model_context_window_exceeded"):
        raise JudgeError(_("The judge's answer was cut off."), usage=billed, request_id=request_id)
    try:
        (text,) = (block.text for block in message.content if block.type == "text")
        said = _storable(json.loads(text, parse_constant=_no_number, object_pairs_hook=_each_key_once))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise JudgeError(NOT_AGREED, usage=billed, request_id=request_id) from error
    if message.stop_reason != "end_turn" or not isinstance(said, dict) or billed is None:
        raise JudgeError(NOT_AGREED, usage=billed, request_id=request_id)
    return Reply(said, _name(message.model), request_id, billed, latency)


def _storable(said: Any) -> Any:
    """What a model said without the characters that JSON can name and no database takes: NUL and half surrogates."""
    if isinstance(said, str):
        return said.encode("utf-8", "replace").decode().replace("\0", "?")
    if isinstance(said, list):
        return [_storable(part) for part in said]
    if isinstance(said, dict):
        return {_storable(key): _storable(value) for key, value in said.items()}
    return said


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object that says two things under one name says nothing."""
    if len(said := dict(pairs)) < len(pairs):
        raise ValueError("A key stands twice.")
    return said


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON.")


def _name(given: object) -> str:
    """An id or a model's name as the server gives it; no real one is longer."""
    return _storable(str(given or ""))[:MAX_NAME_CHARS]


def _usage(message: Message) -> Usage | None:
    used = message.usage
    # A server that isn't the provider's own may leave it out.
    if used is None or used.input_tokens is None:
        return None
    counts = (
        used.input_tokens,
        used.output_tokens or 0,
        used.cache_read_input_tokens or 0,
        used.cache_creation_input_tokens or 0,
    )
    sound = all(isinstance(count, int) and 0 <= count <= MAX_TOKENS for count in counts)
    return Usage(*counts) if sound else None


def _batch_outcome(
    result: MessageBatchResult, model: str, headers: Mapping[str, str]
) -> Reply | JudgeError | JudgeUnavailable:
    """What came of one request of a batch; ``headers`` are those that carry the key."""
    if result.type == "succeeded":
        try:
            return read_reply(result.message)
        except JudgeError as error:
            return error
    if result.type == "errored":
        said, kind = result.error.error.message, result.error.error.type
        if lasting := _lasting(kind, model):
            return lasting
        # Invalid requests stay invalid; what the provider's own machines did passes.
        passing = kind in ("api_error", "overloaded_error", "rate_limit_error", "timeout_error")
        reason = _without_key(said, headers)
        return JudgeError(
            _("The judge did not answer the question: %(reason)s", reason=reason), status=400, passing=passing
        )
    return JudgeError(_("The batch ended before this question was asked (%(how)s).", how=result.type), passing=True)


def _lasting(kind: str, model: str) -> JudgeUnavailable | None:
    """What no repetition helps, by the type of error that the API names."""
    if kind == "billing_error":
        return JudgeUnavailable(SPEND_LIMIT)
    if kind in ("authentication_error", "permission_error"):
        return JudgeUnavailable(KEY_REFUSED)
    if kind == "not_found_error":
        return _no_such_model(model)
    return None


def _no_such_model(model: str) -> JudgeUnavailable:
    return JudgeUnavailable(
        _(
            "The judge knows no model '%(model)s': choose another in the project's settings, or mend the base URL.",
            model=model,
        )
    )


def _explain(error: APIStatusError, model: str) -> JudgeError | JudgeUnavailable:
    """Sort an HTTP error into "this call failed" and "somebody must act first"."""
    import anthropic

    if error.status_code == 402 or any(sign in json.dumps(error.body, default=str) for sign in NO_MONEY):
        return JudgeUnavailable(SPEND_LIMIT)
    if isinstance(error, anthropic.AuthenticationError | anthropic.PermissionDeniedError):
        return JudgeUnavailable(KEY_REFUSED)
    if isinstance(error, anthropic.NotFoundError):
        return _no_such_model(model)
    wait = retry_after(error.response.headers)
    if wait is not None and wait > LONGEST_WAIT:
        return JudgeUnavailable(_("The judge asks to wait %(n)s minutes: go on after that.", n=round(wait / 60)))
    request_id = _name(error.request_id)
    passing = error.status_code in PASSING or error.status_code >= 500
    if isinstance(error, anthropic.RateLimitError):
        said = _("The judge's rate limit was hit.")
    elif error.status_code >= 500:
        said = _("The judge was overloaded or down (HTTP %(status)s).", status=error.status_code)
    else:
        reason = _without_key(str(error.api_message or "no reason given"), error.request.headers)
        said = _(
            "The judge did not accept the question (HTTP %(status)s): %(reason)s",
            status=error.status_code,
            reason=reason,
        )
    return JudgeError(said, passing=passing, wait=wait, status=error.status_code, request_id=request_id)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: a number or a date (RFC 9110, section 10.2.3); None for nothing usable."""
    said = headers.get("retry-after", "")
    try:
        # Python takes "nan" for a number, and no time is ever later than that.
        return None if math.isnan(float(said)) else max(float(said), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _without_key(text: str, headers: Mapping[str, str]) -> str:
    """Some gateways quote the key they were sent; our messages are stored and shown."""
    sent = {name.lower(): value for name, value in headers.items()}
    for key in (sent.get("authorization", "").removeprefix("Bearer "), sent.get("x-api-key", "")):
        text = text.replace(key, "[key]") if key else text
    return _storable(text)
