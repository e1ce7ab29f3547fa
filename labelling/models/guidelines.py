"""What people write for one another: guidelines in versions, and threads at labels and documents."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from labelling.models.documents import Document
from labelling.models.projects import Label, Project


class Guideline(models.Model):
    """One version of a project's guidelines, in Markdown; the newest one holds."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="guidelines")
    version = models.PositiveIntegerField()
    text = models.TextField(blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-version"]
        constraints = [models.UniqueConstraint(fields=["project", "version"], name="guideline_version_once")]

    def __str__(self) -> str:
        return f"{self.project} v{self.version}"


class Comment(models.Model):
    """What somebody said in the thread of a label or of a document. It decides nothing."""

    MAX_CHARS = 2_000

    project = models.ForeignKey(Project, models.CASCADE, related_name="comments")
    label = models.ForeignKey(Label, models.CASCADE, null=True, blank=True, related_name="comments")
    document = models.ForeignKey(Document, models.CASCADE, null=True, blank=True, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    text = models.TextField(max_length=MAX_CHARS)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(label__isnull=True, document__isnull=False) | Q(label__isnull=False, document__isnull=True),
                name="comment_on_one_thing",
            )
        ]

    def __str__(self) -> str:
        return self.text

    def get_absolute_url(self) -> str:
        """The comment in its thread."""
        name, pk = ("label", self.label_id) if self.label_id else ("document", self.document_id)
        return f"{reverse(name, args=[self.project.slug, pk])}#comment-{self.pk}"


class Mention(models.Model):
    """Somebody whom a comment names; ``seen_at``: when they had it in their list."""

    comment = models.ForeignKey(Comment, models.CASCADE, related_name="mentions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="mentions")
    seen_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["comment", "user"], name="mentioned_once_a_comment")]

    def __str__(self) -> str:
        return f"@{self.user}: {self.comment}"
