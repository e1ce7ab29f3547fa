"""Lines to records: what is malformed costs its own line and no other."""

from __future__ import annotations

import csv
import io
from itertools import product

import pytest

from labelling.csv_io.records import (
    MAX_LINE_CHARS,
    MAX_RECORD_CHARS,
    MAX_RECORD_LINES,
    TEXT_AFTER_QUOTE,
    TOO_LONG,
    UNCLOSED,
    Malformed,
    Record,
    bounded_lines,
    read_records,
)

ENDS = ["\n", "\r\n", "\r"]


def read(content: str, delimiter: str = ",") -> list[Record | Malformed]:
    return list(read_records(io.StringIO(content, newline=""), delimiter))


def rows(content: str, delimiter: str = ",") -> list[tuple[int, list[str]]]:
    return [(item.line, item.cells) for item in read(content, delimiter) if isinstance(item, Record)]


def faults(content: str) -> list[tuple[int, int, str]]:
    return [(item.line, item.column, item.reason) for item in read(content) if isinstance(item, Malformed)]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("closed", [True, False])
def test_lines_may_end_in_any_way(end, closed):
    content = end.join(["a,b", "c,d"]) + (end if closed else "")
    assert rows(content) == [(1, ["a", "b"]), (2, ["c", "d"])]


def test_line_ends_may_be_mixed():
    assert rows('a\n"b\r\nb\rb\nb"\rc\r\nd') == [(1, ["a"]), (2, ["b\r\nb\rb\nb"]), (6, ["c"]), (7, ["d"])]


def test_blank_lines_are_left_out_and_counted():
    assert rows("\n\na\r\n\r\nb\r\rc") == [(3, ["a"]), (5, ["b"]), (7, ["c"])]


def test_an_empty_cell_in_quotes_is_a_row():
    assert rows('""\n,\n') == [(1, [""]), (2, ["", ""])]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_pair_of_cells_arrives_as_it_was_written(delimiter):
    cells = ["".join(letters) for n in range(3) for letters in product(f'a"\n\r{delimiter}', repeat=n)]
    written = [["x", *pair, "x"] for pair in product(cells, repeat=2)]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(written)
    found = rows(out.getvalue(), delimiter)
    assert [row for _, row in found] == written
    lines = out.getvalue().splitlines()
    assert all(lines[line - 1].startswith(f"x{delimiter}") for line, _ in found)


def test_whatever_is_in_a_file_it_is_read_to_its_end():
    """All files of up to seven characters: no error, every line at most once, and right when csv is content."""
    for n in range(8):
        for letters in product('a",\n', repeat=n):
            content = "".join(letters)
            found = read(content)
            starts = [item.line for item in found]
            assert starts == sorted(set(starts))
            assert all(item.text == content.split("\n")[item.line - 1] for item in found if isinstance(item, Malformed))
            try:
                expected = [row for row in csv.reader(io.StringIO(content, newline=""), strict=True) if row]
            except csv.Error:
                assert any(isinstance(item, Malformed) for item in found)
            else:
                assert [item.cells for item in found if isinstance(item, Record)] == expected


@pytest.mark.parametrize("end", ENDS)
def test_an_open_quote_costs_the_line_it_stands_on(end):
    content = end.join(["a,b", 'x,"open', "c,d", 'e,"f"', "g,h"])
    assert faults(content) == [(2, 1, UNCLOSED)]
    assert rows(content) == [(1, ["a", "b"]), (3, ["c", "d"]), (4, ["e", "f"]), (5, ["g", "h"])]


@pytest.mark.parametrize("content", ['a,b\nx,"open', 'a,b\nx,"open\n', 'a,b\nx,"open""\n'])
def test_a_quote_may_be_open_on_the_last_line(content):
    assert faults(content) == [(2, 1, UNCLOSED)]


def test_a_quote_may_be_open_in_the_header():
    content = '"a,b\nc,d\n'
    assert faults(content) == [(1, 0, UNCLOSED)]
    assert rows(content) == [(2, ["c", "d"])]


def test_each_open_quote_is_reported():
    content = 'a,b\n"open,1\nc,d\ne,"open\nf,g\n'
    assert faults(content) == [(2, 0, UNCLOSED), (4, 1, UNCLOSED)]
    assert rows(content) == [(1, ["a", "b"]), (3, ["c", "d"]), (5, ["f", "g"])]


def test_line_numbers_are_right_after_an_open_quote_and_quoted_line_ends():
    content = 'a,b\n"two\nlines",x\n"open,x\nc,d\n"three\n\nlines",x\ne,f\n'
    assert [line for line, _ in rows(content)] == [1, 2, 5, 6, 9]


def test_many_open_quotes_are_read_in_little_time():
    content = ('"open,x\n' + "c,d\n" * (MAX_RECORD_LINES + 1)) * 20
    assert len(faults(content)) == 20
    assert len(rows(content)) == 20 * (MAX_RECORD_LINES + 1)


@pytest.mark.parametrize(
    ("line", "column"), [('"a"b,c', 0), ('a,"b" ,c', 1), ('a,b,"He said \\"hi\\""', 2), ('a;b,"c"d', 1)]
)
def test_text_after_a_closing_quote_is_shown_where_it_stands(line, column):
    assert faults(f"x,y\n{line}\nz\n") == [(2, column, TEXT_AFTER_QUOTE)]


def test_a_quote_inside_a_cell_is_a_character():
    assert rows('5" disk,he said "hi"\n') == [(1, ['5" disk', 'he said "hi"'])]


def test_nul_bytes_pass_to_whoever_judges_them():
    assert rows("a\0,b\n") == [(1, ["a\0", "b"])]


def test_a_cell_may_have_as_many_lines_as_a_record():
    content = "a,b\n" + '"' + "\n" * (MAX_RECORD_LINES - 1) + '",x\nc,d\n'
    assert [line for line, _ in rows(content)] == [1, 2, MAX_RECORD_LINES + 2]


def test_a_cell_of_one_line_more_is_taken_for_an_open_quote():
    content = "a,b\n" + '"' + "y\n" * MAX_RECORD_LINES + '",x\nc,d\n'
    assert faults(content)[0] == (2, 0, UNCLOSED)
    assert rows(content)[-1] == (MAX_RECORD_LINES + 3, ["c", "d"])


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_cell_of_a_million_characters_is_too_long_by_one(quote):
    cell = "y" * MAX_RECORD_CHARS
    assert rows(f"x,{quote}{cell}{quote},z\n") == [(1, ["x", cell, "z"])]
    assert faults(f"x,{quote}{cell}y{quote},z\n") == [(1, 1, TOO_LONG)]
    assert rows(f"x,{quote}{cell}y{quote},z\na,b\n") == [(2, ["a", "b"])]


def test_an_open_quote_before_millions_of_characters_is_found():
    content = '"open,x\n' + f"a,{'y' * 100_000}\n" * 30
    assert faults(content) == [(1, 0, UNCLOSED)]
    assert len(rows(content)) == 30


@pytest.mark.parametrize("delimiter", [",", ""])
def test_a_line_that_is_too_long_costs_itself_alone(delimiter):
    content = io.StringIO("a\n" + "x," * MAX_LINE_CHARS + "\nb\n", newline="")
    found = list(read_records(bounded_lines(content), delimiter))
    assert [(item.line, isinstance(item, Record)) for item in found] == [(1, True), (2, False), (3, True)]
    assert found[1].reason == TOO_LONG
    assert len(found[1].text) == MAX_LINE_CHARS + 1


def test_a_line_that_is_too_long_in_an_open_quotation_costs_itself_alone():
    content = io.StringIO('a,"b\n' + "x" * (MAX_LINE_CHARS + 1) + "\nc,d\n", newline="")
    found = list(read_records(bounded_lines(content), ","))
    assert [(item.line, isinstance(item, Record)) for item in found] == [(1, False), (2, False), (3, True)]
