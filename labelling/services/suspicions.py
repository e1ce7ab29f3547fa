"""Labels that are probably wrong: which wait for somebody, and what people make of them."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from labelling.models import Label, Project, Suspicion
from labelling.services import review


def standing(project: Project) -> QuerySet[Suspicion]:
    """What nobody has checked, of documents that have the suspected label still, the worst first."""
    same = Q(document__example__label=F("label")) | Q(label=None, document__example__label=None)
    return project.suspicions.filter(same, checked_at=None, document__example__isnull=False)


@transaction.atomic
def check(suspicion: Suspicion, user: User, label: Label | None) -> None:
    """Record what somebody says of a suspicious label: that it is right, or which one is; None: none of these.

    It is a decision like any other, and that label is suspected no more.

    Raises:
        Refused: for a retired label.
    """
    review.relabel(suspicion.document, user, label)
    suspicion.label, suspicion.checked_by, suspicion.checked_at = label, user, timezone.now()
    suspicion.save(update_fields=["label", "checked_by", "checked_at"])
