"""What a reviewer sees beside a text: candidates, verdict, and the training examples nearest to it."""

from __future__ import annotations

from dataclasses import dataclass

from labelling.models import Document, JudgeFailure, Label, Project, Query, Verdict

SHOWN_ALTERNATIVES = 9
MAX_FOUND = 12


@dataclass(frozen=True)
class Candidate:
    """A label that is proposed, its probability in [0, 1], and the judge's word for it.

    The probability is None where only the judge thought of the label.
    """

    label: Label
    probability: float | None
    judge_prefers: bool


@dataclass(frozen=True)
class ShownExample:
    """A training example and how near it lies: cosine similarity in [-1, 1]."""

    document: Document
    similarity: float


@dataclass(frozen=True)
class Evidence:
    """Everything the review page shows of a query, as it was when the round asked.

    Attributes:
        predicted: the label the model proposes.
        alternatives: the other candidates, best first, at most nine.
        examples: by label, the nearest training examples of the predicted label and its rival.
        verdict: the judge's, or None.
        failure: why there is no verdict, or None.
    """

    query: Query
    predicted: Candidate
    alternatives: list[Candidate]
    examples: list[tuple[Label, list[ShownExample]]]
    verdict: Verdict | None
    failure: JudgeFailure | None

    @classmethod
    def of(cls, query: Query) -> Evidence:
        verdict = getattr(query, "verdict", None)
        better_id = verdict.better_label_id if verdict else None
        labels = Label.objects.in_bulk({label_id for label_id, _ in query.candidates} | {better_id} - {None})
        candidates = [
            Candidate(labels[label_id], probability, judge_prefers=label_id == better_id)
            for label_id, probability in query.candidates
            if label_id in labels
        ]
        if better_id in labels and not any(candidate.judge_prefers for candidate in candidates):
            candidates.insert(1, Candidate(labels[better_id], None, judge_prefers=True))
        return cls(
            query=query,
            predicted=candidates[0],
            alternatives=candidates[1 : SHOWN_ALTERNATIVES + 1],
            examples=_examples(query, labels),
            verdict=verdict,
            failure=getattr(query, "judge_failure", None),
        )

    @property
    def why(self) -> str:
        """Why this document is asked about, in words."""
        proposed = [self.predicted, *(rival for rival in self.alternatives if rival.probability is not None)][:2]
        random = "Drawn at random. " if self.query.round.settings.get("strategy") == "random" else ""
        return f"{random}The model gives {' against '.join(f'{c.probability:.2f} for {c.label}' for c in proposed)}"


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
    documents = Document.objects.in_bulk([document_id for document_id, _, _ in query.examples])
    by_label: dict[int, list[ShownExample]] = {}
    for document_id, label_id, similarity in query.examples:
        if document_id in documents and label_id in labels:
            by_label.setdefault(label_id, []).append(ShownExample(documents[document_id], similarity))
    return [(labels[label_id], examples) for label_id, examples in by_label.items()]
