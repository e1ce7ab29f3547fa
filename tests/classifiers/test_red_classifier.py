"""The ensemble: who knows what, candidates and uncertainty against a calculation by hand, determinism."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.base import clone
from threadpoolctl import threadpool_info

from classifiers import red_classifier
from classifiers.red_classifier import RedClassifier, row_entropy
from classifiers.subset_classifier import NOISE

N_LABELS, N_EACH = 12, 6


def clusters(
    n_labels: int = N_LABELS, n_each: int = N_EACH, random_state: int = 0, n_dims: int = 40
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around one direction a label, and their codes."""
    rng = np.random.default_rng(random_state)
    rows = np.eye(n_dims)[:n_labels].repeat(n_each, axis=0) + rng.normal(scale=0.15, size=(n_labels * n_each, n_dims))
    X = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return X, np.arange(n_labels).repeat(n_each)


def fitted(**params) -> RedClassifier:
    return RedClassifier(**{"subset_size": 5} | params).fit(*clusters())


def test_it_learns_labels_that_lie_apart():
    X, y = clusters(random_state=1)
    assert np.array_equal(fitted().predict(X), y)


def test_each_label_is_known_to_one_classifier_and_the_others_are_its_noise():
    model = fitted()
    assert sorted(np.concatenate(model.subsets_)) == model.classes_.tolist() == list(range(N_LABELS))
    for subset, classifier in zip(model.subsets_, model.classifiers_, strict=True):
        assert classifier.classes_.tolist() == [NOISE, *subset]
        assert classifier.n_noise_ == 2 * N_EACH


def test_settings_reach_every_subset():
    model = fitted(noise_ratio=3.0, C=2.5, random_state=8)
    for classifier in model.classifiers_:
        assert classifier.get_params() == {"noise_ratio": 3.0, "C": 2.5, "random_state": 8}
        assert classifier.n_noise_ == 3 * N_EACH


def test_texts_that_belong_nowhere_are_noise_to_every_subset(monkeypatch):
    X, y = clusters()
    nowhere = np.full((3, X.shape[1]), 0.5, dtype=np.float32)
    given = []

    class Watched(red_classifier.SubsetClassifier):
        def fit(self, X, y, elsewhere):
            given.append((y, elsewhere))
            return super().fit(X, y, elsewhere)

    monkeypatch.setattr(red_classifier, "SubsetClassifier", Watched)
    model = RedClassifier(subset_size=5).fit(np.concatenate([X, nowhere]), [*y, NOISE, NOISE, NOISE])
    assert model.classes_.tolist() == list(range(N_LABELS))
    assert len(given) == len(model.subsets_) == 3
    for codes, elsewhere in given:
        assert NOISE not in codes
        assert len(elsewhere) == len(X) + 3 - len(codes)
        assert (elsewhere == 0.5).all(axis=1).sum() == 3


def test_one_subset_of_all_labels_still_learns_what_belongs_nowhere():
    X, y = clusters(n_labels=4)
    nowhere = np.eye(40, dtype=np.float32)[30:38]
    model = RedClassifier().fit(np.concatenate([X, nowhere]), [*y, *[NOISE] * 8])
    (classifier,) = model.classifiers_
    assert classifier.n_noise_ == 8
    assert classifier.predict(nowhere).tolist() == [NOISE] * 8


def test_candidates_are_the_subsets_own_probabilities_best_first():
    model = fitted()
    X = clusters(random_state=1)[0]
    best = model.candidates(X, k=4)
    assert len(best) == len(X)
    assert best.labels.shape == best.probabilities.shape == (len(X), 4)
    for row, x in enumerate(X):
        known: dict[int, tuple[float, float]] = {}
        for classifier in model.classifiers_:
            of_class = dict(zip(classifier.classes_.tolist(), classifier.predict_proba([x])[0], strict=True))
            entropy = -sum(p * math.log(p) for p in of_class.values())
            known |= {code: (p, entropy) for code, p in of_class.items() if code != NOISE}
        ranking = sorted(known, key=lambda code: -known[code][0])
        assert best.labels[row].tolist() == ranking[:4]
        assert best.probabilities[row] == pytest.approx([known[code][0] for code in ranking[:4]])
        assert best.entropy[row] == pytest.approx(known[ranking[0]][1])


def test_equal_probabilities_rank_by_code():
    model = RedClassifier().fit(*clusters(n_labels=4))
    regression = model.classifiers_[0].regression_
    regression.coef_[:] = regression.intercept_[:] = 0
    best = model.candidates(np.ones((1, 40)), k=4)
    assert best.labels.tolist() == [[0, 1, 2, 3]]
    assert best.probabilities.tolist() == [[0.25] * 4]


@pytest.mark.parametrize("chunk_rows", [1, 7, N_LABELS * N_EACH, 1000])
def test_chunks_change_nothing(monkeypatch, chunk_rows):
    model, X = fitted(), clusters(random_state=1)[0]
    whole = model.candidates(X, k=3)
    monkeypatch.setattr(red_classifier, "CHUNK_ROWS", chunk_rows)
    chunked = model.candidates(X, k=3)
    assert np.array_equal(chunked.labels, whole.labels)
    assert chunked.probabilities == pytest.approx(whole.probabilities)
    assert chunked.entropy == pytest.approx(whole.entropy)


@pytest.mark.parametrize(("k", "width"), [(1, 1), (3, 3), (4, 4), (10, 4)])
@pytest.mark.parametrize("n_rows", [0, 1, 5])
def test_there_are_never_more_candidates_than_labels(k, width, n_rows):
    X, y = clusters(n_labels=4)
    best = RedClassifier().fit(X, y).candidates(X[:n_rows], k=k)
    assert best.labels.shape == best.probabilities.shape == (n_rows, width)
    assert best.entropy.shape == (n_rows,)


def test_no_rows_are_no_predictions():
    assert fitted().predict(np.empty((0, 40))).tolist() == []


@pytest.mark.parametrize("y", [[], [NOISE, NOISE], [0, 0], [0, NOISE]])
def test_fewer_than_two_labels_are_refused(y):
    with pytest.raises(ValueError, match="At least two labels"):
        RedClassifier().fit(np.ones((len(y), 3)), y)


def test_a_label_without_an_example_is_refused():
    with pytest.raises(ValueError, match=r"without an example: \[1\]"):
        RedClassifier().fit(np.eye(3), [0, 2, 2])


def test_labels_in_pairs_without_noise_leave_no_classifier_with_a_single_label():
    X, y = clusters(n_labels=5)
    model = RedClassifier(subset_size=2, noise_ratio=0.0).fit(X, y)
    assert np.array_equal(model.predict(X), y)


def test_progress_is_reported_after_each_subset():
    seen = []
    RedClassifier(subset_size=5).fit(*clusters(), on_subset=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_fits_run_on_one_thread_and_leave_the_others_to_whoever_comes_after():
    def threads():
        return [pool["num_threads"] for pool in threadpool_info()]

    before, during = threads(), []
    RedClassifier().fit(*clusters(), on_subset=lambda done, total: during.extend(threads()))
    assert set(during) == {1}
    assert threads() == before


@pytest.mark.parametrize("n_labels", [N_LABELS, pytest.param(24, id="with UMAP")])
def test_the_same_seed_gives_the_same_model_to_the_last_bit(n_labels):
    X, y = clusters(n_labels)
    first, again = (RedClassifier(subset_size=5, random_state=1).fit(X, y).candidates(X, k=4) for _ in range(2))
    assert first.labels.tobytes() == again.labels.tobytes()
    assert first.probabilities.tobytes() == again.probabilities.tobytes()
    assert first.entropy.tobytes() == again.entropy.tobytes()


def test_another_seed_draws_other_noise():
    X = clusters(random_state=1)[0]
    first, other = (fitted(random_state=seed).candidates(X) for seed in (0, 1))
    assert not np.array_equal(first.probabilities, other.probabilities)


def test_it_clones_like_any_estimator():
    params = {"subset_size": 7, "noise_ratio": 1.0, "C": 3.0, "random_state": 4}
    copy = clone(RedClassifier(**params))
    assert copy.get_params() == params
    assert not hasattr(copy, "classes_")


@pytest.mark.parametrize(
    ("row", "entropy"),
    [([1, 0, 0], 0), ([0.5, 0.5, 0], math.log(2)), ([1 / 3] * 3, math.log(3)), ([0.9, 0.1, 0], 0.325083)],
)
def test_entropy_in_nats(row, entropy):
    assert row_entropy(np.array([row, row], dtype=float)) == pytest.approx([entropy, entropy], abs=1e-6)
