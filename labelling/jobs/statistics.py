"""What the database knows of its tables, from which it chooses how to answer a question."""

from __future__ import annotations

import logging

from django.apps import apps
from django.db import OperationalError, connection

logger = logging.getLogger(__name__)

# Of each index SQLite looks at so many rows; PostgreSQL samples by itself.
ROWS_LOOKED_AT = 1_000


def gather() -> None:
    """Let the database look at the tables anew, once many rows have come or gone.

    SQLite never does so by itself, and takes a table that it knows nothing of for one of a million rows: a question
    about the few decisions of a project would begin at all its documents. PostgreSQL does, minutes later. Connections
    of SQLite that are open know of it when they are opened anew, in a minute at most.
    """
    try:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute(f"PRAGMA analysis_limit = {ROWS_LOOKED_AT}")
                cursor.execute("ANALYZE")
            else:
                tables = [model._meta.db_table for model in apps.get_app_config("labelling").get_models()]
                cursor.execute(f"ANALYZE {', '.join(map(connection.ops.quote_name, tables))}")
    except OperationalError:
        # The job has ended well; the next one brings it about.
        logger.warning("The database did not look at its tables", exc_info=True)
