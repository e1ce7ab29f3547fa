"""The experts of several splits, the views, and the arbiter over them: what the default combination learns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import brentq
from threadpoolctl import threadpool_limits

from classifiers.arbiter import Arbiter, fit_arbiter
from classifiers.candidates import Candidates, LabelViews, expert_view, features
from classifiers.experts import Expert, fit_expert
from classifiers.global_expert import MAX_LABELS, GlobalExpert, fit_global_expert
from classifiers.posterior import entropy
from classifiers.subset_classifier import NOISE
from classifiers.subsets import closest_rivals, deals, label_centroids, place, reduce_centroids, rival_subsets

# What a row of the bank is once it is no example any more; experts that learnt from it may still need its vector.
DROPPED = -2
NEW = -1

N_CANDIDATES = 10
# Labels outside a rival subset that its expert also learns to tell apart, without answering for them.
N_RIVALS = 10
# Examples of a label that one expert learns from: an expert's cost grows with the cube of its rows.
MAX_EXAMPLES = 100
# Examples the arbiter is fitted on: a few dozen weights need no more.
MAX_ARBITER_EXAMPLES = 8_000
# Rows predicted at a time: bounds memory to some 200 MB at 1,000 labels, whatever the pool's size.
CHUNK_ROWS = 8_192

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
        names: unit vectors of the labels' names, shape (n_labels, n_dims), or None: one more view.
        arbiter: fitted on the examples.
        n_fitted: how many experts the last fit or refit fitted.
    """

    def __init__(
        self,
        choices: Choices,
        bank: np.ndarray,
        codes: np.ndarray,
        splits: list[Split],
        names: np.ndarray | None = None,
    ):
        self.choices = choices
        self.bank = bank
        self.codes = codes
        self.splits = splits
        self.names = names
        self.global_expert: GlobalExpert | None = None
        self.given = np.zeros(len(bank), dtype=bool)
        self.arbiter: Arbiter
        self.n_fitted = 0
        self.views = LabelViews(bank, codes, int(codes.max(initial=NOISE)) + 1)

    @classmethod
    def fit(
        cls,
        choices: Choices,
        X: np.ndarray,
        y: np.ndarray,
        splits: Sequence[Split] = (),
        n_own: int | None = None,
        names: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> Ensemble:
        """Split the labels, fit all experts, then the arbiter.

        Args:
            choices: how.
            X: unit vectors, float32, shape (n_examples, n_dims).
            y: label codes 0 .. n_labels - 1, each with an example; NOISE for texts that belong nowhere.
            splits: those of an earlier fit with the same labels; none: split anew.
            n_own: how many rows, from the first, are examples; those after are labels that the model gave itself,
                on which no arbiter is fitted. None: all are examples.
            names: unit vectors of the labels' names, in the order of their codes, or None.
            progress: called with (experts fitted, experts in all).
        """
        n_labels = int(y.max(initial=NOISE)) + 1
        unfitted = [Split(split.kind, split.subsets) for split in splits] or split_labels(choices, X, y, n_labels)
        n_own = len(X) if n_own is None else n_own
        ensemble = cls(choices, X, y, unfitted, names)
        ensemble.given[n_own:] = True
        everywhere = [
            (number, index) for number, split in enumerate(ensemble.splits) for index in range(len(split.subsets))
        ]
        ensemble._fit_experts(everywhere, progress)
        if "global" in choices.experts and choices.subset_size < n_labels <= MAX_LABELS:
            ensemble._fit_global_expert(n_own)
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

    def own_examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Return vectors and codes of the examples, without the labels that the model gave itself."""
        own = (self.codes != DROPPED) & ~self.given
        return self.bank[own], self.codes[own]

    def candidates(self, X: np.ndarray, k: int) -> Candidates:
        """Return the k most probable labels of each unit vector, float32 (n, n_dims); at most N_CANDIDATES."""
        k = min(k, self.n_labels, N_CANDIDATES)
        starts = range(0, len(X), CHUNK_ROWS)
        with threadpool_limits(limits=1), _threads() as pool:
            parts = list(pool.map(lambda start: self._candidates(X[start : start + CHUNK_ROWS], k), starts))
        return Candidates.joined(parts, k)

    def refit(
        self, X: np.ndarray, y: np.ndarray, names: np.ndarray | None = None, progress: Progress | None = None
    ) -> None:
        """Learn other examples: only the experts that answer for a label whose examples changed are fitted anew.

        New labels (codes after the known ones) join a subset of each split. Examples that are gone stay noise or
        rivals to experts that are not touched; verdicts of the arbiter stay valid, as its weights know no labels.
        """
        changed = self._take_in(X, y)
        self.names = names
        self.views = LabelViews(self.bank, self.codes, int(self.codes.max()) + 1)
        touched = {
            (number, self._subset_of(split, label)) for label in changed for number, split in enumerate(self.splits)
        }
        self._fit_experts(sorted(touched), progress)
        if changed and self.global_expert is not None:
            there = self.codes != DROPPED
            self.global_expert = self.global_expert.refit(self.bank[there], self.codes[there], changed)
            self.n_fitted += 1

    def temper(self, X: np.ndarray, confidence: float) -> None:
        """Make the arbiter less sure of itself, until its mean best probability of the texts X is ``confidence``.

        It is left alone where it is no surer than that.
        """
        seen = features(self._views(X)[1:])

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
            "names": np.empty((0, 0), dtype=np.float32) if self.names is None else self.names,
            "split_kinds": np.array([split.kind for split in self.splits], dtype=str),
            "split_sizes": np.array([len(split.subsets) for split in self.splits], dtype=int),
            "subset_sizes": np.array([len(subset) for subset in subsets], dtype=int),
            "subset_labels": _joined(subsets, int),
            "expert_sizes": np.array([len(expert.rows) for expert in experts], dtype=int),
            "expert_rows": _joined([expert.rows for expert in experts], int),
            "expert_weights": _joined([expert.weights.ravel() for expert in experts], np.float32),
            "expert_left_out": _joined([expert.left_out.ravel() for expert in experts], np.float32),
            **_global_arrays(self.global_expert),
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
        names = arrays["names"] if len(arrays["names"]) else None
        ensemble = cls(choices, arrays["bank"], arrays["codes"], splits, names)
        ensemble.given = arrays["given"]
        ensemble.global_expert = _global_expert(arrays)
        *weights, none = arrays["arbiter"]
        mean, scale = arrays["arbiter_scaling"]
        ensemble.arbiter = Arbiter(mean, scale, np.array(weights), float(none))
        return ensemble

    def _candidates(self, X: np.ndarray, k: int) -> Candidates:
        labels, *views = self._views(X)
        belief = self.arbiter.probabilities(features(views))
        return Candidates.ranked(belief[:, :-1], entropy(belief), k, labels)

    def _views(self, X: np.ndarray, own: np.ndarray | None = None) -> list[np.ndarray]:
        """Candidates and every view's scores of them; the deals of diverse subsets count as one view, their mean."""
        own_labels = None if own is None else self.codes[own]
        labels, centroid, nearest = self.views.candidates(X, min(N_CANDIDATES, self.n_labels), own, own_labels)
        by_kind: dict[str, list[np.ndarray]] = {}
        for split in self.splits:
            view = expert_view(split.experts, self.bank, X, labels, self.n_labels, own)
            by_kind.setdefault(split.kind, []).append(view)
        found = [labels, centroid, nearest, *(np.mean(views, axis=0) for views in by_kind.values())]
        if self.global_expert is not None:
            scores = self.global_expert.scores(X) if own is None else self.global_expert.held_out[own]
            found.append(np.take_along_axis(scores, labels, axis=1))
        if self.names is not None:
            found.append(np.take_along_axis(X @ self.names.T, labels, axis=1))
        return found

    def _fit_experts(self, which: Sequence[tuple[int, int]], progress: Progress | None) -> None:
        with threadpool_limits(limits=1), _threads() as pool:
            fitted = pool.map(lambda one: self._fit_expert(*one), which)
            for done, ((number, index), expert) in enumerate(zip(which, fitted, strict=True)):
                self.splits[number].experts[index : index + 1] = [expert]
                if progress:
                    progress(done + 1, len(which))
        self.n_fitted = len(which)

    def _fit_global_expert(self, n_own: int) -> None:
        with threadpool_limits(limits=1), _threads() as pool:
            self.global_expert = fit_global_expert(self.bank, self.codes, n_own, self.choices.random_state, pool.map)
        self.n_fitted += 1

    def _fit_expert(self, number: int, index: int) -> Expert:
        inside = subset = self.splits[number].subsets[index]
        if self.splits[number].kind == "rival":
            inside = np.concatenate([subset, closest_rivals(self.views.centroids, subset, N_RIVALS)])
        rng = np.random.default_rng([self.choices.random_state, number, index])
        rows = np.concatenate([_some(rng, self.views.members[code], MAX_EXAMPLES) for code in inside.tolist()])
        elsewhere = np.flatnonzero((self.codes != DROPPED) & ~np.isin(self.codes, inside))
        noise = _some(rng, elsewhere, round(self.choices.noise_ratio * len(rows) / len(inside)))
        return fit_expert(self.bank, self.codes, subset, np.concatenate([rows, noise]))

    def _fit_arbiter(self, n_own: int) -> None:
        rng = np.random.default_rng(self.choices.random_state)
        own = _some(rng, np.arange(n_own), MAX_ARBITER_EXAMPLES)
        with threadpool_limits(limits=1), _threads() as pool:
            parts = [own[start : start + 1_000] for start in range(0, len(own), 1_000)]
            seen = list(pool.map(lambda part: self._views(self.bank[part], part), parts))
        labels, *views = (np.concatenate(column) for column in zip(*seen, strict=True))
        hit = labels == self.codes[own][:, None]
        found = hit.any(axis=1)
        target = np.where(found, hit.argmax(axis=1), labels.shape[1])
        without = features([view[found] for view in views], struck=hit[found])
        self.arbiter = fit_arbiter(features(views), target, without)

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

    def _take_in(self, X: np.ndarray, y: np.ndarray) -> list[int]:
        """Make the bank's examples those of (X, y) and return the labels whose examples changed, sorted."""
        # By code too: the same text may be an example of two labels, and each of them keeps its own.
        waiting: dict[tuple[bytes, int], list[int]] = {}
        for position, (vector, code) in enumerate(zip(self.bank, self.codes.tolist(), strict=True)):
            waiting.setdefault((vector.tobytes(), code), []).append(position)
        texts = zip((vector.tobytes() for vector in X), y.tolist(), strict=True)
        positions = np.array(
            [(waiting.get((text, code)) or waiting.get((text, DROPPED)) or [NEW]).pop() for text, code in texts]
        )
        new = positions == NEW
        codes = np.full(len(self.bank), DROPPED)
        labelled = {vector.tobytes() for vector in X}
        kept = [row for row in np.flatnonzero(self.given) if self.bank[row].tobytes() not in labelled]
        codes[kept] = self.codes[kept]
        codes[positions[~new]] = y[~new]
        self.given[positions[~new]] = False
        self.given[codes == DROPPED] = False
        moved = codes != self.codes
        changed = {*codes[moved].tolist(), *self.codes[moved].tolist(), *y[new].tolist()} - {NOISE, DROPPED}
        self.bank = np.concatenate([self.bank, X[new]])
        self.given = np.append(self.given, np.zeros(int(new.sum()), dtype=bool))
        self.codes = np.concatenate([codes, y[new]])
        return sorted(changed)


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


def _some(rng: np.random.Generator, rows: np.ndarray, n: int) -> np.ndarray:
    """Draw n of the rows, in rising order; all of them when there are no more."""
    return rows if len(rows) <= n else np.sort(rng.choice(rows, size=n, replace=False))


def _threads() -> ThreadPoolExecutor:
    """Threads for work on one BLAS thread each: with two, the same small fits took ten times as long."""
    return ThreadPoolExecutor(os.cpu_count())


def _joined(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype=dtype), *parts]).astype(dtype)


def _parted(joined: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    return np.split(joined, np.cumsum(sizes)[:-1]) if len(sizes) else []
