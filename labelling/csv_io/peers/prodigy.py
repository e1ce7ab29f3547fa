"""Prodigy: the JSON lines of ``prodigy db-out`` in. As version 1.18 writes those of textcat and choice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from labelling.csv_io.peers.opinions import Opinion, row_of
from labelling.csv_io.stored import as_text, together

ACCEPTED = "accept"
ANSWERS = {ACCEPTED, "reject", "ignore"}
OF_PRODIGY = {"text", "id", "options", "tokens", ACCEPTED}

Said = Mapping[str, Any]


def is_example(value: Said) -> bool:
    return "text" in value and value.get("answer") in ANSWERS


def rows_of(examples: Iterable[Said]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield a row for each text; a label that was rejected, or ignored, is none and stays beside it as it was."""
    keyed = ((as_text(said["text"]), dict(said)) for said in examples)
    for number, said in enumerate(together(keyed), start=1):
        opinions = [opinion for each in said for opinion in _opinions(each)]
        others = {name: value for each in said for name, value in _others(each)}
        yield number, row_of(as_text(said[0]["text"]), as_text(said[0].get("id")), opinions, others)


def _opinions(said: Said) -> Iterator[Opinion]:
    if said["answer"] == ACCEPTED:
        chosen = said.get(ACCEPTED, said.get("label"))
        by = as_text(said.get("_annotator_id") or said.get("_session_id"))
        yield from (Opinion(as_text(label), by) for label in (chosen if isinstance(chosen, list) else [chosen]))


def _others(said: Said) -> Iterator[tuple[str, Any]]:
    left_out = OF_PRODIGY | ({"label", "answer"} if said["answer"] == ACCEPTED else set())
    return ((name, value) for name, value in said.items() if name not in left_out and not name.startswith("_"))
