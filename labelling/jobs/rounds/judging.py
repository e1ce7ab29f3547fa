"""Ask the judge about each query; keep every verdict as it arrives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from django.conf import settings

from classifiers.judge import Answer, Example, Judge, JudgeError, JudgeUnavailable, Question, Rival
from classifiers.reliability import Reliability
from labelling.jobs.lease import JobFailed, Lease
from labelling.jobs.rounds.auditing import ASSUMED, all_rates, judge_of
from labelling.jobs.rounds.believing import Further, believe_verdict
from labelling.models import Document, JudgeFailure, Label, Query, Round, Verdict
from labelling.services.audits import JudgeId

Step = Round.Step

N_RIVALS = 4
# A refused label leads to the next while its verdict is expected to tell so many nats, at most so many in a row.
DELEGATION_FLOOR = 0.05
MAX_IN_A_ROW = 3
# Queries whose questions are put together at a time: their examples' texts are held in memory.
CHUNK_QUERIES = 200


def ask_judge(lease: Lease[Round]) -> None:
    """Get a verdict, or the reason why there is none, for each query that has neither.

    A label that the judge refuses leads to the next question about the same document.

    Raises:
        JobFailed: when the judge can't answer anything until somebody acts.
    """
    round_ = lease.job
    judge = judge_of(round_)
    labels = {label.pk: label for label in round_.project.labels.all()}
    rates = all_rates(round_)
    while queries := _unanswered(round_):
        total = round_.queries.count()
        done = total - len(queries)
        for start in range(0, len(queries), CHUNK_QUERIES):
            questions = _questions(round_, queries[start : start + CHUNK_QUERIES], labels)
            for query, outcome in _outcomes(judge, questions):
                with lease.transaction():
                    total += _record(query, outcome, judge, labels, rates)
                done += 1
                lease.got_further()
                lease.report(Step.JUDGE, done, total)


def _unanswered(round_: Round) -> list[Query]:
    """Queries to ask, best first.

    What has its label meanwhile needs no verdict, and one that comes after the decision would prove nothing.
    """
    unanswered = round_.queries.filter(verdict=None, judge_failure=None, document__example=None)
    return list(unanswered.select_related("document").order_by("rank", "pk"))


def _outcomes(judge: Judge, questions: list[tuple[Query, Question]]) -> Iterator[tuple[Query, Answer | JudgeError]]:
    """Ask side by side and yield in the order of the answers."""
    with ThreadPoolExecutor(settings.JUDGE_CONCURRENCY, thread_name_prefix="judge") as pool:
        asked = {pool.submit(judge.ask, question): query for query, question in questions}
        unavailable: BaseException | None = None
        try:
            for future in as_completed(asked):
                if future.cancelled():
                    continue
                if isinstance(future.exception(), JudgeUnavailable):
                    # Ask nothing more, but keep the answers that are there or on their way: they were paid for.
                    unavailable = future.exception()
                    _cancel(asked)
                else:
                    yield asked[future], _outcome(future)
        finally:
            _cancel(asked)
    if unavailable:
        raise JobFailed(str(unavailable)) from unavailable


def _cancel(asked: Iterable[Future[Answer]]) -> None:
    for future in asked:
        future.cancel()


def _outcome(future: Future[Answer]) -> Answer | JudgeError:
    try:
        return future.result()
    except JudgeError as error:
        return error


def _record(
    query: Query,
    outcome: Answer | JudgeError,
    judge: Judge,
    labels: dict[int, Label],
    rates: dict[JudgeId, Reliability],
) -> int:
    """Keep the verdict, what it makes of the belief in the document's labels, and the next question: all or nothing.

    Returns how many questions were added.
    """
    if isinstance(outcome, JudgeError):
        JudgeFailure.objects.create(query=query, reason=str(outcome))
        return 0
    by_name = {label.name: label for label in labels.values()}
    verdict = Verdict.objects.create(
        query=query,
        verdict=outcome.verdict,
        reason=outcome.reason,
        better_label=by_name.get(outcome.better_label or ""),
        judge=judge.name,
        model=outcome.model,
        prompt_version=judge.prompt_version,
        definition_version=labels[query.label_id].definition_version,
        request_id=outcome.request_id,
        input_tokens=outcome.input_tokens,
        output_tokens=outcome.output_tokens,
    )
    who = JudgeId(verdict.judge, verdict.model, verdict.prompt_version)
    further = believe_verdict(verdict, rates.get(who, ASSUMED))
    if further and verdict.verdict == Verdict.Name.INVALID and further.gain >= DELEGATION_FLOOR:
        return _delegate(query, further)
    return 0


def _delegate(query: Query, further: Further) -> int:
    """Ask about the next label at once, at most so often in a row; return how many questions that are."""
    in_a_row = Query.objects.filter(round=query.round_id, document=query.document_id)
    if in_a_row.count() >= MAX_IN_A_ROW:
        return 0
    Query.objects.create(
        round_id=query.round_id,
        document_id=query.document_id,
        label_id=further.label_id,
        rank=query.rank,
        reason=Query.Reason.DELEGATED,
        probability=dict(query.candidates)[further.label_id],
        posterior=further.posterior,
        gain=further.gain,
        entropy=query.entropy,
        candidates=query.candidates,
        examples=query.examples,
        neighbours=query.neighbours,
    )
    return 1


def _questions(round_: Round, queries: list[Query], labels: dict[int, Label]) -> list[tuple[Query, Question]]:
    shown = {row[0] for query in queries for row in (*query.examples, *query.neighbours)}
    texts = dict(Document.objects.filter(pk__in=shown).values_list("pk", "text"))

    def examples(evidence: list) -> list[Example]:
        return [
            Example(texts[document_id], labels[label_id].name if label_id else None, similarity)
            for document_id, label_id, similarity in evidence
            if document_id in texts
        ]

    return [
        (
            query,
            Question(
                text=query.document.text,
                label=labels[query.label_id].name,
                definition=labels[query.label_id].definition,
                task=round_.project.task,
                rivals=[Rival(labels[label_id].name, labels[label_id].definition) for label_id in _rivals(query)],
                examples=examples(query.compared_examples),
                neighbours=examples(query.neighbours),
            ),
        )
        for query in queries
    ]


def _rivals(query: Query) -> list[int]:
    return [label_id for label_id, _ in query.candidates if label_id != query.label_id][:N_RIVALS]
