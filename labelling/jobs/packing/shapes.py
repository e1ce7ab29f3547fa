"""Where keys of rows stand inside what is stored as JSON: they are others in the project that is made of a file.

A shape takes a value, a function that moves a key, and the row that the value is in; it returns the value with its keys
moved, and refuses one of another shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Model

# Takes the model of a row and its key, and returns the key that it has elsewhere.
Move = Callable[[type[Model], Any], int]
Row = Mapping[str, Any]
Shape = Callable[[Any, Move, Row], Any]


class Misshapen(ValueError):
    """A value is not what is stored at its place."""


def number(value: Any, move: Move, row: Row) -> Any:
    """No key: a number, as it is."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Misshapen("a number is wanted")
    return value


def text(value: Any, move: Move, row: Row) -> Any:
    """No key: words, as they are."""
    return _checked(value, str)


def key_of(model: type[Model]) -> Shape:
    """The key of a row, or nothing."""
    return lambda value, move, row: None if value is None else move(model, value)


def each(shape: Shape) -> Shape:
    """A list of such values."""
    return lambda value, move, row: [shape(one, move, row) for one in _checked(value, list)]


def cells(*shapes: Shape) -> Shape:
    """A list that begins with such values; what follows stays as it is."""

    def moved(value: Any, move: Move, row: Row) -> list[Any]:
        if len(_checked(value, list)) < len(shapes):
            raise Misshapen("a list is too short")
        return [shape(one, move, row) for shape, one in zip(shapes, value, strict=False)] + value[len(shapes) :]

    return moved


def keyed(model: type[Model], shape: Shape | None = None) -> Shape:
    """Values by the key of a row."""

    def moved(value: Any, move: Move, row: Row) -> dict[str, Any]:
        return {
            str(move(model, _whole(key))): shape(one, move, row) if shape else one
            for key, one in _checked(value, dict).items()
        }

    return moved


def named(**shapes: Shape) -> Shape:
    """Values by name, of which these have keys in them, where they are there."""

    def moved(value: Any, move: Move, row: Row) -> dict[str, Any]:
        told = _checked(value, dict)
        return told | {name: shape(told[name], move, row) for name, shape in shapes.items() if name in told}

    return moved


def every(shape: Shape) -> Shape:
    """Values of one shape by any name."""
    return lambda value, move, row: {name: shape(one, move, row) for name, one in _checked(value, dict).items()}


def by_kind(**shapes: Shape) -> Shape:
    """One of several shapes, by the kind of the row; of another kind there is nothing."""

    def moved(value: Any, move: Move, row: Row) -> Any:
        if shape := shapes.get(row["kind"]):
            return shape(value, move, row)
        if value:
            raise Misshapen("nothing is stored with this kind")
        return value

    return moved


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise Misshapen(f"a {kind.__name__} is wanted")
    return value


def _whole(key: str) -> int:
    if not (key.isascii() and key.isdecimal()):
        raise Misshapen("a key is wanted")
    return int(key)
