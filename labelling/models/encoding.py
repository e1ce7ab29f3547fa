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


class Adaptation(BackgroundJob):
    """An encoder that learns a project's examples. Kept where it is better than the one in use, else thrown away.

    Once it is kept an ``Encoding`` reads all texts by it.
    """

    class Step(models.TextChoices):
        TRAIN = "train", _("Learning the examples")
        READ = "read", _("Reading texts to compare")
        COMPARE = "compare", _("Comparing")

    project = models.ForeignKey(Project, models.CASCADE, related_name="adaptations")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    n_examples = models.PositiveIntegerField(help_text="That the project had.")
    encoder = models.CharField(max_length=200, blank=True, help_text="What was made; empty before, and thrown away.")
    result = models.JSONField(default=dict, help_text="How often each is right; see evaluation.Paired.")
    is_kept = models.BooleanField(null=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(state__in=BackgroundJob.ACTIVE),
                name="one_active_adaptation_a_project",
            ),
        ]

    def __str__(self) -> str:
        return self.encoder or f"{self.project}, {self.n_examples}"

    @property
    def percentages(self) -> dict[str, float]:
        """Of its result: how often each is right, and the interval of the difference, in percent."""
        return {name: 100 * self.result[name] for name in ("before", "after", "low", "high") if name in self.result}

    @property
    def is_less_sure(self) -> bool:
        """Whether it was thrown away, although right more often, as it knows less well when it is right."""
        return self.is_kept is False and self.result.get("low", 0) > 0

    @property
    def step_label(self) -> str:
        return str(self.Step(self.step).label) if self.step else ""

    def get_absolute_url(self) -> str:
        return reverse("encoder", args=[self.project.slug])
