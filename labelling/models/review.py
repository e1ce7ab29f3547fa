"""The review queue, what people decided, and what they remarked."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

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
        ACCEPT = "accept", _("Accepted")
        OVERRIDE = "override", _("Overridden")
        NONE = "none", _("None of these")
        SKIP = "skip", _("Skipped")
        UNDO = "undo", _("Undone")

    LABELLING = (Action.ACCEPT, Action.OVERRIDE, Action.NONE)

    document = models.ForeignKey(Document, models.CASCADE, related_name="decisions")
    query = models.ForeignKey(
        Query, models.SET_NULL, null=True, blank=True, related_name="decisions", help_text="Empty outside the queue."
    )
    entry = models.BigIntegerField(null=True, blank=True, help_text="The queue entry it was taken from, gone since.")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="decisions")
    action = models.CharField(max_length=10, choices=Action)
    label = models.ForeignKey(Label, models.RESTRICT, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=500, blank=True, help_text="Why it was skipped, if they said so.")
    withdraws = models.OneToOneField(
        "self", models.CASCADE, null=True, blank=True, related_name="withdrawn_by", help_text="Only on undo."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["document", "-id"], name="decisions_of_a_document")]

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.label or ''}".strip()


class Flag(models.Model):
    """A reviewer's remark on a document, for whoever looks after the project. It decides nothing."""

    document = models.ForeignKey(Document, models.CASCADE, related_name="flags")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    comment = models.TextField(max_length=2_000)
    created_at = models.DateTimeField(auto_now_add=True)
    lowered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    lowered_at = models.DateTimeField(null=True, blank=True, help_text="Set when somebody has dealt with it.")

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.comment


class Habit(models.Model):
    """How a person likes to work, on every machine they log in from."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="habit")
    keys = models.BooleanField("one key decides", default=True)

    def __str__(self) -> str:
        return f"{self.user}: keys {'on' if self.keys else 'off'}"
