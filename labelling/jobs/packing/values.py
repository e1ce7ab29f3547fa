"""One value of a project's file, read as its field wants it: nothing in the file is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Field

from labelling.jobs.packing.shapes import Misshapen
from labelling.models.compact import CandidatesField, ProbabilitiesField

# What stands in the JSON for a field; all others are strings.
KINDS: dict[str, tuple[type, ...]] = {
    "BigAutoField": (int,),
    "BigIntegerField": (int,),
    "BooleanField": (bool,),
    "FloatField": (int, float),
    "PositiveIntegerField": (int,),
    "PositiveSmallIntegerField": (int,),
}

COMPACT = (CandidatesField, ProbabilitiesField)


@dataclass(frozen=True)
class Reader:
    """Reads the values of one field.

    Attributes:
        column: the field.
        kinds: what may stand in the JSON.
        choices: the values that it can have; empty where there are too many to list.
        is_plain: a foreign key, which is moved, or a list or JSON, which have a shape of their own.
        is_needed: whether a row needs it; what is younger than a file has a default.
    """

    column: Field[Any, Any]
    kinds: tuple[type, ...]
    choices: frozenset[Any]
    is_plain: bool
    is_needed: bool

    @classmethod
    @cache
    def of(cls, column: Field[Any, Any]) -> Reader:
        kind = column.get_internal_type()
        kinds: tuple[type, ...] = (int,) if column.remote_field else KINDS.get(kind, (str,))
        has_shape = kind == "JSONField" or isinstance(column, COMPACT)
        if has_shape:
            kinds = (type(column.get_default()),) if column.has_default() else (dict, list)
        listed = {value for value, _ in column.flatchoices} | ({""} if column.flatchoices and column.blank else set())
        may_lack = (column.has_default() or column.null or column.blank) and not column.primary_key
        is_plain = has_shape or column.remote_field is not None
        return cls(column, kinds, frozenset(listed), is_plain, not may_lack)

    def read(self, raw: Any) -> Any:
        """Return the value that the field gets; of a foreign key, the key as it stands in the file.

        Raises:
            Misshapen: when the field can't have it.
        """
        column = self.column
        if raw is None:
            if not column.null:
                raise Misshapen(f"{column.name} is empty")
            return None
        if type(raw) not in self.kinds:
            raise Misshapen(f"{column.name} is no {column.get_internal_type()}")
        if self.is_plain:
            return raw
        try:
            value = column.to_python(raw)
            column.run_validators(value)
        except (ValidationError, ValueError, OverflowError) as error:
            told = "; ".join(error.messages) if isinstance(error, ValidationError) else error
            raise Misshapen(f"{column.name}: {told}") from error
        if self.choices and value not in self.choices:
            raise Misshapen(f"{column.name} can't be {str(value)[:50]!r}")
        if isinstance(value, datetime) and value.tzinfo is None:
            raise Misshapen(f"{column.name} has no time zone")
        return value


def check_names(readers: Mapping[str, Reader], row: Mapping[str, Any]) -> None:
    """Make sure that a row has fields that are known, and all that it needs.

    Raises:
        Misshapen: when it does not.
    """
    if unknown := row.keys() - readers.keys():
        raise Misshapen(f"{min(unknown)[:50]} is unknown here")
    for name, reader in readers.items():
        if reader.is_needed and name not in row:
            raise Misshapen(f"{name} is missing")
