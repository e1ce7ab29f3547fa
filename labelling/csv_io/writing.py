"""An export in the format of a program: spreadsheets, programs, Label Studio, doccano, Argilla."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from labelling.csv_io.exporting import csv_lines, guard
from labelling.csv_io.peers import argilla, doccano, label_studio
from labelling.csv_io.workbooks import write_workbook

BLOCK_BYTES = 2**16

Rows = Iterable[Mapping[str, str]]
Lines = Iterable[str | bytes]


@dataclass(frozen=True)
class Writer:
    """How an export is written: ``write`` gets the columns' names and the rows, each with a cell for every name.

    ``fits_columns``: any columns may be left out; others need all.
    """

    name: Any
    suffix: str
    content_type: str
    write: Callable[[Sequence[str], Rows], Lines]
    fits_columns: bool = False


def _cells(header: Sequence[str], rows: Rows) -> Iterator[list[str]]:
    return ([row[name] for name in header] for row in rows)


def _csv(header: Sequence[str], rows: Rows) -> Lines:
    return csv_lines(header, _cells(header, rows))


def _csv_for_programs(header: Sequence[str], rows: Rows) -> Lines:
    return csv_lines(header, _cells(header, rows), for_programs=True)


def _workbook(header: Sequence[str], rows: Rows) -> Lines:
    """Written as a whole before the first byte leaves: what a workbook can't hold is said in time."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    write_workbook(file, header, ([guard(cell) for cell in cells] for cells in _cells(header, rows)))
    file.seek(0)
    return iter(lambda: file.read(BLOCK_BYTES), b"")


def _json_lines(header: Sequence[str], rows: Rows) -> Lines:
    return (json.dumps({name: row[name] for name in header}, ensure_ascii=False) + "\n" for row in rows)


WRITERS = {
    "csv": Writer(_("CSV for spreadsheets"), ".csv", "text/csv; charset=utf-8", _csv, True),
    "xlsx": Writer(
        _("Excel workbook"),
        ".xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _workbook,
        True,
    ),
    "programs": Writer(_("CSV for programs"), ".csv", "text/csv; charset=utf-8", _csv_for_programs, True),
    "jsonl": Writer(_("JSON lines"), ".jsonl", "application/jsonl; charset=utf-8", _json_lines, True),
    "label-studio": Writer(
        _("Label Studio: tasks (JSON)"), "-tasks.json", "application/json", lambda _, rows: label_studio.tasks(rows)
    ),
    "doccano": Writer(
        _("doccano (JSON lines)"),
        "-doccano.jsonl",
        "application/jsonl; charset=utf-8",
        lambda _, rows: doccano.lines(rows),
    ),
    "argilla": Writer(
        _("Argilla (records)"), "-records.json", "application/json", lambda _, rows: argilla.records(rows)
    ),
}
