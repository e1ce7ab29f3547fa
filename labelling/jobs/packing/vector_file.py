"""The vectors of a project that comes in: kept by the text, for all projects. So some of them are looked at first."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from labelling.jobs.packing.container import ENCODER, VECTORS, Packed, at_line, faulty
from labelling.jobs.packing.shapes import Misshapen
from labelling.jobs.packing.values import Reader
from labelling.jobs.vectors import Space
from labelling.models import Embedding, Project
from labelling.models.sentences import Sentence as _
from labelling.services.rows import CHUNK

# So many texts are encoded anew; on other processors the last digits differ, and no more.
LOOKED_AT = 32
LEAST_ALIKE = 0.99


def read(packed: Packed, project: Project) -> None:
    """Keep the vectors of the project's texts that are not there yet, where this installation has the same encoder.

    Raises:
        Faulty: when there is one of another text, or not what the encoder makes of a text.
    """
    space = Space.of(project)
    if packed.manifest["encoder"] != space.name:
        return
    looked_at: list[Embedding] = []
    luck = random.SystemRandom()
    found = enumerate(_rows(packed, set(project.documents.order_by().values_list("text_hash", flat=True))))
    while chunk := list(islice(found, CHUNK)):
        for n, row in chunk:
            # Of n vectors each is among those with the same chance.
            if n < LOOKED_AT:
                looked_at.append(row)
            elif (place := luck.randrange(n + 1)) < LOOKED_AT:
                looked_at[place] = row
        Embedding.objects.bulk_create((row for _, row in chunk), ignore_conflicts=True)
    _compare(project, space, {row.text_hash: np.frombuffer(row.vector, np.float32) for row in looked_at})


def try_encoder(project: Project) -> None:
    """Make sure that an encoder that came in makes vectors.

    Raises:
        Faulty: when it doesn't.
    """
    try:
        found = Space.named(project.encoder).encoders[0].encode(["A text."])
    except ValueError as error:
        faulty(ENCODER, _("it can't be read (%(error)s).") % {"error": error})
    if not np.isfinite(found).all():
        faulty(ENCODER, _("it makes no vectors."))


def _rows(packed: Packed, texts: set[str]) -> Iterator[Embedding]:
    size = None
    for n, told in enumerate(packed.lines(VECTORS), start=1):
        try:
            row = _row(packed.manifest["encoder"], told)
        except Misshapen as error:
            faulty(at_line(VECTORS, n), f"{error}.")
        if row.text_hash not in texts:
            faulty(at_line(VECTORS, n), _("it is of no text of the project."))
        if len(row.vector) != (size := size or len(row.vector)):
            faulty(at_line(VECTORS, n), _("it has another length than the others."))
        yield row


def _row(encoder: str, told: dict[str, Any]) -> Embedding:
    n_windows = Reader.of(Embedding._meta.get_field("n_windows")).read(told.get("n_windows"))
    return Embedding(text_hash=str(told.get("text_hash")), encoder=encoder, vector=_vector(told), n_windows=n_windows)


def _vector(told: dict[str, Any]) -> bytes:
    try:
        vector = base64.b64decode(told["vector"], validate=True)
        finite = np.isfinite(np.frombuffer(vector, np.float32)).all()
    except (LookupError, ValueError, TypeError) as error:
        raise Misshapen(f"no vector ({error})") from error
    if not finite:
        raise Misshapen("no vector: not all of it are numbers")
    return vector


def _compare(project: Project, space: Space, kept: dict[str, np.ndarray]) -> None:
    """Encode these texts anew: what is kept here stands for them in every project."""
    if not kept:
        return
    found = dict(project.documents.filter(text_hash__in=list(kept)).values_list("text_hash", "text"))
    there = np.stack([kept[key] for key in found])
    here = space.encoders[0].encode(list(found.values()))
    if here.shape != there.shape:
        faulty(VECTORS, _("they have another length than the encoder's."))
    norms = np.linalg.norm(here, axis=1) * np.linalg.norm(there, axis=1)
    if ((here * there).sum(axis=1) < LEAST_ALIKE * norms).any():
        faulty(VECTORS, _("they are not what the encoder makes of the texts."))
