"""A CSV file on its way in."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from labelling.models.jobs import BackgroundJob
from labelling.models.projects import Project


class CsvImport(BackgroundJob):
    """One uploaded file: how to read it, how far its import is, and what was wrong with it."""

    class Step(models.TextChoices):
        """Waiting without a step: the columns are not chosen yet. Waiting after CHECK: rows were rejected."""

        CHECK = "check", _("Checking the file")
        WRITE = "write", _("Importing")

    project = models.ForeignKey(Project, models.CASCADE, related_name="imports")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    file = models.FileField(upload_to="imports/")
    filename = models.CharField(max_length=255)
    encoding = models.CharField(max_length=40)
    delimiter = models.CharField(max_length=1)
    has_header = models.BooleanField("the first row holds the column names", default=True)
    text_column = models.CharField(max_length=200, blank=True)
    label_column = models.CharField(max_length=200, blank=True)
    id_column = models.CharField(max_length=200, blank=True)
    is_export = models.BooleanField(
        "this file was exported from here: keep sources, holdout and history",
        default=False,
    )
    holdout_percent = models.PositiveIntegerField(
        "share of the labelled rows to hold out, in %",
        default=0,
        validators=[MaxValueValidator(100)],
        help_text="Held-out documents are never trained on: they measure how good the classifiers are.",
    )
    keep_good_rows = models.BooleanField(
        "import the good rows even when others are rejected",
        default=False,
        help_text="Otherwise nothing is imported until you have seen what is wrong.",
    )
    counts = models.JSONField(default=dict, blank=True)
    problems = models.JSONField(default=list, blank=True)
    rejected_file = models.FileField(upload_to="imports/", blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(state__in=BackgroundJob.ACTIVE),
                name="one_active_import_a_project",
            ),
        ]

    def __str__(self) -> str:
        return self.filename

    @property
    def step_label(self) -> str:
        return str(self.Step(self.step).label) if self.step else ""

    @property
    def n_added(self) -> int:
        """Rows that add a document, or a label to one."""
        return sum(self.counts.get(role, 0) for role in ("labelled", "holdout", "pool"))

    @property
    def n_unlisted(self) -> int:
        """Problems and repetitions beyond those that are listed."""
        return self.counts.get("rejected", 0) + self.counts.get("same_in_file", 0) - len(self.problems)

    def get_absolute_url(self) -> str:
        return reverse("import", args=[self.project.slug, self.pk])
