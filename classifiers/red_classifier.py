"""R.E.D. as one scikit-learn estimator."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from classifiers.article import ArticleEnsemble
from classifiers.candidates import Candidates
from classifiers.ensemble import Choices, Ensemble, Split
from classifiers.subset_classifier import NOISE
from classifiers.subsets import unit_rows

COMBINATIONS = ("arbiter", "highest")
EXPERTS = ("diverse", "rival", "global")

# Self-training takes labels that the model gives itself from this probability on, at most so many a label, and
# only where this share of the unlabelled texts has one: below it the model is too unsure of itself to be taught by.
SELF_CERTAIN = 0.8
SELF_EXAMPLES = 100
SELF_SHARE = 0.5
# This share of the unlabelled texts is set aside, to see how sure of itself the model is of texts that it has not
# taught itself; no more than some thousands, whose mean is known to half a percent.
SELF_ASIDE = 0.2
MAX_ASIDE = 4_000
# Posterior, after all verdicts, from which the last fit of a loop learns a label that nobody has given.
GRADUATED = 0.95
# So many times the examples of the last full fit, and all is better fitted anew than refitted.
FULL_FIT_GROWTH = 1.1


class RedClassifier(ClassifierMixin, BaseEstimator):
    """Classification with many labels and few examples of each, on text embeddings.

    Args:
        subset_size: the most labels one subset holds, at least 2.
        noise_ratio: noise rows for each row of a subset's average label.
        combination: "arbiter" weighs what every view says of a candidate; "highest" is the article's: one split
            into diverse subsets, and the highest probability wins.
        experts: which there are, of "diverse" and "rival", for the subsets of unlike and of like labels, and "global",
            over all labels where they are more than a subset holds and no more than some hundreds; the arbiter works
            without any, too.
        n_deals: how often the labels are dealt into diverse subsets.
        self_training: with fewer examples a label than this on average, and texts without label at hand, the model
            is fitted once more on its own most certain labels. 0: never.
        random_state: seed of UMAP, the deals and the noise samples.

    Attributes:
        classes_: the labels, sorted; a label's position here is its *code*.
        ensemble_: what was learnt.
        n_fitted_: how many experts the last fit or refit fitted, ``n_experts_`` of how many.
        n_taught_: how many labels the model gave itself and has learnt.
    """

    def __init__(
        self,
        subset_size: int = 10,
        noise_ratio: float = 10.0,
        combination: str = "arbiter",
        experts: Sequence[str] = EXPERTS,
        n_deals: int = 6,
        self_training: int = 20,
        random_state: int = 0,
    ):
        self.subset_size = subset_size
        self.noise_ratio = noise_ratio
        self.combination = combination
        self.experts = experts
        self.n_deals = n_deals
        self.self_training = self_training
        self.random_state = random_state

    def fit(
        self,
        X: np.ndarray,
        y: Sequence | np.ndarray,
        elsewhere: np.ndarray | None = None,
        pool: np.ndarray | None = None,
        names: np.ndarray | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Split the labels, fit the experts and what combines them.

        Args:
            X: vectors of the training examples, shape (n_examples, n_dims); their lengths don't count.
            y: their labels, at least two different ones.
            elsewhere: vectors of texts known to belong to no label, shape (n_elsewhere, n_dims).
            pool: vectors of texts without label, for self-training, shape (n_pool, n_dims).
            names: vectors of the labels' names in the order of classes_, shape (n_classes, n_dims): how near a text
                lies to the name is one more view of the label.
            progress: called with (experts fitted, experts in all) after each.

        Raises:
            ValueError: with fewer than two labels, or unknown arguments.
        """
        X, codes = self._examples(X, y, elsewhere)
        names = self._names(names)
        self.ensemble_ = self._fit(X, codes, names=names, progress=progress)
        n_examples = int((codes != NOISE).sum())
        if pool is not None and len(pool) and n_examples < self.self_training * len(self.classes_):
            self._train_itself(pool, progress)
        self._count()
        return self

    def refit(
        self,
        X: np.ndarray,
        y: Sequence | np.ndarray,
        elsewhere: np.ndarray | None = None,
        names: np.ndarray | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Learn other examples, labels that are new among them: only what they touch is fitted anew.

        ``n_fitted_`` says how many experts that were. The arbiter stays. Everything is fitted where that can't be
        done: a label is gone or stands before a known one, and in the article's combination.
        """
        check_is_fitted(self, "ensemble_")
        known = self.classes_
        X, codes = self._examples(X, y, elsewhere)
        grown = len(self.classes_) >= len(known) and np.array_equal(self.classes_[: len(known)], known)
        if not grown or not isinstance(self.ensemble_, Ensemble):
            self.ensemble_ = self._fit(X, codes, names=self._names(names), progress=progress)
        elif (names is None) != (self.ensemble_.names is None):
            raise ValueError("Give the labels' names to every fit and refit, or to none.")
        else:
            self.ensemble_.refit(X, codes, self._names(names), progress)
        self._count()
        return self

    def train_itself(
        self,
        pool: np.ndarray,
        labels: np.ndarray,
        certain: np.ndarray,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Fit once more, on the examples and on texts whose labels the model is certain of by now.

        A share of the pool is set aside: its own labels can't make the model surer of other texts than it was. The
        article's combination knows no such thing and stays as it is.

        Args:
            pool: vectors of texts without label, shape (n_pool, n_dims).
            labels: what they are held for, codes, shape (n_pool,).
            certain: which of these may be learnt, shape (n_pool,).
            progress: as in ``fit``.
        """
        check_is_fitted(self, "ensemble_")
        last = self.ensemble_
        if not isinstance(last, Ensemble):
            return self
        pool = self._vectors(pool)
        rng = np.random.default_rng(self.random_state)
        n_aside = min(round(SELF_ASIDE * len(pool)), MAX_ASIDE)
        aside, others = np.split(rng.permutation(len(pool)), [n_aside])
        others = others[certain[others]]
        taken = np.concatenate([others[labels[others] == code][:SELF_EXAMPLES] for code in range(len(self.classes_))])
        X, codes = last.own_examples()
        self.ensemble_ = self._fit(
            np.concatenate([X, pool[taken]]),
            np.append(codes, labels[taken]),
            last.splits,
            len(X),
            last.names,
            progress,
        )
        if n_aside:
            confidence = float(last.candidates(pool[aside], 1).probabilities.mean())
            self.ensemble_.temper(pool[aside], confidence)
        self._count()
        return self

    def candidates(self, X: np.ndarray, k: int = 10) -> Candidates:
        """Return the k most probable labels (their codes) of each row of X; the arbiter weighs 10 at most."""
        check_is_fitted(self, "ensemble_")
        return self.ensemble_.candidates(self._vectors(X), k)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the most probable label of each row, shape (n_rows,)."""
        check_is_fitted(self, "ensemble_")
        return self.classes_[self.candidates(X, k=1).labels[:, 0]]

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of each of ``classes_``, given that one of the candidates is right.

        Shape (n_rows, n_classes); rows sum to 1, labels that are no candidate have 0.
        """
        check_is_fitted(self, "ensemble_")
        found = self.candidates(X, k=len(self.classes_))
        probabilities = np.zeros((len(found), len(self.classes_)))
        np.put_along_axis(probabilities, found.labels, found.probabilities, axis=1)
        return probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), np.finfo(float).tiny)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything that was learnt as plain arrays, fit for numpy.savez: no pickle.

        Raises:
            NotImplementedError: for the article's combination, which is a baseline.
        """
        check_is_fitted(self, "ensemble_")
        if not isinstance(self.ensemble_, Ensemble):
            raise NotImplementedError("Only the arbiter's combination can be stored.")
        parameters = self.get_params() | {"experts": list(self.experts)}
        return self.ensemble_.to_arrays() | {
            "parameters": np.array(json.dumps(parameters)),
            # Through a list: an array of objects, which str labels may come as, could only be pickled.
            "classes": np.array(self.classes_.tolist()),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the estimator that ``to_arrays`` described; its predictions are the same to the last bit."""
        model = cls(**json.loads(str(arrays["parameters"])))
        model.classes_ = arrays["classes"]
        model.ensemble_ = Ensemble.from_arrays(model.choices, arrays)
        model.n_features_in_ = model.ensemble_.bank.shape[1]
        model._count()
        return model

    def _examples(self, X, y, elsewhere: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors and codes of the examples, texts that belong nowhere last."""
        if self.combination not in COMBINATIONS:
            raise ValueError(f"Unknown combination {self.combination!r}; choose from {', '.join(COMBINATIONS)}.")
        if unknown := set(self.experts) - set(EXPERTS):
            raise ValueError(f"Unknown experts {sorted(unknown)}; choose from {', '.join(EXPERTS)}.")
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"At least two labels need training examples, not one class: {self.classes_}.")
        X = unit_rows(X)
        if elsewhere is None or not len(elsewhere):
            return X, codes
        return np.concatenate([X, self._vectors(elsewhere)]), np.append(codes, np.full(len(elsewhere), NOISE))

    def _vectors(self, X: np.ndarray) -> np.ndarray:
        return unit_rows(validate_data(self, X, dtype=np.float32, reset=False, ensure_min_samples=0))

    def _names(self, names: np.ndarray | None) -> np.ndarray | None:
        if names is not None and len(names) != len(self.classes_):
            raise ValueError(f"There are {len(self.classes_)} classes but {len(names)} names.")
        return None if names is None else self._vectors(names)

    def _fit(self, X, codes, splits: Sequence[Split] = (), n_own: int | None = None, names=None, progress=None):
        if self.combination == "highest":
            return ArticleEnsemble.fit(
                X, codes, self.subset_size, self.noise_ratio, self.random_state, progress=progress
            )
        return Ensemble.fit(self.choices, X, codes, splits, n_own, names, progress)

    def _train_itself(self, pool: np.ndarray, progress) -> None:
        """Teach itself its most certain labels of texts without one, if it is certain of enough of them."""
        found = self.ensemble_.candidates(self._vectors(pool), 1)
        certain = found.probabilities[:, 0] >= SELF_CERTAIN
        if certain.mean() >= SELF_SHARE:
            self.train_itself(pool, found.labels[:, 0], certain, progress)

    @property
    def choices(self) -> Choices:
        """The arguments that the ensemble needs."""
        return Choices(self.subset_size, self.noise_ratio, tuple(self.experts), self.n_deals, self.random_state)

    def _count(self) -> None:
        self.n_fitted_, self.n_experts_ = self.ensemble_.n_fitted, self.ensemble_.n_experts
        self.n_taught_ = self.ensemble_.n_taught
