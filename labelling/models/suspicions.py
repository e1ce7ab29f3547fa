"""Labels that are probably wrong."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from labelling.models.documents import Document
from labelling.models.projects import Label, Project


class Suspicion(models.Model):
    """A training example that another label fits better; replaced by each round, but for what somebody has checked.

    ``label`` is the one that it had, None for none of these: while it has another one, nothing is suspected. ``margin``
    is below 0, see ``classifiers.suspicion``.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="suspicions")
    document = models.OneToOneField(Document, models.CASCADE, related_name="suspicion")
    label = models.ForeignKey(Label, models.CASCADE, null=True, related_name="+")
    rival = models.ForeignKey(Label, models.CASCADE, null=True, related_name="+")
    margin = models.FloatField()
    checked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    checked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["margin", "pk"]

    def __str__(self) -> str:
        return f"{self.label or 'none of these'} or {self.rival or 'none of these'}: {self.document}"
