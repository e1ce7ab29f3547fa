"""Vectors of texts, kept on disk from run to run."""

from __future__ import annotations

import hashlib
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from classifiers.adapting import drawn, fine_tune
from classifiers.encoders import weights_digest, weights_file
from classifiers.quantized import load_encoder
from labelling.benchmark.data import BadData, Corpus, Table, Vectors

# Texts encoded between two lines of progress.
CHUNK = 2_048
# Folder of the weights of adapted encoders.
ADAPTED = "adapted"
STEPS_BETWEEN_REPORTS = 20


class Embedder:
    """Encodes each list of texts once: what a run has encoded, later runs read.

    Args:
        name: of the encoder, as in SentenceEncoder.
        cache: folder of the .npy files, one for each list of texts, and of the converted encoders; made when it is
            missing.
        say: is told about the progress.

    Attributes:
        n_encoded: texts that were encoded, not read.
    """

    def __init__(self, name: str, cache: Path, say: Callable[[str], None]):
        weights = weights_file(cache / ADAPTED, name) if weights_digest(name) else None
        self.encoder = load_encoder(name, cache / "encoders", weights)
        self.name = name
        self.cache = cache
        self.say = say
        self.n_encoded = 0

    def adapted(self, texts: Sequence[str], y: np.ndarray, names: Sequence[str], random_state: int) -> Embedder:
        """Return one whose encoder has learnt these texts, their labels, codes of shape (n_texts,), and their names."""
        rows = drawn(y, random_state)
        started = time.process_time() + _seconds_of_children()

        def progress(done: int, total: int) -> None:
            if done % STEPS_BETWEEN_REPORTS == 0 or done == total:
                self.say(f"adapting the encoder, step {done} of {total} …")

        learnt = [*(texts[row] for row in rows), *names]
        labels = [*y[rows].tolist(), *range(len(names))]
        name = fine_tune(learnt, labels, self.name, self.cache / ADAPTED, random_state=random_state, progress=progress)
        seconds = time.process_time() + _seconds_of_children() - started
        self.say(f"adapted to {len(rows)} texts in {seconds:.0f} s of CPU")
        return Embedder(name, self.cache, self.say)

    def corpus(self, corpus: Corpus) -> Vectors:
        """Encode everything that a benchmark needs, a file at a time: mixtures share the vectors of their parts."""
        return Vectors(
            train=self._tables(corpus.train),
            test=self._tables(corpus.test),
            oos=self.vectors(corpus.oos),
            names=self.vectors(corpus.names),
        )

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors, float32 of shape (n_texts, n_dims); (0, 0) without texts.

        Raises:
            BadData: the encoder can't be loaded.
        """
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        path = self.cache / f"{self._key(texts)}.npy"
        if path.exists():
            return np.load(path, allow_pickle=False)
        vectors = np.concatenate([self._encode(texts, start) for start in range(0, len(texts), CHUNK)])
        self._store(path, vectors)
        return vectors

    def _tables(self, tables: Sequence[Table]) -> np.ndarray:
        return np.concatenate([self.vectors(table.texts) for table in tables])

    def _key(self, texts: Sequence[str]) -> str:
        digest = hashlib.sha256()
        for part in (self.encoder.name, *texts):
            encoded = part.encode()
            digest.update(f"{len(encoded)}:".encode() + encoded)
        return digest.hexdigest()

    def _encode(self, texts: Sequence[str], start: int) -> np.ndarray:
        self.say(f"encoding text {start + 1:,} of {len(texts):,} …")
        chunk = texts[start : start + CHUNK]
        try:
            vectors = self.encoder.encode(chunk)
        except (OSError, ValueError) as error:
            raise BadData(f"The encoder {self.encoder.name} can't be used: {error}") from error
        self.n_encoded += len(chunk)
        return vectors

    def _store(self, path: Path, vectors: np.ndarray) -> None:
        """Write under a temporary name, then move: an interrupted run leaves no half file behind."""
        self.cache.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.part")
        try:
            with temporary.open("wb") as file:
                np.save(file, vectors, allow_pickle=False)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
