"""Rows compared with each other and with what is known: duplicates, contradictions, ids used twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from labelling.csv_io.columns import Columns
from labelling.csv_io.rows import LeftOut, Problem, Row


@dataclass(frozen=True)
class Known:
    """A row that adds no document: the same text with the same label is there already, in the file or the project.

    ``again``: its id stands above in the file, with the same text.
    """

    row: Row
    reason: str
    in_file: bool
    again: bool = False


@dataclass(frozen=True)
class Changed:
    """A row whose id the project knows, with another ``what``: text or label. ``before`` is what it has."""

    row: Row
    what: str
    before: str


@dataclass(frozen=True)
class Existing:
    """What the project already knows of a text; ``labelled`` without a label: it belongs to none.

    ``decided``: by a person. ``shared``: more than one row came with it.
    """

    label: str
    labelled: bool
    decided: bool = False
    shared: bool = False


class _Seen(NamedTuple):
    line: int
    label: str
    labelled: bool


def screen(
    rows: Iterator[Row | Problem | LeftOut],
    columns: Columns,
    existing: Mapping[str, Existing],
    known_ids: Mapping[str, str],
) -> Iterator[Row | Problem | Known | Changed | LeftOut]:
    """Compare the rows with each other and with the project: duplicates, contradictions, ids used twice.

    Args:
        rows: from ``read_rows``.
        columns: those that the rows were read with.
        existing: by text hash, what the project knows already.
        known_ids: text hash of each external id in the project.
    """
    seen: dict[str, _Seen] = {}
    ids: dict[str, tuple[str, int]] = {}
    for row in rows:
        if not isinstance(row, Row):
            yield row
            continue
        here = ids.get(row.external_id)
        verdict = (
            _against_file(row, columns, seen.get(row.text_hash), again=bool(here and here[0] == row.text_hash))
            or _against_project(row, columns, existing.get(row.text_hash), known_ids)
            or _against_ids(row, columns, here, known_ids.get(row.external_id), existing)
        )
        if not isinstance(verdict, Problem):
            if row.external_id:
                ids.setdefault(row.external_id, (row.text_hash, row.line))
            seen[row.text_hash] = _remember(row, seen.get(row.text_hash))
        yield verdict or row


def _problem(row: Row, column: str, reason: str) -> Problem:
    return Problem(row.line, column, reason, row.cells)


def _remember(row: Row, first: _Seen | None) -> _Seen:
    """Keep the first line of a text, unless a later one brings the label."""
    return first if first and (first.labelled or not row.source) else _Seen(row.line, row.label, bool(row.source))


def _against_file(row: Row, columns: Columns, first: _Seen | None, again: bool) -> Problem | Known | None:
    if first is None or (row.source and not first.labelled):
        return None
    if row.source and row.label != first.label:
        return _problem(
            row,
            columns.label,
            f"Line {first.line} has the same text with the label “{first.label}”, here it is “{row.label}”.",
        )
    return Known(row, f"The same text as line {first.line}.", in_file=True, again=again)


def _against_project(
    row: Row, columns: Columns, known: Existing | None, known_ids: Mapping[str, str]
) -> Problem | Known | Changed | None:
    if known is None or (row.source and not known.labelled):
        return None
    if row.source and row.label != known.label:
        if known_ids.get(row.external_id) == row.text_hash and not known.decided:
            return Changed(row, "label", known.label)
        return _problem(
            row, columns.label, f"The project has this text with the label “{known.label}”, here it is “{row.label}”."
        )
    return Known(row, "The project has this text already.", in_file=False)


def _against_ids(
    row: Row,
    columns: Columns,
    here: tuple[str, int] | None,
    there: str | None,
    existing: Mapping[str, Existing],
) -> Problem | Changed | None:
    if here and here[0] != row.text_hash:
        return _problem(row, columns.id, f"The id “{row.external_id}” stands for another text in line {here[1]}.")
    if not there or there == row.text_hash:
        return None
    known = existing.get(there)
    if known is None or row.text_hash in existing:
        return _problem(row, columns.id, f"The id “{row.external_id}” stands for another text in the project.")
    if known.decided or known.shared:
        why = "that a person decided on" if known.decided else "that several rows share"
        return _problem(row, columns.id, f"The id “{row.external_id}” stands for another text in the project, {why}.")
    return Changed(row, "text", known.label)
