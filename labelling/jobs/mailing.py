"""Mail people what they were told and have not read. A mail that does not leave is tried again."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from smtplib import SMTPRecipientsRefused

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import ngettext

from labelling.models import Mailbox, Notice
from labelling.services import mails

logger = logging.getLogger(__name__)

RETRY = timedelta(minutes=10)
# A whole day's notices; further ones are on the page.
MAX_LISTED = 50
JOB_SECONDS = 60.0


def run() -> None:
    """Send each person that is due one mail; a server that does not take it is left in peace for a while."""
    ends = time.monotonic() + JOB_SECONDS
    for mailbox in mails.due():
        if time.monotonic() > ends or not _claim(mailbox):
            continue
        try:
            _send(mailbox)
        except SMTPRecipientsRefused:
            logger.warning("The mail server refuses the address of %s", mailbox.user)
        except OSError:
            # What SMTP raises is one, too.
            logger.warning("No mail leaves; trying again in %s", RETRY, exc_info=True)
            Mailbox.objects.filter(not_before__lte=timezone.now()).update(not_before=timezone.now() + RETRY)
            return


def _claim(mailbox: Mailbox) -> bool:
    """Take a mailbox in hand; unless its mail leaves, nobody tries again for a while."""
    mine = Mailbox.objects.filter(pk=mailbox.pk, not_before=mailbox.not_before)
    return bool(mine.update(not_before=timezone.now() + RETRY))


def _send(mailbox: Mailbox) -> None:
    now = timezone.now()
    waiting = mails.to_mail(now).filter(user=mailbox.user).select_related("event__project").order_by("event_id")
    told = list(waiting)
    with translation.override(mailbox.language or settings.LANGUAGE_CODE):
        _mail(mailbox, told).send()
    Notice.objects.filter(pk__in=[notice.pk for notice in told]).update(mailed_at=now)
    Mailbox.objects.filter(pk=mailbox.pk).update(not_before=now)


def _mail(mailbox: Mailbox, told: list[Notice]) -> EmailMessage:
    """The mail that tells these, with the way out of such mails; of documents it holds nothing."""
    out = settings.SITE_URL + reverse("stop_mails", args=[mails.opt_out_token(mailbox.user)])
    context = {
        "site": settings.SITE_URL,
        "notices": told[:MAX_LISTED],
        "n_more": max(len(told) - MAX_LISTED, 0),
        "out": out,
    }
    subject = ngettext("%(n)s notice", "%(n)s notices", len(told)) % {"n": len(told)}
    if len(told) == 1:
        subject = f"{told[0].event.project}: {told[0].event}"
    return EmailMessage(
        "R.E.D. · " + " ".join(subject.split()),
        render_to_string("labelling/notices_mail.txt", context),
        to=[mailbox.user.email],
        headers={
            "Auto-Submitted": "auto-generated",
            "List-Unsubscribe": f"<{out}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    )
