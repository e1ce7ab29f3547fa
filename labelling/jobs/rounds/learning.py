"""Embed, fit, predict: documents to vectors to candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from django.conf import settings

from classifiers.candidates import Candidates
from classifiers.ensemble import N_CANDIDATES
from classifiers.evaluation import score
from classifiers.posterior import none_factor
from classifiers.red_classifier import FULL_FIT_GROWTH, RedClassifier
from classifiers.subset_classifier import NOISE
from labelling.jobs import vectors
from labelling.jobs.lease import JobFailed, Lease
from labelling.jobs.rounds.auditing import measure_judge
from labelling.jobs.rounds.believing import Believed, as_fields, believe
from labelling.jobs.rounds.changes import Top, changes
from labelling.jobs.rounds.memory import Memory, recall
from labelling.models import Prediction, Round, TrainingExample
from labelling.services.audits import none_counts

Step = Round.Step

CHUNK_PREDICTIONS = 2_000


@dataclass(frozen=True)
class Learnt:
    """The fitted classifiers and what they learnt from.

    Attributes:
        memory: the fitted model and which label each of its codes stands for.
        example_ids: the TrainingExample rows, in the order of X.
        document_ids: their documents.
        X: their vectors, shape (n_examples, n_dims).
        y: their label codes, NOISE for none of the labels, shape (n_examples,).
    """

    memory: Memory
    example_ids: list[int]
    document_ids: list[int]
    X: np.ndarray
    y: np.ndarray

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
        none_factor: what audits made of the odds of "none of these".
        believed: how probable they are after all verdicts.
    """

    document_ids: list[int]
    X: np.ndarray
    candidates: Candidates
    labels: np.ndarray
    none_factor: float
    believed: Believed


def embed_texts(lease: Lease[Round]) -> None:
    """Give every text of the project its vector."""
    encoder = vectors.load_encoder(settings.ENCODER)
    missing = list(vectors.missing(lease.job.project, encoder.name).values_list("text_hash", "text"))
    done = 0
    lease.report(Step.EMBED, done, len(missing))
    for n in vectors.embed(missing, encoder):
        done += n
        lease.got_further()
        lease.report(Step.EMBED, done, len(missing))


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
    """Learn all training examples: what has changed since the last fit that is remembered, or everything."""
    round_ = lease.job
    rows = list(
        TrainingExample.objects.filter(document__project=round_.project, document__holdout=False)
        .filter(vectors.has_vector(settings.ENCODER, "document__text_hash"))
        .order_by("document_id")
        .values_list("pk", "document_id", "label_id", "document__text_hash")
    )
    example_ids, document_ids, example_labels, hashes = (list(column) for column in zip(*rows, strict=True))
    known = {label_id for label_id in example_labels if label_id is not None}
    if len(known) < 2:
        raise JobFailed("At least two labels need examples before a round can learn. Import labelled texts first.")
    wanted = _wanted_model(round_)
    last = _usable(recall(round_.project), wanted, known, len(rows))
    # New labels come after those that the last round knew, so that its classifiers keep theirs.
    label_ids = [*last.label_ids, *sorted(known - set(last.label_ids))] if last else sorted(known)
    codes = {label_id: code for code, label_id in enumerate(label_ids)}
    X = vectors.load(hashes, settings.ENCODER)
    y = np.array([NOISE if label_id is None else codes[label_id] for label_id in example_labels])
    learning = {
        "elsewhere": X[y == NOISE],
        "names": _name_vectors(round_, label_ids),
        "progress": lambda done, total: lease.report(step, done, total),
    }
    model = last.model if last else wanted
    if last:
        model.refit(X[y != NOISE], y[y != NOISE], **learning)
    else:
        pool = _pool_vectors(round_) if len(y) < model.self_training * len(label_ids) else None
        model.fit(X[y != NOISE], y[y != NOISE], pool=pool, **learning)
    memory = Memory(model, label_ids, settings.ENCODER, last.n_examples if last else len(rows))
    return Learnt(memory, example_ids, document_ids, X, y)


def _wanted_model(round_: Round) -> RedClassifier:
    return RedClassifier(
        subset_size=round_.settings["subset_size"],
        noise_ratio=round_.settings["noise_ratio"],
        combination=round_.settings["combination"],
        random_state=round_.settings["random_seed"],
    )


def _usable(memory: Memory | None, wanted: RedClassifier, known: set[int], n_examples: int) -> Memory | None:
    """The last round's model, unless all has to be fitted anew: other settings, a label gone, many new examples."""
    if memory is None or n_examples >= FULL_FIT_GROWTH * memory.n_examples:
        return None
    same = memory.encoder == settings.ENCODER and _parameters(memory.model) == _parameters(wanted)
    return memory if same and known.issuperset(memory.label_ids) else None


def _parameters(model: RedClassifier) -> dict[str, object]:
    return model.get_params() | {"experts": sorted(model.experts)}


def _name_vectors(round_: Round, label_ids: list[int]) -> np.ndarray:
    names = dict(round_.project.labels.values_list("pk", "name"))
    return vectors.of_names([names[label_id] for label_id in label_ids], vectors.load_encoder(settings.ENCODER))


def _pool_vectors(round_: Round) -> np.ndarray:
    pool = round_.project.documents.filter(vectors.has_vector(settings.ENCODER)).pool()
    return vectors.load(list(pool.values_list("text_hash", flat=True)), settings.ENCODER)


def predict(lease: Lease[Round], learnt: Learnt) -> Predicted:
    """Predict pool and holdout, replace their predictions, and score the holdout."""
    round_ = lease.job
    documents = round_.project.documents.filter(vectors.has_vector(settings.ENCODER))
    pool = list(documents.pool().values_list("pk", "text_hash"))
    holdout = list(documents.filter(holdout=True).values_list("pk", "text_hash", "given_label_id"))
    total = len(pool) + len(holdout)
    lease.report(Step.PREDICT, 0, total)
    measure_judge(lease, round_.settings["certainty"])
    predicted = _predict(round_, learnt, pool)
    measured = _predict(round_, learnt, [row[:2] for row in holdout], predicted.none_factor)
    if not round_.changes:
        # Before the last round's predictions are replaced; what a killed worker has found is kept.
        truths = [row[2] for row in holdout]
        lease.update(changes=changes(round_, top_labels(predicted), top_labels(measured), truths))
    _store(lease, predicted, done=0, total=total)
    _store(lease, measured, done=len(pool), total=total)
    lease.update(
        pool=len(pool),
        uncertain=int((predicted.believed.belief.max(axis=1) < round_.settings["certainty"]).sum()),
        unlabelled_at_import=documents.filter(holdout=False, given_source="").count(),
        **holdout_score(learnt, measured.candidates, [row[2] for row in holdout]),
    )
    return predicted


def _predict(round_: Round, learnt: Learnt, documents: list[tuple[int, str]], factor: float | None = None) -> Predicted:
    """Predict documents; without a factor for "none of these" they are the pool that audits were drawn from."""
    document_ids = [pk for pk, _ in documents]
    X = vectors.load([key for _, key in documents], settings.ENCODER)
    # The estimator refuses an array of no columns.
    candidates = learnt.memory.model.candidates(X if len(X) else learnt.X[:0], k=N_CANDIDATES)
    labels = np.array(learnt.label_ids)[candidates.labels]
    if factor is None:
        factor = none_factor(candidates.probabilities, *none_counts(round_.project))
    believed = believe(round_, document_ids, labels, candidates.probabilities, factor)
    return Predicted(document_ids, X, candidates, labels, factor, believed)


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
    fields = ["round", "label", "probability", "entropy", "candidates"]
    fields += ["belief", "posterior", "posterior_label", "gain"]
    for start in range(0, len(predicted.document_ids), CHUNK_PREDICTIONS):
        chunk = slice(start, start + CHUNK_PREDICTIONS)
        columns = zip(
            predicted.document_ids[chunk],
            predicted.labels[chunk].tolist(),
            candidates.probabilities[chunk].tolist(),
            candidates.entropy[chunk].tolist(),
            believed.belief[chunk].tolist(),
            believed.gain[chunk].tolist(),
            strict=True,
        )
        rows = [
            Prediction(
                document_id=document_id,
                round=lease.job,
                label_id=labels[0],
                probability=probabilities[0],
                entropy=entropy,
                candidates=listed(labels, probabilities),
                **as_fields(labels, belief, gain),
            )
            for document_id, labels, probabilities, entropy, belief, gain in columns
        ]
        with lease.transaction():
            Prediction.objects.bulk_create(
                rows, update_conflicts=True, unique_fields=["document"], update_fields=fields
            )
        lease.report(Step.PREDICT, done + start + len(rows), total)


def listed(labels: list[int], probabilities: list[float]) -> list[list[float]]:
    """Pair label ids with probabilities for storing; four digits are more than anybody reads."""
    return [[label, round(probability, 4)] for label, probability in zip(labels, probabilities, strict=True)]


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
