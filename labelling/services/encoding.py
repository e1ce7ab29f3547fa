"""A project's encoder: which there are, and the way to another one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifiers import encoders
from labelling.models import Adaptation, BackgroundJob, Encoding, Project
from labelling.services import Refused, diary, queueing

State = BackgroundJob.State
UNFINISHED = (*BackgroundJob.ACTIVE, State.WAITING)


def choices() -> list[str]:
    """The encoders that a project may have: the installation's first, then what an administrator has listed."""
    return list(dict.fromkeys([settings.ENCODER, *settings.ENCODERS]))


def choices_of(project: Project) -> list[str]:
    """Those, and what was adapted to the project."""
    kept = project.adaptations.filter(is_kept=True).order_by("pk").values_list("encoder", flat=True)
    adapted = dict.fromkeys([*kept, project.encoder_in_use])
    return [*choices(), *(name for name in adapted if encoders.weights_digest(name) and is_here(name))]


def adapted_folder() -> Path:
    """Where the weights of all adapted encoders lie."""
    return Path(settings.MEDIA_ROOT) / "adapted"


def is_here(encoder: str) -> bool:
    """Whether an encoder may be used: it is listed, or was adapted from one that is and has its weights here."""
    if encoders.origin(encoder) not in choices():
        return False
    return not encoders.weights_digest(encoder) or encoders.weights_file(adapted_folder(), encoder).exists()


def lost_weights(project: Project) -> str:
    """The name of the file that an adapted encoder in use has lost; empty where all is there."""
    encoder = project.encoder_in_use
    file = encoders.weights_file(adapted_folder(), encoder)
    return file.name if encoders.weights_digest(encoder) and not file.exists() else ""


def languages(encoder: str) -> Collection[str]:
    """The languages that an encoder has learnt, ISO 639-1 codes; empty where that is not known."""
    is_default = encoders.origin(encoder) == settings.ENCODER
    return (settings.ENCODER_LANGUAGES if is_default else []) or encoders.languages(encoder)


def better_for(project: Project, wanted: Collection[str]) -> str:
    """An encoder that the project may have, and that is known to have learnt these languages; empty without one."""
    known = ((encoder, languages(encoder)) for encoder in choices() if encoder != project.encoder_in_use)
    return next((encoder for encoder, learnt in known if learnt and set(wanted) <= set(learnt)), "") if wanted else ""


def coming(project: Project) -> str:
    """The encoder of the next round, as the project stores it: empty for the installation's."""
    done = project.encodings.filter(state=State.DONE).first()
    return done.encoder if done and is_here(str(done)) else project.encoder


def start(project: Project, user: User | None, encoder: str) -> Encoding:
    """Have an encoder tried on some of the project's texts, which tells what all of them take.

    Raises:
        Refused: when the project may not have it, has it already, or is on its way to another one.
    """
    if encoder not in choices_of(project):
        raise Refused(_("An administrator has to list this encoder first."))
    stored = "" if encoder == settings.ENCODER else encoder
    if stored == coming(project):
        raise Refused(_("This is the project's encoder already."))
    make_sure_it_stays(project)
    try:
        with transaction.atomic():
            encoding = Encoding.objects.create(project=project, created_by=user, encoder=stored)
            queueing.enqueue(encoding)
    except IntegrityError as error:
        # Two people at once: the database lets one through.
        raise Refused(_("The project is on its way to another encoder. Let it get there, or stop it first.")) from error
    return encoding


def make_sure_it_stays(project: Project) -> None:
    """Make sure that a project is on its way to no other encoder.

    Raises:
        Refused: when it is, or one is being made for it.
    """
    if project.encodings.filter(state__in=UNFINISHED).exists():
        raise Refused(_("The project is on its way to another encoder. Let it get there, or stop it first."))
    queueing.check_idle(project, Adaptation)


@transaction.atomic
def go_on(encoding: Encoding) -> None:
    """Agree to what it takes, or go on with one that failed or was stopped: what is there is kept.

    Raises:
        Refused: when it is none of these, or a newer one has taken its place.
    """
    if encoding.state not in (State.WAITING, State.FAILED, State.CANCELLED):
        raise Refused(_("It is running, or has ended."))
    if encoding.project.encodings.filter(pk__gt=encoding.pk).exists():
        raise Refused(_("A newer one has taken its place."))
    agreed = encoding.state == State.WAITING
    if agreed:
        encoding.confirmed_at = timezone.now()
    queueing.enqueue(encoding)
    if agreed:
        project = encoding.project
        before, after = {"encoder": project.encoder_in_use}, {"encoder": str(encoding)}
        diary.write_changes(diary.Act.SETTINGS, project, project.name, before, after)


def take_over(project: Project) -> None:
    """Give the project the encoder that is coming: between two rounds, as each learns in one space alone."""
    encoder = coming(project)
    if encoder != project.encoder:
        project.encoder = encoder
        project.save(update_fields=["encoder"])
