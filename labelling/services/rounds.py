"""Start, stop and repeat rounds."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Exists, Max, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import BackgroundJob, Document, JudgeFailure, Project, Round, TrainingExample
from labelling.services import Refused, queueing

STOPPED = (BackgroundJob.State.FAILED, BackgroundJob.State.PAUSED, BackgroundJob.State.CANCELLED)
COPIED_SETTINGS = (
    "batch_size",
    "strategy",
    "certainty",
    "audit_share",
    "overlap",
    "judge",
    "judge_model",
    "judge_base_url",
    "question",
    "use_batches",
    "confirm_spending",
    "auto_accept",
    "combination",
    "subset_size",
    "noise_ratio",
    "random_seed",
)


# Who mends what stopped the judge may have chosen another one.
JUDGE_SETTINGS = ("judge", "judge_model", "judge_base_url", "use_batches", "confirm_spending")
# With any of these, a forecast is about something else.
FORECAST_SETTINGS = ("judge", "judge_model", "judge_base_url", "use_batches")


def start_round(project: Project, user: User | None = None, ask_again: Sequence[int] = ()) -> Round:
    """Queue the project's next round; without a user it starts by itself.

    ``ask_again``: ids of labels; then the round asks about their stale verdicts (services.definitions.stale) alone,
    and shows its forecast first.

    Raises:
        Refused: when there is too little to learn from, nothing to ask about, or a round is active.
    """
    if project.labels.filter(examples__isnull=False).distinct()[:2].count() < 2:
        raise Refused(_("At least two labels need examples before a round can learn. Import labelled texts first."))
    measurable = project.documents.filter(holdout=True).exists() and new_examples(project)
    if not project.documents.pool().exists() and not measurable:
        raise Refused(_("There is nothing to ask about: every document has its label."))
    if waiting := project.rounds.filter(state=BackgroundJob.State.WAITING).first():
        raise Refused(
            _("Round %(number)s waits for you: look at its forecast first, or cancel it.") % {"number": waiting.number}
        )
    last = project.rounds.aggregate(number=Max("number"))["number"] or 0
    settings = {name: getattr(project, name) for name in COPIED_SETTINGS}
    if ask_again:
        settings |= {"ask_again": list(ask_again), "confirm_spending": True}
    try:
        with transaction.atomic():
            round_ = Round.objects.create(project=project, number=last + 1, started_by=user, settings=settings)
            queueing.enqueue(round_)
    except IntegrityError as error:
        # Two people at once: the database lets one active round a project through.
        raise Refused(_("A round is running already.")) from error
    return round_


def examples_until_next(project: Project) -> int | None:
    """How many new training examples start the next round; None while it has to be started by hand.

    It starts by itself when the last one has ended, and not the loop with it.
    """
    enough = _enough(project)
    return enough - _new(project)[:enough].count() if enough else None


def start_if_due(project: Project) -> Round | None:
    """Start the next round when enough training examples are new and the loop has not ended.

    To be called once what is new is committed, or by the round that ends in the transaction in which it ends. They
    take turns at the project's row, so the last of them sees what all the others did.
    """
    # Nearly always nothing is due: that is found out without making others wait.
    if not _is_due(project):
        return None
    with transaction.atomic():
        project = Project.objects.select_for_update().get(pk=project.pk)
        return _start(project) if _is_due(project) else None


def _is_due(project: Project) -> bool:
    enough = _enough(project)
    return enough > 0 and _new(project)[:enough].count() == enough


def _enough(project: Project) -> int:
    """How many new training examples start the next round, as the database has it now; 0: it starts by hand alone."""
    fields = ("state", "stop_reason", "project__retrain_after")
    last = project.rounds.order_by("-number").values_list(*fields).first()
    if last is None:
        return 0
    state, stop_reason, retrain_after = last
    return retrain_after if state == BackgroundJob.State.DONE and not stop_reason else 0


def _start(project: Project) -> Round | None:
    try:
        return start_round(project)
    except Refused:
        return None


def new_examples(project: Project) -> int:
    """How many training examples no round has learnt from yet."""
    return _new(project).count()


def _new(project: Project) -> QuerySet[TrainingExample]:
    # Not as a join: SQLite would go through all documents of the project for the few that are new.
    of_project = Document.objects.filter(pk=OuterRef("document"), project=project)
    return TrainingExample.objects.filter(Exists(of_project), learned_in=None)


def go_on(round_: Round) -> None:
    """Queue a failed, paused or cancelled round again; it goes on from the step it had reached.

    Raises:
        Refused: when it is none of these, or a newer round exists.
    """
    if round_.state not in STOPPED:
        raise Refused(_("Only a failed, paused or cancelled round can go on."))
    _queue_again(round_)


def agree(round_: Round) -> None:
    """Let a round spend what its forecast says.

    Raises:
        Refused: when it does not wait for that.
    """
    if round_.state != BackgroundJob.State.WAITING:
        raise Refused(_("This round does not wait for anybody."))
    round_.confirmed_at = timezone.now()
    _queue_again(round_)


def stop_asking(round_: Round) -> None:
    """Let a round lay out what it has without asking the judge any further.

    Raises:
        Refused: when it does not ask the judge.
    """
    asking = Round.objects.filter(pk=round_.pk, state__in=BackgroundJob.ACTIVE, step=Round.Step.JUDGE)
    if not asking.update(stop_asked_at=timezone.now()):
        raise Refused(_("This round does not ask the judge any more."))


def retry_judge(round_: Round) -> None:
    """Ask the judge again about the queries it failed on.

    Raises:
        Refused: when there is none, or a newer round exists.
    """
    with transaction.atomic():
        if not JudgeFailure.objects.filter(query__round=round_).delete()[0]:
            raise Refused(_("The judge answered every query of this round."))
        _queue_again(round_)


def _queue_again(round_: Round) -> None:
    if round_.project.rounds.filter(number__gt=round_.number).exists():
        raise Refused(_("A newer round has taken this one's place."))
    if round_.is_active:
        raise Refused(_("This round is running already."))
    round_.stop_asked_at = None
    before = {name: round_.settings.get(name) for name in FORECAST_SETTINGS}
    round_.settings |= {name: getattr(round_.project, name) for name in JUDGE_SETTINGS}
    # Asking again is always forecast first.
    round_.settings["confirm_spending"] |= "ask_again" in round_.settings
    if before != {name: round_.settings[name] for name in FORECAST_SETTINGS}:
        round_.forecast, round_.confirmed_at = {}, None
    try:
        with transaction.atomic():
            queueing.enqueue(round_)
    except IntegrityError as error:
        raise Refused(_("Another round is running already.")) from error
