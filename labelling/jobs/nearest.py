"""The documents of a project that are most like a text."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from django.db.models import Count, Max

from labelling.jobs.vectors import Space
from labelling.models import Project

# Vectors of texts that were changed since, without a document more or less, are read anew after so long.
FRESH_SECONDS = 600.0

Stamp = tuple[int, int, int | None, str]


@dataclass(frozen=True)
class Kept:
    """Vectors of a project's documents, float32 (n, n_dims), in their space, and the documents' keys (n,)."""

    stamp: Stamp
    read_at: float
    space: Space
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
        similarity = kept.X @ kept.space.encode([text])[0]
        order = _largest(similarity, n)
        return list(zip(kept.keys[order].tolist(), similarity[order].round(4).tolist(), strict=True))

    def _current(self, project_id: int) -> Kept:
        project = Project.objects.get(pk=project_id)
        documents = project.documents.order_by()
        counted = documents.aggregate(n=Count("pk"), last=Max("pk"))
        stamp = (project_id, counted["n"], counted["last"], project.encoder_in_use)
        kept = self._kept
        if kept is None or kept.stamp != stamp or time.monotonic() - kept.read_at > FRESH_SECONDS:
            self._kept = None  # Never two of them in memory.
            space = Space.of(project)
            rows = list(documents.filter(space.has_vector()).order_by("pk").values_list("pk", "text_hash"))
            X = space.load([key for _, key in rows])
            keys = np.array([pk for pk, _ in rows], dtype=np.int64)
            kept = self._kept = Kept(stamp, time.monotonic(), space, keys, X)
        return kept


def _largest(values: np.ndarray, n: int) -> np.ndarray:
    """The places of the ``n`` largest of ``values`` (m,), the largest first, equal ones as they come."""
    if n < len(values):
        least = np.partition(values, -n)[-n]
        places = np.flatnonzero(values >= least)
    else:
        places = np.arange(len(values))
    return places[np.argsort(-values[places], kind="stable")][:n]
