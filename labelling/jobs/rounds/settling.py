"""What becomes of a round: labels that count as settled, and what is laid out for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial, reduce
from operator import and_
from typing import Any

import numpy as np
from django.db.models import Avg, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from classifiers import stopping
from classifiers.ledger import Look, Source
from classifiers.loop import reviewing, settling
from classifiers.loop.book import Branches
from classifiers.query import HEAD, audit_slice
from classifiers.subset_classifier import NOISE
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.auditing import measure_judge
from labelling.jobs.rounds.books import StoredBook
from labelling.jobs.rounds.judging import asked
from labelling.jobs.rounds.learning import hashes_of
from labelling.jobs.rounds.outlook import outlook
from labelling.jobs.rounds.paths import as_array, tree_of
from labelling.jobs.rounds.querying import Known, Seen, note_near_duplicates, query_about
from labelling.jobs.rounds.reading import as_stored, beliefs, columns, filled, floats, integers
from labelling.jobs.rounds.watching import look_at_later_texts
from labelling.jobs.vectors import Space
from labelling.models import Decision, Document, People, Prediction, Query, QueueEntry, Round, Verdict
from labelling.models.sentences import Sentence
from labelling.models.sentences import Sentence as _
from labelling.services import audits, domains, examples, notices, watching
from labelling.services.claims import entry_for, reviews_a_round, waiting

# How people's questions are chosen.
PEOPLE_STRATEGY = "margin"

Unlabelled = tuple[list[int], np.ndarray]


def settle(lease: Lease[Round]) -> None:
    """Settle what is certain, look at the ledger, and lay out what people do next, all at once."""
    round_ = lease.job
    # Before the lock is taken: of a million documents vectors take longer to read than anybody waits for it.
    known, unlabelled = Known.of(round_.project), _unlabelled(round_)
    with lease.transaction(), notices.certificate_watched(round_.project):
        measure_judge(lease)
        examples.give_way(round_.project)
        examples.leave_to_people(round_.project)
        book = StoredBook.read(round_.project)
        look = book.look(round_)
        accepted = _settle(round_, book)
        uncertain = _uncertain(round_)
        learning_over = _learning_over(round_, uncertain)
        book.enter(round_, look, waits=not learning_over and round_.number <= reviewing.PATIENCE)
        look = book.book.look(book.limit, look.level)
        left = _dismiss(round_)
        queries = _for_people(round_, book, look, known, unlabelled, learns=not learning_over)
        _lay_out(round_, queries)
        lease.update(
            settled_at=timezone.now(),
            laid_out=_laid_out(round_),
            uncertain=uncertain,
            learning_over=learning_over,
            accepted=round_.accepted + accepted,
            left_queue=round_.left_queue + left,
            expected_gain=_expected_gain(round_),
            settling_stopped=settling.is_too_wrong(book.book.standing(), book.limit),
            outlook=outlook(book.book, look, reviews_a_round(round_.project)),
        )
        look_at_later_texts(round_)


def _settle(round_: Round, stored: StoredBook) -> int:
    """Settle what is certain, and teach what rests on the judge's word; return how many those are."""
    if not round_.settings["auto_accept"]:
        return 0
    rows, kinds = _may_settle(round_), (integers, filled(NOISE), floats)
    tree, branches = tree_of(round_.project), None
    if tree:
        path = partial(as_array, tree)
        with_path = rows.values_list("document_id", "posterior_label_id", "posterior", "path")
        documents, labels, posterior, found = columns(with_path, *kinds, path)
        branches = Branches.of(tree, labels, found[..., 0].astype(int), found[..., 1])
    else:
        without = rows.values_list("document_id", "posterior_label_id", "posterior")
        documents, labels, posterior = columns(without, *kinds)
    new = stored.book.settle(
        documents,
        labels,
        posterior,
        np.isin(documents, np.array(_judged(round_), dtype=int)),
        round_.settings["certainty"],
        stored.limit,
        branches,
    )
    stored.write_settled(round_, new)
    book = stored.book
    on_its_word = new[(book.source[new] == Source.JUDGE) & ~book.is_parent[new]]
    settled = zip(book.document[on_its_word].tolist(), book.label[on_its_word].tolist(), strict=True)
    return examples.accept_from_judge([(document, None if label == NOISE else label) for document, label in settled])


def _may_settle(round_: Round) -> QuerySet[Prediction]:
    """What is in nobody's hands, and nobody has a say in."""
    in_hands = QueueEntry.objects.filter(document=OuterRef("document"), claimed_until__gt=timezone.now())
    return Prediction.objects.filter(
        ~Exists(in_hands),
        _not_among(_skips(round_), _half_decided(round_), audits.waiting(round_.project)),
        document__in=_pool(round_)
        .filter(is_disputed=False)
        .exclude(pk__in=domains.for_people(round_.project).values("pk")),
    ).order_by("document")


def _judged(round_: Round) -> list[int]:
    """Documents that a judge was asked about, where labels may be settled on its word."""
    if not round_.reliability.get("confirms", True):
        return []
    said = Verdict.objects.filter(query__round__project=round_.project_id)
    said = said.filter(verdict__in=[Verdict.Name.VALID, Verdict.Name.INVALID])
    return list(said.values_list("query__document", flat=True).distinct())


def _dismiss(round_: Round) -> int:
    """Take out of the queue what has its label, and all questions of earlier rounds: what is chosen now is better.

    Nobody's open document is taken away, nor one that somebody left to a colleague or sent to review, nor one that
    waits for another person's word, nor an audit. Returns how many were taken away that the machine has settled.
    """
    now = timezone.now()
    unclaimed = round_.project.queue.filter(Q(claimed_until=None) | Q(claimed_until__lte=now), sent_by=None)
    unclaimed.filter(document__example__source="human").delete()
    questions = unclaimed.filter(_not_among(_skips(round_), _half_decided(round_)))
    questions = questions.exclude(query__reason__in=Query.BLIND)
    settled = questions.filter(document__in=round_.project.settled_labels.final().values("document"))
    n_settled = settled.filter(query__round__number__lt=round_.number).count()
    questions.delete()
    return n_settled


def _for_people(
    round_: Round, stored: StoredBook, look: Look, known: Known, unlabelled: Unlabelled, learns: bool
) -> list[Query]:
    """The questions that people get now, in the order in which they are to be asked."""
    book = stored.book
    capacity = max(reviews_a_round(round_.project) - waiting(round_.project).count(), 0)
    later = _later(round_, capacity)
    shares = reviewing.share_out(
        capacity - len(later),
        look if book.entered.any() else None,
        has_held=bool(book.certified.any()),
        n_outside=int((book.present & ~book.entered).sum()),
        asks=round_.queries.filter(reason=Query.Reason.SPOT_CHECK).exists(),
        learns=learns,
    )
    drawn = stored.draw(shares.audits)
    taken = book.document[drawn].tolist()
    later = [document for document in later if document not in taken]
    checks = _checks(round_, shares.from_pool, [*taken, *later])
    n_questions = shares.questions_beside(len(drawn))
    audited = [*taken, *later, *checks]
    reserved = _for_people_alone(round_, audited)
    others = _questions(round_, max(n_questions - len(reserved), 0), [*audited, *reserved])
    questions = [*reserved, *others]
    reasons = [
        *((document, Query.Reason.AUDIT) for document in taken),
        *((document, Query.Reason.WATCH) for document in later),
        *((document, Query.Reason.POOL_CHECK) for document in checks),
        *((document, Query.Reason.REVIEW) for document in questions),
    ]
    if not reasons:
        return []
    # Where a parent is settled people are asked for what lies below it.
    settled = np.where(book.is_parent[drawn], NOISE, book.label[drawn])
    queries = _asked(round_, known, unlabelled, reasons, dict(zip(taken, settled.tolist(), strict=True)))
    stored.write_draws(drawn, queries[: len(drawn)])
    return queries


def _later(round_: Round, capacity: int) -> list[int]:
    """Later texts that were drawn to be audited, for half of the reviews at most."""
    drawn = watching.to_audit(round_.project).filter(prediction__isnull=False)
    return list(drawn.values_list("pk", flat=True)[: (capacity + 1) // 2])


def _checks(round_: Round, size: int, taken: Sequence[int]) -> list[int]:
    """Documents drawn from everything that no person has decided on, each with equal chance."""
    undecided = round_.project.documents.filter(holdout=False, prediction__isnull=False, queue_entry=None)
    undecided = undecided.exclude(example__source__in=["human", "seed"]).exclude(pk__in=taken)
    [pks] = columns(undecided.order_by("pk").values_list("pk"), integers)
    seed = round_.settings["random_seed"] + round_.number
    return pks[audit_slice(len(pks), size, seed)].tolist()


def _for_people_alone(round_: Round, taken: Iterable[int]) -> list[int]:
    """Documents on which people disagreed elsewhere, or that a rule leaves to people, whatever else there is to ask."""
    rule = Q(document__in=domains.for_people(round_.project).values("pk"))
    found = _open(round_, taken).filter(rule | Q(document__is_disputed=True)).order_by("document")
    return list(found.values_list("document_id", flat=True)[: reviews_a_round(round_.project)])


def _open(round_: Round, taken: Iterable[int]) -> QuerySet[Prediction]:
    """What a person may be asked about now."""
    return Prediction.objects.filter(
        _not_among(_skips(round_), _half_decided(round_), audits.waiting(round_.project)),
        document__in=_pool(round_),
        document__queue_entry=None,
    ).exclude(document__in=list(taken))


def _questions(round_: Round, size: int, taken: Iterable[int]) -> list[int]:
    """Documents without a settled label whose answer would teach most; the first are asked first."""
    open_ = _open(round_, taken)
    open_ = open_.filter(~Exists(round_.project.settled_labels.final().filter(document=OuterRef("document"))))
    if not size:
        return []
    rows = open_.order_by("document").values_list("document_id", "entropy", as_stored("belief"))
    documents, entropy, belief = columns(rows, integers, floats, beliefs)
    if not len(documents):
        return []
    seed = round_.settings["random_seed"] + round_.number
    # Vectors are read of the head of the ranking alone.
    head = reviewing.questions(belief, entropy, HEAD * size, PEOPLE_STRATEGY, seed)
    X = Space.of(round_.project).load(hashes_of(documents[head].tolist()))
    chosen = reviewing.questions(belief[head], entropy[head], size, PEOPLE_STRATEGY, seed, X)
    return documents[head[chosen]].tolist()


def _asked(
    round_: Round,
    known: Known,
    unlabelled: Unlabelled,
    reasons: Sequence[tuple[int, Query.Reason]],
    settled: dict[int, int],
) -> list[Query]:
    """Write one question for each document: about its settled label, or else its most probable one.

    Where this round's judge was asked just that, its question is taken, unless the answer must not be seen.
    """
    found = Prediction.objects.filter(document__in=[document for document, _ in reasons]).select_related("document")
    predictions = {prediction.document_id: prediction for prediction in found}
    X = Space.of(round_.project).load([predictions[document].document.text_hash for document, _ in reasons])
    neighbours = known.neighbours(X, [document for document, _ in reasons])
    of_judge = {
        (query.document_id, query.label_id): query for query in round_.queries.exclude(reason__in=Query.UNASKED)
    }
    queries = []
    for rank, (document, reason) in enumerate(reasons):
        seen = Seen.of(predictions[document], X[rank])
        query = query_about(round_, known, seen, reason, rank, neighbours[rank])
        if settled.get(document, NOISE) != NOISE:
            query.label_id = settled[document]
        queries.append(of_judge.get((document, query.label_id), query) if reason == Query.Reason.REVIEW else query)
    new = [position for position, query in enumerate(queries) if query.pk is None]
    note_near_duplicates([queries[position] for position in new], X[new], known, unlabelled)
    Query.objects.bulk_create([queries[position] for position in new])
    return queries


def _unlabelled(round_: Round) -> Unlabelled:
    """Ids and vectors of the documents without a label."""
    space = Space.of(round_.project)
    pool = list(_pool(round_).filter(space.has_vector()).values_list("pk", "text_hash"))
    return [pk for pk, _ in pool], space.load([text_hash for _, text_hash in pool])


def _lay_out(round_: Round, queries: Sequence[Query]) -> None:
    """Put these questions, and the spot checks of the round's batch, into the queue: each document once.

    What waits as a check already, left over from an earlier round, becomes the audit that is drawn now.
    """
    checks = round_.queries.filter(reason=Query.Reason.SPOT_CHECK, document__in=_pool(round_))
    entries = {query.document_id: entry_for(query) for query in (*checks, *queries)}
    for known in round_.project.queue.filter(document__in=list(entries)):
        entry = entries.pop(known.document_id)
        if entry.query.reason == Query.Reason.AUDIT:
            known.query, known.round, known.priority = entry.query, round_, entry.priority
            known.save(update_fields=["query", "round", "priority"])
    # Of two with the same priority the first that was written comes first.
    QueueEntry.objects.bulk_create(sorted(entries.values(), key=lambda entry: (entry.priority, entry.document_id)))


def _laid_out(round_: Round) -> int:
    """How many of the round's documents wait for people or are decided on, also when it is settled once more."""
    decisions = Decision.objects.standing().filter(query__round=round_, document__queue_entry=None)
    return round_.waiting.count() + decisions.values("document").distinct().count()


def _uncertain(round_: Round) -> int:
    """Documents that neither the machine has settled nor a person decided, and that no rule leaves to people."""
    settled = round_.project.settled_labels.final().filter(document=OuterRef("pk"))
    reserved = domains.for_people(round_.project).values("pk")
    return _pool(round_).filter(~Exists(settled)).exclude(pk__in=reserved).count()


def _learning_over(round_: Round, uncertain_now: int) -> str:
    """Why neither judge nor people should be asked any more, or nothing; audits may go on."""
    if not uncertain_now:
        return _("No uncertain document is left.")
    if not round_.learns:
        earlier = round_.project.rounds.filter(number__lt=round_.number).exclude(learning_over="")
        return earlier.values_list("learning_over", flat=True)[0]
    if not round_.asks or _was_silent(round_):
        return ""
    comparable = round_.project.rounds.filter(
        number__lt=round_.number,
        unlabelled_at_import=round_.unlabelled_at_import,
        settings__certainty=round_.settings["certainty"],
        settings__auto_accept=round_.settings["auto_accept"],
    ).order_by("number")
    uncertain: list[int] = []
    examples: list[int] = []
    rows = [*comparable.values_list("uncertain", "training_examples"), (uncertain_now, round_.training_examples)]
    for n_uncertain, n_examples in rows:
        # A round that learnt nothing new says nothing about what is left to gain.
        if n_uncertain is not None and n_examples is not None and n_examples > max(examples, default=-1):
            uncertain.append(n_uncertain)
            examples.append(n_examples)
    reason = stopping.stop_reason(uncertain, examples, question=round_.question)
    return Sentence(reason.template, reason.values) if reason else ""


def was_down(round_: Round) -> bool:
    """Whether the judge failed on every question: an outage is no convergence."""
    return (
        round_.queries.filter(judge_failure__isnull=False).exists()
        and not round_.queries.filter(verdict__isnull=False).exists()
    )


def _was_silent(round_: Round) -> bool:
    """Whether the judge was asked and said nothing at all."""
    return asked(round_).exists() and not round_.queries.filter(verdict__isnull=False).exists()


def _expected_gain(round_: Round) -> float | None:
    """Nats an answer would tell, on average over the best questions that the next round can ask; None without any."""
    if not round_.has_judge:
        return None
    best = Prediction.objects.filter(
        _not_among(_skips(round_)), document__in=_pool(round_), document__queue_entry=None, gain__isnull=False
    ).order_by("-gain")[: round_.settings["batch_size"]]
    return best.aggregate(mean=Avg("gain"))["mean"]


def _pool(round_: Round) -> QuerySet[Document]:
    return round_.project.documents.pool()


def _not_among(*of_documents: QuerySet[Any]) -> Q:
    """Whether a row's document is in none of these. They are few, and found once, not asked about for each row."""
    return reduce(and_, (~Q(document__in=few.order_by().values("document")) for few in of_documents))


def _skips(round_: Round) -> QuerySet[Decision]:
    return Decision.objects.filter(
        document__project=round_.project_id, action=Decision.Action.SKIP, withdrawn_by__isnull=True
    )


def _half_decided(round_: Round) -> QuerySet[Decision]:
    """Of a document without a label: what one person said, or two who disagree."""
    return Decision.objects.standing().filter(document__project=round_.project_id, people=People.TWO)
