"""What people decide, and how they take it back."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import Decision, Document, Label, People, Project, Query, QueueEntry
from labelling.models.documents import Source
from labelling.services import Refused, audits, claims, examples, gold, rounds
from labelling.services.claims import Conflict

Action = Decision.Action


@transaction.atomic
def decide(
    project: Project,
    entry_id: int,
    user: User,
    action: str,
    label: Label | None = None,
    reason: str = "",
    answered_first: bool = False,
) -> Decision:
    """Record what the user says of a queued document, and act on it; ``reason`` tells why it was skipped.

    ``answered_first``: they were shown nothing of the machine's word; it counts where the document asks for that.

    Accepting means the label that they were shown, where they name it, or else the predicted one (Query.predicted_id).

    Deciding the same once more (a double click, a request sent again) returns the first decision.

    Raises:
        Conflict: when somebody else decided or holds the document.
        Refused: for an override without a label or with a retired one, an action that is none, the last word of
            somebody whose decisions need a second person, or somebody who has to practise first.
    """
    gold.check_practised(project, user)
    entry = claims.locked(project, entry_id)
    if entry is None or _of_two(entry, user):
        return _decided_before(project, entry_id, user, action, label)
    # Before the claim: a colleague may have got what was skipped while the answer was lost.
    if action == Action.SKIP and (skipped := skips(user).filter(document=entry.document_id).first()):
        return skipped
    if claims.is_held_by_another(entry, user):
        raise Conflict(claims.reviewing_now(entry))
    action, label = _resolve(action, label, entry.query)
    if label and label.retired_at and not _is_audit_of(entry.query, label):
        raise Refused(_("“%(label)s” is retired: choose another one.") % {"label": label})
    if entry.people == People.THREE and action != Action.SKIP:
        check_alone(project, user)
    people = _people(entry, user, action, label)
    decision = Decision.objects.create(
        document_id=entry.document_id,
        query=entry.query,
        entry=entry_id,
        reviewer=user,
        action=action,
        label=label,
        people=people,
        answered_first=answered_first and _is_first_answer(entry, user),
        seconds=_seconds(entry, user),
        reason=reason if action == Action.SKIP else "",
    )
    if action == Action.SKIP:
        _release(entry)
    else:
        _follow(entry, decision)
    if decision.pk % claims.LEARN_EVERY == 0:
        claims.learn_lease(project)
    return decision


@transaction.atomic
def relabel(document: Document, user: User, label: Label | None) -> Decision:
    """Record a decision taken outside the queue, on any document; None: it belongs to no label.

    Raises:
        Refused: for a held-out document, whose label must not be learnt, a retired label, or somebody whose decisions
            need a second person.
    """
    check_alone(document.project, user)
    if document.holdout:
        raise Refused(_("This document is held out to measure with; its label can't be changed here."))
    entry = QueueEntry.objects.select_for_update().filter(document=document).first()
    if label and label.retired_at:
        raise Refused(_("“%(label)s” is retired: choose another one.") % {"label": label})
    decision = Decision.objects.create(
        document=document,
        query=entry.query if entry else None,
        entry=entry.pk if entry else None,
        reviewer=user,
        action=Action.OVERRIDE if label else Action.NONE,
        label=label,
    )
    if entry:
        entry.delete()
    settle(document.project, [document.pk])
    return decision


@transaction.atomic
def relabel_together(project: Project, documents: Iterable[Document], user: User, label: Label) -> UUID:
    """Record the same decision on several documents, taken outside the queue; the key by which they go back together.

    None of them is held out.

    Raises:
        Refused: for somebody whose decisions need a second person.
    """
    check_alone(project, user)
    together = uuid4()
    documents = list(documents)
    Decision.objects.bulk_create(
        Decision(document=document, reviewer=user, action=Action.OVERRIDE, label=label, bulk=together)
        for document in documents
    )
    project.queue.filter(document__in=documents).delete()
    settle(project, [document.pk for document in documents])
    return together


@transaction.atomic
def withdraw_together(project: Project, bulk: UUID, user: User | None) -> int:
    """Take back what was decided at once, by whomever; return how many decisions that were."""
    together = Decision.objects.standing().filter(document__project=project, bulk=bulk)
    return sum(_withdraw(one, user) for one in together.select_related("document", "query"))


def standing_decisions(project: Project, user: User) -> QuerySet[Decision]:
    """What the user decided and has not withdrawn, last first."""
    return claims.standing(user).filter(document__project=project)


@transaction.atomic
def undo(project: Project, user: User, decision_id: int) -> Decision | None:
    """Withdraw a decision of the user's and give them the document again; what was accepted in bulk goes as one.

    None when there is nothing to withdraw: undoing the same once more (a double click) changes nothing.
    """
    decision = standing_decisions(project, user).filter(pk=decision_id).first()
    if decision is None:
        return None
    if decision.bulk:
        together = standing_decisions(project, user).filter(bulk=decision.bulk).select_related("document", "query")
        return decision if [_withdraw(one, user) for one in together] else None
    if not _withdraw(decision, user):
        return None
    if entry := project.queue.filter(document=decision.document_id).first():
        claims.release(project, user)
        entry.refresh_from_db()
        claims.take(entry, user)
    return decision


def settle(project: Project, document_ids: Iterable[int]) -> None:
    """Let what people said of these documents count, and start the next round when that makes it due."""
    for document_id in document_ids:
        examples.settle(document_id)
    # After the commit: of two people who decide at once, the later one counts both.
    transaction.on_commit(lambda: rounds.start_if_due(project))


def check_alone(project: Project, user: User) -> None:
    """Make sure that what the user decides may count by itself.

    Raises:
        Refused: when it needs a second person, or they have to practise first.
    """
    gold.check_practised(project, user)
    if gold.needs_second(project, user):
        raise Refused(_("By the documents whose label is known, your decisions need a second person: use “Review”."))


def skips(user: User) -> QuerySet[Decision]:
    """What the user left to others, and stays with them."""
    return Decision.objects.filter(reviewer=user, action=Action.SKIP, withdrawn_by=None)


def _people(entry: QueueEntry, user: User, action: str, label: Label | None) -> int:
    """How many people have to decide on a document, once the user says this of it.

    Where the user is right too seldom by their gold, a second person follows, whatever they say.

    Who finds an error in an audit is followed by a second person, who doesn't know of the first. Where that one agrees
    with the machine the first was mistaken, and one word is enough; and so it is where nobody else is there, and the
    same person has looked twice.
    """
    if action == Action.SKIP or entry.people == People.THREE:
        return entry.people
    needs_second = gold.needs_second(entry.project, user)
    if needs_second and entry.people == People.ONE:
        entry.people = People.TWO
        return entry.people
    contradicts = audits.contradicts(entry.query, label.pk if label else None)
    if contradicts is None:
        return entry.people
    first = Decision.objects.of_the_two(entry).first()
    if first is None:
        entry.people = People.TWO if contradicts else entry.people
    elif first.reviewer_id == user.pk or (
        not contradicts and not needs_second and audits.contradicts(entry.query, first.label_id)
    ):
        entry.people = People.ONE
    return entry.people


def _is_first_answer(entry: QueueEntry, user: User) -> bool:
    """Whether the user was to answer before the machine's word, and has not been told it after an earlier answer."""
    if not entry.answer_first or entry.people == People.THREE:
        return False
    said = Decision.objects.filter(document=entry.document_id, reviewer=user, action__in=Decision.LABELLING)
    return not said.exists()


def _follow(entry: QueueEntry, decision: Decision) -> None:
    """Give a document to the second person, to a third one when two disagree, or take it from the queue."""
    if entry.people == People.TWO:
        other = Decision.objects.of_the_two(entry).exclude(pk=decision.pk).first()
        if other is None or other.label_id != decision.label_id:
            entry.people = People.THREE if other else People.TWO
            _release(entry)
            transaction.on_commit(lambda: rounds.start_if_due(entry.project))
            return
    entry.delete()
    examples.count(entry.document, decision)
    transaction.on_commit(lambda: rounds.start_if_due(entry.project))


def _of_two(entry: QueueEntry, user: User) -> bool:
    """Whether the user is one of the two people that the document was for, and has decided."""
    if entry.people == People.ONE or claims.looks_again(entry, user):
        return False
    return Decision.objects.of_the_two(entry).filter(reviewer=user).exists()


def _resolve(action: str, label: Label | None, query: Query | None) -> tuple[str, Label | None]:
    """Choosing the predicted label is accepting it, and accepting one that is predicted no more is choosing it."""
    if action == Action.ACCEPT and label is None and query:
        return Action.ACCEPT, Label.objects.current([query.predicted_id])[query.predicted_id]
    if action in (Action.ACCEPT, Action.OVERRIDE):
        if label is None:
            raise Refused(_("Choose the label to put in its place."))
        label = label.merged_into or label
        return Action.ACCEPT if query and _is_predicted(query, label) else Action.OVERRIDE, label
    if action not in (Action.NONE, Action.SKIP):
        raise Refused(_("Choose one of the answers."))
    return action, None


def _is_predicted(query: Query, label: Label) -> bool:
    """Whether a person was shown this label as predicted, or one that is a part of it by now."""
    predicted_id = query.predicted_id
    return label.pk == predicted_id or label.merged.filter(pk=predicted_id).exists()


def _is_audit_of(query: Query, label: Label) -> bool:
    """Whether the question is if the machine was right about this label: it may be retired by now."""
    return query.is_audit and query.label_id == label.pk


def _decided_before(project: Project, entry_id: int, user: User, action: str, label: Label | None) -> Decision:
    decisions = Decision.objects.standing().filter(document__project=project, entry=entry_id)
    decision = decisions.filter(reviewer=user).first() or decisions.first()
    if decision is None:
        raise Conflict(_("This document has left the queue: it has its label, or a newer round is sure of it."))
    if decision.reviewer != user:
        told = {"reviewer": decision.reviewer, "decision": decision}
        raise Conflict(_("%(reviewer)s has decided on this document already: %(decision)s.") % told)
    action, label = _resolve(action, label, decision.query)
    # By the label: what was predicted then may be another one now.
    if action == Action.SKIP or label != decision.label:
        told = {"decision": decision}
        raise Conflict(_("You have decided on this document already: %(decision)s. Undo that first.") % told)
    return decision


def _seconds(entry: QueueEntry, user: User) -> int | None:
    """How long the user had the document; None when it was not reserved for them."""
    if entry.claimed_by_id != user.pk or entry.claimed_at is None:
        return None
    return max(0, round((timezone.now() - entry.claimed_at).total_seconds()))


def _release(entry: QueueEntry) -> None:
    entry.claimed_by = entry.claimed_at = entry.claimed_until = None
    entry.save(update_fields=["people", "claimed_by", "claimed_at", "claimed_until"])


def _withdraw(decision: Decision, user: User | None) -> bool:
    """Take a decision back, and lay its document out again unless it has its label all the same.

    False when it was taken back before.
    """
    document = Document.objects.select_for_update().get(pk=decision.document_id)
    if Decision.objects.filter(withdraws=decision).exists():
        return False
    Decision.objects.create(
        document=document, query=decision.query, reviewer=user, action=Action.UNDO, withdraws=decision
    )
    example = examples.settle(document.pk)
    query = decision.query or (None if example else _last_question(document))
    if query and not document.holdout and not (example and example.source == Source.HUMAN):
        _requeue(query, decision, user)
    return True


def _last_question(document: Document) -> Query | None:
    """The last question about a document that was decided on outside the queue: the evidence to review it with."""
    return document.queries.order_by("-pk").first()


def _requeue(query: Query, decision: Decision, user: User | None) -> None:
    """Lay a document out for as many people as it was for when the decision was taken."""
    entry = QueueEntry.objects.filter(document=query.document_id).first()
    if entry is None:
        entry = claims.entry_for(query)
        entry.people = decision.people
        # The machine's word was told after the decision.
        entry.answer_first = False
        entry.save()
    elif entry.people != decision.people and not (user and claims.is_held_by_another(entry, user)):
        # Two who disagreed: one of them thinks again, before a third has to.
        entry.people = decision.people
        _release(entry)
