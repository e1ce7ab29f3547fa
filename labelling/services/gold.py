"""Gold: documents whose label is known. New reviewers begin with some, later ones tell how often each is right."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from labelling.models import Decision, Document, Gold, GoldAnswer, Label, Membership, Project, Query, QueueEntry
from labelling.services import Refused, claims, trees
from labelling.services.evidence import SHOWN_ALTERNATIVES, Evidence
from labelling.services.progress import share

# With so many of them a new reviewer begins; the rest is for later.
PRACTICE = 20
# The last so many answers count, and from so many on.
OBSERVED = 50
ENOUGH = 10

Action = Decision.Action


@dataclass(frozen=True)
class Question:
    """A gold document as the review page asks about it: by its text and the labels alone.

    Attributes:
        by_name: some labels that come into question, in an order that tells nothing.
        n_practised: how many a new reviewer has answered, of ``n_practice``; both None where it is one among others.
        entry: what waits, in whose place it is shown: the page and what it sends are as if that were answered before
            the machine's word. None for practice.
    """

    document: Document
    by_name: list[Label]
    n_practised: int | None = None
    n_practice: int | None = None
    entry: QueueEntry | None = None

    answer_first = True

    @property
    def pk(self) -> int | None:
        return self.entry.pk if self.entry else None

    @property
    def query(self) -> Query | None:
        return self.entry.query if self.entry else None

    @property
    def document_id(self) -> int:
        return self.document.pk


@dataclass(frozen=True)
class Record:
    """How often somebody was right, of the gold documents that they answered and did not skip."""

    n: int
    n_right: int

    @property
    def right(self) -> float | None:
        return share(self.n_right, self.n)


def practice(project: Project, user: User) -> Question | None:
    """What a new reviewer answers next before they decide on anything; None when they are done, or not new."""
    if not practises(project, user):
        return None
    gold = _open(project, user).select_related("document__example__label").first()
    n_practised = GoldAnswer.objects.filter(document__project=project, reviewer=user).count()
    if gold is None or n_practised >= PRACTICE:
        return None
    n_practice = min(n_practised + _open(project, user).count(), PRACTICE)
    return Question(gold.document, sorted(_in_question(gold), key=str), n_practised, n_practice)


def check_practised(project: Project, user: User) -> None:
    """Make sure that nobody decides who has to practise first.

    Raises:
        Refused: when the project demands it, and they have not.
    """
    if project.practice_first and practice(project, user):
        raise Refused(_("This project demands practice first: use “Review”."))


def in_place_of(entry: QueueEntry, user: User) -> Question | None:
    """The gold document that this user gets before what waits, or nothing; the same until it is answered.

    With as many labels as the other one would have.
    """
    gold = None
    if _is_drawn(entry, user):
        gold = _open(entry.project, user).select_related("document__example__label").first()
    if gold is None:
        return None
    others = Evidence.of(entry.query).by_name
    known = [gold.document.example.label] if gold.document.example.label else []
    labels = list(dict.fromkeys([*known, *_in_question(gold), *others]))[: len(others)]
    return Question(gold.document, sorted(labels, key=str), entry=entry)


def practises(project: Project, user: User) -> bool:
    """Whether they are new here: a reviewer who has decided nothing yet."""
    if Decision.objects.filter(document__project=project, reviewer=user).exists():
        return False
    return project.memberships.filter(user=user, role=Membership.Role.REVIEWER).exists()


@transaction.atomic
def answer(document: Document, user: User, action: str, label: Label | None) -> GoldAnswer:
    """Keep what the user says of a gold document. The same document once more returns the first answer.

    Raises:
        Refused: when its label is not known any more, or for an answer that is none.
    """
    gold = Gold.objects.known().filter(document=document).select_related("document__example").first()
    if gold is None:
        raise Refused(_("The label of this document is not known any more."))
    if action not in (Action.NONE, Action.SKIP) and label is None:
        raise Refused(_("Choose one of the answers."))
    label = None if action in (Action.NONE, Action.SKIP) else label
    is_right = None if action == Action.SKIP else _is_right(gold, label)
    given, _new = GoldAnswer.objects.get_or_create(
        document=document, reviewer=user, defaults={"label": label, "is_right": is_right}
    )
    return given


def records(project: Project, users: Sequence[User] | None = None) -> dict[int, Record]:
    """By the key of each person, or of these alone, who has answered any: how often they were right."""
    answers = GoldAnswer.objects.filter(document__project=project, reviewer__isnull=False, is_right__isnull=False)
    if users is not None:
        answers = answers.filter(reviewer__in=users)
    counted = answers.order_by().values("reviewer").annotate(n=Count("pk"), n_right=Count("pk", Q(is_right=True)))
    return {row["reviewer"]: Record(row["n"], row["n_right"]) for row in counted}


def needs_second(project: Project, user: User) -> bool:
    """Whether somebody else has to decide on what this user decides, too: they are right too seldom by their gold.

    Not where nobody else reviews: what they decide would wait for ever.
    """
    if not project.gold_limit:
        return False
    said = GoldAnswer.objects.filter(document__project=project, reviewer=user, is_right__isnull=False)
    last = list(said.values_list("is_right", flat=True)[:OBSERVED])
    if len(last) < ENOUGH or last.count(True) >= project.gold_limit * len(last):
        return False
    return claims.reviewing(project).exclude(user=user).exists()


def usable(documents: QuerySet[Document]) -> QuerySet[Document]:
    """Of these, what can be picked: people gave it its label, it came in with it, and it is not gold yet."""
    return documents.filter(example__source__in=Gold.KNOWN_BY, holdout=False, gold=None)


def _open(project: Project, user: User) -> QuerySet[Gold]:
    """What the user has neither answered nor, as an ordinary document, said anything of."""
    answered = GoldAnswer.objects.filter(document=OuterRef("document"), reviewer=user)
    decided = Decision.objects.filter(document=OuterRef("document"), reviewer=user)
    return Gold.objects.known().filter(~Exists(answered), ~Exists(decided), document__project=project)


def _is_drawn(entry: QueueEntry, user: User) -> bool:
    """The project's share, drawn for what waits and anew after each answer, and not before."""
    if not entry.project.gold_share:
        return False
    n_answered = GoldAnswer.objects.filter(document__project=entry.project, reviewer=user).count()
    return zlib.crc32(f"gold {user.pk}/{n_answered}/{entry.pk}".encode()) / 2**32 < entry.project.gold_share


def _is_right(gold: Gold, label: Label | None) -> bool:
    """Whether an answer names the known label, or one below it in the tree."""
    known_id, said_id = gold.document.example.label_id, label.pk if label else None
    return known_id in trees.lines(gold.document.project).get(said_id, [said_id])


def _in_question(gold: Gold) -> list[Label]:
    """The candidates of the last question about it; the known label and its rivals where nobody was asked."""
    document = gold.document
    if query := document.queries.order_by("-pk").first():
        ids = [label_id for label_id, _probability in query.candidates[:SHOWN_ALTERNATIVES]]
    else:
        known_id = document.example.label_id
        rivals = document.project.rounds.exclude(rivals={}).values_list("rivals", flat=True).first() or {}
        ids = [known_id, *rivals.get(str(known_id), [])]
    return list(Label.objects.in_use().filter(pk__in=ids))
