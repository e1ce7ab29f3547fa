"""The experts of several splits, the views, and the arbiter over them: what the default combination learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.sparse import csr_matrix, vstack
from threadpoolctl import ThreadpoolController, threadpool_limits

from classifiers import spreading
from classifiers.arbiter import UNKNOWN, Arbiter, fit_arbiter
from classifiers.candidates import Candidates, LabelViews, expert_view, features
from classifiers.descriptions import Descriptions
from classifiers.descriptions import from_arrays as descriptions_from_arrays
from classifiers.descriptions import to_arrays as descriptions_to_arrays
from classifiers.experts import Expert, fit_expert, kernel
from classifiers.global_expert import MAX_LABELS, GlobalExpert, fit_global_expert
from classifiers.posterior import entropy
from classifiers.shortlist import MAX_SHORTLIST_EXAMPLES, Shortlist, fit_shortlist, last_view_helps
from classifiers.subset_classifier import NOISE
from classifiers.subsets import closest_rivals, deals, label_centroids, place, reduce_centroids, rival_subsets
from classifiers.words import N_FEATURES, NaiveBayes, Texts, counts

# What a row of the bank is once it is no example any more; experts that learnt from it may still need its vector.
DROPPED = -2
NEW = -1

N_CANDIDATES = 10
# "None of these" is never surer than this while no text of it was ever seen, only described by those of labels; from
# the other value on it rises more slowly, so that texts keep their order.
MAX_UNSEEN_NONE, BENT_FROM = 0.9, 0.8
# Labels outside a rival subset that its expert also learns to tell apart, without answering for them.
N_RIVALS = 10
# Examples of a label that one expert learns from: an expert's cost grows with the cube of its rows.
MAX_EXAMPLES = 100
# Examples the arbiter is fitted on: a few dozen weights need no more.
MAX_ARBITER_EXAMPLES = 8_000
# Rows a label, on average, below which a regression over all labels has nothing to learn that centroids do not say.
MIN_GLOBAL_ROWS = 3
# Rows predicted at a time: bounds memory to some 200 MB at 1,000 labels, whatever the pool's size.
CHUNK_ROWS = 1_024
# Fits that wait at each thread: they are small, and a place may be far away.
FITS_AHEAD = 8
# Up to so many examples a text is compared with all of them once, for all experts; beyond, each expert compares it
# with its own, which are fewer then. At most so many similarities are in memory at a time.
MAX_SHARED_ROWS = 20_000
MAX_SHARED = 2**24

Progress = Callable[[int, int], None]


@dataclass
class Split:
    """One way to share the labels out, and its experts: ``experts[i]`` answers for ``subsets[i]``."""

    kind: str
    subsets: list[np.ndarray]
    experts: list[Expert] = field(default_factory=list)


@dataclass(frozen=True)
class Choices:
    """The estimator's arguments that the ensemble needs; see RedClassifier."""

    subset_size: int
    noise_ratio: float
    experts: tuple[str, ...]
    n_deals: int
    random_state: int


class Ensemble:
    """Fitted on a bank of examples that only grows, so that an expert's rows stay what they were.

    Attributes:
        bank: unit vectors of the examples, shape (n_bank, n_dims), float32.
        codes: their label codes; NOISE for texts that belong nowhere, DROPPED for former examples.
        splits: the diverse deals and the rival split.
        global_expert: over all labels, or None.
        given: which rows of the bank have a label that the model gave itself, shape (n_bank,).
        described: which rows are no texts but descriptions of labels that have few, shape (n_bank,).
        descriptions: of the labels, or None: how near a text lies to a label's name is one more view.
        counts: of the examples' n-grams, shape (n_bank, N_FEATURES), or None where they are of no use.
        words: what was learnt from them, or None.
        shortlist: chooses the candidates.
        arbiter: fitted on the examples.
        n_fitted: how many experts the last fit or refit fitted.
    """

    def __init__(
        self,
        choices: Choices,
        bank: np.ndarray,
        codes: np.ndarray,
        splits: list[Split],
        descriptions: Descriptions | None = None,
        counts: csr_matrix | None = None,
    ):
        self.choices = choices
        self.bank = bank
        self.codes = codes
        self.splits = splits
        self.descriptions = descriptions
        self.global_expert: GlobalExpert | None = None
        self.given = np.zeros(len(bank), dtype=bool)
        self.described = np.zeros(len(bank), dtype=bool)
        self.shortlist: Shortlist
        self.arbiter: Arbiter
        self.n_fitted = 0
        self.counts = counts
        self._look(int(codes.max(initial=NOISE)) + 1)

    @classmethod
    def fit(
        cls,
        choices: Choices,
        X: np.ndarray,
        y: np.ndarray,
        splits: Sequence[Split] = (),
        n_own: int | None = None,
        descriptions: Descriptions | None = None,
        counts: csr_matrix | None = None,
        progress: Progress | None = None,
    ) -> Ensemble:
        """Split the labels, fit all experts, then the arbiter.

        Args:
            choices: how.
            X: unit vectors, float32, shape (n_examples, n_dims).
            y: label codes 0 .. n_labels - 1, each with an example or a description; NOISE for texts that belong
                nowhere.
            splits: those of an earlier fit with the same labels; none: split anew.
            n_own: how many rows, from the first, are examples; those after are labels that the model gave itself,
                on which no arbiter is fitted. None: all are examples.
            descriptions: of the labels, or None. Those of labels with few examples are learnt like examples.
            counts: of the examples' n-grams, shape (n_examples, N_FEATURES), or None. They are dropped where they
                help to tell left-out examples apart no better.
            progress: called with (experts fitted, experts in all).
        """
        n_own, n_texts = len(X) if n_own is None else n_own, len(X)
        if descriptions is not None:
            more = descriptions.rows(n_each(y[:n_own], len(descriptions.names)))
            X, y = np.concatenate([X, more.vectors]), np.append(y, more.codes)
            counts = None if counts is None else vstack([counts, more.counts], format="csr")
        n_labels = int(y.max(initial=NOISE)) + 1
        unfitted = [Split(split.kind, split.subsets) for split in splits] or split_labels(choices, X, y, n_labels)
        ensemble = cls(choices, X, y, unfitted, descriptions, counts)
        ensemble.given[n_own:n_texts] = True
        ensemble.described[n_texts:] = True
        everywhere = [
            (number, index) for number, split in enumerate(ensemble.splits) for index in range(len(split.subsets))
        ]
        ensemble._fit_experts(everywhere, progress)
        enough = n_own > 0 and len(X) >= MIN_GLOBAL_ROWS * n_labels
        if enough and "global" in choices.experts and choices.subset_size < n_labels <= MAX_LABELS:
            ensemble._fit_global_expert(n_own)
        ensemble._fit_shortlist(n_own)
        ensemble._fit_arbiter(n_own)
        return ensemble

    @property
    def n_labels(self) -> int:
        return len(self.views.members)

    @property
    def n_experts(self) -> int:
        return sum(len(split.subsets) for split in self.splits) + (self.global_expert is not None)

    @property
    def n_taught(self) -> int:
        return int(self.given.sum())

    def own_examples(self) -> np.ndarray:
        """Return the rows of the bank that are examples: neither labels that the model gave itself nor descriptions."""
        return np.flatnonzero((self.codes != DROPPED) & ~self.given & ~self.described)

    def candidates(self, X: np.ndarray, k: int, texts: Texts | None = None) -> Candidates:
        """Return the k most probable labels of each unit vector, float32 (n, n_dims); at most N_CANDIDATES.

        ``texts`` are asked for where ``words`` were learnt.
        """
        k = min(k, self.n_labels, N_CANDIDATES)
        size = min(CHUNK_ROWS, MAX_SHARED // len(self.bank)) if self.shares_likeness else CHUNK_ROWS
        chunks = [slice(start, start + size) for start in range(0, len(X), size)]
        with _blas().limit(limits=1):
            if len(chunks) == 1:
                return self._candidates(X, k, self.counted(texts))
            with _threads() as pool:
                parts = list(pool.map(lambda rows: self._candidates(X[rows], k, self.counted(texts, rows)), chunks))
        return Candidates.joined(parts, k)

    @property
    def can_leave_out(self) -> bool:
        """Whether all views can tell what they would say of an example: a stored global expert can't."""
        return self.global_expert is None or len(self.global_expert.held_out) > 0

    def left_out(self, X: np.ndarray, y: np.ndarray, k: int) -> Candidates:
        """Return the k most probable labels of examples, each as if it had not been learnt.

        Args:
            X: unit vectors of examples that were learnt, float32, shape (n, n_dims).
            y: their label codes, shape (n,).
        """
        own = self.own_examples().tolist()
        row_of = {(self.bank[row].tobytes(), int(self.codes[row])): row for row in own}
        rows = np.array([row_of[vector.tobytes(), code] for vector, code in zip(X, y.tolist(), strict=True)], dtype=int)
        with _blas().limit(limits=1):
            return self._ranked(self._views(self.bank[rows], self._counts_of(rows), rows), k)

    def refit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        descriptions: Descriptions | None = None,
        texts: Texts | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Learn other examples: only the experts that answer for a label whose examples changed are fitted anew.

        New labels (codes after the known ones) join a subset of each split. Examples that are gone stay noise or
        rivals to experts that are not touched; verdicts of the arbiter stay valid, as its weights know no labels.
        """
        self.descriptions = descriptions
        changed = self._take_in(X, y, texts)
        self._look(int(self.codes.max()) + 1)
        touched = {
            (number, self._subset_of(split, label)) for label in changed for number, split in enumerate(self.splits)
        }
        self._fit_experts(sorted(touched), progress)
        if changed and self.global_expert is not None:
            there = self.codes != DROPPED
            self.global_expert = self.global_expert.refit(self.bank[there], self.codes[there], changed)
            self.n_fitted += 1

    def temper(self, X: np.ndarray, confidence: float, texts: Texts | None = None) -> None:
        """Make the arbiter less sure of itself, until its mean best probability of the texts X is ``confidence``.

        It is left alone where it is no surer than that.
        """
        seen = features(self._views(X, self.counted(texts))[1:])

        def surplus(factor: float) -> float:
            return float(self.arbiter.times(factor).probabilities(seen)[:, :-1].max(axis=1).mean()) - confidence

        if surplus(1.0) > 0 > surplus(0.0):
            self.arbiter = self.arbiter.times(brentq(surplus, 0.0, 1.0, xtol=1e-3))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return what was learnt as plain arrays; the lengths of ragged ones stand beside them."""
        subsets = [subset for split in self.splits for subset in split.subsets]
        experts = [expert for split in self.splits for expert in split.experts]
        return {
            "bank": self.bank,
            "codes": self.codes,
            "given": self.given,
            "described": self.described,
            **descriptions_to_arrays(self.descriptions),
            **_counts_arrays(self.counts),
            "split_kinds": np.array([split.kind for split in self.splits], dtype=str),
            "split_sizes": np.array([len(split.subsets) for split in self.splits], dtype=int),
            "subset_sizes": np.array([len(subset) for subset in subsets], dtype=int),
            "subset_labels": _joined(subsets, int),
            "expert_sizes": np.array([len(expert.rows) for expert in experts], dtype=int),
            "expert_rows": _joined([expert.rows for expert in experts], int),
            "expert_weights": _joined([expert.weights.ravel() for expert in experts], np.float32),
            "expert_left_out": _joined([expert.left_out.ravel() for expert in experts], np.float32),
            **_global_arrays(self.global_expert),
            "shortlist": np.array([*self.shortlist.weights, self.shortlist.whole, self.shortlist.nearest]),
            "arbiter": np.array([*self.arbiter.weights, self.arbiter.none]),
            "arbiter_scaling": np.stack([self.arbiter.mean, self.arbiter.scale]),
        }

    @classmethod
    def from_arrays(cls, choices: Choices, arrays: Mapping[str, np.ndarray]) -> Ensemble:
        """Return the ensemble that ``to_arrays`` described."""
        subsets = _parted(arrays["subset_labels"], arrays["subset_sizes"])
        sizes = arrays["subset_sizes"] * arrays["expert_sizes"]
        parts = zip(
            subsets,
            _parted(arrays["expert_rows"], arrays["expert_sizes"]),
            _parted(arrays["expert_weights"], sizes),
            _parted(arrays["expert_left_out"], sizes),
            strict=True,
        )
        experts = [
            Expert(labels, rows, weights.reshape(len(rows), -1), left_out.reshape(len(rows), -1))
            for labels, rows, weights, left_out in parts
        ]
        ends = np.cumsum(arrays["split_sizes"])
        splits = [
            Split(str(kind), subsets[end - size : end], experts[end - size : end])
            for kind, size, end in zip(arrays["split_kinds"], arrays["split_sizes"], ends, strict=True)
        ]
        described = descriptions_from_arrays(arrays)
        ensemble = cls(choices, arrays["bank"], arrays["codes"], splits, described, _counts(arrays))
        ensemble.given, ensemble.described = arrays["given"], arrays["described"]
        ensemble.global_expert = _global_expert(arrays)
        *weights, whole, nearest = arrays["shortlist"]
        ensemble.shortlist = Shortlist(np.array(weights), float(whole), float(nearest))
        *weights, none = arrays["arbiter"]
        mean, scale = arrays["arbiter_scaling"]
        ensemble.arbiter = Arbiter(mean, scale, np.array(weights), float(none))
        return ensemble

    def _look(self, n_labels: int) -> None:
        """Look at the bank anew, after its examples have changed."""
        self.views = LabelViews(self.bank, self.codes, n_labels)
        self.words = None if self.counts is None else NaiveBayes(self.counts, self.codes, n_labels)

    def counted(self, texts: Texts | None, rows: slice = slice(None)) -> csr_matrix | None:
        """Count the n-grams of some of the texts; None where no words were learnt."""
        if self.counts is None:
            return None
        if texts is None:
            raise ValueError("The words of the examples were learnt: give the texts, too.")
        return counts(texts[rows])

    def _candidates(self, X: np.ndarray, k: int, counted: csr_matrix | None) -> Candidates:
        return self._ranked(self._views(X, counted), k)

    def _ranked(self, views: list[np.ndarray], k: int) -> Candidates:
        """What the arbiter makes of candidates and views, see _views."""
        labels, *scores = views
        belief = self.arbiter.probabilities(features(scores))
        if not (self.codes == NOISE).any():
            belief = bounded(belief)
        return Candidates.ranked(belief[:, :-1], entropy(belief), k, labels)

    @property
    def shares_likeness(self) -> bool:
        """Whether all experts look at one and the same comparison of a text with the examples."""
        return len(self.bank) <= MAX_SHARED_ROWS

    def _views(
        self, X: np.ndarray, counted: csr_matrix | None = None, own: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Candidates and every view's scores of them; the deals of diverse subsets count as one view, their mean."""
        whole = self._whole_views(X, counted, own)
        k = min(N_CANDIDATES, self.n_labels)
        labels, nearest = self.shortlist.choose(whole, lambda near: self.views.nearest(X, near, own), k)
        centroid, *others = (np.take_along_axis(view, labels, axis=1) for view in whole)
        likeness = kernel(self.bank, X) if self.shares_likeness else None
        by_kind: dict[str, list[np.ndarray]] = {}
        for split in self.splits:
            view = expert_view(split.experts, self.bank, X, labels, self.n_labels, own, likeness)
            by_kind.setdefault(split.kind, []).append(view)
        return [labels, centroid, nearest, *(np.mean(views, axis=0) for views in by_kind.values()), *others]

    def _whole_views(self, X: np.ndarray, counted: csr_matrix | None, own: np.ndarray | None) -> list[np.ndarray]:
        """The scores of all labels by each view that costs one product, shape (n, n_labels) each; the words last."""
        own_labels = None if own is None else self.codes[own]
        found = [self.views.centroid(X, own_labels)]
        if self.global_expert is not None:
            found.append(self.global_expert.scores(X) if own is None else self.global_expert.held_out[own])
        if self.descriptions is not None:
            found.append(X @ self.descriptions.names.T)
        if self.words is not None and counted is not None:
            found.append(self.words.scores(counted) if own_labels is None else self.words.left_out(counted, own_labels))
        return found

    def _fit_experts(self, which: Sequence[tuple[int, int]], progress: Progress | None) -> None:
        experts = []
        for expert in spreading.each(Ensemble._fit_expert, self, which, ahead=FITS_AHEAD):
            experts.append(expert)
            if progress:
                progress(len(experts), len(which))
        for (number, index), expert in zip(which, experts, strict=True):
            self.splits[number].experts[index : index + 1] = [expert]
        self.n_fitted = len(which)

    def _fit_global_expert(self, n_own: int) -> None:
        with threadpool_limits(limits=1), _threads() as pool:
            self.global_expert = fit_global_expert(self.bank, self.codes, n_own, self.choices.random_state, pool.map)
        self.n_fitted += 1

    def _fit_expert(self, which: tuple[int, int]) -> Expert:
        number, index = which
        inside = subset = self.splits[number].subsets[index]
        if self.splits[number].kind == "rival":
            inside = np.concatenate([subset, closest_rivals(self.views.centroids, subset, N_RIVALS)])
        rng = np.random.default_rng([self.choices.random_state, number, index])
        rows = np.concatenate([_some(rng, self.views.members[code], MAX_EXAMPLES) for code in inside.tolist()])
        elsewhere = np.flatnonzero((self.codes != DROPPED) & ~np.isin(self.codes, inside))
        noise = _some(rng, elsewhere, round(self.choices.noise_ratio * len(rows) / len(inside)))
        return fit_expert(self.bank, self.codes, subset, np.concatenate([rows, noise]))

    def _fit_shortlist(self, n_own: int) -> None:
        """Learn which views choose the candidates; words that are no help there are dropped."""
        rows, target = self._left_out(n_own, MAX_SHORTLIST_EXAMPLES)
        with threadpool_limits(limits=1):
            views = self._whole_views(self.bank[rows], self._counts_of(rows), rows)
            if self.words is not None and not last_view_helps(views, target):
                self.counts = self.words = None
                views.pop()
            self.shortlist = fit_shortlist(views, lambda near: self.views.nearest(self.bank[rows], near, rows), target)

    def _fit_arbiter(self, n_own: int) -> None:
        rows, codes = self._left_out(n_own, MAX_ARBITER_EXAMPLES)
        with threadpool_limits(limits=1), _threads() as pool:
            parts = [rows[start : start + 1_000] for start in range(0, len(rows), 1_000)]
            seen = list(pool.map(lambda part: self._views(self.bank[part], self._counts_of(part), part), parts))
        labels, *views = (np.concatenate(column) for column in zip(*seen, strict=True))
        hit = labels == codes[:, None]
        found = hit.any(axis=1)
        target = np.where(found, hit.argmax(axis=1), np.where(codes == DROPPED, UNKNOWN, labels.shape[1]))
        without = features([view[found] for view in views], struck=hit[found])
        n_each = np.count_nonzero(self.codes[:n_own] >= 0) / self.n_labels
        self.arbiter = fit_arbiter(features(views), target, without, n_each)

    def _left_out(self, n_own: int, n_most: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the bank that say something when they are left out, n_most of them at most, and their codes.

        Those are the examples of no label, or of one that has another row. Where there is none, other rows are taken,
        descriptions if there are some, with the code DROPPED: they show at least how far the views scatter.
        """
        rng = np.random.default_rng(self.choices.random_state)
        # NOISE looks up the last place.
        n_rows = np.append([len(members) for members in self.views.members], 2)
        own = np.flatnonzero(n_rows[self.codes[:n_own]] > 1)
        if len(own):
            rows = _some(rng, own, n_most)
            return rows, self.codes[rows]
        rows = _some(rng, np.flatnonzero(self.described) if self.described.any() else np.arange(n_own), n_most)
        return rows, np.full(len(rows), DROPPED)

    def _counts_of(self, rows: np.ndarray) -> csr_matrix | None:
        return None if self.counts is None else self.counts[rows]

    def _subset_of(self, split: Split, label: int) -> int:
        """The number of the subset that holds a label; a new label joins one first."""
        for index, subset in enumerate(split.subsets):
            if label in subset:
                return index
        alike = split.kind == "rival"
        index = place(self.views.centroids, split.subsets, label, self.choices.subset_size, alike)
        old = split.subsets[index] if index < len(split.subsets) else np.empty(0, dtype=int)
        split.subsets[index : index + 1] = [np.append(old, label)]
        return index

    def _take_in(self, X: np.ndarray, y: np.ndarray, texts: Texts | None) -> list[int]:
        """Make the bank's examples those of (X, y) and return the labels whose examples changed, sorted."""
        n_own = len(X)
        more = None
        if self.descriptions is not None:
            more = self.descriptions.rows(n_each(y, len(self.descriptions.names)))
            X, y = np.concatenate([X, more.vectors]), np.append(y, more.codes)
        described = np.arange(len(X)) >= n_own
        # By code too: the same text may be an example of two labels, and each of them keeps its own.
        waiting: dict[tuple[bytes, bool, int], list[int]] = {}
        for position, (vector, *key) in enumerate(
            zip(self.bank, self.described.tolist(), self.codes.tolist(), strict=True)
        ):
            waiting.setdefault((vector.tobytes(), key[0], key[1]), []).append(position)
        rows = zip((vector.tobytes() for vector in X), described.tolist(), y.tolist(), strict=True)
        positions = np.array(
            [
                (
                    waiting.get((vector, is_described, code)) or waiting.get((vector, is_described, DROPPED)) or [NEW]
                ).pop()
                for vector, is_described, code in rows
            ]
        )
        new = positions == NEW
        codes = np.full(len(self.bank), DROPPED)
        labelled = {vector.tobytes() for vector in X[:n_own]}
        kept = [row for row in np.flatnonzero(self.given) if self.bank[row].tobytes() not in labelled]
        codes[kept] = self.codes[kept]
        codes[positions[~new]] = y[~new]
        self.given[positions[~new]] = False
        self.given[codes == DROPPED] = False
        moved = codes != self.codes
        changed = {*codes[moved].tolist(), *self.codes[moved].tolist(), *y[new].tolist()} - {NOISE, DROPPED}
        self.bank = np.concatenate([self.bank, X[new]])
        self.given = np.append(self.given, np.zeros(int(new.sum()), dtype=bool))
        self.described = np.append(self.described, described[new])
        self.codes = np.concatenate([codes, y[new]])
        if self.counts is not None:
            new_own = np.flatnonzero(new[:n_own]).tolist()
            counted = [self.counts, self.counted(None if texts is None else [texts[row] for row in new_own])]
            self.counts = vstack(counted if more is None else [*counted, more.counts[new[n_own:]]], format="csr")
        return sorted(changed)


def bounded(belief: np.ndarray) -> np.ndarray:
    """Return the belief, shape (n, k + 1), with its last column pressed below MAX_UNSEEN_NONE."""
    none = belief[:, -1:]
    above = np.maximum(none - BENT_FROM, 0.0)
    bent = none - above * (1 - MAX_UNSEEN_NONE) / (1 - BENT_FROM)
    # All other columns may have vanished beside it: then they share the rest evenly.
    rest = np.maximum(belief[:, :-1], np.finfo(float).tiny)
    return np.hstack([rest * (1 - bent) / rest.sum(axis=1, keepdims=True), bent])


def n_each(codes: np.ndarray, n_labels: int) -> np.ndarray:
    """Return how often each label code occurs, shape (n_labels,) or more; codes below zero don't count."""
    return np.bincount(codes[codes >= 0], minlength=n_labels)


def split_labels(choices: Choices, X: np.ndarray, y: np.ndarray, n_labels: int) -> list[Split]:
    """Share the labels out in every way that the choices ask for; no expert is fitted yet."""
    centroids = label_centroids(X, y, n_labels)
    splits = []
    if "diverse" in choices.experts:
        points = reduce_centroids(centroids, choices.random_state)
        dealt = deals(points, choices.subset_size, choices.n_deals, choices.random_state)
        splits += [Split("diverse", subsets) for subsets in dealt]
    if "rival" in choices.experts:
        splits.append(Split("rival", rival_subsets(centroids, choices.subset_size)))
    return splits


def _global_arrays(expert: GlobalExpert | None) -> dict[str, np.ndarray]:
    if expert is None:
        return {}
    return {
        "global_weights": expert.weights,
        "global_intercepts": expert.intercepts,
        "global_shrinkage": np.array(expert.shrinkage),
    }


def _global_expert(arrays: Mapping[str, np.ndarray]) -> GlobalExpert | None:
    if "global_weights" not in arrays:
        return None
    nothing = np.empty((0, 0), dtype=np.float32)
    shrinkage = float(arrays["global_shrinkage"])
    return GlobalExpert(arrays["global_weights"], arrays["global_intercepts"], nothing, shrinkage)


def _counts_arrays(counted: csr_matrix | None) -> dict[str, np.ndarray]:
    if counted is None:
        return {}
    return {"counts": counted.data, "count_features": counted.indices, "count_starts": counted.indptr}


def _counts(arrays: Mapping[str, np.ndarray]) -> csr_matrix | None:
    if "counts" not in arrays:
        return None
    parts = arrays["counts"], arrays["count_features"], arrays["count_starts"]
    return csr_matrix(parts, shape=(len(arrays["bank"]), N_FEATURES))


def _some(rng: np.random.Generator, rows: np.ndarray, n: int) -> np.ndarray:
    """Draw n of the rows, in rising order; all of them when there are no more."""
    return rows if len(rows) <= n else np.sort(rng.choice(rows, size=n, replace=False))


@cache
def _blas() -> ThreadpoolController:
    """What limits BLAS threads; found once, as looking for it takes longer than to predict one text."""
    return ThreadpoolController()


def _threads() -> ThreadPoolExecutor:
    """Threads for work on one BLAS thread each: with two, the same small fits took ten times as long."""
    return ThreadPoolExecutor(spreading.n_threads())


def _joined(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype=dtype), *parts]).astype(dtype)


def _parted(joined: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    return np.split(joined, np.cumsum(sizes)[:-1]) if len(sizes) else []
