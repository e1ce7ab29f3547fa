"""Mails about one's account: whoever has not done it themselves learns of it."""

from __future__ import annotations

import logging
from smtplib import SMTPException

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from labelling.services import diary
from labelling.services.diary import Act

logger = logging.getLogger(__name__)


def tell(user: User, act: Act) -> None:
    """Tell a person by mail what was done to their account, once that is kept; only where an address is there.

    A mail that does not go out stops nobody: the diary has the same.
    """
    if not (settings.EMAIL_URL and user.email):
        return
    told = {
        "act": act.label,
        "name": user.get_username(),
        "at": date_format(timezone.localtime(), "DATETIME_FORMAT"),
        "address": diary.address() or _("this machine"),
    }
    text = _(
        "%(act)s: account %(name)s, %(at)s, from %(address)s.\n\n"
        "If it was not you, change your password, log out everywhere else, and tell an administrator."
    )
    transaction.on_commit(lambda: _send(user, f"R.E.D.: {act.label}", text % told))


def _send(user: User, subject: str, text: str) -> None:
    try:
        send_mail(subject, text, None, [user.email])
    except (SMTPException, OSError) as error:
        logger.warning("The mail about the account %r was not sent: %s", user.get_username(), error)
