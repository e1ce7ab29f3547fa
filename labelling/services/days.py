"""Spans of days, in the time zone of the pages."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from django.db.models import Q
from django.utils import timezone


def within(column: str, since: date | None, until: date | None) -> Q:
    """Whether a moment lies in a span of days, both included; a limit that is None is none."""
    span = Q()
    if since:
        span &= Q(**{f"{column}__gte": _midnight(since)})
    if until:
        span &= Q(**{f"{column}__lt": _midnight(until + timedelta(days=1))})
    return span


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
