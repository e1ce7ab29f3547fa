"""Real data sets, for measuring. They are not part of the project; RED_DATA says where they are."""

from __future__ import annotations

import csv
import os
import random
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("RED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def data_set(name: str) -> Path:
    """The folder of a data set; the test is skipped where it is not."""
    folder = FOLDER / name
    if not (folder / "train.csv").exists():
        pytest.skip(f"The data set {name} is not in {FOLDER}; RED_DATA can name another folder.")
    return folder


def read(path: Path) -> list[tuple[str, str]]:
    """The (text, label) rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def with_seeds(rows: list[tuple[str, str]], n_seeds: int, random_state: int = 0) -> list[tuple[str, str]]:
    """Keep the label of n_seeds texts of each label, drawn at random; the others lose theirs."""
    by_label: dict[str, list[int]] = {}
    for position, (_, label) in enumerate(rows):
        by_label.setdefault(label, []).append(position)
    rng = random.Random(random_state)
    kept = {
        position for positions in by_label.values() for position in rng.sample(positions, min(n_seeds, len(positions)))
    }
    return [(text, label if position in kept else "") for position, (text, label) in enumerate(rows)]
