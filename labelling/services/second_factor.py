"""The second factor: codes that an app shows, and codes to write down for the day when it is lost."""

from __future__ import annotations

import re
import time

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db import transaction

from labelling.services import account_changes
from labelling.services.diary import Act

Type = Authenticator.Type

# Longer than any code is good for, whatever the tolerance of clocks.
REMEMBERED_SECONDS = 300


def is_set_up(user: User) -> bool:
    """Whether the user is asked for a code when they log in."""
    return Authenticator.objects.filter(user=user, type=Type.TOTP).exists()


def n_recovery_codes(user: User) -> int:
    """How many recovery codes the user has left."""
    kept = Authenticator.objects.filter(user=user, type=Type.RECOVERY_CODES).first()
    return len(kept.wrap().get_unused_codes()) if kept else 0


@transaction.atomic
def is_first_use(authenticator: Authenticator, code: str) -> bool:
    """Note that a code was used; False where it was used before (RFC 6238, 5.2).

    allauth remembers the codes of apps in the memory of one process, and there are several; recovery codes in the
    database.
    """
    if authenticator.type == Type.RECOVERY_CODES:
        return True
    digits, now = re.sub(r"\D", "", code), time.time()
    kept = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
    used = {one: until for one, until in kept.data.get("used", {}).items() if until > now}
    if digits in used:
        return False
    kept.data["used"] = used | {digits: now + REMEMBERED_SECONDS}
    kept.save(update_fields=["data"])
    return True


@transaction.atomic
def take_away(user: User) -> bool:
    """Let somebody who lost it log in without it, and set up another; return whether there was one."""
    had = is_set_up(user)
    Authenticator.objects.filter(user=user).delete()
    if had:
        account_changes.note(user, Act.SECOND_FACTOR_GONE)
    return had
