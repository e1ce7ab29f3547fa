"""Lines to records, going on after whatever is malformed."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

# A record longer than this is a quotation mark that nobody closed.
MAX_RECORD_LINES = 1_000
MAX_RECORD_CHARS = 1_000_000

QUOTED_CELL = re.compile(r'"(?:[^"]++|"")*+"')
UNCLOSED = _("A quotation mark is opened here and never closed.")
TEXT_AFTER_QUOTE = _(
    'Text follows a closing quotation mark. Inside a quoted text a quotation mark is written twice: "".'
)
LINE_END = frozenset("\r\n")
TOO_LONG = _("This row is too long to be one.")

csv.field_size_limit(MAX_RECORD_CHARS)


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

    def __init__(self, lines: Iterable[str]):
        self._lines = iter(lines)
        self._given_back: deque[str] = deque()
        self.taken: list[str] = []
        self._chars = 0
        self.start = 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= MAX_RECORD_LINES or self._chars >= MAX_RECORD_CHARS:
            raise _TooLong
        line = self._given_back.popleft() if self._given_back else next(self._lines)
        self.taken.append(line)
        self._chars += len(line)
        return line

    def begin_record(self) -> None:
        self.start += len(self.taken)
        self.taken.clear()
        self._chars = 0

    def give_back(self) -> None:
        """Keep the record's first line as read; the others are read again."""
        self._given_back.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def read_records(lines: Iterable[str], delimiter: str) -> Iterator[Record | Malformed]:
    """Yield each record; after a malformed line reading goes on with the next line.

    A quotation mark that is opened and never closed would swallow the rest of the file; here it
    costs the one line it stands on. Empty lines are left out.
    """
    source = _Lines(lines)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        source.begin_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLong):
            yield _malformed(source, delimiter)
            source.give_back()
            reader = csv.reader(source, delimiter=delimiter, strict=True)
        else:
            if cells:
                yield Record(source.start, cells)


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
