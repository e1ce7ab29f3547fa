"""Labels that are proposed for texts that belong to none."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from labelling.models.documents import Document
from labelling.models.projects import Label, Project


class ProposedLabel(models.Model):
    """Texts of no label that are about the same; replaced by each round, but for those that somebody decided on.

    ``documents``: the texts. ``neighbours``: other documents as near to their middle, whose label no person has given.
    ``nearest``: the label that is most like them. ``label``: what was made of it.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="proposed_labels")
    name = models.CharField(max_length=200)
    definition = models.TextField(blank=True)
    documents = models.ManyToManyField(Document, related_name="+")
    neighbours = models.ManyToManyField(Document, related_name="+")
    nearest = models.ForeignKey(Label, models.SET_NULL, null=True, related_name="+")
    size = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    dismissed_at = models.DateTimeField(null=True)
    label = models.OneToOneField(Label, models.SET_NULL, null=True, related_name="proposal")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-size", "pk"]

    def __str__(self) -> str:
        return self.name
