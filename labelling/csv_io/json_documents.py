"""JSON that is no list of objects: columns, rows by their ids, lists below a name, texts below their labels."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from labelling.csv_io.dialects import TEXT_NAMES, knows
from labelling.csv_io.names import SPLIT_WORDS
from labelling.csv_io.records import NotCsv

Objects = Iterable[Mapping[str, Any]]


def objects_of(value: Mapping[str, Any]) -> Objects:
    """Return the rows of a document, each with its names.

    Raises:
        NotCsv: when it holds several lists of rows, and nobody knows which one is meant.
    """
    if isinstance(value.get("text"), str):
        return [value]
    if isinstance(value.get("columns"), list) and _are(list, value.get("data")):
        return [dict(zip(map(str, value["columns"]), row, strict=False)) for row in value["data"]]
    if lists := _lists_of_rows(value):
        return _rows_below(lists)
    if _are(dict, value.values()):
        return _of_objects(value)
    if _are(list, value.values()):
        return _of_lists(value)
    if _are(str, value.values()) and not knows(value):
        return [{"key": name, "value": cell} for name, cell in value.items()]
    return [value] if value else []


def named_rows(rows: Iterable[Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield rows of cells with their names, which stand in the first row or are numbers."""
    names: list[str] = []
    for row in rows:
        if not names:
            is_header = _are(str, row) and knows(row)
            names = [str(name) for name in row] if is_header else []
            if is_header:
                continue
        yield {names[n] if n < len(names) else f"Column {n + 1}": cell for n, cell in enumerate(row)}


def row_of(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an object as a row: what stands with its text below a name is lifted, a conversation is text and label."""
    if knows(value, TEXT_NAMES):
        return value
    if _are(dict, value.get("messages")):
        said = {turn.get("role"): turn.get("content") for turn in value["messages"]}
        return {"text": said.get("user"), "label": said.get("assistant"), **value}
    below = [name for name, inner in value.items() if isinstance(inner, dict) and knows(inner, TEXT_NAMES)]
    if len(below) != 1:
        return value
    return {**{name: cell for name, cell in value.items() if name not in below}, **value[below[0]]}


def _rows_below(lists: Mapping[str, list[Any]]) -> Objects:
    """The rows of the one list that has texts, or of those that are parts of a data set, each with its part."""
    parts = {name: re.split(r"[\W_]", name)[-1] for name in lists}
    if len(lists) > 1 and not all(part.casefold() in SPLIT_WORDS for part in parts.values()):
        with_texts = [found for found in lists.values() if isinstance(found[0], dict) and _has_text(found[0])]
        if len(with_texts) == 1:
            return with_texts[0]
        names = ", ".join(f"“{name}”" for name in lists)
        raise NotCsv(_("This JSON file holds several lists: %(names)s. Import a file for each.") % {"names": names})
    rows: list[Mapping[str, Any]] = []
    for name, found in lists.items():
        below = found if _are(dict, found) else list(named_rows(found))
        rows += [{**row, "split": parts[name]} for row in below] if len(lists) > 1 else below
    return rows


def _has_text(value: Mapping[str, Any]) -> bool:
    return knows(row_of(value), TEXT_NAMES)


def _lists_of_rows(value: Mapping[str, Any]) -> dict[str, list[Any]]:
    """By name: the lists of objects, or of lists, that stand nearest to the top."""
    lists = {name: below for name, below in value.items() if isinstance(below, list) and _are((dict, list), below)}
    if lists or knows(value):
        return lists
    deeper = [_lists_of_rows(below) for below in value.values() if isinstance(below, dict)]
    return next((found for found in deeper if found), {})


def _of_objects(value: Mapping[str, Mapping[str, Any]]) -> Objects:
    """Columns with their cells by row, or rows by their ids."""
    if knows(value):
        ids = dict.fromkeys(row for column in value.values() for row in column)
        return [{name: column.get(row) for name, column in value.items()} for row in ids]
    return [{"id": name, **row} for name, row in value.items()]


def _of_lists(value: Mapping[str, list[Any]]) -> Objects:
    """Columns of one length, or else the texts of each label."""
    if knows(value) and len({len(column) for column in value.values()}) == 1:
        return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    return [{"text": text, "label": label} for label, texts in value.items() for text in texts]


def _are(kind: type | tuple[type, ...], values: Any) -> bool:
    """Whether there are values, and all of this kind."""
    return isinstance(values, Collection) and bool(values) and all(isinstance(each, kind) for each in values)
