"""R.E.D. as one scikit-learn estimator."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import numpy as np
from scipy.sparse import csr_matrix, vstack
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from classifiers.arbiter import FEW_EXAMPLES
from classifiers.article import ArticleEnsemble
from classifiers.candidates import Candidates
from classifiers.descriptions import Descriptions
from classifiers.ensemble import Choices, Ensemble, Split
from classifiers.subset_classifier import NOISE
from classifiers.subsets import unit_rows
from classifiers.words import Texts, counts

COMBINATIONS = ("arbiter", "highest")
EXPERTS = ("diverse", "rival", "global")

# Self-training takes labels that the model gives itself from this probability on, at most so many a label, and only
# where this share of the unlabelled texts has one: below it the model is too unsure of itself to be taught by.
SELF_CERTAIN = 0.8
# With fewer than FEW_EXAMPLES a label on average few labels are as sure, and to wait for that left banking77 3 to 6
# points behind: what it holds for right rather than wrong will do.
FEW_CERTAIN = 0.5
# What the model says before it has taught itself is too modest of what it is then; what it says afterwards is too sure:
# it becomes as much surer as the middle of both.
SURER = 0.5
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
        definitions: np.ndarray | None = None,
        classes: Sequence | np.ndarray | None = None,
        texts: Texts | None = None,
        elsewhere_texts: Texts = (),
        pool_texts: Texts | None = None,
        label_texts: Texts | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Split the labels, fit the experts and what combines them.

        Args:
            X: vectors of the training examples, shape (n_examples, n_dims); their lengths don't count.
            y: their labels, at least two different ones.
            elsewhere: vectors of texts known to belong to no label, shape (n_elsewhere, n_dims).
            pool: vectors of texts without label, for self-training, shape (n_pool, n_dims).
            names: vectors of the labels' names in the order of classes_, shape (n_classes, n_dims): how near a text
                lies to the name is one more view of the label, and names are learnt where examples are few.
            definitions: vectors of name and definition, likewise, also learnt there; rows of zeros where there is none.
            classes: the labels, sorted, where some of them have no example: they are learnt by their names. None:
                those in y.
            texts: those of the training examples: their words are one more view of the labels. Whoever gives them
                here gives them to all other methods, too.
            elsewhere_texts, pool_texts: those of ``elsewhere`` and ``pool``.
            label_texts: name and definition of each label, in the order of classes_.
            progress: called with (experts fitted, experts in all) after each.

        Raises:
            ValueError: with fewer than two labels, unknown arguments, or not as many texts as vectors.
        """
        X, codes = self._examples(X, y, elsewhere, classes)
        described = self._described(codes, names, definitions, label_texts)
        texts = _all_texts(texts, elsewhere_texts, len(X))
        counted = None if texts is None else counts(texts)
        self.ensemble_ = self._fit(X, codes, described=described, counted=counted, progress=progress)
        n_examples = int((codes != NOISE).sum())
        if pool is not None and len(pool) and n_examples < self.self_training * len(self.classes_):
            self._train_itself(pool, pool_texts, n_examples < FEW_EXAMPLES * len(self.classes_), progress)
        self._count()
        return self

    def refit(
        self,
        X: np.ndarray,
        y: Sequence | np.ndarray,
        elsewhere: np.ndarray | None = None,
        names: np.ndarray | None = None,
        definitions: np.ndarray | None = None,
        classes: Sequence | np.ndarray | None = None,
        texts: Texts | None = None,
        elsewhere_texts: Texts = (),
        label_texts: Texts | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Learn other examples, labels that are new among them: only what they touch is fitted anew.

        ``n_fitted_`` says how many experts that were. The arbiter stays. Everything is fitted where that can't be
        done: a label is gone or stands before a known one, and in the article's combination.
        """
        check_is_fitted(self, "ensemble_")
        known = self.classes_
        X, codes = self._examples(X, y, elsewhere, classes)
        described = self._described(codes, names, definitions, label_texts)
        texts = _all_texts(texts, elsewhere_texts, len(X))
        grown = len(self.classes_) >= len(known) and np.array_equal(self.classes_[: len(known)], known)
        if not grown or not isinstance(self.ensemble_, Ensemble):
            counted = None if texts is None else counts(texts)
            self.ensemble_ = self._fit(X, codes, described=described, counted=counted, progress=progress)
        elif (described is None) != (self.ensemble_.descriptions is None):
            raise ValueError("Give the labels' names to every fit and refit, or to none.")
        else:
            self.ensemble_.refit(X, codes, described, texts, progress)
        self._count()
        return self

    def train_itself(
        self,
        pool: np.ndarray,
        labels: np.ndarray,
        certain: np.ndarray,
        texts: Texts | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Fit once more, on the examples and on texts whose labels the model is certain of by now.

        A share of the pool is set aside: its own labels can't make the model surer of other texts than it was. The
        article's combination knows no such thing and stays as it is.

        Args:
            pool: vectors of texts without label, shape (n_pool, n_dims).
            labels: what they are held for, codes, shape (n_pool,).
            certain: which of these may be learnt, shape (n_pool,).
            texts: those of the pool.
            progress: as in ``fit``.
        """
        self._teach_itself(pool, labels, certain, texts, progress, surer=0.0)
        return self

    def candidates(self, X: np.ndarray, k: int = 10, texts: Texts | None = None) -> Candidates:
        """Return the k most probable labels (their codes) of each row of X; the arbiter weighs 10 at most.

        Raises:
            ValueError: when ``fit`` got texts and they are missing here, or there are not as many as vectors.
        """
        check_is_fitted(self, "ensemble_")
        X = self._vectors(X)
        return self.ensemble_.candidates(X, k, _all_texts(texts, (), len(X)))

    def left_out(self, X: np.ndarray, y: np.ndarray, k: int = 10) -> Candidates | None:
        """Return the k most probable labels of examples, each as if it had not been learnt.

        Args:
            X: vectors of examples of the last fit or refit, shape (n, n_dims).
            y: their label codes, shape (n,).

        Returns:
            None where that can't be told: for the article's combination, and of a model that was stored.
        """
        check_is_fitted(self, "ensemble_")
        if not isinstance(self.ensemble_, Ensemble) or not self.ensemble_.can_leave_out:
            return None
        return self.ensemble_.left_out(self._vectors(X), y, k)

    def predict(self, X: np.ndarray, texts: Texts | None = None) -> np.ndarray:
        """Return the most probable label of each row, shape (n_rows,)."""
        check_is_fitted(self, "ensemble_")
        return self.classes_[self.candidates(X, 1, texts).labels[:, 0]]

    def predict_proba(self, X: np.ndarray, texts: Texts | None = None) -> np.ndarray:
        """Return the probability of each of ``classes_``, given that one of the candidates is right.

        Shape (n_rows, n_classes); rows sum to 1, labels that are no candidate have 0.
        """
        check_is_fitted(self, "ensemble_")
        found = self.candidates(X, len(self.classes_), texts)
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

    def _examples(self, X, y, elsewhere: np.ndarray | None, classes) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors and codes of the examples, texts that belong nowhere last."""
        if self.combination not in COMBINATIONS:
            raise ValueError(f"Unknown combination {self.combination!r}; choose from {', '.join(COMBINATIONS)}.")
        if unknown := set(self.experts) - set(EXPERTS):
            raise ValueError(f"Unknown experts {sorted(unknown)}; choose from {', '.join(EXPERTS)}.")
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_min_samples=1 if classes is None else 0)
        if classes is None:
            check_classification_targets(y)
            self.classes_, codes = np.unique(y, return_inverse=True)
        else:
            self.classes_, codes = np.unique(classes), np.searchsorted(classes, y)
            if not np.array_equal(self.classes_, classes) or not np.isin(y, self.classes_).all():
                raise ValueError("The classes must be sorted, each once, and the examples' labels among them.")
        if len(self.classes_) < 2:
            raise ValueError(f"At least two labels need training examples, not one class: {self.classes_}.")
        X = unit_rows(X)
        if elsewhere is None or not len(elsewhere):
            return X, codes
        return np.concatenate([X, self._vectors(elsewhere)]), np.append(codes, np.full(len(elsewhere), NOISE))

    def _vectors(self, X: np.ndarray) -> np.ndarray:
        return unit_rows(validate_data(self, X, dtype=np.float32, reset=False, ensure_min_samples=0))

    def _described(
        self, codes: np.ndarray, names: np.ndarray | None, definitions: np.ndarray | None, texts: Texts | None
    ) -> Descriptions | None:
        n_labels = len(self.classes_)
        for what, given in (("names", names), ("definitions", definitions), ("label texts", texts)):
            if given is not None and len(given) != n_labels:
                raise ValueError(f"There are {n_labels} classes but {len(given)} {what}.")
        if names is None:
            if (empty := np.setdiff1d(np.arange(n_labels), codes)).size:
                raise ValueError(f"Labels without an example need names: {self.classes_[empty].tolist()}.")
            return None
        defined = np.empty((0, 0), dtype=np.float32) if definitions is None else self._vectors(definitions)
        return Descriptions(self._vectors(names), defined, counts([""] * n_labels if texts is None else texts))

    def _fit(
        self,
        X,
        codes,
        splits: Sequence[Split] = (),
        n_own: int | None = None,
        described: Descriptions | None = None,
        counted: csr_matrix | None = None,
        progress=None,
    ):
        if self.combination == "highest":
            return ArticleEnsemble.fit(
                X, codes, self.subset_size, self.noise_ratio, self.random_state, progress=progress
            )
        return Ensemble.fit(self.choices, X, codes, splits, n_own, described, counted, progress)

    def _teach_itself(
        self,
        pool: np.ndarray,
        labels: np.ndarray,
        certain: np.ndarray,
        texts: Texts | None,
        progress: Callable[[int, int], None] | None,
        surer: float,
    ) -> None:
        """As ``train_itself``; ``surer``: how much of what it is surer of other texts then may stay, in [0, 1]."""
        check_is_fitted(self, "ensemble_")
        last = self.ensemble_
        if not isinstance(last, Ensemble):
            return
        rng = np.random.default_rng(self.random_state)
        n_aside = min(round(SELF_ASIDE * len(pool)), MAX_ASIDE)
        aside, others = np.split(rng.permutation(len(pool)), [n_aside])
        others = others[certain[others]]
        taken = np.concatenate([others[labels[others] == code][:SELF_EXAMPLES] for code in range(len(self.classes_))])
        own = last.own_examples()
        counted = last.counted(_chosen(texts, taken))
        # Of the whole pool there would be another copy.
        vectors, vectors_aside = self._vectors(pool[taken]), self._vectors(pool[aside])
        self.ensemble_ = self._fit(
            np.concatenate([last.bank[own], vectors]),
            np.append(last.codes[own], labels[taken]),
            last.splits,
            len(own),
            last.descriptions,
            None if last.counts is None else vstack([last.counts[own], counted], format="csr"),
            progress,
        )
        # Without examples no weight was learnt that could have grown too sure of itself.
        if n_aside and len(own):
            texts_aside = _chosen(texts, aside)
            confidence = _confidence(last, vectors_aside, texts_aside)
            if surer:
                confidence += surer * (_confidence(self.ensemble_, vectors_aside, texts_aside) - confidence)
            self.ensemble_.temper(vectors_aside, confidence, texts_aside)
        self._count()

    def _train_itself(self, pool: np.ndarray, texts: Texts | None, few: bool, progress) -> None:
        """Teach itself its most certain labels of texts without one, if it is certain of enough of them."""
        found = self.candidates(pool, 1, texts)
        certain = found.probabilities[:, 0] >= (FEW_CERTAIN if few else SELF_CERTAIN)
        if certain.mean() >= SELF_SHARE:
            self._teach_itself(pool, found.labels[:, 0], certain, texts, progress, SURER)

    @property
    def choices(self) -> Choices:
        """The arguments that the ensemble needs."""
        return Choices(self.subset_size, self.noise_ratio, tuple(self.experts), self.n_deals, self.random_state)

    def _count(self) -> None:
        self.n_fitted_, self.n_experts_ = self.ensemble_.n_fitted, self.ensemble_.n_experts
        self.n_taught_ = self.ensemble_.n_taught


def _confidence(ensemble: Ensemble, X: np.ndarray, texts: Texts | None) -> float:
    """How sure an ensemble is of its best labels, on the average."""
    return float(ensemble.candidates(X, 1, texts).probabilities.mean())


def _all_texts(texts: Texts | None, elsewhere: Texts, n_vectors: int) -> list[str] | None:
    """Examples' texts and those that belong nowhere, in the order of their vectors."""
    if texts is None:
        return None
    found = [*texts, *elsewhere]
    if len(found) != n_vectors:
        raise ValueError(f"There are {n_vectors} vectors but {len(found)} texts.")
    return found


def _chosen(texts: Texts | None, rows: np.ndarray) -> list[str] | None:
    return None if texts is None else [texts[row] for row in rows.tolist()]


def candidates_of_block(model: RedClassifier, block: tuple[np.ndarray, int, Texts | None]) -> Candidates:
    """The candidates of vectors, so many, with their texts; see RedClassifier.candidates and classifiers.spreading."""
    return model.candidates(*block)
