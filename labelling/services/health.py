"""How well each label does, and the documents behind each figure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.models import Count, F, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from labelling.models import AuditDraw, Decision, Document, Label, Measurement, Prediction, Project, TrainingExample
from labelling.models.documents import Source
from labelling.services import audits, definitions, suspicions
from labelling.services.shares import Interval, shares

Pair = tuple[int, int]


class Share(NamedTuple):
    """So many of so many."""

    k: int
    n: int

    @property
    def smoothed(self) -> float:
        """What to expect of the next one, in (0, 1): few observations say little."""
        return (self.k + 1) / (self.n + 2)


NOTHING = Share(0, 0)


@dataclass
class Health:
    """One label's figures.

    Attributes:
        sources: examples by source.
        found: of its documents in the holdout, how many the classifiers found.
        right: of those in the holdout that they gave this label, how many have it.
        audited: of its labels that the machine settled and people audited, how many were right.
        judge: of the judge's verdicts on it in audits, how many agreed with people.
        overridden: how often people chose another label where it was predicted, by that label's id.
        confused: how often it and another label were taken for each other, by that label's id.
        n_stale: verdicts that saw another definition.
        n_suspicious: examples that another label fits better.
        share: how common it is in the pool; None before a round has estimated that.
        rival: the label that it is confused with most, or else the one whose examples are most like its own.
        instead: the label that people chose most often in its place.
    """

    label: Label
    sources: Counter[str] = field(default_factory=Counter)
    found: Share = NOTHING
    right: Share = NOTHING
    audited: Share = NOTHING
    judge: Share = NOTHING
    overridden: Counter[int] = field(default_factory=Counter)
    confused: Counter[int] = field(default_factory=Counter)
    n_stale: int = 0
    n_suspicious: int = 0
    share: Interval | None = None
    rival: Label | None = None
    instead: Label | None = None

    @property
    def n_examples(self) -> int:
        return self.sources.total()

    @property
    def n_overridden(self) -> int:
        return self.overridden.total()

    @property
    def n_confused(self) -> int:
        """With the closest rival."""
        return self.confused[self.rival.pk] if self.rival else 0

    @property
    def by_source(self) -> list[tuple[str, str, int]]:
        """Name and words of each source, and its examples."""
        return [(str(source), str(source.label), self.sources[source]) for source in Source if self.sources[source]]

    @property
    def strength(self) -> float:
        """The worst of what is known, in (0, 1): by this the weak ones come first."""
        known = [share.smoothed for share in (self.found, self.right, self.audited) if share.n]
        return min([*known, self.n_examples / (self.n_examples + 1)])


SORTS: dict[str, Callable[[Health], Any]] = {
    "weak": lambda one: (one.strength, one.label.name),
    "label": lambda one: (one.label.code, one.label.name),
    "examples": lambda one: one.n_examples,
    "found": lambda one: one.found.smoothed,
    "right": lambda one: one.right.smoothed,
    "audited": lambda one: one.audited.smoothed,
    "overridden": lambda one: -one.n_overridden,
    "confused": lambda one: -one.n_confused,
    "judge": lambda one: one.judge.smoothed,
    "suspicious": lambda one: -one.n_suspicious,
    "share": lambda one: -(one.share.share if one.share else 0.0),
}
FILTERS = {
    "": (_("All"), lambda one: True),
    "few": (_("Fewer than 10 examples"), lambda one: one.n_examples < 10),
    "undefined": (_("Without a definition"), lambda one: not one.label.definition),
    "stale": (_("Verdicts saw another definition"), lambda one: one.n_stale > 0),
    "overridden": (_("Changed by people"), lambda one: one.n_overridden > 0),
    "confused": (_("Confused with another"), lambda one: one.confused.total() > 0),
    "suspicious": (_("Suspicious examples"), lambda one: one.n_suspicious > 0),
}
FIGURES = {
    "missed": _("held out as %(label)s, predicted as another label"),
    "taken": _("held out as another label, predicted as %(label)s"),
    "wrong": _("settled as %(label)s, wrong in an audit"),
    "overridden": _("predicted as %(label)s, changed by people"),
    "confused": _("%(label)s and %(other)s taken for each other"),
}


def table(project: Project) -> list[Health]:
    """The figures of all leaves in use, in no order."""
    labels = Label.objects.filter(project=project).in_bulk()
    in_use = [label for label in labels.values() if label.retired_at is None]
    # As Label.objects.leaves() has them: a thousand labels are read once.
    parents = {label.parent_id for label in in_use}
    rows = {label.pk: Health(label) for label in in_use if label.pk not in parents}
    _count_examples(project, rows)
    on_holdout = _on_holdout(project)
    _count_holdout(on_holdout, rows)
    _count_audits(project, rows)
    _count_judge(project, rows)
    overrides = _overrides(project)
    for (predicted, chosen), n in overrides.items():
        if predicted in rows:
            rows[predicted].overridden[chosen] += n
    _count_confusions(on_holdout + overrides, rows)
    for label, n in definitions.stale_counts(project).items():
        if label.pk in rows:
            rows[label.pk].n_stale = n
    suspected = suspicions.standing(project).order_by().values_list("label").annotate(Count("pk"))
    for label_id, n in suspected:
        if label_id in rows:
            rows[label_id].n_suspicious = n
    estimated = shares(project)
    for label_id, row in rows.items():
        row.share = estimated.of_label.get(label_id) if estimated else None
    _name_rivals(project, rows, labels)
    return list(rows.values())


def worst_pairs(project: Project, at_most: int) -> list[tuple[Label, Label, int]]:
    """The two labels that are taken for each other most often, on the holdout and by people's word; most first."""
    labels = project.labels.in_use().in_bulk()
    pairs: Counter[Pair] = Counter()
    for (true, said), n in (_on_holdout(project) + _overrides(project)).items():
        if true != said and true in labels and said in labels:
            pairs[min(true, said), max(true, said)] += n
    return [(labels[one], labels[other], n) for (one, other), n in pairs.most_common(at_most)]


def behind(project: Project, figure: str, label: Label, other: Label | None = None) -> QuerySet[Document]:
    """The documents behind a figure, one of FIGURES, of a label, for "confused" of two."""
    documents = project.documents
    predicted, given = Q(prediction__label=label), Q(given_label=label)
    if figure == "missed":
        return documents.filter(given & ~predicted, holdout=True, prediction__isnull=False)
    if figure == "taken":
        return documents.filter(predicted & ~given, holdout=True).exclude(given_label=None)
    if figure == "wrong":
        return documents.filter(pk__in=[pk for pk, state in _audits(project, label) if state == audits.State.WRONG])
    changed = _changed(project)
    if figure == "overridden":
        return documents.filter(pk__in=changed.filter(query__label=label).values("document"))
    both = [label, other or label]
    mixed = changed.filter(query__label__in=both, label__in=both).values("document")
    on_holdout = Q(holdout=True, given_label__in=both, prediction__label__in=both) & ~Q(
        prediction__label=F("given_label")
    )
    return documents.filter(on_holdout | Q(pk__in=mixed))


def _count_examples(project: Project, rows: Mapping[int, Health]) -> None:
    examples = TrainingExample.objects.filter(document__project=project).order_by()
    for label_id, source, n in examples.values_list("label", "source").annotate(Count("pk")):
        if label_id in rows:
            rows[label_id].sources[source] = n


def _on_holdout(project: Project) -> Counter[Pair]:
    """By the given and the predicted label, the held-out documents."""
    held_out = Prediction.objects.filter(document__project=project, document__holdout=True).order_by()
    counted = held_out.exclude(document__given_label=None).values_list("document__given_label", "label")
    return Counter({(true, said): n for true, said, n in counted.annotate(Count("pk"))})


def _count_holdout(pairs: Mapping[Pair, int], rows: Mapping[int, Health]) -> None:
    given: Counter[int] = Counter()
    said: Counter[int] = Counter()
    for (true, predicted), n in pairs.items():
        given[true] += n
        said[predicted] += n
    for label_id, row in rows.items():
        right = pairs.get((label_id, label_id), 0)
        row.found, row.right = Share(right, given[label_id]), Share(right, said[label_id])


def _count_audits(project: Project, rows: Mapping[int, Health]) -> None:
    by_label: dict[int | None, Counter[audits.State]] = defaultdict(Counter)
    draws = AuditDraw.objects.filter(member__cohort__project=project)
    states = audits.states(project)
    for query_id, label_id in draws.values_list("query_id", "member__settled__label_id"):
        by_label[label_id][states[query_id]] += 1
    for label_id, row in rows.items():
        right, wrong = (by_label[label_id][state] for state in (audits.State.RIGHT, audits.State.WRONG))
        row.audited = Share(right, right + wrong)


def _audits(project: Project, label: Label) -> Iterable[tuple[int, audits.State]]:
    states = audits.states(project)
    draws = AuditDraw.objects.filter(member__cohort__project=project, member__settled__label=label)
    return [(pk, states[query_id]) for pk, query_id in draws.values_list("member__settled__document_id", "query_id")]


def _count_judge(project: Project, rows: Mapping[int, Health]) -> None:
    """Of the judge with most verdicts, as its page says."""
    measurement = Measurement.objects.filter(project=project).first()
    for figures in (measurement.figures if measurement else [])[:1]:
        for measured in figures["labels"]:
            agreement = measured["agreement"]
            if measured["label"] in rows and agreement["value"] is not None:
                n = agreement["n"]
                rows[measured["label"]].judge = Share(round(agreement["value"] * n), n)


def _changed(project: Project) -> QuerySet[Decision]:
    """What people decided against the label that they were asked about."""
    overrides = Decision.objects.standing().filter(document__project=project, action=Decision.Action.OVERRIDE)
    return overrides.exclude(query=None).exclude(label=F("query__label"))


def _overrides(project: Project) -> Counter[Pair]:
    """By the label asked about and the one chosen."""
    counted = _changed(project).order_by().values_list("query__label", "label").annotate(Count("pk"))
    return Counter({(asked, chosen): n for asked, chosen, n in counted if chosen})


def _count_confusions(pairs: Mapping[Pair, int], rows: Mapping[int, Health]) -> None:
    for (one, other), n in pairs.items():
        for label_id, rival_id in ((one, other), (other, one)):
            if one != other and label_id in rows:
                rows[label_id].confused[rival_id] += n


def _name_rivals(project: Project, rows: Mapping[int, Health], labels: Mapping[int, Label]) -> None:
    nearest = project.rounds.exclude(rivals={}).values_list("rivals", flat=True).first() or {}
    for label_id, row in rows.items():
        confused = next(iter(row.confused.most_common(1)), (None, 0))[0]
        alike = next((pk for pk in nearest.get(str(label_id), []) if pk in rows), None)
        row.rival = labels.get(confused or alike or 0)
        row.instead = labels.get(next(iter(row.overridden.most_common(1)), (0, 0))[0])
