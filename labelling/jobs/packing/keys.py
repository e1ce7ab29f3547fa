"""Keys for the rows of a project that comes in: a stretch of each table's that nobody else is given.

All keys of a table are moved by the same number: the order of rows, which exports and predictions follow, stays. What
names a row that was gone before the project was packed names one that never will be.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction


@transaction.atomic
def reserve(model: Any, n: int) -> int:
    """Keep the next n keys of a table from everybody else for good, and return the one before them."""
    table, column = model._meta.db_table, model._meta.pk.column
    return _on_sqlite(table, n) if connection.vendor == "sqlite" else _on_postgres(table, column, n)


def _on_sqlite(table: str, n: int) -> int:
    """Tables with AUTOINCREMENT, as Django makes them, never give a key twice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        found = cursor.fetchone()
        if found is None:
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, n])
            return 0
        cursor.execute("UPDATE sqlite_sequence SET seq = %s WHERE name = %s", [found[0] + n, table])
        return found[0]


def _on_postgres(table: str, column: str, n: int) -> int:
    """Sequences know no transaction: whoever writes to the table waits for this short one."""
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {connection.ops.quote_name(table)} IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, %s))", [table, column])
        last = cursor.fetchone()[0]
        cursor.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", [table, column, last + n])
        return last
