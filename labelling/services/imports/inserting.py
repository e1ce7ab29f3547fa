"""Many rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model

# Of one statement: SQLite takes 32,766 values, and writes its index of words once for each.
BATCH = 2_000


def insert(
    model: type[Model],
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
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
    connection = connections[DEFAULT_DB_ALIAS]
    names, key, back = (", ".join(map(connection.ops.quote_name, each)) for each in (columns, unless, returning))
    places = f"({', '.join(['%s'] * len(columns))})"
    beginning = f"INSERT INTO {connection.ops.quote_name(model._meta.db_table)} ({names}) VALUES "  # noqa: S608
    end = (f" ON CONFLICT ({key}) DO NOTHING" if unless else "") + (f" RETURNING {back}" if returning else "")
    found: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            cursor.execute(beginning + ", ".join([places] * len(batch)) + end, list(chain.from_iterable(batch)))
            found += cursor.fetchall() if returning else ()
    return found
