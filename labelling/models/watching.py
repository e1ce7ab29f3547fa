"""Texts that came after a certificate and were answered under it: a few are audited, all are counted."""

from __future__ import annotations

from django.db import models

from labelling.models.projects import Label, Project
from labelling.models.rounds import Round


class LaterText(models.Model):
    """A text that was answered as certified, and drawn at random to be audited. It is a document with this hash.

    ``watch`` counts how often the project has begun to watch anew, as ``Project.watches`` does.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="later_texts")
    watch = models.PositiveSmallIntegerField()
    text_hash = models.CharField(max_length=64)
    label = models.ForeignKey(Label, models.CASCADE, related_name="+", help_text="What was answered.")
    probability = models.FloatField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["project", "text_hash"], name="later_text_once_a_project")]

    def __str__(self) -> str:
        return f"{self.label} ({self.probability:.2f})"


class LaterCount(models.Model):
    """How many texts were answered with a label, as certified, since the watch was begun."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="later_counts")
    watch = models.PositiveSmallIntegerField()
    label = models.ForeignKey(Label, models.CASCADE, related_name="+")
    n = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["project", "watch", "label"], name="later_count_once_a_label")]

    def __str__(self) -> str:
        return f"{self.label}: {self.n}"


class DriftLook(models.Model):
    """One look at the later texts, and what it found; see classifiers.drift. What is found stays found."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="drift_looks")
    watch = models.PositiveSmallIntegerField()
    round = models.ForeignKey(Round, models.CASCADE, related_name="drift_looks")
    limit = models.FloatField()
    level = models.FloatField()
    n = models.PositiveIntegerField(help_text="Later texts that people have audited.")
    k = models.PositiveIntegerField(help_text="Of them, where the answer was wrong.")
    at_least = models.FloatField(help_text="At least this share of the answers is wrong.")
    is_wrong = models.BooleanField(help_text="More is wrong than the limit.")
    n_texts = models.PositiveIntegerField(help_text="Answers that were counted by label.")
    divergence = models.FloatField(
        null=True, help_text="Of the labels' shares, in bits; null: not looked at this time."
    )
    is_shifted = models.BooleanField(help_text="The labels' shares are others than of what is certified.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.project}: {self.k} of {self.n} later texts wrong"

    @property
    def says_something(self) -> bool:
        return self.is_wrong or self.is_shifted
