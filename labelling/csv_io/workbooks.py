"""Excel workbooks in and out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from django.utils.translation import gettext as _
from python_calamine import CalamineError, CalamineWorkbook
from xlsxwriter import Workbook

from labelling.csv_io.stored import Numbered

# Excel's own limits.
MAX_CELL_CHARS = 32_767
MAX_ROWS = 1_048_576


class NotWritable(Exception):
    """A workbook can't hold this. The message says what, for people."""


def read_workbook(file: BinaryIO) -> Iterator[Numbered]:
    """Yield the rows of the first sheet that has any, numbered as in the sheet; whole numbers have no decimals.

    Raises:
        CalamineError: when it is no workbook, or a damaged one.
    """
    file.seek(0)
    workbook = CalamineWorkbook.from_filelike(file)
    for position in range(len(workbook.sheet_names)):
        sheet = workbook.get_sheet_by_index(position)
        if sheet.height:
            yield from ((n, [_whole(cell) for cell in row]) for n, row in enumerate(sheet.iter_rows(), start=1))
            return


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
