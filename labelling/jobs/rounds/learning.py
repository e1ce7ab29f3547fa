"""Embed, fit, predict: documents to vectors to candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Count, Q

from classifiers import spreading
from classifiers.candidates import Candidates
from classifiers.embeddings import in_full
from classifiers.ensemble import N_CANDIDATES
from classifiers.evaluation import score
from classifiers.loop.believing import Factors
from classifiers.red_classifier import FULL_FIT_GROWTH, RedClassifier, candidates_of_block
from classifiers.subset_classifier import NOISE
from classifiers.trees import NOWHERE
from classifiers.trees import right_by_level as counted_by_level
from labelling.jobs import vectors
from labelling.jobs.lease import JobFailed, Lease
from labelling.jobs.rounds.auditing import is_new, measure_judge
from labelling.jobs.rounds.believing import Believed, as_fields, believe
from labelling.jobs.rounds.changes import Top, changes
from labelling.jobs.rounds.memory import Memory, recall
from labelling.jobs.rounds.paths import paths, tree_of
from labelling.jobs.rounds.revising import among_successors
from labelling.models import Centre, Document, Label, Prediction, Round, TrainingExample
from labelling.models.compact import DIGITS
from labelling.models.sentences import Sentence as _
from labelling.services.audits import off_list_counts
from labelling.services.inserting import replace

Step = Round.Step

CHUNK_PREDICTIONS = 2_000
# Documents predicted at a time: their texts are in memory.
CHUNK_TEXTS = 4_096
# Documents looked up at a time: SQLite takes a limited number of variables in a query.
CHUNK_IDS = 500
# Of a prediction; where those that are compared are the same, it stays as it is.
COMPARED = ("candidates", "belief", "path", "gain")
COLUMNS = (
    "document_id",
    "round_id",
    "label_id",
    "probability",
    "entropy",
    "posterior",
    "posterior_label_id",
    *COMPARED,
)
PACKED: dict[str, Any] = {name: Prediction._meta.get_field(name) for name in ("candidates", "belief", "path")}


@dataclass(frozen=True)
class Learnt:
    """The fitted classifiers and what they learnt from.

    Attributes:
        memory: the fitted model and which label each of its codes stands for.
        example_ids: the TrainingExample rows, in the order of X.
        document_ids: their documents.
        X: their vectors, shape (n_examples, n_dims).
        y: their label codes, NOISE for none of the labels, shape (n_examples,).
        space: where the vectors come from.
    """

    memory: Memory
    example_ids: list[int]
    document_ids: list[int]
    X: np.ndarray
    y: np.ndarray
    space: vectors.Space

    @property
    def label_ids(self) -> list[int]:
        return self.memory.label_ids


@dataclass(frozen=True)
class Predicted:
    """Documents as the classifiers see them, and what the judge's verdicts make of it.

    Attributes:
        document_ids: n documents.
        X: their vectors, shape (n, n_dims).
        candidates: their best labels.
        labels: the candidates' label ids, shape (n, k).
        factors: what makes labels as common as they are in the pool, by code.
        believed: how probable they are after all verdicts.
    """

    document_ids: list[int]
    X: np.ndarray
    candidates: Candidates
    labels: np.ndarray
    factors: Factors
    believed: Believed


def embed_texts(lease: Lease[Round]) -> None:
    """Give every text of the project its vector, and the project what is taken off them."""
    project = lease.job.project
    space = vectors.Space.of(project)
    for done, total in space.embed_missing(project.documents.all()):
        if done:
            lease.got_further()
        lease.report(Step.EMBED, done, total)
    if centres := vectors.new_centres(project, space):
        with lease.transaction():
            keep_centres(centres)


def keep_centres(centres: list[Centre]) -> None:
    """Store what is taken off a project's vectors, in the place of what was."""
    Centre.objects.bulk_create(
        centres,
        update_conflicts=True,
        unique_fields=["project", "encoder"],
        update_fields=["n_texts", "vector"],
    )


def fit(lease: Lease[Round]) -> Learnt:
    """Learn all training examples, and note on the round what that took."""
    learnt = learn(lease, Step.FIT)
    model = learnt.memory.model
    lease.update(
        training_examples=len(learnt.y),
        labels_learned=len(learnt.label_ids),
        experts=model.n_experts_,
        experts_fitted=model.n_fitted_,
    )
    return learnt


def learn(lease: Lease[Round], step: str) -> Learnt:
    """Learn the training examples of all leaves: what has changed since the last fit that is remembered, or everything.

    What is labelled with a parent could belong to any label below it, and teaches none of them.
    """
    round_ = lease.job
    space = vectors.Space.of(round_.project)
    labels = {label.pk: label for label in round_.project.labels.leaves()}
    rows: list[Any] = list(
        TrainingExample.objects.filter(document__project=round_.project, document__holdout=False)
        .filter(Q(label=None) | Q(label__in=round_.project.labels.leaves()))
        .filter(space.has_vector("document__text_hash"))
        .order_by("document_id")
        .values_list("pk", "document_id", "label_id", "document__text_hash")
    )
    example_ids, document_ids, example_labels, hashes = ([row[column] for row in rows] for column in range(4))
    if len(labels) < 2:
        raise JobFailed(
            _("At least two labels are needed before a round can learn. Import labels or labelled texts first.")
        )
    wanted = _wanted_model(round_)
    # What a new judge is tried on is predicted as if it had not been learnt, which a stored model can't.
    last = None if is_new(round_) else _usable(recall(round_.project), wanted, space, set(labels), len(rows))
    # New labels come after those that the last round knew, so that its classifiers keep theirs.
    label_ids = [*last.label_ids, *sorted(labels.keys() - set(last.label_ids))] if last else sorted(labels)
    codes = {label_id: code for code, label_id in enumerate(label_ids)}
    of_labels = described([labels[label_id] for label_id in label_ids], space)
    X = space.load(hashes) if hashes else of_labels["names"][:0]
    texts = np.array(texts_of(document_ids), dtype=object)
    y = np.array([NOISE if label_id is None else codes[label_id] for label_id in example_labels], dtype=int)
    learning: dict[str, Any] = {
        "elsewhere": X[y == NOISE],
        "classes": np.arange(len(label_ids)),
        **of_labels,
        "texts": texts[y != NOISE],
        "elsewhere_texts": texts[y == NOISE],
        "progress": lambda done, total: lease.report(step, done, total),
    }
    model = last.model if last else wanted
    if last:
        model.refit(X[y != NOISE], y[y != NOISE], **learning)
    else:
        if len(y) < model.self_training * len(label_ids):
            learning |= _pool(round_, space)
        model.fit(X[y != NOISE], y[y != NOISE], **learning)
    n_full = last.n_examples if last else len(rows)
    memory = Memory(model, label_ids, space.name, n_full, round_.number, space.model, space.centres)
    return Learnt(memory, example_ids, document_ids, X, y, space)


def _wanted_model(round_: Round) -> RedClassifier:
    return RedClassifier(
        subset_size=round_.settings["subset_size"],
        noise_ratio=round_.settings["noise_ratio"],
        combination=round_.settings["combination"],
        random_state=round_.settings["random_seed"],
    )


def _usable(
    memory: Memory | None, wanted: RedClassifier, space: vectors.Space, known: set[int], n_examples: int
) -> Memory | None:
    """The last round's model, unless all has to be fitted anew: other settings, a label gone, many new examples."""
    if memory is None or n_examples >= FULL_FIT_GROWTH * memory.n_examples:
        return None
    same = memory.has_learnt_in(space) and _parameters(memory.model) == _parameters(wanted)
    return memory if same and known.issuperset(memory.label_ids) else None


def _parameters(model: RedClassifier) -> dict[str, object]:
    return model.get_params() | {"experts": sorted(model.experts)}


def described(labels: Sequence[Label], space: vectors.Space) -> dict[str, Any]:
    """What labels are called and how they are defined: what is learnt of those with few examples, or none."""
    texts = [in_full(label.name, label.definition) for label in labels]
    names, definitions = (space.of_names(some) for some in ([label.name for label in labels], texts))
    definitions[[not label.definition for label in labels]] = 0.0
    return {"names": names, "definitions": definitions, "label_texts": texts}


def _pool(round_: Round, space: vectors.Space) -> dict[str, Any]:
    pool = round_.project.documents.filter(space.has_vector()).pool()
    rows = pool.values_list("text_hash", "text")
    hashes, texts = ([row[column] for row in rows] for column in (0, 1))
    return {"pool": space.load(hashes), "pool_texts": texts}


def texts_of(document_ids: list[int]) -> list[str]:
    """Return the documents' texts, in the order asked for."""
    return _looked_up(document_ids, "text")


def hashes_of(document_ids: list[int]) -> list[str]:
    """Return the hashes of the documents' texts, in the order asked for."""
    return _looked_up(document_ids, "text_hash")


def _looked_up(document_ids: list[int], column: str) -> list[str]:
    found: dict[int, str] = {}
    for start in range(0, len(document_ids), CHUNK_IDS):
        chunk = Document.objects.filter(pk__in=document_ids[start : start + CHUNK_IDS])
        found.update(chunk.values_list("pk", column))
    return [found[pk] for pk in document_ids]


def find_candidates(learnt: Learnt, document_ids: list[int], X: np.ndarray, k: int) -> Candidates:
    """The documents' best labels; X are their vectors, shape (n, n_dims)."""
    chunks = (slice(start, start + CHUNK_TEXTS) for start in range(0, len(document_ids), CHUNK_TEXTS))
    blocks = ((X[rows], k, texts_of(document_ids[rows])) for rows in chunks)
    parts = list(spreading.each(candidates_of_block, learnt.memory.model, blocks))
    return Candidates.joined(parts, min(k, len(learnt.label_ids)))


def predict(lease: Lease[Round], learnt: Learnt) -> Predicted:
    """Predict pool and holdout, replace their predictions, and score the holdout."""
    round_ = lease.job
    documents = round_.project.documents.filter(learnt.space.has_vector())
    pool = list(documents.pool().values_list("pk", "text_hash"))
    holdout = list(documents.filter(holdout=True).values_list("pk", "text_hash", "given_label_id"))
    total = len(pool) + len(holdout)
    lease.report(Step.PREDICT, 0, total)
    measure_judge(lease)
    predicted = _predict(round_, learnt, pool)
    # The holdout was drawn like the examples, so its labels are as common as theirs.
    as_learnt = Factors(predicted.factors.none, np.ones(len(learnt.label_ids)))
    measured = _predict(round_, learnt, [row[:2] for row in holdout], as_learnt)
    if not round_.changes:
        # Before the last round's predictions are replaced; what a killed worker has found is kept.
        truths = [row[2] for row in holdout]
        lease.update(changes=changes(round_, top_labels(predicted), top_labels(measured), truths))
    _store(lease, predicted, done=0, total=total)
    _store(lease, measured, done=len(pool), total=total)
    lease.update(
        pool=len(pool),
        factors=_stored(learnt, predicted.factors),
        expected=_expected(predicted),
        unlabelled_at_import=documents.filter(holdout=False, given_source="").count(),
        holdout_by_level=right_by_level(round_, measured, [row[2] for row in holdout]),
        **holdout_score(learnt, measured.candidates, [row[2] for row in holdout]),
    )
    return predicted


def _predict(
    round_: Round, learnt: Learnt, documents: list[tuple[int, str]], factors: Factors | None = None
) -> Predicted:
    """Predict documents; without factors they are the pool that those are learnt from."""
    document_ids = [pk for pk, _ in documents]
    X = learnt.space.load([key for _, key in documents])
    found = find_candidates(learnt, document_ids, X, N_CANDIDATES)
    found = among_successors(round_.project, document_ids, learnt.label_ids, found)
    factors = factors or _factors(round_, learnt, found)
    labels = np.array(learnt.label_ids)[found.labels]
    believed = believe(round_, document_ids, labels, factors.prior(found.probabilities, found.labels))
    return Predicted(document_ids, X, found, labels, factors, believed)


def _factors(round_: Round, learnt: Learnt, found: Candidates) -> Factors:
    n_labels = len(learnt.label_ids)
    from_pool = TrainingExample.objects.filter(
        document__project=round_.project, document__given_source="", label__isnull=False
    )
    counted = dict(from_pool.order_by().values_list("label").annotate(Count("pk")))
    return Factors.of(
        found.probabilities,
        found.labels,
        np.bincount(learnt.y[learnt.y != NOISE], minlength=n_labels),
        np.array([counted.get(label_id, 0) for label_id in learnt.label_ids]),
        off_list_counts(round_.project),
    )


def _stored(learnt: Learnt, factors: Factors) -> dict[str, Any]:
    by_label = zip(learnt.label_ids, factors.labels.tolist(), strict=True)
    return {"none": factors.none, "labels": {str(label_id): round(factor, 6) for label_id, factor in by_label}}


def _expected(predicted: Predicted) -> dict[str, float]:
    """How many of the documents are expected to belong to each label: the beliefs in it, added up."""
    label_ids, column = np.unique(predicted.labels, return_inverse=True)
    added = np.bincount(column.ravel(), weights=predicted.believed.belief[:, :-1].ravel(), minlength=len(label_ids))
    return {str(label_id): round(n, 1) for label_id, n in zip(label_ids.tolist(), added.tolist(), strict=True)}


def top_labels(predicted: Predicted) -> list[Top]:
    """The most probable label of each document, with its probability."""
    columns = (
        predicted.document_ids,
        predicted.labels[:, 0].tolist(),
        predicted.candidates.probabilities[:, 0].tolist(),
    )
    return [Top(*row) for row in zip(*columns, strict=True)]


def _store(lease: Lease[Round], predicted: Predicted, done: int, total: int) -> None:
    candidates, believed = predicted.candidates, predicted.believed
    tree = tree_of(lease.job.project)
    for start in range(0, len(predicted.document_ids), CHUNK_PREDICTIONS):
        chunk = slice(start, start + CHUNK_PREDICTIONS)
        columns = zip(
            predicted.document_ids[chunk],
            predicted.labels[chunk].tolist(),
            candidates.probabilities[chunk].tolist(),
            candidates.entropy[chunk].tolist(),
            believed.belief[chunk].tolist(),
            believed.gain[chunk].tolist(),
            paths(tree, predicted.labels[chunk], believed.belief[chunk, :-1]),
            strict=True,
        )
        rows = [
            _row(
                document_id=document_id,
                round_id=lease.job.pk,
                label_id=labels[0],
                probability=probabilities[0],
                entropy=entropy,
                candidates=listed(labels, probabilities),
                **as_fields(labels, belief, gain, path),
            )
            for document_id, labels, probabilities, entropy, belief, gain, path in columns
        ]
        with lease.transaction():
            replace(Prediction, COLUMNS, rows, key="document_id", compared=COMPARED)
        lease.report(Step.PREDICT, done + start + len(rows), total)


def _row(**told: Any) -> list[Any]:
    """A prediction as the database takes it, in the order of COLUMNS."""
    told |= {name: column.pack(told[name]) for name, column in PACKED.items()}
    return [told[name] for name in COLUMNS]


def listed(labels: list[int], probabilities: list[float]) -> list[list[float]]:
    """Pair label ids with probabilities for storing; beliefs start from them."""
    return [[label, round(probability, DIGITS)] for label, probability in zip(labels, probabilities, strict=True)]


def holdout_score(learnt: Learnt, candidates: Candidates, given_label_ids: list[int | None]) -> dict[str, float | None]:
    """How well the classifiers agree with the labels that the holdout came with, as a Round stores it."""
    codes: dict[int | None, int] = {label_id: code for code, label_id in enumerate(learnt.label_ids)}
    # What the classifiers have never seen can't be right: each such label has a code of its own below zero.
    known = np.array([codes.setdefault(label_id, -2 - len(codes)) for label_id in given_label_ids], dtype=int)
    result = score(known, candidates.labels[:, 0]) if len(known) else None
    return {
        "holdout_size": result.n if result else 0,
        "holdout_accuracy": result.accuracy if result else None,
        "holdout_macro_f1": result.macro_f1 if result else None,
    }


def right_by_level(round_: Round, measured: Predicted, given_label_ids: list[int | None]) -> list[tuple[int, int]]:
    """For each level of the tree: how often the predicted label lies under the true one, of how many; else nothing."""
    tree = tree_of(round_.project)
    if tree is None or not given_label_ids:
        return []
    true = np.array([NOWHERE if label_id is None else label_id for label_id in given_label_ids])
    return counted_by_level(tree, true, measured.labels[:, 0])
