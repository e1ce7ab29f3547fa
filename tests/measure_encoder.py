"""The encoder against sentence-transformers in 32-bit floats: speed, memory, independence of the batch, accuracy.

python -m tests.measure_encoder speed load memory alone accuracy
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.baselines import FlatClassifier
from classifiers.embeddings import DEFAULT_ENCODER, Encoder, SentenceEncoder
from classifiers.quantized import load_encoder
from classifiers.red_classifier import RedClassifier
from labelling.benchmark.data import Corpus, Vectors, draw, read_corpus
from labelling.benchmark.embedding import Embedder
from labelling.benchmark.measuring import C_UNTUNED, peak_rss_mb
from tests import load_review, real_data

CACHE = Path("var/embeddings")
ENCODERS: dict[str, Callable[[], Encoder]] = {
    "fp32": SentenceEncoder,
    "int8": lambda: load_encoder(DEFAULT_ENCODER, CACHE / "encoders"),
}
# Short texts and long ones: so many of them take some seconds.
SPEED_TEXTS = {"banking77": 1_500, "arxiv": 300}
SPEED_REPEATS = 3
LOAD_TEXTS = {"banking77": 1_500, "arxiv": 300}
MEMORY_TEXTS = 2_000
ALONE_TEXTS = 1_000
SEEDS = (10, 30)
STATES = (0, 1, 2)
CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "flat": lambda random_state: FlatClassifier(C_UNTUNED, random_state),
    "red": lambda random_state: RedClassifier(random_state=random_state),
}
Row = tuple[str, ...]


def speed() -> Iterable[Row]:
    """Texts a second of CPU time, and of wall time while others may compute, too."""
    yield "texts", "encoder", "a CPU second", "a second"
    for name, n_texts in SPEED_TEXTS.items():
        # In turn, so that a machine that slows down slows down both.
        runs = [(key, _child("encode", key, name, str(n_texts))) for _ in range(SPEED_REPEATS) for key in ENCODERS]
        yield from _rates(name, runs)


def load() -> Iterable[Row]:
    """Texts a second while a web server answers four reviewers on the same cores."""
    yield "texts", "encoder", "a CPU second", "a second"
    runs = []

    def encode(site: object) -> None:
        for name, n_texts in LOAD_TEXTS.items():
            runs.extend([(name, key, _child("encode", key, name, str(n_texts))) for key in ENCODERS])

    with tempfile.TemporaryDirectory() as folder:
        load_review.measure(Path(folder), documents=20_000, labels=77, reviewers=4, meanwhile=encode)
    for name in LOAD_TEXTS:
        yield from _rates(name, [(key, run) for known, key, run in runs if known == name])


def memory() -> Iterable[Row]:
    """The most memory of a process that encodes texts and predicts their labels."""
    yield "encoder", "peak MB"
    data, _ = draw(*_vectors("int8"), 30, None, 0)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.npz"
        np.savez(model, **RedClassifier().fit(data.X, data.y, names=data.names).to_arrays())
        for key in ENCODERS:
            yield key, f"{_child('predict', key, str(model))['peak_mb']:.0f}"


def alone() -> Iterable[Row]:
    """Cosine of a text's vector alone to that among others, and to the one in 32-bit floats."""
    yield "texts", "least, alone to among others", "mean, int8 to fp32", "least, int8 to fp32"
    for name in SPEED_TEXTS:
        texts = _texts(name)[:ALONE_TEXTS]
        encoder = ENCODERS["int8"]()
        together = encoder.encode(texts)
        by_itself = np.concatenate([encoder.encode([text]) for text in texts])
        original = ENCODERS["fp32"]().encode(texts)
        to_itself, to_original = (together * by_itself).sum(axis=1), (together * original).sum(axis=1)
        yield name, f"{to_itself.min():.5f}", f"{to_original.mean():.5f}", f"{to_original.min():.5f}"


def accuracy() -> Iterable[Row]:
    """Held-out accuracy without a judge, in percent, mean of the random states."""
    yield "seeds a label", "classifier", *ENCODERS, "difference"
    found = {key: _vectors(key) for key in ENCODERS}
    for n_seeds in SEEDS:
        for name, make in CLASSIFIERS.items():
            old, new = (_accuracy(make, *known, n_seeds) for known in found.values())
            yield str(n_seeds), name, f"{old:.2f}", f"{new:.2f}", f"{new - old:+.2f}"


def _accuracy(make: Callable[[int], Any], corpus: Corpus, vectors: Vectors, n_seeds: int) -> float:
    rights = []
    for state in STATES:
        data, _ = draw(corpus, vectors, n_seeds, None, state)
        model = make(state).fit(data.X, data.y, pool=data.X_pool, names=data.names)
        rights.append(np.mean(model.candidates(data.X_test, 1).labels[:, 0] == data.y_test))
    return 100 * float(np.mean(rights))


def _rates(name: str, runs: Sequence[tuple[str, dict[str, float]]]) -> Iterable[Row]:
    medians = {
        key: [float(np.median([run[rate] for of, run in runs if of == key])) for rate in ("a_cpu_second", "a_second")]
        for key in ENCODERS
    }
    for key, rates in medians.items():
        yield name, key, *(f"{rate:.0f}" for rate in rates)
    yield name, "int8 / fp32", *(f"{new / old:.1f}" for new, old in zip(medians["int8"], medians["fp32"], strict=True))


def _vectors(key: str) -> tuple[Corpus, Vectors]:
    folder = real_data.data_set("banking77")
    corpus = read_corpus([folder / "train.csv"], [folder / "test.csv"], None)
    embedder = Embedder(DEFAULT_ENCODER, CACHE, _say)
    embedder.encoder = ENCODERS[key]()
    return corpus, embedder.corpus(corpus)


def _texts(name: str) -> list[str]:
    return [text for text, _ in real_data.read(real_data.data_set(name) / "train.csv")]


def _child(*arguments: str) -> dict[str, float]:
    """Measure in a new process, which has loaded nothing else."""
    command = [sys.executable, "-m", "tests.measure_encoder", "--child", *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _encode(key: str, name: str, n_texts: str) -> dict[str, float]:
    texts, encoder = _texts(name)[: int(n_texts)], ENCODERS[key]()
    encoder.encode(texts[:100])  # loads the model
    cpu, wall = time.process_time(), time.perf_counter()
    encoder.encode(texts)
    return {
        "a_cpu_second": len(texts) / (time.process_time() - cpu),
        "a_second": len(texts) / (time.perf_counter() - wall),
    }


def _predict(key: str, model: str) -> dict[str, float]:
    with np.load(model, allow_pickle=False) as arrays:
        classifier = RedClassifier.from_arrays(dict(arrays))
    classifier.candidates(ENCODERS[key]().encode(_texts("banking77")[:MEMORY_TEXTS]))
    return {"peak_mb": peak_rss_mb()}


def _say(step: str) -> None:
    sys.stderr.write(f"{step}\n")


def _print(rows: Iterable[Row]) -> None:
    for number, row in enumerate(rows):
        sys.stdout.write(f"| {' | '.join(row)} |\n" + ("|---" * len(row) + "|\n") * (number == 0))
        sys.stdout.flush()
    sys.stdout.write("\n")


PARTS = {part.__name__: part for part in (speed, load, memory, alone, accuracy)}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        what, *rest = sys.argv[2:]
        sys.stdout.write(json.dumps({"encode": _encode, "predict": _predict}[what](*rest)))
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("parts", nargs="*", choices=PARTS, default=list(PARTS))
        for wanted in parser.parse_args().parts:
            _print(PARTS[wanted]())
