"""Excel workbooks in and out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

from django.utils.translation import gettext as _
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetVisibleEnum
from xlsxwriter import Workbook

from labelling.csv_io.dialects import KNOWN_NAMES, MAX_ROWS_ABOVE, plain
from labelling.csv_io.stored import OTHER_SHEETS, Numbered

# Excel's own limits.
MAX_CELL_CHARS = 32_767
MAX_ROWS = 1_048_576


class NotWritable(Exception):
    """A workbook can't hold this. The message says what, for people."""


def read_workbook(file: BinaryIO) -> Iterator[Numbered]:
    """Yield the rows of the sheet that looks most like a table, numbered as there; whole numbers have no decimals.

    What is merged over several rows stands in each of them. Where other sheets have rows, too, the first record is one
    of OTHER_SHEETS: the name of the one that is read, then theirs.

    Raises:
        CalamineError: when it is no workbook, or a damaged one.
    """
    file.seek(0)
    workbook = CalamineWorkbook.from_filelike(file)
    shown = [each.name for each in workbook.sheets_metadata if each.visible == SheetVisibleEnum.Visible]
    sheets = [workbook.get_sheet_by_name(name) for name in shown or workbook.sheet_names]
    filled = [sheet for sheet in sheets if sheet.height]
    if not filled:
        return
    read = max(filled, key=_how_like_a_table)
    if len(filled) > 1:
        yield OTHER_SHEETS, [read.name, *(sheet.name for sheet in filled if sheet is not read)]
    yield from _rows_of(read)


def _how_like_a_table(sheet: CalamineSheet) -> tuple[bool, bool]:
    """Whether its first rows have columns' names, and whether it has several columns; of equals the first is read."""
    first = islice(sheet.iter_rows(), MAX_ROWS_ABOVE)
    return any(sum(plain(str(cell)) in KNOWN_NAMES for cell in row) > 1 for row in first), sheet.width > 1


def _rows_of(sheet: CalamineSheet) -> Iterator[Numbered]:
    """Cells that are merged with the one above, below the columns' names, hold what that one holds."""
    names_at = next((n for n, row in enumerate(sheet.iter_rows()) if 2 * sum(cell != "" for cell in row) > len(row)), 0)
    merged = {
        (row, column)
        for (first, column), (last, _) in sheet.merged_cell_ranges or ()
        for row in range(first + 1, min(last, sheet.total_height) + 1)
        if first > names_at
    }
    cells: list[Any] = []
    for n, row in enumerate(sheet.iter_rows()):
        cells = [cells[place] if (n, place) in merged else _whole(cell) for place, cell in enumerate(row)]
        yield n + 1, cells


def write_workbook(file: BinaryIO, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a workbook of one sheet, row by row. All cells are text: nothing in them is run, no code loses its zeros.

    Raises:
        NotWritable: when a cell or the number of rows is beyond what a workbook can hold.
    """
    with Workbook(file, {"constant_memory": True}) as workbook:
        sheet = workbook.add_worksheet()
        sheet.freeze_panes(1, 0)
        _write_row(sheet, 0, header)
        for n, row in enumerate(rows, start=1):
            _write_row(sheet, n, row)


def _write_row(sheet: Any, n: int, cells: Sequence[str]) -> None:
    if n >= MAX_ROWS:
        raise NotWritable(_("A workbook holds %(n)s rows at most: export as CSV.") % {"n": f"{MAX_ROWS:,}"})
    for column, cell in enumerate(cells):
        if len(cell) > MAX_CELL_CHARS:
            told = {"row": n + 1, "n": f"{len(cell):,}", "limit": f"{MAX_CELL_CHARS:,}"}
            text = _("A cell of row %(row)s has %(n)s characters; a workbook holds %(limit)s: export as CSV.")
            raise NotWritable(text % told)
        if cell:
            sheet.write_string(n, column, cell)


def _whole(cell: Any) -> Any:
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


__all__ = ["CalamineError", "NotWritable", "read_workbook", "write_workbook"]
