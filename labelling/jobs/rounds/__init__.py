"""One round, step by step. Up to the queries a round that is interrupted starts afresh; from there on it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from classifiers import stopping
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.forecasting import awaits_consent, forecast_is_due, record_forecast
from labelling.jobs.rounds.graduating import graduate
from labelling.jobs.rounds.judging import ask_judge
from labelling.jobs.rounds.learning import embed_texts, fit, predict
from labelling.jobs.rounds.memory import remember
from labelling.jobs.rounds.querying import choose_queries, note_near_duplicates, record_queries
from labelling.jobs.rounds.settling import settle
from labelling.models import BackgroundJob, Round
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
        with timed(Step.EMBED):
            embed_texts(lease)
        with timed(Step.FIT, begins_with=Step.PARTITION):
            learnt = fit(lease)
        with timed(Step.PREDICT):
            predicted = predict(lease, learnt)
        with timed(Step.QUERY):
            queries = choose_queries(round_, learnt, predicted)
            note_near_duplicates(queries, learnt, predicted)
            record_queries(lease, learnt, queries)
        # Not before the batch is fixed: until then a round that starts afresh must find what the last one left.
        remember(round_.project, learnt.memory)
    if forecast_is_due(round_):
        with timed(Step.FORECAST):
            record_forecast(lease)
    if awaits_consent(round_):
        lease.finish(BackgroundJob.State.WAITING)
        return
    with timed(Step.JUDGE):
        paused = ask_judge(lease)
    # A round that pauses lays out what it has, too.
    with timed(Step.SETTLE):
        settle(lease)
    if paused:
        lease.finish(BackgroundJob.State.PAUSED, error=paused)
        return
    stop_reason = _stop_reason(round_)
    if stop_reason:
        with timed(Step.GRADUATE):
            graduate(lease)
    with transaction.atomic():
        # Both or neither: a worker killed in between would leave the next round to nobody.
        lease.finish(BackgroundJob.State.DONE, stop_reason=stop_reason)
        start_if_due(round_.project)


def _stop_reason(round_: Round) -> str:
    """Why the project's loop is at its end, or nothing."""
    if not round_.queries.exists() and not round_.project.queue.exists():
        return "No document is left to ask about."
    if _was_down(round_):
        return ""
    comparable = round_.project.rounds.filter(
        number__lte=round_.number,
        unlabelled_at_import=round_.unlabelled_at_import,
        settings__certainty=round_.settings["certainty"],
    ).order_by("number")
    uncertain: list[int] = []
    examples: list[int] = []
    for n_uncertain, n_examples in comparable.values_list("uncertain", "training_examples"):
        # A round that learnt nothing new says nothing about what is left to gain.
        if n_uncertain is not None and n_examples is not None and n_examples > max(examples, default=-1):
            uncertain.append(n_uncertain)
            examples.append(n_examples)
    gains = None if round_.expected_gain is None else [round_.expected_gain]
    return stopping.stop_reason(uncertain, examples, question=round_.question, gains=gains) or ""


def _was_down(round_: Round) -> bool:
    """Whether the judge failed on every question: an outage is no convergence."""
    return (
        round_.queries.filter(judge_failure__isnull=False).exists()
        and not round_.queries.filter(verdict__isnull=False).exists()
    )
