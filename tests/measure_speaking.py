"""How much the words that are marked count: python -m tests.measure_speaking banking77 --seeds 10

Without them the likeliest label is another one so many times as often as without as many words drawn at random.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from classifiers import quantized
from classifiers.embeddings import DEFAULT_ENCODER
from classifiers.red_classifier import RedClassifier
from tests import real_data
from tests.classifiers.test_speaking import changes_without, probabilities_of

N_TEXTS = 150


def measure(name: str, n_seeds: int, folder: Path) -> dict[str, int]:
    """Learn n seeds of each label, and count on texts drawn from the rest; the encoder is kept in the folder."""
    rows = real_data.with_seeds(real_data.read(real_data.data_set(name) / "train.csv"), n_seeds)
    pool = [text for text, label in rows if not label]
    drawn = np.random.default_rng(0).choice(len(pool), N_TEXTS, replace=False)
    seeds = [row for row in rows if row[1]]
    encode = quantized.load_encoder(DEFAULT_ENCODER, folder).encode
    texts = [text for text, _ in seeds]
    _names, codes = np.unique([label for _, label in seeds], return_inverse=True)
    model = RedClassifier(n_deals=2).fit(encode(texts), codes, texts=texts)
    return changes_without([pool[n] for n in drawn], probabilities_of(model, encode))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_set")
    parser.add_argument("--seeds", type=int, default=10)
    wanted = parser.parse_args()
    found = measure(wanted.data_set, wanted.seeds, Path("var/encoders"))
    sys.stdout.write(f"Of {N_TEXTS}: {found['marked']} without the marked words, {found['random']} without others\n")
