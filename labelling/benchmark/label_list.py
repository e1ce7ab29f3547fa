"""What a file tells of the labels: codes, parents, definitions."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classifiers.trees import Tree

# By what a column holds, what it may be called.
COLUMNS = {
    "label": ("label", "name"),
    "code": ("code",),
    "parent": ("parent",),
    "definition": ("definition", "description"),
}
SIGNS = re.compile(r"[^0-9A-Za-z]+")


class BadLabels(ValueError):
    """The file can't be used; the message says why, for people."""


@dataclass(frozen=True)
class Listed:
    """One row: what a label is called, and what else is told of it; empty where nothing is."""

    label: str
    code: str = ""
    parent: str = ""
    definition: str = ""


def read_labels(path: Path) -> dict[str, Listed]:
    """Read the rows by label.

    Raises:
        BadLabels: where the file can't be read, or has no column ``label``.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = {
                what: next((name for name in names if name in (rows.fieldnames or [])), "")
                for what, names in COLUMNS.items()
            }
            if not columns["label"]:
                raise BadLabels(f"{path} has no column label.")
            cells = [{what: row.get(name) or "" for what, name in columns.items()} for row in rows]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise BadLabels(f"{path} can't be read: {error}.") from error
    return {row["label"]: Listed(**row) for row in cells}


def parents_by_column(listed: Mapping[str, Listed]) -> dict[str, str]:
    """By label or code, what lies above it, as the column ``parent`` says: a label or a code."""
    by_code = {one.code: one.label for one in listed.values() if one.code}
    return {one.label: by_code.get(one.parent, one.parent) for one in listed.values() if one.parent}


def parents_by_prefix(listed: Mapping[str, Listed], lengths: Sequence[int]) -> dict[str, str]:
    """By label or prefix, what lies above it: the first so many letters and digits of its code."""
    parents: dict[str, str] = {}
    for one in listed.values():
        sign = SIGNS.sub("", one.code)
        line = [*(f"{sign[:n]}…" for n in sorted(lengths) if n < len(sign)), one.label]
        parents |= dict(zip(line[1:], line[:-1], strict=True))
    return parents


def tree_of(labels: Sequence[str], parents: Mapping[str, str]) -> Tree:
    """Return the tree of these labels, by position, with those above them, which come after.

    Raises:
        BadLabels: where the parents are no tree.
    """
    names = [*labels, *sorted(set(_above(labels, parents)) - set(labels))]
    code_of = {name: code for code, name in enumerate(names)}
    try:
        return Tree.of({code: code_of.get(parents.get(name, "")) for name, code in code_of.items()})
    except ValueError as error:
        raise BadLabels(f"The parents are no tree: {error}") from error


def _above(labels: Iterable[str], parents: Mapping[str, str]) -> Iterable[str]:
    """All that lies above these labels."""
    found: set[str] = set()
    for label in labels:
        while (label := parents.get(label, "")) and label not in found:
            found.add(label)
    return found
