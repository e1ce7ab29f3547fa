"""Whether the database is the one that this version writes."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _

from labelling.services import Refused


def check() -> None:
    """Make sure that no process works on tables that it doesn't know.

    Raises:
        Refused: when migrations are missing, or the database is of a newer version; the message names them.
    """
    executor = MigrationExecutor(connection)
    missing = [key for key, _backwards in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if missing:
        names = {"names": _names((migration.app_label, migration.name) for migration in missing)}
        raise Refused(
            _("The database lacks %(names)s. Back it up, then run “manage.py migrate” and start again.") % names
        )
    own = executor.loader.migrated_apps
    known = set(executor.loader.disk_migrations) | set(executor.loader.replacements)
    newer = [key for key in executor.loader.applied_migrations if key[0] in own and key not in known]
    if newer:
        raise Refused(
            _("The database is of a newer version: this one doesn't know %(names)s. Install that version.")
            % {"names": _names(newer)}
        )


def _names(keys: Iterable[tuple[str, str]]) -> str:
    return ", ".join(".".join(key) for key in keys)
