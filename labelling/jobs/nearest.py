"""The documents of a project that are most like a text."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from django.conf import settings
from django.db.models import Count, Max

from labelling.csv_io.rows import text_hash
from labelling.jobs import vectors
from labelling.models import Embedding, Project

# Vectors of texts that were changed since, without a document more or less, are read anew after so long.
FRESH_SECONDS = 600.0

Stamp = tuple[int, int, int | None]


@dataclass(frozen=True)
class Kept:
    """Vectors of a project's documents, float32 (n, n_dims), and their keys (n,)."""

    stamp: Stamp
    read_at: float
    keys: np.ndarray
    X: np.ndarray


class Nearest:
    """Finds them; the vectors of the project that was asked for last are kept: 150 MB for 100,000 documents."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: Kept | None = None

    def of(self, project_id: int, text: str, n: int) -> list[tuple[int, float]]:
        """Return (key, cosine similarity in [-1, 1]) of the ``n`` documents most like a text, most alike first."""
        with self._lock:
            kept = self._current(project_id)
        if not len(kept.keys):
            return []
        similarity = kept.X @ _vector(text)
        order = np.argsort(-similarity, kind="stable")[:n]
        return list(zip(kept.keys[order].tolist(), similarity[order].round(4).tolist(), strict=True))

    def _current(self, project_id: int) -> Kept:
        documents = Project(pk=project_id).documents.order_by()
        counted = documents.aggregate(n=Count("pk"), last=Max("pk"))
        stamp = (project_id, counted["n"], counted["last"])
        kept = self._kept
        if kept is None or kept.stamp != stamp or time.monotonic() - kept.read_at > FRESH_SECONDS:
            self._kept = None  # Never two of them in memory.
            with_vector = documents.filter(vectors.has_vector(vectors.encoder_name())).order_by("pk")
            rows = list(with_vector.values_list("pk", "text_hash"))
            X = vectors.load([key for _, key in rows], vectors.encoder_name())
            kept = self._kept = Kept(stamp, time.monotonic(), np.array([pk for pk, _ in rows], dtype=np.int64), X)
        return kept


def _vector(text: str) -> np.ndarray:
    """The one that is kept of this very text, or else a new one, float32 (n_dims,)."""
    name = vectors.encoder_name()
    kept = Embedding.objects.filter(encoder=name, text_hash=text_hash(text)).values_list("vector", flat=True).first()
    if kept is not None:
        return np.frombuffer(kept, dtype=np.float32)
    return vectors.load_encoder(settings.ENCODER).encode([text])[0]
