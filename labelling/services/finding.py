"""Documents by whatever is known of them: what the desk, the export and the API can ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.utils.translation import gettext_lazy

from labelling.models import (
    CohortMember,
    CsvImport,
    Decision,
    Document,
    Label,
    Project,
    Query,
    Round,
    Row,
    SettledLabel,
    TrainingExample,
    Verdict,
    words,
)
from labelling.services import audits, days, flags, health, trees

KINDS = {
    "": gettext_lazy("All"),
    "pool": gettext_lazy("Without a label"),
    "queue": gettext_lazy("Waiting for review"),
    "settled": gettext_lazy("Settled by the machine"),
    "human": gettext_lazy("Labelled by people"),
    "judge": gettext_lazy("Accepted from the judge"),
    "seed": gettext_lazy("Seed examples"),
    "holdout": gettext_lazy("Held out"),
    "skipped": gettext_lazy("Skipped"),
    "flagged": gettext_lazy("Flagged"),
    "gold": gettext_lazy("Train reviewers"),
}
SORTS = {
    "": gettext_lazy("As they came in"),
    "newest": gettext_lazy("The newest first"),
    "doubtful": gettext_lazy("The least probable first"),
    "sure": gettext_lazy("The most probable first"),
}
# By sort: the columns, each with whether the largest comes first; with the key last, no two documents are equal.
ORDERS = {
    "": [("pk", False)],
    "newest": [("pk", True)],
    "doubtful": [("prediction__posterior", False), ("prediction__document_id", False)],
    "sure": [("prediction__posterior", True), ("prediction__document_id", True)],
}
BY_PRIORITY = [("queue_entry__priority", False), ("pk", False)]


@dataclass(frozen=True)
class Criteria:
    """What is asked for; whatever is empty asks for nothing.

    Attributes:
        show: one of KINDS.
        words: see words.in_texts.
        own_id: of a line that came in.
        label: that the document has got; with ``below`` also any label under it in the tree.
        predicted: the label that is believed most.
        certified: "yes" or "no" of the labels that the machine settled.
        least, most: limits of the belief, in [0, 1].
        verdict: what the judge said at some time.
        reviewer: who decided on it; ``since`` and ``until`` the days on which that was.
        round: in which it was asked about.
        csv_import: that brought it.
        column, value: of its metadata.
        figure: of a label's health, with ``label`` and perhaps ``other``, see health.FIGURES.
        sort: one of SORTS.
    """

    show: str = ""
    words: str = ""
    own_id: str = ""
    label: Label | None = None
    below: bool = False
    predicted: Label | None = None
    certified: str = ""
    least: float | None = None
    most: float | None = None
    verdict: str = ""
    reviewer: User | None = None
    since: date | None = None
    until: date | None = None
    round: Round | None = None
    csv_import: CsvImport | None = None
    column: str = ""
    value: str = ""
    figure: str = ""
    other: Label | None = None
    sort: str = ""

    @property
    def order(self) -> Sequence[tuple[str, bool]]:
        """The columns to sort by, each with whether the largest comes first."""
        return BY_PRIORITY if self.show == "queue" and not self.sort else ORDERS[self.sort]

    @property
    def needs_prediction(self) -> bool:
        return self.sort in ("doubtful", "sure")

    @property
    def by_decision(self) -> bool:
        return bool(self.reviewer or self.since or self.until)

    @property
    def tells_judge(self) -> bool:
        """Whether which documents are found, or where they stand, tells what a judge said of them."""
        bounds = (self.least, self.most)
        return bool(self.predicted or self.verdict or self.needs_prediction or any(one is not None for one in bounds))


def find(project: Project, user: User, criteria: Criteria) -> QuerySet[Document]:
    """The documents that fit, in no order; of what a judge said of waiting audits they tell nothing.

    Which ones are gold managers alone are told: others get them among those that they decide on.

    Each has ``is_blind``: whether it is such an audit.
    """
    return find_in_order(project, user, criteria)[0]


def find_in_order(project: Project, user: User, criteria: Criteria) -> tuple[QuerySet[Document], QuerySet[Document]]:
    """What ``find`` returns, and the same again as the first few of the order asked for are found most quickly."""
    documents, has_label = _without_words(project, user, criteria), criteria.predicted is not None
    found = _with_words(documents, criteria, looked_up=has_label)
    return found, _with_words(documents, criteria, looked_up=has_label or criteria.needs_prediction)


def _with_words(documents: QuerySet[Document], criteria: Criteria, looked_up: bool) -> QuerySet[Document]:
    """Those with the words and the value that are asked for; ``looked_up``: see words.in_texts."""
    if criteria.words:
        documents = documents.filter(words.in_texts(criteria.words, looked_up))
    if criteria.column:
        documents = documents.filter(words.in_metadata(criteria.column, criteria.value, looked_up))
    return documents


def _without_words(project: Project, user: User, criteria: Criteria) -> QuerySet[Document]:
    documents = _of_kind(project, criteria.show)
    if criteria.show == "gold" and not project.is_managed_by(user):
        documents = documents.none()
    for name, condition in CONDITIONS.items():
        if getattr(criteria, name) not in (None, "", False):
            documents = documents.filter(condition(project, user, criteria))
    return documents.order_by()


def for_pages(project: Project, documents: QuerySet[Document]) -> QuerySet[Document]:
    """The same documents with what a list shows of them; each with ``is_blind``: whether it is a waiting audit."""
    related = ("example__label", "given_label", "prediction__label", "prediction__posterior_label")
    standing = Prefetch("flags", flags.standing(project).select_related("author"), to_attr="standing_flags")
    is_blind = Exists(audits.waiting(project).filter(document=OuterRef("pk")))
    return documents.select_related(*related).prefetch_related(standing).annotate(is_blind=is_blind)


def _of_kind(project: Project, show: str) -> QuerySet[Document]:
    documents = project.documents.all()
    if show in ("human", "judge", "seed"):
        return documents.filter(example__source=show)
    if show == "pool":
        return documents.pool()
    if show == "queue":
        return documents.filter(queue_entry__isnull=False)
    if show == "settled":
        return documents.filter(pk__in=_settled(project).values("document"))
    if show == "holdout":
        return documents.filter(holdout=True)
    if show == "skipped":
        skips = Decision.objects.filter(
            document__project=project, action=Decision.Action.SKIP, withdrawn_by=None
        ).values("document")
        return documents.filter(pk__in=skips, example=None)
    if show == "gold":
        return documents.filter(gold__isnull=False)
    if show == "flagged":
        return documents.filter(pk__in=flags.standing(project).values("document"))
    return documents


def _with_label(project: Project, _user: User, asked: Criteria) -> Q:
    label = asked.label
    if label and asked.figure:
        return Q(pk__in=health.behind(project, asked.figure, label, asked.other).order_by().values("pk"))
    labels = trees.below(project, label) if label and asked.below else [label]
    return Q(pk__in=TrainingExample.objects.filter(label__in=labels).values("document"))


def _with_id(_project: Project, _user: User, asked: Criteria) -> Q:
    own = Q(external_id=asked.own_id) & ~Q(external_id="")
    return own | Q(pk__in=Row.objects.filter(external_id=asked.own_id).values("document"))


def _imported(_project: Project, _user: User, asked: Criteria) -> Q:
    again = Row.objects.filter(csv_import=asked.csv_import).values("document")
    return Q(csv_import=asked.csv_import) | Q(pk__in=again)


def _judged(project: Project, _user: User, asked: Criteria) -> Q:
    said = Verdict.objects.filter(verdict=asked.verdict, query__round__project=project)
    return Q(pk__in=said.values("query__document"))


def _decided(project: Project, user: User, asked: Criteria) -> Q:
    """By decisions that stand, of the reviewer and the days asked for, as far as this user may know of them."""
    decisions = Decision.objects.standing().told_to(user).filter(document__project=project)
    if asked.reviewer:
        decisions = decisions.filter(reviewer=asked.reviewer)
    decisions = decisions.filter(days.within("created_at", asked.since, asked.until))
    return Q(pk__in=decisions.order_by().values("document"))


def _no_waiting_audit(project: Project, _user: User, _asked: Criteria) -> Q:
    """Their keys are read once, for the rows and for their number: they are few, and it takes its time."""
    return ~Q(pk__in=list(audits.waiting(project).values_list("document", flat=True)))


# By what is asked for. Rows of other tables are named by keys, so that a database may begin with them.
CONDITIONS: dict[str, Callable[[Project, User, Criteria], Q]] = {
    "own_id": _with_id,
    "label": _with_label,
    "predicted": lambda _project, _user, asked: Q(prediction__posterior_label=asked.predicted),
    "least": lambda _project, _user, asked: Q(prediction__posterior__gte=asked.least),
    "most": lambda _project, _user, asked: Q(prediction__posterior__lte=asked.most),
    "needs_prediction": lambda _project, _user, _asked: Q(prediction__isnull=False),
    "certified": lambda project, _user, asked: Q(pk__in=_settled(project, asked.certified == "yes").values("document")),
    "verdict": _judged,
    "by_decision": _decided,
    "round": lambda _project, _user, asked: Q(pk__in=Query.objects.filter(round=asked.round).values("document")),
    "csv_import": _imported,
    "tells_judge": _no_waiting_audit,
}


def _settled(project: Project, certified: bool | None = None) -> QuerySet[SettledLabel]:
    in_force = project.settled_labels.filter(left_at=None)
    if certified is None:
        return in_force
    covered = Exists(CohortMember.objects.filter(settled=OuterRef("pk"), certificate__isnull=False))
    return in_force.filter(covered if certified else ~covered)
