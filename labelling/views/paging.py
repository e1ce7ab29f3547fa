"""Long lists, a page at a time: the rows behind the last one that was shown, found by the order itself.

The last page is there as soon as the first, and no row is shown twice or left out while others come in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

PER_PAGE = 50
# Further than this nobody counts before it is needed.
MANY = 1_000


@dataclass(frozen=True)
class Page:
    """Some rows of a list.

    Attributes:
        n: how many rows there are in all; MANY stands for as many or more.
        before, after: where the pages beside it begin, for its address; empty where there is none.
    """

    rows: list[Any]
    n: int
    before: str
    after: str

    @property
    def is_many(self) -> bool:
        return self.n >= MANY


def page(
    request: HttpRequest,
    found: QuerySet[Any],
    order: Sequence[tuple[str, bool]],
    shown: QuerySet[Any],
    in_order: QuerySet[Any] | None = None,
) -> Page:
    """The page that the address names by ``after`` or ``before``; the first where it names none.

    Args:
        request: whose address it is.
        found: all rows, in no order.
        order: the columns, each with whether the largest comes first; together no two rows have the same.
        shown: any rows of the table, with what is read of them to be shown.
        in_order: ``found`` again, as the first few of the order are found most quickly; None: in no other way.
    """
    backwards = "before" in request.GET and "after" not in request.GET
    place = _read(request.GET.get("before" if backwards else "after", ""), len(order))
    turned = [(name, largest != backwards) for name, largest in order]
    in_order = found if in_order is None else in_order
    behind = in_order.filter(_behind(turned, place)) if place else in_order
    names = [f"-{name}" if largest else name for name, largest in turned]
    # Their keys first: in the order of an index, a database would else read all that is shown of every row.
    keys = list(behind.order_by(*names).values_list("pk", flat=True)[: PER_PAGE + 1])
    more, keys = len(keys) > PER_PAGE, keys[:PER_PAGE]
    by_key = shown.in_bulk(keys)
    rows = [by_key[key] for key in (reversed(keys) if backwards else keys) if key in by_key]
    is_first, is_last = (not more, not place) if backwards else (not place, not more)
    return Page(
        rows,
        len(rows) if is_first and is_last else found[:MANY].count(),
        "" if is_first or not rows else _place(rows[0], order),
        "" if is_last or not rows else _place(rows[-1], order),
    )


def _behind(order: Sequence[tuple[str, bool]], place: Sequence[float]) -> Q:
    """What comes after a place. The first column's limit stands by itself, too: an index is searched by it."""
    (name, largest), value = order[0], place[0]
    further = Q(**{f"{name}__{'lt' if largest else 'gt'}": value})
    if len(order) == 1:
        return further
    limit = Q(**{f"{name}__{'lte' if largest else 'gte'}": value})
    return limit & (further | Q(**{name: value}) & _behind(order[1:], place[1:]))


def _place(row: Model, order: Sequence[tuple[str, bool]]) -> str:
    values = []
    for name, _largest in order:
        value: Any = row
        for part in name.split("__"):
            value = getattr(value, part)
        values.append(value)
    return json.dumps(values, separators=(",", ":"))


def _read(place: str, n_columns: int) -> list[float]:
    """The values at a place; none where the address names none that can be."""
    try:
        values = json.loads(place) if place else []
    except ValueError:
        return []
    are_numbers = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    return values if are_numbers and len(values) == n_columns and all(abs(value) < 2**62 for value in values) else []
