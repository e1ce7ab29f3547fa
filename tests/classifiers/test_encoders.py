"""What belongs to an encoder: its prefix, its languages, and what is taken off its vectors."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.embeddings import SPECIAL_TOKENS, SentenceEncoder, centred, side_by_side, vector_name
from classifiers.encoders import ENTRIES, PACKAGED_E5, entry_of, languages, parts
from classifiers.quantized import QuantizedEncoder, convert
from tests.classifiers.test_quantized import tiny_model


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_says_which_languages_it_knows(name):
    assert entry_of(name) == entry_of(f"sentence-transformers/{name}") == ENTRIES[name]
    assert "en" in entry_of(name).languages
    assert all(2 <= len(code) <= 3 for code in entry_of(name).languages)
    assert entry_of(name).is_centred == ("multilingual-e5" in name or name == PACKAGED_E5)
    assert entry_of(name).prefix == ("query: " if "e5-" in name else "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("all-MiniLM-L6-v2", ["all-MiniLM-L6-v2"]),
        ("one+another", ["one", "another"]),
        (" one + another ", ["one", "another"]),
        ("", []),
    ],
)
def test_a_plus_names_two(name, expected):
    assert list(parts(name)) == expected


def test_of_two_encoders_one_that_knows_a_language_is_enough_and_one_unknown_is_too_many():
    assert languages("all-MiniLM-L6-v2") == {"en"}
    assert "de" in languages("all-MiniLM-L6-v2+intfloat/multilingual-e5-small")
    assert languages("all-MiniLM-L6-v2+my-own") == languages("my-own") == languages("") == frozenset()


@pytest.mark.parametrize(
    ("name", "engine", "expected"),
    [
        ("all-MiniLM-L6-v2", "", "all-MiniLM-L6-v2"),
        ("all-MiniLM-L6-v2", "int8", "all-MiniLM-L6-v2 (int8)"),
        ("intfloat/multilingual-e5-small", "", "intfloat/multilingual-e5-small (query:)"),
        ("intfloat/multilingual-e5-small", "int8", "intfloat/multilingual-e5-small (query:, int8)"),
    ],
)
def test_whatever_makes_other_vectors_is_in_their_name(name, engine, expected):
    assert vector_name(name, engine) == expected


def crowded(n: int, seed: int = 0) -> np.ndarray:
    """Unit vectors that all lie near one direction."""
    found = np.random.default_rng(seed).normal(size=(n, 8)).astype(np.float32) / 8 + np.eye(8, dtype=np.float32)[0]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_centred_vectors_are_unit_vectors_that_have_nothing_in_common():
    X = crowded(200)
    found = centred(X, X.mean(axis=0))
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(200), abs=1e-5)
    assert np.linalg.norm(X.mean(axis=0)) > 0.8
    assert np.linalg.norm(found.mean(axis=0)) < 0.2
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("X", "centre"),
    [
        (crowded(3), np.empty(0, dtype=np.float32)),
        (np.empty((0, 0), dtype=np.float32), np.ones(8, dtype=np.float32)),
        (crowded(1), crowded(1)[0]),
    ],
)
def test_without_a_mean_without_texts_and_at_the_mean_itself_vectors_stay(X, centre):
    assert np.array_equal(centred(X, centre), X)


def test_two_encoders_count_alike():
    one, other, none = crowded(5), crowded(5, seed=1)[:, :4], np.empty(0, dtype=np.float32)
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    both = side_by_side([one, other], [none, none])
    assert (both.shape, both.dtype) == ((5, 12), np.float32)
    assert both @ both.T == pytest.approx((one @ one.T + other @ other.T) / 2, abs=1e-6)
    assert side_by_side([one], [none]) is one


@pytest.mark.parametrize("text", ["card was lost", "card was lost " * 30])
def test_each_window_is_read_behind_the_prefix_by_both_engines(text, tmp_path, monkeypatch):
    name = tiny_model(tmp_path, "mean")
    plain = SentenceEncoder(name)
    monkeypatch.setitem(ENTRIES, name, ENTRIES["intfloat/e5-small-v2"])
    original = SentenceEncoder(name)
    convert(name, tmp_path / "converted")
    quantized = QuantizedEncoder(name, tmp_path / "converted")
    assert original.name != plain.name
    assert (original.encode([text]) @ quantized.encode([text]).T).item() > 0.99
    assert (original.encode([text]) @ plain.encode([text]).T).item() < 0.9999
    assert original.count_windows([text]) == quantized.count_windows([text])
    limit = original.model.max_seq_length
    tokens = [original.model.tokenizer(f"query: {window}")["input_ids"] for window in original._windows(text)]
    assert all(len(ids) <= limit for ids in tokens)
    assert {len(ids) for windows in quantized._windows([text]) for ids in windows} == {len(ids) for ids in tokens}
    assert min(map(len, tokens)) > SPECIAL_TOKENS
