"""What a reviewer sees beside a text: candidates, verdict, and the training examples nearest to it."""

from __future__ import annotations

from dataclasses import dataclass

from labelling.models import Document, JudgeFailure, Label, Project, Query, Verdict

SHOWN_ALTERNATIVES = 9
MAX_FOUND = 12

# By query strategy.
BECAUSE = {
    "settling": "Asked because one answer may settle it.",
    "gain": "Asked because an answer tells much here.",
    "entropy": "Asked because the classifiers spread their probability wide.",
    "margin": "Asked because two labels are close.",
    "random": "Asked because it was drawn at random.",
}


@dataclass(frozen=True)
class Candidate:
    """A label that is proposed, and the judge's word for it.

    Attributes:
        probability: what the classifiers give it, in [0, 1]; None where only the judge thought of the label.
        posterior: the same after all verdicts; None where that is not known, or not to be shown.
    """

    label: Label
    probability: float | None
    posterior: float | None
    judge_prefers: bool

    @property
    def belief(self) -> float | None:
        """The best figure there is to show."""
        return self.probability if self.posterior is None else self.posterior


@dataclass(frozen=True)
class ShownExample:
    """A training example and how near it lies: cosine similarity in [-1, 1]."""

    document: Document
    similarity: float


@dataclass(frozen=True)
class Evidence:
    """Everything the review page shows of a query. Of an audit: nothing of what the judge said.

    Attributes:
        predicted: the label that was asked about.
        alternatives: the other candidates, most probable first, at most nine.
        examples: by label, the nearest training examples of the predicted label and its rival.
        verdicts: on this document, first to last.
        failure: why there is no verdict on this query, or None.
    """

    query: Query
    predicted: Candidate
    alternatives: list[Candidate]
    examples: list[tuple[Label, list[ShownExample]]]
    verdicts: list[Verdict]
    failure: JudgeFailure | None

    @classmethod
    def of(cls, query: Query) -> Evidence:
        verdicts = [] if query.is_audit else verdicts_on(query.document_id)
        better_id = verdicts[-1].better_label_id if verdicts else None
        labels = Label.objects.in_bulk({query.label_id, better_id, *(pk for pk, _ in query.candidates)} - {None})
        candidates = _candidates(query, labels, better_id)
        asked = next(candidate for candidate in candidates if candidate.label.pk == query.label_id)
        candidates.remove(asked)
        return cls(
            query=query,
            predicted=asked,
            alternatives=candidates[:SHOWN_ALTERNATIVES],
            examples=_examples(query, labels),
            verdicts=verdicts,
            failure=None if query.is_audit else getattr(query, "judge_failure", None),
        )

    @property
    def why(self) -> str:
        """Why this document is asked about, in words."""
        rivals = (rival for rival in self.alternatives if rival.probability is not None)
        proposed = [self.predicted, *sorted(rivals, key=lambda rival: -(rival.probability or 0))][:2]
        given = " against ".join(f"{_figure(c.probability)} for {c.label}" for c in proposed)
        figures = f"The classifiers give {given}"
        if self.predicted.posterior is not None and self.verdicts:
            figures += f"; after the judge's word it is {_figure(self.predicted.posterior)} for {self.predicted.label}"
        return f"{self._reason} {figures}."

    @property
    def _reason(self) -> str:
        if self.query.reason == Query.Reason.AUDIT:
            return "Asked because it was drawn at random: an audit of the judge, whose verdict is shown afterwards."
        if self.query.reason == Query.Reason.DELEGATED:
            return "Asked because the judge refused what was more probable before, and this label is next."
        if self.query.reason == Query.Reason.REDEFINED:
            return "Asked again because the definition has changed since the judge answered."
        return BECAUSE.get(self.query.round.settings.get("strategy", ""), "Asked because the label is uncertain.")


def verdicts_on(document_id: int) -> list[Verdict]:
    """All verdicts on a document, first to last."""
    verdicts = Verdict.objects.filter(query__document=document_id).order_by("pk")
    return list(verdicts.select_related("query__label", "query__round", "better_label"))


def what_the_judge_said(document_id: int) -> str:
    """All verdicts on a document in one sentence: for the reviewer who has decided on an audit."""
    said = ", ".join(verdict.in_words for verdict in verdicts_on(document_id))
    return f"The judge had said: {said}." if said else "The judge had not answered."


def _candidates(query: Query, labels: dict[int, Label], better_id: int | None) -> list[Candidate]:
    """The labels proposed, most probable first; what only the judge thought of stands before them."""
    prediction = None if query.is_audit else getattr(query.document, "prediction", None)
    beliefs = prediction.beliefs if prediction else {}
    proposed = dict(query.candidates)
    if query.label_id not in proposed:
        proposed[query.label_id] = query.probability
    candidates = [
        Candidate(labels[pk], probability, beliefs.get(pk), judge_prefers=pk == better_id)
        for pk, probability in proposed.items()
        if pk in labels
    ]
    candidates.sort(key=lambda candidate: -(candidate.belief or 0))
    if better_id in labels and better_id not in proposed:
        candidates.insert(0, Candidate(labels[better_id], None, None, judge_prefers=True))
    return candidates


def _figure(probability: float | None) -> str:
    # As on the pages: nothing rounds to certain.
    return f"{min(probability or 0, 0.99):.2f}"


def find_labels(project: Project, query: str) -> list[Label]:
    """Labels that match all words of a query in name or definition; matches in the name come first."""
    words = query.lower().split()
    if not words:
        return []
    found = [
        (_rank(label, query.lower().strip(), words), label)
        for label in project.labels.all()
        if all(word in f"{label.name} {label.definition}".lower() for word in words)
    ]
    return [label for _, label in sorted(found, key=lambda pair: (pair[0], pair[1].name))[:MAX_FOUND]]


def _rank(label: Label, query: str, words: list[str]) -> int:
    """Where the words are: 0 at the start of the name, 1 in the name, 2 partly so, 3 in the definition only."""
    name = label.name.lower()
    if name.startswith(query):
        return 0
    in_name = [word in name for word in words]
    return 1 if all(in_name) else 2 if any(in_name) else 3


def _examples(query: Query, labels: dict[int, Label]) -> list[tuple[Label, list[ShownExample]]]:
    documents = Document.objects.in_bulk([document_id for document_id, _, _ in query.compared_examples])
    by_label: dict[int, list[ShownExample]] = {}
    for document_id, label_id, similarity in query.compared_examples:
        if document_id in documents and label_id in labels:
            by_label.setdefault(label_id, []).append(ShownExample(documents[document_id], similarity))
    return [(labels[label_id], examples) for label_id, examples in by_label.items()]
