"""Texts that belong to no label, grouped into labels that are proposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """Replace what the last round proposed; what somebody has decided on is proposed no more.

    A group that was proposed already stays the same proposal, and keeps what a language model called it.
    """
    project = lease.job.project
    space = Space.of(project)
    has_vector = space.has_vector()
    rows = list(_columns(nowhere.documents(project).filter(has_vector).order_by("-pk"))[:MOST_TEXTS])
    X = space.load([row[1] for row in rows])
    decided = _members(project.proposed_labels.filter(~Q(dismissed_at=None) | ~Q(label=None)))
    found = []
    for group in groups(X):
        members = {rows[position][0] for position in group}
        if _same(members, decided) is None:
            found.append(group)
    beside = list(_columns(_undecided(lease.job).filter(has_vector))) if found else []
    X_beside = space.load([row[1] for row in beside])
    known = Known.of(project) if found else None
    with lease.transaction():
        before = _members(nowhere.waiting(project).select_for_update())
        for group in found[:MOST_PROPOSALS]:
            near = [beside[at][0] for at in np.flatnonzero(neighbours(X_beside, X[group]))] if beside else []
            proposal = _same({rows[at][0] for at in group}, before)
            if proposal:
                del before[proposal]
            own, texts = [rows[at] for at in group], [row[2] for row in rows]
            _propose(proposal or ProposedLabel(project=project), known, own, X[group], texts, near)
        ProposedLabel.objects.filter(pk__in=[proposal.pk for proposal in before]).delete()


def _members(proposals: QuerySet[ProposedLabel]) -> dict[ProposedLabel, set[int]]:
    return {one: set(one.documents.values_list("pk", flat=True)) for one in proposals}


def _same(members: set[int], proposals: Mapping[ProposedLabel, set[int]]) -> ProposedLabel | None:
    """The proposal of which these documents are, if any."""
    for proposal, others in proposals.items():
        if len(members & others) > SAME * min(len(members), len(others)):
            return proposal
    return None


def _columns(documents: QuerySet[Document]) -> QuerySet[Document, tuple[int, str, str]]:
    return documents.values_list("pk", "text_hash", "text")


def _undecided(round_: Round) -> QuerySet[Document]:
    """What no person has given a label."""
    documents = round_.project.documents.filter(holdout=False)
    return documents.exclude(example__source__in=["human", "seed"])


def _propose(
    proposal: ProposedLabel,
    known: Known | None,
    members: Sequence[tuple[int, str, str]],
    X: np.ndarray,
    texts: Sequence[str],
    near: Sequence[int],
) -> None:
    proposal.nearest = _nearest(known, X) if known else None
    proposal.size = len(members)
    if proposal.pk is None or not proposal.drafts.exclude(text="").exists():
        own = [text for _pk, _hash, text in members]
        proposal.name = _name(telling_words(own, texts), own)
        proposal.definition = _definition(own, proposal.nearest)
    proposal.save()
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
