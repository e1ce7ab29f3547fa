"""An encoder that learns examples: the same weights from the same seed, also where it was killed on the way."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from classifiers import adapting
from classifiers.adapting import BATCH_TEXTS, CHECKPOINT, Task, Training, batches, drawn, fine_tune, rate
from classifiers.embeddings import DEFAULT_ENCODER, SentenceEncoder
from classifiers.encoders import origin, weights_digest, weights_file
from classifiers.quantized import QuantizedEncoder, load_encoder, source_digest
from tests.classifiers.test_quantized import WORDS, tiny_model

DEMO = Path(__file__).resolve().parents[2] / "labelling" / "demo" / "texts.csv"
N_TEXTS, N_EPOCHS = 40, 2


class Stopped(Exception):
    """Somebody has cancelled it."""


@pytest.mark.parametrize("n", [0, 1, BATCH_TEXTS, 700])
def test_batches_hold_every_text_once_and_like_lengths_together(n):
    lengths = np.random.default_rng(n).integers(2, 256, size=n).tolist()
    found = batches(lengths, np.random.default_rng(0))
    assert sorted(row for rows in found for row in rows) == list(range(n))
    assert all(len(rows) <= BATCH_TEXTS for rows in found)
    assert len(found) == -(-n // BATCH_TEXTS)
    assert found == batches(lengths, np.random.default_rng(0))
    if n == 700:
        assert found != batches(lengths, np.random.default_rng(1))
        padded = sum(max(lengths[row] for row in rows) * len(rows) for rows in found)
        assert padded < 1.25 * sum(lengths)


@pytest.mark.parametrize("n_steps", [1, 2, 9, 100])
def test_the_rate_rises_falls_and_is_never_nothing(n_steps):
    rates = [rate(step, n_steps) for step in range(n_steps)]
    top = int(np.argmax(rates))
    assert all(0 < each <= 1 for each in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) > 0.8


def test_some_of_each_label_are_learnt_by_lot(monkeypatch):
    y = np.array([0] * 70 + [1] * 3 + [4] * 55)
    rows = drawn(y, 0)
    assert np.bincount(y[rows]).tolist() == [adapting.MOST_A_LABEL, 3, 0, 0, adapting.MOST_A_LABEL]
    assert rows.tolist() == sorted(set(rows.tolist())) == drawn(y, 0).tolist() != drawn(y, 1).tolist()
    monkeypatch.setattr(adapting, "MOST_TEXTS", 12)
    assert np.bincount(y[drawn(y, 0)]).tolist() == [4, 3, 0, 0, 4]
    assert drawn([], 0).tolist() == []


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Task:
    """Two kinds of sentences for a model of a few random weights."""
    rng = np.random.default_rng(0)
    words = [WORDS[:7], WORDS[7:]]
    labels = [n % 2 for n in range(N_TEXTS)]
    texts = [" ".join(rng.permutation(words[label])[: 3 + n % 4]) for n, label in enumerate(labels)]
    return Task(tiny_model(tmp_path_factory.mktemp("tiny"), "mean"), texts, labels, 3, N_EPOCHS)


@pytest.fixture(scope="module")
def made(task, tmp_path_factory) -> tuple[str, Path, list[tuple[int, int]]]:
    """Name and folder of what another process has made of it, and the steps that it told of."""
    folder, steps = tmp_path_factory.mktemp("adapted"), []
    name = fine_tune(
        task.texts,
        np.array(task.labels) + 5,
        task.base,
        folder,
        random_state=task.random_state,
        epochs=task.epochs,
        progress=lambda *step: steps.append(step),
    )
    return name, folder, steps


def test_it_is_named_by_its_weights_and_leaves_nothing_else(task, made):
    name, folder, steps = made
    assert origin(name) == task.base
    assert [path.name for path in folder.iterdir()] == [f"{weights_digest(name)}.safetensors"]
    n_steps = N_EPOCHS * -(-N_TEXTS // BATCH_TEXTS)
    assert steps == [(n + 1, n_steps) for n in range(n_steps)]


def test_one_that_goes_on_from_a_checkpoint_learns_the_same_to_the_last_bit(task, made, tmp_path, monkeypatch):
    monkeypatch.setattr(adapting, "_say", lambda *words: None)
    begun = Training(task)
    next(begun.epochs(tmp_path / CHECKPOINT))
    begun.save(tmp_path / CHECKPOINT)
    other = Training(task)
    assert list(other.epochs(tmp_path / CHECKPOINT)) == [N_EPOCHS]
    assert other.write(tmp_path).startswith(weights_digest(made[0]))


def test_another_seed_learns_something_else(task, made, tmp_path, monkeypatch):
    monkeypatch.setattr(adapting, "_say", lambda *words: None)
    training = Training(Task(task.base, task.texts, task.labels, task.random_state + 1, task.epochs))
    list(training.epochs(tmp_path / CHECKPOINT))
    assert not training.write(tmp_path).startswith(weights_digest(made[0]))


def test_texts_of_a_label_lie_nearer_to_each_other_and_farther_from_others(task, made):
    name, folder, _steps = made
    y = np.array(task.labels)
    alike = y[:, np.newaxis] == y

    def apart(encoder: SentenceEncoder) -> float:
        cosines = (found := encoder.encode(task.texts)) @ found.T
        return float(cosines[alike].mean() - cosines[~alike].mean())

    assert apart(SentenceEncoder(name, weights=weights_file(folder, name))) > apart(SentenceEncoder(task.base))


def test_who_is_told_of_a_step_may_end_it_all(task, tmp_path):
    def stop(done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        fine_tune(task.texts, task.labels, task.base, tmp_path, progress=stop)
    assert list(tmp_path.glob("*.safetensors")) == []


@pytest.mark.slow
def test_what_goes_wrong_there_is_told_here(task, tmp_path):
    with pytest.raises(RuntimeError, match="offline mode"):
        fine_tune(task.texts, task.labels, "nowhere/none", tmp_path)


def test_weights_that_are_gone_or_others_are_not_used(made, tmp_path):
    name, folder, _steps = made
    with pytest.raises(FileNotFoundError):
        load_encoder(name, tmp_path, tmp_path / "none.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights_file(folder, name).read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match="SHA-256"):
        load_encoder(name, tmp_path, damaged).encode(["the card"])


def test_converted_models_are_told_apart_by_what_they_were_made_of_and_by_their_weights():
    names = [f"{base}@{digit * 16}" for base in (DEFAULT_ENCODER, "BAAI/bge-small-en-v1.5") for digit in "01"]
    assert len({source_digest(name) for name in (*names, DEFAULT_ENCODER)}) == 5


@pytest.mark.slow
def test_the_real_model_killed_on_the_way_and_converted(tmp_path):
    """Half a minute: four processes that load torch."""
    with DEMO.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"]][:60]
    texts, labels = [row["text"] for row in rows], np.unique([row["label"] for row in rows], return_inverse=True)[1]
    name = fine_tune(texts, labels, DEFAULT_ENCODER, tmp_path / "one", epochs=2)

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise Stopped

    with pytest.raises(Stopped):
        fine_tune(texts, labels, DEFAULT_ENCODER, tmp_path / "two", epochs=2, progress=stop)
    steps = []
    again = fine_tune(texts, labels, DEFAULT_ENCODER, tmp_path / "two", epochs=2, progress=lambda *s: steps.append(s))
    assert (again, steps[0]) == (name, (3, 4))
    encoder = load_encoder(name, tmp_path / "encoders", weights_file(tmp_path / "one", name))
    assert isinstance(encoder, QuantizedEncoder), encoder.note
    cosines = (encoder.encode(texts) * SentenceEncoder().encode(texts)).sum(axis=1)
    assert cosines.mean() > 0.5
