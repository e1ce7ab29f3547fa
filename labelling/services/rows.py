"""Rows as they are, written below Django's public functions, which would set the times anew."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.db import DatabaseError, connections

from labelling.models import CsvImport, Unpacking

CHUNK = 1_000


def save_with_file(row: CsvImport | Unpacking) -> None:
    """Save a new row with the file that came for it; where the database doesn't take the row, no file stays."""
    try:
        row.save()
    except DatabaseError:
        if row.file.name:
            row.file.storage.delete(row.file.name)
        raise


def insert(model: Any, rows: Iterable[Any], using: str = "default") -> None:
    """Insert instances of one model with the keys and times that they have; so many are held at a time."""
    fields = model._meta.local_concrete_fields
    size = max(1, min(CHUNK, connections[using].ops.bulk_batch_size(fields, [None] * CHUNK)))
    remaining = iter(rows)
    while chunk := list(islice(remaining, size)):
        model._base_manager._insert(chunk, fields=fields, using=using, raw=True)
