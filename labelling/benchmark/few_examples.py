"""How good the classifiers are by the number of examples that each label has, none included."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from classifiers.baselines import FlatClassifier
from classifiers.candidates import Candidates
from classifiers.embeddings import in_full
from classifiers.evaluation import calibration_error
from classifiers.red_classifier import RedClassifier
from labelling.benchmark.data import Corpus, Vectors, texts_of
from labelling.benchmark.measuring import C_UNTUNED, Figures, is_cross_validated

# Texts without a label that R.E.D. may teach itself with.
POOL = 10_000

Encode = Callable[[Sequence[str]], np.ndarray]
# Texts, label codes and seed to what an encoder that has learnt them makes of the corpus, and of other texts.
Adapt = Callable[[Sequence[str], np.ndarray, int], tuple[Vectors, Encode]]


@dataclass(frozen=True)
class Described:
    """What is known of the labels besides their examples, in the order of their codes.

    Attributes:
        names: unit vectors, shape (n_labels, n_dims).
        definitions: those of name and definition, likewise; rows of zeros where there is none.
        texts: name and definition.
    """

    names: np.ndarray
    definitions: np.ndarray
    texts: list[str]


def describe(corpus: Corpus, vectors: Vectors, encode: Encode) -> Described:
    """Put names and the definitions of the labels' file together, as a project does."""
    of = [corpus.listed[label].definition if label in corpus.listed else "" for label in corpus.labels]
    texts = [in_full(name, definition) for name, definition in zip(corpus.names, of, strict=True)]
    definitions = np.array(encode(texts)) if any(of) else np.zeros_like(vectors.names)
    definitions[[not definition for definition in of]] = 0.0
    return Described(vectors.names, definitions, texts)


def by_examples(
    corpus: Corpus,
    vectors: Vectors,
    encode: Encode,
    numbers: Sequence[int],
    random_states: Sequence[int],
    say: Callable[[str], None],
    adapt: Adapt | None = None,
) -> dict[str, dict[str, list[Figures]]]:
    """Measure R.E.D., a flat classifier, and the nearest of centroids with names, on the test texts.

    Args:
        numbers: examples of each label, at most; 0 or more.
        adapt: measure R.E.D. once more, with an encoder that has learnt the examples.

    Returns:
        By number, as text, and model: accuracy and calibration error, an entry a random state. NaN where a model can't
        be fitted, as the flat one without any example.
    """
    described = describe(corpus, vectors, encode)
    found: dict[str, dict[str, list[Figures]]] = {str(number): {} for number in numbers}
    for state in random_states:
        for number in numbers:
            say(f"state {state}: {number} examples of each label …")
            for name, figures in _measure(corpus, vectors, described, number, state, adapt).items():
                found[str(number)].setdefault(name, []).append(figures)
    return found


def _measure(
    corpus: Corpus, vectors: Vectors, described: Described, number: int, random_state: int, adapt: Adapt | None
) -> dict[str, Figures]:
    y_train = corpus.codes(corpus.train)
    own, pool = deal(y_train, len(corpus.labels), number, random_state)
    texts = texts_of(corpus.train)
    X, y = vectors.train[own], y_train[own]
    y_test = corpus.codes(corpus.test)
    figures = {
        "red": _red(corpus, vectors, described, own, pool, random_state),
        "centroid": {"accuracy": centroid_accuracy(X, y, described.names, vectors.test, y_test), "ece": math.nan},
        "flat": {"accuracy": math.nan, "ece": math.nan},
    }
    if number and adapt:
        others, encode = adapt(texts[own], y, random_state)
        figures["adapted"] = _red(corpus, others, describe(corpus, others, encode), own, pool, random_state)
    if number:
        tuned = is_cross_validated(len(corpus.labels), len(y), number)
        flat = FlatClassifier(C=None if tuned else C_UNTUNED, random_state=random_state).fit(X, y)
        figures["flat"] = _scored(flat.candidates(vectors.test, 1), y_test)
    return figures


def _red(
    corpus: Corpus, vectors: Vectors, described: Described, own: np.ndarray, pool: np.ndarray, random_state: int
) -> Figures:
    """Fit R.E.D. on the training texts at these positions, with others that have no label, and score it."""
    texts = texts_of(corpus.train)
    red = RedClassifier(random_state=random_state).fit(
        vectors.train[own],
        corpus.codes(corpus.train)[own],
        pool=vectors.train[pool],
        pool_texts=texts[pool],
        names=described.names,
        definitions=described.definitions,
        classes=np.arange(len(corpus.labels)),
        texts=texts[own],
        label_texts=described.texts,
    )
    return _scored(red.candidates(vectors.test, 1, texts_of(corpus.test)), corpus.codes(corpus.test))


def deal(y: np.ndarray, n_labels: int, number: int, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of at most ``number`` examples of each label, and of up to POOL other texts.

    Args:
        y: label codes, shape (n_texts,).
    """
    rng = np.random.default_rng(random_state)
    drawn = [rng.permutation(np.flatnonzero(y == code))[:number] for code in range(n_labels)]
    own = np.sort(np.concatenate(drawn))
    return own, rng.permutation(np.setdiff1d(np.arange(len(y)), own))[:POOL]


def centroid_accuracy(X: np.ndarray, y: np.ndarray, names: np.ndarray, X_test: np.ndarray, y_test: np.ndarray) -> float:
    """Return the share of test texts that lie nearest to their own label's centroid, its name counted as an example."""
    sums = names.astype(float).copy()
    np.add.at(sums, y, X)
    centroids = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return float(((X_test @ centroids.T).argmax(axis=1) == y_test).mean())


def _scored(found: Candidates, y_test: np.ndarray) -> Figures:
    right = found.labels[:, 0] == y_test
    return {"accuracy": float(right.mean()), "ece": calibration_error(found.probabilities[:, 0], right)}
