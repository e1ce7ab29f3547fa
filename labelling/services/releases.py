"""Releases: ask for one, and make sure that its files are what was released."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import BinaryIO

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Max, Q
from django.utils.translation import gettext as _

from labelling.models import BackgroundJob, Project, Release
from labelling.services import Refused, diary, queueing

State = BackgroundJob.State


class Damaged(Exception):
    """A file is gone, or not what was released. The message says which, for people."""


def start(project: Project, user: User | None = None, note: str = "") -> Release:
    """Ask the worker for the project's next release.

    Raises:
        Refused: when there is nothing to deliver, or something is running that changes it.
    """
    release = _create(project, user, note)
    queueing.notify(release)
    return release


def start_here(project: Project, note: str = "") -> Release:
    """Make a release ready for a process that writes it itself, without the worker; see start for what it raises."""
    return _create(project, None, note)


def check(project: Project, states: Collection[str] = BackgroundJob.ACTIVE) -> None:
    """Make sure that the project is in a state that can be frozen.

    Args:
        project: to be released.
        states: in these a round or an import stands in the way: both write bit by bit.

    Raises:
        Refused: when it is not.
    """
    documents = project.documents.order_by()
    if not documents.exists():
        raise Refused(_("There are no documents yet. Import some first."))
    if number := project.rounds.filter(state__in=states).values_list("number", flat=True).first():
        raise Refused(
            _("Round %(number)s is running and changes labels. Wait until it has ended.") % {"number": number}
        )
    if project.imports.filter(state__in=states).exists():
        raise Refused(_("An import is running. Wait until it has ended."))
    labelled = Q(example__isnull=False) | Q(prediction__isnull=False) | ~Q(given_source="")
    if not documents.filter(labelled).exists():
        raise Refused(_("No document has a label yet. Import some with labels, and start a round."))


def retry(release: Release) -> None:
    """Have a release that failed or was cancelled written after all, with what there is now.

    Raises:
        Refused: when it is neither, or the project can't be released now.
    """
    if release.state not in (State.FAILED, State.CANCELLED):
        raise Refused(_("Only a failed or cancelled release can be tried again. A new one is the way to correct one."))
    check(release.project)
    try:
        with transaction.atomic():
            queueing.enqueue(release)
    except IntegrityError as error:
        raise Refused(_("Another release is being written.")) from error


def verify(release: Release, name: str) -> None:
    """Make sure that a file of a finished release is what was released.

    Raises:
        Damaged: when it is not.
    """
    try:
        with (release.folder / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Damaged(_("%(name)s is gone from the server.") % {"name": name}) from error
    if found != release.files[name]["sha256"]:
        raise Damaged(_("%(name)s is not what was released: its SHA-256 is another one.") % {"name": name})


def take(release: Release, name: str) -> BinaryIO:
    """Open a file of a finished release to hand it over.

    Raises:
        Damaged: when it is not what was released.
    """
    verify(release, name)
    diary.write(diary.Act.RELEASE_TAKEN, release.project, f"{release}: {name}")
    return (release.folder / name).open("rb")


def is_intact(release: Release, name: str) -> bool:
    """Whether a file of a finished release is what was released."""
    try:
        verify(release, name)
    except Damaged:
        return False
    return True


def _create(project: Project, user: User | None, note: str) -> Release:
    check(project)
    try:
        with transaction.atomic():
            # No release is ever deleted, so that no number is given twice.
            last = project.releases.aggregate(number=Max("number"))["number"] or 0
            release = Release.objects.create(project=project, number=last + 1, created_by=user, note=note)
            diary.write(diary.Act.RELEASED, project, release, after={"note": note}, user=user)
            return release
    except IntegrityError as error:
        # Two people at once: the database lets one active release a project through.
        raise Refused(_("A release is being written already.")) from error
