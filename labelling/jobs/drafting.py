"""Draft definitions: find rivals and examples, forecast, ask, and keep every draft as it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
from django.db.models import QuerySet
from django.utils import timezone

from classifiers.definitions import (
    NAMING_VERSION,
    PROMPT_VERSION,
    ShownLabel,
    naming_prompt,
    prompt,
    read_draft,
    read_naming,
    rivals_of,
    telling_examples,
)
from classifiers.definitions import Draft as Proposal
from classifiers.messages_api import JudgeError, MessagesClient, Prompt
from classifiers.subsets import label_centroids, unit_rows
from labelling.jobs.calls import Outcome, Paused, Sender, Task, kept
from labelling.jobs.forecasting import forecast
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.auditing import language_model
from labelling.jobs.vectors import Space
from labelling.models import Call, Document, Draft, Drafting, Label, ProposedLabel, TrainingExample
from labelling.models.sentences import Sentence as _
from labelling.models.sentences import said_by
from labelling.services import ledger, nowhere

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
    ledger.lose(_calls_in_flight(drafting), _("The worker died before the answer came."))
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


@dataclass(frozen=True)
class Examples:
    """Training examples row by row, and their labels.

    Attributes:
        document_ids: shape (n_examples,).
        X: unit vectors, shape (n_examples, n_dims).
        codes: positions in label_ids, shape (n_examples,).
        label_ids: sorted, each once.
        centroids: of the labels, shape (n_labels, n_dims).
    """

    document_ids: np.ndarray
    X: np.ndarray
    codes: np.ndarray
    label_ids: np.ndarray
    centroids: np.ndarray

    def shown(self, code: int, others: np.ndarray, n: int) -> list[int]:
        """The documents of a label that tell most about it beside other centroids."""
        members = np.flatnonzero(self.codes == code)
        return self.document_ids[members[telling_examples(self.X[members], self.centroids[code], others, n)]].tolist()


def _prepare(lease: Lease[Drafting]) -> None:
    """Find the rivals and examples that each draft is made from, and keep them: a restart asks the same again."""
    waiting = list(_waiting(lease.job).filter(examples={}, texts=[]))
    if not waiting:
        return
    examples = _examples(lease)
    rivals = rivals_of(examples.centroids, N_RIVALS)
    for draft in waiting:
        if draft.proposal:
            _prepare_naming(lease, draft, draft.proposal, examples)
        elif draft.label:
            _prepare_definition(draft, draft.label, examples, rivals)
    with lease.transaction():
        fields = ["definition_version", "state", "reason", "rivals", "examples", "texts"]
        Draft.objects.bulk_update(waiting, fields, batch_size=CHUNK_ROWS)


def _prepare_definition(draft: Draft, label: Label, examples: Examples, rivals: np.ndarray) -> None:
    draft.definition_version = label.definition_version
    if label.pk not in examples.label_ids:
        draft.state, draft.reason = Draft.State.FAILED, NO_EXAMPLE
        return
    code = int(np.searchsorted(examples.label_ids, label.pk))
    draft.rivals = examples.label_ids[rivals[code]].tolist()
    draft.examples = {str(label.pk): examples.shown(code, examples.centroids[rivals[code]], N_EXAMPLES)} | {
        str(examples.label_ids[rival]): examples.shown(rival, examples.centroids[[code]], N_RIVAL_EXAMPLES)
        for rival in rivals[code]
    }


def _prepare_naming(lease: Lease[Drafting], draft: Draft, proposal: ProposedLabel, examples: Examples) -> None:
    _embed(lease, proposal.documents.all())
    found = list(nowhere.texts(proposal).values_list("pk", "text_hash"))
    X = Space.of(lease.job.project).load([key for _, key in found])
    middle = unit_rows(X.mean(axis=0, keepdims=True))
    centroids = examples.centroids.reshape(-1, X.shape[1])
    rivals = np.argsort(-(centroids @ middle[0]), kind="stable")[:N_RIVALS]
    draft.texts = [found[row][0] for row in telling_examples(X, middle[0], centroids[rivals], N_EXAMPLES)]
    draft.rivals = examples.label_ids[rivals].tolist()
    draft.examples = {
        str(examples.label_ids[rival]): examples.shown(rival, middle, N_RIVAL_EXAMPLES) for rival in rivals
    }


def _examples(lease: Lease[Drafting]) -> Examples:
    """All training examples of the project's labels."""
    rows = TrainingExample.objects.filter(document__project=lease.job.project, label__isnull=False)
    _embed(lease, Document.objects.filter(example__in=rows))
    found = list(rows.order_by("document_id").values_list("document_id", "label_id", "document__text_hash"))
    X = Space.of(lease.job.project).load([key for _, _, key in found])
    document_ids, y = (np.array([row[column] for row in found], dtype=int) for column in (0, 1))
    label_ids = np.unique(y)
    codes = np.searchsorted(label_ids, y)
    centroids = label_centroids(X, codes, len(label_ids)) if len(y) else np.empty((0, 0))
    return Examples(document_ids, X, codes, label_ids, centroids)


def _embed(lease: Lease[Drafting], documents: QuerySet[Document]) -> None:
    for done, total in Space.of(lease.job.project).embed_missing(documents):
        lease.report(Step.PREPARE, done, total)
        if done:
            lease.got_further()


def _waiting(drafting: Drafting):
    waiting = drafting.drafts.filter(state=Draft.State.WAITING).select_related("label", "proposal")
    return waiting.order_by("label__name", "pk")


def _questions(drafting: Drafting) -> Iterator[tuple[Draft, list[str], Prompt]]:
    """Each draft that waits, the names of its rivals, and what is asked for it."""
    labels = {label.pk: label for label in drafting.project.labels.all()}
    drafts = list(_waiting(drafting))
    wanted = {pk for draft in drafts for shown in (draft.texts, *draft.examples.values()) for pk in shown}
    texts = _texts(sorted(wanted))

    def shown(draft: Draft, label: Label) -> ShownLabel:
        examples = [texts[pk] for pk in draft.examples.get(str(label.pk), []) if pk in texts]
        return ShownLabel(label.name, label.definition, examples)

    for draft in drafts:
        # A label that is gone meanwhile takes its own draft along, and is no rival any more.
        rivals = [shown(draft, labels[pk]) for pk in draft.rivals if pk in labels]
        if draft.proposal:
            own = [texts[pk] for pk in draft.texts if pk in texts]
            asked = naming_prompt(own, rivals, drafting.project.task)
        else:
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
        yield _task(drafting, draft, rivals, asked)


def _task(drafting: Drafting, draft: Draft, rivals: list[str], asked: Prompt) -> Task[Draft, Proposal]:
    def row() -> Call:
        return Call(project_id=drafting.project_id, label_id=draft.label_id, purpose=Call.Purpose.DEFINITION)

    return Task(draft, asked, row, partial(read_naming if draft.proposal else read_draft, rivals=rivals))


def _record(outcome: Outcome[Draft, Proposal]) -> None:
    """Keep the draft, or the reason why there is none; an older proposal for the label makes room."""
    this = Draft.objects.filter(pk=outcome.key.pk)
    if isinstance(outcome.result, JudgeError):
        this.update(state=Draft.State.FAILED, reason=said_by(outcome.result), call=outcome.call)
        return
    proposal, drafted = outcome.key.proposal, outcome.result
    if proposal:
        proposals = nowhere.waiting(proposal.project).filter(pk=proposal.pk)
        proposals.update(name=drafted.name, definition=drafted.text)
    else:
        older = Draft.objects.filter(label=outcome.key.label_id, state=Draft.State.PROPOSED)
        older.update(state=Draft.State.REPLACED)
    this.update(
        state=Draft.State.PROPOSED,
        name=drafted.name,
        text=drafted.text,
        model=outcome.call.answered_by,
        prompt_version=NAMING_VERSION if proposal else PROMPT_VERSION,
        call=outcome.call,
        drafted_at=timezone.now(),
    )
