"""Words as a view: what naive Bayes says of hashed n-grams, and what the ensemble makes of it."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from scipy.sparse import vstack

from classifiers import words
from classifiers.red_classifier import RedClassifier
from classifiers.subset_classifier import NOISE
from classifiers.words import ALPHA, N_FEATURES, NaiveBayes, counts
from tests.classifiers.clusters import N_DIMS, clusters, some_units

TEXTS = ["Lost my card", "card lost!", "exchange rate", "Exchange  RATES today", "top-up", "top up failed", "", "card"]
CODES = np.array([0, 0, 1, 1, 2, 2, NOISE, 0])
N_LABELS = 3


def bayes() -> NaiveBayes:
    return NaiveBayes(counts(TEXTS), CODES, N_LABELS)


def sums() -> np.ndarray:
    """Summed counts of each label's examples, dense."""
    return np.stack([counts(TEXTS)[code == CODES].toarray().sum(axis=0) for code in range(N_LABELS)]).astype(float)


def by_hand(x: np.ndarray, of_label: np.ndarray) -> float:
    """Score of one text for a label with these summed counts, by the formula."""
    n_seen = np.count_nonzero(sums().sum(axis=0))
    likely = np.log(of_label + ALPHA) - np.log(of_label.sum() + ALPHA * n_seen)
    everywhere = np.log(sums().sum(axis=0) + ALPHA * N_LABELS) - np.log(sums().sum() + ALPHA * N_LABELS * n_seen)
    return float((likely - everywhere) @ x / np.sqrt(x.sum() + 1))


# Counts.


def test_case_accents_and_white_space_do_not_count_but_how_often_does():
    found = counts(["Café  au lait", " cafe au\nLAIT ", "cafe au lait cafe au lait"]).toarray()
    assert found.shape == (3, N_FEATURES)
    assert found.dtype == np.float32
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[2], 2 * found[0])


@pytest.mark.parametrize("texts", [[], [""], ["", " ", "?"], np.array([], dtype=object)])
def test_texts_without_words_have_counts_too(texts):
    found = counts(texts)
    assert found.shape == (len(texts), N_FEATURES)
    assert bayes().scores(found).shape == (len(texts), N_LABELS)
    assert np.isfinite(bayes().scores(found)).all()


def ngrams(text: str) -> list[str]:
    """By the definition: of each word with a space on either side, then the words."""
    padded = [f" {word} " for word in text.split()]
    pieces = [word[at : at + n] for word in padded for n in words.LENGTHS for at in range(len(word) - n + 1)]
    return pieces + 3 * [f"word:{word}" for word in re.findall(r"\w+", text)]


@pytest.mark.parametrize("chunk_texts", [1, 3, 1_000])
def test_each_ngram_has_a_feature_of_its_own(monkeypatch, chunk_texts):
    monkeypatch.setattr(words, "CHUNK_TEXTS", chunk_texts)
    texts = ["lost my card", "a", "is it a top-up?", "card lost my", "", "x_1 y/2", "straße 東京"]
    found = counts(texts)
    known = sorted({ngram for text in texts for ngram in ngrams(text)})
    assert np.asarray(found.sum(axis=1)).ravel().tolist() == [len(ngrams(text)) for text in texts]
    assert len(np.unique(found.indices)) == len(known)
    for first, second in itertools.combinations(range(len(texts)), 2):
        shared = set(ngrams(texts[first])) & set(ngrams(texts[second]))
        assert found[first].multiply(found[second] > 0).nnz == len(shared)


def test_of_a_long_text_only_words_count_beyond_its_beginning(monkeypatch):
    monkeypatch.setattr(words, "MAX_CHARACTERS", 4)
    short, long = counts(["card", "card lost"])
    beyond = (long - short).data
    assert beyond.tolist() == [words.WORD_WEIGHT]


def test_an_array_of_texts_is_as_good_as_a_list():
    assert (counts(np.array(TEXTS, dtype=object)) != counts(TEXTS)).nnz == 0


# Naive Bayes.


def test_scores_are_those_of_the_formula():
    X = counts(["lost card today", "exchange", "something else", ""])
    expected = [[by_hand(x, of_label) for of_label in sums()] for x in X.toarray().astype(float)]
    assert bayes().scores(X) == pytest.approx(np.array(expected), abs=1e-4)


def test_an_example_is_left_out_of_its_own_label_exactly_and_of_nothing_else():
    X = counts(TEXTS)
    found, expected = bayes().left_out(X, CODES), bayes().scores(X)
    for row in np.flatnonzero(CODES != NOISE):
        x = X[row].toarray().ravel().astype(float)
        expected[row, CODES[row]] = by_hand(x, sums()[CODES[row]] - x)
    assert found == pytest.approx(expected, abs=1e-4)


def test_an_only_example_leaves_its_label_as_one_that_has_none():
    X = counts([*TEXTS, "new phone"])
    model = NaiveBayes(X, np.append(CODES, N_LABELS), N_LABELS + 2)
    found = model.left_out(X[[-1]], np.array([N_LABELS]))[0]
    assert found[N_LABELS] == pytest.approx(found[N_LABELS + 1], abs=1e-4)


def test_a_label_without_an_example_has_a_score_too():
    found = NaiveBayes(counts(TEXTS), CODES, N_LABELS + 1).scores(counts(["lost card"]))
    assert np.isfinite(found).all()
    assert found[0].argmax() == 0


@pytest.mark.parametrize("chunk_rows", [1, 3])
def test_chunks_change_nothing(monkeypatch, chunk_rows):
    X, whole = counts(TEXTS), bayes().left_out(counts(TEXTS), CODES)
    monkeypatch.setattr(words, "CHUNK_ROWS", chunk_rows)
    assert np.array_equal(bayes().left_out(X, CODES), whole)


def test_what_is_learnt_is_the_sum_of_the_examples_in_whatever_order():
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = NaiveBayes(vstack([counts([TEXTS[row]]) for row in order], format="csr"), CODES[order], N_LABELS)
    assert shuffled.scores(counts(["card"])) == pytest.approx(bayes().scores(counts(["card"])), abs=1e-5)


# In the classifier.

N_TASK, N_EACH = 8, 8
NAMES = ["lost card", "exchange rate", "top up", "pin code", "cash machine", "refund", "transfer fee", "new account"]


def task(random_state: int = 0, scale: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors that say little, and texts that say it all."""
    X, y = clusters(N_TASK, N_EACH, random_state, scale)
    rng = np.random.default_rng(random_state)
    texts = [f"{NAMES[code]} {rng.choice(['please', 'help', 'why', 'today'])} {rng.integers(9)}" for code in y]
    return X, y, np.array(texts, dtype=object)


def red(**params) -> RedClassifier:
    return RedClassifier(subset_size=4, n_deals=2, noise_ratio=2.0, **{"self_training": 0} | params)


def test_words_tell_apart_what_the_vectors_do_not():
    X, y, texts = task()
    new, truth, new_texts = task(1)
    plain = red().fit(X, y).predict(new)
    with_words = red().fit(X, y, texts=texts).predict(new, new_texts)
    assert (with_words == truth).mean() > (plain == truth).mean() + 0.1


def test_words_that_say_nothing_are_dropped_and_need_not_be_given():
    X, y, _ = task(scale=0.2)
    nothing = [""] * len(X)
    model = red().fit(X, y, texts=nothing)
    assert model.ensemble_.counts is None
    assert np.array_equal(model.predict_proba(X), red().fit(X, y).predict_proba(X))
    assert np.array_equal(model.predict(X, nothing), model.predict(X))


def test_who_gives_texts_once_gives_them_always():
    X, y, texts = task()
    model = red().fit(X, y, texts=texts)
    for call in (model.candidates, model.predict, model.predict_proba):
        with pytest.raises(ValueError, match="give the texts"):
            call(X)
    with pytest.raises(ValueError, match="give the texts"):
        model.refit(some_units(len(X), N_DIMS), y)
    with pytest.raises(ValueError, match="64 vectors but 63 texts"):
        model.candidates(X, 3, texts[1:])
    with pytest.raises(ValueError, match="69 vectors but 64 texts"):
        red().fit(X, y, elsewhere=some_units(5, N_DIMS), texts=texts)


def test_no_texts_are_no_predictions():
    X, y, texts = task()
    assert red().fit(X, y, texts=texts).predict(np.empty((0, N_DIMS)), []).tolist() == []


def test_a_refit_learns_the_words_of_new_examples_alone_and_of_new_labels():
    X, y, texts = task()
    known = y < N_TASK - 1
    few = np.flatnonzero(known)[::2]
    model = red().fit(X[few], y[few], texts=texts[few]).refit(X, y, texts=texts)
    ensemble = model.ensemble_
    assert ensemble.counts.shape[0] == len(ensemble.bank) == len(X)
    assert ensemble.words.sums.toarray() == pytest.approx(NaiveBayes(counts(texts), y, N_TASK).sums.toarray())
    new, truth, new_texts = task(1)
    assert (model.predict(new, new_texts) == truth)[truth == N_TASK - 1].mean() > 0.8


def test_what_it_teaches_itself_and_texts_of_no_label_have_words_too():
    X, y, texts = task()
    pool, truth, pool_texts = task(1)
    elsewhere = some_units(4, N_DIMS)
    model = red().fit(X, y, elsewhere=elsewhere, texts=texts, elsewhere_texts=["weather"] * 4)
    model.train_itself(pool, truth, np.ones(len(pool), dtype=bool), pool_texts)
    ensemble = model.ensemble_
    assert model.n_taught_ > 0
    assert ensemble.counts.shape[0] == len(X) + 4 + model.n_taught_
    taught = ensemble.counts[np.flatnonzero(ensemble.given)]
    assert {tuple(row.indices) for row in taught} <= {tuple(row.indices) for row in counts(pool_texts)}
    again = red(self_training=50).fit(X, y, pool=pool, texts=texts, pool_texts=pool_texts)
    assert again.n_taught_ >= 0


def test_words_survive_storing(tmp_path):
    X, y, texts = task()
    model = red().fit(X, y, texts=texts)
    np.savez(tmp_path / "model.npz", **model.to_arrays())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        read = RedClassifier.from_arrays(arrays)
    assert np.array_equal(read.predict_proba(X, texts), model.predict_proba(X, texts))
    new, codes, new_texts = task(2)
    assert np.array_equal(
        read.refit(new, codes, texts=new_texts).predict_proba(X, texts),
        model.refit(new, codes, texts=new_texts).predict_proba(X, texts),
    )


def test_the_articles_combination_reads_no_words():
    X, y, texts = task()
    model = RedClassifier(subset_size=4, combination="highest").fit(X, y, texts=texts)
    assert np.array_equal(model.predict(X, texts), model.predict(X))
