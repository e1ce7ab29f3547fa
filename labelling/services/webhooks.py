"""Programs that are told what happens in a project: where they listen, what was sent to them, and how it is signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from labelling.models import Delivery, Event, Project, Webhook
from labelling.services import Refused, addresses, diary, notices

Act = diary.Act

PREFIX = "whsec_"
MAX_WEBHOOKS = 20
# How long to wait after each try that failed; after the last try it is given up. Together a day.
WAITS = tuple(timedelta(minutes=n) for n in (1, 5, 15, 60, 3 * 60, 7 * 60, 13 * 60))


def add(project: Project, user: User, address: str, kinds: Sequence[str]) -> tuple[Webhook, str]:
    """Have events of these kinds posted to an address; return the webhook with its secret, which is shown this once.

    Raises:
        Refused: when nothing may be sent there, or the project has too many.
    """
    # Looking a name up may take seconds: nobody waits for the database meanwhile.
    addresses.check(address)
    with transaction.atomic():
        locked = Project.objects.select_for_update().get(pk=project.pk)
        if locked.webhooks.count() >= MAX_WEBHOOKS:
            raise Refused(_("A project has at most %(n)s webhooks.") % {"n": MAX_WEBHOOKS})
        made = {"nonce": secrets.token_urlsafe(32), "kinds": sorted(set(kinds)), "created_by": user}
        webhook = Webhook.objects.create(project=project, address=address, **made)
        told = {"kinds": ", ".join(webhook.kinds)}
        diary.write(Act.WEBHOOK_ADDED, project, webhook, after=told, user=user)
    return webhook, PREFIX + base64.b64encode(_key(webhook)).decode()


@transaction.atomic
def remove(webhook: Webhook) -> None:
    """Post nothing more to an address, and forget what was posted."""
    diary.write(Act.WEBHOOK_REMOVED, webhook.project, webhook)
    webhook.delete()


@transaction.atomic
def pause(webhook: Webhook) -> None:
    """Hold events back until ``resume``."""
    if _pause(webhook):
        diary.write(Act.WEBHOOK_PAUSED, webhook.project, webhook)


@transaction.atomic
def resume(webhook: Webhook) -> None:
    """Go on sending, with all that has not arrived."""
    if Webhook.objects.filter(pk=webhook.pk).exclude(paused_at=None).update(paused_at=None):
        _send_again(webhook.deliveries.filter(delivered_at=None))
        diary.write(Act.WEBHOOK_RESUMED, webhook.project, webhook)


@transaction.atomic
def resend(delivery: Delivery) -> None:
    """Send an event once more, whatever came of it.

    Raises:
        Refused: while the webhook is paused.
    """
    if delivery.webhook.paused_at:
        raise Refused(_("This webhook is paused. Let it go on first."))
    _send_again(Delivery.objects.filter(pk=delivery.pk))
    diary.write(Act.WEBHOOK_RESENT, delivery.webhook.project, delivery.webhook, after={"event": delivery.event_id})


def due() -> QuerySet[Delivery]:
    """What is to be sent now, the oldest event first."""
    found = Delivery.objects.filter(next_try_at__lte=timezone.now(), webhook__paused_at=None)
    return found.select_related("webhook", "event__project").order_by("event_id")


def claim(delivery: Delivery, until: datetime) -> bool:
    """Take a delivery in hand: nobody else tries it before ``until``. Return whether it was still to be had."""
    now = timezone.now()
    mine = Delivery.objects.filter(pk=delivery.pk, next_try_at=delivery.next_try_at)
    if not mine.update(next_try_at=until, last_try_at=now, tries=delivery.tries + 1):
        return False
    delivery.next_try_at, delivery.last_try_at, delivery.tries = until, now, delivery.tries + 1
    delivery.first_try_at = delivery.first_try_at or now
    return True


@transaction.atomic
def record(delivery: Delivery, status: int | None, error: str) -> None:
    """Write down what came of a try: arrived where there is no error, else to be tried again, or given up.

    Where it failed the webhook rests with all that is for it: what hangs is not asked again for each event. Where
    nothing at all has arrived since the first try of what is given up it is paused, and managers are told.
    """
    now, wait = timezone.now(), WAITS[delivery.tries - 1] if delivery.tries <= len(WAITS) else None
    delivery.status, delivery.error = status, error[:300]
    delivery.delivered_at = None if error else now
    delivery.next_try_at = now + wait if error and wait else None
    # One that was removed meanwhile stays away.
    fields = ("status", "error", "delivered_at", "next_try_at", "first_try_at")
    Delivery.objects.filter(pk=delivery.pk).update(**{name: getattr(delivery, name) for name in fields})
    if error:
        soon = now + WAITS[0]
        Delivery.objects.filter(webhook=delivery.webhook_id, next_try_at__lt=soon).update(next_try_at=soon)
    if error and wait is None and not _arrives(delivery) and _pause(delivery.webhook):
        webhook = delivery.webhook
        notices.tell(webhook.project, Event.Kind.WEBHOOK_PAUSED, webhook, webhook.pk)


def body_of(event: Event) -> bytes:
    """What is posted: the same bytes at each try."""
    data = {
        "project": event.project.slug,
        "about": event.about,
        "url": f"{settings.SITE_URL}{event.get_absolute_url()}",
    }
    told = {"type": event.kind, "timestamp": event.at.isoformat(timespec="milliseconds"), "data": data}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def signed(webhook: Webhook, event: Event, body: bytes, seconds: int) -> dict[str, str]:
    """The headers of a request that is sent at a time, in seconds since 1970: see www.standardwebhooks.com."""
    message = f"event_{event.pk}"
    digest = hmac.new(_key(webhook), f"{message}.{seconds}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": message, "webhook-timestamp": str(seconds), "webhook-signature": signature}


def _key(webhook: Webhook) -> bytes:
    return salted_hmac("labelling.webhooks", webhook.nonce, algorithm="sha256").digest()


def _pause(webhook: Webhook) -> bool:
    return bool(Webhook.objects.filter(pk=webhook.pk, paused_at=None).update(paused_at=timezone.now()))


def _send_again(deliveries: QuerySet[Delivery]) -> None:
    deliveries.update(next_try_at=timezone.now(), tries=0, first_try_at=None, delivered_at=None, error="", status=None)


def _arrives(delivery: Delivery) -> bool:
    """Whether anything else has arrived since this was tried first."""
    return Delivery.objects.filter(Q(delivered_at__gte=delivery.first_try_at), webhook=delivery.webhook_id).exists()
