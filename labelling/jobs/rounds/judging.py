"""Ask the judge about each query; keep every verdict as it arrives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from django.conf import settings

from classifiers.judge import Answer, Example, Judge, JudgeError, JudgeUnavailable, Question, Rival, make_judge
from labelling.jobs.lease import JobFailed, Lease
from labelling.models import Document, JudgeFailure, Label, Query, Round, Verdict

Step = Round.Step

N_RIVALS = 4
# Queries whose questions are put together at a time: their examples' texts are held in memory.
CHUNK_QUERIES = 200


def ask_judge(lease: Lease[Round]) -> None:
    """Get a verdict, or the reason why there is none, for each query that has neither.

    Raises:
        JobFailed: when the judge can't answer anything until somebody acts.
    """
    round_ = lease.job
    judge = make_judge(
        round_.settings["judge"], round_.settings["judge_model"] or settings.JUDGE_MODEL, settings.JUDGE_BASE_URL
    )
    labels = {label.pk: label for label in round_.project.labels.all()}
    unanswered = round_.queries.filter(verdict=None, judge_failure=None)
    # What has its label meanwhile needs no verdict, and one that comes after the decision would prove nothing.
    queries = list(unanswered.filter(document__example=None).select_related("document").order_by("rank"))
    total = round_.queries.count()
    done = total - len(queries)
    lease.report(Step.JUDGE, done, total)
    for start in range(0, len(queries), CHUNK_QUERIES):
        questions = _questions(round_, queries[start : start + CHUNK_QUERIES], labels)
        for query, outcome in _outcomes(judge, questions):
            with lease.transaction():
                _record(query, outcome, judge, labels)
            done += 1
            lease.got_further()
            lease.report(Step.JUDGE, done, total)


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


def _record(query: Query, outcome: Answer | JudgeError, judge: Judge, labels: dict[int, Label]) -> None:
    if isinstance(outcome, JudgeError):
        JudgeFailure.objects.create(query=query, reason=str(outcome))
        return
    by_name = {label.name: label for label in labels.values()}
    Verdict.objects.create(
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
                rivals=[
                    Rival(labels[label_id].name, labels[label_id].definition)
                    for label_id, _ in query.candidates[1 : 1 + N_RIVALS]
                ],
                examples=examples(query.examples),
                neighbours=examples(query.neighbours),
            ),
        )
        for query in queries
    ]
