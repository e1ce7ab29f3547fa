"""What happens to the verdicts: training examples, or the review queue."""

from __future__ import annotations

import numpy as np
from django.db.models import Avg, Exists, F, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from classifiers.reliability import accept_from, spare
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.auditing import measure_judge
from labelling.models import Audit, Decision, Document, People, Prediction, Project, Query, QueueEntry, Round, Verdict
from labelling.services import audits, examples
from labelling.services.claims import entry_for, priority


def settle(lease: Lease[Round]) -> None:
    """Accept what may be accepted, and lay out the rest for people, all at once."""
    round_ = lease.job
    with lease.transaction():
        settled = _settled(round_)
        lowest = _accept_from(round_, settled)
        certified = measure_judge(lease, lowest).holds
        _record_audits(round_)
        how = round_.settings["auto_accept"]
        allowed = how == Project.AutoAccept.THRESHOLD or (how == Project.AutoAccept.CERTIFIED and certified)
        accepted = settled.filter(posterior__gte=lowest) if allowed else settled.none()
        expected_wrong = accepted.aggregate(n=Sum(1 - F("posterior"), default=0.0))["n"]
        n_accepted = examples.accept_from_judge(accepted)
        left = _dismiss(round_)
        _lay_out(round_)
        lease.update(
            settled_at=timezone.now(),
            laid_out=_laid_out(round_),
            accepted=round_.accepted + n_accepted,
            expected_wrong=round_.expected_wrong + expected_wrong,
            left_queue=round_.left_queue + left,
            expected_gain=_expected_gain(round_),
        )


def _record_audits(round_: Round) -> None:
    """Note what the loop makes of the audited documents, before anybody sees them; what is noted stays."""
    judged = audits.waiting(round_.project).filter(Exists(_evidence()), round=round_)
    rows = judged.values_list("pk", "document__prediction__posterior_label", "document__prediction__posterior")
    Audit.objects.bulk_create(
        [Audit(query_id=query_id, label_id=label_id, posterior=posterior) for query_id, label_id, posterior in rows],
        ignore_conflicts=True,
    )


def _settled(round_: Round) -> QuerySet[Prediction]:
    """What is certain by the judge's evidence and in nobody's hands, also of earlier rounds."""
    in_hands = QueueEntry.objects.filter(document=OuterRef("document"), claimed_until__gt=timezone.now())
    return Prediction.objects.filter(
        Exists(_evidence()),
        ~Exists(in_hands),
        ~Exists(_skips()),
        ~Exists(_half_decided()),
        ~Exists(_audits(round_)),
        document__in=_pool(round_),
        posterior__gte=round_.settings["certainty"],
    )


def _accept_from(round_: Round, settled: QuerySet[Prediction]) -> float:
    """The belief from which this round accepts the judge's word; what earlier ones accepted counts with it."""
    before = round_.project.rounds.aggregate(n=Sum("accepted"), wrong=Sum("expected_wrong"))
    posterior = np.array(settled.values_list("posterior", flat=True))
    return accept_from(posterior, round_.settings["certainty"], spare(before["n"], before["wrong"]))


def _dismiss(round_: Round) -> int:
    """Take labelled documents out of the queue, and those of older rounds that the model is sure of by now.

    Nobody's open document is taken away, nor one that somebody left to a colleague, nor one that waits for another
    person's word, nor an audit. Returns how many the model became sure of.
    """
    now = timezone.now()
    unclaimed = round_.project.queue.filter(Q(claimed_until=None) | Q(claimed_until__lte=now))
    unclaimed.filter(document__example__isnull=False).delete()
    certainty = round_.settings["certainty"]
    sure = unclaimed.filter(
        ~Exists(_skips()),
        ~Exists(_half_decided()),
        query__round__number__lt=round_.number,
        # Sure before the judge said anything, and not against its word.
        document__prediction__probability__gte=certainty,
        document__prediction__posterior__gte=certainty,
    ).exclude(query__reason__in=Query.AUDITS)
    return sure.delete()[0]


def _lay_out(round_: Round) -> None:
    """Put what was asked and is not settled into the queue: each document once, an audit with its first question.

    A further question would tell that the judge refused the label before it.
    """
    asked = Query.objects.filter(Q(round=round_) | Q(pk__in=audits.waiting(round_.project)))
    waiting = asked.filter(document__in=_pool(round_))
    latest: dict[int, Query] = {}
    for query in waiting.select_related("round", "document__prediction").order_by("rank", "pk"):
        if query.document_id not in latest or not latest[query.document_id].is_audit:
            latest[query.document_id] = query
    entries = {entry.document_id: entry for entry in round_.project.queue.filter(document__in=latest)}
    QueueEntry.objects.bulk_create(entry_for(query) for query in latest.values() if query.document_id not in entries)
    unclaimed = QueueEntry.objects.filter(
        Q(claimed_until=None) | Q(claimed_until__lte=timezone.now()), ~Exists(_half_decided())
    )
    for entry in entries.values():
        query = latest[entry.document_id]
        if entry.query_id != query.pk:
            # The judge was asked again since; whoever has the document open keeps the question they see, and so
            # does the second of two people.
            unclaimed.filter(pk=entry.pk).update(query=query, round=query.round_id, priority=priority(query))


def _laid_out(round_: Round) -> int:
    """How many of the round's documents wait for people or are decided on, also when it is settled once more."""
    decisions = Decision.objects.standing().filter(query__round=round_, document__queue_entry=None)
    return round_.waiting.count() + decisions.values("document").distinct().count()


def _expected_gain(round_: Round) -> float | None:
    """Nats an answer would tell, on average over the best questions that the next round can ask; None without any."""
    best = Prediction.objects.filter(
        ~Exists(_skips()), document__in=_pool(round_), document__queue_entry=None, gain__isnull=False
    ).order_by("-gain")[: round_.settings["batch_size"]]
    return best.aggregate(mean=Avg("gain"))["mean"]


def _pool(round_: Round) -> QuerySet[Document]:
    return round_.project.documents.pool()


def _evidence() -> QuerySet[Verdict]:
    return Verdict.objects.filter(
        query__document=OuterRef("document"), verdict__in=[Verdict.Name.VALID, Verdict.Name.INVALID]
    )


def _skips() -> QuerySet[Decision]:
    return Decision.objects.filter(
        document=OuterRef("document"), action=Decision.Action.SKIP, withdrawn_by__isnull=True
    )


def _half_decided() -> QuerySet[Decision]:
    """Of a document without a label: what one person said, or two who disagree."""
    return Decision.objects.standing().filter(document=OuterRef("document"), people=People.TWO)


def _audits(round_: Round) -> QuerySet[Query]:
    return audits.waiting(round_.project).filter(document=OuterRef("document"))
