"""Labelled texts from CSV files, and how they are dealt into seeds, pool and held-out texts."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from classifiers.embeddings import in_words
from classifiers.simulation import Data
from classifiers.subset_classifier import NOISE
from classifiers.trees import Tree
from labelling.benchmark.label_list import Listed, tree_of

COLUMNS = ("text", "label")


class BadData(ValueError):
    """The files can't be measured on; the message says why, for people."""


@dataclass(frozen=True)
class Table:
    """The rows of one file; ``names`` are the labels as they stand there, ``labels`` may have the folder in front."""

    texts: list[str]
    names: list[str]
    labels: list[str]

    def only(self, labels: Set[str]) -> Table:
        """The rows with one of these labels."""
        rows = [row for row in zip(self.texts, self.names, self.labels, strict=True) if row[2] in labels]
        return Table(*(list(column) for column in zip(*rows, strict=True))) if rows else Table([], [], [])


@dataclass(frozen=True)
class Corpus:
    """All texts of a benchmark.

    Attributes:
        train, test: one table a file.
        oos: texts that belong to no label, or none.
        labels: of the training texts, sorted: a label's position is its code.
        listed: what a file tells of labels, by label.
        parents: by label, what lies above it; empty without a tree.
    """

    train: list[Table]
    test: list[Table]
    oos: list[str]
    labels: list[str]
    listed: Mapping[str, Listed] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)

    @property
    def tree(self) -> Tree | None:
        """Of the labels' codes, where any of them has a parent."""
        return tree_of(self.labels, self.parents) if self.parents else None

    @property
    def names(self) -> list[str]:
        """The labels' names as people write them, in the order of the codes: no folder, spaces for underscores."""
        name_of = {label: name for table in self.train for label, name in zip(table.labels, table.names, strict=True)}
        return [in_words(name_of[label]) for label in self.labels]

    def codes(self, tables: Sequence[Table]) -> np.ndarray:
        """The label codes of all rows of the tables, shape (n_rows,)."""
        code_of = {label: code for code, label in enumerate(self.labels)}
        return np.array([code_of[label] for table in tables for label in table.labels], dtype=int)


@dataclass(frozen=True)
class Vectors:
    """Unit vectors of a corpus, row by row: training, test and out-of-scope texts, label names."""

    train: np.ndarray
    test: np.ndarray
    oos: np.ndarray
    names: np.ndarray


def read_corpus(train: Sequence[Path], test: Sequence[Path], oos: Path | None = None) -> Corpus:
    """Read the files. Where several are given, the name of a file's folder is put before its labels.

    Raises:
        BadData: a file is missing, no CSV, without the columns ``text`` and ``label``, or doesn't fit the others.
    """
    mixed = len(train) > 1 or len(test) > 1
    trained, tested = ([_read(path, mixed) for path in paths] for paths in (train, test))
    labels = sorted({label for table in trained for label in table.labels})
    if len(labels) < 2:
        raise BadData(f"{_listed(train)} should have at least two labels, not {len(labels)}.")
    if unknown := sorted({label for table in tested for label in table.labels} - set(labels)):
        raise BadData(f"{_listed(test)} has labels that {_listed(train)} lacks: {', '.join(unknown[:5])}.")
    return Corpus(trained, tested, [] if oos is None else _read(oos, False).texts, labels)


def some_labels(corpus: Corpus, vectors: Vectors, n_labels: int, random_state: int) -> tuple[Corpus, Vectors]:
    """Keep the texts of n_labels labels, drawn at random; all of them where there are no more."""
    rng = np.random.default_rng(random_state)
    drawn = np.sort(rng.permutation(len(corpus.labels))[:n_labels])
    labels = {corpus.labels[code] for code in drawn}
    few = replace(
        corpus,
        train=[table.only(labels) for table in corpus.train],
        test=[table.only(labels) for table in corpus.test],
        labels=sorted(labels),
    )
    train, test = (np.isin(corpus.codes(tables), drawn) for tables in (corpus.train, corpus.test))
    return few, Vectors(vectors.train[train], vectors.test[test], vectors.oos, vectors.names[drawn])


def draw(
    corpus: Corpus, vectors: Vectors, seeds_per_label: int, n_pool: int | None, random_state: int, zipf: float = 0.0
) -> tuple[Data, Data]:
    """Draw the seeds of each label; the rest is the pool.

    A label gets at most ``seeds_per_label`` seeds, and one of its texts stays in the pool if it has two or more.

    Args:
        corpus, vectors: row by row the same texts.
        seeds_per_label: at least 1.
        n_pool: the most texts of the pool, those out of scope not counted; None: all.
        random_state: seed of the draw.
        zipf: exponent of the frequencies of the pool's labels, see skewed; 0: as they are.

    Returns:
        The data with the pool in scope only, and with the texts out of scope mixed into the pool as NOISE.
    """
    rng = np.random.default_rng(random_state)
    y = corpus.codes(corpus.train)
    seeds = []
    for code in range(len(corpus.labels)):
        rows = rng.permutation(np.flatnonzero(y == code))
        seeds.append(rows[: min(seeds_per_label, max(len(rows) - 1, 1))])
    own = np.sort(np.concatenate(seeds))
    pool = rng.permutation(np.setdiff1d(np.arange(len(y)), own))
    pool = (skewed(pool, y[pool], zipf, random_state) if zipf else pool)[:n_pool]
    if not len(pool):
        raise BadData("No text is left for the pool: give fewer seeds per label or more texts.")
    texts = texts_of(corpus.train)
    data = Data(
        X=vectors.train[own],
        y=y[own],
        X_pool=vectors.train[pool],
        y_pool=y[pool],
        X_test=vectors.test,
        y_test=corpus.codes(corpus.test),
        names=vectors.names,
        texts=texts[own],
        texts_pool=texts[pool],
        texts_test=texts_of(corpus.test),
        label_texts=corpus.names,
        tree=corpus.tree,
    )
    if not len(vectors.oos):
        return data, data
    order = rng.permutation(len(pool) + len(vectors.oos))
    mixed = replace(
        data,
        X_pool=np.concatenate([data.X_pool, vectors.oos])[order],
        y_pool=np.append(data.y_pool, np.full(len(vectors.oos), NOISE))[order],
        texts_pool=np.append(texts[pool], np.array(corpus.oos, dtype=object))[order],
    )
    return data, mixed


def skewed(rows: np.ndarray, y: np.ndarray, exponent: float, random_state: int) -> np.ndarray:
    """Keep as many rows as fit Zipf's law: of the label of rank r in proportion to r ** -exponent, one at least.

    Args:
        rows: shape (n,); their order stays.
        y: their label codes, shape (n,). Which label has which rank is drawn.
        exponent: > 0.
        random_state: seed of the ranks.
    """
    labels, n_each = np.unique(y, return_counts=True)
    share = np.empty(len(labels))
    share[np.random.default_rng(random_state).permutation(len(labels))] = np.arange(1, len(labels) + 1) ** -exponent
    wanted = np.maximum(np.floor((n_each / share).min() * share), 1).astype(int)
    kept = np.concatenate([np.flatnonzero(y == label)[:n] for label, n in zip(labels, wanted, strict=True)])
    return rows[np.sort(kept)]


def texts_of(tables: Sequence[Table]) -> np.ndarray:
    """Return the texts of all rows of the tables, an array of objects of shape (n_rows,)."""
    return np.array([text for table in tables for text in table.texts], dtype=object)


def _read(path: Path, mixed: bool) -> Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if missing := [column for column in COLUMNS if column not in (rows.fieldnames or [])]:
                raise BadData(f"{path} has no column {' and no column '.join(missing)}.")
            pairs = []
            for row in rows:
                text, name = row["text"], row["label"]
                if not text or not name:
                    raise BadData(f"{path}, line {rows.line_num}: text or label is missing.")
                pairs.append((text, name))
    except OSError as error:
        raise BadData(f"{path} can't be read: {error.strerror}.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadData(f"{path} is no CSV file in UTF-8: {error}.") from error
    if not pairs:
        raise BadData(f"{path} has no rows.")
    before = f"{path.resolve().parent.name}/" if mixed else ""
    return Table([text for text, _ in pairs], [name for _, name in pairs], [before + name for _, name in pairs])


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)
