"""How well the judges do: figures that the worker counts, and comparisons of one judge with another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import ComparedAnswer, Comparison, Measurement, Project
from labelling.services import Refused, audits, diary, projects, queueing
from labelling.services.audits import JudgeId

State = Comparison.State

# A kappa below this is slight at best (Landis and Koch, 1977).
SLIGHT = 0.2


@transaction.atomic
def measure(project: Project) -> Measurement:
    """Have the project's audits counted anew; asking twice changes nothing."""
    Measurement.objects.get_or_create(project=project, defaults={"state": Measurement.State.DONE})
    measurement = Measurement.objects.select_for_update().get(project=project)
    if not measurement.is_active:
        queueing.enqueue(measurement)
    return measurement


def is_old(project: Project, measurement: Measurement | None) -> bool:
    """Whether somebody decided on an audit, or the judge answered, since the figures were counted."""
    return (measurement.counted if measurement else audits.NOTHING_YET) != audits.state(project)


def start_comparison(project: Project, user: User | None, base: JudgeId, model: str, question: str) -> Comparison:
    """Have the forecast made for asking another judge about all that ``base`` was audited on; nothing is spent yet.

    Raises:
        Refused: when there is no audit of it, or a comparison of this project has not ended.
    """
    asked = audits.questions(project, base)
    if not asked.exists():
        raise Refused(_("No audit of this judge has been decided on yet: there is nothing to compare on."))
    unfinished = project.comparisons.filter(state__in=[*Comparison.ACTIVE, State.WAITING, State.PAUSED])
    if unfinished.exists():
        raise Refused(_("A comparison has not ended yet. Finish or leave it first."))
    named = {f"base_{name}": value for name, value in base._asdict().items()}
    try:
        with transaction.atomic():
            comparison = Comparison.objects.create(
                project=project, created_by=user, model=model, question=question, **named
            )
            ComparedAnswer.objects.bulk_create(ComparedAnswer(comparison=comparison, query=query) for query in asked)
            queueing.enqueue(comparison)
    except IntegrityError as error:
        # Two people at once: the database lets one active comparison a project through.
        raise Refused(_("A comparison is running already.")) from error
    return comparison


def go_on(comparison: Comparison) -> None:
    """Agree to the forecast, or go on with a comparison that stopped halfway.

    Raises:
        Refused: when there is nothing to go on with, or another comparison is active.
    """
    if comparison.state not in (State.WAITING, State.PAUSED, State.FAILED, State.CANCELLED):
        raise Refused(_("It is running, or has ended."))
    agreed = bool(comparison.forecast) and comparison.confirmed_at is None
    if agreed:
        comparison.confirmed_at = timezone.now()
    _enqueue(comparison)
    if agreed:
        diary.write(diary.Act.SPENDING_AGREED, comparison.project, comparison)


def retry_failed(comparison: Comparison) -> None:
    """Ask again what got no answer.

    Raises:
        Refused: when everything was answered, or a comparison of the project is active.
    """
    with transaction.atomic():
        failed = comparison.answers.exclude(failure="")
        if comparison.is_active or not failed.update(failure=""):
            raise Refused(_("Everything was answered, or it is running already."))
        _enqueue(comparison)


def switch(comparison: Comparison) -> None:
    """Make the judge that was compared the project's own, from the next round on.

    Raises:
        Refused: before the comparison has ended.
    """
    if comparison.state != State.DONE:
        raise Refused(_("The comparison has not ended."))
    chosen = {
        "judge": Project.JudgeName.ANTHROPIC,
        "judge_model": comparison.model,
        "question": comparison.question,
    }
    projects.change(comparison.project, **chosen)


def _enqueue(comparison: Comparison) -> None:
    try:
        with transaction.atomic():
            queueing.enqueue(comparison)
    except IntegrityError as error:
        raise Refused(_("Another comparison is running already.")) from error


def is_no_better_than_chance(figures: Mapping[str, Any]) -> bool:
    """Whether a judge's answers agree with people hardly more often than blind ones would, and may do so by luck.

    ``figures``: of one judge, as a Measurement has them.
    """
    kappa = figures["kappa"]
    return kappa["value"] is not None and kappa["value"] < SLIGHT and kappa["low"] <= 0


def worth_of_word(project: Project) -> dict[str, Any] | None:
    """What the present judge's word adds beside the model's, as the last round that asked it reckons.

    ``percent``: of what it would tell if it erred independently of the model; ``n``: decisions behind that;
    ``is_assumed``: too few to say; ``model``.
    """
    last = project.rounds.filter(reliability__weight__isnull=False).first()
    if last is None or project.judge == Project.JudgeName.NONE:
        return None
    found = last.reliability
    return {
        "percent": round(100 * found["weight"]),
        "n": found["n_weighed"],
        "is_assumed": found["n_weighed"] < audits.MIN_MEASURED,
        "model": found["model"] or found["judge"],
    }
