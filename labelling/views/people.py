"""The people who review: their numbers, how far they agree, and what they disagree on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from labelling.models import Decision, Label, Measurement, People, Project, QueueEntry
from labelling.services import Refused, claims, domains, leaning, measuring, review
from labelling.services import people as services
from labelling.views.access import Request, number, project_view, sorted_by
from labelling.views.review import chosen

COLUMNS = {
    "name": gettext_lazy("Reviewer"),
    "decisions": gettext_lazy("Decisions"),
    "today": gettext_lazy("Today"),
    "agreement": gettext_lazy("Agrees with others"),
    "overturned": gettext_lazy("Overturned"),
}
# The most first; of whom nothing is known comes last.
SORTS: dict[str, Callable[[services.Numbers], Any]] = {
    "decisions": lambda one: -one.n_decisions,
    "name": lambda one: one.reviewer.username.casefold(),
    "today": lambda one: -one.n_today,
    "agreement": lambda one: (one.same is None, -(one.same or 0)),
    "overturned": lambda one: (one.overturned is None, -(one.overturned or 0)),
}


@project_view
def numbers(request: Request, project: Project) -> HttpResponse:
    """What people have done: managers see everybody, others themselves."""
    is_manager = project.is_managed_by(request.user)
    measurement = Measurement.objects.filter(project=project).first()
    agreement = measurement.people if measurement else {}
    sort = sorted_by(request, SORTS)
    people = services.numbers(project, None if is_manager else request.user)
    context = {
        "project": project,
        "is_manager": is_manager,
        "people": sorted(people, key=SORTS[sort]),
        "columns": COLUMNS,
        "sort": sort,
        "leaning": leaning.measured(project) if is_manager else None,
        "measurement": measurement,
        "is_old": is_manager and measuring.is_old(project, measurement),
        "agreement": agreement,
        "pairs": _named(agreement.get("pairs", []), None if is_manager else request.user),
        "n_disputed": project.queue.filter(people=People.THREE).count(),
        "n_for_nobody": domains.n_for_nobody(project) if is_manager else 0,
    }
    return render(request, "labelling/people.html", context)


@project_view
def disagreements(request: Request, project: Project) -> HttpResponse:
    """The next document on which two people disagree, for a third one's decision."""
    entry = claims.claim_next(project, request.user, disputed=True)
    two = _two(entry) if entry else []
    context = {
        "project": project,
        "entry": entry,
        "decisions": two,
        "others": _other_candidates(entry, two) if entry else [],
        "labels": project.labels.in_use() if entry else [],
        "renewal": claims.renewal(project),
        "n_for_me": claims.available(project, request.user, disputed=True).count(),
        "n_disputed": project.queue.filter(people=People.THREE).count(),
        "last": review.standing_decisions(project, request.user).filter(people=People.THREE).first(),
    }
    return render(request, "labelling/disagreements.html", context)


@require_POST
@project_view
def decide(request: Request, project: Project, entry_id: int) -> HttpResponse:
    """Save the third decision and go on to the next disagreement."""
    action, label = chosen(request, project)
    if action == Decision.Action.OVERRIDE and label is None:
        label = project.labels.filter(pk=number(request.POST.get("label", ""))).first()
    try:
        decision = review.decide(project, entry_id, request.user, action, label)
    except Refused as refusal:
        messages.warning(request, _("Not saved. %(reason)s") % {"reason": refusal})
    else:
        messages.success(request, _("Saved: %(decision)s.") % {"decision": decision})
    return redirect("disagreements", project.slug)


@require_POST
@project_view
def undo(request: Request, project: Project) -> HttpResponse:
    """Take back the reviewer's last third decision."""
    if review.undo(project, request.user, number(request.POST.get("decision", ""))):
        messages.success(request, _("Undone."))
    else:
        messages.warning(request, _("There is nothing to undo."))
    return redirect("disagreements", project.slug)


def _two(entry: QueueEntry) -> list[Decision]:
    """The decisions that disagree, first to last."""
    return list(Decision.objects.of_the_two(entry).select_related("reviewer", "label").order_by("pk"))


def _other_candidates(entry: QueueEntry, two: list[Decision]) -> list[Label]:
    """What the classifiers proposed and neither of the two chose, most probable first."""
    chosen_ids = {decision.label_id for decision in two}
    ids = [pk for pk, _ in entry.query.candidates if pk not in chosen_ids]
    labels = Label.objects.in_bulk(ids)
    return [labels[pk] for pk in ids if pk in labels]


def _named(pairs: list[dict], user: User | None) -> list[tuple[User, User, dict]]:
    """The pairs of reviewers by name; with a user only those that they are part of."""
    users = User.objects.in_bulk({pk for pair in pairs for pk in pair["reviewers"]})
    named = [
        (users[one], users[other], pair["kappa"])
        for pair in pairs
        for one, other in [pair["reviewers"]]
        if one in users and other in users
    ]
    return [pair for pair in named if user is None or user in pair[:2]]
