"""The estimator: scikit-learn's own checks, labels of any kind, arguments, refitting, self-training, storing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers.ensemble import Ensemble
from classifiers.red_classifier import RedClassifier
from classifiers.subset_classifier import NOISE
from tests.classifiers.clusters import N_DIMS, clusters, some_units, units

N_LABELS, N_EACH = 8, 6
# Two subsets in each of two deals and in the rival split, and the global one.
N_EXPERTS = 2 * 3 + 1
SMALL = {"subset_size": 4, "n_deals": 2, "noise_ratio": 2.0, "self_training": 0}


def small(**params) -> RedClassifier:
    return RedClassifier(**SMALL | params)


def task(random_state: int = 0, scale: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    return clusters(N_LABELS, N_EACH, random_state, scale)


def none_of_these(model: RedClassifier, X: np.ndarray) -> np.ndarray:
    return 1 - model.candidates(X, 10).probabilities.sum(axis=1)


# What scikit-learn expects.

LEFT_OUT = {
    "check_methods_subset_invariance": "asks for 1e-7; vectors are float32, and a product rounds with the batch's size"
}


@parametrize_with_checks(
    [small(subset_size=2, noise_ratio=1.0), small(subset_size=2, combination="highest")],
    expected_failed_checks=lambda model: LEFT_OUT if model.combination == "arbiter" else {},
)
@pytest.mark.filterwarnings("ignore")
def test_it_is_an_estimator_as_scikit_learn_has_them(estimator, check):
    check(estimator)


def test_the_check_that_is_left_out_fails_by_rounding_alone():
    X, y = task()
    model = small().fit(X, y)
    one_by_one = np.concatenate([model.predict_proba(row[None]) for row in X])
    assert model.predict_proba(X) == pytest.approx(one_by_one, abs=1e-5)


def test_it_clones_like_any_estimator():
    params = {
        "subset_size": 7,
        "noise_ratio": 1.0,
        "combination": "highest",
        "experts": ["rival"],
        "n_deals": 2,
        "self_training": 5,
        "random_state": 4,
    }
    copy = clone(RedClassifier(**params))
    assert copy.get_params() == params
    assert not hasattr(copy, "classes_")


# Labels and probabilities.


@pytest.mark.parametrize(
    ("names", "dtype"),
    [
        pytest.param([f"label {code}" for code in range(N_LABELS)], None, id="strings"),
        pytest.param([f"label {7 - code}" for code in range(N_LABELS)], None, id="strings in another order"),
        pytest.param([f"label {code}" for code in range(N_LABELS)], object, id="strings as objects"),
        pytest.param(list(range(100, 100 - N_LABELS, -1)), None, id="falling numbers"),
    ],
)
def test_labels_of_any_kind_come_back_as_they_were(tmp_path, names, dtype):
    X, y = task()
    labels = np.array(names, dtype=dtype)[y]
    model = small().fit(X, labels)
    assert model.classes_.tolist() == sorted(names)
    assert model.predict(X).tolist() == labels.tolist()
    assert model.classes_[model.candidates(X, 1).labels[:, 0]].tolist() == labels.tolist()
    np.savez(tmp_path / "model.npz", **model.to_arrays())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        assert RedClassifier.from_arrays(arrays).predict(X).tolist() == labels.tolist()


@pytest.mark.parametrize("n_labels", [2, 8, 15])
@pytest.mark.parametrize("combination", ["arbiter", "highest"])
def test_probabilities_of_all_classes_sum_to_one(n_labels, combination):
    model = small(combination=combination).fit(*clusters(n_labels, 4))
    new = some_units(30, N_DIMS)
    probabilities = model.predict_proba(new)
    assert probabilities.shape == (30, n_labels)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(30))
    assert ((probabilities > 0).sum(axis=1) <= 10).all() or combination == "highest"
    assert np.array_equal(probabilities.argmax(axis=1), model.predict(new))


def test_no_rows_are_no_predictions():
    model = small().fit(*task())
    assert model.predict(np.empty((0, N_DIMS))).tolist() == []
    assert model.predict_proba(np.empty((0, N_DIMS))).shape == (0, N_LABELS)


def test_the_length_of_vectors_does_not_count():
    X, y = task()
    lengths = np.random.default_rng(0).uniform(0.1, 10, (len(X), 1))
    plain, stretched = small().fit(X, y).predict_proba(X), small().fit(X * lengths, y).predict_proba(X * 3)
    assert stretched == pytest.approx(plain, abs=1e-3)


def test_the_defaults_learn_two_labels_of_two_examples():
    X, y = clusters(2, 2)
    new, truth = clusters(2, 20, random_state=1)
    assert RedClassifier().fit(X, y).predict(new).tolist() == truth.tolist()


# Arguments.


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"combination": "loudest"}, "Unknown combination 'loudest'; choose from arbiter, highest"),
        ({"experts": ("rival", "uncanny")}, r"Unknown experts \['uncanny'\]; choose from diverse, rival"),
        ({"subset_size": 1}, "subset_size must be at least 2, not 1"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(params, said):
    with pytest.raises(ValueError, match=said):
        small(**params).fit(*task())


@pytest.mark.parametrize("combination", ["arbiter", "highest"])
def test_one_label_is_refused(combination):
    with pytest.raises(ValueError, match="At least two labels"):
        small(combination=combination).fit(np.eye(3), [4, 4, 4])


def test_names_are_one_for_each_label():
    X, y = task()
    with pytest.raises(ValueError, match="8 classes but 7 names"):
        small().fit(X, y, names=some_units(7, N_DIMS))


def test_names_given_once_are_given_always():
    X, y = task()
    names = some_units(N_LABELS, N_DIMS)
    for first, then in ((names, None), (None, names)):
        with pytest.raises(ValueError, match="every fit and refit, or to none"):
            small().fit(X, y, names=first).refit(X[1:], y[1:], names=then)


def test_names_tell_labels_apart_whose_examples_do_not():
    """Each label's only examples lie anywhere; its texts lie about its name."""
    names, y = np.eye(N_LABELS, N_DIMS, dtype=np.float32), np.arange(N_LABELS).repeat(5)
    rng = np.random.default_rng(0)
    X = units(names[y] + rng.normal(scale=0.45, size=(len(y), N_DIMS)))
    truth = np.arange(N_LABELS).repeat(40)
    new = units(names[truth] + rng.normal(scale=0.45, size=(len(truth), N_DIMS)))
    plain, named = small().fit(X, y), small().fit(X, y, names=names)
    right = [(model.predict(new) == truth).mean() for model in (plain, named)]
    assert right[1] > right[0] + 0.05


# Labels with few examples or none.


def test_labels_without_an_example_are_classes_by_their_names():
    X, y = task()
    names = np.eye(N_LABELS, N_DIMS)
    labels = np.array([f"label {code}" for code in range(N_LABELS)])
    some = ~np.isin(y, [2, 5])
    model = small().fit(X[some], labels[y[some]], classes=labels, names=names)
    assert model.classes_.tolist() == labels.tolist()
    new, truth = task(1)
    assert (model.predict(new) == labels[truth]).mean() > 0.9
    model.refit(X, labels[y], classes=labels, names=names)
    assert (model.predict(new) == labels[truth]).mean() > 0.97


@pytest.mark.parametrize("combination", ["arbiter"])
def test_names_and_definitions_alone_make_a_model(tmp_path, combination):
    names, definitions = np.eye(N_LABELS, N_DIMS), clusters(N_LABELS, 1)[0]
    texts = ["card lost", "exchange rate", "top up", "pin", "cash", "refund", "fee", "account"]
    nothing = np.empty((0, N_DIMS)), np.empty(0, dtype=int)
    described = {"classes": range(N_LABELS), "names": names, "definitions": definitions, "label_texts": texts}
    model = small(combination=combination).fit(*nothing, texts=[], **described)
    new, truth = task(1)
    new_texts = [f"my {texts[code]}" for code in truth]
    assert (model.predict(new, new_texts) == truth).mean() > 0.9
    assert none_of_these(model, new).max() <= 0.9
    np.savez(tmp_path / "model.npz", **model.to_arrays())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        read = RedClassifier.from_arrays(arrays)
    X, y = task()
    X_texts = [texts[code] for code in y]
    grown = [known.refit(X, y, texts=X_texts, **described).predict_proba(new, new_texts) for known in (model, read)]
    assert np.array_equal(*grown)
    assert (grown[0].argmax(axis=1) == truth).mean() > 0.97


def test_classes_are_sorted_and_hold_all_labels():
    X, y = task()
    for classes in (range(N_LABELS - 1), list(range(N_LABELS))[::-1], [*range(N_LABELS), 7]):
        with pytest.raises(ValueError, match="must be sorted, each once"):
            small().fit(X, y, classes=classes)
    with pytest.raises(ValueError, match=r"without an example need names: \[8\]"):
        small().fit(X, y, classes=range(N_LABELS + 1))
    for what, given in (("definitions", some_units(7, N_DIMS)), ("label texts", ["a"] * 7)):
        with pytest.raises(ValueError, match=f"8 classes but 7 {what}"):
            small().fit(X, y, names=some_units(8, N_DIMS), **{what.replace(" ", "_"): given})


@pytest.mark.parametrize("params", [{"n_deals": 4}, {"experts": ("rival",)}, {"experts": ()}, {"subset_size": 8}])
def test_settings_decide_how_many_experts_there_are(params):
    model = small(**params).fit(*task())
    expected = {"n_deals": 5 * 2 + 1, "experts": 2 * len(params.get("experts", ())), "subset_size": 3}[
        next(iter(params))
    ]
    assert model.n_experts_ == model.n_fitted_ == expected


# Texts that belong nowhere.


def test_texts_like_those_said_to_belong_nowhere_become_more_likely_none_of_these():
    X, y = task()
    rng = np.random.default_rng(0)
    nowhere = units(np.eye(N_DIMS)[20] + np.eye(N_DIMS)[0] + rng.normal(scale=0.1, size=(30, N_DIMS)))
    plain, told = small().fit(X, y), small().fit(X, y, elsewhere=nowhere[:20])
    assert told.classes_.tolist() == list(range(N_LABELS))
    assert (none_of_these(told, nowhere[20:]) > none_of_these(plain, nowhere[20:])).all()
    assert none_of_these(told, nowhere[20:]).mean() > 0.5 > none_of_these(told, task(1)[0]).mean()


@pytest.mark.parametrize("elsewhere", [None, np.empty((0, N_DIMS), dtype=np.float32)])
def test_nothing_elsewhere_is_nothing(elsewhere):
    X, y = task()
    assert NOISE not in small().fit(X, y, elsewhere=elsewhere).ensemble_.codes


# Other examples.


def test_a_new_label_is_learnt_and_no_other_is_touched():
    X, y = clusters(N_LABELS + 1, N_EACH)
    known = y < N_LABELS
    model = small().fit(X[known], y[known])
    arbiter = model.ensemble_.arbiter
    model.refit(X, y)
    assert (model.n_fitted_, model.n_experts_) == (3 + 1, N_EXPERTS)
    assert model.ensemble_.arbiter is arbiter
    new, truth = clusters(N_LABELS + 1, N_EACH, random_state=1)
    assert (model.predict(new) == truth).mean() > 0.97


def test_the_same_examples_fit_nothing():
    X, y = task()
    names, elsewhere = some_units(N_LABELS, N_DIMS), some_units(3, N_DIMS, 1)
    model = small().fit(X, y, elsewhere=elsewhere, names=names)
    before = model.predict_proba(X)
    assert model.refit(X, y, elsewhere=elsewhere, names=names).n_fitted_ == 0
    assert np.array_equal(model.predict_proba(X), before)


def test_a_changed_label_is_fitted_alone():
    X, y = task()
    assert small().fit(X, y).refit(X[1:], y[1:]).n_fitted_ == 3 + 1


@pytest.mark.parametrize("gone", [0, 3, N_LABELS - 1])
def test_without_one_of_its_labels_everything_is_fitted(gone):
    X, y = task()
    model = small().fit(X, y).refit(X[y != gone], y[y != gone])
    assert gone not in model.classes_
    assert model.n_fitted_ == model.n_experts_
    assert np.array_equal(model.predict(X[y != gone]), y[y != gone])


def test_a_new_label_before_a_known_one_makes_everything_be_fitted():
    X, y = task()
    model = small().fit(X[y > 0], y[y > 0]).refit(X, y)
    assert model.n_fitted_ == model.n_experts_
    assert np.array_equal(model.predict(X), y)


def test_before_the_first_fit_there_is_nothing_to_refit():
    with pytest.raises(NotFittedError):
        small().refit(*task())


# Self-training.


@pytest.mark.parametrize(
    ("self_training", "scale", "trains"),
    [
        pytest.param(N_EACH + 1, 0.1, True, id="few examples and a sure model"),
        pytest.param(N_EACH, 0.1, False, id="enough examples"),
        pytest.param(0, 0.1, False, id="never"),
        pytest.param(N_EACH + 1, 5.0, False, id="an unsure model"),
    ],
)
def test_it_teaches_itself_only_where_examples_are_few_and_it_is_sure(self_training, scale, trains):
    pool = clusters(N_LABELS, 10, random_state=1, scale=scale)[0]
    model = small(self_training=self_training).fit(*task(), pool=pool)
    assert (model.n_taught_ > 0) is trains
    assert (len(model.ensemble_.bank) > N_LABELS * N_EACH) is trains


def test_texts_that_belong_nowhere_are_no_examples_of_a_label():
    pool = clusters(N_LABELS, 10, random_state=1, scale=0.1)[0]
    elsewhere = np.eye(N_DIMS, dtype=np.float32)[20:30]
    assert small(self_training=N_EACH + 1).fit(*task(), elsewhere=elsewhere, pool=pool).n_taught_ > 0


@pytest.mark.parametrize("pool", [None, np.empty((0, N_DIMS), dtype=np.float32)])
def test_without_other_texts_there_is_nothing_to_teach_itself_with(pool):
    assert small(self_training=100).fit(*task(), pool=pool).n_taught_ == 0


def test_what_it_teaches_itself_are_its_own_certain_labels_at_most_so_many_of_each(monkeypatch):
    monkeypatch.setattr("classifiers.red_classifier.SELF_EXAMPLES", 4)
    X, y = task()
    pool, truth = clusters(N_LABELS, 10, random_state=1, scale=0.1)
    model = small(self_training=10).fit(X, y, pool=pool)
    taught = model.ensemble_.codes[len(X) :]
    assert (np.bincount(taught) == 4).all()
    places = (model.ensemble_.bank[len(X) :] @ pool.T).argmax(axis=1)
    assert len(set(places.tolist())) == len(taught)
    assert np.array_equal(truth[places], taught)
    assert np.array_equal(model.predict(pool), truth)


def test_the_article_never_teaches_itself():
    model = small(combination="highest", self_training=100).fit(*task(), pool=task(1)[0])
    assert model.n_taught_ == 0


def test_a_self_trained_model_keeps_what_it_taught_itself_until_somebody_knows_better():
    X, y = task()
    pool = clusters(N_LABELS, 10, 1, 0.1)[0]
    model = small(self_training=10).fit(X, y, pool=pool)
    codes, given = model.ensemble_.codes.copy(), model.ensemble_.given.copy()
    # A fifth of the pool is set aside.
    assert given.sum() == model.n_taught_ == 0.8 * len(pool)
    # One of its own labels was right, another text belongs to the next label.
    right, wrong = pool[(model.ensemble_.bank[given][[0, -1]] @ pool.T).argmax(axis=1)]
    right_code, wrong_code = codes[given][[0, -1]]
    model.refit(np.concatenate([X, [right, wrong]]), [*y, right_code, wrong_code - 1])
    assert 0 < model.n_fitted_ < model.n_experts_
    assert model.n_taught_ == given.sum() - 2
    assert (model.ensemble_.codes[:-1] != codes).sum() == 1
    assert model.ensemble_.codes[-1] == wrong_code - 1


def test_what_others_tell_it_does_not_make_it_surer_of_other_texts():
    X, y = task(scale=0.3)
    pool, others = (clusters(N_LABELS, 40, random_state=seed, scale=0.3)[0] for seed in (1, 2))
    model = small().fit(X, y)
    sure = model.candidates(others, 1).probabilities.mean()
    found = model.candidates(pool, 1)
    model.train_itself(pool, found.labels[:, 0], found.probabilities[:, 0] > 0.8)
    assert model.n_taught_ > 0
    assert model.candidates(others, 1).probabilities.mean() == pytest.approx(sure, abs=0.02)


def test_of_what_teaching_itself_makes_it_surer_half_stays(monkeypatch):
    X, y = task(scale=0.3)
    pool, others = (clusters(N_LABELS, 40, random_state=seed, scale=0.3)[0] for seed in (1, 2))
    first = small().fit(X, y, pool=pool)
    taught = small(self_training=10).fit(X, y, pool=pool)
    assert taught.n_taught_ > 0
    monkeypatch.setattr("classifiers.ensemble.Ensemble.temper", lambda *ignored: None)
    too_sure = small(self_training=10).fit(X, y, pool=pool)
    before, after, at_last = (model.candidates(others, 1).probabilities.mean() for model in (first, too_sure, taught))
    assert before < at_last < after
    assert at_last == pytest.approx((before + after) / 2, abs=0.03)


def test_without_examples_it_stays_as_sure_as_it_is_once_it_has_taught_itself(monkeypatch):
    pool = clusters(N_LABELS, 40, random_state=1, scale=0.3)[0]
    names = clusters(N_LABELS, 1, random_state=2, scale=0.3)[0]
    told = {"names": names, "classes": np.arange(N_LABELS), "pool": pool}
    monkeypatch.setattr("classifiers.ensemble.Ensemble.temper", pytest.fail)
    model = small(self_training=10).fit(np.empty((0, N_DIMS)), np.empty(0, dtype=int), **told)
    assert model.n_taught_ > 0


def test_it_learns_the_labels_that_are_certain_by_other_evidence_and_no_others():
    X, y = task(scale=0.3)
    elsewhere = some_units(5, N_DIMS)
    pool, truth = clusters(N_LABELS, 20, random_state=1, scale=0.3)
    labels = np.where(truth < 4, truth, NOISE)
    model = small().fit(X, y, elsewhere=elsewhere)
    model.train_itself(pool, labels, labels != NOISE)
    assert 0 < model.n_taught_ < (labels != NOISE).sum()
    given = model.ensemble_.codes[model.ensemble_.given]
    assert set(given.tolist()) == {0, 1, 2, 3}
    places = (model.ensemble_.bank[model.ensemble_.given] @ pool.T).argmax(axis=1)
    assert np.array_equal(truth[places], given)
    # Once more: what it has taught itself is no example.
    own = model.ensemble_.own_examples()
    assert np.array_equal(model.ensemble_.codes[own], [*y, *[NOISE] * 5])
    model.train_itself(pool, labels, np.zeros(len(pool), dtype=bool))
    assert model.n_taught_ == 0


@pytest.mark.parametrize("n_pool", [0, 1])
def test_with_hardly_a_text_left_the_last_fit_is_one_of_the_examples(n_pool):
    pool, truth = clusters(N_LABELS, 1, random_state=1)
    model = small().fit(*task())
    model.train_itself(pool[:n_pool], truth[:n_pool], np.ones(n_pool, dtype=bool))
    assert model.n_taught_ == n_pool
    assert model.predict(task()[0]).tolist() == task()[1].tolist()


# Same again, and stored.


def test_the_same_seed_gives_the_same_model_to_the_last_bit():
    X, y = task(scale=0.3)
    fits = [
        small(self_training=10, random_state=3).fit(X, y, elsewhere=some_units(5, N_DIMS), pool=task(1)[0])
        for _ in range(2)
    ]
    first, again = (model.candidates(some_units(50, N_DIMS, 2), 10) for model in fits)
    assert first.labels.tobytes() == again.labels.tobytes()
    assert first.probabilities.tobytes() == again.probabilities.tobytes()
    assert first.entropy.tobytes() == again.entropy.tobytes()


@pytest.mark.parametrize("trained", [False, True])
def test_a_stored_model_is_the_same_model(tmp_path, trained):
    X, y = task()
    names = some_units(N_LABELS, N_DIMS)
    model = small(self_training=10 * trained, experts=["rival"], random_state=5)
    model.fit(X, y, elsewhere=some_units(3, N_DIMS, 1), pool=clusters(N_LABELS, 10, 1, 0.1)[0], names=names)
    np.savez_compressed(tmp_path / "model.npz", **model.to_arrays())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        again = RedClassifier.from_arrays(arrays)
    assert isinstance(again.ensemble_, Ensemble)
    assert again.get_params() == model.get_params()
    assert again.n_taught_ == model.n_taught_
    assert (model.n_taught_ > 0) is trained
    assert (again.n_features_in_, again.n_experts_) == (N_DIMS, 2)
    new = some_units(40, N_DIMS, 2)
    assert again.predict_proba(new).tobytes() == model.predict_proba(new).tobytes()
    assert again.candidates(new).entropy.tobytes() == model.candidates(new).entropy.tobytes()
    assert again.refit(X[1:], y[1:], names=names).n_fitted_ == model.refit(X[1:], y[1:], names=names).n_fitted_
    assert again.predict_proba(new).tobytes() == model.predict_proba(new).tobytes()
