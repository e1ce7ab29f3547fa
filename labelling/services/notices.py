"""What is told, and to whom: one place, called in the transaction of what happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from labelling.models import (
    BackgroundJob,
    CsvImport,
    Delivery,
    Event,
    Mailbox,
    Membership,
    Notice,
    Project,
    Round,
)
from labelling.models.notices import NoticeQuerySet
from labelling.services import access, certificates

Kind = Event.Kind


@transaction.atomic
def tell(project: Project, kind: Kind, about: object = "", key: int | None = None) -> Event:
    """Write down what happened, for each person whom it concerns and each webhook that wants to know.

    Args:
        project: where.
        kind: what.
        about: a number or a name that its sentence needs; never a text of a document.
        key: of the page that shows more, where ``Event.PAGES`` needs one.
    """
    event = Event.objects.create(project=project, kind=kind, about=str(about)[:255], key=key)
    told = project.memberships.filter(user__is_active=True).order_by()
    if kind not in Event.FOR_REVIEWERS:
        told = told.filter(role=Membership.Role.MANAGER)
    users = list(told.values_list("user", flat=True))
    Mailbox.objects.bulk_create([Mailbox(user_id=user) for user in users], ignore_conflicts=True)
    Notice.objects.bulk_create(Notice(event=event, user_id=user) for user in users)
    Delivery.objects.bulk_create(
        Delivery(webhook=webhook, event=event, next_try_at=event.at)
        for webhook in project.webhooks.all()
        if kind in webhook.kinds
    )
    return event


def tell_of_failure(job: BackgroundJob) -> None:
    """Tell of a job that failed, where it is one that somebody waits for."""
    if isinstance(job, Round):
        tell(job.project, Kind.ROUND_FAILED, job.number, job.number)
    elif isinstance(job, CsvImport):
        tell(job.project, Kind.IMPORT_FAILED, job.filename, job.pk)


@contextmanager
def certificate_watched(project: Project) -> Iterator[None]:
    """Tell whether a certificate was gained or lost in a block, which is one transaction."""
    before = certificates.in_force(project) is not None
    yield
    after = certificates.in_force(project) is not None
    if after != before:
        tell(project, Kind.CERTIFIED if after else Kind.CERTIFICATE_LOST)


def of(user: User, project: Project | None = None) -> NoticeQuerySet:
    """What a person was told and may still see, the newest first; of one project, or of all."""
    found = Notice.objects.filter(user=user).to_see().select_related("event__project")
    found = found.exclude(event__project__in=access.closed_to(user))
    return found.filter(event__project=project) if project else found


def count_unread(user: User, limit: int) -> int:
    """How many notices a person has not read; more than ``limit`` are not counted."""
    return Notice.objects.filter(user=user).to_see().unread().order_by()[:limit].count()


def mark_read(notices: QuerySet[Notice]) -> int:
    """Mark notices as read; return how many were not yet."""
    return notices.filter(read_at=None).update(read_at=timezone.now())
