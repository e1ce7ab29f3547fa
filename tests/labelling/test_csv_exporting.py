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
    assert neutralise(f"{first}a") == f"'{first}a"


@pytest.mark.parametrize(
    "cell", ["-0110", "-33.87", "+12", "-7", "-1,5", "+49 30 123456", "-5 %", "-.5", "-01.10a", "+1/2", "-1e-5"[:3]]
)
def test_numbers_and_codes_are_never_marked(cell):
    assert neutralise(cell) == cell
    assert restore(neutralise(f"'{cell}")) == f"'{cell}"
    assert restore(f"'{cell}") == cell, "an older export marked it"


@pytest.mark.parametrize(
    "cell", ["=SUM(A1:A2)", "+1+cmd|' /C calc'!A0", "-2+3", "-(1)", "-A1", "+cmd|x!A1", "=1", "--1"]
)
def test_whatever_can_be_run_is_marked(cell):
    assert neutralise(cell) == f"'{cell}"


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
    lines = list(csv_lines(["=name", "b"], [["@x", 'say "hi",\r\nyou'], ["", "-1x-"]]))
    assert lines[0] == "\ufeff'=name,b\r\n"
    assert list(csv.reader(io.StringIO("".join(lines[1:]), newline=""))) == [["'@x", 'say "hi",\r\nyou'], ["", "'-1x-"]]


def test_programs_get_neither_mark_nor_apostrophes():
    lines = list(csv_lines(["=name", "b"], [["@x", "'=1"], ["", "-1"]], for_programs=True))
    assert lines == ["=name,b\r\n", "@x,'=1\r\n", ",-1\r\n"]


def test_each_row_is_written_when_it_is_asked_for_and_not_before():
    rows = iter([["1"], ["2"], ["3"]])
    lines = csv_lines(["a"], rows)
    assert [next(lines), next(lines)] == ["\ufeffa\r\n", "1\r\n"]
    assert next(rows) == ["2"]
