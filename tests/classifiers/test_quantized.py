"""The converted encoder: made once, checked, told apart from the original, and each text's vector its own."""

from __future__ import annotations

import csv
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from classifiers import quantized
from classifiers.embeddings import DEFAULT_ENCODER, SentenceEncoder
from classifiers.quantized import BATCH_TOKENS, CHECKED_TEXTS, REFUSED, QuantizedEncoder, load_encoder

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["the", "card", "was", "lost", "stolen", "bread", "bake", "an", "hour", "for", "my", "refund", "order", "late"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture(scope="module")
def converted(cache) -> QuantizedEncoder:
    encoder = load_encoder(DEFAULT_ENCODER, cache)
    assert isinstance(encoder, QuantizedEncoder), encoder.note
    return encoder


def tiny_model(folder: Path, pooling: str) -> str:
    """Save a BERT of a few random weights; returns its name."""
    # Here, so that only the process that runs these tests loads torch.
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    bert, whole = folder / "bert", folder / pooling
    bert.mkdir()
    (bert / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]), encoding="utf-8")
    BertTokenizer.from_pretrained(bert).save_pretrained(bert)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=5 + len(WORDS), max_position_embeddings=40, **size)).save_pretrained(bert)
    transformer = Transformer(str(bert), max_seq_length=32)
    SentenceTransformer(modules=[transformer, Pooling(32, pooling)], device="cpu").save(str(whole))
    return str(whole)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(axis=1)


@pytest.mark.parametrize("n", [0, 1, 2, 700])
def test_batches_hold_every_row_once_and_few_tokens(n):
    lengths = np.random.default_rng(n).integers(2, 256, size=n).tolist()
    batches = list(quantized._batches(lengths))
    assert sorted(row for rows in batches for row in rows) == list(range(n))
    assert all(len(rows) == 1 or max(lengths[row] for row in rows) * len(rows) <= BATCH_TOKENS for rows in batches)
    ordered = [lengths[row] for rows in batches for row in rows]
    assert all(shorter <= longer for shorter, longer in pairwise(ordered))


def test_a_text_of_more_tokens_than_a_batch_has_one_of_its_own():
    assert list(quantized._batches([BATCH_TOKENS + 1, 5, BATCH_TOKENS + 2])) == [[1], [0], [2]]


def test_it_agrees_with_the_original(converted):
    original = SentenceEncoder().encode(CHECKED_TEXTS)
    vectors = converted.encode(CHECKED_TEXTS)
    assert (vectors.dtype, vectors.shape) == (np.float32, original.shape)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(vectors)), abs=1e-5)
    # 0.9976 and 0.98 where the processor multiplies 8-bit integers (VNNI), a little less where it does not.
    assert cosines(vectors, original).mean() > quantized.MIN_COSINE
    assert cosines(vectors, original).min() > 0.95  # of the empty text, two tokens


def test_a_vector_does_not_depend_on_the_texts_beside_it(converted):
    with (ROOT / "labelling" / "demo" / "texts.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)][:100]
    together = converted.encode(texts)
    alone = np.concatenate([converted.encode([text]) for text in texts])
    assert cosines(together, alone).min() >= 0.998
    assert cosines(together[::-1], converted.encode(texts[::-1])).min() >= 0.998
    assert np.array_equal(together, converted.encode(texts))


def test_no_texts_give_no_rows_of_the_models_width(converted):
    vectors = converted.encode([])
    assert (vectors.dtype, vectors.shape) == (np.float32, (0, 384))


def test_the_name_tells_the_engine_from_the_original(converted):
    assert converted.name == "all-MiniLM-L6-v2 (CTranslate2 int8)" != SentenceEncoder().name


def test_it_is_converted_once_and_leaves_nothing_half_done(converted, cache, monkeypatch):
    monkeypatch.delattr(quantized, "_convert_elsewhere")
    again = load_encoder(DEFAULT_ENCODER, cache)
    assert np.array_equal(again.encode(["my card was lost"]), converted.encode(["my card was lost"]))
    assert sorted(path.name for path in cache.iterdir()) == [converted.folder.name, f"{converted.folder.name}.lock"]
    assert f"{quantized.DEFAULT_ENCODER_SHA256[:16]}-ctranslate2-" in converted.folder.name


def test_who_encodes_loads_no_torch(converted, cache, run_python):
    loaded = run_python(
        "import sys; from pathlib import Path; from classifiers.quantized import load_encoder;"
        f"print(load_encoder({DEFAULT_ENCODER!r}, Path({str(cache)!r})).encode(['a text']).shape);"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    assert loaded.splitlines() == ["(1, 384)", "[]"]


@pytest.mark.slow
def test_several_processes_at_once_and_one_that_was_killed(tmp_path):
    name = tiny_model(tmp_path, "mean")
    folder = tmp_path / "encoders" / "one"
    half = folder.with_name("one.part")
    half.mkdir(parents=True)
    (half / "model.bin").write_bytes(b"half a model")
    command = [sys.executable, "-m", "classifiers.quantized", name, str(folder)]
    racing = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait() for process in racing] == [0, 0, 0]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["one", "one.lock"]
    assert QuantizedEncoder(name, folder).encode(["my card was lost"]).shape == (1, 32)


def test_a_model_in_a_folder_of_its_own_is_known_by_its_weights(tmp_path):
    name = tiny_model(tmp_path, "mean")
    before = quantized._folder_name(name)
    assert before == quantized._folder_name(name)
    weights = Path(name) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert quantized._folder_name(name) != before


def test_what_is_no_bert_with_mean_pooling_stays_as_it_is_and_says_so(tmp_path):
    name = tiny_model(tmp_path, "cls")
    quantized.convert(name, tmp_path / "encoders" / quantized._folder_name(name))
    encoder = load_encoder(name, tmp_path / "encoders")
    assert isinstance(encoder, SentenceEncoder)
    assert encoder.name == name
    assert encoder.note.endswith("about three times slower: it is bert with cls pooling, not bert with mean.")
    assert encoder.encode(["my card was lost"]).shape == (1, 32)


def test_a_conversion_that_changes_the_vectors_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(quantized, "MIN_COSINE", 1.01)
    folder = tmp_path / "encoders" / "one"
    quantized.convert(tiny_model(tmp_path, "mean"), folder)
    assert "to the original's, less than 1.01." in (folder / REFUSED).read_text(encoding="utf-8")


def test_a_conversion_that_fails_leaves_the_slow_encoder_and_a_reason(tmp_path):
    (tmp_path / "encoders").write_text("a file where a folder should be", encoding="utf-8")
    encoder = load_encoder(DEFAULT_ENCODER, tmp_path / "encoders")
    assert isinstance(encoder, SentenceEncoder)
    assert encoder.name == DEFAULT_ENCODER
    assert "FileExistsError" in encoder.note


def test_what_follows_a_long_preamble_is_read_too(converted):
    preamble = "The following message came in by the form on our site and was not changed by anybody. " * 20
    texts = [f"{preamble}{what}" for what in ("My card was stolen.", "Somebody took my credit card.", "Bake bread.")]
    assert converted.count_windows([*texts, "short"]) == [2, 2, 2, 1]
    stolen, taken, bread = converted.encode(texts)
    assert stolen @ taken > stolen @ bread + 0.03


@pytest.mark.slow
def test_a_damaged_model_is_converted_anew(tmp_path):
    name, cache = tiny_model(tmp_path, "mean"), tmp_path / "encoders"
    load_encoder(name, cache)
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    whole = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(whole[:-1])
    load_encoder(name, cache)
    assert (folder / "model.bin").read_bytes() == whole
