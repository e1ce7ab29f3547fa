"""doccano: JSON lines and the ZIP of an export in, JSON lines out. As version 1.8 writes and reads them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from zipfile import ZipFile

from labelling.csv_io.json_lists import values
from labelling.csv_io.peers.opinions import Opinion, carried, is_of_people, row_of
from labelling.csv_io.stored import as_text, together

EVERYBODY = "all"
# A column called "data" replaces the text in doccano's exports; the others vanish or get a second meaning.
TAKEN = {"text", "label", "id", "data", "filename", "upload_name", "example_uuid", "Comments"}
OF_DOCCANO = {"text", "label", "id"}

Numbered = Iterator[tuple[int, dict[str, Any]]]
Said = Mapping[str, Any]


def is_example(value: Said) -> bool:
    """Whether an object of a JSON file is an example: its labels are a list of words."""
    labels = value.get("label")
    return (
        isinstance(value.get("text"), (str, int, float))
        and isinstance(labels, list)
        and all(isinstance(label, (str, int)) for label in labels)
    )


def is_export(archive: ZipFile) -> bool:
    """Whether each person's file begins with an example that has an id.

    Raises:
        ValueError: when one can't be read.
    """
    firsts = [next(_of_member(archive, name), None) for name in _members(archive)]
    return any(firsts) and all("id" in first and is_example(first) for first in firsts if first is not None)


def read_archive(archive: ZipFile) -> Iterator[tuple[str, Said]]:
    """Yield each example of each person's file with that person; of what everybody has together the person is empty."""
    for name in _members(archive):
        stem = PurePosixPath(name).stem
        person = "" if stem == EVERYBODY else stem
        yield from ((person, example) for example in _of_member(archive, name))


def _of_member(archive: ZipFile, name: str) -> Iterator[Said]:
    suffix = PurePosixPath(name).suffix
    text = io.TextIOWrapper(archive.open(name), encoding="utf-8-sig", newline="")
    if suffix == ".csv":
        for row in csv.DictReader(text):
            yield dict(row) | {"label": _cell_of_labels(row.get("label") or "")}
    else:
        yield from values(archive.open(name)) if suffix == ".json" else map(json.loads, filter(str.strip, text))


def rows_of(examples: Iterable[tuple[str, Said]]) -> Numbered:
    """Yield a row for each example; what several people said of it comes together."""
    keyed = (([as_text(said.get("id")), as_text(said["text"])], (person, said)) for person, said in examples)
    for number, said in enumerate(together(keyed), start=1):
        first = said[0][1]
        identifier, text = as_text(first.get("id")), as_text(first["text"])
        opinions = [Opinion(as_text(label), by) for by, example in said for label in example.get("label") or []]
        others = {name: value for _, example in said for name, value in _others(example)}
        yield number, row_of(text, identifier, opinions, others)


def lines(rows: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """Yield JSON lines: the same names in each, all values strings, and people's labels alone as labels."""
    for cells in rows:
        labels = [cells["label"]] if is_of_people(cells) and cells["label"] else []
        example = {"text": cells["text"], "label": labels, "id": cells["id"]} | carried(cells, TAKEN)
        yield json.dumps(example, ensure_ascii=False) + "\n"


def _others(example: Said) -> Iterator[tuple[str, Any]]:
    """What stands beside text and labels. Comments are in every example of an export, mostly none."""
    return ((name, value) for name, value in example.items() if name not in OF_DOCCANO and value != [])


def _members(archive: ZipFile) -> list[str]:
    names = [name for name in archive.namelist() if PurePosixPath(name).suffix in (".jsonl", ".json", ".csv")]
    return sorted(name for name in names if "/" not in name)


def _cell_of_labels(cell: str) -> list[str]:
    """Several labels are joined by "#"; a label that has one itself can't be told from them: JSON lines can."""
    return [label for label in cell.split("#") if label]
