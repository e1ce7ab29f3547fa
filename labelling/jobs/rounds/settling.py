"""What happens to the verdicts: training examples, or the review queue."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from labelling.jobs.lease import Lease
from labelling.models import Decision, Project, QueueEntry, Round
from labelling.services import examples
from labelling.services.review import priority


def settle(lease: Lease[Round]) -> None:
    """Accept what may be accepted, and lay out the rest for people, all at once."""
    round_ = lease.job
    with lease.transaction():
        accepted = 0
        if round_.settings["auto_accept"] == Project.AutoAccept.VALID:
            accepted = examples.accept_verdicts(round_)
        left = _dismiss(round_)
        _lay_out(round_)
        lease.update(
            settled_at=timezone.now(), accepted=round_.accepted + accepted, left_queue=round_.left_queue + left
        )


def _dismiss(round_: Round) -> int:
    """Take labelled documents out of the queue, and those of older rounds that the model is sure of by now.

    Nobody's open document is taken away, nor one that somebody left to a colleague. Returns how
    many the model became sure of.
    """
    now = timezone.now()
    skipped = Decision.objects.filter(
        document=OuterRef("document"), action=Decision.Action.SKIP, withdrawn_by__isnull=True
    )
    unclaimed = round_.project.queue.filter(Q(claimed_until=None) | Q(claimed_until__lte=now))
    unclaimed.filter(document__example__isnull=False).delete()
    sure = unclaimed.filter(
        ~Exists(skipped),
        query__round__number__lt=round_.number,
        document__prediction__probability__gte=round_.settings["certainty"],
    )
    return sure.delete()[0]


def _lay_out(round_: Round) -> None:
    waiting = round_.queries.filter(
        document__example=None, document__holdout=False, document__queue_entry=None
    ).select_related("round")
    QueueEntry.objects.bulk_create(
        QueueEntry(project=round_.project, document_id=query.document_id, query=query, priority=priority(query))
        for query in waiting
    )
