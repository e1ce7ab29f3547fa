"""Many rows at once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model

# Of one statement: SQLite takes 32,766 values, and writes its index of words once for each.
BATCH = 1_000


def insert(objects: Iterable[Model]) -> None:
    """Insert new rows, all of one table; their keys stay unknown.

    In place of ``bulk_create``, which puts each statement together from every value and takes twice as long.
    """
    left = iter(objects)
    while batch := list(islice(left, BATCH)):
        _insert(batch)


def _insert(batch: list[Model]) -> None:
    # Not the one that finds its thread's connection anew for each value.
    meta, connection = batch[0]._meta, connections[DEFAULT_DB_ALIAS]
    quoted = connection.ops.quote_name
    fields = [field for field in meta.concrete_fields if not field.primary_key]
    columns = ", ".join(quoted(field.column) for field in fields)
    places = ", ".join([f"({', '.join(['%s'] * len(fields))})"] * len(batch))
    values = [[field.get_db_prep_save(field.pre_save(each, True), connection) for field in fields] for each in batch]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {quoted(meta.db_table)} ({columns}) VALUES {places}",  # noqa: S608
            list(chain.from_iterable(values)),
        )
