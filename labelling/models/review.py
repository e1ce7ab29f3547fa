"""The review queue, what people decided, and what they remarked."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from labelling.models.documents import Document
from labelling.models.projects import Label, Project
from labelling.models.rounds import Query, Round


class People(models.IntegerChoices):
    """How many people have to decide on a document, and whether they know of each other."""

    ONE = 1, "One person"
    TWO = 2, "Two people who don't see each other's decision"
    THREE = 3, "A third person: the two disagree"


class QueueEntry(models.Model):
    """A document that waits for a person. The row goes when nobody has to decide on it any more.

    Until ``claimed_until`` nobody but ``claimed_by`` is given the document.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="queue", db_index=False)
    document = models.OneToOneField(Document, models.CASCADE, related_name="queue_entry")
    query = models.OneToOneField(Query, models.CASCADE, related_name="queue_entry")
    round = models.ForeignKey(
        Round, models.CASCADE, related_name="waiting", help_text="The question's: counted at each decision."
    )
    priority = models.BigIntegerField(help_text="Lower is reviewed first.")
    people = models.PositiveSmallIntegerField(choices=People, default=People.ONE)
    answer_first = models.BooleanField(default=False, help_text="People answer before they see the machine's word.")
    sent_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Who wants it looked at: no round takes it out of the queue.",
    )
    claimed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, db_index=False)
    claimed_at = models.DateTimeField(null=True, blank=True, help_text="Stays when the claim is renewed.")
    claimed_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "queue entries"
        ordering = ["priority", "pk"]
        # No index on project alone: a database that knows no figures yet would go through the whole queue with it.
        indexes = [
            models.Index(fields=["project", "priority"], name="next_in_queue"),
            models.Index(fields=["claimed_by", "project"], name="held_in_queue"),
        ]

    def __str__(self) -> str:
        return str(self.document)


class DecisionQuerySet(models.QuerySet["Decision"]):
    def standing(self) -> DecisionQuerySet:
        """What says which label a document has and was not withdrawn."""
        return self.filter(action__in=Decision.LABELLING, withdrawn_by=None)

    def of_the_two(self, entry: QueueEntry) -> DecisionQuerySet:
        """What the two people for whom a queued document is have said of it."""
        return self.standing().filter(document=entry.document_id, query=entry.query_id, people=People.TWO)

    def told_to(self, user) -> DecisionQuerySet:
        """What this user may know: of a document that two people decide on, not the other's word until both have."""
        half_decided = QueueEntry.objects.filter(document=OuterRef("document"), people=People.TWO)
        return self.filter(Q(reviewer=user) | ~Exists(half_decided))


class Decision(models.Model):
    """What a person said of a document. Undo is a row of its own that ``withdraws`` another."""

    class Action(models.TextChoices):
        ACCEPT = "accept", _("Accepted")
        OVERRIDE = "override", _("Changed to")
        NONE = "none", _("None of these")
        SKIP = "skip", _("Skipped")
        UNDO = "undo", _("Undone")

    LABELLING = (Action.ACCEPT, Action.OVERRIDE, Action.NONE)

    document = models.ForeignKey(Document, models.CASCADE, related_name="decisions")
    query = models.ForeignKey(
        Query, models.SET_NULL, null=True, blank=True, related_name="decisions", help_text="Empty outside the queue."
    )
    entry = models.BigIntegerField(null=True, blank=True, help_text="The queue entry it was taken from, gone since.")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="decisions", db_index=False
    )
    action = models.CharField(max_length=10, choices=Action)
    label = models.ForeignKey(Label, models.RESTRICT, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=500, blank=True, help_text="Why it was skipped, if they said so.")
    withdraws = models.OneToOneField(
        "self", models.CASCADE, null=True, blank=True, related_name="withdrawn_by", help_text="Only on undo."
    )
    people = models.PositiveSmallIntegerField(
        choices=People, default=People.ONE, help_text="How many had to decide on the document then."
    )
    answered_first = models.BooleanField(default=False, help_text="Before the machine's word was shown.")
    seconds = models.PositiveIntegerField(
        null=True, blank=True, help_text="From the claim to the decision; empty outside the queue and in bulk."
    )
    bulk = models.UUIDField(null=True, blank=True, help_text="The same for all that were accepted at once.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[Decision]] = DecisionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["document", "-id"], name="decisions_of_a_document"),
            models.Index(fields=["reviewer", "-id"], name="decisions_of_a_reviewer"),
            # For each entry of the queue: has this reviewer said something of it? Asked hundreds of times a page.
            models.Index(fields=["document", "reviewer"], name="said_of_a_document"),
        ]

    def __str__(self) -> str:
        return f"{self.Action(self.action).label} {self.label or ''}".strip()


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
