"""Who is told by mail, and how one ends it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import get_language

from labelling.models import Mailbox, Notice
from labelling.services import diary

Mail = Mailbox.Mail

SALT = "labelling.mails"
MORNING_HOUR = 7
# What did not leave for so long, or came before mail was set up, is on the page alone.
LASTS = timedelta(days=7)


def is_set_up() -> bool:
    """Whether this installation sends mail."""
    return bool(settings.EMAIL_URL)


def mailbox_of(user: User) -> Mailbox:
    """How a person is told by mail."""
    return Mailbox.objects.filter(user=user).first() or Mailbox(user=user)


@transaction.atomic
def choose(user: User, mail: str) -> None:
    """Choose how to be told by mail, in the language of the page."""
    mailbox = Mailbox.objects.select_for_update().get_or_create(user=user)[0]
    before, mailbox.mail = mailbox.mail, mail
    if mail != Mail.OFF:
        mailbox.language = get_language() or ""
    mailbox.save(update_fields=["mail", "language"])
    if before != mail:
        diary.write(diary.Act.MAILS, None, user, {"mail": before}, {"mail": mail}, user)


def opt_out_token(user: User) -> str:
    """What the link out of the mails holds: it names the person, and nobody else can make it."""
    return signing.dumps(user.pk, salt=SALT)


def find(token: str) -> User | None:
    """Whom such a link belongs to; None where it was not made here."""
    try:
        pk = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        return None
    return User.objects.filter(pk=pk).first()


def due() -> QuerySet[Mailbox]:
    """The mailboxes that a mail is due for now, their people with them."""
    now = timezone.now()
    waiting = to_mail(now).filter(user=OuterRef("user"))
    digest = waiting.filter(event__at__lt=_last_morning(now))
    wanted = Q(Exists(waiting), mail=Mail.AT_ONCE) | Q(Exists(digest), mail=Mail.DAILY)
    if not is_set_up():
        return Mailbox.objects.none()
    found = Mailbox.objects.filter(wanted, not_before__lte=now, user__is_active=True).exclude(user__email="")
    return found.select_related("user").order_by("not_before", "pk")


def to_mail(now: datetime) -> QuerySet[Notice]:
    """Notices that belong in a mail: not read on the page, not mailed, and still news."""
    return Notice.objects.to_see().unread().filter(mailed_at=None, event__at__gt=now - LASTS)


def _last_morning(now: datetime) -> datetime:
    local = timezone.localtime(now)
    today = local.replace(hour=MORNING_HOUR, minute=0, second=0, microsecond=0)
    return today if today <= local else today - timedelta(days=1)
