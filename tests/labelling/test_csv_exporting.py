"""Cells that no spreadsheet runs, and that come back exactly."""

from __future__ import annotations

import csv
import io
from itertools import product

import pytest

from labelling.csv_io.exporting import csv_lines, neutralise, restore

DANGEROUS = "=+-@\t\r\n＝＋－＠"


@pytest.mark.parametrize("first", DANGEROUS)
def test_a_cell_that_would_be_run_gets_an_apostrophe(first):
    assert neutralise(f"{first}1") == f"'{first}1"


@pytest.mark.parametrize("cell", ["", "text", "1-1", "a=b", "'quoted'", "'", "''", " =1", "日本", "🦊", "−1"])
def test_other_cells_stay_as_they_are(cell):
    assert neutralise(cell) == cell
    assert restore(cell) == cell


def test_every_beginning_comes_back_and_none_is_run():
    """Exhaustive over beginnings of up to four characters; no two cells are written alike."""
    cells = ["".join(letters) for n in range(5) for letters in product(f"'a {DANGEROUS}", repeat=n)]
    written = [neutralise(cell) for cell in cells]
    assert [restore(cell) for cell in written] == cells
    assert len(set(written)) == len(cells)
    assert not any(cell.startswith(tuple(DANGEROUS)) for cell in written)


def test_the_file_starts_with_a_byte_order_mark_and_neutralises_names_too():
    lines = list(csv_lines(["=name", "b"], [["@x", 'say "hi",\r\nyou'], ["", "-1"]]))
    assert lines[0] == "\ufeff'=name,b\r\n"
    assert list(csv.reader(io.StringIO("".join(lines[1:]), newline=""))) == [["'@x", 'say "hi",\r\nyou'], ["", "'-1"]]


def test_each_row_is_written_when_it_is_asked_for_and_not_before():
    rows = iter([["1"], ["2"], ["3"]])
    lines = csv_lines(["a"], rows)
    assert [next(lines), next(lines)] == ["\ufeffa\r\n", "1\r\n"]
    assert next(rows) == ["2"]
