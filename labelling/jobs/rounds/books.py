"""The book of what the machine settled: read from its tables, and what is new written back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from classifiers.certificate import level_of
from classifiers.ledger import NOT_DRAWN, Look, Source, State
from classifiers.loop.book import NO_COHORT, Book
from classifiers.subset_classifier import NOISE
from labelling.jobs.rounds.paths import tree_of
from labelling.jobs.rounds.reading import booleans, columns, filled, floats, integers, places
from labelling.models import (
    AuditDraw,
    Certificate,
    Cohort,
    CohortMember,
    Project,
    Query,
    Round,
    SettledLabel,
    TrainingExample,
)
from labelling.services import audits
from labelling.services.inserting import insert

SOURCES = {SettledLabel.Source.MODEL: Source.MODEL, SettledLabel.Source.JUDGE: Source.JUDGE}
NAMES = {code: name for name, code in SOURCES.items()}
CHUNK_ROWS = 2_000
# Of the tables of settled labels and of the ledger's members: what is written of those that are new.
SETTLED = (
    "project_id", "round_id", "document_id", "label_id", "source", "posterior", "level", "is_parent", "settled_at",
    "left_because",
)  # fmt: skip
MEMBERS = ("cohort_id", "settled_id", "key", "certified_to")
# What is kept of a look at one level of the tree.
OF_A_LEVEL = ("n", "k", "ever", "now", "bound", "holds", "n_catching_up")


@dataclass
class StoredBook:
    """A Book with the rows behind it.

    Attributes:
        book: labels are ids of Label, NOISE for none of these.
        settled, members: primary keys by version; 0 where there is no row yet.
        queries: by version that was drawn, the key of its question; 0 for the others.
        n_levels: of the tree of labels; 1 without one.
    """

    project: Project
    book: Book
    settled: np.ndarray
    members: np.ndarray
    queries: np.ndarray
    n_levels: int = 1
    was_left: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    was_certified: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    was_certified_to: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))

    @property
    def limit(self) -> float:
        return float(self.project.limit)

    @classmethod
    def read(cls, project: Project) -> StoredBook:
        """What is in force and no person has decided, and everything that ever entered the project's present ledger."""
        in_ledger = CohortMember.objects.filter(
            settled=OuterRef("pk"), cohort__ledger=project.restarts, cohort__project=project
        )
        settled, document, label, source, posterior, left, level, is_parent = columns(
            project.settled_labels.filter(Q(left_at=None) & ~Exists(_decided()) | Exists(in_ledger))
            .order_by("pk")
            .values_list("pk", "document_id", "label_id", "source", "posterior", "left_at", "level", "is_parent"),
            *(integers, integers, filled(NOISE), _sources, floats, _is_there, integers, booleans),
        )
        of_ledger = CohortMember.objects.filter(cohort__project=project, cohort__ledger=project.restarts).order_by()
        versions, *values = columns(
            of_ledger.values_list(
                "settled_id",
                "pk",
                "cohort__number",
                "key",
                "draw__number",
                "draw__query_id",
                "certificate_id",
                "certified_to",
            ),
            *(integers, integers, integers, floats, filled(NOT_DRAWN), filled(0), _is_there, integers),
        )
        nothing = (0, NO_COHORT, np.nan, NOT_DRAWN, 0, False, 0)
        rows = places(versions, settled)
        pks, cohort, key, drawn, queries, certified, certified_to = (
            _spread(column, rows, len(settled), none) for column, none in zip(values, nothing, strict=True)
        )
        states, state = audits.states(project), np.full(len(settled), State.OPEN, dtype=int)
        for row in np.flatnonzero(queries).tolist():
            state[row] = states.get(int(queries[row]), State.OPEN)
        book = Book(
            document=document,
            label=label,
            source=source,
            posterior=posterior,
            left=left,
            cohort=cohort,
            key=key,
            drawn=drawn,
            state=state,
            certified=certified,
            level=level,
            is_parent=is_parent,
            certified_to=certified_to,
        )
        n_levels = tree.n_levels if (tree := tree_of(project)) else 1
        before = (book.left.copy(), book.certified.copy(), book.certified_to.copy())
        return cls(project, book, settled, pks, queries, n_levels, *before)

    def look(self, round_: Round) -> Look:
        """Look at the ledger, and write down what was seen."""
        book, level = self.book, float(self.project.level)
        look = book.look(self.limit, level_of(self.project.restarts, level))
        if not book.entered.any():
            return look
        certificate = Certificate.objects.create(
            project=self.project,
            round=round_,
            ledger=self.project.restarts,
            limit=self.limit,
            level=level,
            n=look.n,
            k=look.k,
            ever=look.ever,
            now=look.now,
            depth=look.depth,
            bound=look.bound,
            holds=look.holds,
            still_needed=look.still_needed,
            n_open=look.n_open,
            n_catching_up=look.n_catching_up,
            finite=look.finite,
            levels=self._look_on_levels(look.level),
        )
        new = book.certified & ~self.was_certified
        for pks in _chunks(self.members[new]):
            CohortMember.objects.filter(pk__in=pks.tolist(), certificate=None).update(certificate=certificate)
        self.was_certified = book.certified.copy()
        return look

    def _look_on_levels(self, level: float) -> list[dict[str, Any]]:
        """Look at each level of the tree, and write down what its certificate covers; nothing without a tree."""
        book, found = self.book, []
        if self.n_levels == 1:
            return []
        audited = audits.Found.of(self.project)
        for depth in range(1, self.n_levels + 1):
            states = audited.states(depth)
            state = np.array([states.get(query, State.OPEN) for query in self.queries.tolist()], dtype=int)
            look = book.look_on(depth, state, self.limit, level)
            found.append({"level": depth} | {name: getattr(look, name) for name in OF_A_LEVEL})
        for depth in range(1, self.n_levels + 1):
            new = (book.certified_to == depth) & (self.was_certified_to < depth)
            for pks in _chunks(self.members[new]):
                CohortMember.objects.filter(pk__in=pks.tolist()).update(certified_to=depth)
        self.was_certified_to = book.certified_to.copy()
        return found

    def write_settled(self, round_: Round, new: np.ndarray) -> None:
        """Write the versions at these positions, and which have left."""
        left = self.book.left[: len(self.was_left)] & ~self.was_left
        for pks in _chunks(self.settled[: len(self.was_left)][left]):
            SettledLabel.objects.filter(pk__in=pks.tolist()).update(
                left_at=timezone.now(), left_because=SettledLabel.Left.WITHDRAWN
            )
        book = self.book
        settled = [self.settled]
        for positions in _chunks(new):
            rows = list(self._versions(round_, positions))
            pks_of = dict(insert(SettledLabel, SETTLED, rows, returning=("document_id", "id")))
            settled.append(integers([pks_of[document] for document in book.document[positions].tolist()]))
        self.settled = np.concatenate(settled)
        self.members = np.append(self.members, np.zeros(len(new), dtype=int))
        self.queries = np.append(self.queries, np.zeros(len(new), dtype=int))
        self.was_left = book.left.copy()
        self.was_certified = book.certified.copy()
        self.was_certified_to = book.certified_to.copy()

    def _versions(self, round_: Round, positions: np.ndarray) -> Iterator[tuple[Any, ...]]:
        """The versions at these positions as rows of SETTLED."""
        book, now = self.book, connection.ops.adapt_datetimefield_value(timezone.now())
        written = (book.document, book.label, book.source, book.posterior, book.level, book.is_parent)
        columns = (column[positions].tolist() for column in written)
        for document, label, source, posterior, level, is_parent in zip(*columns, strict=True):
            of_label = None if label == NOISE else label, NAMES[source].value, posterior, level, is_parent
            yield self.project.pk, round_.pk, document, *of_label, now, ""

    def enter(self, round_: Round, look: Look, waits: bool) -> None:
        """Let those enter the ledger whose turn it is."""
        seed = [round_.settings["random_seed"], self.project.restarts]
        new = self.book.enter(self.limit, look.holds, waits, seed)
        if not len(new):
            return
        cohorts = {
            number: Cohort.objects.create(
                project=self.project, ledger=self.project.restarts, number=number, round=round_
            ).pk
            for number in np.unique(self.book.cohort[new]).tolist()
        }
        for positions in _chunks(new):
            settled, key = self.settled[positions].tolist(), self.book.key[positions].tolist()
            cohort = [cohorts[number] for number in self.book.cohort[positions].tolist()]
            rows = [(*row, 0) for row in zip(cohort, settled, key, strict=True)]
            pks_of = dict(insert(CohortMember, MEMBERS, rows, returning=("settled_id", "id")))
            self.members[positions] = [pks_of[pk] for pk in settled]

    def draw(self, size: int) -> np.ndarray:
        """Draw the next audits; return positions of the versions."""
        return self.book.draw(size)

    def write_draws(self, drawn: np.ndarray, queries: Sequence[Query]) -> None:
        """Write the draws with the questions by which people decide on them, one for each."""
        book = self.book
        there = book.entered & ~book.left
        ever, now = int(book.entered.sum()), int(there.sum())
        earlier = book.key[(book.drawn != NOT_DRAWN) & (book.drawn < book.drawn[drawn].min(initial=len(book)))]
        depths = np.maximum(np.maximum.accumulate(book.key[drawn]), earlier.max(initial=0.0)) if len(drawn) else []
        AuditDraw.objects.bulk_create(
            AuditDraw(member_id=member_id, query=query, number=number, ever=ever, now=now, depth=depth)
            for member_id, query, number, depth in zip(
                self.members[drawn].tolist(), queries, book.drawn[drawn].tolist(), depths, strict=True
            )
        )


def _decided() -> QuerySet[TrainingExample]:
    """A person's label: after a restart what was audited before is neither evidence nor claimed."""
    return TrainingExample.objects.filter(document=OuterRef("document"), source="human")


def _sources(names: Sequence[str]) -> np.ndarray:
    return integers([SOURCES[SettledLabel.Source(name)] for name in names])


def _is_there(values: Sequence[Any]) -> np.ndarray:
    return booleans([value is not None for value in values])


def _spread(values: np.ndarray, rows: np.ndarray, n_rows: int, none: float) -> np.ndarray:
    """Put values at their rows, of all that there are; ``none`` at the others."""
    found = np.full(n_rows, none, dtype=values.dtype)
    found[rows] = values
    return found


def _chunks(pks: np.ndarray) -> list[np.ndarray]:
    return [pks[start : start + CHUNK_ROWS] for start in range(0, len(pks), CHUNK_ROWS)]
