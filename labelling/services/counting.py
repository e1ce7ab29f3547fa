"""Counts of large projects are kept for a while: a visitor does not wait until a million documents are counted."""

from __future__ import annotations

from collections.abc import Callable, Collection
from time import perf_counter
from typing import TypeVar

from django.core.cache import cache
from django.db.models import OuterRef, Subquery

from labelling.models import CsvImport, DiaryEntry, Project, Round

Count = TypeVar("Count")

# What is smaller is counted anew for each page, to the document.
LARGE = 50_000
# Counting takes a hundredth of the time at most, and nothing is older than five minutes.
TIMES_AS_LONG = 100
MOST_SECONDS = 300.0


def kept(
    projects: Collection[int], name: str, count: Callable[[Collection[int]], dict[int, Count]]
) -> dict[int, Count]:
    """Return counts by project, those of large ones as they were counted last.

    Rounds, imports and whatever else the diary tells of begin them anew; single decisions are seen when they are next
    due.

    Args:
        projects: their keys.
        name: of what is counted.
        count: counts it, for some of them.
    """
    keys = _keys(projects, name)
    found = {pk: value for pk, key in keys.items() if (value := cache.get(key)) is not None}
    missing = [pk for pk in projects if pk not in found]
    started = perf_counter()
    counted = count(missing) if missing else {}
    seconds = min(TIMES_AS_LONG * (perf_counter() - started), MOST_SECONDS)
    cache.set_many({keys[pk]: counted[pk] for pk in missing if pk in keys}, seconds)
    return found | counted


def kept_of(project: Project, name: str, count: Callable[[Project], Count]) -> Count:
    """Return a count of one project; see kept."""
    return kept([project.pk], name, lambda _keys: {project.pk: count(project)})[project.pk]


def _keys(projects: Collection[int], name: str) -> dict[int, str]:
    """Of the large ones, under which key a count is kept: another one after each change of many documents."""
    of_project = {"project": OuterRef("pk")}
    last_round = Round.objects.filter(**of_project).order_by("-number")
    imports = CsvImport.objects.filter(**of_project).exclude(finished_at=None)
    told = Project.objects.filter(pk__in=projects).annotate(
        size=Subquery(last_round.exclude(pool=None).values("pool")[:1]),
        settled_at=Subquery(last_round.exclude(settled_at=None).values("settled_at")[:1]),
        act=Subquery(DiaryEntry.objects.filter(**of_project).order_by("-pk").values("pk")[:1]),
        imported_at=Subquery(imports.order_by("-finished_at").values("finished_at")[:1]),
    )
    rows = told.filter(size__gte=LARGE).values_list("pk", "settled_at", "act", "imported_at")
    return {pk: f"{pk}:{name}:{'/'.join(map(str, changes))}".replace(" ", "T") for pk, *changes in rows}
