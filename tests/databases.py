"""Databases for tests: all migrations run once, and whoever needs a database gets a copy of what they left."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "var"
# What decides how an empty database looks: our own migrations, and the packages that bring some.
SOURCES = (*sorted((ROOT / "labelling" / "migrations").glob("*.py")), ROOT / "constraints.txt")


def server() -> str:
    """The PostgreSQL server that DATABASE_URL names; "" where the tests use SQLite."""
    url = os.environ.get("DATABASE_URL", "")
    return url if url.startswith("postgres") else ""


def copy_to(name: str, folder: Path) -> str:
    """Make an empty database of this name, a file in the folder or one on the server, and return its URL."""
    template = f"red_migrated_{_fingerprint()}"
    with locked(KEPT / f"{template}.lock"):
        if server():
            return _on_server(name, template)
        return _in_folder(folder / f"{name}.sqlite3", KEPT / f"{template}.sqlite3")


def _in_folder(path: Path, template: Path) -> str:
    if not template.exists():
        part = template.with_suffix(".part")
        part.unlink(missing_ok=True)
        _migrate(f"sqlite:///{part}")
        part.rename(template)
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    shutil.copyfile(template, path)
    return f"sqlite:///{path}"


def _on_server(name: str, template: str) -> str:
    with _connected() as connection:
        known = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        if template not in known:
            part = f"{template}_part"
            connection.execute(f'DROP DATABASE IF EXISTS "{part}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{part}"')
            _migrate(_url(part))
            connection.execute(f'ALTER DATABASE "{part}" RENAME TO "{template}"')
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return _url(name)


def _migrate(url: str) -> None:
    environment = os.environ | {"DATABASE_URL": url, "SECRET_KEY": "test"}
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _url(name: str) -> str:
    return urlunsplit(urlsplit(server())._replace(path=f"/{name}"))


@contextmanager
def _connected() -> Iterator[psycopg.Connection]:
    with psycopg.connect(server(), autocommit=True) as connection:
        yield connection


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fingerprint() -> str:
    sources = hashlib.sha256()
    for path in SOURCES:
        sources.update(path.read_bytes())
    return sources.hexdigest()[:12]
