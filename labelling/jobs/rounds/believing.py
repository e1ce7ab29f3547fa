"""What is believed of each document: the classifiers' probabilities, changed by every verdict of the judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from django.db.models import F, Q

from classifiers.posterior import after_verdict, expected_information_gain, prior
from classifiers.reliability import Reliability
from labelling.jobs.rounds.auditing import ASSUMED, all_rates, present_judge
from labelling.models import Prediction, Query, Round, Verdict
from labelling.services.audits import JudgeId

# Digits of a stored belief: a label that a thousand candidates share a percent with must not round to never.
DIGITS = 6


@dataclass(frozen=True)
class Believed:
    """The belief in n documents' k candidates.

    Attributes:
        belief: probability of each candidate and, last, of none of these; rows sum to 1. Shape (n, k + 1).
        asked: what the present judge has been asked about already, boolean, shape (n, k).
        gain: nats that its next verdict is expected to tell, shape (n,); 0 where there is nothing left to ask.
        rates: how often the present judge is right.
    """

    belief: np.ndarray
    asked: np.ndarray
    gain: np.ndarray
    rates: Reliability

    @property
    def open_belief(self) -> np.ndarray:
        """The belief with "not a label to ask about" for the last column: what is asked already counts there."""
        return open_belief(self.belief, self.asked)


@dataclass(frozen=True)
class Said:
    """A verdict: valid, or invalid, or None for unsure, which is no evidence; and whether it is the present judge's."""

    document_id: int
    label_id: int
    valid: bool | None
    rates: Reliability
    asked_before: bool


class Further(NamedTuple):
    """What could be asked next about a document: a label, the belief in it, and the expected gain in nats."""

    label_id: int
    posterior: float
    gain: float


def believe(
    round_: Round, document_ids: Sequence[int], labels: np.ndarray, probabilities: np.ndarray, none_factor: float
) -> Believed:
    """Return what all verdicts so far make of the classifiers' probabilities.

    Args:
        round_: its judge is the present one.
        document_ids: n documents of its project.
        labels: ids of their candidates, shape (n, k).
        probabilities: of the candidates, shape (n, k).
        none_factor: of the odds of "none of these", as audits found them.
    """
    rates, present = all_rates(round_), present_judge(round_)
    row_of = {document_id: row for row, document_id in enumerate(document_ids)}
    belief = prior(probabilities, none_factor)
    asked = np.zeros(labels.shape, dtype=bool)
    evidence: dict[int, list[tuple[int, bool, Reliability]]] = {}
    for said in _said(round_, rates, present):
        row = row_of.get(said.document_id, -1)
        # A label that is no candidate any more takes its verdicts along.
        columns = np.flatnonzero(labels[row] == said.label_id).tolist() if row >= 0 else []
        for column in columns:
            asked[row, column] |= said.asked_before
            if said.valid is not None:
                evidence.setdefault(row, []).append((column, said.valid, said.rates))
    for row, answers in evidence.items():
        belief[row] = after_answers(belief[row], answers)
    now = rates.get(present, ASSUMED)
    return Believed(belief, asked, next_gain(belief, asked, now), now)


def after_answers(belief: np.ndarray, answers: Iterable[tuple[int, bool, Reliability]]) -> np.ndarray:
    """Return one document's belief, shape (k + 1,), after answers: candidate's column, valid or not, whose."""
    for column, valid, rates in answers:
        changed = after_verdict(
            belief[None, :],
            np.array([column]),
            np.array([valid]),
            rates.sensitivity.mean,
            rates.specificity.mean,
        )
        belief = changed[0]
    return belief


def open_belief(belief: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Move what was asked about into the last column: those labels are nothing to ask about any more."""
    candidates = np.where(asked, 0.0, belief[:, :-1])
    return np.hstack([candidates, 1 - candidates.sum(axis=1, keepdims=True)])


def next_gain(belief: np.ndarray, asked: np.ndarray, rates: Reliability) -> np.ndarray:
    """Return the expected information gain, in nats, of asking about each row's best open candidate; shape (n,)."""
    best = open_belief(belief, asked)[:, :-1].max(axis=1, initial=0.0)
    return expected_information_gain(best, rates.sensitivity.mean, rates.specificity.mean)


def believe_verdict(verdict: Verdict, rates: Reliability) -> Further | None:
    """Change the belief in a document's labels by one verdict; return what could be asked next, None for nothing."""
    query = verdict.query
    prediction = Prediction.objects.filter(document=query.document_id).first()
    if prediction is None:
        return None
    labels, belief = belief_of(prediction)
    if verdict.verdict != Verdict.Name.UNSURE and query.label_id in labels:
        answer = (labels.index(query.label_id), verdict.verdict == Verdict.Name.VALID, rates)
        belief = after_answers(belief, [answer])
    asked = np.isin(labels, _asked_of(verdict))
    gain = float(next_gain(belief[None, :], asked[None, :], rates)[0])
    Prediction.objects.filter(pk=prediction.pk).update(**as_fields(labels, belief.tolist(), gain))
    if asked.all():
        return None
    best = int(np.where(asked, -1.0, belief[:-1]).argmax())
    return Further(labels[best], float(belief[best]), gain)


def _asked_of(verdict: Verdict) -> list[int]:
    """The labels that the judge of this verdict was asked about for its document, before or in this round."""
    query = verdict.query
    same_judge = Q(**{f"verdict__{name}": getattr(verdict, name) for name in JudgeId._fields})
    same_judge &= Q(verdict__definition_version=F("label__definition_version"))
    queries = Query.objects.filter(Q(round=query.round_id) | same_judge, document=query.document_id)
    return list(queries.values_list("label", flat=True))


def as_fields(labels: Sequence[int], belief: Sequence[float], gain: float) -> dict[str, Any]:
    """What a Prediction stores of a document's belief."""
    best = max(range(len(belief)), key=lambda column: belief[column])
    return {
        "belief": [round(probability, DIGITS) for probability in belief],
        "posterior": belief[best],
        "posterior_label_id": labels[best] if best < len(labels) else None,
        "gain": gain,
    }


def belief_of(prediction: Prediction) -> tuple[list[int], np.ndarray]:
    """A document's candidates, k label ids, and the belief in them, shape (k + 1,)."""
    labels = [int(label_id) for label_id, _ in prediction.candidates]
    if prediction.belief:
        return labels, np.array(prediction.belief)
    return labels, prior(np.array([[probability for _, probability in prediction.candidates]]))[0]


def _said(round_: Round, rates: dict[JudgeId, Reliability], present: JudgeId) -> list[Said]:
    """The last verdict on each document and label of the project.

    A judge that would see another definition by now may be asked again.
    """
    rows = (
        Verdict.objects.filter(query__round__project=round_.project)
        .order_by("pk")
        .values_list(
            "query__document",
            "query__label",
            "verdict",
            "definition_version",
            "query__label__definition_version",
            *JudgeId._fields,
        )
    )
    last = {}
    for document_id, label_id, verdict, version, current_version, *who in rows:
        judge = JudgeId(*who)
        last[document_id, label_id] = Said(
            document_id=document_id,
            label_id=label_id,
            valid=None if verdict == Verdict.Name.UNSURE else verdict == Verdict.Name.VALID,
            rates=rates.get(judge, ASSUMED),
            asked_before=judge == present and version == current_version,
        )
    return list(last.values())
