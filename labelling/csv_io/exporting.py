"""Rows out: a file that a spreadsheet can't be tricked by, and that imports again without loss."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence

COLUMNS = (
    "id",
    "text",
    "label",
    "label_code",
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
    "certified",
)
"""What every export has, in this order; the documents' own metadata columns follow."""

TREE_COLUMNS = ("certain_label", "certain_code", "certain_probability", "certain_level", "certified_level")
"""Beside those where labels have parents: the label that holds, or else the deepest that is certain, its level from 1
at the top, and the deepest level whose certificate covers it."""

# A spreadsheet runs a cell that starts with one of these as a formula (OWASP: CSV injection; the
# last four are their full-width forms). Cells that already start with apostrophes before one get
# another, so that `restore` gives back exactly what there was.
FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
# Hardly a cell begins with one of these: no other needs a closer look.
BEGINNINGS = frozenset("'=+-@\t\r\n＝＋－＠")
# Numbers, telephone numbers and codes with a sign: a spreadsheet can't run what holds no letters before a digit,
# no brackets and no second operator.
SIGNED = re.compile(r"[+-][.,]?\d[\w.,:/ %]*")


def neutralise(cell: str) -> str:
    """Return the cell with an apostrophe before it where a spreadsheet would run it."""
    if cell[:1] not in BEGINNINGS:
        return cell
    return f"'{cell}" if FORMULA.match(cell) and not SIGNED.fullmatch(cell) else cell


def restore(cell: str) -> str:
    """Take back what ``neutralise`` did."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def guard(cell: str) -> str:
    """Return a cell that ``restore`` leaves as it was, for a file in which nothing is run: no other needs a mark."""
    return f"'{cell}" if cell.startswith("'") and FORMULA.match(cell) else cell


class _Echo:
    """A file that hands each written line back, so that csv can write into a stream."""

    def write(self, line: str) -> str:
        return line


def csv_lines(header: Sequence[str], rows: Iterable[Iterable[str]], for_programs: bool = False) -> Iterator[str]:
    """Yield the lines of a CSV file, every cell neutralised.

    The first line carries a byte order mark: without it Excel takes UTF-8 for cp1252. Programs want neither this
    mark, which becomes a part of the first name, nor apostrophes, which become a part of texts and labels.
    """
    writer = csv.writer(_Echo())
    write = writer.writerow if for_programs else lambda cells: writer.writerow([neutralise(cell) for cell in cells])
    yield ("" if for_programs else "\ufeff") + write(header)
    for row in rows:
        yield write(row)
