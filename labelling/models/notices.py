"""What happened in a project that somebody wants to know of, whom it is told, and which programs."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from labelling.models.projects import Membership, Project


class Event(models.Model):
    """Something that happened. Rows are added by ``services.notices.tell`` alone, and never changed.

    ``about`` is a number or a name; no text of a document. ``key`` is what the page that shows more is found by.
    """

    class Kind(models.TextChoices):
        QUEUE_READY = "queue-ready", _("Documents wait for people")
        ROUND_WAITS = "round-waits", _("A round waits for agreement to its forecast")
        ROUND_FAILED = "round-failed", _("A round failed")
        ROUND_AT_CAP = "round-at-cap", _("A round is at its cap")
        JUDGE_FAILING = "judge-failing", _("The judge fails")
        CERTIFIED = "certified", _("A certificate holds")
        CERTIFICATE_LOST = "certificate-lost", _("A certificate is lost")
        DRIFT = "drift", _("Later texts drift")
        RELEASED = "released", _("A release is delivered")
        IMPORTED = "imported", _("An import is done")
        IMPORT_FAILED = "import-failed", _("An import failed")
        WEBHOOK_PAUSED = "webhook-paused", _("A webhook is paused")

    SENTENCES: ClassVar[dict[str, Any]] = {
        Kind.QUEUE_READY: _("Round %(about)s has laid out documents: they wait for people."),
        Kind.ROUND_WAITS: _("Round %(about)s waits for a manager to agree to its forecast."),
        Kind.ROUND_FAILED: _("Round %(about)s failed."),
        Kind.ROUND_AT_CAP: _("Round %(about)s paused at a cap, with what it has."),
        Kind.JUDGE_FAILING: _("The judge fails: round %(about)s could use none of its answers."),
        Kind.CERTIFIED: _("A certificate holds."),
        Kind.CERTIFICATE_LOST: _("The certificate is lost: audits say that more is wrong than was promised."),
        Kind.DRIFT: _("Later texts are no longer like those that the certificate is about."),
        Kind.RELEASED: _("Release %(about)s is delivered."),
        Kind.IMPORTED: _("The import of “%(about)s” is done."),
        Kind.IMPORT_FAILED: _("The import of “%(about)s” failed."),
        Kind.WEBHOOK_PAUSED: _("The webhook to %(about)s is paused: nothing arrived there for a day."),
    }
    # The page that shows more; where an event has a key, that stands in its address.
    PAGES: ClassVar[dict[str, str]] = {
        Kind.QUEUE_READY: "review",
        Kind.ROUND_WAITS: "project",
        Kind.ROUND_FAILED: "round",
        Kind.ROUND_AT_CAP: "round",
        Kind.JUDGE_FAILING: "round",
        Kind.CERTIFIED: "certificate",
        Kind.CERTIFICATE_LOST: "certificate",
        Kind.DRIFT: "certificate",
        Kind.RELEASED: "release",
        Kind.IMPORTED: "import",
        Kind.IMPORT_FAILED: "import",
        Kind.WEBHOOK_PAUSED: "webhook",
    }
    FOR_REVIEWERS: ClassVar[tuple[str, ...]] = (Kind.QUEUE_READY,)

    project = models.ForeignKey(Project, models.CASCADE, related_name="events")
    kind = models.CharField(max_length=20, choices=Kind)
    about = models.CharField(max_length=255, blank=True)
    key = models.PositiveBigIntegerField(null=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return str(self.SENTENCES[self.kind]) % {"about": self.about}

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise TypeError("Events are written once.")
        super().save(*args, **kwargs)

    def get_absolute_url(self) -> str:
        args = [self.project.slug] if self.key is None else [self.project.slug, self.key]
        return reverse(self.PAGES[self.kind], args=args)


class NoticeQuerySet(models.QuerySet["Notice"]):
    def to_see(self) -> NoticeQuerySet:
        """Those whose person may still know: who left a project, or manages it no longer, is told nothing more."""
        member = Membership.objects.filter(user=models.OuterRef("user"), project=models.OuterRef("event__project"))
        manages = models.Exists(member.filter(role=Membership.Role.MANAGER))
        for_all = models.Q(event__kind__in=Event.FOR_REVIEWERS) & models.Exists(member)
        return self.filter(manages | for_all)

    def unread(self) -> NoticeQuerySet:
        return self.filter(read_at=None)


class Notice(models.Model):
    """One event, told to one person."""

    event = models.ForeignKey(Event, models.CASCADE, related_name="notices")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notices")
    read_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Notice]] = NoticeQuerySet.as_manager()

    class Meta:
        ordering = ["-event_id"]
        indexes = [models.Index(fields=["user", "read_at"], name="unread_notices")]
        constraints = [models.UniqueConstraint(fields=["event", "user"], name="notice_once_a_person")]

    def __str__(self) -> str:
        return f"{self.event} ({self.user})"


class Mailbox(models.Model):
    """How a person is told by mail."""

    class Mail(models.TextChoices):
        OFF = "off", _("Not at all")
        AT_ONCE = "at-once", _("At once")
        DAILY = "daily", _("Once a day, in the morning")

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="mailbox")
    mail = models.CharField(_("mails about notices"), max_length=10, choices=Mail, default=Mail.DAILY)
    language = models.CharField(max_length=10, blank=True, help_text="Of the mails; empty: the site's.")
    not_before = models.DateTimeField(default=timezone.now, help_text="When to try next, where a mail did not leave.")

    class Meta:
        verbose_name_plural = "mailboxes"

    def __str__(self) -> str:
        return f"{self.user}: {self.mail}"


class Webhook(models.Model):
    """An address that a project's events are posted to. Its secret is made of ``nonce`` and kept nowhere."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="webhooks")
    address = models.CharField(
        _("address"), max_length=500, help_text=_("Where your program listens: it is sent a POST for each event.")
    )
    kinds = models.JSONField(default=list, help_text="Of events, that are sent.")
    nonce = models.CharField(max_length=64, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    paused_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.address

    @property
    def kind_labels(self) -> list[str]:
        return [str(Event.Kind(kind).label) for kind in self.kinds]


class Delivery(models.Model):
    """An event on its way to a webhook: waiting for ``next_try_at``, arrived at ``delivered_at``, or given up."""

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, models.CASCADE, related_name="deliveries")
    tries = models.PositiveSmallIntegerField(default=0)
    first_try_at = models.DateTimeField(null=True)
    last_try_at = models.DateTimeField(null=True)
    next_try_at = models.DateTimeField(null=True, default=timezone.now)
    delivered_at = models.DateTimeField(null=True)
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the last answer over HTTP.")
    error = models.CharField(max_length=300, blank=True, help_text="Why the last try was none.")

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["next_try_at"], condition=models.Q(next_try_at__isnull=False), name="deliveries_due")
        ]
        constraints = [models.UniqueConstraint(fields=["webhook", "event"], name="event_once_a_webhook")]

    def __str__(self) -> str:
        return f"{self.event} → {self.webhook}"
