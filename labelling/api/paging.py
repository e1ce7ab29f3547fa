"""Long lists, a page at a time: no row is skipped or repeated while others are added."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from django.db.models import Model, QuerySet
from ninja import Query, Schema
from pydantic import Field

from labelling.api.fields import Key

Item = TypeVar("Item")
Row = TypeVar("Row", bound=Model)


class Page(Schema, Generic[Item]):
    """Some of the rows, the oldest first; ``next`` is what to give as ``after`` for those that follow."""

    items: list[Item]
    next: int | None


class Place(Schema):
    """Which page."""

    after: Annotated[Key | None, Field(description="`next` of the page before")] = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


PlaceInQuery = Query[Place]


def page(rows: QuerySet[Row], place: Place, shown: Any) -> dict[str, Any]:
    """The rows after a place, in the order of their keys, each as ``shown`` makes of it."""
    following = rows.order_by("pk").filter(pk__gt=place.after or 0)
    found = list(following[: place.limit + 1])
    items = found[: place.limit]
    return {"items": [shown(row) for row in items], "next": items[-1].pk if len(found) > len(items) else None}
