"""How common each label is among the documents that came without one, as beliefs and random decisions tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import Q, QuerySet

from classifiers.prevalence import Stratum, prevalence
from labelling.jobs.lease import Lease
from labelling.models import CohortMember, Prediction, Query, Round, SettledLabel, TrainingExample
from labelling.models.documents import Source
from labelling.services import audits

DIGITS = 5
CHUNK = 2_000

# A document's id, its candidates with what the classifiers give them, and the belief in each and in none of these.
Row = tuple[int, list[tuple[int, float]], list[float]]


@dataclass(frozen=True)
class Places:
    """Which stratum a document is in: the ledger, what else the machine settled, or what is open.

    Audits are drawn from the ledger alone, checks of the pool from all three.
    """

    ledger: frozenset[int]
    settled: frozenset[int]

    def __call__(self, document_id: int) -> int:
        return 0 if document_id in self.ledger else 1 if document_id in self.settled else 2


def estimate_shares(lease: Lease[Round]) -> None:
    """Write on the round how common each label is, by its id: [share, low, high]; nothing where all is labelled.

    ``none`` is the same of none of these, ``n`` how many documents there are, ``drawn`` the random decisions.
    """
    round_ = lease.job
    came_without = Q(document__project=round_.project_id, document__holdout=False, document__given_source="")
    decided = TrainingExample.objects.filter(came_without, source=Source.HUMAN)
    known = dict(decided.values_list("document", "label"))
    undecided = Prediction.objects.filter(came_without).exclude(document__example__source=Source.HUMAN)
    # A later round's model may have other labels than the one that predicted what was decided long ago.
    codes = {pk: code for code, pk in enumerate(round_.project.labels.order_by("pk").values_list("pk", flat=True))}
    strata, n_drawn = _strata(round_, list(_read(undecided)), codes)
    counted = np.bincount([codes.get(label_id, len(codes)) for label_id in known.values()], minlength=len(codes) + 1)
    if not known and not any(stratum.n for stratum in strata):
        return
    found = prevalence(counted, strata)
    intervals = np.stack([found.share, found.low, found.high], axis=1).round(DIGITS).tolist()
    lease.update(
        shares={
            "labels": {str(pk): intervals[code] for pk, code in codes.items()},
            "none": intervals[-1],
            "n": len(known) + sum(stratum.n for stratum in strata),
            "drawn": n_drawn,
        }
    )


def _read(predictions: QuerySet[Prediction]) -> Iterable[Row]:
    found = predictions.exclude(belief=[]).values_list("document_id", "candidates", "belief")
    return found.order_by().iterator(CHUNK)


def _strata(round_: Round, rows: Sequence[Row], codes: Mapping[int, int]) -> tuple[list[Stratum], int]:
    """The strata, and how many decisions were drawn at random from all of them."""
    truths = _drawn(round_)
    drawn = list(_read(Prediction.objects.filter(document__in=list(truths))))
    place = _places(round_)
    strata = []
    for number in range(3):
        own = _arrays([row for row in rows if place(row[0]) == number], codes)
        seen = [row for row in drawn if place(row[0]) == number]
        found = np.array([codes.get(truths[row[0]] or 0, len(codes)) for row in seen], dtype=int)
        strata.append(Stratum.of(*own, *_arrays(seen, codes), found, len(codes)))
    return strata, len(drawn)


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
    return Places(
        frozenset(members.values_list("settled__document", flat=True)),
        frozenset(settled.values_list("document", flat=True)),
    )


def _arrays(rows: Sequence[Row], codes: Mapping[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Codes of candidates, shape (n, k), and the belief in them and in none of these, shape (n, k + 1).

    Where a document has fewer candidates than others, "none of these" fills the rest with a belief of 0.
    """
    k = max((len(candidates) for _, candidates, _ in rows), default=0)
    labels, belief = np.full((len(rows), k), len(codes)), np.zeros((len(rows), k + 1))
    for row, (_, candidates, believed) in enumerate(rows):
        labels[row, : len(candidates)] = [codes.get(label_id, len(codes)) for label_id, _ in candidates]
        belief[row, : len(candidates)], belief[row, -1] = believed[:-1], believed[-1]
    return labels, belief
