"""What is answered: messages in the API's form, and what they say of a text."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from labelling.fake_messages_api.truth import Truth

MARK = re.compile(r"^=====text-([0-9a-f]+)=====$", re.MULTILINE)
PROPOSED = re.compile(r"^Proposed label: (.*)$", re.MULTILINE)
EXAMPLE = re.compile(r"^- \[(.*?)\] (.*)$", re.MULTILINE)
ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
OPTION = re.compile(r"^([A-Z])\. (.*)$", re.MULTILINE)
SIMULATED = "A simulation that knows the true label says so; now and then it is wrong."


@dataclass(frozen=True)
class Reply:
    """One HTTP response; a body of bytes is sent as it is, any other as JSON.

    ``cut``: the connection breaks in the middle of the body.
    """

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


def message(text: str, stop_reason: str | None = "end_turn", usage: Mapping[str, int] | None = None) -> Reply:
    """A message that ends for that reason; ``usage`` adds to or replaces the token counts."""
    return Reply(
        {
            "id": "msg_stub",
            "type": "message",
            "role": "assistant",
            "model": "stub-1",
            "content": [{"type": "text", "text": text}],
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {"input_tokens": 100, "output_tokens": 20} | dict(usage or {}),
        }
    )


def answer(verdict: str, reason: str = "It says so.", better_label: str | None = None, text: str = "") -> Reply:
    """A message that answers "is this label valid?"; ``text`` is the mark of the text it is about."""
    return message(json.dumps({"text": text, "reason": reason, "verdict": verdict, "better_label": better_label}))


def error(status: int, text: str = "", code: str | None = None, retry_after: float | None = 0.001) -> Reply:
    """An error in the API's form, with the time after which to come back."""
    details = {"details": {"error_code": code}} if code else {}
    kind = ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    body = {"type": "error", "error": {"type": kind, "message": text} | details}
    return Reply(body, status, {} if retry_after is None else {"retry-after": str(retry_after)})


def says(system: str, user: str, schema: Mapping[str, Any], truth: Truth | None = None) -> dict[str, Any]:
    """What the model says in the form that the schema asks for.

    It is what the true labels say, or without them what the words say that the text and the examples share.
    """
    fields = schema.get("properties", {})
    if "verdict" in fields:
        proposed = (PROPOSED.findall(system) or [""])[0]
        return {"text": mark_of(user), **(_true_verdict(truth, proposed, user) if truth else _verdict(proposed, user))}
    if "choice" in fields:
        return {"text": mark_of(user), **(_true_choice(truth, user) if truth else _choice(user))}
    return {name: _of_type(name, kind) for name, kind in fields.items()}


def mark_of(user: str) -> str:
    """The mark of the text that is asked about; nothing where no text is fenced."""
    found = MARK.findall(user)
    return found[-1] if found else ""


def _true_verdict(truth: Truth, proposed: str, user: str) -> dict[str, Any]:
    verdict = "valid" if truth.says_valid(_parts(user)[1], proposed) else "invalid"
    return {"verdict": verdict, "reason": SIMULATED, "better_label": None}


def _true_choice(truth: Truth, user: str) -> dict[str, Any]:
    before, text = _parts(user)
    letters = _options(before, {*truth.labels.values()})
    return {"choice": letters.get(truth.chosen(text, letters), "none"), "reason": SIMULATED}


def _verdict(proposed: str, user: str) -> dict[str, Any]:
    best, shared = _nearest(user)
    if not shared:
        return {"verdict": "unsure", "reason": "The text shares no word with any example.", "better_label": None}
    reason = f"An example of {best} shares the words {', '.join(sorted(shared)[:3])} with the text."
    if best == proposed:
        return {"verdict": "valid", "reason": reason, "better_label": None}
    return {"verdict": "invalid", "reason": reason, "better_label": best}


def _choice(user: str) -> dict[str, Any]:
    before, _ = _parts(user)
    letters = _options(before, {label for label, _ in EXAMPLE.findall(before)})
    best, shared = _nearest(user)
    if not shared:
        return {"choice": "unsure", "reason": "The text shares no word with any example."}
    reason = f"An example of {best} shares the words {', '.join(sorted(shared)[:3])} with the text."
    return {"choice": letters.get(best, "none"), "reason": reason}


def _nearest(user: str) -> tuple[str, set[str]]:
    """The label of the example that shares most words with the fenced text, and those words."""
    before, text = _parts(user)
    words = _words(text)
    best: tuple[str, set[str]] = ("", set())
    for label, example in EXAMPLE.findall(before):
        shared = words & _words(example)
        if len(shared) > len(best[1]):
            best = (label, shared)
    return best


def _parts(user: str) -> tuple[str, str]:
    """What stands before the fenced text, and that text."""
    fence = f"=====text-{mark_of(user)}====="
    before, found, fenced = user.partition(f"\n{fence}\n")
    return before, fenced.removesuffix(f"\n{fence}") if found else ""


def _options(before: str, known: Collection[str]) -> dict[str, str]:
    """The letter of each label that is offered; a label with a colon in its name has to be a known one."""
    letters: dict[str, str] = {}
    for letter, line in OPTION.findall(before):
        named = [label for label in known if line.startswith(f"{label}: ")]
        letters.setdefault(max(named, key=len, default=line.partition(": ")[0]), letter)
    return letters


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w{3,}", text.lower()))


def _of_type(name: str, kind: Mapping[str, Any]) -> Any:
    types = kind.get("type", "string")
    first = types if isinstance(types, str) else types[0]
    if "enum" in kind:
        return kind["enum"][0]
    if first == "array":
        return [_of_type(name, kind.get("items", {}))]
    if first == "object":
        return {inner: _of_type(inner, what) for inner, what in kind.get("properties", {}).items()}
    return {"integer": 1, "number": 0.5, "boolean": True}.get(first, f"Made up: {name.replace('_', ' ')}.")
