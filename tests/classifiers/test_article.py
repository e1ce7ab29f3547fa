"""The article's ensemble: who knows what, candidates and uncertainty against a calculation by hand, determinism."""

from __future__ import annotations

import math

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from classifiers import article
from classifiers.article import ArticleEnsemble
from classifiers.red_classifier import RedClassifier
from classifiers.subset_classifier import NOISE
from tests.classifiers.clusters import N_DIMS, clusters

N_LABELS, N_EACH = 12, 6


def fitted(
    X: np.ndarray | None = None,
    y: np.ndarray | None = None,
    *,
    subset_size: int = 5,
    noise_ratio: float = 2.0,
    random_state: int = 0,
    **more,
) -> ArticleEnsemble:
    X, y = clusters(N_LABELS, N_EACH) if X is None or y is None else (X, np.asarray(y))
    return ArticleEnsemble.fit(X, y, subset_size, noise_ratio, random_state, **more)


def highest(**params) -> RedClassifier:
    return RedClassifier(**{"combination": "highest", "subset_size": 5, "noise_ratio": 2.0} | params)


def test_it_learns_labels_that_lie_apart():
    X, y = clusters(N_LABELS, N_EACH, random_state=1)
    assert np.array_equal(highest().fit(*clusters(N_LABELS, N_EACH)).predict(X), y)


def test_each_label_is_known_to_one_classifier_and_the_others_are_its_noise():
    model = fitted()
    assert sorted(np.concatenate(model.subsets)) == list(range(N_LABELS))
    assert (model.n_labels, model.n_fitted, model.n_experts) == (N_LABELS, 3, 3)
    for subset, classifier in zip(model.subsets, model.classifiers, strict=True):
        assert classifier.classes_.tolist() == [NOISE, *subset]
        assert classifier.n_noise_ == 2 * N_EACH


@pytest.mark.parametrize("noise_ratio", [0.0, 3.0])
def test_settings_reach_every_subset(noise_ratio):
    model = highest(noise_ratio=noise_ratio, random_state=8).fit(*clusters(N_LABELS, N_EACH)).ensemble_
    assert [len(subset) for subset in model.subsets] == [4, 4, 4]
    for classifier in model.classifiers:
        assert (classifier.noise_ratio, classifier.random_state) == (noise_ratio, 8)
        assert classifier.n_noise_ == noise_ratio * N_EACH


def test_subsets_that_are_given_stay():
    subsets = [np.array([0, 2]), np.array([1, 3])]
    model = fitted(*clusters(4), subsets=subsets)
    assert [subset.tolist() for subset in model.subsets] == [[0, 2], [1, 3]]


@pytest.fixture
def given(monkeypatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """What reached each subset's fit: (codes, vectors from elsewhere)."""
    seen = []

    class Watched(article.SubsetClassifier):
        def fit(self, X, y, elsewhere):
            seen.append((y, elsewhere))
            return super().fit(X, y, elsewhere)

    monkeypatch.setattr(article, "SubsetClassifier", Watched)
    return seen


def test_texts_that_belong_nowhere_are_noise_to_every_subset(given):
    X, y = clusters(N_LABELS, N_EACH)
    model = highest().fit(X, y, elsewhere=np.ones((3, N_DIMS), dtype=np.float32))
    assert model.classes_.tolist() == list(range(N_LABELS))
    assert len(given) == 3
    for codes, elsewhere in given:
        assert NOISE not in codes
        assert len(elsewhere) == len(X) + 3 - len(codes)
        assert (np.ptp(elsewhere, axis=1) == 0).sum() == 3


def test_one_subset_of_all_labels_still_learns_what_belongs_nowhere():
    nowhere = np.eye(N_DIMS, dtype=np.float32)[30:38]
    model = highest(subset_size=10).fit(*clusters(4), elsewhere=nowhere).ensemble_
    (classifier,) = model.classifiers
    assert classifier.n_noise_ == 8
    assert classifier.predict(nowhere).tolist() == [NOISE] * 8


def test_candidates_are_the_subsets_own_probabilities_best_first():
    model = fitted()
    X = clusters(N_LABELS, N_EACH, random_state=1)[0]
    best = model.candidates(X, k=4)
    assert len(best) == len(X)
    assert best.labels.shape == best.probabilities.shape == (len(X), 4)
    for row, x in enumerate(X):
        known: dict[int, tuple[float, float]] = {}
        for classifier in model.classifiers:
            of_class = dict(zip(classifier.classes_.tolist(), classifier.predict_proba([x])[0], strict=True))
            entropy = -sum(p * math.log(p) for p in of_class.values())
            known |= {code: (p, entropy) for code, p in of_class.items() if code != NOISE}
        ranking = sorted(known, key=lambda code: -known[code][0])
        assert best.labels[row].tolist() == ranking[:4]
        assert best.probabilities[row] == pytest.approx([known[code][0] for code in ranking[:4]])
        assert best.entropy[row] == pytest.approx(known[ranking[0]][1])


def test_equal_probabilities_rank_by_code():
    model = fitted(*clusters(4))
    regression = model.classifiers[0].regression_
    regression.coef_[:] = regression.intercept_[:] = 0
    best = model.candidates(np.ones((1, N_DIMS)), k=4)
    assert best.labels.tolist() == [[0, 1, 2, 3]]
    assert best.probabilities.tolist() == [[0.25] * 4]


@pytest.mark.parametrize("chunk_rows", [1, 7, N_LABELS * N_EACH, 1000])
def test_chunks_change_nothing(monkeypatch, chunk_rows):
    model, X = fitted(), clusters(N_LABELS, N_EACH, random_state=1)[0]
    whole = model.candidates(X, k=3)
    monkeypatch.setattr(article, "CHUNK_ROWS", chunk_rows)
    chunked = model.candidates(X, k=3)
    assert np.array_equal(chunked.labels, whole.labels)
    assert chunked.probabilities == pytest.approx(whole.probabilities)
    assert chunked.entropy == pytest.approx(whole.entropy)


@pytest.mark.parametrize(("k", "width"), [(1, 1), (3, 3), (4, 4), (10, 4)])
@pytest.mark.parametrize("n_rows", [0, 1, 5])
def test_there_are_never_more_candidates_than_labels(k, width, n_rows):
    X, y = clusters(4)
    best = fitted(X, y).candidates(X[:n_rows], k=k)
    assert best.labels.shape == best.probabilities.shape == (n_rows, width)
    assert best.entropy.shape == (n_rows,)


def test_a_label_without_an_example_is_refused():
    with pytest.raises(ValueError, match=r"without an example: \[1\]"):
        fitted(np.eye(3), [0, 2, 2])


def test_labels_in_pairs_without_noise_leave_no_classifier_with_a_single_label():
    X, y = clusters(5)
    assert np.array_equal(fitted(X, y, subset_size=2, noise_ratio=0.0).candidates(X, 1).labels[:, 0], y)


def test_progress_is_reported_after_each_subset():
    seen: list[tuple[int, int]] = []
    highest().fit(*clusters(N_LABELS, N_EACH), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_fits_run_on_one_thread_and_leave_the_others_to_whoever_comes_after():
    def threads():
        return [pool["num_threads"] for pool in threadpool_info()]

    before, during = threads(), []
    fitted(progress=lambda done, total: during.extend(threads()))
    assert set(during) == {1}
    assert threads() == before


@pytest.mark.parametrize("n_labels", [N_LABELS, pytest.param(24, id="with UMAP")])
def test_the_same_seed_gives_the_same_model_to_the_last_bit(n_labels):
    X, y = clusters(n_labels)
    first, again = (fitted(X, y, random_state=1).candidates(X, k=4) for _ in range(2))
    assert first.labels.tobytes() == again.labels.tobytes()
    assert first.probabilities.tobytes() == again.probabilities.tobytes()
    assert first.entropy.tobytes() == again.entropy.tobytes()


def test_another_seed_draws_other_noise():
    X = clusters(N_LABELS, N_EACH, random_state=1)[0]
    first, other = (fitted(random_state=seed).candidates(X, 10) for seed in (0, 1))
    assert not np.array_equal(first.probabilities, other.probabilities)


def test_it_is_fitted_whole_again_when_examples_change():
    X, y = clusters(N_LABELS, N_EACH)
    model = highest().fit(X, y)
    assert model.refit(X[1:], y[1:]).n_fitted_ == model.n_experts_ == 3


def test_it_is_a_baseline_and_cannot_be_stored():
    with pytest.raises(NotImplementedError, match="Only the arbiter's combination"):
        highest().fit(*clusters(4)).to_arrays()
