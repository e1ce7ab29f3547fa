"""What a round's questions will take: whether that has to be said, and agreed to, before the judge is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from classifiers.judge import AnthropicJudge
from labelling.jobs.forecasting import forecast
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.auditing import judge_of
from labelling.jobs.rounds.buying import what_questions_buy
from labelling.jobs.rounds.judging import tasks, unanswered
from labelling.models import Query, Round
from labelling.services import ledger

# Of an answer, until this model has been asked before: a sentence and a word.
ASSUMED_OUTPUT_TOKENS = 90


def forecast_is_due(round_: Round) -> bool:
    """Whether a language model is going to be asked, and nobody has said yet what that will take."""
    return round_.settings["judge"] == "anthropic" and not round_.forecast and bool(unanswered(round_))


def awaits_consent(round_: Round) -> bool:
    """Whether a manager has to see the forecast before anything is spent."""
    wanted = round_.settings.get("confirm_spending", False) and round_.confirmed_at is None
    # Also where all is answered already: what is refused leads to questions that may be new.
    return wanted and bool(round_.forecast) and round_.forecast["calls"] + round_.forecast["further"] > 0


def record_forecast(lease: Lease[Round]) -> None:
    """Write on the round what its questions will take; what was answered before in the same words costs nothing.

    Raises:
        JobFailed: when there is no key.
    """
    judge = cast("AnthropicJudge", judge_of(lease.job))
    queries = unanswered(lease.job)
    questions = list(tasks(lease.job, queries))
    new = [task for task in questions if not ledger.answered(judge.client.fingerprint(task.prompt))]
    further = _further(queries)
    in_batches = bool(lease.job.settings.get("use_batches"))
    lease.update(
        forecast={
            **forecast(judge.client, new, ASSUMED_OUTPUT_TOKENS, in_batches),
            "reused": len(questions) - len(new),
            "further": further,
            "buys": _buys(lease.job, queries, further),
            "prompt_version": judge.prompt_version,
        }
    )


def _buys(round_: Round, queries: Sequence[Query], further: int) -> dict[str, Any]:
    """What the questions settle; not of a round that asks again, and not the judge's trial, which settles nothing."""
    if round_.settings.get("ask_again") or round_.settings.get("revises"):
        return {}
    n_tried = sum(query.reason == Query.Reason.TRIAL for query in queries)
    return what_questions_buy(round_, len(queries) - n_tried + further)


def _further(queries: Sequence[Query]) -> int:
    """How many questions are likely to be added because the judge refuses a label."""
    return round(sum(1 - query.posterior for query in queries if query.form == Query.Form.VALIDATE))
