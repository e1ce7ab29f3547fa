"""What the machine settled, the ledger of its audits, and the certificates that came of them. Written once."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from labelling.models.documents import Document
from labelling.models.projects import Label, Project
from labelling.models.rounds import Query, Round


class SettledLabelQuerySet(models.QuerySet["SettledLabel"]):
    def final(self) -> SettledLabelQuerySet:
        """In force, and as deep as the tree goes."""
        return self.filter(left_at=None, is_parent=False)


class SettledLabel(models.Model):
    """A label version: a label that the machine settled without a person. It keeps what it was at that moment.

    ``label`` is None for none of these. It leaves when the machine changes its mind, a person decides unasked,
    or a rule leaves it to people.
    """

    class Source(models.TextChoices):
        MODEL = "model", _("Model")
        JUDGE = "judge", _("Judge")

    class Left(models.TextChoices):
        WITHDRAWN = "withdrawn", _("The machine believes something else by now")
        DECIDED = "decided", _("A person decided")
        RESERVED = "reserved", _("A rule leaves it to people")

    project = models.ForeignKey(Project, models.CASCADE, related_name="settled_labels", db_index=False)
    document = models.ForeignKey(Document, models.CASCADE, related_name="settled_labels")
    label = models.ForeignKey(Label, models.RESTRICT, null=True, blank=True, related_name="+")
    source = models.CharField(max_length=10, choices=Source)
    posterior = models.FloatField(help_text="Probability of the label when it was settled.")
    round = models.ForeignKey(Round, models.CASCADE, related_name="settled_labels")
    level = models.PositiveSmallIntegerField(default=1, help_text="Of the label in the tree then, 1 at the top.")
    is_parent = models.BooleanField(default=False, help_text="The text may still get a label below this one.")
    settled_at = models.DateTimeField(auto_now_add=True)
    left_at = models.DateTimeField(null=True, blank=True)
    left_because = models.CharField(max_length=10, choices=Left, blank=True)

    objects: ClassVar[models.Manager[SettledLabel]] = SettledLabelQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["project", "left_at"], name="settled_in_force")]
        constraints = [
            models.UniqueConstraint(
                fields=["document"], condition=models.Q(left_at=None), name="one_settled_label_a_document"
            )
        ]

    def __str__(self) -> str:
        return f"{self.label or 'none of these'} ({self.source}, {self.posterior:.2f})"


class Cohort(models.Model):
    """Label versions that entered a project's ledger together."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="cohorts")
    ledger = models.PositiveSmallIntegerField(help_text="0 for the first, one more each time it is begun anew.")
    number = models.PositiveIntegerField()
    round = models.ForeignKey(Round, models.CASCADE, related_name="cohorts")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["ledger", "number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "ledger", "number"], name="cohort_number_once_a_ledger")
        ]

    def __str__(self) -> str:
        return f"{self.project}: cohort {self.number}"


class Certificate(models.Model):
    """One look at the ledger, and what it found; see classifiers.ledger.Look for the numbers."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="certificates")
    round = models.ForeignKey(Round, models.CASCADE, related_name="certificates")
    ledger = models.PositiveSmallIntegerField()
    limit = models.FloatField()
    level = models.FloatField(help_text="Of the project's promise, over all its ledgers.")
    n = models.PositiveIntegerField(help_text="Audits.")
    k = models.PositiveIntegerField(help_text="Of them, where the label was wrong.")
    ever = models.PositiveIntegerField(help_text="Labels that ever entered the ledger.")
    now = models.PositiveIntegerField(help_text="Of them, those still there or audited.")
    depth = models.FloatField(help_text="The largest key audited.")
    bound = models.FloatField(help_text="At most this share is wrong.")
    holds = models.BooleanField()
    still_needed = models.PositiveIntegerField(help_text="Further audits that would do if none found an error.")
    n_open = models.PositiveIntegerField(help_text="Audits drawn and not decided.")
    n_catching_up = models.PositiveIntegerField(help_text="Labels to audit before it can be looked at again.")
    finite = models.BooleanField(help_text="Whether the sharper form for one fixed set was used.")
    levels = models.JSONField(
        default=list, help_text="In a tree, the same for each level from the top: n, k, ever, now, bound, holds."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.project}: {self.k} of {self.n} wrong, at most {self.bound:.3f}"


class CohortMember(models.Model):
    """A label version in the ledger. ``key``: its place in the order of audits, drawn at random when it entered."""

    cohort = models.ForeignKey(Cohort, models.CASCADE, related_name="members")
    settled = models.ForeignKey(SettledLabel, models.CASCADE, related_name="memberships")
    key = models.FloatField()
    certificate = models.ForeignKey(
        Certificate, models.SET_NULL, null=True, blank=True, related_name="members", help_text="The first to cover it."
    )
    certified_to = models.PositiveSmallIntegerField(
        default=0, help_text="The deepest level of the tree whose own certificate has covered it."
    )

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["cohort", "settled"], name="settled_label_once_a_cohort")]

    def __str__(self) -> str:
        return f"{self.settled} at {self.key:.3f}"


class AuditDraw(models.Model):
    """A member that was drawn for an audit: the question by which a person decides on it, unseen."""

    member = models.OneToOneField(CohortMember, models.CASCADE, related_name="draw")
    query = models.OneToOneField(Query, models.CASCADE, related_name="draw")
    number = models.PositiveIntegerField(help_text="Its place among the ledger's draws.")
    ever = models.PositiveIntegerField(help_text="Labels that had entered the ledger when it was drawn.")
    now = models.PositiveIntegerField(help_text="Of them, those still there or audited.")
    depth = models.FloatField(help_text="The largest key drawn, its own included.")
    drawn_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return f"Audit {self.number}: {self.member.settled}"
