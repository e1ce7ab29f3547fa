"""Lists of probabilities in few bytes: each document of a project has some."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    # Only the type checker's field is generic.
    _Field = models.Field[Any, Any]
else:
    _Field = models.Field

# Digits of a stored probability, of which 32 bits lose none: a label that a thousand candidates share a percent with
# must not round to never.
DIGITS = 6
ITEM_BYTES = 4


class _Compact(_Field):
    """A list in Python, bytes in the database and to migrations; read and shown as if it were JSON."""

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs.setdefault("default", list)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.BinaryField", args, kwargs | {"default": bytes}

    def pack(self, value: Any) -> bytes:
        raise NotImplementedError

    def unpack(self, stored: bytes) -> list[Any]:
        raise NotImplementedError

    def get_internal_type(self) -> str:
        return "BinaryField"

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return connection.Database.Binary(self.pack(value))

    def from_db_value(self, value: bytes | None, expression: object, connection: object) -> list[Any] | None:
        """None where a join has found no row."""
        return None if value is None else self.unpack(value)

    def to_python(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    def value_to_string(self, obj: models.Model) -> str:
        return json.dumps(self.value_from_object(obj))


class ProbabilitiesField(_Compact):
    """Probabilities in [0, 1], 4 bytes each."""

    def pack(self, value: Sequence[float]) -> bytes:
        """Return the bytes that are stored."""
        return struct.pack(f"<{len(value)}f", *value)

    def unpack(self, stored: bytes) -> list[float]:
        """Return the probabilities, rounded to DIGITS."""
        return [round(p, DIGITS) for p in struct.unpack(f"<{len(stored) // ITEM_BYTES}f", stored)]


class CandidatesField(_Compact):
    """[label id, probability] pairs, 8 bytes each: first all ids, below 2**32, then all probabilities."""

    def pack(self, value: Sequence[Sequence[float]]) -> bytes:
        """Return the bytes that are stored.

        Raises:
            ValueError: when what is in the list are no pairs.
        """
        labels, probabilities = [label_id for label_id, _ in value], [p for _, p in value]
        return struct.pack(f"<{len(value)}I{len(value)}f", *labels, *probabilities)

    def unpack(self, stored: bytes) -> list[list[float]]:
        """Return the pairs in their order, each a list as in JSON; probabilities rounded to DIGITS."""
        n = len(stored) // (2 * ITEM_BYTES)
        found = struct.unpack(f"<{n}I{n}f", stored)
        return [[label_id, round(p, DIGITS)] for label_id, p in zip(found[:n], found[n:], strict=True)]
