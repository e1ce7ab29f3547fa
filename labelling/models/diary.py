"""Who did what, when, from where."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from labelling.models.projects import Project


class DiaryEntry(models.Model):
    """One act. Rows are added by ``services.diary`` alone, never changed, and go with their age alone.

    Names are copied: they stay when the person or the project has gone.
    """

    class Act(models.TextChoices):
        PROJECT_CREATED = "project-created", _("Project created")
        SETTINGS = "settings", _("Settings changed")
        PROJECT_ARCHIVED = "archived", _("Project archived")
        PROJECT_REOPENED = "reopened", _("Project opened again")
        PROJECT_DELETED = "project-deleted", _("Project deleted")
        MEMBER = "member", _("Member added, or role changed")
        MEMBER_REMOVED = "member-removed", _("Member removed")
        INVITED = "invited", _("Somebody invited")
        UNINVITED = "uninvited", _("Invitation taken back")
        LABEL_ADDED = "label-added", _("Label added")
        LABEL_CHANGED = "label-changed", _("Label changed")
        LABEL_STEP = "label-step", _("Label renamed, merged, split or retired")
        LABEL_STEP_UNDONE = "label-step-undone", _("Change of a label undone")
        LABEL_DELETED = "label-deleted", _("Label deleted")
        LABELS_IMPORTED = "labels-imported", _("List of labels imported")
        IMPORTED = "imported", _("File imported")
        IMPORT_UNDONE = "import-undone", _("Import undone")
        DOCUMENTS_DELETED = "documents-deleted", _("Documents deleted")
        EXPORTED = "exported", _("Documents exported")
        PROJECT_PACKED = "packed", _("Project packed into a file")
        PROJECT_UNPACKED = "unpacked", _("Project unpacked from a file")
        RELEASED = "released", _("Release ordered")
        RELEASE_TAKEN = "release-taken", _("File of a release downloaded")
        LEDGER_RESTARTED = "ledger-restarted", _("Audits begun anew")
        WATCHED_ANEW = "watched-anew", _("Watching later texts begun anew")
        SPENDING_AGREED = "spending-agreed", _("Spending agreed to")
        GUIDELINES = "guidelines", _("Guidelines changed")
        COMMENT_REMOVED = "comment-removed", _("Comment removed")
        ACCOUNT = "account", _("Account changed")
        PRICE = "price", _("Price entered")
        TOKEN_CREATED = "token-created", _("Token created")  # not one
        TOKEN_REVOKED = "token-revoked", _("Token revoked")
        WEBHOOK_ADDED = "webhook-added", _("Webhook added")
        WEBHOOK_REMOVED = "webhook-removed", _("Webhook removed")
        WEBHOOK_PAUSED = "webhook-paused", _("Webhook paused")
        WEBHOOK_RESUMED = "webhook-resumed", _("Webhook at work again")
        WEBHOOK_RESENT = "webhook-resent", _("Event sent again")
        MAILS = "mails", _("Mails about notices changed")
        ADMIN = "admin", _("Changed in the admin")
        LOGIN = "login", _("Logged in")
        LOGIN_FAILED = "login-failed", _("Log-in failed")
        LOGOUT = "logout", _("Logged out")
        PASSWORD = "password", _("Password changed")
        SECOND_FACTOR = "second-factor", _("Second factor set up")
        SECOND_FACTOR_GONE = "second-factor-gone", _("Second factor taken away")
        LINKED = "linked", _("Linked with single sign-on")
        UNLINKED = "unlinked", _("Unlinked from single sign-on")
        RECOVERY_CODES = "recovery-codes", _("New recovery codes made")
        ERASED = "erased", _("Person erased")

    at = models.DateTimeField(default=timezone.now, db_index=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    who = models.CharField(max_length=150, blank=True)
    address = models.CharField(max_length=45, blank=True)
    project = models.ForeignKey(Project, models.SET_NULL, null=True, related_name="diary")
    project_name = models.CharField(max_length=100, blank=True)
    act = models.CharField(max_length=20, choices=Act)
    about = models.CharField(max_length=255, blank=True)
    before = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    after = models.JSONField(default=dict, encoder=DjangoJSONEncoder)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "diary entries"
        indexes = [
            models.Index(fields=["project", "-id"], name="diary_of_project"),
            models.Index(fields=["act", "about", "at"], name="diary_by_act"),
        ]

    def __str__(self) -> str:
        return f"{self.get_act_display()}: {self.about}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise TypeError("The diary is written once.")
        super().save(*args, **kwargs)

    @property
    def changes(self) -> list[tuple[str, Any, Any]]:
        """What was changed, by name: name, before, after; settings are called as on their page."""
        names = sorted({*self.before, *self.after})  # PostgreSQL keeps no order of keys
        settings_ = {field.name: str(field.verbose_name) for field in Project._meta.local_concrete_fields}
        called = settings_ if self.act == self.Act.SETTINGS else {}
        return [(called.get(name, name), self.before.get(name), self.after.get(name)) for name in names]
