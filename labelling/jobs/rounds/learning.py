"""Embed, fit, predict: documents to vectors to candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from django.conf import settings

from classifiers.evaluation import score
from classifiers.red_classifier import Candidates, RedClassifier
from classifiers.subset_classifier import NOISE
from labelling.jobs import vectors
from labelling.jobs.lease import JobFailed, Lease
from labelling.models import Prediction, Round, TrainingExample

Step = Round.Step

N_CANDIDATES = 10
CHUNK_PREDICTIONS = 2_000


@dataclass(frozen=True)
class Learnt:
    """The fitted classifiers and what they learnt from.

    Attributes:
        model: the fitted ensemble; its label code k stands for ``label_ids[k]``.
        label_ids: the labels that have examples.
        example_ids: the TrainingExample rows, in the order of X.
        document_ids: their documents.
        X: their vectors, shape (n_examples, n_dims).
        y: their label codes, NOISE for none of the labels, shape (n_examples,).
    """

    model: RedClassifier
    label_ids: list[int]
    example_ids: list[int]
    document_ids: list[int]
    X: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Predicted:
    """The pool as the classifiers see it: documents, their vectors (n_pool, n_dims), their candidates."""

    document_ids: list[int]
    X: np.ndarray
    candidates: Candidates


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
    """Train the subset classifiers on all training examples."""
    round_ = lease.job
    rows = list(
        TrainingExample.objects.filter(document__project=round_.project, document__holdout=False)
        .filter(vectors.has_vector(settings.ENCODER, "document__text_hash"))
        .order_by("document_id")
        .values_list("pk", "document_id", "label_id", "document__text_hash")
    )
    example_ids, document_ids, example_labels, hashes = (list(column) for column in zip(*rows, strict=True))
    label_ids = sorted({label_id for label_id in example_labels if label_id is not None})
    if len(label_ids) < 2:
        raise JobFailed("At least two labels need examples before a round can learn. Import labelled texts first.")
    codes = {label_id: code for code, label_id in enumerate(label_ids)}
    X = vectors.load(hashes, settings.ENCODER)
    y = np.array([codes.get(label_id, NOISE) for label_id in example_labels])
    model = RedClassifier(
        subset_size=round_.settings["subset_size"],
        noise_ratio=round_.settings["noise_ratio"],
        random_state=round_.settings["random_seed"],
    )
    subsets = _known_subsets(round_, codes)
    model.fit(X, y, subsets, on_subset=lambda done, total: lease.report(Step.FIT, done, total))
    lease.update(
        training_examples=len(rows),
        labels_learned=len(label_ids),
        subsets=[[label_ids[code] for code in subset] for subset in model.subsets_],
    )
    return Learnt(model, label_ids, example_ids, document_ids, X, y)


def _known_subsets(round_: Round, codes: dict[int, int]) -> list[np.ndarray] | None:
    """The last round's split, when the labels and what decides on the split are still the same.

    Saves more than the split itself: UMAP takes ten seconds to compile in each new process.
    """
    last = round_.project.rounds.filter(number__lt=round_.number).exclude(subsets=[]).first()
    if last is None or {label_id for subset in last.subsets for label_id in subset} != codes.keys():
        return None
    if any(last.settings[name] != round_.settings[name] for name in ("subset_size", "random_seed")):
        return None
    return [np.array([codes[label_id] for label_id in subset]) for subset in last.subsets]


def predict(lease: Lease[Round], learnt: Learnt) -> Predicted:
    """Predict pool and holdout, replace their predictions, and score the holdout."""
    round_ = lease.job
    documents = round_.project.documents.filter(vectors.has_vector(settings.ENCODER))
    pool = list(documents.pool().values_list("pk", "text_hash"))
    holdout = list(documents.filter(holdout=True).values_list("pk", "text_hash", "given_label_id"))
    total = len(pool) + len(holdout)
    lease.report(Step.PREDICT, 0, total)
    predicted = _predict(learnt, pool)
    measured = _predict(learnt, [row[:2] for row in holdout])
    _store(lease, learnt, predicted, done=0, total=total)
    _store(lease, learnt, measured, done=len(pool), total=total)
    lease.update(
        pool=len(pool),
        uncertain=int((predicted.candidates.probabilities[:, :1] < round_.settings["certainty"]).sum()),
        unlabelled_at_import=documents.filter(holdout=False, given_source="").count(),
        **_holdout_score(learnt, measured, [row[2] for row in holdout]),
    )
    return predicted


def _predict(learnt: Learnt, documents: list[tuple[int, str]]) -> Predicted:
    X = vectors.load([text_hash for _, text_hash in documents], settings.ENCODER)
    return Predicted([pk for pk, _ in documents], X, learnt.model.candidates(X, k=N_CANDIDATES))


def _store(lease: Lease[Round], learnt: Learnt, predicted: Predicted, done: int, total: int) -> None:
    label_ids, candidates = np.array(learnt.label_ids), predicted.candidates
    fields = ["round", "label", "probability", "entropy", "candidates"]
    for start in range(0, len(predicted.document_ids), CHUNK_PREDICTIONS):
        chunk = slice(start, start + CHUNK_PREDICTIONS)
        columns = zip(
            predicted.document_ids[chunk],
            label_ids[candidates.labels[chunk]].tolist(),
            candidates.probabilities[chunk].tolist(),
            candidates.entropy[chunk].tolist(),
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
            )
            for document_id, labels, probabilities, entropy in columns
        ]
        with lease.transaction():
            Prediction.objects.bulk_create(
                rows, update_conflicts=True, unique_fields=["document"], update_fields=fields
            )
        lease.report(Step.PREDICT, done + start + len(rows), total)


def listed(labels: list[int], probabilities: list[float]) -> list[list[float]]:
    """Pair label ids with probabilities for storing; four digits are more than anybody reads."""
    return [[label, round(probability, 4)] for label, probability in zip(labels, probabilities, strict=True)]


def _holdout_score(learnt: Learnt, measured: Predicted, given_label_ids: list[int | None]) -> dict[str, float | None]:
    codes: dict[int | None, int] = {label_id: code for code, label_id in enumerate(learnt.label_ids)}
    # What the classifiers have never seen can't be right: each such label has a code of its own below zero.
    known = np.array([codes.setdefault(label_id, -2 - len(codes)) for label_id in given_label_ids], dtype=int)
    result = score(known, measured.candidates.labels[:, 0]) if len(known) else None
    return {
        "holdout_size": result.n if result else 0,
        "holdout_accuracy": result.accuracy if result else None,
        "holdout_macro_f1": result.macro_f1 if result else None,
    }
