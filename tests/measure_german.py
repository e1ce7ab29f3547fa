"""How well encoders understand short German texts: python -m tests.measure_german [ENCODER …]

315 messages to the administration of a town, written for this project; 21 labels. Five of each label are learnt, the
others predicted; mean and deviation of five deals.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from classifiers.embeddings import DEFAULT_ENCODER, Encoder, side_by_side
from classifiers.encoders import entry_of, parts
from classifiers.quantized import load_encoder
from classifiers.red_classifier import RedClassifier

MESSAGES = Path(__file__).parent / "slow" / "german_messages.csv"
CACHE = Path("var/encoders")
N_EXAMPLES = 5
N_DEALS = 5


def messages() -> tuple[list[str], np.ndarray, list[str]]:
    """The texts, their labels' codes, shape (n,), and the labels' names."""
    with MESSAGES.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names, y = np.unique([row["label"] for row in rows], return_inverse=True)
    return [row["text"] for row in rows], y, names.tolist()


def vectors(name: str, texts: Sequence[str], cache: Path = CACHE) -> np.ndarray:
    """What a project that has nothing but these texts makes of them: unit rows, float32 (n_texts, n_dims)."""
    each = [_encoded(load_encoder(part, cache), texts) for part in parts(name)]
    centres = [
        raw.mean(axis=0) if entry_of(part).is_centred else np.empty(0, dtype=np.float32)
        for part, raw in zip(parts(name), each, strict=True)
    ]
    return side_by_side(each, centres)


def _encoded(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    return encoder.encode(texts)


def accuracies(encoder: str, with_words: bool, cache: Path = CACHE) -> list[float]:
    """The share right among the texts that were not learnt, of each deal; names and pool are learnt as by a round."""
    texts, y, names = messages()
    X = vectors(encoder, [*texts, *names], cache)
    told = np.array([*texts, *names], dtype=object)
    return [_accuracy(X, told, y, with_words, seed) for seed in range(N_DEALS)]


def _accuracy(X: np.ndarray, texts: np.ndarray, y: np.ndarray, with_words: bool, seed: int) -> float:
    n = len(y)
    order = np.random.default_rng(seed).permutation(len(y))
    learnt = np.concatenate([order[y[order] == code][:N_EXAMPLES] for code in np.unique(y)])
    rest = np.setdiff1d(order, learnt)
    model = RedClassifier(random_state=seed)
    words = {"texts": texts[learnt], "pool_texts": texts[rest], "label_texts": texts[n:]} if with_words else {}
    model.fit(X[learnt], y[learnt], pool=X[rest], names=X[n:], **words)
    found = model.candidates(X[rest], 1, texts[rest] if with_words else None)
    return float((found.labels[:, 0] == y[rest]).mean())


def table(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """One line for each encoder."""
    yield "encoder", "vectors alone", "and words"
    for name in names:
        told = (accuracies(name, with_words) for with_words in (False, True))
        yield name, *(f"{100 * np.mean(each):.1f} ± {100 * np.std(each):.1f}" for each in told)


if __name__ == "__main__":
    for line in table(sys.argv[1:] or [DEFAULT_ENCODER]):
        sys.stdout.write(" | ".join(line) + "\n")
