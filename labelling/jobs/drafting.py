"""Draft definitions: find rivals and examples, forecast, ask, and keep every draft as it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import numpy as np
from django.utils import timezone

from classifiers.definitions import PROMPT_VERSION, ShownLabel, prompt, read_draft, rivals_of, telling_examples
from classifiers.definitions import Draft as Proposal
from classifiers.messages_api import JudgeError, MessagesClient, Prompt
from classifiers.subsets import label_centroids
from labelling.jobs.calls import Outcome, Paused, Sender, Task, kept
from labelling.jobs.forecasting import forecast
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.auditing import language_model
from labelling.jobs.vectors import Space
from labelling.models import Call, Document, Draft, Drafting, Label, TrainingExample
from labelling.models.sentences import said_by
from labelling.services import ledger

Step, State = Drafting.Step, Drafting.State

N_RIVALS = 4
N_EXAMPLES = 12
N_RIVAL_EXAMPLES = 4
# Of an answer, until this model has drafted before.
ASSUMED_OUTPUT_TOKENS = 350
NO_EXAMPLE = "The label has no example yet. Give it some, then try again."
CHUNK_ROWS = 500


def run(lease: Lease[Drafting]) -> None:
    """Take a drafting from wherever it is to the forecast, or, once a manager has agreed to that, to its end."""
    drafting = lease.job
    lease.report(Step.PREPARE)
    ledger.lose(_calls_in_flight(drafting), "The worker died before the answer came.")
    _prepare(lease)
    client = language_model(drafting.project, drafting.model).client
    if drafting.confirmed_at is None:
        expected = forecast(client, list(_tasks(drafting)), ASSUMED_OUTPUT_TOKENS)
        lease.finish(State.WAITING, forecast=expected)
        return
    try:
        _ask(lease, client)
    except Paused as reached:
        lease.finish(State.PAUSED, error=said_by(reached))
    else:
        lease.finish(State.DONE)


def _calls_in_flight(drafting: Drafting):
    # Of one project no two draftings are active.
    return Call.objects.filter(project=drafting.project, purpose=Call.Purpose.DEFINITION).in_flight()


def _prepare(lease: Lease[Drafting]) -> None:
    """Find the rivals and examples that each draft is made from, and keep them: a restart asks the same again."""
    waiting = list(_waiting(lease.job).filter(examples={}))
    if not waiting:
        return
    document_ids, X, y = _examples(lease)
    label_ids = np.unique(y)
    codes = np.searchsorted(label_ids, y)
    centroids = label_centroids(X, codes, len(label_ids)) if len(y) else np.empty((0, 0))
    rivals = rivals_of(centroids, N_RIVALS)

    def shown(code: int, others: np.ndarray, n: int) -> list[int]:
        members = np.flatnonzero(codes == code)
        return document_ids[members[telling_examples(X[members], centroids[code], centroids[others], n)]].tolist()

    for draft in waiting:
        draft.definition_version = draft.label.definition_version
        if draft.label_id not in label_ids:
            draft.state, draft.reason = Draft.State.FAILED, NO_EXAMPLE
            continue
        code = int(np.searchsorted(label_ids, draft.label_id))
        draft.rivals = label_ids[rivals[code]].tolist()
        draft.examples = {str(draft.label_id): shown(code, rivals[code], N_EXAMPLES)} | {
            str(label_ids[rival]): shown(rival, np.array([code]), N_RIVAL_EXAMPLES) for rival in rivals[code]
        }
    with lease.transaction():
        fields = ["definition_version", "state", "reason", "rivals", "examples"]
        Draft.objects.bulk_update(waiting, fields, batch_size=CHUNK_ROWS)


def _examples(lease: Lease[Drafting]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All training examples of the project's labels: document ids, vectors, label ids."""
    rows = TrainingExample.objects.filter(document__project=lease.job.project, label__isnull=False)
    space = Space.of(lease.job.project)
    for done, total in space.embed_missing(Document.objects.filter(example__in=rows)):
        lease.report(Step.PREPARE, done, total)
        if done:
            lease.got_further()
    found = list(rows.order_by("document_id").values_list("document_id", "label_id", "document__text_hash"))
    X = space.load([key for _, _, key in found])
    return np.array([row[0] for row in found], dtype=int), X, np.array([row[1] for row in found], dtype=int)


def _waiting(drafting: Drafting):
    return drafting.drafts.filter(state=Draft.State.WAITING).select_related("label").order_by("label__name")


def _questions(drafting: Drafting) -> Iterator[tuple[Draft, list[str], Prompt]]:
    """Each draft that waits, the names of its rivals, and what is asked for it."""
    labels = {label.pk: label for label in drafting.project.labels.all()}
    drafts = list(_waiting(drafting))
    wanted = {pk for draft in drafts for shown in draft.examples.values() for pk in shown}
    texts = _texts(sorted(wanted))

    def shown(draft: Draft, label: Label) -> ShownLabel:
        examples = [texts[pk] for pk in draft.examples.get(str(label.pk), []) if pk in texts]
        return ShownLabel(label.name, label.definition, examples)

    for draft in drafts:
        # A label that is gone meanwhile takes its own draft along, and is no rival any more.
        rivals = [shown(draft, labels[pk]) for pk in draft.rivals if pk in labels]
        asked = prompt(shown(draft, labels[draft.label_id]), rivals, drafting.project.task)
        yield draft, [rival.name for rival in rivals], asked


def _texts(document_ids: list[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for start in range(0, len(document_ids), CHUNK_ROWS):
        chunk = Document.objects.filter(pk__in=document_ids[start : start + CHUNK_ROWS])
        found.update(chunk.values_list("pk", "text"))
    return found


def _ask(lease: Lease[Drafting], client: MessagesClient) -> None:
    drafting = lease.job
    total = drafting.drafts.count()
    left = _waiting(drafting).count()
    lease.report(Step.ASK, total - left, total)
    with closing(Sender[Draft, Proposal](client, lease).outcomes(_tasks(drafting))) as outcomes:
        for outcome in outcomes:
            with kept(lease, outcome):
                _record(outcome)
            left -= 1
            lease.got_further()
            lease.report(Step.ASK, total - left, total)


def _tasks(drafting: Drafting) -> Iterator[Task[Draft, Proposal]]:
    for draft, rivals, asked in _questions(drafting):
        yield _task(draft, rivals, asked)


def _task(draft: Draft, rivals: list[str], asked: Prompt) -> Task[Draft, Proposal]:
    def row() -> Call:
        return Call(project_id=draft.label.project_id, label_id=draft.label_id, purpose=Call.Purpose.DEFINITION)

    return Task(draft, asked, row, partial(read_draft, rivals=rivals))


def _record(outcome: Outcome[Draft, Proposal]) -> None:
    """Keep the draft, or the reason why there is none; an older proposal for the label makes room."""
    this = Draft.objects.filter(pk=outcome.key.pk)
    if isinstance(outcome.result, JudgeError):
        this.update(state=Draft.State.FAILED, reason=said_by(outcome.result), call=outcome.call)
        return
    older = Draft.objects.filter(label=outcome.key.label_id, state=Draft.State.PROPOSED)
    older.update(state=Draft.State.REPLACED)
    this.update(
        state=Draft.State.PROPOSED,
        text=outcome.result.text,
        model=outcome.call.answered_by,
        prompt_version=PROMPT_VERSION,
        call=outcome.call,
        drafted_at=timezone.now(),
    )
