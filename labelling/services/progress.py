"""How a project's rounds went: the figures behind the plot and the table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Case, Count, Exists, F, OuterRef, Q, Value, When
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import CohortMember, Decision, Document, Project, Round, SettledLabel, TrainingExample, Verdict
from labelling.models.documents import Source
from labelling.services import claims, rounds
from labelling.services.counting import kept


@dataclass(frozen=True)
class RoundScore:
    """One round's figures, of its questions and of the documents they were about.

    Shares are in [0, 1], None where there is nothing to count.

    Attributes:
        acceptance: share of the judge's verdicts that are "valid".
        agreement: share of the documents with a verdict valid or invalid and a decision on which
            both agree: valid and chosen by people, or invalid and not chosen.
        n_compared: how many documents agreement counts.
    """

    round: Round
    n_queries: int
    n_documents: int
    n_verdicts: int
    n_failures: int
    n_decisions: int
    acceptance: float | None
    agreement: float | None
    n_compared: int

    def as_point(self) -> dict[str, float | int | None]:
        """The figures that the plot draws."""
        return {
            "round": self.round.number,
            "holdout_accuracy": self.round.holdout_accuracy,
            "uncertain": self.round.uncertain,
            "training_examples": self.round.training_examples,
            "acceptance": self.acceptance,
            "agreement": self.agreement,
            "expected_gain": self.round.expected_gain,
        }


def round_scores(project: Project) -> list[RoundScore]:
    """The figures of each round that has predicted, newest first."""
    rounds = project.rounds.exclude(uncertain=None)
    verdicts = _by_round(
        rounds.annotate(
            n_queries=Count("queries"),
            n_documents=Count("queries__document", distinct=True),
            n_verdicts=Count("queries__verdict"),
            n_valid=Count("queries__verdict", filter=Q(queries__verdict__verdict=Verdict.Name.VALID)),
            n_failures=Count("queries__judge_failure"),
        ).values("number", "n_queries", "n_documents", "n_verdicts", "n_valid", "n_failures")
    )
    agreement = _by_round(_agreement(project))
    return [_score(round_, verdicts[round_.number], agreement.get(round_.number, {})) for round_ in rounds]


class Chart(NamedTuple):
    """One question about the rounds: the figure of each point that answers it, and the answer in words."""

    key: str
    question: str
    words: str
    is_share: bool


QUESTIONS = {
    "holdout_accuracy": (
        gettext_lazy("How often are the classifiers right?"),
        gettext_lazy("On %(now)s of the held-out texts in round %(number)s."),
    ),
    "uncertain": (
        gettext_lazy("How much is left?"),
        gettext_lazy("%(now)s documents were uncertain in round %(number)s."),
    ),
    "agreement": (
        gettext_lazy("Do people say what the judge says?"),
        gettext_lazy("On %(now)s of the documents of round %(number)s that both have spoken of."),
    ),
    "training_examples": (
        gettext_lazy("How much has been learnt from?"),
        gettext_lazy("From %(now)s examples in round %(number)s."),
    ),
}
SHARES = ("holdout_accuracy", "agreement")


def charts(scores: Sequence[RoundScore]) -> list[Chart]:
    """What can be drawn of rounds, the newest first: each question of which anything is known."""
    points = [score.as_point() for score in scores]
    return [
        Chart(key, str(question), _in_words(key, words, known), key in SHARES)
        for key, (question, words) in QUESTIONS.items()
        if (known := [point for point in points if point[key] is not None])
    ]


def _in_words(key: str, words: Any, known: Sequence[Mapping[str, Any]]) -> str:
    """What the newest point says, and how it was in the round before."""
    told = [
        number_format(f"{100 * point[key]:.1f}") + " %" if key in SHARES else intcomma(point[key])
        for point in known[:2]
    ]
    said = str(words) % {"now": told[0], "number": known[0]["round"]}
    if len(known) == 1:
        return said
    return said + " " + _("In round %(number)s: %(before)s.") % {"before": told[1], "number": known[1]["round"]}


@dataclass(frozen=True)
class ReviewProgress:
    """How far the review of a round is.

    Attributes:
        decided: documents that left the queue: people have decided on them, or a later round needs no person for them.
            None where so many wait that they are not counted (``claims.MANY``).
        left: those that still wait for somebody, None as above.
        total: those, and the ones that still wait.
        until_next: training examples until the next round starts by itself; None when it has to be started by hand.
    """

    decided: int | None
    left: int | None
    total: int
    until_next: int | None


def review_progress(round_: Round, last: Round | None) -> ReviewProgress:
    """How many of a round's documents are decided on, and how many more start the round after the last one."""
    waiting = round_.waiting.order_by()[: claims.MANY].count()
    total = max(round_.laid_out, waiting)
    decided, left = (total - waiting, waiting) if waiting < claims.MANY else (None, None)
    return ReviewProgress(decided, left, total, rounds.decisions_until_next(last))


@dataclass(frozen=True)
class Part:
    """A part of the bar: which of Counts' four, how many documents, where it begins and how long it is, in percent."""

    name: str
    n: int
    start: float
    percent: float


@dataclass(frozen=True)
class Counts:
    """A project's documents, each counted once, but for the seeds and the holdout.

    Attributes:
        certified: the machine's labels that a certificate covers, those audited among them.
        settled: the machine's labels that none covers yet.
        decided: by people.
        open: neither.
    """

    certified: int
    settled: int
    decided: int
    open: int

    @property
    def total(self) -> int:
        return self.certified + self.settled + self.decided + self.open

    @property
    def parts(self) -> list[Part]:
        """The four, in this order, as one bar."""
        numbers = asdict(self)
        ends = accumulate(numbers.values())
        whole = max(self.total, 1)
        return [
            Part(name, n, 100 * (end - n) / whole, 100 * n / whole)
            for (name, n), end in zip(numbers.items(), ends, strict=True)
        ]


def counts(project: Project) -> Counts:
    """Where the project's documents stand."""
    return counts_of([project.pk])[project.pk]


def counts_of(projects: Collection[int]) -> dict[int, Counts]:
    """Where the documents of projects stand, by their keys: four queries for any number of projects."""
    return kept(projects, "standing", _counted)


def _counted(projects: Collection[int]) -> dict[int, Counts]:
    covered = CohortMember.objects.filter(settled=OuterRef("pk"), certificate__isnull=False)
    by_human = TrainingExample.objects.filter(document=OuterRef("document"), source=Source.HUMAN)
    in_force = SettledLabel.objects.filter(project__in=projects, left_at=None).order_by()
    told = in_force.annotate(is_covered=Exists(covered), is_human=Exists(by_human))
    settled = {
        (project, is_covered, is_human): n
        for project, is_covered, is_human, n in told.values_list("project", "is_covered", "is_human").annotate(
            n=Count("pk")
        )
    }
    humans = TrainingExample.objects.filter(document__project__in=projects, source=Source.HUMAN).order_by()
    n_humans = dict(humans.values_list("document__project").annotate(Count("pk")))
    pool = Document.objects.filter(project__in=projects).pool().order_by()
    undecided = pool.filter(~Exists(SettledLabel.objects.filter(document=OuterRef("pk"), left_at=None)))
    n_open = dict(undecided.values_list("project").annotate(Count("pk")))
    return {
        project: Counts(
            certified=settled.get((project, True, True), 0) + settled.get((project, True, False), 0),
            settled=settled.get((project, False, False), 0),
            decided=n_humans.get(project, 0) - settled.get((project, True, True), 0),
            open=n_open.get(project, 0),
        )
        for project in projects
    }


def _agreement(project: Project):
    accepted = Q(label=F("query__label"))
    # A verdict that came after the decision saw nothing of the reviewer's doubt: it is not compared.
    in_time = Q(query__verdict__created_at__lte=F("created_at"))
    valid = in_time & Q(query__verdict__verdict=Verdict.Name.VALID)
    invalid = in_time & Q(query__verdict__verdict=Verdict.Name.INVALID)
    agrees = Case(When((valid & accepted) | (invalid & ~accepted), then=Value(1)))
    return (
        Decision.objects.standing()
        .filter(query__round__project=project)
        .order_by()
        .values(number=F("query__round__number"))
        .annotate(n_decisions=Count("pk"), n_compared=Count("pk", filter=valid | invalid), n_agreed=Count(agrees))
    )


def _by_round(rows) -> dict[int, dict]:
    return {row["number"]: row for row in rows}


def _score(round_: Round, verdicts: dict, decisions: dict) -> RoundScore:
    return RoundScore(
        round=round_,
        n_queries=verdicts["n_queries"],
        n_documents=verdicts["n_documents"],
        n_verdicts=verdicts["n_verdicts"],
        n_failures=verdicts["n_failures"],
        n_decisions=decisions.get("n_decisions", 0),
        acceptance=share(verdicts["n_valid"], verdicts["n_verdicts"]),
        agreement=share(decisions.get("n_agreed", 0), decisions.get("n_compared", 0)),
        n_compared=decisions.get("n_compared", 0),
    )


def share(part: int, whole: int) -> float | None:
    """A part of the whole, in [0, 1]; None of nothing."""
    return part / whole if whole else None
