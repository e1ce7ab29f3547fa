"""What guards an account has changed: the diary is told, and its person, who may not have done it themselves."""

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


def note(user: User, act: Act, by: User | None = None) -> None:
    """Tell the diary what was done to an account, and its person by mail, where there is an address.

    In the transaction of what was done. A mail that does not go out stops nobody: the diary has the same.

    Args:
        user: whose account it is.
        act: what was done.
        by: who did it, where that is not who acts.
    """
    diary.write(act, about=user.get_username(), user=by)
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
