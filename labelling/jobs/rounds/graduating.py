"""The last fit, when the loop is at its end: on what the model has settled itself, too. That model is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from classifiers.red_classifier import GRADUATED
from classifiers.subset_classifier import NOISE
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.learning import Learnt, find_candidates, holdout_score, learn
from labelling.jobs.rounds.memory import remember
from labelling.models import Prediction, Round


def graduate(lease: Lease[Round]) -> None:
    """Fit for the last time, and keep the model for texts that come later.

    The pool's predictions stay: a model that has learnt its own labels can't be a witness for them.
    """
    round_ = lease.job
    learnt = learn(lease, Round.Step.GRADUATE)
    taught = _teach_itself(lease, learnt)
    remember(round_.project, replace(learnt.memory, n_examples=len(learnt.y)))
    lease.update(taught_itself=taught, final_holdout_accuracy=_holdout_accuracy(round_, learnt))


def _teach_itself(lease: Lease[Round], learnt: Learnt) -> int:
    """Teach the model the labels of the pool that it is certain of; return how many it has learnt."""
    pool = lease.job.project.documents.filter(learnt.space.has_vector()).pool()
    predictions = Prediction.objects.filter(document__in=pool).order_by("document")
    columns = "document__text_hash", "document__text", "posterior_label", "posterior"
    rows = list(predictions.values_list(*columns))
    if not rows:
        return 0
    hashes, texts, label_ids, posterior = (list(column) for column in zip(*rows, strict=True))
    codes = {label_id: code for code, label_id in enumerate(learnt.label_ids)}
    labels = np.array([codes.get(label_id, NOISE) for label_id in label_ids])
    certain = (np.array(posterior) >= GRADUATED) & (labels != NOISE)
    learnt.memory.model.train_itself(
        learnt.space.load(hashes),
        labels,
        certain,
        texts,
        lambda done, total: lease.report(Round.Step.GRADUATE, done, total),
    )
    return learnt.memory.model.n_taught_


def _holdout_accuracy(round_: Round, learnt: Learnt) -> float | None:
    documents = round_.project.documents.filter(learnt.space.has_vector(), holdout=True)
    rows = list(documents.values_list("pk", "text_hash", "given_label_id"))
    if not rows:
        return None
    document_ids, hashes, label_ids = (list(column) for column in zip(*rows, strict=True))
    candidates = find_candidates(learnt, document_ids, learnt.space.load(hashes), 1)
    return holdout_score(learnt, candidates, label_ids)["holdout_accuracy"]
