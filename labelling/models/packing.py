"""Projects on their way to another installation: packed into one file, and unpacked from one."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from labelling.models.jobs import BackgroundJob
from labelling.models.projects import Project


class Packing(BackgroundJob):
    """A project's file: packed anew whenever somebody asks, the last one kept."""

    is_quick: ClassVar[bool] = True

    class Step(models.TextChoices):
        WRITE = "write", _("Writing the file")

    project = models.OneToOneField(Project, models.CASCADE, related_name="packing")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes.")
    sha256 = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return f"{self.project}, packed"

    @property
    def step_label(self) -> str:
        return str(self.Step(self.step).label) if self.step else ""

    @property
    def path(self) -> Path:
        """Where the file is, once it is done."""
        return Path(settings.MEDIA_ROOT) / "packed" / f"{self.project_id}.zip"

    def get_absolute_url(self) -> str:
        return reverse("pack", args=[self.project.slug])


class Unpacking(BackgroundJob):
    """A project's file that somebody has uploaded, and the project that became of it."""

    is_quick: ClassVar[bool] = True

    class Step(models.TextChoices):
        CHECK = "check", _("Checking the file")
        WRITE = "write", _("Writing the project")

    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    file = models.FileField(upload_to="unpacking/", help_text="Goes once it has been read, or refused.")
    filename = models.CharField(max_length=255)
    project = models.ForeignKey(Project, models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.filename

    @property
    def step_label(self) -> str:
        return str(self.Step(self.step).label) if self.step else ""

    def get_absolute_url(self) -> str:
        return reverse("unpacking", args=[self.pk])
