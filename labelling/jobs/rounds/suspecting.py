"""Which labels are probably wrong, of all that the round has learnt."""

from __future__ import annotations

from classifiers.subset_classifier import NOISE
from classifiers.suspicion import margins
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.learning import Learnt
from labelling.models import Round, Suspicion

# Nobody looks through more of them; the next round lists the next.
AT_MOST = 2_000
CHUNK_ROWS = 500


def note_suspicions(lease: Lease[Round], learnt: Learnt) -> None:
    """Replace what the last round suspected; what somebody has checked is suspected no more while it has that label."""
    project = lease.job.project
    checked = project.suspicions.exclude(checked_at=None)
    kept = dict(checked.values_list("document", "label"))
    found = margins(learnt.X, learnt.y)
    label_ids = {NOISE: None} | dict(enumerate(learnt.label_ids))
    rows = [
        Suspicion(
            project=project,
            document_id=learnt.document_ids[position],
            label_id=label_ids[learnt.y[position]],
            rival_id=label_ids[found.rival[position]],
            margin=found.margin[position],
        )
        for position in found.suspicious.tolist()
    ]
    rows = [row for row in rows if kept.get(row.document_id, 0) != row.label_id][:AT_MOST]
    with lease.transaction():
        outdated = [row.document_id for row in rows if row.document_id in kept]
        project.suspicions.filter(checked_at=None).delete()
        for start in range(0, len(outdated), CHUNK_ROWS):
            project.suspicions.filter(document__in=outdated[start : start + CHUNK_ROWS]).delete()
        Suspicion.objects.bulk_create(rows, batch_size=CHUNK_ROWS)
