"""The review queue and what people decided."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from labelling.models.documents import Document
from labelling.models.projects import Label, Project
from labelling.models.rounds import Query


class QueueEntry(models.Model):
    """A document that waits for a person. The row goes when somebody decides.

    Until ``claimed_until`` nobody but ``claimed_by`` is given the document.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="queue")
    document = models.OneToOneField(Document, models.CASCADE, related_name="queue_entry")
    query = models.OneToOneField(Query, models.CASCADE, related_name="queue_entry")
    priority = models.BigIntegerField(help_text="Lower is reviewed first.")
    claimed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "queue entries"
        ordering = ["priority", "pk"]
        indexes = [models.Index(fields=["project", "priority"], name="next_in_queue")]

    def __str__(self) -> str:
        return str(self.document)


class Decision(models.Model):
    """What a person said of a document. Undo is a row of its own that ``withdraws`` another."""

    class Action(models.TextChoices):
        ACCEPT = "accept", "Accepted"
        OVERRIDE = "override", "Overridden"
        NONE = "none", "None of these"
        SKIP = "skip", "Skipped"
        UNDO = "undo", "Undone"

    LABELLING = (Action.ACCEPT, Action.OVERRIDE, Action.NONE)

    document = models.ForeignKey(Document, models.CASCADE, related_name="decisions")
    query = models.ForeignKey(
        Query, models.SET_NULL, null=True, blank=True, related_name="decisions", help_text="Empty outside the queue."
    )
    entry = models.BigIntegerField(null=True, blank=True, help_text="The queue entry it was taken from, gone since.")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="decisions")
    action = models.CharField(max_length=10, choices=Action)
    label = models.ForeignKey(Label, models.RESTRICT, null=True, blank=True, related_name="+")
    withdraws = models.OneToOneField(
        "self", models.CASCADE, null=True, blank=True, related_name="withdrawn_by", help_text="Only on undo."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["document", "-id"], name="decisions_of_a_document")]

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.label or ''}".strip()
