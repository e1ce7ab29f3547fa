"""Start, stop and repeat rounds."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import BackgroundJob, Document, JudgeFailure, Project, Round, TrainingExample
from labelling.models.documents import Source
from labelling.services import Refused, claims, diary, encoding, queueing

STOPPED = (BackgroundJob.State.FAILED, BackgroundJob.State.PAUSED, BackgroundJob.State.CANCELLED)
COPIED_SETTINGS = (
    "batch_size",
    "strategy",
    "certainty",
    "overlap",
    "answer_first",
    "gold_share",
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


def start_round(
    project: Project, user: User | None = None, ask_again: Sequence[int] = (), revises: bool = False
) -> Round:
    """Queue the project's next round; without a user it starts by itself.

    One that starts by itself only because texts have come in since predicts them and asks no judge: nothing is spent.

    ``ask_again``: ids of labels; then the round asks about their stale verdicts (services.definitions.stale) alone,
    and shows its forecast first.

    ``revises``: the round asks about all texts whose label a revision has divided, and nothing else, each among that
    label's successors, and shows its forecast first.

    Raises:
        Refused: when there is too little to learn from, nothing to ask about, or a round is active.
    """
    if project.labels.leaves()[:2].count() < 2:
        raise Refused(
            _("At least two labels are needed before a round can learn. Import labels or labelled texts first.")
        )
    if nothing_left(project):
        raise Refused(_("There is nothing to ask about: every document has its label."))
    if waiting := project.rounds.filter(state=BackgroundJob.State.WAITING).first():
        raise Refused(
            _("Round %(number)s waits for you: look at its forecast first, or cancel it.") % {"number": waiting.number}
        )
    encoding.take_over(project)
    last = project.rounds.order_by("-number").first()
    settings = {name: getattr(project, name) for name in COPIED_SETTINGS}
    came_later = last is not None and has_unpredicted(project)
    settings["learns"] = bool(user) or came_later or last is None or not last.learning_over
    if came_later and not user and not _has_enough(project, last):
        settings["only_predicts"] = True
    if ask_again:
        settings |= {"ask_again": list(ask_again), "confirm_spending": True}
    if revises:
        settings |= {"revises": True, "question": Project.QuestionForm.CHOOSE, "confirm_spending": True}
    try:
        with transaction.atomic():
            round_ = Round.objects.create(
                project=project, number=last.number + 1 if last else 1, started_by=user, settings=settings
            )
            queueing.enqueue(round_)
    except IntegrityError as error:
        # Two people at once: the database lets one active round a project through.
        raise Refused(_("A round is running already.")) from error
    return round_


def nothing_left(project: Project) -> bool:
    """Whether a round would have nothing to ask about, to audit, or to measure: people have decided on everything."""
    if project.documents.pool().exists() or project.settled_labels.filter(left_at=None).exists():
        return False
    return not (project.documents.filter(holdout=True).exists() and new_examples(project))


def has_unpredicted(project: Project) -> bool:
    """Whether texts have come in that no round has predicted."""
    return project.documents.pool().filter(prediction=None).exists()


def decisions_until_next(last: Round | None) -> int | None:
    """After how many more decisions the round that follows the last one starts; None where that is done by hand.

    It starts by itself when the last one has ended, and not the loop with it; earlier when nothing waits any more.
    """
    return last.enough - _new(last.project)[: last.enough].count() if last and last.enough else None


def start_if_due(project: Project, texts_came: bool = False) -> Round | None:
    """Start the next round when people have decided enough, nothing waits for them, or texts have come in.

    To be called once what is new is committed, or by the round or the import that ends in the transaction in which it
    ends. They take turns at the project's row, so the last of them sees what all the others did.

    ``texts_came``: look for texts without prediction, too. It takes a look at every document: not for each decision.
    """
    # Nearly always nothing is due: that is found out without making others wait.
    if texts_came:
        # What ends has known its project for long.
        project.refresh_from_db(fields=["retrain_after"])
    if not _is_due(project, texts_came):
        return None
    with transaction.atomic():
        project = Project.objects.select_for_update().get(pk=project.pk)
        return _start(project) if _is_due(project, texts_came) else None


def _is_due(project: Project, texts_came: bool) -> bool:
    last = project.last_round
    if last is None or last.state != BackgroundJob.State.DONE or not last.project.retrain_after:
        return False
    return _has_enough(project, last) or (texts_came and has_unpredicted(project))


def _has_enough(project: Project, last: Round | None) -> bool:
    """Whether people have decided enough for the next round, or something, and nothing waits for them."""
    enough = last.enough if last else 0
    n_new = _new(project)[:enough].count() if enough else 0
    return n_new > 0 and (n_new == enough or not claims.waiting(project).exists())


def _start(project: Project) -> Round | None:
    try:
        return start_round(project)
    except Refused:
        return None


def new_examples(project: Project) -> int:
    """How many training examples no round has learnt from yet."""
    return _unlearnt(project).count()


def _new(project: Project) -> QuerySet[TrainingExample]:
    """What people have decided and no round has learnt yet; what nobody decided starts no round."""
    return _unlearnt(project).filter(source=Source.HUMAN)


def _unlearnt(project: Project) -> QuerySet[TrainingExample]:
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
    diary.write(diary.Act.SPENDING_AGREED, round_.project, round_)


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
    round_.settings["confirm_spending"] |= "ask_again" in round_.settings or "revises" in round_.settings
    if before != {name: round_.settings[name] for name in FORECAST_SETTINGS}:
        round_.forecast, round_.confirmed_at = {}, None
    try:
        with transaction.atomic():
            queueing.enqueue(round_)
    except IntegrityError as error:
        raise Refused(_("Another round is running already.")) from error
