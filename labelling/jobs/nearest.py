"""The documents of a project that are most like a text."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from django.db.models import Max

from labelling.jobs.vectors import Space
from labelling.models import DiaryEntry, Project

# Vectors of texts that were changed since, without a document more or less, are read anew after so long.
FRESH_SECONDS = 600.0
CHUNK_TEXTS = 10_000
# What takes documents away: to count them all would take longer than to ask whether that was done.
REMOVALS = (DiaryEntry.Act.DOCUMENTS_DELETED, DiaryEntry.Act.IMPORT_UNDONE)

Stamp = tuple[object, ...]


@dataclass(frozen=True)
class Kept:
    """Vectors of a project's documents in their space, and the documents' keys (n,).

    They are the columns of an array, float32 (n_dims, n): so the product with one text takes half as long.
    """

    stamp: Stamp
    read_at: float
    space: Space
    keys: np.ndarray
    columns: np.ndarray


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
        similarity = kept.space.encode([text])[0] @ kept.columns
        order = _largest(similarity, n)
        return list(zip(kept.keys[order].tolist(), similarity[order].round(4).tolist(), strict=True))

    def _current(self, project_id: int) -> Kept:
        project = Project.objects.get(pk=project_id)
        stamp, kept = _stamp(project), self._kept
        if kept is None or kept.stamp != stamp or time.monotonic() - kept.read_at > FRESH_SECONDS:
            self._kept = None  # Never two of them in memory.
            space = Space.of(project)
            documents = project.documents.filter(space.has_vector()).order_by("pk")
            rows = list(documents.values_list("pk", "text_hash"))
            keys = np.array([pk for pk, _ in rows], dtype=np.int64)
            kept = self._kept = Kept(stamp, time.monotonic(), space, keys, _columns(space, [key for _, key in rows]))
        return kept


def _stamp(project: Project) -> Stamp:
    """What changes when documents come or go, when a round has read them, and with the encoder."""
    last = project.documents.order_by().aggregate(pk=Max("pk"))["pk"]
    removed = project.diary.filter(act__in=REMOVALS).values_list("pk", flat=True).first()
    read_at = project.rounds.aggregate(at=Max("queried_at"))["at"]
    return project.pk, last, removed, read_at, project.encoder_in_use


def _columns(space: Space, text_hashes: list[str]) -> np.ndarray:
    """The vectors of texts, float32 (n_dims, n); no memory has to hold them twice."""
    found = np.empty((0, 0), dtype=np.float32)
    for start in range(0, len(text_hashes), CHUNK_TEXTS):
        chunk = space.load(text_hashes[start : start + CHUNK_TEXTS])
        if not start:
            found = np.empty((chunk.shape[1], len(text_hashes)), dtype=np.float32)
        found[:, start : start + len(chunk)] = chunk.T
    return found


def _largest(values: np.ndarray, n: int) -> np.ndarray:
    """The places of the ``n`` largest of ``values`` (m,), the largest first, equal ones as they come."""
    if n < len(values):
        least = np.partition(values, -n)[-n]
        places = np.flatnonzero(values >= least)
    else:
        places = np.arange(len(values))
    return places[np.argsort(-values[places], kind="stable")][:n]
