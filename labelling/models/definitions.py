"""Definitions that a language model proposes, and what people made of them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from labelling.models.jobs import BackgroundJob
from labelling.models.ledger import Call
from labelling.models.projects import Definition, Label, Project
from labelling.models.proposed_labels import ProposedLabel
from labelling.models.sentences import SentenceField


class Drafting(BackgroundJob):
    """Have definitions drafted for some of a project's labels, or proposed ones; each of them has a Draft row.

    Waiting after PREPARE: the forecast is there, and a manager has to agree to it.
    """

    class Step(models.TextChoices):
        PREPARE = "prepare", _("Finding rivals and examples, counting tokens")
        ASK = "ask", _("Drafting")

    class Scope(models.TextChoices):
        UNDEFINED = "undefined", _("Labels without an approved definition")
        ALL = "all", _("All labels")
        CHOSEN = "chosen", _("Chosen labels")
        NOWHERE = "nowhere", _("Proposed labels")

    project = models.ForeignKey(Project, models.CASCADE, related_name="draftings")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    scope = models.CharField(_("which labels"), max_length=10, choices=Scope, default=Scope.UNDEFINED)
    model = models.CharField(max_length=100)
    forecast = models.JSONField(default=dict)
    confirmed_at = models.DateTimeField(null=True, help_text="When a manager agreed to what the forecast says.")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(state__in=BackgroundJob.ACTIVE),
                name="one_active_drafting_a_project",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.project}, drafts of {self.created_at:%d %b %Y}"

    @property
    def step_label(self) -> str:
        return str(self.Step(self.step).label) if self.step else ""

    def get_absolute_url(self) -> str:
        return reverse("drafts", args=[self.project.slug])


class Draft(models.Model):
    """A proposed definition of one label, from the moment it is wanted until somebody has decided on it.

    Or of a proposed label, which has no examples: then with a ``name``, and ``texts`` are the documents shown of it.
    ``rivals``: label ids, the closest first. ``examples``: by label id, the documents shown of it and of each rival.
    ``definition_version`` is the label's when the draft was made; ``definition`` what it became, perhaps edited.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Not drafted yet")
        PROPOSED = "proposed", _("Proposed")
        FAILED = "failed", _("Failed")
        APPROVED = "approved", _("Approved")
        REJECTED = "rejected", _("Rejected")
        REPLACED = "replaced", _("Replaced by a newer draft")

    drafting = models.ForeignKey(Drafting, models.CASCADE, related_name="drafts")
    label = models.ForeignKey(Label, models.CASCADE, null=True, related_name="drafts")
    proposal = models.ForeignKey(ProposedLabel, models.CASCADE, null=True, related_name="drafts")
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    rivals = models.JSONField(default=list)
    examples = models.JSONField(default=dict)
    texts = models.JSONField(default=list)
    name = models.CharField(max_length=200, blank=True)
    text = models.TextField(blank=True)
    definition_version = models.PositiveIntegerField(default=0)
    model = models.CharField(max_length=100, blank=True, help_text="As the endpoint names it.")
    prompt_version = models.CharField(max_length=40, blank=True)
    call = models.ForeignKey(Call, models.SET_NULL, null=True, related_name="drafts")
    reason = SentenceField(blank=True, help_text="Why there is none.")
    drafted_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    decided_at = models.DateTimeField(null=True)
    definition = models.OneToOneField(Definition, models.SET_NULL, null=True, related_name="draft")

    class Meta:
        ordering = ["label__name", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["drafting", "label"], name="one_draft_a_label_and_drafting"),
            models.UniqueConstraint(fields=["drafting", "proposal"], name="one_draft_a_proposal_and_drafting"),
            models.CheckConstraint(
                condition=models.Q(label=None, proposal__isnull=False) | models.Q(label__isnull=False, proposal=None),
                name="draft_of_a_label_or_a_proposal",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label or self.proposal}: {self.get_state_display()}"
