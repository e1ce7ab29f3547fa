"""Lines to records, going on after whatever is malformed."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TextIO

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

# A record longer than this is a quotation mark that nobody closed.
MAX_RECORD_LINES = 1_000
MAX_RECORD_CHARS = 1_000_000
# A cell may have as many, its line some more.
MAX_LINE_CHARS = 2 * MAX_RECORD_CHARS
MAX_COLUMNS = 1_000

QUOTED_CELL = re.compile(r'"(?:[^"]++|"")*+"')
UNCLOSED = _("A quotation mark is opened here and never closed.")
TEXT_AFTER_QUOTE = _(
    'Text follows a closing quotation mark. Inside a quoted text a quotation mark is written twice: "".'
)
LINE_END = frozenset("\r\n")
TOO_LONG = _("This row is too long to be one.")

csv.field_size_limit(MAX_RECORD_CHARS)


class NotCsv(Exception):
    """The file as a whole cannot be read as CSV. The message says why, for people."""


@dataclass(frozen=True)
class Record:
    """The cells of one row, and the line of the file on which it starts, counted from 1."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class Malformed:
    """A line at which no record could be read; ``column`` is the position of the cell, from 0."""

    line: int
    column: int
    reason: str
    text: str


class _TooLong(Exception):
    """The record that is being read has become too long to be one."""


class _Lines:
    """Lines that can be given back from the second line of the current record on."""

    def __init__(self, lines: Iterable[str], skip: int = 0):
        self._lines = islice(lines, skip, None)
        self._given_back: deque[str] = deque()
        self.taken: list[str] = []
        self._chars = 0
        self.start = skip + 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= MAX_RECORD_LINES or self._chars >= MAX_RECORD_CHARS:
            raise _TooLong
        line = self._given_back.popleft() if self._given_back else next(self._lines)
        self.taken.append(line)
        self._chars += len(line)
        if len(line) > MAX_LINE_CHARS:
            raise _TooLong
        return line

    def begin_record(self) -> None:
        self.start += len(self.taken)
        self.taken.clear()
        self._chars = 0

    def give_back(self) -> None:
        """Keep the record's first line as read; the others are read again."""
        self._given_back.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def bounded_lines(text: TextIO) -> Iterator[str]:
    """Yield the lines of a file; of those that are too long, one character more than a line has."""
    while line := text.readline(MAX_LINE_CHARS + 1):
        yield line
        while len(line) > MAX_LINE_CHARS and not line.endswith(("\n", "\r")):
            line = text.readline(MAX_LINE_CHARS + 1)


def check_width(n_columns: int) -> None:
    """Make sure that a file has not more columns than anybody can look through.

    Raises:
        NotCsv: when it has.
    """
    if n_columns > MAX_COLUMNS:
        told = {"n": f"{n_columns:,}", "limit": f"{MAX_COLUMNS:,}"}
        raise NotCsv(gettext("The file has %(n)s columns; at most %(limit)s are allowed.") % told)


def read_records(
    lines: Iterable[str], delimiter: str, quotes: bool = True, skip_spaces: bool = False, skip_lines: int = 0
) -> Iterator[Record | Malformed]:
    """Yield each record; after a malformed line reading goes on with the next line.

    A quotation mark that is opened and never closed would swallow the rest of the file; here it
    costs the one line it stands on. Empty lines are left out.

    Args:
        lines: with their line ends.
        delimiter: empty when each line is a cell of its own.
        quotes: whether quotation marks enclose cells.
        skip_spaces: whether spaces behind a delimiter belong to it.
        skip_lines: how many lines to pass over first.
    """
    source = _Lines(lines, skip_lines)
    if not delimiter:
        yield from _one_cell_a_line(source)
        return

    def open_reader() -> Iterator[list[str]]:
        return csv.reader(
            source,
            delimiter=delimiter,
            quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
            skipinitialspace=skip_spaces,
            strict=True,
        )

    reader = open_reader()
    while True:
        source.begin_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLong):
            yield _malformed(source, delimiter)
            source.give_back()
            reader = open_reader()
        else:
            if cells:
                yield Record(source.start, cells)


def _one_cell_a_line(source: _Lines) -> Iterator[Record | Malformed]:
    while True:
        source.begin_record()
        try:
            line = next(source)
        except StopIteration:
            return
        except _TooLong:
            yield Malformed(source.start, 0, str(TOO_LONG), source.taken[0])
        else:
            if line.strip("\r\n"):
                yield Record(source.start, [line.rstrip("\r\n")])


def _malformed(source: _Lines, delimiter: str) -> Malformed:
    column, reason = _diagnose("".join(source.taken), delimiter)
    return Malformed(source.start, column, reason, source.taken[0].rstrip("\r\n"))


def _diagnose(text: str, delimiter: str) -> tuple[int, str]:
    """Return the position of the record's cell that breaks off, and why."""
    position = column = 0
    while True:
        start = position
        if text.startswith('"', position):
            quoted = QUOTED_CELL.match(text, position)
            if not quoted:
                return column, str(UNCLOSED)
            position = quoted.end()
            if position < len(text) and text[position] not in f"{delimiter}\r\n":
                # A "closing" mark lines below is the opening one of another cell.
                return column, str(TEXT_AFTER_QUOTE if LINE_END.isdisjoint(quoted.group()) else UNCLOSED)
        else:
            while position < len(text) and text[position] not in f"{delimiter}\r\n":
                position += 1
        if position - start > MAX_RECORD_CHARS or not text.startswith(delimiter, position):
            return column, str(TOO_LONG)
        position += 1
        column += 1
