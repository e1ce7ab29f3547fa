"""Who gets which documents from the queue, and which documents only people decide on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import In

from labelling.models import AuditDraw, Decision, Expertise, Label, Membership, PeopleOnly, Project, SettledLabel
from labelling.models.documents import DocumentQuerySet
from labelling.models.domains import Domain
from labelling.services import diary

Act = diary.Act


@transaction.atomic
def limit(membership: Membership, labels: Sequence[Label], column: str, values: Sequence[str]) -> None:
    """Limit what a reviewer gets from the queue; without labels and values they get everything."""
    before, after = _put(Expertise, {"membership": membership}, labels, column, values)
    told = {"before": {"only": before}, "after": {"only": after}}
    diary.write_changes(Act.MEMBER, membership.project, membership.user, **told)


@transaction.atomic
def leave_to_people(project: Project, labels: Sequence[Label], column: str, values: Sequence[str]) -> None:
    """Let only people decide on documents, from the next round on; without labels and values on none."""
    before, after = _put(PeopleOnly, {"project": project}, labels, column, values)
    told = {"before": {"people only": before}, "after": {"people only": after}}
    diary.write_changes(Act.SETTINGS, project, project.name, **told)


def open_to(user: User, project: Project | None = None) -> Q:
    """Which entries of the queue, of a project or of any, are within the user's limits. Managers have none.

    By the label that is asked about: of an audit what is believed by now must not be told, not even by who gets it.
    """
    allowed = Q()
    if project and project.asked_by == user.pk and project.expertise is None:
        return allowed
    for one in _limits().filter(membership__user=user):
        allowed &= ~Q(project=one.membership.project_id) | _fits(one, one.membership.project_id)
    return allowed


def n_for_nobody(project: Project) -> int:
    """How many documents wait that fit no reviewer's limits: only managers get them."""
    reviewers = project.memberships.filter(role=Membership.Role.REVIEWER, user__is_active=True)
    limits = list(_limits().filter(membership__in=reviewers))
    if not limits or len(limits) < reviewers.count():
        return 0
    fits = Q()
    for one in limits:
        fits |= _fits(one, project.pk)
    return project.queue.exclude(pk__in=project.queue.filter(fits).values("pk")).count()


def for_people(project: Project) -> DocumentQuerySet:
    """The documents that no machine settles, by the rule: by their most probable label as of now, or their metadata."""
    rule = PeopleOnly.objects.filter(project=project).first()
    return documents_of(project, rule.labels.all(), rule.column, rule.values) if rule else project.documents.none()


def undecided(project: Project) -> DocumentQuerySet:
    """What is left for people alone, by the rule or because people disagreed on it elsewhere, and nobody skipped."""
    skipped = Decision.objects.filter(document=OuterRef("pk"), action=Decision.Action.SKIP, withdrawn_by=None)
    reserved = Q(pk__in=for_people(project).values("pk"))
    return project.documents.pool().filter(reserved | Q(is_disputed=True)).filter(~Exists(skipped))


def documents_of(
    project: Project, labels: Sequence[Label] | QuerySet[Label], column: str, values: Sequence[str]
) -> DocumentQuerySet:
    """The documents with one of these labels as the most probable, or one of these values in a column."""
    label_ids = _with_all_below(project.pk, [label.pk for label in labels])
    either = Q(prediction__posterior_label__in=label_ids)
    if column and values:
        either |= Q(In(KeyTextTransform(column, "metadata"), list(values)))
    return project.documents.filter(either)


def reserved_labels(project: Project) -> set[int]:
    """Ids of the labels that no machine settles."""
    rule = PeopleOnly.objects.filter(project=project).first()
    return _with_all_below(project.pk, rule.labels.values_list("pk", flat=True)) if rule else set()


def settled_before(project: Project) -> QuerySet[SettledLabel]:
    """What the machine settled before the rule left it to people, but for what was drawn for an audit: that stays."""
    rule = PeopleOnly.objects.filter(project=project).first()
    none = project.settled_labels.none()
    return settled_of(project, rule.labels.all(), rule.column, rule.values) if rule else none


def settled_of(
    project: Project, labels: Sequence[Label] | QuerySet[Label], column: str, values: Sequence[str]
) -> QuerySet[SettledLabel]:
    """What the machine settled with one of these labels or values, but for what was drawn for an audit."""
    drawn = AuditDraw.objects.filter(member__settled=OuterRef("pk"))
    in_force = project.settled_labels.filter(~Exists(drawn), left_at=None)
    documents = documents_of(project, labels, column, values).values("pk")
    label_ids = _with_all_below(project.pk, [label.pk for label in labels])
    return in_force.filter(Q(document__in=documents) | Q(label__in=label_ids))


def _limits() -> QuerySet[Expertise]:
    of_reviewers = Expertise.objects.filter(membership__role=Membership.Role.REVIEWER)
    return of_reviewers.select_related("membership").prefetch_related("labels")


def _fits(domain: Expertise, project_id: int) -> Q:
    """Whether an entry of the queue has one of the labels, and one of the values."""
    fits = Q()
    if labels := [label.pk for label in domain.labels.all()]:
        fits &= Q(query__label__in=_with_all_below(project_id, labels))
    if domain.values:
        fits &= Q(In(KeyTextTransform(domain.column, "document__metadata"), domain.values))
    return fits


def _with_all_below(project_id: int, label_ids: Sequence[int] | QuerySet[Any]) -> set[int]:
    """These labels, all below them in the tree, and what has become a part of any."""
    found = set(label_ids)
    if not found:
        return found
    rows = list(Label.objects.filter(project=project_id).values_list("pk", "parent", "merged_into"))
    n_before = 0
    while len(found) > n_before:
        n_before = len(found)
        found |= {pk for pk, parent, merged in rows if parent in found or merged in found}
    return found


def _put(
    model: type[Domain], of: dict[str, Any], labels: Sequence[Label], column: str, values: Sequence[str]
) -> tuple[str, str]:
    """Keep a domain, or remove the one that there was; return that one and the new one in words."""
    known = model._default_manager.filter(**of).first()
    before = str(known or "")
    if not labels and not values:
        if known:
            known.delete()
        return before, ""
    kept, _new = model._default_manager.update_or_create(
        **of, defaults={"column": column if values else "", "values": list(values)}
    )
    kept.labels.set(labels)
    return before, str(kept)
