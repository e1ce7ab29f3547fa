"""How well a project's judges do, measured against people."""

from __future__ import annotations

from typing import Any

from django.db import models

from labelling.models.jobs import BackgroundJob
from labelling.models.projects import Project


class Measurement(BackgroundJob):
    """What a project's audits said of each judge when they were last counted.

    ``figures`` has one entry for each judge, model and wording, see ``labelling.jobs.measuring``. ``counted`` is what
    ``services.audits.state`` was then: when it is another by now, the figures are old.
    """

    project = models.OneToOneField(Project, models.CASCADE, related_name="measurement")
    figures = models.JSONField(default=list)
    counted = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"{self.project}, measured"

    @property
    def by_label(self) -> dict[int, list[dict[str, Any]]]:
        """By label id: each judge that was audited on it, with its figures."""
        found: dict[int, list[dict[str, Any]]] = {}
        for judge in self.figures:
            for row in judge["labels"]:
                found.setdefault(row["label"], []).append(judge | row)
        return found
