"""Files that are no CSV, kept as lines of JSON: the number that a record has in its source, then its cells."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime, time
from itertools import groupby
from operator import itemgetter
from typing import Any

from labelling.csv_io.records import Record, check_width

Numbered = tuple[int, Sequence[Any]]
# The number of a record that is no row: it names the sheet of a workbook that is read, and those that are not.
OTHER_SHEETS = -1


def stored_lines(records: Iterable[Numbered]) -> Iterator[str]:
    """Yield the lines of a file to keep; ``read_stored`` gives the same records back, their cells as text."""
    for number, cells in records:
        yield json.dumps([number, *map(as_text, cells)]) + "\n"


def read_stored(lines: Iterable[str], skip: int = 0) -> Iterator[Record]:
    """Yield the records of a kept file but those that stood in the first ``skip`` lines of their source."""
    for line in lines:
        number, *cells = json.loads(line)
        if number > skip or number == skip == 0:
            yield Record(number, cells)


def as_text(value: Any) -> str:
    """Return a value as it would stand in a CSV file; lists and objects as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)


def table_of(records: Iterable[tuple[int, Mapping[str, Any]]], columns: Iterable[str] = ()) -> Iterator[Numbered]:
    """Yield the records of a table whose columns are all names that occur, the given ones first; the names first.

    Raises:
        NotCsv: when these are too many.
    """
    names = dict.fromkeys(columns)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as spooled:
        for number, row in records:
            names |= dict.fromkeys(row)
            check_width(len(names))
            spooled.write(json.dumps([number, row]) + "\n")
        yield 0, list(names)
        spooled.seek(0)
        for number, row in map(json.loads, spooled):
            yield number, [row.get(name) for name in names]


def together(items: Iterable[tuple[Any, Any]]) -> Iterator[list[Any]]:
    """Yield the values that share a key, in the order of the first of each; grouped on disk, as they may be many.

    Args:
        items: keys and values, all of them JSON.
    """
    rows = ((hashlib.sha256(json.dumps(key).encode()).digest(), json.dumps(value)) for key, value in items)
    # Without a name it is a file that is gone when it is closed.
    with closing(sqlite3.connect("")) as database:
        database.execute("CREATE TABLE item (key BLOB, value TEXT)")
        database.executemany("INSERT INTO item VALUES (?, ?)", rows)
        found = database.execute(
            "SELECT min(rowid) OVER (PARTITION BY key) AS first, value FROM item ORDER BY first, rowid"
        )
        for _, group in groupby(found, key=itemgetter(0)):
            yield [json.loads(value) for _, value in group]
