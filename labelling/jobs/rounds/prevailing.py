"""How common each label is among the documents that came without one, as beliefs and random decisions tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Q, QuerySet

from classifiers.prevalence import Stratum, prevalence
from classifiers.subset_classifier import NOISE
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.reading import as_stored, batches, beliefs, candidates, columns, filled, integers, places
from labelling.models import CohortMember, Prediction, Query, Round, SettledLabel, TrainingExample
from labelling.models.documents import Source
from labelling.services import audits

DIGITS = 5
N_STRATA = 3


@dataclass(frozen=True)
class Places:
    """Which stratum documents are in: the ledger, what else the machine settled, or what is open.

    Audits are drawn from the ledger alone, checks of the pool from all three.

    Attributes:
        ledger, settled: ids of their documents, rising.
    """

    ledger: np.ndarray
    settled: np.ndarray

    def __call__(self, documents: np.ndarray) -> np.ndarray:
        in_ledger, is_settled = (places(documents, among) < len(among) for among in (self.ledger, self.settled))
        return np.select([in_ledger, is_settled], [0, 1], default=2)


@dataclass(frozen=True)
class Beliefs:
    """What is believed of n documents.

    Attributes:
        documents: their ids, shape (n,).
        labels: codes of their candidates, that of none of these for labels that are gone, shape (n, k).
        belief: in these and, last, in none of them, shape (n, k + 1).
    """

    documents: np.ndarray
    labels: np.ndarray
    belief: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[tuple[int, bytes, bytes]], label_ids: np.ndarray) -> Beliefs:
        """Read stored rows; codes are places in ``label_ids``, which rise."""
        labels = candidates([stored for _, stored, _ in rows])
        return cls(
            integers([document for document, _, _ in rows]),
            places(labels, label_ids),
            beliefs([stored for *_, stored in rows]),
        )

    def __getitem__(self, rows: np.ndarray) -> Beliefs:
        return Beliefs(self.documents[rows], self.labels[rows], self.belief[rows])


def estimate_shares(lease: Lease[Round]) -> None:
    """Write on the round how common each label is, by its id: [share, low, high]; nothing where all is labelled.

    ``none`` is the same of none of these, ``n`` how many documents there are, ``drawn`` the random decisions.
    """
    round_ = lease.job
    came_without = Q(document__project=round_.project_id, document__holdout=False, document__given_source="")
    decided = TrainingExample.objects.filter(came_without, source=Source.HUMAN)
    [known] = columns(decided.order_by().values_list("label"), filled(NOISE))
    undecided = Prediction.objects.filter(came_without).exclude(document__example__source=Source.HUMAN)
    # A later round's model may have other labels than the one that predicted what was decided long ago.
    label_ids = integers(list(round_.project.labels.order_by("pk").values_list("pk", flat=True)))
    strata, n_drawn = _strata(round_, _stored(undecided), label_ids)
    if not len(known) and not any(stratum.n for stratum in strata):
        return
    found = prevalence(np.bincount(places(known, label_ids), minlength=len(label_ids) + 1), strata)
    intervals = np.stack([found.share, found.low, found.high], axis=1).round(DIGITS).tolist()
    lease.update(
        shares={
            "labels": {str(pk): intervals[code] for code, pk in enumerate(label_ids.tolist())},
            "none": intervals[-1],
            "n": len(known) + sum(stratum.n for stratum in strata),
            "drawn": n_drawn,
        }
    )


def _stored(predictions: QuerySet[Prediction]) -> QuerySet[Prediction, Any]:
    columns = ("document_id", as_stored("candidates"), as_stored("belief"))
    return predictions.exclude(belief=[]).order_by().values_list(*columns)


def _strata(round_: Round, undecided: QuerySet[Prediction, Any], label_ids: np.ndarray) -> tuple[list[Stratum], int]:
    """The strata, and how many decisions were drawn at random from all of them."""
    truths, place = _drawn(round_), _places(round_)
    drawn = Beliefs.of(list(_stored(Prediction.objects.filter(document__in=list(truths)))), label_ids)
    found = places(filled(NOISE)([truths[document] for document in drawn.documents.tolist()]), label_ids)
    nobody, stratum_of = drawn[integers([])], place(drawn.documents)
    strata = []
    for number in range(N_STRATA):
        own = stratum_of == number
        seen = drawn[own]
        strata.append(Stratum.of(nobody.labels, nobody.belief, seen.labels, seen.belief, found[own], len(label_ids)))
    for rows in batches(undecided):
        some = Beliefs.of(rows, label_ids)
        stratum_of = place(some.documents)
        for number in range(N_STRATA):
            own = some[stratum_of == number]
            strata[number] = strata[number].plus(own.labels, own.belief)
    return strata, len(drawn.documents)


def _drawn(round_: Round) -> dict[int, int | None]:
    """By document that was drawn from the ledger or from the pool: what people said without seeing a verdict."""
    reasons = (Query.Reason.AUDIT, Query.Reason.POOL_CHECK)
    drawn = Query.objects.filter(round__project=round_.project_id, reason__in=reasons, document__given_source="")
    ids = set(drawn.values_list("document", flat=True))
    return {pk: label_id for pk, label_id in audits.truths(round_.project).items() if pk in ids}


def _places(round_: Round) -> Places:
    """Where each document is now, or was until it was drawn and decided on."""
    stood = Q(left_at=None) | Q(left_because=SettledLabel.Left.DECIDED)
    settled = SettledLabel.objects.filter(stood, project=round_.project_id)
    members = CohortMember.objects.filter(settled__in=settled.values("pk"))
    [in_ledger] = columns(members.order_by().values_list("settled__document"), integers)
    [is_settled] = columns(settled.order_by().values_list("document"), integers)
    return Places(np.unique(in_ledger), np.unique(is_settled))
