"""What the database knows of its tables, from which it chooses how to answer a question."""

from __future__ import annotations

import logging

from django.apps import apps
from django.db import OperationalError, connection

logger = logging.getLogger(__name__)

# Nothing is looked at in part: SQLite would take a project for one of so many documents as it has looked at.
EMPTY_TABLES = """
    INSERT INTO sqlite_stat1 (tbl, stat) SELECT name, '1' FROM sqlite_schema
    WHERE type = 'table' AND name LIKE 'labelling_%' AND name NOT IN (SELECT tbl FROM sqlite_stat1)
"""


def gather() -> None:
    """Let the database look at its tables anew, once many rows have come or gone.

    SQLite never does so by itself, and takes a table that it knows nothing of, an empty one too, for one of a million
    rows: a question about the few decisions of a project would begin at all its documents. PostgreSQL does, minutes
    later. Connections of SQLite that are open know of it when they are opened anew, in a minute at most.
    """
    try:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                for statement in ("ANALYZE", EMPTY_TABLES, "ANALYZE sqlite_schema"):
                    cursor.execute(statement)
            else:
                tables = [model._meta.db_table for model in apps.get_app_config("labelling").get_models()]
                cursor.execute(f"ANALYZE {', '.join(map(connection.ops.quote_name, tables))}")
    except OperationalError:
        # The job has ended well; the next one brings it about.
        logger.warning("The database did not look at its tables", exc_info=True)
