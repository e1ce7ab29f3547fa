"""One value of a project's file, read as its field wants it: nothing in the file is believed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Field

from labelling.jobs.packing.shapes import Misshapen

# What stands in the JSON for a field; all others are strings.
KINDS: dict[str, type | tuple[type, ...]] = {
    "BigAutoField": int,
    "BigIntegerField": int,
    "BooleanField": bool,
    "FloatField": (int, float),
    "PositiveIntegerField": int,
    "PositiveSmallIntegerField": int,
}


def read(column: Field[Any, Any], raw: Any) -> Any:
    """Return the value that a field gets; of a foreign key, the key as it stands in the file.

    Raises:
        Misshapen: when the field can't have it.
    """
    if raw is None:
        if not column.null:
            raise Misshapen(f"{column.name} is empty")
        return None
    if not isinstance(raw, _kind(column)) or isinstance(raw, bool) != (column.get_internal_type() == "BooleanField"):
        raise Misshapen(f"{column.name} is no {column.get_internal_type()}")
    if column.remote_field or column.get_internal_type() == "JSONField":
        return raw
    try:
        value = column.to_python(raw)
        column.run_validators(value)
    except (ValidationError, ValueError, OverflowError) as error:
        told = "; ".join(error.messages) if isinstance(error, ValidationError) else error
        raise Misshapen(f"{column.name}: {told}") from error
    if column.flatchoices and value not in dict(column.flatchoices) and not (column.blank and value == ""):
        raise Misshapen(f"{column.name} can't be {str(value)[:50]!r}")
    if isinstance(value, datetime) and value.tzinfo is None:
        raise Misshapen(f"{column.name} has no time zone")
    return value


def check_names(columns: Mapping[str, Field[Any, Any]], row: Mapping[str, Any]) -> None:
    """Make sure that a row has fields that are known, and all that it needs: what is younger than it has a default.

    Raises:
        Misshapen: when it does not.
    """
    if unknown := row.keys() - columns.keys():
        raise Misshapen(f"{min(unknown)[:50]} is unknown here")
    for name, column in columns.items():
        may_lack = (column.has_default() or column.null or column.blank) and not column.primary_key
        if name not in row and not may_lack:
            raise Misshapen(f"{name} is missing")


def _kind(column: Field[Any, Any]) -> type | tuple[type, ...]:
    if column.get_internal_type() == "JSONField":
        return type(column.get_default()) if column.has_default() else (dict, list)
    return int if column.remote_field else KINDS.get(column.get_internal_type(), str)
