"""In which space a project's texts lie, and how it gets into another one."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from labelling.models.jobs import BackgroundJob
from labelling.models.projects import Project


class Centre(models.Model):
    """The mean of a project's vectors by one encoder: float32 values in native byte order."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="centres")
    encoder = models.CharField(max_length=200)
    n_texts = models.PositiveIntegerField(help_text="Of so many texts.")
    vector = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "encoder"], name="centre_once_an_encoder")]

    def __str__(self) -> str:
        return f"{self.project}: {self.encoder}"


class Encoding(BackgroundJob):
    """All texts of a project by another encoder: its rounds use the old vectors until the new ones are complete.

    Waiting after TRY: a manager has to agree to what it takes, see ``labelling.jobs.encoding``. The newest that is done
    is the encoder of the next round.
    """

    class Step(models.TextChoices):
        TRY = "try", _("Trying the encoder")
        EMBED = "embed", _("Reading the texts")

    project = models.ForeignKey(Project, models.CASCADE, related_name="encodings")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    encoder = models.CharField(max_length=200, blank=True, help_text="Empty: the installation's.")
    forecast = models.JSONField(default=dict, help_text="Texts without a vector, seconds and bytes that they take.")
    confirmed_at = models.DateTimeField(null=True, help_text="When a manager agreed to what it takes.")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(state__in=BackgroundJob.ACTIVE),
                name="one_active_encoding_a_project",
            ),
        ]

    def __str__(self) -> str:
        return self.encoder or settings.ENCODER

    @property
    def step_label(self) -> str:
        return str(self.Step(self.step).label) if self.step else ""

    @property
    def minutes(self) -> int:
        """About how long it takes, in whole minutes, at least one."""
        return max(1, round(self.forecast.get("seconds", 0) / 60))

    def get_absolute_url(self) -> str:
        return reverse("encoder", args=[self.project.slug])
