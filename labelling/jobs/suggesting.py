"""What a project's model says of texts that need not be in the project."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.conf import settings

from classifiers.embeddings import Encoder
from classifiers.loop.believing import Factors
from labelling.csv_io.rows import text_hash
from labelling.jobs import vectors
from labelling.jobs.nearest import Nearest
from labelling.jobs.rounds.believing import DIGITS
from labelling.jobs.rounds.memory import Memory, recall
from labelling.models import Embedding, Project
from labelling.services.suggesting import Proposals

# Proposals for each text.
N_PROPOSED = 5
# Models kept at a time; the one that was asked for least recently goes first.
MAX_MODELS = 16


@dataclass(frozen=True)
class Model:
    """A project's model as its last round left it.

    Attributes:
        memory: what was learnt.
        factors: what makes labels as common as they were in the pool.
        encoder: the one whose vectors it has learnt.
    """

    memory: Memory
    factors: Factors
    encoder: Encoder

    @classmethod
    def of(cls, project: Project) -> Model | None:
        """Read it; None where the project has no model that can be read, or one of another encoder."""
        memory, encoder = recall(project), vectors.load_encoder(settings.ENCODER)
        if memory is None or memory.encoder != encoder.name:
            return None
        return cls(memory, _factors(project, memory), encoder)

    def propose(self, texts: Sequence[str]) -> list[Proposals]:
        """Return the best labels of each text (None for none of these) with their probabilities, best first.

        They are what a round believes of a document with this text that nobody has said anything about.
        """
        if not texts:
            return []
        found = self.memory.model.candidates(self._vectors(texts), texts=texts)
        belief = self.factors.prior(found.probabilities, found.labels)
        label_ids = np.array(self.memory.label_ids)[found.labels].tolist()
        order = np.argsort(-belief, axis=1, kind="stable")[:, :N_PROPOSED].tolist()
        return [
            [([*ids, None][column], round(row[column], DIGITS)) for column in columns]
            for ids, row, columns in zip(label_ids, belief.tolist(), order, strict=True)
        ]

    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Those that are kept already, and new ones of the other texts; float32 (n_texts, n_dims)."""
        hashes = [text_hash(text) for text in texts]
        kept: dict[str, bytes | memoryview] = {}
        for start in range(0, len(hashes), vectors.CHUNK_HASHES):
            rows = Embedding.objects.filter(
                encoder=self.encoder.name, text_hash__in=hashes[start : start + vectors.CHUNK_HASHES]
            )
            kept.update(rows.values_list("text_hash", "vector"))
        new = {key: text for key, text in zip(hashes, texts, strict=True) if key not in kept}
        by_hash = dict(zip(new, self.encoder.encode(list(new.values())), strict=True)) if new else {}
        by_hash |= {key: np.frombuffer(vector, dtype=np.float32) for key, vector in kept.items()}
        return np.stack([by_hash[key] for key in hashes])


class Models:
    """The models that were asked for, kept until a newer one takes their place.

    Attributes:
        nearest: finds documents by their vectors, which need no model.
    """

    def __init__(self) -> None:
        self.nearest = Nearest()
        self._lock = threading.Lock()
        self._kept: dict[int, tuple[tuple[int, int], Model]] = {}

    def of(self, project_id: int) -> Model | None:
        """Return a project's model; None where it has none."""
        with self._lock:
            found = self._kept.pop(project_id, None) or self._read(project_id)
            if found is None:
                return None
            self._kept[project_id] = found
            if len(self._kept) > MAX_MODELS:
                del self._kept[next(iter(self._kept))]
        return found[1]

    def refresh(self) -> None:
        """Read newer models; whoever asks meanwhile is answered by the one that is there."""
        for project_id, (stamp, _model) in list(self._kept.items()):
            if _stamp(project_id) == stamp:
                continue
            newer = self._read(project_id)
            with self._lock:
                if newer:
                    self._kept[project_id] = newer
                else:
                    self._kept.pop(project_id, None)

    def _read(self, project_id: int) -> tuple[tuple[int, int], Model] | None:
        # Before the file is read: one that is written meanwhile is newer than what is kept then.
        stamp = _stamp(project_id)
        project = Project.objects.filter(pk=project_id).first()
        model = Model.of(project) if project and stamp else None
        return (stamp, model) if stamp and model else None


def _stamp(project_id: int) -> tuple[int, int] | None:
    """What changes when a model's file is written anew; None without a file."""
    try:
        found = Project(pk=project_id).model_file.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino


def _factors(project: Project, memory: Memory) -> Factors:
    """Those of the round that learnt the model; without them labels are as common as among the examples."""
    rounds = project.rounds.exclude(factors={})
    round_ = rounds.filter(number=memory.round_number).first() or rounds.first()
    stored = round_.factors if round_ else {}
    by_label = stored.get("labels", {})
    return Factors(stored.get("none", 1.0), np.array([by_label.get(str(pk), 1.0) for pk in memory.label_ids]))
