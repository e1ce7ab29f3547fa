"""Texts that belong to no label, grouped into labels that are proposed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from textwrap import shorten

import numpy as np
from django.db.models import Q, QuerySet

from classifiers.grouping import groups, neighbours, telling_words
from classifiers.subset_classifier import NOISE
from classifiers.subsets import label_centroids
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.querying import Known
from labelling.jobs.vectors import Space
from labelling.models import Document, Label, ProposedLabel, Round
from labelling.services import nowhere

# Texts looked at, the newest: their distances to each other are computed, some 200 MB.
MOST_TEXTS = 5_000
MOST_PROPOSALS = 20
MOST_NEIGHBOURS = 2_000
# A group that shares so much with one that somebody has decided on is that one.
SAME = 0.5
# Texts that stand in a drafted definition.
N_QUOTED = 3

shortened = partial(shorten, width=80, placeholder="…")


def propose_labels(lease: Lease[Round]) -> None:
    """Replace what the last round proposed; what somebody has decided on is proposed no more."""
    project = lease.job.project
    space = Space.of(project)
    has_vector = space.has_vector()
    rows = list(_columns(nowhere.documents(project).filter(has_vector).order_by("-pk"))[:MOST_TEXTS])
    X = space.load([row[1] for row in rows])
    decided = [
        set(proposal.documents.values_list("pk", flat=True))
        for proposal in project.proposed_labels.filter(~Q(dismissed_at=None) | ~Q(label=None))
    ]
    found = []
    for group in groups(X):
        members = {rows[position][0] for position in group}
        if not any(len(members & others) > SAME * min(len(members), len(others)) for others in decided):
            found.append(group)
    beside = list(_columns(_undecided(lease.job).filter(has_vector))) if found else []
    X_beside = space.load([row[1] for row in beside])
    known = Known.of(project) if found else None
    with lease.transaction():
        nowhere.waiting(project).delete()
        for group in found[:MOST_PROPOSALS]:
            near = [beside[at][0] for at in np.flatnonzero(neighbours(X_beside, X[group]))] if beside else []
            _propose(lease.job, known, [rows[at] for at in group], X[group], [row[2] for row in rows], near)


def _columns(documents: QuerySet[Document]) -> QuerySet[Document, tuple[int, str, str]]:
    return documents.values_list("pk", "text_hash", "text")


def _undecided(round_: Round) -> QuerySet[Document]:
    """What no person has given a label."""
    documents = round_.project.documents.filter(holdout=False)
    return documents.exclude(example__source__in=["human", "seed"])


def _propose(
    round_: Round,
    known: Known | None,
    members: Sequence[tuple[int, str, str]],
    X: np.ndarray,
    texts: Sequence[str],
    near: Sequence[int],
) -> None:
    nearest = _nearest(known, X) if known else None
    own = [text for _pk, _hash, text in members]
    words = telling_words(own, texts)
    proposal = ProposedLabel.objects.create(
        project=round_.project,
        name=_name(words, own),
        definition=_definition(own, nearest),
        nearest=nearest,
        size=len(members),
    )
    ids = [pk for pk, _hash, _text in members]
    proposal.documents.set(ids)
    proposal.neighbours.set([pk for pk in near if pk not in set(ids)][:MOST_NEIGHBOURS])


def _nearest(known: Known, X: np.ndarray) -> Label | None:
    """The label whose examples are most like these texts."""
    some = known.labels != NOISE
    label_ids, codes = np.unique(known.labels[some], return_inverse=True)
    if not len(label_ids):
        return None
    likeness = label_centroids(known.X[some], codes, len(label_ids)) @ X.mean(axis=0)
    return Label.objects.filter(pk=int(label_ids[likeness.argmax()])).first()


def _name(words: Sequence[str], texts: Sequence[str]) -> str:
    return " · ".join(words) or shortened(texts[0])


def _definition(texts: Sequence[str], nearest: Label | None) -> str:
    quoted = "; ".join(f"“{shortened(text)}”" for text in texts[:N_QUOTED])
    return f"Use when the text is like {quoted}." + (f" Not when it is {nearest.name}." if nearest else "")
