"""Projects that move to another installation, each in one file: ask for it, take it, bring one in."""

from __future__ import annotations

from typing import BinaryIO

from django.contrib.auth.models import User
from django.core.files import File
from django.db import transaction
from django.utils.translation import gettext as _

from labelling.models import (
    BackgroundJob,
    Call,
    Comparison,
    CsvImport,
    Drafting,
    Packing,
    Project,
    Release,
    Round,
    Unpacking,
)
from labelling.services import Refused, diary, queueing, rows
from labelling.services.diary import Act

State = BackgroundJob.State


def check(project: Project) -> None:
    """Make sure that nothing runs that would be packed half.

    Raises:
        Refused: when something does.
    """
    queueing.check_idle(project, Round, CsvImport, Release, Comparison, Drafting)
    if project.calls.filter(state=Call.State.IN_FLIGHT).exists() or project.batches.filter(ended_at=None).exists():
        raise Refused(_("Answers of the judge are still on their way. Let the round go on first, and wait for them."))


@transaction.atomic
def start(project: Project, user: User) -> Packing:
    """Ask the worker for the project's file.

    Raises:
        Refused: while something runs in the project, or it is being packed.
    """
    check(project)
    packing, made = Packing.objects.get_or_create(project=project, defaults={"created_by": user})
    if packing.is_active and not made:
        raise Refused(_("It is being packed already."))
    packing.created_by = user
    queueing.enqueue(packing)
    note_packed(project, user)
    return packing


def note_packed(project: Project, user: User | None = None) -> None:
    """Write down that a project is taken out as a whole."""
    diary.write(Act.PROJECT_PACKED, project, project.name, user=user)


def take(packing: Packing) -> BinaryIO | None:
    """Open a project's file for whoever downloads it; None where there is none, or it is gone."""
    if packing.state != State.DONE:
        return None
    try:
        return packing.path.open("rb")
    except FileNotFoundError:
        return None


def forget(project: Project) -> None:
    """Remove a project's file, also one that is being written: it holds what is in the project, or was."""
    for packing in Packing.objects.filter(project=project):
        packing.path.unlink(missing_ok=True)
        packing.delete()


def upload(file: File, user: User) -> Unpacking:
    """Keep a project's file that came in, and ask the worker to make a project of it."""
    name = (file.name or "project.zip")[:255]
    with transaction.atomic():
        rows.save_with_file(unpacking := Unpacking(created_by=user, file=file, filename=name))
        queueing.notify(unpacking)
    return unpacking


def cancel(unpacking: Unpacking) -> None:
    """Stop before anything is written.

    Raises:
        Refused: when it has ended already.
    """
    queueing.cancel(unpacking)
    unpacking.file.storage.delete(unpacking.file.name)


def note_unpacked(project: Project, user: User) -> None:
    diary.write(Act.PROJECT_UNPACKED, project, project.name, user=user)


def person(name: str, is_the_same: bool = False) -> User:
    """The account that stands for somebody in a project's file.

    Args:
        name: theirs where they come from.
        is_the_same: an account of that name here is theirs. Else it is another one, which nobody can log in to until an
            administrator lets somebody: whoever packs a file can put any name into it.
    """
    if is_the_same and (found := User.objects.filter(username=name).first()):
        return found
    user = User(username=_free_name(name), is_active=False)
    user.set_unusable_password()
    user.save()
    return user


def _free_name(name: str) -> str:
    taken, n = name, 1
    while User.objects.filter(username__iexact=taken).exists():
        n += 1
        taken = f"{name[:140]}-{n}"
    return taken
