"""Texts' vectors: computed once, kept in the database, loaded as one matrix."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import compress, islice

import numpy as np
from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Length

from classifiers import quantized, spreading
from classifiers.embeddings import Encoder, encode_block, in_words
from labelling.csv_io.rows import text_hash
from labelling.models import Document, Embedding, Project

logger = logging.getLogger(__name__)

# Texts encoded and stored at a time: a second or so of work that an interruption loses.
CHUNK_TEXTS = 512
# Hashes looked up at a time: SQLite takes a limited number of variables in a query.
CHUNK_HASHES = 500
# Vectors that are checked at a time.
CHUNK_CHECKED = 10_000
ITEM_BYTES = np.float32().itemsize
# How far the square of a unit vector's length is from 1 at most.
TOLERANCE = 0.01

Vector = bytes | memoryview


@lru_cache(maxsize=1)
def load_encoder(name: str) -> Encoder:
    """Return the encoder of that name; it loads its model on first use, and the very first converts it."""
    return quantized.load_encoder(name, settings.MEDIA_ROOT / "encoders")


def encoder_name() -> str:
    """Under which name the vectors of this installation's encoder are kept: it tells model and engine."""
    return load_encoder(settings.ENCODER).name


def has_vector(encoder_name: str, hash_field: str = "text_hash") -> Exists:
    """Whether a row's text, named by the path to its hash, has its vector.

    A text that is imported while a round runs has none: the round passes it over.
    """
    return Exists(Embedding.objects.filter(encoder=encoder_name, text_hash=OuterRef(hash_field)))


def missing(project: Project, encoder_name: str) -> QuerySet[Document]:
    """The project's documents whose text has no vector yet, shortest first: equal lengths batch well."""
    return Document.objects.filter(~has_vector(encoder_name), project=project).order_by(Length("text"), "pk")


def embed(documents: Iterable[tuple[str, str]], encoder: Encoder) -> Iterator[int]:
    """Compute and store the vectors of (text hash, text) pairs; yield how many after each chunk."""
    pairs = iter(documents)
    chunks = list(iter(lambda: list(islice(pairs, CHUNK_TEXTS)), []))
    encoded = spreading.each(encode_block, encoder, ([text for _, text in chunk] for chunk in chunks))
    for chunk, block in zip(chunks, encoded, strict=True):
        rows = [
            Embedding(text_hash=key, encoder=encoder.name, vector=vector.tobytes(), n_windows=n)
            for (key, _), vector, n in zip(chunk, *block, strict=True)
        ]
        Embedding.objects.bulk_create(rows, ignore_conflicts=True)
        yield len(chunk)


def of_names(names: list[str], encoder: Encoder) -> np.ndarray:
    """Return the vectors of label names, float32 (n_names, n_dims); kept beside those of documents."""
    by_hash = {text_hash(name): name for name in map(in_words, names)}
    known: set[str] = set()
    for start in range(0, len(by_hash), CHUNK_HASHES):
        chunk = list(by_hash)[start : start + CHUNK_HASHES]
        rows = Embedding.objects.filter(encoder=encoder.name, text_hash__in=chunk)
        known.update(rows.values_list("text_hash", flat=True))
    for _ in embed(((key, name) for key, name in by_hash.items() if key not in known), encoder):
        pass
    return load([text_hash(in_words(name)) for name in names], encoder.name, by_hash)


def load(text_hashes: list[str], encoder_name: str, texts: Mapping[str, str] | None = None) -> np.ndarray:
    """Return the vectors of texts in the order asked for, float32 of shape (n_texts, n_dims).

    One that is damaged is computed anew.

    Args:
        text_hashes: of the texts.
        encoder_name: see encoder_name().
        texts: by hash, those that no document has.

    Raises:
        KeyError: when a text has no vector.
    """
    if not text_hashes:
        return np.empty((0, 0), dtype=np.float32)
    found = _stored(text_hashes, encoder_name)
    if damaged := _damaged(found):
        logger.warning("%d damaged vectors are computed anew", len(damaged))
        for start in range(0, len(damaged), CHUNK_HASHES):
            chunk = damaged[start : start + CHUNK_HASHES]
            Embedding.objects.filter(encoder=encoder_name, text_hash__in=chunk).delete()
        for _ in embed((_texts_of(damaged) | dict(texts or {})).items(), load_encoder(settings.ENCODER)):
            pass
        found |= _stored(damaged, encoder_name)
    return _matrix([found[key] for key in text_hashes])


def _stored(text_hashes: list[str], encoder_name: str) -> dict[str, Vector]:
    found: dict[str, Vector] = {}
    for start in range(0, len(text_hashes), CHUNK_HASHES):
        chunk = text_hashes[start : start + CHUNK_HASHES]
        rows = Embedding.objects.filter(encoder=encoder_name, text_hash__in=chunk)
        found.update(rows.values_list("text_hash", "vector"))
    return found


def _damaged(found: Mapping[str, Vector]) -> list[str]:
    """The texts whose vector has another width than most, or another length than 1."""
    by_width: dict[int, list[str]] = {}
    for key, vector in found.items():
        by_width.setdefault(len(vector), []).append(key)
    whole = {width: _units(found, keys) for width, keys in by_width.items() if width and not width % ITEM_BYTES}
    usual = max(whole, key=lambda width: len(whole[width]), default=0)
    return [key for key in found if key not in whole.get(usual, ())]


def _units(found: Mapping[str, Vector], keys: list[str]) -> set[str]:
    """Of vectors of one width, those of length 1; looked at in blocks, so that they are not in memory twice."""
    units: set[str] = set()
    for start in range(0, len(keys), CHUNK_CHECKED):
        chunk = keys[start : start + CHUNK_CHECKED]
        rows = _matrix([found[key] for key in chunk])
        with np.errstate(all="ignore"):
            is_unit = np.abs(np.einsum("ij,ij->i", rows, rows) - 1) < TOLERANCE
        units.update(compress(chunk, is_unit.tolist()))
    return units


def _matrix(vectors: list[Vector]) -> np.ndarray:
    return np.frombuffer(bytearray().join(vectors), dtype=np.float32).reshape(len(vectors), -1)


def _texts_of(text_hashes: list[str]) -> dict[str, str]:
    # Project by project: a text is found by both.
    projects = list(Project.objects.values_list("pk", flat=True))
    documents = Document.objects.filter(project__in=projects, text_hash__in=text_hashes)
    return dict(documents.values_list("text_hash", "text"))
