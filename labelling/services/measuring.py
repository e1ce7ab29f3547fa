"""How well the judges do: figures that the worker counts, and whether they are old."""

from __future__ import annotations

from django.db import transaction

from labelling.models import Measurement, Project
from labelling.services import audits, queueing


@transaction.atomic
def measure(project: Project) -> Measurement:
    """Have the project's audits counted anew; asking twice changes nothing."""
    Measurement.objects.get_or_create(project=project, defaults={"state": Measurement.State.DONE})
    measurement = Measurement.objects.select_for_update().get(project=project)
    if not measurement.is_active:
        queueing.enqueue(measurement)
    return measurement


def is_old(project: Project, measurement: Measurement | None) -> bool:
    """Whether somebody decided on an audit, or the judge answered, since the figures were counted."""
    return (measurement.counted if measurement else audits.NOTHING_YET) != audits.state(project)
