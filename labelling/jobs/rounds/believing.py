"""What is believed of each document: the classifiers' probabilities, changed by every verdict of a judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from django.db.models import QuerySet

from classifiers.loop.believing import Answer, Answers, asked, next_question, weigh
from classifiers.posterior import prior
from classifiers.reliability import Rates
from classifiers.subset_classifier import NOISE
from labelling.jobs.rounds.auditing import ASSUMED, all_rates, present_judge
from labelling.jobs.rounds.paths import Path, paths, tree_of
from labelling.models import Prediction, Query, Round, Verdict
from labelling.models.compact import DIGITS
from labelling.services.audits import JudgeId
from labelling.services.definitions import meant_as_now


@dataclass(frozen=True)
class Believed:
    """The belief in n documents' k candidates.

    Attributes:
        belief: probability of each candidate and, last, of none of these; rows sum to 1. Shape (n, k + 1).
        asked: what the present judge has been asked about already, boolean, shape (n, k).
        gain: nats that its next answer is expected to tell, shape (n,); 0 where there is nothing left to ask.
        rates: the present judge's, for the round's form of question.
    """

    belief: np.ndarray
    asked: np.ndarray
    gain: np.ndarray
    rates: Rates


class Further(NamedTuple):
    """What could be asked next about a document: a label, the belief in it, and the expected gain in nats."""

    label_id: int
    posterior: float
    gain: float


@dataclass
class Judges:
    """The judges that have said something in a project, and how far each is believed."""

    by_id: Mapping[JudgeId, Any]
    places: dict[tuple[JudgeId, str], int] = field(default_factory=dict)
    rates: list[Rates] = field(default_factory=list)

    def place(self, judge: JudgeId, form: str) -> int:
        """The judge's place in ``rates``, for this form of question."""
        if (judge, form) not in self.places:
            self.places[judge, form] = len(self.rates)
            self.rates.append(self.by_id.get(judge, ASSUMED).of(form))
        return self.places[judge, form]


def believe(round_: Round, document_ids: Sequence[int], labels: np.ndarray, before: np.ndarray) -> Believed:
    """Return what all verdicts so far make of what the classifiers believe.

    Args:
        round_: its judge is the present one.
        document_ids: n documents of its project.
        labels: ids of their candidates, shape (n, k).
        before: the belief before any verdict, shape (n, k + 1); see Factors.
    """
    judges, present = Judges(all_rates(round_)), present_judge(round_)
    row_of = {document_id: row for row, document_id in enumerate(document_ids)}
    verdicts = meant_as_now(Verdict.objects.filter(query__round__project=round_.project))
    answers, closed = _answers(verdicts, row_of, judges, present)
    belief = weigh(before, labels, answers, judges.rates)
    rates = judges.by_id.get(present, ASSUMED).of(round_.question)
    nothing_left = asked(labels, closed)
    _, gain = next_question(belief, nothing_left, rates, round_.question)
    return Believed(belief, nothing_left, np.maximum(gain, 0.0), rates)


def believe_verdict(verdict: Verdict, all_rates: Mapping[JudgeId, Any]) -> Further | None:
    """Change the belief in a document's labels by a new verdict; return what could be asked next, None for nothing."""
    query = verdict.query
    prediction = Prediction.objects.filter(document=query.document_id).select_related("round").first()
    if prediction is None:
        return None
    judges = Judges(all_rates)
    labels = np.array([[label_id for label_id, _ in prediction.candidates]], dtype=int)
    factors = prediction.round.factors
    of_labels = [factors.get("labels", {}).get(str(label_id), 1.0) for label_id, _ in prediction.candidates]
    probabilities = np.array([[probability for _, probability in prediction.candidates]])
    before = prior(probabilities, factors.get("none", 1.0), np.array([of_labels]))
    said = meant_as_now(Verdict.objects.filter(query__document=query.document_id))
    answers, closed = _answers(said, {query.document_id: 0}, judges, JudgeId.of(verdict))
    belief = weigh(before, labels, answers, judges.rates)
    rates = judges.rates[judges.place(JudgeId.of(verdict), query.form)]
    in_round = Query.objects.filter(round=query.round_id, document=query.document_id).exclude(reason__in=Query.UNASKED)
    nothing_left = asked(labels, closed) | np.isin(labels, list(in_round.values_list("label", flat=True)))
    column, gain = next_question(belief, nothing_left, rates, query.form)
    [path] = paths(tree_of(query.round.project), labels, belief[:, :-1])
    fields = as_fields(labels[0].tolist(), belief[0].tolist(), max(float(gain[0]), 0.0), path)
    Prediction.objects.filter(pk=prediction.pk).update(**fields)
    if np.isneginf(gain[0]):
        return None
    return Further(int(labels[0, column[0]]), float(belief[0, column[0]]), float(gain[0]))


def as_fields(labels: Sequence[int], belief: Sequence[float], gain: float, path: Path) -> dict[str, Any]:
    """What a Prediction stores of a document's belief."""
    best = max(range(len(belief)), key=lambda column: belief[column])
    return {
        "belief": [round(probability, DIGITS) for probability in belief],
        "posterior": belief[best],
        "posterior_label_id": labels[best] if best < len(labels) else None,
        "gain": gain,
        "path": path,
    }


def _answers(
    verdicts: QuerySet[Verdict], row_of: Mapping[int, int], judges: Judges, present: JudgeId
) -> tuple[Answers, Answers]:
    """The last verdict on each document and label; and those after which the present judge is not asked again.

    A choice takes the place of any earlier one, whichever label was the best then, and of verdicts that saw another
    definition. A judge that would see another definition by now may be asked again. "Unsure" is no evidence.
    """
    rows = verdicts.order_by("pk").values_list(
        "query__document",
        "query__label",
        "query__offered",
        "better_label",
        "verdict",
        "definition_version",
        "query__label__definition_version",
        *JudgeId._fields,
    )
    said: dict[tuple[int, int | None], Answer | None] = {}
    closed: dict[tuple[int, int | None], Answer] = {}
    outdated: dict[int, list[int]] = {}
    for document_id, label_id, offered, better_id, verdict, version, current_version, *who in rows:
        row, judge, is_valid = row_of.get(document_id, -1), JudgeId(*who), verdict == Verdict.Name.VALID
        if row < 0:
            continue
        if offered:
            for outdated_id in outdated.pop(document_id, []):
                said.pop((document_id, outdated_id), None)
        elif version != current_version:
            outdated.setdefault(document_id, []).append(label_id)
        key = (document_id, None if offered else label_id)
        form = Query.Form.CHOOSE if offered else Query.Form.VALIDATE
        about = label_id if not offered or is_valid else (NOISE if better_id is None else better_id)
        answer = (row, about, is_valid or bool(offered), tuple(offered), judges.place(judge, form))
        said[key] = None if verdict == Verdict.Name.UNSURE else answer
        closed.pop(key, None)
        if judge == present and version == current_version:
            closed[key] = answer
    return Answers.of([answer for answer in said.values() if answer]), Answers.of(list(closed.values()))
