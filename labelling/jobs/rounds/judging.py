"""Ask the judge about each query; keep every verdict as it arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from django.db.models import Q, QuerySet

from classifiers.judge import Answer, AnthropicJudge, Judge, JudgeError, JudgeUnavailable, Question
from classifiers.judge.prompt import prompt, read_answer
from classifiers.loop.asking import delegates, tells_something
from classifiers.messages_api import Reply
from classifiers.reliability import Reliability
from labelling.jobs.batches import BatchSender
from labelling.jobs.calls import Outcome, Paused, Sender, Task, kept, look
from labelling.jobs.lease import JobFailed, Lease
from labelling.jobs.rounds.auditing import ASSUMED, all_rates, judge_of, measure_judge, present_judge
from labelling.jobs.rounds.believing import Further, believe_verdict
from labelling.jobs.rounds.questions import questions
from labelling.models import Call, JudgeFailure, Query, Round, Verdict
from labelling.models.sentences import Sentence as _
from labelling.models.sentences import said_by
from labelling.services import ledger
from labelling.services.audits import JudgeId

Step = Round.Step


def ask_judge(lease: Lease[Round]) -> Paused | None:
    """Get a verdict, or the reason why there is none, for each query that has neither.

    A label that the judge refuses leads to the next question about the same document.

    Returns:
        Why the round pauses before all is asked; None when it does not.

    Raises:
        JobFailed: when the judge can't answer anything until somebody acts.
    """
    judge = judge_of(lease.job)
    # The worker that made them is gone: nobody will ever hear what came of them. Batches can still be asked for.
    lost = Call.objects.filter(round=lease.job, batch=None)
    ledger.lose(lost, _("The worker stopped while this call was in flight."))
    record = _Recorder(lease, judge)
    try:
        if isinstance(judge, AnthropicJudge):
            # Also where batches are not wanted any more: they are paid for.
            earlier: BatchSender[Query, Answer] = BatchSender(judge.client, lease)
            with closing(earlier.collected(tasks(lease.job, unanswered(lease.job)))) as found:
                for outcome in found:
                    record.outcome(outcome)
        while queries := record.next_questions():
            if isinstance(judge, AnthropicJudge):
                _ask_by_call(lease, judge, queries, record)
            else:
                _ask_here(lease, judge, queries, record)
    except Paused as reason:
        return reason
    return None


def asked(round_: Round) -> QuerySet[Query]:
    """The round's questions to the judge: when it is asked again, those for people alone are there, too."""
    return round_.queries.exclude(reason__in=Query.UNASKED)


def unanswered(round_: Round) -> list[Query]:
    """Queries to ask, ordered by label: the judge's provider caches what those of one label share.

    What has its label meanwhile needs no verdict, and one that comes after the decision would prove nothing.
    """
    waiting = asked(round_).filter(verdict=None, judge_failure=None)
    waiting = waiting.filter(Q(document__example=None) | Q(reason=Query.Reason.TRIAL))
    return list(waiting.select_related("document").order_by("label", "rank", "pk"))


def tasks(round_: Round, queries: list[Query]) -> Iterator[Task[Query, Answer]]:
    """The queries' questions as they are sent, each with its line for the ledger."""
    for query, question in questions(round_, queries):
        yield Task(query, prompt(question), partial(_row, query), _reader(question))


def _row(query: Query) -> Call:
    return Call(
        project_id=query.round.project_id,
        round_id=query.round_id,
        query=query,
        label_id=query.label_id,
        purpose=Call.Purpose.VERDICT,
    )


def _reader(question: Question) -> Callable[[Reply], Answer]:
    return lambda reply: read_answer(reply, question)


def _ask_by_call(lease: Lease[Round], judge: AnthropicJudge, queries: list[Query], record: _Recorder) -> None:
    in_batches = lease.job.settings.get("use_batches", False)
    sender: Sender[Query, Answer] | BatchSender[Query, Answer]
    sender = BatchSender(judge.client, lease) if in_batches else Sender(judge.client, lease)
    # Closed at once when something is raised: calls on their way are written down then.
    with closing(sender.outcomes(tasks(lease.job, queries))) as outcomes:
        for outcome in outcomes:
            record.outcome(outcome)


def _ask_here(lease: Lease[Round], judge: Judge, queries: list[Query], record: _Recorder) -> None:
    """Ask a judge that costs nothing and answers at once."""
    for query, question in questions(lease.job, queries):
        look(lease)
        result: Answer | JudgeError
        try:
            result = judge.ask(question)
        except JudgeError as error:
            result = error
        except JudgeUnavailable as error:
            raise JobFailed(said_by(error)) from error
        record.result(query, result)


class _Recorder:
    """Keeps verdicts: each with what it makes of the belief in the document's labels, and the next question."""

    def __init__(self, lease: Lease[Round], judge: Judge):
        self.lease, self.judge = lease, judge
        self.by_name = {label.name: label for label in lease.job.project.labels.all()}
        self.rates: dict[JudgeId, Reliability] = all_rates(lease.job)
        self.total = asked(lease.job).count()
        self.done = self.total - len(unanswered(lease.job))

    def next_questions(self) -> list[Query]:
        """What is asked next: a trial first and alone, and nothing more where it says that answers would tell nothing.

        What the trial says counts from its end on.
        """
        round_ = self.lease.job
        queries = unanswered(round_)
        trial = [query for query in queries if query.reason == Query.Reason.TRIAL]
        if trial or not round_.queries.filter(reason=Query.Reason.TRIAL).exists():
            return trial or queries
        self.rates = measure_judge(self.lease)
        rates = self.rates.get(present_judge(round_), ASSUMED).of(round_.question)
        if tells_something(rates, round_.question):
            return queries
        Query.objects.filter(pk__in=[query.pk for query in queries]).delete()
        return []

    def outcome(self, outcome: Outcome[Query, Answer]) -> None:
        """Record what came of a call, and the call, both or neither."""
        with kept(self.lease, outcome):
            self.total += self._record(outcome.key, outcome.result, outcome.call)
        self._report()

    def result(self, query: Query, result: Answer | JudgeError) -> None:
        """Record what a judge said that costs nothing."""
        with self.lease.transaction():
            self.total += self._record(query, result, None)
        self._report()

    def _report(self) -> None:
        self.done += 1
        self.lease.got_further()
        self.lease.report(Step.JUDGE, self.done, self.total)

    def _record(self, query: Query, result: Answer | JudgeError, call: Call | None) -> int:
        """Return how many questions were added."""
        if isinstance(result, JudgeError):
            JudgeFailure.objects.create(query=query, reason=said_by(result))
            return 0
        verdict = Verdict.objects.create(
            query=query,
            verdict=result.verdict,
            reason=result.reason,
            better_label=self.by_name.get(result.better_label or ""),
            judge=self.judge.name,
            model=result.model,
            prompt_version=self.judge.prompt_version,
            definition_version=query.label.definition_version,
            request_id=result.request_id,
            input_tokens=result.input_tokens,
            output_tokens=result.output_tokens,
            call=call,
        )
        further = believe_verdict(verdict, self.rates)
        refused = verdict.verdict == Verdict.Name.INVALID and query.form == Query.Form.VALIDATE
        return _delegate(query, further) if further and refused else 0


def _delegate(query: Query, further: Further) -> int:
    """Ask about the next label at once, as long as that pays; return how many questions that are."""
    in_a_row = Query.objects.filter(round=query.round_id, document=query.document_id)
    if not delegates(further.gain, in_a_row.exclude(reason__in=Query.UNASKED).count()):
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
        near_duplicates=query.near_duplicates,
    )
    return 1
