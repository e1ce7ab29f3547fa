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

    is_quick = True

    class Step(models.TextChoices):
        """Where it stands.

        Waiting without a step: the columns are not chosen yet. Waiting after CHECK: something is asked, or rows
        were rejected.
        """

        CHECK = "check", _("Checking the file")
        WRITE = "write", _("Importing")

    project = models.ForeignKey(Project, models.CASCADE, related_name="imports")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    file = models.FileField(upload_to="imports/")
    filename = models.CharField(max_length=255)
    kind = models.CharField(max_length=20, blank=True, help_text="What it was; empty: a CSV file.")
    encoding = models.CharField(max_length=40)
    delimiter = models.CharField(max_length=1, blank=True, help_text="Empty: each line is one text.")
    has_header = models.BooleanField(_("the first row holds the column names"), default=True)
    skip_rows = models.PositiveSmallIntegerField(_("lines above the column names to leave out"), default=0, blank=True)
    more_header_rows = models.PositiveSmallIntegerField(
        _("further rows of column names to leave out"), default=0, blank=True
    )
    plain_quotes = models.BooleanField(_("quotation marks are a part of the texts"), default=False)
    skip_spaces = models.BooleanField(_("leave out spaces behind a delimiter"), default=False)
    text_column = models.CharField(max_length=200, blank=True)
    more_text_columns = models.JSONField(
        default=list, blank=True, help_text="Further columns of the text, each joined to it with its name."
    )
    label_column = models.CharField(max_length=200, blank=True)
    id_column = models.CharField(max_length=200, blank=True)
    is_export = models.BooleanField(
        _("this file was exported from here: keep sources, holdout and history"),
        default=False,
    )
    holdout_percent = models.PositiveIntegerField(
        _("share of the labelled rows to hold out, in %"),
        default=0,
        validators=[MaxValueValidator(100)],
        help_text=_("Held-out documents are never trained on: they measure how good the classifiers are."),
    )
    keep_good_rows = models.BooleanField(
        _("import the good rows even when others are rejected"),
        default=False,
        help_text=_("Otherwise nothing is imported until you have seen what is wrong."),
    )
    answers = models.JSONField(default=dict, blank=True, help_text="By the key of a question.")
    questions = models.JSONField(default=list, blank=True, help_text="Those that nobody has answered yet.")
    counts = models.JSONField(default=dict, blank=True)
    problems = models.JSONField(default=list, blank=True)
    rejected_file = models.FileField(upload_to="imports/", blank=True)
    made_labels = models.JSONField(default=list, blank=True, help_text="Ids of the labels that came with it.")
    undone_at = models.DateTimeField(null=True, blank=True)

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
        n_listed = sum("aggregate" not in problem for problem in self.problems)
        return self.counts.get("rejected", 0) + self.counts.get("same_in_file", 0) - n_listed

    def get_absolute_url(self) -> str:
        return reverse("import", args=[self.project.slug, self.pk])
