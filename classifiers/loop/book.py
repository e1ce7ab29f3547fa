"""The book of what the machine settled: which labels, when they entered the ledger of audits, what audits found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from classifiers import ledger
from classifiers.ledger import NOT_DRAWN, Look, Source, State
from classifiers.loop.settling import Standing, bars, settles
from classifiers.trees import MAX_LEVELS, NOWHERE, Tree

NO_COHORT = -1
NO_VERSION = -1
# Deeper than any label: stands for what needs no further one.
DEEPEST = MAX_LEVELS + 1


@dataclass(frozen=True)
class Branches:
    """Where the most probable labels of n documents lie in a tree, and the parents that are more probable than not.

    Attributes:
        depth: level of the most probable label, from 1 at the top; of none of these the last one. Shape (n,).
        label: parents from the top down, NOWHERE where none is, shape (n, n_levels).
        belief: in them, with all that lies below them; shape (n, n_levels).
    """

    depth: np.ndarray
    label: np.ndarray
    belief: np.ndarray

    @classmethod
    def of(cls, tree: Tree, best: np.ndarray, path: np.ndarray, sums: np.ndarray) -> Branches:
        """Tell the parents on a path from the most probable label.

        Args:
            best: the most probable label of each document, NOWHERE for none of these, shape (n,).
            path, sums: as Tree.paths returns them, shape (n, n_levels).
        """
        depth = np.where(best == NOWHERE, tree.n_levels, tree.depth(best))
        return cls(depth, np.where(path == best[:, None], NOWHERE, path), sums)

    @classmethod
    def none(cls, n: int) -> Branches:
        """Of labels without parents."""
        return cls(np.ones(n, dtype=int), np.empty((n, 0), dtype=int), np.empty((n, 0)))


def _none(kind: type) -> np.ndarray:
    return np.empty(0, dtype=kind)


@dataclass
class Book:
    """Label versions, an entry each, in the order in which they were settled; all arrays of shape (n_versions,).

    A version keeps what it was when it was settled. It leaves when the machine changes its mind or a person decides
    unasked.

    Attributes:
        document: which document.
        label: its label's code, or that of "none of these".
        source: on whose word, a Source.
        posterior: probability of the label at that moment.
        left: whether it has left.
        cohort: with which others it entered the ledger, 0, 1, ...; NO_COHORT before.
        key: its place in the order of audits, in [0, 1]; NaN before.
        drawn: its place among all audits drawn, 0, 1, ...; NOT_DRAWN before.
        state: of the audit, a State; OPEN before.
        certified: whether a certificate has covered it.
        level: of the label in the tree, from 1 at the top; 1 without a tree.
        is_parent: whether the label has others below it: the document may still get one of those.
        certified_to: the deepest level whose own certificate has covered it, 0 for none.
    """

    document: np.ndarray = field(default_factory=lambda: _none(int))
    label: np.ndarray = field(default_factory=lambda: _none(int))
    source: np.ndarray = field(default_factory=lambda: _none(int))
    posterior: np.ndarray = field(default_factory=lambda: _none(float))
    left: np.ndarray = field(default_factory=lambda: _none(bool))
    cohort: np.ndarray = field(default_factory=lambda: _none(int))
    key: np.ndarray = field(default_factory=lambda: _none(float))
    drawn: np.ndarray = field(default_factory=lambda: _none(int))
    state: np.ndarray = field(default_factory=lambda: _none(int))
    certified: np.ndarray = field(default_factory=lambda: _none(bool))
    level: np.ndarray = field(default_factory=lambda: _none(int))
    is_parent: np.ndarray = field(default_factory=lambda: _none(bool))
    certified_to: np.ndarray = field(default_factory=lambda: _none(int))

    def __len__(self) -> int:
        return len(self.document)

    @property
    def entered(self) -> np.ndarray:
        return self.cohort != NO_COHORT

    @property
    def audited(self) -> np.ndarray:
        """Drawn and decided on."""
        return (self.drawn != NOT_DRAWN) & ((self.state == State.RIGHT) | (self.state == State.WRONG))

    @property
    def present(self) -> np.ndarray:
        """In force: neither left nor decided on by a person."""
        return ~self.left & ~self.audited

    @property
    def covered(self) -> np.ndarray:
        """Certified and still in force, or certified and audited."""
        return self.certified & ~self.left

    @property
    def waiting(self) -> np.ndarray:
        """Drawn, and nobody has decided yet: the machine leaves these as they are."""
        return (self.drawn != NOT_DRAWN) & ~self.left & ~self.audited

    @property
    def risk(self) -> np.ndarray:
        """Probability of each label to be wrong."""
        return self.scaled(self.posterior, self.source)

    def scaled(self, posterior: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Return the probability of labels to be wrong, scaled for each source by what audits found."""
        found = self.audited
        errors = self.state[found] == State.WRONG
        return ledger.risk(posterior, source, ledger.kappas(self.posterior[found], self.source[found], errors))

    def standing(self) -> Standing:
        """What is settled now, and what audits found."""
        present, audited = self.present, self.audited
        return Standing(
            n=int(present.sum()),
            expected_wrong=float(self.risk[present].sum()),
            n_audits=int(audited.sum()),
            n_errors=int((self.state[audited] == State.WRONG).sum()),
        )

    def settle(
        self,
        document: np.ndarray,
        label: np.ndarray,
        posterior: np.ndarray,
        judged: np.ndarray,
        certainty: float,
        limit: float,
        branches: Branches | None = None,
    ) -> np.ndarray:
        """Settle what is certain enough of these documents, and withdraw labels that are not believed any more.

        Where the most probable label is not certain, the deepest of the parents that are is settled, until a deeper one
        is. A label that the model settled alone is settled anew once the judge has confirmed it, unless it has entered
        the ledger.

        Args:
            document: those without a label by a person or on the judge's word, and without a waiting audit, shape (n,).
            label, posterior: their most probable label by now and its probability, shape (n,).
            judged: see settling.bars; shape (n,).
            certainty: see settling.bars.
            limit: the largest share wrong, see settling.settles.
            branches: where they lie in a tree; None without one.

        Returns:
            Positions of the new versions.
        """
        branches = branches or Branches.none(len(document))
        bar = bars(certainty, judged)
        version = self._version_of(document)
        there = np.flatnonzero(version != NO_VERSION)
        old, is_parent = self.label[version[there]], self.is_parent[version[there]]
        is_believed = is_parent & (branches.label[there] == old[:, None]).any(axis=1)
        confirmed = judged[there] & (posterior[there] >= bar[there]) & ~self.entered[version[there]]
        self.left[version[there[~((old == label[there]) | is_believed) | confirmed]]] = True
        held = np.zeros(len(document), dtype=int)
        stays = there[~self.left[version[there]]]
        held[stays] = np.where(self.is_parent[version[stays]], self.level[version[stays]], DEEPEST)
        source = np.where(judged, Source.JUDGE, Source.MODEL)
        parents = [(branches.label[:, at], branches.belief[:, at], at + 1) for at in range(branches.label.shape[1])]
        new = []
        for labels, belief, level in [(label, posterior, branches.depth), *reversed(parents)]:
            is_leaf = labels is label
            may = (held < (DEEPEST if is_leaf else level)) & (is_leaf | (labels != NOWHERE))
            risk = self.scaled(belief, source)
            passes = np.flatnonzero(settles(belief, np.where(may, bar, np.inf), risk, self.standing(), limit))
            self.left[version[passes[held[passes] > 0]]] = True
            levels = np.broadcast_to(level, len(document))[passes]
            new.append(self._add(document[passes], labels[passes], source[passes], belief[passes], levels, not is_leaf))
            held[passes] = DEEPEST
        return np.concatenate(new)

    def leave(self, documents: np.ndarray | Sequence[int]) -> None:
        """Let the versions of documents leave that a person decided on unasked; what was audited stays."""
        self.left |= np.isin(self.document, documents) & ~self.audited

    def enter(self, limit: float, holds: bool, waits: bool, random_state: Sequence[int]) -> np.ndarray:
        """Let those enter the ledger whose turn it is, as one cohort for each level; return their positions.

        At first the surest, once they are enough to begin with. Then what is as sure as those, and while the
        certificate holds the next tenth of all that is settled.

        Args:
            limit: the largest share wrong.
            holds: whether the certificate does.
            waits: whether to wait until the surest are enough to begin with; else a part of what is settled will do.
            random_state: seed; the cohort's number is added to it.
        """
        there = np.flatnonzero(self.present | (self.audited & ~self.left))
        entered, risk = self.entered[there], self.risk[there]
        if not entered.any():
            ring = ledger.first_ring(risk, limit)
            enters = ring & ledger.may_begin(ring) if waits else ring | ledger.surest_part(risk)
        else:
            enters = ~entered & (risk <= risk[entered].max())
            if holds:
                enters |= ledger.next_ring(risk, entered)
        new = there[enters]
        for level in np.unique(self.level[new]):
            cohort, number = new[self.level[new] == level], int(self.cohort.max()) + 1
            self.cohort[cohort] = number
            self.key[cohort] = ledger.cohort_keys(len(cohort), [*random_state, number])
        return new

    def draw(self, size: int) -> np.ndarray:
        """Draw the next audits, smallest open key first; return their positions."""
        open_ = self.entered & self.present & (self.drawn == NOT_DRAWN)
        new = ledger.next_audits(self.key, open_, size)
        self.drawn[new] = self.drawn.max(initial=NOT_DRAWN) + 1 + np.arange(len(new))
        return new

    def look(self, limit: float, level: float) -> Look:
        """Look at the ledger, and note what the certificate covers where it holds."""
        there = np.flatnonzero(self.entered)
        found = self._look(there, self.state, limit, level)
        if found.holds:
            self.certified[there] |= ledger.covered(self.left[there], self.drawn[there])
        return found

    def look_on(self, depth: int, state: np.ndarray, limit: float, level: float) -> Look:
        """Look at what lies on a level of the tree or below it, and note what that level's certificate covers.

        Cohorts are of one level each, so that those of some levels are a ledger like all of them together.

        Args:
            depth: the level, from 1 at the top.
            state: of the audits if only this level counts, shape (n_versions,).
            limit, level: as of look.
        """
        there = np.flatnonzero(self.entered & (self.level >= depth))
        found = self._look(there, state, limit, level)
        if found.holds:
            covered = there[ledger.covered(self.left[there], self.drawn[there])]
            self.certified_to[covered] = np.maximum(self.certified_to[covered], depth)
        return found

    def _look(self, there: np.ndarray, state: np.ndarray, limit: float, level: float) -> Look:
        columns = (self.key, self.cohort, self.left, self.drawn, state)
        key, cohort, left, drawn, state = (column[there] for column in columns)
        return ledger.look(key, cohort, left, drawn, state, limit, level)

    def _version_of(self, document: np.ndarray) -> np.ndarray:
        """The position of each document's version in force, NO_VERSION where there is none."""
        in_force = np.flatnonzero(self.present)
        order = in_force[np.argsort(self.document[in_force])]
        place = np.searchsorted(self.document[order], document)
        version = np.append(order, NO_VERSION)[np.minimum(place, len(order))]
        found = (version != NO_VERSION) & (np.append(self.document, NO_VERSION)[version] == document)
        return np.where(found, version, NO_VERSION)

    def _add(
        self,
        document: np.ndarray,
        label: np.ndarray,
        source: np.ndarray,
        posterior: np.ndarray,
        level: np.ndarray,
        is_parent: bool,
    ) -> np.ndarray:
        n = len(document)
        added = Book(
            document,
            label,
            source,
            posterior,
            np.zeros(n, dtype=bool),
            np.full(n, NO_COHORT),
            np.full(n, np.nan),
            np.full(n, NOT_DRAWN),
            np.full(n, State.OPEN),
            np.zeros(n, dtype=bool),
            level,
            np.full(n, is_parent),
            np.zeros(n, dtype=int),
        )
        first = len(self)
        for column in fields(self):
            setattr(self, column.name, np.concatenate([getattr(self, column.name), getattr(added, column.name)]))
        return np.arange(first, first + n)
