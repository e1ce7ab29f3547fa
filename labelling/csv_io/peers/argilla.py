"""Argilla: records in, as its client writes them flat or nested, and out. As version 2.8 does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from labelling.csv_io.peers.opinions import Opinion, carried, is_of_people, row_of
from labelling.csv_io.stored import as_text

QUESTION = "label"
SUBMITTED = "submitted"
TAKEN = {"text", "id", "status", QUESTION, "_server_id"}
# Also where they are empty: that nobody has labelled a text is said, too.
ALWAYS = {"red_label", "red_source"}
OF_ARGILLA = {"id", "status", "_server_id", "vectors"}

Numbered = Iterator[tuple[int, dict[str, Any]]]
Said = Mapping[str, Any]


class NoStatus(Exception):
    """The records don't say which responses were submitted: drafts and discarded ones look the same."""


def is_nested(value: Said) -> bool:
    return isinstance(value.get("fields"), dict) and ("responses" in value or "suggestions" in value)


def is_flat(value: Said) -> bool:
    return any(name.endswith((".responses", ".suggestion")) for name in value)


def rows_of(records: Iterable[Said]) -> Numbered:
    """Yield a row for each record.

    Raises:
        NoStatus: when a record has responses without it.
    """
    for number, record in enumerate(records, start=1):
        flat = _flattened(record) if is_nested(record) else dict(record)
        question = next((name.rpartition(".")[0] for name in flat if name.endswith((".responses", ".suggestion"))), "")
        opinions = [*_suggested(flat, question), *_responded(flat, question)]
        others = {n: v for n, v in flat.items() if n not in OF_ARGILLA and not n.startswith(f"{question}.")}
        strings = [name for name, value in others.items() if isinstance(value, str)]
        text = "text" if "text" in others else max(strings, key=lambda name: len(others[name]), default="text")
        yield number, row_of(as_text(others.pop(text, "")), as_text(flat.get("id")), opinions, others)


def records(rows: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """Yield the parts of a JSON file for ``records.from_json``.

    A person's label is a response where Argilla knows the person, by an id of its own; all others are suggestions.
    """
    separator = "[\n"
    for cells in rows:
        record: dict[str, Any] = {"id": cells["id"] or None, "fields": {"text": cells["text"]}}
        record["metadata"] = {n: cell for n, cell in carried(cells, TAKEN).items() if cell or n in ALWAYS}
        record |= {"suggestions": {}, "responses": {}, "vectors": {}}
        if cells["label"] and is_of_people(cells) and _is_user(cells["reviewer"]):
            response = {"value": cells["label"], "user_id": cells["reviewer"], "status": SUBMITTED}
            record["responses"] = {QUESTION: [response]}
        elif cells["label"]:
            record["suggestions"] = {QUESTION: {"value": cells["label"], **_origin(cells)}}
        yield separator + json.dumps(record, ensure_ascii=False)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def _origin(cells: Mapping[str, str]) -> dict[str, Any]:
    if is_of_people(cells):
        return {"score": None, "agent": f"red-{cells['source']}"}
    score = float(cells["probability"]) if cells["probability"] else None
    return {"score": score, "agent": f"red-round-{cells['round']}" if cells["round"] else "red"}


def _is_user(who: str) -> bool:
    try:
        UUID(who)
    except ValueError:
        return False
    return True


def _flattened(record: Said) -> dict[str, Any]:
    flat: dict[str, Any] = {**record["fields"], **(record.get("metadata") or {}), "id": record.get("id")}
    for question, given in (record.get("responses") or {}).items():
        flat[f"{question}.responses"] = [each["value"] for each in given]
        flat[f"{question}.responses.users"] = [each.get("user_id") for each in given]
        flat[f"{question}.responses.status"] = [each.get("status") for each in given]
    for question, given in (record.get("suggestions") or {}).items():
        flat[f"{question}.suggestion"] = given.get("value")
        flat |= {f"{question}.suggestion.{name}": given.get(name) for name in ("score", "agent")}
    return flat


def _suggested(flat: Said, question: str) -> Iterator[Opinion]:
    if (label := flat.get(f"{question}.suggestion")) is None:
        return
    agent, score = (flat.get(f"{question}.suggestion.{name}") for name in ("agent", "score"))
    if as_text(agent) not in ("red-seed", "red-human"):
        yield Opinion(as_text(label), as_text(agent), score=score, is_person=False)
    elif not flat.get(f"{question}.responses"):
        # Our own people's word, which nobody has answered there.
        yield Opinion(as_text(label), as_text(flat.get("red_reviewer")), as_text(flat.get("red_decided_at")))


def _responded(flat: Said, question: str) -> Iterator[Opinion]:
    values = flat.get(f"{question}.responses") or []
    users = flat.get(f"{question}.responses.users") or [""] * len(values)
    states = flat.get(f"{question}.responses.status") or [None] * len(values)
    for value, user, state in zip(values, users, states, strict=True):
        if state is None:
            raise NoStatus
        if state == SUBMITTED:
            yield Opinion(as_text(value), as_text(user))
