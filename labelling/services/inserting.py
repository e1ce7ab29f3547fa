"""Many rows at once: on PostgreSQL by COPY, on SQLite in long statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Model

# Rows of one statement, as far as SQLite takes so many values: it writes its index of words once for each.
BATCH = 2_000

Values = Sequence[Any]


def insert(
    model: type[Model],
    columns: Sequence[str],
    rows: Sequence[Values],
    unless: Sequence[str] = (),
    returning: Sequence[str] = (),
) -> list[tuple[Any, ...]]:
    """Insert rows into a table, and return some columns of those that are new, in no order.

    In place of ``bulk_create``, which makes an object of each row and puts each statement together from every value.

    Args:
        model: the table's.
        columns: as they are named in the database; the others are empty there.
        rows: a value for each column, as the database takes it.
        unless: columns that are unique together; rows that are there by them are left out.
        returning: columns.
    """
    end = (f" ON CONFLICT ({_names(unless)}) DO NOTHING" if unless else "") + (
        f" RETURNING {_names(returning)}" if returning else ""
    )
    return _write(model, columns, rows, end, fetch=bool(returning))


def replace(
    model: type[Model], columns: Sequence[str], rows: Sequence[Values], key: str, compared: Sequence[str]
) -> None:
    """Insert rows in the place of those with the same key; one that is equal to what is there is not written.

    Args:
        model: the table's.
        columns: as they are named in the database; the others are empty there, or stay as they are.
        rows: a value for each column, as the database takes it; of one key a single row.
        key: the column that is unique.
        compared: columns in which rows that differ are different; the others tell when and by whom.
    """
    table = _names([model._meta.db_table])
    new = ", ".join(f"{name} = excluded.{name}" for name in map(_name, columns) if name != _name(key))
    there, here = (", ".join(f"{of}.{_name(name)}" for name in compared) for of in (table, "excluded"))
    differs = "IS NOT" if _connection().vendor == "sqlite" else "IS DISTINCT FROM"
    _write(model, columns, rows, f" ON CONFLICT ({_name(key)}) DO UPDATE SET {new} WHERE ({there}) {differs} ({here})")


def _write(
    model: type[Model], columns: Sequence[str], rows: Sequence[Values], end: str, fetch: bool = False
) -> list[tuple[Any, ...]]:
    if not rows:
        return []
    write = _copy if _connection().vendor == "postgresql" else _insert_values
    found: list[tuple[Any, ...]] = []
    with transaction.atomic(), _connection().cursor() as cursor:
        for _ in write(cursor, _name(model._meta.db_table), _names(columns), rows, end):
            found += cursor.fetchall() if fetch else ()
    return found


def _insert_values(cursor: Any, table: str, names: str, rows: Sequence[Values], end: str) -> Iterator[None]:
    """In batches; yield after each statement, while the cursor has what it returned."""
    places = f"({', '.join(['%s'] * len(rows[0]))})"
    most_values = _connection().connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    n_rows = max(1, min(BATCH, most_values // len(rows[0])))
    for start in range(0, len(rows), n_rows):
        batch = rows[start : start + n_rows]
        statement = f"INSERT INTO {table} ({names}) VALUES " + ", ".join([places] * len(batch)) + end  # noqa: S608
        cursor.execute(statement, list(chain.from_iterable(batch)))
        yield


def _copy(cursor: Any, table: str, names: str, rows: Sequence[Values], end: str) -> Iterator[None]:
    """By a table on the side, as COPY itself knows neither conflicts nor what to return; yield once, as above."""
    cursor.execute(f"CREATE TEMPORARY TABLE incoming AS SELECT {names} FROM {table} WITH NO DATA")  # noqa: S608
    with cursor.copy(f"COPY incoming ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    cursor.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM incoming{end}")  # noqa: S608
    yield
    cursor.execute("DROP TABLE incoming")


def _connection() -> Any:
    return connections[DEFAULT_DB_ALIAS]


def _name(name: str) -> str:
    return _connection().ops.quote_name(name)


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(_name, names))
