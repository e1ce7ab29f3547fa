"""Rows as they are, written below Django's public functions, which would set the times anew."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.db import connections

CHUNK = 1_000


def insert(model: Any, rows: Iterable[Any], using: str = "default") -> None:
    """Insert instances of one model with the keys and times that they have; so many are held at a time."""
    fields = model._meta.local_concrete_fields
    size = max(1, min(CHUNK, connections[using].ops.bulk_batch_size(fields, [None] * CHUNK)))
    remaining = iter(rows)
    while chunk := list(islice(remaining, size)):
        model._base_manager._insert(chunk, fields=fields, using=using, raw=True)
