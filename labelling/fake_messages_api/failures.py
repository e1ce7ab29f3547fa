"""Every way in which a call can fail, by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from typing import Any

from labelling.fake_messages_api.answers import Reply, error


class Fault(Enum):
    """Instead of a reply."""

    SILENCE = auto()  # nothing, until the server closes
    DROPPED = auto()  # the connection ends without a word


Failure = Callable[[Reply], Reply | Fault]


def _refused(reply: Reply) -> Reply:
    return replace(reply, body=reply.body | {"stop_reason": "refusal", "content": []})


def _truncated(reply: Reply) -> Reply:
    text = reply.body["content"][0]["text"]
    half = [{"type": "text", "text": text[: len(text) // 2]}]
    return replace(reply, body=reply.body | {"stop_reason": "max_tokens", "content": half})


def _malformed(reply: Reply) -> Reply:
    return replace(reply, body=reply.body | {"content": [{"type": "text", "text": "I think it is valid."}]})


def _other_document(reply: Reply) -> Reply:
    said: dict[str, Any] = json.loads(reply.body["content"][0]["text"])
    content = [{"type": "text", "text": json.dumps(said | {"text": "0000000000000000"})}]
    return replace(reply, body=reply.body | {"content": content})


# What is answered instead of a good reply. The model charges for those that still carry a message.
FAILURES: dict[str, Failure] = {
    "rate_limit": lambda reply: error(429, "Too many requests.", retry_after=1),
    "overloaded": lambda reply: error(529, "Overloaded.", retry_after=None),
    "server_error": lambda reply: error(500, "Internal error.", retry_after=None),
    "timeout": lambda reply: Fault.SILENCE,
    "connection_lost": lambda reply: Fault.DROPPED,
    "unauthorized": lambda reply: error(401, "Invalid API key.", retry_after=None),
    "unknown_model": lambda reply: error(404, "No such model.", retry_after=None),
    "spend_limit": lambda reply: error(429, "Limit reached.", code="enforced_spend_limit_reached", retry_after=None),
    "refusal": _refused,
    "truncated": _truncated,
    "malformed": _malformed,
    "other_document": _other_document,
    "cut_off": lambda reply: replace(reply, cut=True),
}
