"""Documents whose label is known, by which reviewers practise and are measured."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from labelling.models.documents import Document, Source
from labelling.models.projects import Label


class GoldQuerySet(models.QuerySet["Gold"]):
    def known(self) -> GoldQuerySet:
        """Those whose label is still known: somebody gave it, and nobody has taken it back."""
        known = self.filter(document__example__source__in=Gold.KNOWN_BY, document__holdout=False)
        return known.filter(document__example__label__retired_at=None)


class Gold(models.Model):
    """A document that a manager picked because its label is known: that of its training example, as it is now."""

    KNOWN_BY = (Source.SEED, Source.HUMAN)

    document = models.OneToOneField(Document, models.CASCADE, related_name="gold")
    picked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[Gold]] = GoldQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "gold"
        ordering = ["pk"]

    def __str__(self) -> str:
        return str(self.document)


class GoldAnswer(models.Model):
    """What a reviewer said of a gold document. No decision: nothing learns from it, and nothing counts it.

    ``is_right`` is what they were told; None: they skipped it. ``label`` is None for none of these, too.
    """

    document = models.ForeignKey(Document, models.CASCADE, related_name="gold_answers")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="gold_answers", db_index=False
    )
    label = models.ForeignKey(Label, models.RESTRICT, null=True, blank=True, related_name="+")
    is_right = models.BooleanField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["reviewer", "document"], condition=~Q(reviewer=None), name="gold_answered_once"
            )
        ]

    def __str__(self) -> str:
        told = {True: "right", False: "wrong", None: "skipped"}
        return f"{self.document}: {told[self.is_right]}"
