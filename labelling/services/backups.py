"""An installation as a folder: its database as it was at one moment, and its files.

The database is kept as an SQLite file, which is restored into either database, or as what ``pg_dump`` writes.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection, connections, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.services import Refused, rows

SQLITE, DUMP, FILES, ABOUT = "database.sqlite3", "database.dump", "files", "backup.json"
# Made anew where it is missing.
CACHES = {"encoders", "packed"}
# The name under which a file beside the installation's own database is opened.
OTHER = "backup"


def back_up(folder: Path, portable: bool = False) -> None:
    """Write a backup, whatever others write meanwhile; the folder is there once it is whole.

    Args:
        folder: must not exist.
        portable: SQLite also where the database is PostgreSQL, and ``pg_dump`` is there.

    Raises:
        Refused: when the folder exists, or a program fails.
    """
    if folder.exists():
        raise Refused(_("%(folder)s exists already.") % {"folder": folder})
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    unfinished.mkdir(parents=True)
    try:
        _save_database(unfinished, portable)
        # After the database: a file that a row names is there, unless it was deleted meanwhile.
        n_files = _copy_files(Path(settings.MEDIA_ROOT), unfinished / FILES)
        about = {"version": settings.VERSION, "made_at": timezone.now().isoformat(), "files": n_files}
        (unfinished / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def restore(folder: Path) -> dict[str, Any]:
    """Read a backup into an installation that has nothing yet, bring it up to date, and return what it says of itself.

    Raises:
        Refused: when the folder is no backup, the installation holds something, or a program fails.
    """
    if not (folder / ABOUT).exists():
        raise Refused(_("%(folder)s is no backup, or none that is whole.") % {"folder": folder})
    media = Path(settings.MEDIA_ROOT)
    if connection.introspection.table_names() or (media.exists() and any(media.iterdir())):
        raise Refused(_("This installation holds something. Name an empty DATABASE_URL and MEDIA_ROOT."))
    if (folder / DUMP).exists():
        name = str(connection.settings_dict["NAME"])
        _run("pg_restore", "--no-owner", "--exit-on-error", "--dbname", name, DUMP, folder)
    elif connection.vendor == "sqlite":
        _copy_sqlite(folder / SQLITE, Path(connection.settings_dict["NAME"]))
    else:
        _load_sqlite(folder / SQLITE)
    connection.close()
    call_command("migrate", verbosity=0)
    _copy_files(folder / FILES, media)
    return json.loads((folder / ABOUT).read_text(encoding="utf-8"))


def _save_database(folder: Path, portable: bool) -> None:
    if connection.vendor == "sqlite":
        _copy_sqlite(Path(connection.settings_dict["NAME"]), folder / SQLITE)
    elif shutil.which("pg_dump") and not portable:
        _run("pg_dump", "--format=custom", "--no-owner", "--file", DUMP, str(connection.settings_dict["NAME"]), folder)
    else:
        _bring_up_to_date(folder / SQLITE)
        with _opened(folder / SQLITE), _one_moment():
            _copy_rows("default", OTHER)


def _load_sqlite(path: Path) -> None:
    """Into PostgreSQL: a copy is brought up to date, and its rows are carried over."""
    call_command("migrate", verbosity=0)
    copy = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _copy_sqlite(path, copy)
        _bring_up_to_date(copy)
        with _opened(copy):
            _copy_rows(OTHER, "default")
    finally:
        copy.unlink(missing_ok=True)


def _bring_up_to_date(path: Path) -> None:
    """In a process of its own: migrations know the installation's own database alone."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "migrate", "--verbosity", "0"]
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{path.absolute()}", "SECRET_KEY": settings.SECRET_KEY}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise Refused(f"migrate: {done.stderr.strip()[-1000:]}")


def _copy_sqlite(source: Path, target: Path) -> None:
    """All of a file as it is at one moment, whoever writes to it."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _copy_rows(source: str, target: str) -> None:
    """Carry all rows over as they are, keys and times too, in the place of what migrations have written there."""
    models: Any = apps.get_models(include_auto_created=True)
    with connections[target].constraint_checks_disabled(), transaction.atomic(using=target):
        for model in models:
            model._base_manager.using(target).all()._raw_delete(target)
        for model in models:
            rows.insert(model, model._base_manager.using(source).order_by("pk").iterator(rows.CHUNK), target)
    with connections[target].cursor() as cursor:
        for statement in connections[target].ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)


@contextmanager
def _opened(path: Path) -> Iterator[None]:
    """The SQLite file as the database OTHER."""
    connections.settings[OTHER] = deepcopy(connections.settings["default"]) | {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {},
        "CONN_MAX_AGE": 0,
    }
    try:
        yield
    finally:
        connections[OTHER].close()
        del connections[OTHER]
        del connections.settings[OTHER]


@contextmanager
def _one_moment() -> Iterator[None]:
    """All that is read is as it was at the first reading."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _run(*command: str | Path) -> None:
    """Run one of PostgreSQL's programs in the folder that is named last."""
    *arguments, folder = command
    told = connection.settings_dict
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD"}
    environment = os.environ | {name: str(told[key]) for name, key in names.items() if told[key]}
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise Refused(f"{arguments[0]}: {done.stderr.strip()[-1000:]}")


def _copy_files(source: Path, target: Path) -> int:
    """Copy a folder without what is only a cache or unfinished, and return how many files."""
    target.mkdir(parents=True, exist_ok=True)
    n = 0
    for place, folders, names in os.walk(source):
        here = Path(place)
        folders[:] = [name for name in folders if not name.startswith(".") and not (here == source and name in CACHES)]
        for name in names:
            if not (here / name).is_file() or ".tmp" in name:
                continue
            copy = target / (here / name).relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copy2(here / name, copy)
            except FileNotFoundError:
                # Deleted meanwhile, as its row.
                continue
            n += 1
    return n
