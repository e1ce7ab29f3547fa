"""Rows out: a file that a spreadsheet can't be tricked by, and that imports again without loss."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence

COLUMNS = (
    "id",
    "text",
    "label",
    "source",
    "holdout",
    "probability",
    "verdict",
    "verdict_reason",
    "judge_model",
    "prompt_version",
    "definition_version",
    "decision",
    "reviewer",
    "decided_at",
    "round",
)
"""What every export has, in this order; the documents' own metadata columns follow."""

# A spreadsheet runs a cell that starts with one of these as a formula (OWASP: CSV injection; the
# last four are their full-width forms). Cells that already start with apostrophes before one get
# another, so that `restore` gives back exactly what there was.
FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


def neutralise(cell: str) -> str:
    """Return the cell with an apostrophe before it where a spreadsheet would run it."""
    return f"'{cell}" if FORMULA.match(cell) else cell


def restore(cell: str) -> str:
    """Take back what ``neutralise`` did."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


class _Echo:
    """A file that hands each written line back, so that csv can write into a stream."""

    def write(self, line: str) -> str:
        return line


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a CSV file, every cell neutralised.

    The first line carries a byte order mark: without it Excel takes UTF-8 for cp1252.
    """
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow([neutralise(name) for name in header])
    for row in rows:
        yield writer.writerow([neutralise(cell) for cell in row])
