"""What a project's model says of texts that need not be in the project."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from django.conf import settings

from classifiers.loop.believing import Factors
from labelling.jobs.nearest import Nearest
from labelling.jobs.rounds.memory import Memory, recall
from labelling.jobs.vectors import Space
from labelling.models import Project
from labelling.models.compact import DIGITS
from labelling.services import encoding
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
        space: the one in which it has learnt.
    """

    memory: Memory
    factors: Factors
    space: Space

    @classmethod
    def of(cls, project: Project) -> Model | None:
        """Read it; None where the project has no model that can be read, or one of another encoder."""
        memory = recall(project)
        if memory is None:
            return None
        model = memory.encoder_model or settings.ENCODER
        # What came in with a project's file may name any.
        if not encoding.is_here(model):
            return None
        space = replace(Space.named(model), centres=memory.centres)
        return cls(memory, _factors(project, memory), space) if memory.has_learnt_in(space) else None

    def propose(self, texts: Sequence[str]) -> list[Proposals]:
        """Return the best labels of each text (None for none of these) with their probabilities, best first.

        They are what a round believes of a document with this text that nobody has said anything about.
        """
        if not texts:
            return []
        found = self.memory.model.candidates(self.space.encode(texts), texts=texts)
        belief = self.factors.prior(found.probabilities, found.labels)
        label_ids = np.array(self.memory.label_ids)[found.labels].tolist()
        order = np.argsort(-belief, axis=1, kind="stable")[:, :N_PROPOSED].tolist()
        return [
            [([*ids, None][column], round(row[column], DIGITS)) for column in columns]
            for ids, row, columns in zip(label_ids, belief.tolist(), order, strict=True)
        ]


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
