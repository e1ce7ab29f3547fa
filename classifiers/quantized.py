"""Texts to unit vectors in 8-bit integers. The one room that knows CTranslate2.

A sentence-transformers model is converted once, in a process of its own: torch stays out of the process that encodes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2 import Encoder as Engine
from filelock import FileLock
from tokenizers import Tokenizer

from classifiers import spreading
from classifiers.embeddings import (
    DEFAULT_ENCODER,
    DEFAULT_ENCODER_SHA256,
    PACKAGED_E5_SHA256,
    Encoder,
    PackagedE5,
    SentenceEncoder,
    mean_of_windows,
    vector_name,
)
from classifiers.encoders import PACKAGED_E5, entry_of, origin, weights_digest

ENGINE = "CTranslate2 int8"
# Tokens encoded at a time, padding included: what they need fits a core's cache.
BATCH_TOKENS = 300
# A converted model whose vectors are less like the original's, on average, is not used.
MIN_COSINE = 0.99
TOKENIZER = "tokenizer.json"
REFUSED = "refused.txt"
# Of all the other files, as sha256sum writes them: a damaged model is converted anew.
SUMS = "SHA256SUMS"
# Short and long, of several scripts, one empty and one longer than the model reads: the conversion is checked on them.
CHECKED_TEXTS = (
    "",
    "refund",
    "Where is my card?",
    "My card was charged twice for the same purchase, and nobody answers the phone.",
    "I'd like to cancel the order no. 4711-B (placed on 3 May), please!",
    "Die Rechnung kam zweimal, der Betrag stimmt nicht: 1.234,56 €.",
    "El pedido llegó tarde y la caja estaba rota.",
    "配送が遅れています",
    "drives lorries, loads and unloads goods with a forklift 🚚",
    "The committee shall publish its findings. " * 8,
    "Patients who were treated early recovered sooner than those who were not; the difference was small. " * 30,
)


class QuantizedEncoder:
    """A converted model that loads on first use, in a fraction of a second.

    Rows are quantized one by one, so a text's vector hardly depends on the texts beside it (cosine above 0.999).

    Args:
        model_name: as in SentenceEncoder.
        folder: the converted model.
        n_threads: batches encoded at the same time, each on one thread; as many as there are cores when None.
    """

    note = ""

    def __init__(self, model_name: str, folder: Path, n_threads: int | None = None):
        self.name = vector_name(model_name, ENGINE)
        self.prefix = entry_of(model_name).prefix
        self.folder = folder
        self.n_threads = n_threads or spreading.n_threads()

    def __getstate__(self) -> dict[str, Any]:
        """What was loaded stays here, and where it goes a part has one thread; see spreading."""
        return {"name": self.name, "prefix": self.prefix, "folder": self.folder, "n_threads": 1}

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit vector a text: float32 of shape (n_texts, n_dims)."""
        if not texts:
            return self.encode([""])[:0]
        windows = self._windows(texts)
        tokens = [ids for each in windows for ids in each]
        batches = list(_batches([len(ids) for ids in tokens]))
        if len(batches) == 1:
            # One short text: to start threads would take longer than to encode it.
            parts = [self._encode([tokens[row] for row in batches[0]])]
        else:
            with ThreadPoolExecutor(self.n_threads) as threads:
                parts = list(threads.map(lambda rows: self._encode([tokens[row] for row in rows]), batches))
        vectors = np.concatenate(parts)
        in_order = np.empty_like(vectors)
        in_order[np.concatenate(batches)] = vectors
        return mean_of_windows(in_order, [len(each) for each in windows])

    def count_windows(self, texts: Sequence[str]) -> list[int]:
        """Return for each text in how many windows it is read: 1 for all that the model reads at once."""
        return [len(each) for each in self._windows(texts)]

    def _windows(self, texts: Sequence[str]) -> list[list[list[int]]]:
        """By text: the tokens of each part that the model reads one by one."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        found = [[encoding.ids, *(more.ids for more in encoding.overflowing)] for encoding in encodings]
        if not self.prefix:
            return found
        # Behind the token that each window begins with.
        return [[[*ids[:1], *self._prefix_tokens, *ids[1:]] for ids in windows] for windows in found]

    def _encode(self, tokens: list[list[int]]) -> np.ndarray:
        """Mean of the tokens' vectors, scaled to unit length."""
        hidden = np.asarray(self._engine.forward_batch(tokens).last_hidden_state)
        lengths = np.array([len(ids) for ids in tokens])
        is_token = np.arange(hidden.shape[1]) < lengths[:, np.newaxis]
        sums = np.einsum("rtd,rt->rd", hidden, is_token.astype(np.float32))
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)

    @cached_property
    def _engine(self) -> Engine:
        return Engine(str(self.folder), compute_type="int8", inter_threads=self.n_threads, intra_threads=1)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER))
        if self.prefix and tokenizer.truncation:
            tokenizer.enable_truncation(tokenizer.truncation["max_length"] - len(self._prefix_tokens))
        return tokenizer

    @cached_property
    def _prefix_tokens(self) -> list[int]:
        tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER))
        return list(tokenizer.encode(self.prefix.strip(), add_special_tokens=False).ids)


def load_encoder(name: str, cache: Path, weights: Path | None = None) -> Encoder:
    """Return the fastest encoder of that name; it loads its model on first use.

    On first use of a name its model is converted, and again where it is damaged. That takes some 10 seconds and is done
    once even when several processes ask for it. What can't be converted is encoded by sentence-transformers, and its
    ``note`` says why.

    Args:
        name: as in SentenceEncoder, or that of a package that brings its own engine.
        cache: folder of the converted models; made when it is missing.
        weights: of an adapted encoder, see SentenceEncoder.

    Raises:
        FileNotFoundError: when an adapted encoder's weights are gone.
    """
    if name == PACKAGED_E5:
        return PackagedE5()
    folder = cache.resolve() / _folder_name(name)
    refused = folder / REFUSED
    if weights:
        # Raises where they are gone, although the converted model may still be there: all that needs them does.
        weights.stat()
    if not _is_whole(folder) and (error := _convert_elsewhere(name, folder, weights)):
        return SentenceEncoder(name, note=_note(name, error), weights=weights)
    if refused.exists():
        return SentenceEncoder(name, note=_note(name, refused.read_text(encoding="utf-8")), weights=weights)
    return QuantizedEncoder(name, folder)


def convert(name: str, folder: Path, weights: Path | None = None) -> None:
    """Convert a model and move it to ``folder``, or a file there that says why it can't be used.

    One process does it, the others wait; what a killed one has left behind is thrown away.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if _is_whole(folder):
            return
        shutil.rmtree(folder, ignore_errors=True)
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        original = SentenceEncoder(name, weights=weights)
        if reason := _unlike_bert(original) or _convert_and_check(original, part):
            part.mkdir(exist_ok=True)
            (part / REFUSED).write_text(reason, encoding="utf-8")
        (part / SUMS).write_text(_sums(part), encoding="utf-8")
        part.rename(folder)


def _is_whole(folder: Path) -> bool:
    try:
        return (folder / SUMS).read_text(encoding="utf-8") == _sums(folder)
    except (OSError, UnicodeDecodeError):
        return False


def _sums(folder: Path) -> str:
    files = [path for path in sorted(folder.iterdir()) if path.name != SUMS]
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of about BATCH_TOKENS tokens together, the shortest texts first: equal lengths need no padding."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and lengths[row] * (len(rows) + 1) > BATCH_TOKENS:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _folder_name(name: str) -> str:
    """Name of the converted model: tells the source, by a digest of its weights where they lie here, and the engine."""
    readable = re.sub(r"[^\w.-]+", "-", name).strip("-")
    return f"{readable}-{source_digest(name)[:16]}-ctranslate2-{importlib.metadata.version('ctranslate2')}-int8"


def source_digest(name: str) -> str:
    """SHA-256 of a model's weights; of its name where sentence-transformers has to find them."""
    if adapted := weights_digest(name):
        return hashlib.sha256(f"{source_digest(origin(name))} {adapted}".encode()).hexdigest()
    if name == DEFAULT_ENCODER:
        return DEFAULT_ENCODER_SHA256
    if name == PACKAGED_E5:
        return PACKAGED_E5_SHA256
    digest = hashlib.sha256(name.encode())
    for weights in sorted(Path(name).glob("*.safetensors")):
        digest.update(weights.read_bytes())
    return digest.hexdigest()


def _note(name: str, reason: str) -> str:
    return f"The encoder {name} runs in 32-bit floats, which is about three times slower: {reason}"


def _convert_elsewhere(name: str, folder: Path, weights: Path | None) -> str:
    """Convert in a new process; return what went wrong, or nothing."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", __name__, name, str(folder), *([str(weights)] if weights else [])],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1] if done.returncode else ""


def _unlike_bert(original: SentenceEncoder) -> str:
    """Why a model is of no kind that is converted here, or nothing."""
    kinds = [type(module).__name__ for module in original.model]
    if kinds[:2] != ["Transformer", "Pooling"] or set(kinds[2:]) - {"Normalize"}:
        return f"its modules are {', '.join(kinds)}."
    kind, pooling = _config(original).model_type, original.model[1].pooling_mode
    if (kind, pooling) != ("bert", "mean"):
        return f"it is {kind} with {pooling} pooling, not bert with mean."
    if original.model.default_prompt_name is not None:
        return "it puts a prompt before each text."
    return ""


def _config(original: SentenceEncoder) -> Any:
    transformer: Any = original.model[0]
    return transformer.auto_model.config


def _convert_and_check(original: SentenceEncoder, folder: Path) -> str:
    """Write the converted model; return what speaks against its vectors, or nothing."""
    from ctranslate2.converters import TransformersConverter

    # transformers 5 knows no other kind and leaves the word out; the converter asks for it.
    _config(original).position_embedding_type = "absolute"
    with tempfile.TemporaryDirectory() as source:
        original.model.save(source, create_model_card=False)
        TransformersConverter(source).convert(str(folder), quantization="int8")
    tokenizer = Tokenizer.from_str(original.model.tokenizer.backend_tokenizer.to_str())
    tokenizer.enable_truncation(original.model.max_seq_length or _config(original).max_position_embeddings)
    tokenizer.no_padding()
    tokenizer.save(str(folder / TOKENIZER))
    quantized = QuantizedEncoder(original.model_name, folder).encode(CHECKED_TEXTS)
    cosine = float((quantized * original.encode(CHECKED_TEXTS)).sum(axis=1).mean())
    if cosine < MIN_COSINE:
        return f"converted, its vectors have a cosine of {cosine:.3f} to the original's, less than {MIN_COSINE}."
    return ""


if __name__ == "__main__":
    convert(sys.argv[1], *map(Path, sys.argv[2:]))
