"""Texts' vectors: computed once, kept in the database, loaded as one matrix."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import compress, islice, tee

import numpy as np
from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Length

from classifiers import quantized, spreading
from classifiers.embeddings import Encoder, encode_block, in_words, side_by_side
from classifiers.encoders import entry_of, origin, parts, weights_digest, weights_file
from labelling.csv_io.rows import text_hash
from labelling.jobs.lease import JobFailed
from labelling.models import Centre, Document, Embedding, Project
from labelling.models.sentences import Sentence as _
from labelling.services import encoding

logger = logging.getLogger(__name__)

# Texts encoded and stored at a time: a second or so of work that an interruption loses.
CHUNK_TEXTS = 512
# Hashes looked up at a time: SQLite takes a limited number of variables in a query.
CHUNK_HASHES = 500
ITEM_BYTES = np.float32().itemsize
# How far the square of a unit vector's length is from 1 at most.
TOLERANCE = 0.01

Vector = bytes | memoryview


@lru_cache(maxsize=4)
def load_encoder(name: str) -> Encoder:
    """Return the encoder of that name; it loads its model on first use, and the very first converts it.

    Raises:
        JobFailed: when it is an adapted one whose weights are gone.
    """
    weights = weights_file(encoding.adapted_folder(), name) if weights_digest(name) else None
    try:
        return quantized.load_encoder(name, settings.MEDIA_ROOT / "encoders", weights)
    except FileNotFoundError as error:
        if weights is None:
            raise
        told = {"encoder": name, "file": weights.name, "origin": origin(name)}
        raise JobFailed(
            _(
                "The weights of the adapted encoder %(encoder)s are gone. Put %(file)s back from a backup, or change "
                "to %(origin)s: Settings, Advanced, Encoder."
            )
            % told
        ) from error


@dataclass(frozen=True)
class Space:
    """Where a project's texts lie: what makes vectors of them, and what is taken off.

    Attributes:
        model: name of the encoder as the settings have it; of two, both with a plus between them.
        encoders: those that it names.
        centres: for each of them the mean of the project's vectors, where its entry asks for that, else empty.
    """

    model: str
    encoders: tuple[Encoder, ...]
    centres: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, project: Project) -> Space:
        """The one in which the project's rounds learn and predict."""
        space = cls.named(project.encoder_in_use)
        kept = dict(Centre.objects.filter(project=project).values_list("encoder", "vector"))
        found = (kept.get(encoder.name, b"") for encoder in space.encoders)
        return replace(space, centres=tuple(np.frombuffer(vector, dtype=np.float32) for vector in found))

    @classmethod
    def named(cls, model: str) -> Space:
        """One of that encoder in which nothing is taken off."""
        encoders = tuple(load_encoder(part) for part in parts(model))
        return cls(model, encoders, (np.empty(0, dtype=np.float32),) * len(encoders))

    @property
    def name(self) -> str:
        """Tells encoders and engines."""
        return " + ".join(encoder.name for encoder in self.encoders)

    def has_vector(self, hash_field: str = "text_hash") -> Q:
        """Whether a row's text, named by the path to its hash, has its vector.

        A text that is imported while a round runs has none: the round passes it over.
        """
        return Q(*(Q(_has_vector(encoder, hash_field)) for encoder in self.encoders))

    def embed_missing(self, documents: QuerySet[Document]) -> Iterator[tuple[int, int]]:
        """Give documents their vectors, the shortest first: equal lengths batch well.

        Yields how many are done, and of how many; of two encoders each text counts twice.
        """
        missing = [documents.filter(~_has_vector(encoder)) for encoder in self.encoders]
        found = [list(each.order_by(Length("text"), "pk").values_list("text_hash", "text")) for each in missing]
        done, total = 0, sum(map(len, found))
        yield done, total
        for encoder, pairs in zip(self.encoders, found, strict=True):
            for n in embed(pairs, encoder):
                done += n
                yield done, total

    def of_names(self, names: list[str]) -> np.ndarray:
        """Return the vectors of label names, float32 (n_names, n_dims); kept beside those of documents."""
        by_hash = {text_hash(name): name for name in map(in_words, names)}
        for encoder in self.encoders:
            known = _stored(list(by_hash), encoder.name)
            for _n in embed(((key, name) for key, name in by_hash.items() if key not in known), encoder):
                pass
        return self.load([text_hash(in_words(name)) for name in names], by_hash)

    def load(self, text_hashes: list[str], texts: Mapping[str, str] | None = None) -> np.ndarray:
        """Return the vectors of texts in the order asked for, see load()."""
        return side_by_side([load(text_hashes, encoder, texts) for encoder in self.encoders], self.centres)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts: those that are kept already, and new ones, which are not kept."""
        by_hash = {text_hash(text): text for text in texts}
        hashes = [text_hash(text) for text in texts]
        return side_by_side([_encode(hashes, by_hash, encoder) for encoder in self.encoders], self.centres)


def _encode(hashes: list[str], by_hash: Mapping[str, str], encoder: Encoder) -> np.ndarray:
    kept = _stored(list(by_hash), encoder.name)
    new = [key for key in by_hash if key not in kept]
    found = dict(zip(new, encoder.encode([by_hash[key] for key in new]), strict=True)) if new else {}
    found |= {key: np.frombuffer(vector, dtype=np.float32) for key, vector in kept.items()}
    return np.stack([found[key] for key in hashes])


def new_centres(project: Project, space: Space) -> list[Centre]:
    """Return the means, not yet stored, of a project's vectors by those of its encoders that ask for them.

    One that is there moves only once there are twice as many texts: whatever was learnt with it is learnt anew.
    """
    found = []
    for part, encoder in zip(parts(space.model), space.encoders, strict=True):
        if not entry_of(part).is_centred:
            continue
        with_vector = project.documents.filter(_has_vector(encoder))
        hashes = list(with_vector.order_by("pk").values_list("text_hash", flat=True))
        known = Centre.objects.filter(project=project, encoder=encoder.name, n_texts__gt=len(hashes) / 2)
        if not hashes or known.exists():
            continue
        chunks = (hashes[start : start + CHUNK_TEXTS] for start in range(0, len(hashes), CHUNK_TEXTS))
        mean = sum(load(chunk, encoder).sum(axis=0, dtype=np.float64) for chunk in chunks) / len(hashes)
        vector = np.asarray(mean, dtype=np.float32).tobytes()
        found.append(Centre(project=project, encoder=encoder.name, n_texts=len(hashes), vector=vector))
    return found


def _has_vector(encoder: Encoder, hash_field: str = "text_hash") -> Exists:
    return Exists(Embedding.objects.filter(encoder=encoder.name, text_hash=OuterRef(hash_field)))


def embed(documents: Iterable[tuple[str, str]], encoder: Encoder) -> Iterator[int]:
    """Compute and store the vectors of (text hash, text) pairs; yield how many after each chunk."""
    pairs = iter(documents)
    chunks, ahead = tee(iter(lambda: list(islice(pairs, CHUNK_TEXTS)), []))
    encoded = spreading.each(encode_block, encoder, ([text for _, text in chunk] for chunk in ahead))
    for chunk, block in zip(chunks, encoded, strict=True):
        rows = [
            Embedding(text_hash=key, encoder=encoder.name, vector=vector.tobytes(), n_windows=n)
            for (key, _), vector, n in zip(chunk, *block, strict=True)
        ]
        Embedding.objects.bulk_create(rows, ignore_conflicts=True)
        yield len(chunk)


def load(text_hashes: list[str], encoder: Encoder, texts: Mapping[str, str] | None = None) -> np.ndarray:
    """Return an encoder's own vectors of texts in the order asked for, float32 of shape (n_texts, n_dims).

    One that is damaged is computed anew.

    Args:
        text_hashes: of the texts.
        encoder: whose vectors.
        texts: by hash, those that no document has.

    Raises:
        KeyError: when a text has no vector.
    """
    if not text_hashes:
        return np.empty((0, 0), dtype=np.float32)
    rows, damaged = _read(text_hashes, encoder.name)
    if not damaged:
        return rows
    logger.warning("%d damaged vectors are computed anew", len(damaged))
    for start in range(0, len(damaged), CHUNK_HASHES):
        chunk = damaged[start : start + CHUNK_HASHES]
        Embedding.objects.filter(encoder=encoder.name, text_hash__in=chunk).delete()
    for _n in embed((_texts_of(damaged) | dict(texts or {})).items(), encoder):
        pass
    return _read(text_hashes, encoder.name)[0]


def _stored(text_hashes: list[str], encoder_name: str) -> dict[str, Vector]:
    found: dict[str, Vector] = {}
    for start in range(0, len(text_hashes), CHUNK_HASHES):
        chunk = text_hashes[start : start + CHUNK_HASHES]
        rows = Embedding.objects.filter(encoder=encoder_name, text_hash__in=chunk)
        found.update(rows.values_list("text_hash", "vector"))
    return found


def _read(text_hashes: list[str], encoder_name: str) -> tuple[np.ndarray, list[str]]:
    """Vectors, each put at its place as it comes, and the texts whose vector has not the right width, or length 1.

    No memory has to hold them twice. The width is that of most of the first.
    """
    first = _stored(text_hashes[:CHUNK_HASHES], encoder_name)
    widths = Counter(len(vector) for vector in first.values() if vector and not len(vector) % ITEM_BYTES)
    width = max(widths, key=lambda width: widths[width], default=0)
    rows = np.zeros((len(text_hashes), width // ITEM_BYTES), dtype=np.float32)
    damaged: list[str] = []
    for start in range(0, len(text_hashes), CHUNK_HASHES):
        chunk = text_hashes[start : start + CHUNK_HASHES]
        found = _stored(chunk, encoder_name) if start else first
        vectors = (found[key] for key in chunk)
        block = b"".join(vector if len(vector) == width else bytes(width) for vector in vectors)
        here = rows[start : start + len(chunk)]
        here[:] = np.frombuffer(block, dtype=np.float32).reshape(here.shape)
        with np.errstate(all="ignore"):
            is_unit = np.abs(np.einsum("ij,ij->i", here, here) - 1) < TOLERANCE
        damaged += compress(chunk, (~is_unit).tolist())
    return rows, damaged


def _texts_of(text_hashes: list[str]) -> dict[str, str]:
    # Project by project: a text is found by both.
    projects = list(Project.objects.values_list("pk", flat=True))
    documents = Document.objects.filter(project__in=projects, text_hash__in=text_hashes)
    return dict(documents.values_list("text_hash", "text"))
