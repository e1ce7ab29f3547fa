"""How programs get in: tokens, and the requests that must not add twice."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from labelling.models.projects import Project


class Token(models.Model):
    """Lets a program do what its person may, up to a scope. The secret itself is kept nowhere."""

    class Scope(models.TextChoices):
        """What a token lets a program do; each includes the ones before it."""

        READ = "read", _("Read")
        LABEL = "label", _("Read and decide")
        MANAGE = "manage", _("Everything its person may do")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tokens")
    project = models.ForeignKey(Project, models.CASCADE, null=True, blank=True, related_name="tokens")
    name = models.CharField(_("what it is for"), max_length=100)
    scope = models.CharField(_("what it may do"), max_length=10, choices=Scope, default=Scope.READ)
    digest = models.CharField(max_length=64, unique=True, editable=False, help_text="SHA-256 of the secret, in hex.")
    beginning = models.CharField(max_length=12, editable=False, help_text="Of the secret, to recognize it by.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.beginning}…"

    def allows(self, scope: str) -> bool:
        """Whether the scope is among those that it includes."""
        return self.Scope.values.index(scope) <= self.Scope.values.index(self.scope)


class KeyedRequest(models.Model):
    """A request that adds something, by the key its sender gave it: sent again, it is answered as the first time."""

    token = models.ForeignKey(Token, models.CASCADE, related_name="keyed_requests")
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, address and body.")
    status = models.PositiveSmallIntegerField(default=0)
    answer = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["token", "key"], name="key_once_a_token")]

    def __str__(self) -> str:
        return self.key
