"""Releases: a project's data set as it was at one moment."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from labelling.models.jobs import BackgroundJob
from labelling.models.projects import Project


class Release(BackgroundJob):
    """A data set that was delivered: written once, with what is promised of it; a correction makes the next one.

    ``counts``, ``certificate`` and ``files`` are there once it is done: see ``labelling.jobs.releasing``.
    """

    is_quick = True

    class Step(models.TextChoices):
        LOOK = "look", _("Looking at the audits")
        WRITE = "write", _("Writing the files")

    LABELS_CSV, LABELS_JSONL, CERTIFICATE = "labels.csv", "labels.jsonl", "certificate.json"

    project = models.ForeignKey(Project, models.PROTECT, related_name="releases")
    number = models.PositiveIntegerField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    note = models.TextField(_("note"), max_length=2_000, blank=True, help_text=_("What it is for, or what is new."))
    counts = models.JSONField(default=dict, help_text="Rows: in all, by source, certified, held out, without a label.")
    certificate = models.JSONField(default=dict, help_text="What certificate.json says.")
    files = models.JSONField(default=dict, help_text="By name: sha256 in hex, and bytes.")

    class Meta:
        ordering = ["project", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="release_number_once_a_project"),
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(state__in=BackgroundJob.ACTIVE),
                name="one_active_release_a_project",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.project}, release {self.number}"

    @property
    def is_done(self) -> bool:
        return self.state == self.State.DONE

    @property
    def step_label(self) -> str:
        return str(self.Step(self.step).label) if self.step else ""

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return Path(settings.MEDIA_ROOT) / "releases" / str(self.project_id) / str(self.number)

    def get_absolute_url(self) -> str:
        return reverse("release", args=[self.project.slug, self.number])
