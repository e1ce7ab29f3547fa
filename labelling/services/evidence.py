"""What a reviewer sees beside a text: candidates, verdict, and the training examples nearest to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import Document, JudgeFailure, Label, Query, Verdict
from labelling.models.documents import Source
from labelling.services import audits
from labelling.services.trees import lineage

SHOWN_ALTERNATIVES = 9

# Where words stand in a text: [start, end].
Spans = list[list[int]]

# What pages read of a verdict and its question, which has many more columns, and long ones.
OF_A_VERDICT = (
    *("verdict", "reason", "judge", "model", "prompt_version"),
    *("query__form", "query__offered"),
    *("query__label__code", "query__label__name", "better_label__code", "better_label__name"),
)

# Below this a label is no more than possible in theory: it rounds to nothing.
POSSIBLE = 0.01

# By query strategy.
BECAUSE = {
    "settling": gettext_lazy("One answer may settle it."),
    "gain": gettext_lazy("An answer tells much here."),
    "entropy": gettext_lazy("Many labels are possible."),
    "margin": gettext_lazy("Two labels are close."),
    "random": gettext_lazy("Drawn at random."),
}
BY_REASON = {
    Query.Reason.AUDIT: gettext_lazy("Drawn at random: an audit of what the machine settled."),
    Query.Reason.POOL_CHECK: gettext_lazy("Drawn at random, to measure with."),
    Query.Reason.SPOT_CHECK: gettext_lazy("Drawn at random, to measure with."),
    Query.Reason.WATCH: gettext_lazy("Drawn at random: an audit of a text that came later."),
    # As people's questions are chosen, see labelling.jobs.rounds.settling.
    Query.Reason.REVIEW: gettext_lazy("Two labels are close."),
    Query.Reason.DELEGATED: gettext_lazy("The judge refused what was more probable before."),
    Query.Reason.TRIAL: gettext_lazy("The judge was tried on it: its label is known."),
    Query.Reason.REDEFINED: gettext_lazy("The definition has changed since the judge answered."),
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

    @property
    def is_possible(self) -> bool:
        """Whether anything speaks for it: its probability, the judge, or an example nearby."""
        return (self.belief or 0) >= POSSIBLE or self.judge_prefers or self.n_neighbours > 0

    @property
    def shown_belief(self) -> float | None:
        """None where the figure would be 0.00."""
        return self.belief if (self.belief or 0) >= POSSIBLE else None


@dataclass(frozen=True)
class ShownExample:
    """A training example, who gave it its label (None: it has none by now), and its cosine similarity in [-1, 1]."""

    text: str
    source: Source | None
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
        predicted: the label that is believed most by now, see Query.predicted_id.
        alternatives: the other candidates that are possible, most probable first, at most nine.
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
        predicted_id = query.predicted_id
        proposed = {predicted_id, query.label_id, better_id, *voted, *(pk for pk, _ in query.candidates)}
        labels = _in_use(proposed - {None}, predicted_id)
        candidates = _candidates(query, labels, better_id, voted)
        predicted = next(candidate for candidate in candidates if candidate.label == labels[predicted_id])
        candidates.remove(predicted)
        return cls(
            query=query,
            predicted=predicted,
            alternatives=[candidate for candidate in candidates if candidate.is_possible][:SHOWN_ALTERNATIVES],
            examples=_examples(query, labels, predicted_id, better_id),
            verdicts=verdicts,
            failure=None if query.is_audit else getattr(query, "judge_failure", None),
            near_duplicates=NearDuplicates.of(query),
            record=audits.record(query.round.project, verdicts[-1], predicted_id) if verdicts else None,
        )

    @property
    def rival(self) -> Candidate | None:
        """The strongest other label: the one whose examples are shown, or else the next in probability."""
        shown = [label.pk for label, _ in self.examples if label != self.predicted.label]
        compared = [candidate for candidate in self.alternatives if candidate.label.pk in shown]
        return next(iter([*compared, *self.alternatives]), None)

    @property
    def above(self) -> list[Label]:
        """The labels above the predicted one, the nearest first: answers where the text says no more."""
        return lineage(self.predicted.label)[::-1]

    @property
    def compared(self) -> list[Label]:
        """The two labels between which it is hardest to choose, or the one there is."""
        return [candidate.label for candidate in (self.predicted, self.rival) if candidate]

    @property
    def guesses(self) -> list[int]:
        """Ids of the labels proposed, best first."""
        return [candidate.label.pk for candidate in (self.predicted, *self.alternatives)]

    @property
    def by_name(self) -> list[Label]:
        """Of the labels proposed, as many as there are keys, in an order that tells nothing."""
        return sorted((candidate.label for candidate in (self.predicted, *self.alternatives)), key=str)[
            :SHOWN_ALTERNATIVES
        ]

    @property
    def figures(self) -> str:
        """The two likeliest labels with their probabilities, and what the judge's word made of them."""
        predicted, rival = self.predicted, self.rival
        if rival is None or rival.probability is None:
            figures = _("The classifiers give %(p)s: %(label)s.") % {
                "p": _figure(predicted.probability),
                "label": predicted.label,
            }
        else:
            figures = _("%(p)s against %(q)s: %(label)s or %(rival)s.") % {
                "p": _figure(predicted.probability),
                "q": _figure(rival.probability),
                "label": predicted.label,
                "rival": rival.label,
            }
        if predicted.posterior is not None and self.verdicts:
            figures += " " + _("After the judge's word it is %(p)s for %(label)s.") % {
                "p": _figure(predicted.posterior),
                "label": predicted.label,
            }
        return figures

    @property
    def reason(self) -> str:
        """Why it was chosen from among all others, in a few words."""
        if reason := BY_REASON.get(Query.Reason(self.query.reason)):
            return str(reason)
        strategy = self.query.round.settings.get("strategy", "")
        return str(BECAUSE.get(strategy) or _("The label is uncertain."))

    @property
    def judgement(self) -> str:
        """All that the judge said, in one sentence."""
        return in_one_sentence(self.verdicts)

    @property
    def speaking(self) -> list[tuple[Label, Spans]]:
        """The predicted label and its rival, and where the words stand that speak for each; nothing of an audit."""
        words = {} if self.query.is_audit else self.query.words
        labels = [candidate.label for candidate in (self.predicted, *self.alternatives)]
        return [(label, words[str(label.pk)]) for label in labels if words.get(str(label.pk))]

    @property
    def marked_text(self) -> list[tuple[str, str]]:
        """The text in pieces, each with what it speaks for: "one", the predicted label, "other", its rival, or ""."""
        text = self.query.document.text
        spans = [
            (start, end, "one" if label == self.predicted.label else "other")
            for label, each in self.speaking
            for start, end in each
        ]
        pieces, at = [], 0
        for start, end, name in sorted(spans):
            if start < at:
                continue
            pieces += [(text[at:start], ""), (text[start:end], name)]
            at = end
        return [*pieces, (text[at:], "")]

    @property
    def speaking_words(self) -> list[tuple[Label, list[str]]]:
        """The words themselves, each once, of the predicted label and its rival."""
        text = self.query.document.text
        return [
            (label, list(dict.fromkeys(text[start:end].casefold() for start, end in spans)))
            for label, spans in self.speaking
        ]


def in_one_sentence(verdicts: Sequence[Verdict]) -> str:
    """What the judge said of a document: which label it is, or which it is not, and which it would rather have.

    Of each label the last word counts; that a refused label is suggested later is said as what it is.
    """
    refused = _last_words(verdicts, Verdict.Name.INVALID)
    confirmed = _last_words(verdicts, Verdict.Name.VALID)
    chosen = [verdict for verdict in verdicts if verdict.query.form == Query.Form.CHOOSE]
    if chosen and chosen[-1].verdict != Verdict.Name.UNSURE:
        return _("The judge %(said)s.") % {"said": chosen[-1].in_words}
    suggested = verdicts[-1].better_label if verdicts else None
    told = {"refused": listed(refused), "label": confirmed[-1] if confirmed else suggested}
    if confirmed:
        return (_("The judge: not %(refused)s, but %(label)s.") if refused else _("The judge: %(label)s.")) % told
    if suggested in refused:
        rest = [label for label in refused if label != suggested]
        told = {"label": suggested, "refused": listed(rest)}
        if rest:
            return _("The judge: not %(refused)s; of %(label)s it said both yes and no.") % told
        return _("The judge said both yes and no of %(label)s.") % told
    if refused and suggested:
        return _("The judge: not %(refused)s, rather %(label)s.") % told
    if refused:
        return _("The judge: not %(refused)s.") % told
    if suggested:
        return _("The judge is unsure, rather %(label)s.") % told
    return _("The judge is unsure.") if verdicts else ""


def listed(labels: Sequence[Label]) -> str:
    """Labels as they stand in a sentence."""
    return _(" nor ").join(str(label) for label in labels)


def _last_words(verdicts: Sequence[Verdict], name: str) -> list[Label]:
    """The labels on which this was the last verdict."""
    last = {verdict.query.label: verdict.verdict for verdict in verdicts}
    return [label for label, said in last.items() if said == name]


def verdicts_on(document_id: int) -> list[Verdict]:
    """All verdicts on a document, first to last."""
    verdicts = Verdict.objects.filter(query__document=document_id).order_by("pk")
    return list(verdicts.select_related("query__label", "better_label").only(*OF_A_VERDICT))


def what_the_judge_said(document_id: int) -> str:
    """All verdicts on a document in one sentence: for the reviewer who has decided on an audit."""
    said = ", ".join(verdict.in_words for verdict in verdicts_on(document_id))
    return _("The judge had said: %(said)s.") % {"said": said} if said else _("The judge had not answered.")


def _in_use(label_ids: Collection[int | None], predicted_id: int) -> dict[int, Label]:
    """The labels of these ids that are in use; in any case the predicted one, or what it is a part of by now."""
    labels = Label.objects.order_by().in_bulk(label_ids)
    predicted = labels[predicted_id].merged_into or labels[predicted_id]
    found = {pk: label for pk, label in labels.items() if label.retired_at is None and label != predicted}
    return found | {predicted_id: predicted}


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
        # Where a revision has divided the text's label, only its successors come into question.
        if not query.document.recoded_from_id or given.get(pk) or beliefs.get(pk)
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
    return number_format(f"{min(probability or 0, 0.99):.2f}")


def _examples(
    query: Query, labels: dict[int, Label], predicted_id: int, better_id: int | None
) -> list[tuple[Label, list[ShownExample]]]:
    """Of the predicted label and its rival; a label of which the question kept no example shows none."""
    rows = query.compared_examples
    if better_id in query.labels_with_examples:
        rows = query.examples_of(predicted_id, better_id)
    elif better_id and query.suggested:
        rows = [*query.examples_of(predicted_id), *query.suggested]
    elif predicted_id != query.label_id:
        rows = query.examples_of(predicted_id, query.label_id)
    ids = [document_id for document_id, _, _ in rows]
    found = Document.objects.order_by().filter(pk__in=ids).values_list("pk", "text", "example__source")
    documents = {pk: (text, Source(source) if source else None) for pk, text, source in found}
    by_label: dict[int, list[ShownExample]] = {}
    for document_id, label_id, similarity in rows:
        if document_id in documents and label_id in labels:
            by_label.setdefault(label_id, []).append(ShownExample(*documents[document_id], similarity))
    return [(labels[label_id], examples) for label_id, examples in by_label.items()]
