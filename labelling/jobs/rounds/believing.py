"""What is believed of each document: the classifiers' probabilities, changed by every verdict of the judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from django.db.models import F, Q

from classifiers.posterior import (
    after_choice,
    after_verdict,
    expected_choice_gain,
    expected_information_gain,
    prior,
)
from classifiers.reliability import Reliability
from labelling.jobs.rounds.auditing import ASSUMED, all_rates, present_judge
from labelling.models import Prediction, Query, Round, Verdict
from labelling.services.audits import JudgeId

# Digits of a stored belief: a label that a thousand candidates share a percent with must not round to never.
DIGITS = 6
# Candidates that the judge chooses among, besides "none of these".
N_OFFERED = 5


@dataclass(frozen=True)
class Believed:
    """The belief in n documents' k candidates.

    Attributes:
        belief: probability of each candidate and, last, of none of these; rows sum to 1. Shape (n, k + 1).
        asked: what the present judge has been asked about already, boolean, shape (n, k).
        gain: nats that its next answer is expected to tell, shape (n,); 0 where there is nothing left to ask.
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
    """What a judge said of a document.

    Attributes:
        label_id: the label it was asked about.
        offered: those it was to choose among; empty for a verdict on the one label.
        chosen_id: of them, the one it chose, None for none of these.
        valid: its verdict on the one label; None for unsure, which is no evidence.
        rates: how often this judge is right.
        asked_before: whether it is the present judge, and saw what it would see now.
    """

    document_id: int
    label_id: int
    offered: tuple[int, ...]
    chosen_id: int | None
    valid: bool | None
    rates: Reliability
    asked_before: bool

    def about(self, labels: np.ndarray) -> np.ndarray:
        """Which of a document's candidates are settled by this for the one who said it, boolean, shape (k,)."""
        return np.full(len(labels), True) if self.offered else labels == self.label_id

    def weigh(self, belief: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the belief, shape (k + 1,), after this; labels that are no candidates any more don't count."""
        if self.valid is None:
            return belief
        if self.offered:
            return self._weigh_choice(belief, labels)
        for column in np.flatnonzero(labels == self.label_id):
            belief = after_verdict(
                belief[None, :],
                np.array([column]),
                np.array([self.valid]),
                self.rates.sensitivity.mean,
                self.rates.specificity.mean,
            )[0]
        return belief

    def take_back(self, belief: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the belief, shape (k + 1,), as it is without this, which was weighed before."""
        # What it makes of an even belief is its likelihood.
        likelihood = self.weigh(np.full(len(belief), 1 / len(belief)), labels)
        without = belief / likelihood
        return without / without.sum()

    def _weigh_choice(self, belief: np.ndarray, labels: np.ndarray) -> np.ndarray:
        offered = np.isin(labels, self.offered)
        # A choice that is no candidate any more says of the others what "none of these" says.
        chosen = np.append(np.flatnonzero(labels == self.chosen_id), len(labels))[:1]
        return after_choice(belief[None, :], chosen, offered[None, :], self.rates.sensitivity.mean)[0]


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
    for said in _said(round_, rates, present):
        row = row_of.get(said.document_id, -1)
        if row >= 0:
            asked[row] |= said.asked_before & said.about(labels[row])
            belief[row] = said.weigh(belief[row], labels[row])
    now = rates.get(present, ASSUMED)
    return Believed(belief, asked, next_gain(belief, asked, now, round_.question), now)


def open_belief(belief: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Move what was asked about into the last column: those labels are nothing to ask about any more."""
    candidates = np.where(asked, 0.0, belief[:, :-1])
    return np.hstack([candidates, 1 - candidates.sum(axis=1, keepdims=True)])


def next_gain(belief: np.ndarray, asked: np.ndarray, rates: Reliability, form: str = "validate") -> np.ndarray:
    """Return the expected information gain, in nats, of the next question about each row; shape (n,).

    It is about the row's best open candidate, or a choice among the best few.
    """
    candidates = open_belief(belief, asked)[:, :-1]
    if form == Query.Form.CHOOSE:
        order = np.argsort(-np.where(asked, -1.0, candidates), axis=1, kind="stable")
        offered = np.zeros(asked.shape, dtype=bool)
        np.put_along_axis(offered, order[:, :N_OFFERED], values=True, axis=1)
        return expected_choice_gain(belief, offered & ~asked, rates.sensitivity.mean)
    return expected_information_gain(
        candidates.max(axis=1, initial=0.0), rates.sensitivity.mean, rates.specificity.mean
    )


def believe_verdict(verdict: Verdict, all_rates: Mapping[JudgeId, Reliability]) -> Further | None:
    """Change the belief in a document's labels by one verdict; return what could be asked next, None for nothing.

    What was said before about the same counts no longer.
    """
    query = verdict.query
    prediction = Prediction.objects.filter(document=query.document_id).first()
    if prediction is None:
        return None
    label_ids, belief = belief_of(prediction)
    labels = np.array(label_ids)
    rates = all_rates.get(JudgeId.of(verdict), ASSUMED)
    said = _of(verdict, rates)
    if earlier := _superseded(verdict):
        belief = _of(earlier, all_rates.get(JudgeId.of(earlier), ASSUMED)).take_back(belief, labels)
    belief = said.weigh(belief, labels)
    asked = np.isin(labels, _asked_of(verdict)) | (said.about(labels) & bool(said.offered))
    gain = float(next_gain(belief[None, :], asked[None, :], rates, query.form)[0])
    Prediction.objects.filter(pk=prediction.pk).update(**as_fields(label_ids, belief.tolist(), gain))
    if asked.all():
        return None
    best = int(np.where(asked, -1.0, belief[:-1]).argmax())
    return Further(label_ids[best], float(belief[best]), gain)


def _superseded(verdict: Verdict) -> Verdict | None:
    """The verdict whose place this one takes: the last on the same document and label, or the last choice."""
    earlier = Verdict.objects.filter(query__document=verdict.query.document_id, pk__lt=verdict.pk)
    same = Q(query__form=Query.Form.CHOOSE) if verdict.query.offered else Q(query__label=verdict.query.label_id)
    return earlier.filter(same, query__form=verdict.query.form).select_related("query").order_by("-pk").first()


def _of(verdict: Verdict, rates: Reliability) -> Said:
    return Said(
        document_id=verdict.query.document_id,
        label_id=verdict.query.label_id,
        offered=tuple(verdict.query.offered),
        chosen_id=verdict.chosen_id,
        valid=None if verdict.verdict == Verdict.Name.UNSURE else verdict.verdict == Verdict.Name.VALID,
        rates=rates,
        asked_before=True,
    )


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
            "query__offered",
            "better_label",
            "verdict",
            "definition_version",
            "query__label__definition_version",
            *JudgeId._fields,
        )
    )
    last: dict[tuple[int, int | None], Said] = {}
    outdated: dict[int, list[int]] = {}
    for document_id, label_id, offered, better_id, verdict, version, current_version, *who in rows:
        judge = JudgeId(*who)
        if offered:
            # So are verdicts that saw another definition than this choice.
            for outdated_id in outdated.pop(document_id, []):
                last.pop((document_id, outdated_id), None)
        elif version != current_version:
            outdated.setdefault(document_id, []).append(label_id)
        # A choice takes the place of any earlier one, whichever label was the best then.
        last[document_id, None if offered else label_id] = Said(
            document_id=document_id,
            label_id=label_id,
            offered=tuple(offered),
            chosen_id=label_id if verdict == Verdict.Name.VALID else better_id,
            valid=None if verdict == Verdict.Name.UNSURE else verdict == Verdict.Name.VALID,
            rates=rates.get(judge, ASSUMED),
            asked_before=judge == present and version == current_version,
        )
    return list(last.values())
