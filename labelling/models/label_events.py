"""What became of labels, and what it takes to undo it."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from labelling.models.projects import Label, Project


class LabelEventQuerySet(models.QuerySet["LabelEvent"]):
    def standing(self) -> LabelEventQuerySet:
        return self.filter(undone_at=None)


class Revision(models.Model):
    """A revision of the classification: which labels become which, laid out, carried out, and undone as one.

    ``table`` lists the correspondences as they came: [old, new, name, definition], labels by code or name.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="revisions")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    table = models.JSONField(default=list)
    counts = models.JSONField(default=dict)
    carried_out_at = models.DateTimeField(null=True)
    undone_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    undone_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.project}, revision of {self.created_at:%d %b %Y}"

    @property
    def stands(self) -> bool:
        return self.carried_out_at is not None and self.undone_at is None


class LabelEvent(models.Model):
    """A step in a label's life. ``other`` is the label that it became a part of, or that got examples of it.

    ``counts``: what it touched, see ``services.label_life.Effect``. ``before``: what undoing it puts back.
    """

    class Kind(models.TextChoices):
        RENAME = "rename", _("Renamed")
        MERGE = "merge", _("Merged")
        RETIRE = "retire", _("Retired")
        RESTORE = "restore", _("Restored")
        MOVE = "move", _("Examples moved")
        SPLIT = "split", _("Split")
        RECODE = "recode", _("Recoded")
        DIVIDE = "divide", _("Divided")
        MAKE = "make", _("Made of what belonged nowhere")

    project = models.ForeignKey(Project, models.CASCADE, related_name="label_events")
    kind = models.CharField(max_length=10, choices=Kind)
    label = models.ForeignKey(Label, models.CASCADE, related_name="events")
    other = models.ForeignKey(Label, models.CASCADE, null=True, related_name="+")
    revision = models.ForeignKey(Revision, models.CASCADE, null=True, related_name="events")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    counts = models.JSONField(default=dict)
    before = models.JSONField(default=dict)
    undone_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    undone_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[LabelEvent]] = LabelEventQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.Kind(self.kind).label}: {self.label}"
