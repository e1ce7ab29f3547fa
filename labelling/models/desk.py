"""What people do on the documents desk: views that they keep, and what they did with many documents at once."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from labelling.models.projects import Label, Project


class SavedView(models.Model):
    """A filter with its order, by a name; ``query`` is what stands behind the question mark of its address."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="saved_views")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="saved_views")
    name = models.CharField(_("name"), max_length=100)
    query = models.CharField(max_length=2_000, blank=True)
    is_shared = models.BooleanField(_("for everybody in the project"), default=False)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["project", "user", "name"], name="view_name_once_a_person")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("saved_view", args=[self.project.slug, self.pk])


class BulkAct(models.Model):
    """Something done with many documents at once, and what undoing it needs.

    ``bulk`` is that of the decisions; ``rows`` the ids of the queue entries, flags or
    gold that came of it.
    """

    class Kind(models.TextChoices):
        LABEL = "label", _("Labelled")
        REVIEW = "review", _("Sent to review")
        FLAG = "flag", _("Flagged")
        GOLD = "gold", _("Picked to train reviewers")

    project = models.ForeignKey(Project, models.CASCADE, related_name="bulk_acts")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=10, choices=Kind)
    label = models.ForeignKey(Label, models.SET_NULL, null=True, blank=True, related_name="+")
    chosen = models.CharField(max_length=255, help_text="How the documents were chosen.")
    n = models.PositiveIntegerField(help_text="Documents.")
    bulk = models.UUIDField(null=True, blank=True)
    rows = models.JSONField(default=list)
    undone_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    undone_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.Kind(self.kind).label}: {self.n}"
