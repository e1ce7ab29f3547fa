"""Ask another judge about documents that were audited, and set its answers beside those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from decimal import Decimal
from functools import partial
from itertools import groupby
from typing import Any, cast

import numpy as np

from classifiers.agreement import compare
from classifiers.judge import Answer, AnthropicJudge, Form, JudgeError, Question
from classifiers.judge.prompt import prompt, read_answer
from classifiers.reliability import N_OFFERED
from labelling.jobs.calls import Outcome, Paused, Sender, Task, kept
from labelling.jobs.forecasting import forecast
from labelling.jobs.lease import Lease
from labelling.jobs.measuring import measured
from labelling.jobs.rounds.auditing import language_model
from labelling.jobs.rounds.forecasting import ASSUMED_OUTPUT_TOKENS
from labelling.jobs.rounds.questions import questions
from labelling.models import Call, ComparedAnswer, Comparison, Query, Verdict
from labelling.models.sentences import Sentence as _
from labelling.models.sentences import said_by
from labelling.services import audits, ledger
from labelling.services.audits import Judged, JudgeId

Step, State = Comparison.Step, Comparison.State


def run(lease: Lease[Comparison]) -> None:
    """Take a comparison to its forecast, or, once a manager has agreed to that, to the paired table."""
    comparison = lease.job
    lease.report(Step.PREPARE)
    # Of one project no two comparisons are active.
    ours = Call.objects.filter(project=comparison.project, purpose=Call.Purpose.COMPARISON)
    ledger.lose(ours, _("The worker died before the answer came."))
    judge = language_model(comparison.project, comparison.model, cast("Form", comparison.question))
    if comparison.confirmed_at is None:
        expected = forecast(judge.client, list(_tasks(comparison)), ASSUMED_OUTPUT_TOKENS)
        lease.finish(State.WAITING, forecast=expected, prompt_version=judge.prompt_version)
        return
    try:
        _ask(lease, judge)
    except Paused as reached:
        lease.finish(State.PAUSED, error=said_by(reached), result=paired(comparison))
    else:
        lease.finish(State.DONE, result=paired(comparison), prompt_version=judge.prompt_version)


def paired(comparison: Comparison) -> dict[str, Any]:
    """The two judges on the questions that both answered.

    ``first`` and ``second`` are what ``measured`` says of each there, ``test`` all of ``Paired``: unsure is not right.
    ``cost`` is what one question cost each of them on average, in US dollars, None where that is not known;
    ``n_older`` how many of the first one's answers saw another definition than the second one's.
    """
    truths = audits.truths(comparison.project)
    answers = comparison.answers.exclude(verdict="").select_related("query__verdict__call", "query__label", "call")
    both = [answer for answer in answers.order_by("pk") if answer.query.document_id in truths]
    base = JudgeId(comparison.base_judge, comparison.base_model, comparison.base_prompt_version)
    other = JudgeId("anthropic", comparison.model, comparison.prompt_version)
    first = [_judged(base, answer.query, answer.query.verdict.verdict, truths) for answer in both]
    second = [_judged(other, answer.query, answer.verdict, truths) for answer in both]
    older = [a for a in both if a.query.verdict.definition_version != a.query.label.definition_version]
    return {
        "first": measured(first),
        "second": measured(second),
        "test": asdict(compare([_is_right(row) for row in first], [_is_right(row) for row in second])),
        "cost": {
            "first": "0" if base.judge == "neighbours" else _mean_cost(a.query.verdict.call for a in both),
            "second": _mean_cost(answer.call for answer in both),
        },
        "n_older": len(older),
        "n_failed": comparison.answers.exclude(failure="").count(),
    }


def _judged(judge: JudgeId, query: Query, verdict: str, truths: dict[int, int | None]) -> Judged:
    return Judged(judge, query.document_id, query.label_id, query.label_id == truths[query.document_id], verdict)


def _is_right(row: Judged) -> bool:
    return row.verdict == (Verdict.Name.VALID if row.right else Verdict.Name.INVALID)


def _mean_cost(calls: Iterable[Call | None]) -> str | None:
    costs = [call.cost for call in calls if call and call.cost is not None]
    return str(sum(costs, Decimal(0)) / len(costs)) if costs else None


def _tasks(comparison: Comparison) -> Iterator[Task[ComparedAnswer, Answer]]:
    """Each audit that waits for its answer, with the evidence as it was and the definitions as they are."""
    waiting = comparison.answers.filter(verdict="", failure="").select_related("query__document", "query__round")
    by_query = {answer.query_id: answer for answer in waiting.order_by("query__round", "query__label", "pk")}
    for round_, answers in groupby(by_query.values(), key=lambda answer: answer.query.round):
        queries = [_put_as(answer.query, comparison.question) for answer in answers]
        for query, question in questions(round_, queries):
            yield _task(comparison, by_query[query.pk], question)


def _put_as(query: Query, form: str) -> Query:
    """The same question in this form; the row, which is evidence, is never saved."""
    if form == Query.Form.CHOOSE and not query.offered:
        labels = [label_id for label_id, _ in query.candidates]
        best = list(dict.fromkeys([query.label_id, *labels]))[:N_OFFERED]
        query.offered = np.random.default_rng(query.pk).permutation(best).tolist()
    if form == Query.Form.VALIDATE:
        query.offered = []
    query.form = form
    return query


def _task(comparison: Comparison, answer: ComparedAnswer, question: Question) -> Task[ComparedAnswer, Answer]:
    def row() -> Call:
        return Call(project_id=comparison.project_id, label_id=answer.query.label_id, purpose=Call.Purpose.COMPARISON)

    return Task(answer, prompt(question), row, partial(read_answer, question=question))


def _ask(lease: Lease[Comparison], judge: AnthropicJudge) -> None:
    comparison = lease.job
    total = comparison.answers.count()
    done = total - comparison.answers.filter(verdict="", failure="").count()
    lease.report(Step.ASK, done, total)
    names = dict(comparison.project.labels.values_list("name", "pk"))
    sender = Sender[ComparedAnswer, Answer](judge.client, lease)
    with closing(sender.outcomes(_tasks(comparison))) as outcomes:
        for outcome in outcomes:
            with kept(lease, outcome):
                _record(outcome, names)
            done += 1
            lease.got_further()
            lease.report(Step.ASK, done, total)


def _record(outcome: Outcome[ComparedAnswer, Answer], labels: dict[str, int]) -> None:
    this = ComparedAnswer.objects.filter(pk=outcome.key.pk)
    if isinstance(outcome.result, JudgeError):
        this.update(failure=said_by(outcome.result), call=outcome.call)
        return
    answer = outcome.result
    this.update(
        verdict=answer.verdict,
        reason=answer.reason,
        better_label=labels.get(answer.better_label or ""),
        call=outcome.call,
    )
