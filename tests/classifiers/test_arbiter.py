"""The arbiter: finds weights that are known, its slope is the loss's, and its probabilities come true."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers import arbiter
from classifiers.arbiter import FEW_EXAMPLES, UNKNOWN, USUAL_NONE, USUAL_WEIGHT, Arbiter, fit_arbiter, softmax
from classifiers.evaluation import calibration_error

WEIGHTS = np.array([2.0, 0.5, 1.0])
NONE = -1.0


def drawn(n: int, k: int = 5, random_state: int = 0, none: float = NONE) -> tuple[np.ndarray, np.ndarray]:
    """Features, and targets drawn from the conditional logit with the weights above; k is none."""
    rng = np.random.default_rng(random_state)
    features = rng.normal(size=(n, k, len(WEIGHTS))) * [1.0, 3.0, 0.2] + [0.0, 5.0, -1.0]
    scores = np.hstack([(features - [0.0, 5.0, -1.0]) / [1.0, 3.0, 0.2] @ WEIGHTS, np.full((n, 1), none)])
    chances = softmax(scores)
    return features, (chances.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)


def learnt(features: np.ndarray, target: np.ndarray) -> Arbiter:
    """The arbiter fitted where striking a candidate off the list changes nothing about the others."""
    return fit_arbiter(features, target, features[target < features.shape[1]])


@pytest.fixture(scope="module")
def fitted() -> Arbiter:
    return learnt(*drawn(8000))


def test_known_weights_are_found(fitted):
    assert fitted.weights == pytest.approx(WEIGHTS, abs=0.12)
    assert fitted.none == pytest.approx(NONE, abs=0.12)
    assert fitted.mean == pytest.approx([0, 5, -1], abs=0.1)
    assert fitted.scale == pytest.approx([1, 3, 0.2], rel=0.02)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0])
def test_an_arbiter_times_less_than_one_is_less_sure_but_ranks_the_same(fitted, factor):
    features = drawn(200, random_state=1)[0]
    sure, less = (one.probabilities(features) for one in (fitted, fitted.times(factor)))
    assert less.max(axis=1).mean() <= sure.max(axis=1).mean()
    assert less.sum(axis=1) == pytest.approx(np.ones(200))
    assert factor == 0 or np.array_equal(less.argsort(axis=1), sure.argsort(axis=1))


def test_probabilities_come_true(fitted):
    features, target = drawn(8000, random_state=1)
    probabilities = fitted.probabilities(features)
    best = probabilities.argmax(axis=1)
    assert calibration_error(probabilities.max(axis=1), best == target) < 0.025
    assert probabilities[:, -1].mean() == pytest.approx((target == 5).mean(), abs=0.015)


@pytest.mark.parametrize(("n", "k"), [(0, 3), (1, 1), (7, 1), (50, 10)])
def test_rows_sum_to_one_and_none_comes_last(fitted, n, k):
    probabilities = fitted.probabilities(drawn(n, k)[0] * 100)
    assert probabilities.shape == (n, k + 1)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(n))
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_weights_hold_for_another_number_of_candidates(fitted):
    features = drawn(20)[0]
    five, four = fitted.probabilities(features), fitted.probabilities(features[:, :4])
    kept = five[:, [0, 1, 2, 3, 5]]
    assert four == pytest.approx(kept / kept.sum(axis=1, keepdims=True))


def watched_loss(monkeypatch, features, target):
    """The loss that fit_arbiter hands to the optimiser, and where it starts."""
    seen = []
    minimize = arbiter.minimize

    def watch(loss, start, **options):
        seen.append((loss, start))
        return minimize(loss, start, **options)

    monkeypatch.setattr(arbiter, "minimize", watch)
    model = learnt(features, target)
    return *seen[0], model


@pytest.mark.parametrize("target", ["drawn", "always found", "never found"])
def test_the_slope_is_that_of_the_loss(monkeypatch, target):
    features, codes = drawn(60, k=3)
    codes = {"drawn": codes, "always found": codes % 3, "never found": np.full(60, 3)}[target]
    loss, start, _ = watched_loss(monkeypatch, features, codes)
    rng, step = np.random.default_rng(0), 1e-5
    for _ in range(5):
        point = rng.normal(size=len(start))
        slope = [(loss(point + e)[0] - loss(point - e)[0]) / (2 * step) for e in step * np.eye(len(point))]
        assert loss(point)[1] == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_no_other_weights_within_the_bounds_lose_less(monkeypatch):
    features, target = drawn(300)
    loss, _, model = watched_loss(monkeypatch, features, target)
    found = np.append(model.weights, model.none)
    rng = np.random.default_rng(0)
    for _ in range(100):
        other = found + rng.normal(scale=rng.choice([0.01, 0.1, 1.0]), size=len(found))
        other[:-1] = np.maximum(other[:-1], 0)
        assert loss(other)[0] >= loss(found)[0] - 1e-4


def separated(n: int = 400, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """The true candidate scores about 1, the others about 0; one text's truth is always among them."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, k, n)
    values = rng.normal(scale=0.1, size=(n, k))
    values[np.arange(n), target] += 1
    return values[:, :, None], target


def test_what_none_of_these_looks_like_is_learnt_from_examples_whose_label_is_struck_off():
    model = learnt(*separated())
    near, far = np.array([[[1.0], [0.0], [0.0], [0.0]]]), np.zeros((1, 4, 1))
    assert model.probabilities(near)[0, -1] < 0.01
    assert model.probabilities(far)[0, -1] > 0.1


def test_without_struck_off_examples_nothing_would_ever_be_none(monkeypatch):
    far = np.zeros((1, 4, 1))
    taught = learnt(*separated()).probabilities(far)[0, -1]
    monkeypatch.setattr(arbiter, "NONE_SHARE", 0.0)
    assert learnt(*separated()).probabilities(far)[0, -1] < 0.01 < taught


def test_the_struck_off_examples_are_seen_as_they_look_without_their_label():
    features, target = separated()
    far = np.zeros((1, 4, 1))
    as_before = learnt(features, target).probabilities(far)[0, -1]
    # What is left looks worse still: what looks as the others do here is rather one of them.
    assert fit_arbiter(features, target, features - 1).probabilities(far)[0, -1] < as_before / 2


def test_a_view_that_misleads_counts_for_nothing_and_never_against_a_label():
    features, target = separated()
    misleading = learnt(np.concatenate([features, -features], axis=2), target)
    assert misleading.weights[0] > 1
    assert misleading.weights[1] == 0
    # As leaving an example out of a label of two does: the true label scores lowest everywhere.
    assert learnt(-features, target).weights.tolist() == [0]


def test_with_few_examples_a_label_all_views_are_trusted_alike():
    features, target = drawn(300)
    without = features[target < 5]
    few, enough = (fit_arbiter(features, target, without, n_each) for n_each in (FEW_EXAMPLES - 0.1, FEW_EXAMPLES))
    assert few.weights == pytest.approx([USUAL_WEIGHT] * 3, abs=0.15)
    assert np.array_equal(enough.weights, learnt(features, target).weights)
    assert enough.weights == pytest.approx(WEIGHTS, abs=0.6)


def test_features_that_are_all_the_same_do_no_harm():
    features, target = separated()
    model = learnt(np.concatenate([features, np.full_like(features, 7.0)], axis=2), target)
    assert np.isfinite(model.weights).all()
    new = np.random.default_rng(0).normal(size=(5, *features.shape[1:]))
    said = [model.probabilities(np.concatenate([new, np.full_like(new, other)], axis=2)) for other in (7.0, -100.0)]
    assert np.array_equal(*said)


def test_what_is_known_of_no_target_teaches_scatter_alone():
    features, target = separated()
    model = fit_arbiter(features, np.full(len(target), UNKNOWN), features[:0])
    assert model.weights == pytest.approx(USUAL_WEIGHT)
    assert model.none == pytest.approx(USUAL_NONE)
    assert model.scale == pytest.approx(features.reshape(-1, features.shape[2]).std(axis=0))


def test_the_same_examples_give_the_same_weights_to_the_last_bit():
    first, again = learnt(*drawn(200)), learnt(*drawn(200))
    assert first.weights.tobytes() == again.weights.tobytes()
    assert first.none == again.none


def test_softmax_by_hand():
    scores = np.array([[0.0, np.log(2), np.log(5)], [1000.0, 1000.0, -np.inf], [-1000.0, -np.inf, -np.inf]])
    assert softmax(scores) == pytest.approx(np.array([[1 / 8, 2 / 8, 5 / 8], [0.5, 0.5, 0], [1, 0, 0]]))
