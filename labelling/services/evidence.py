"""What a reviewer sees beside a text: candidates, verdict, and the training examples nearest to it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import Document, JudgeFailure, Label, Query, Verdict
from labelling.services import audits

SHOWN_ALTERNATIVES = 9

# What pages read of a verdict and its question, which has many more columns, and long ones.
OF_A_VERDICT = (
    *("verdict", "reason", "judge", "model", "prompt_version"),
    *("query__form", "query__offered", "query__label__name", "better_label__name"),
)

# By query strategy.
BECAUSE = {
    "settling": gettext_lazy("Asked because one answer may settle it."),
    "gain": gettext_lazy("Asked because an answer tells much here."),
    "entropy": gettext_lazy("Asked because the classifiers spread their probability wide."),
    "margin": gettext_lazy("Asked because two labels are close."),
    "random": gettext_lazy("Asked because it was drawn at random."),
}


@dataclass(frozen=True)
class Candidate:
    """A label that is proposed, and by whom.

    Attributes:
        probability: what the classifiers give it, in [0, 1]; None where they did not think of the label.
        posterior: the same after all verdicts; None where that is not known, or not to be shown.
        n_neighbours: how many of the nearest training examples carry it.
    """

    label: Label
    probability: float | None
    posterior: float | None
    judge_prefers: bool
    n_neighbours: int = 0

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
class NearDuplicates:
    """Other documents that say almost the same, and what is decided on them.

    Attributes:
        documents: most alike first.
        labels: by label, None for none of these, how many of them carry it, most first.
    """

    documents: list[Document] = field(default_factory=list)
    labels: list[tuple[Label | None, int]] = field(default_factory=list)

    @classmethod
    def of(cls, query: Query) -> NearDuplicates:
        ids = [document_id for document_id, _ in query.near_duplicates]
        known = Document.objects.select_related("example__label").in_bulk(ids) if ids else {}
        documents = [known[pk] for pk in ids if pk in known]
        decided = Counter(document.example.label for document in documents if hasattr(document, "example"))
        return cls(documents, decided.most_common())

    @property
    def n_open(self) -> int:
        return len(self.documents) - sum(n for _, n in self.labels)


@dataclass(frozen=True)
class Evidence:
    """Everything the review page shows of a query. Of an audit: nothing of what the judge said.

    Attributes:
        predicted: the label that was asked about.
        alternatives: the other candidates, most probable first, at most nine.
        examples: by label, the nearest training examples of the predicted label and its rival: the label that the
            judge suggests, or else the most probable.
        verdicts: on this document, first to last.
        failure: why there is no verdict on this query, or None.
        record: how often the judge was right about the predicted label, in audits; None where it says nothing here.
    """

    query: Query
    predicted: Candidate
    alternatives: list[Candidate]
    examples: list[tuple[Label, list[ShownExample]]]
    verdicts: list[Verdict]
    failure: JudgeFailure | None
    near_duplicates: NearDuplicates
    record: audits.Record | None

    @classmethod
    def of(cls, query: Query) -> Evidence:
        verdicts = [] if query.is_audit else verdicts_on(query.document_id)
        better_id = verdicts[-1].better_label_id if verdicts else None
        voted = Counter(label_id for _, label_id, _ in query.neighbours)
        proposed = {query.label_id, better_id, *voted, *(pk for pk, _ in query.candidates)}
        labels = Label.objects.in_bulk(proposed - {None})
        candidates = _candidates(query, labels, better_id, voted)
        asked = next(candidate for candidate in candidates if candidate.label.pk == query.label_id)
        candidates.remove(asked)
        return cls(
            query=query,
            predicted=asked,
            alternatives=candidates[:SHOWN_ALTERNATIVES],
            examples=_examples(query, labels, better_id),
            verdicts=verdicts,
            failure=None if query.is_audit else getattr(query, "judge_failure", None),
            near_duplicates=NearDuplicates.of(query),
            record=audits.record(query.round.project, verdicts[-1], query.label_id) if verdicts else None,
        )

    @property
    def rival(self) -> Candidate | None:
        """The strongest other label: the one whose examples are shown, or else the next in probability."""
        shown = [label.pk for label, _ in self.examples if label != self.predicted.label]
        compared = [candidate for candidate in self.alternatives if candidate.label.pk in shown]
        return next(iter([*compared, *self.alternatives]), None)

    @property
    def compared(self) -> list[Label]:
        """The two labels between which it is hardest to choose, or the one there is."""
        return [candidate.label for candidate in (self.predicted, self.rival) if candidate]

    @property
    def guesses(self) -> list[int]:
        """Ids of the labels proposed, best first."""
        return [candidate.label.pk for candidate in (self.predicted, *self.alternatives)]

    @property
    def why(self) -> str:
        """Why this document is asked about, in words."""
        return f"{self.figures} {self.reason}"

    @property
    def figures(self) -> str:
        """The two likeliest labels with their probabilities, and what the judge's word made of them."""
        asked, rival = self.predicted, self.rival
        if rival is None or rival.probability is None:
            figures = _("The classifiers give %(p)s: %(label)s.") % {
                "p": _figure(asked.probability),
                "label": asked.label,
            }
        else:
            figures = _("%(p)s against %(q)s: %(label)s or %(rival)s.") % {
                "p": _figure(asked.probability),
                "q": _figure(rival.probability),
                "label": asked.label,
                "rival": rival.label,
            }
        if asked.posterior is not None and self.verdicts:
            figures += " " + _("After the judge's word it is %(p)s for %(label)s.") % {
                "p": _figure(asked.posterior),
                "label": asked.label,
            }
        return figures

    @property
    def reason(self) -> str:
        """Why it was chosen from among all others."""
        if self.query.is_audit:
            return _("Asked because it was drawn at random: an audit of the judge, whose verdict is shown afterwards.")
        if self.query.reason == Query.Reason.DELEGATED:
            return _("Asked because the judge refused what was more probable before, and this label is next.")
        if self.query.reason == Query.Reason.REDEFINED:
            return _("Asked again because the definition has changed since the judge answered.")
        strategy = self.query.round.settings.get("strategy", "")
        return str(BECAUSE.get(strategy) or _("Asked because the label is uncertain."))


def verdicts_on(document_id: int) -> list[Verdict]:
    """All verdicts on a document, first to last."""
    verdicts = Verdict.objects.filter(query__document=document_id).order_by("pk")
    return list(verdicts.select_related("query__label", "better_label").only(*OF_A_VERDICT))


def what_the_judge_said(document_id: int) -> str:
    """All verdicts on a document in one sentence: for the reviewer who has decided on an audit."""
    said = ", ".join(verdict.in_words for verdict in verdicts_on(document_id))
    return _("The judge had said: %(said)s.") % {"said": said} if said else _("The judge had not answered.")


def _candidates(
    query: Query, labels: dict[int, Label], better_id: int | None, voted: Counter[int | None]
) -> list[Candidate]:
    """The labels proposed, most probable first; what only the judge thought of stands before them, and what only the
    neighbours carry behind them.
    """
    prediction = None if query.is_audit else getattr(query.document, "prediction", None)
    beliefs = prediction.beliefs if prediction else {}
    given = {query.label_id: query.probability, **dict(query.candidates)}
    candidates = [
        Candidate(label, given.get(pk), beliefs.get(pk), judge_prefers=pk == better_id, n_neighbours=voted[pk])
        for pk, label in labels.items()
    ]
    return sorted(
        candidates,
        key=lambda candidate: (
            -(candidate.judge_prefers and candidate.probability is None),
            -(candidate.belief or 0),
            -candidate.n_neighbours,
        ),
    )


def _figure(probability: float | None) -> str:
    # As on the pages: nothing rounds to certain.
    return f"{min(probability or 0, 0.99):.2f}"


def _examples(query: Query, labels: dict[int, Label], better_id: int | None) -> list[tuple[Label, list[ShownExample]]]:
    rows = query.compared_examples
    if better_id in query.labels_with_examples:
        rows = query.examples_of(query.label_id, better_id)
    ids = [document_id for document_id, _, _ in rows]
    documents = Document.objects.select_related("example").in_bulk(ids)
    by_label: dict[int, list[ShownExample]] = {}
    for document_id, label_id, similarity in rows:
        if document_id in documents and label_id in labels:
            by_label.setdefault(label_id, []).append(ShownExample(documents[document_id], similarity))
    return [(labels[label_id], examples) for label_id, examples in by_label.items()]
