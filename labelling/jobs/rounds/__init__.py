"""One round, step by step. Up to the queries a round that is interrupted starts afresh; from there on it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from django.db import transaction
from django.db.models import Exists, OuterRef

from labelling.jobs.calls import AtCap, JudgeFails, Paused
from labelling.jobs.lease import JobFailed, Lease
from labelling.jobs.rounds.forecasting import awaits_consent, forecast_is_due, record_forecast
from labelling.jobs.rounds.graduating import graduate
from labelling.jobs.rounds.grouping import propose_labels
from labelling.jobs.rounds.judging import ask_judge
from labelling.jobs.rounds.learning import embed_texts, fit, predict
from labelling.jobs.rounds.memory import remember
from labelling.jobs.rounds.prevailing import estimate_shares
from labelling.jobs.rounds.querying import choose_queries, record_queries
from labelling.jobs.rounds.settling import settle, was_down
from labelling.jobs.rounds.speaking import note_for_people
from labelling.jobs.rounds.suspecting import note_suspicions
from labelling.models import BackgroundJob, CohortMember, Project, Round
from labelling.models.sentences import said_by
from labelling.services import domains, notices
from labelling.services.claims import waiting
from labelling.services.notices import Kind
from labelling.services.rounds import start_if_due

Step = Round.Step


def run(lease: Lease[Round]) -> None:
    """Take a round from wherever it is to its end, and start the next one when it is due."""
    round_ = lease.job
    seconds = dict(round_.seconds)

    @contextmanager
    def timed(step: str, begins_with: str = "") -> Iterator[None]:
        lease.report(begins_with or step)
        started = time.monotonic()
        yield
        seconds[step] = round(seconds.get(step, 0) + time.monotonic() - started, 2)
        lease.update(seconds=seconds)

    if round_.queried_at is None:
        _learn_and_choose(lease, timed)
    if forecast_is_due(round_):
        with timed(Step.FORECAST), _people_go_on_without(lease):
            record_forecast(lease)
    if awaits_consent(round_):
        with transaction.atomic():
            lease.finish(BackgroundJob.State.WAITING)
            notices.tell(round_.project, Kind.ROUND_WAITS, round_.number)
        return
    paused = None
    if round_.has_judge:
        with timed(Step.JUDGE), _people_go_on_without(lease):
            paused = ask_judge(lease)
    # A round that pauses lays out what it has, too.
    with timed(Step.SETTLE):
        _lay_out(lease)
    if paused:
        with transaction.atomic():
            lease.finish(BackgroundJob.State.PAUSED, error=said_by(paused))
            _tell(round_, paused)
        return
    round_.refresh_from_db(fields=["learning_over"])
    stop_reason = "" if _people_go_on(round_.project) else round_.learning_over
    if stop_reason:
        with timed(Step.GRADUATE):
            graduate(lease)
    with transaction.atomic():
        # Both or neither: a worker killed in between would leave the next round to nobody.
        lease.finish(BackgroundJob.State.DONE, stop_reason=stop_reason)
        _tell(round_, None)
        start_if_due(round_.project, texts_came=True)


def _lay_out(lease: Lease[Round]) -> None:
    settle(lease)
    note_for_people(lease)
    propose_labels(lease)
    estimate_shares(lease)


def _learn_and_choose(lease: Lease[Round], timed: Callable[..., AbstractContextManager[None]]) -> None:
    """Fix what is asked; all vectors are let go of at its end, before the next step loads them."""
    with timed(Step.EMBED):
        embed_texts(lease)
    with timed(Step.FIT, begins_with=Step.PARTITION):
        learnt = fit(lease)
        note_suspicions(lease, learnt)
    with timed(Step.PREDICT):
        predicted = predict(lease, learnt)
    with timed(Step.QUERY):
        queries = choose_queries(lease.job, learnt, predicted)
        record_queries(lease, learnt, queries)
    # Not before the batch is fixed: until then a round that starts afresh must find what the last one left.
    remember(lease.job.project, learnt.memory)


@contextmanager
def _people_go_on_without(lease: Lease[Round]) -> Iterator[None]:
    """Where the judge can't be asked until somebody acts, people get their documents before the round fails."""
    try:
        yield
    except JobFailed:
        failed_at = lease.job.step
        _lay_out(lease)
        with transaction.atomic():
            lease.report(failed_at)
            _tell(lease.job, None)
        raise


def _tell(round_: Round, paused: Paused | None) -> None:
    """Tell what a round that ends, or pauses, leaves to people."""
    project, number = round_.project, round_.number
    if isinstance(paused, AtCap):
        notices.tell(project, Kind.ROUND_AT_CAP, number, number)
    if isinstance(paused, JudgeFails) or (round_.has_judge and was_down(round_)):
        notices.tell(project, Kind.JUDGE_FAILING, number, number)
    if waiting(project).exists():
        notices.tell(project, Kind.QUEUE_READY, number)


def _people_go_on(project: Project) -> bool:
    """Whether no certificate covers something that the machine settled, or something is left for people alone."""
    covered = CohortMember.objects.filter(certificate__isnull=False, settled=OuterRef("pk"))
    if project.settled_labels.filter(~Exists(covered), left_at=None).exists():
        return True
    return domains.undecided(project).exists()
