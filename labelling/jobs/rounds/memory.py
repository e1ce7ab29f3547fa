"""The model of a project's last round, in a file: the next round fits only what has changed since."""

from __future__ import annotations

import logging
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from classifiers.red_classifier import RedClassifier
from labelling.jobs.vectors import Space
from labelling.models import Project

logger = logging.getLogger(__name__)

# What numpy and the model's own reading raise on a file that is damaged, not theirs, or of another version.
UNREADABLE = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError,
              MemoryError, zipfile.BadZipFile, zlib.error, struct.error)  # fmt: skip


@dataclass(frozen=True)
class Memory:
    """What the last round learnt.

    Attributes:
        model: its label code k stands for ``label_ids[k]``.
        label_ids: the labels that had examples, in the order in which they came.
        encoder: name of the space whose vectors the model has learnt: it tells encoders and engines.
        n_examples: training examples at the last full fit.
        round_number: the round that learnt it; 0 in files from before it was noted.
        encoder_model: the encoder as the settings name it; empty in files from before it was noted.
        centres: what was taken off the vectors of each encoder, see ``vectors.Space``.
    """

    model: RedClassifier
    label_ids: list[int]
    encoder: str
    n_examples: int
    round_number: int = 0
    encoder_model: str = ""
    centres: tuple[np.ndarray, ...] = (np.empty(0, dtype=np.float32),)

    def has_learnt_in(self, space: Space) -> bool:
        """Whether a text has the same vector there as where the model has learnt."""
        same = len(self.centres) == len(space.centres) and all(map(np.array_equal, self.centres, space.centres))
        return self.encoder == space.name and same


def recall(project: Project) -> Memory | None:
    """Return what the last round learnt; None when there is no file, or none that can be read."""
    path = project.model_file
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return Memory(
            model=RedClassifier.from_arrays(arrays),
            label_ids=arrays["label_ids"].tolist(),
            encoder=str(arrays["encoder"]),
            n_examples=int(arrays["n_examples"]),
            round_number=int(arrays.get("round_number", 0)),
            encoder_model=str(arrays.get("encoder_model", "")),
            centres=tuple(arrays[f"centre_{n}"] for n in range(int(arrays.get("n_centres", 0)))) or Memory.centres,
        )
    except UNREADABLE:
        logger.warning("%s can't be read: everything is fitted anew", path, exc_info=True)
        return None


def remember(project: Project, memory: Memory) -> None:
    """Write the file in the last one's place; a reader sees one or the other, never half of it.

    The article's combination can't be stored: it is fitted anew each round.
    """
    if memory.model.combination == "highest":
        return
    path = project.model_file
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npz")
    np.savez(
        unfinished,
        allow_pickle=False,
        label_ids=np.array(memory.label_ids),
        encoder=np.array(memory.encoder),
        n_examples=np.array(memory.n_examples),
        round_number=np.array(memory.round_number),
        encoder_model=np.array(memory.encoder_model),
        n_centres=np.array(len(memory.centres)),
        **{f"centre_{n}": centre for n, centre in enumerate(memory.centres)},
        **memory.model.to_arrays(),
    )
    unfinished.replace(path)
