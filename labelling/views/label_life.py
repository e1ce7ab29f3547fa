"""What becomes of labels: each step shows first what it changes, and can be undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from labelling.models import Label, LabelEvent, Project
from labelling.services import Refused
from labelling.services import label_life as services
from labelling.views.access import Request, attempt, manager_view, number, project_view, searched

PER_PAGE = 50
Kind = LabelEvent.Kind

TITLES = {
    Kind.RENAME: gettext_lazy("Rename “%(label)s”"),
    Kind.MERGE: gettext_lazy("Merge “%(label)s” into another label"),
    Kind.RETIRE: gettext_lazy("Retire “%(label)s”"),
    Kind.RESTORE: gettext_lazy("Restore “%(label)s”"),
    Kind.MOVE: gettext_lazy("Move examples of “%(label)s”"),
    Kind.SPLIT: gettext_lazy("Split “%(label)s”"),
}
# Steps before which the page counts what they change.
COUNTED = (Kind.MERGE, Kind.RETIRE, Kind.RENAME, Kind.SPLIT)
ABOUT = {
    Kind.RENAME: gettext_lazy("Examples, verdicts and decisions stay. The next round learns the new name."),
    Kind.MERGE: gettext_lazy(
        "Its examples and what lies below it become the other label's. Verdicts on both from before count no more."
    ),
    Kind.RETIRE: gettext_lazy("It is proposed and learnt no more. Its examples and its history stay."),
    Kind.RESTORE: gettext_lazy("The next round learns and proposes it again."),
    Kind.MOVE: gettext_lazy("A decision is recorded on each document that you tick."),
    Kind.SPLIT: gettext_lazy(
        "What you tick becomes a new label. Verdicts on the old one from before count no more: it means less now."
    ),
}


@dataclass(frozen=True)
class Wanted:
    """A step as it was asked for: with which other label, which name, which documents ticked."""

    kind: Kind
    label: Label
    other: Label | None
    name: str
    ticked: list[int]

    @classmethod
    def of(cls, request: Request, label: Label, kind: Kind) -> Wanted:
        told = request.POST if request.method == "POST" else request.GET
        return cls(
            kind,
            label,
            label.project.labels.in_use().filter(pk=number(told.get("into", ""))).first(),
            told.get("name", "").replace("\0", "").strip(),
            [number(document) for document in request.POST.getlist("document")],
        )

    @property
    def moves(self) -> bool:
        return self.kind in (Kind.MOVE, Kind.SPLIT)

    @property
    def is_told(self) -> bool:
        """Whether it can be said what the step changes."""
        needed = {Kind.MERGE: self.other, Kind.RENAME: self.name, Kind.MOVE: self.ticked, Kind.SPLIT: self.ticked}
        return bool(needed.get(self.kind, True))

    def take(self, user: User) -> LabelEvent:
        """Take the step.

        Raises:
            Refused: when it can't be taken.
        """
        if self.other is None and self.kind in (Kind.MERGE, Kind.MOVE):
            raise Refused(_("Choose another label, one that is in use."))
        other = self.other or self.label
        steps: dict[Kind, Callable[[], LabelEvent]] = {
            Kind.RENAME: lambda: services.rename(self.label, self.name, user),
            Kind.MERGE: lambda: services.merge(self.label, other, user),
            Kind.RETIRE: lambda: services.retire(self.label, user),
            Kind.RESTORE: lambda: services.restore(self.label, user),
            Kind.MOVE: lambda: services.move(self.label, other, self.ticked, user),
            Kind.SPLIT: lambda: services.split(self.label, self.name, self.ticked, user),
        }
        return steps[self.kind]()


@project_view
def events(request: Request, project: Project) -> HttpResponse:
    """What became of labels, the last first."""
    found = project.label_events.select_related("label", "other", "author", "undone_by")
    context = {
        "project": project,
        "is_manager": project.is_managed_by(request.user),
        "page": Paginator(found, PER_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "labelling/label_events.html", context)


@require_POST
@manager_view
def undo(request: Request, project: Project, pk: int) -> HttpResponse:
    """Put everything back that a step changed."""
    event = get_object_or_404(project.label_events.select_related("label", "other"), pk=pk)
    attempt(request, services.undo, event, request.user)
    return redirect("label_events", project.slug)


@manager_view
def change(request: Request, project: Project, pk: int, kind: str) -> HttpResponse:
    """Show what a step in a label's life changes; a post that confirms it takes the step."""
    if kind not in TITLES:
        raise Http404
    label = get_object_or_404(project.labels.select_related("project"), pk=pk)
    wanted = Wanted.of(request, label, Kind(kind))
    if "confirm" in request.POST:
        try:
            event = wanted.take(request.user)
        except Refused as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, _("%(done)s. It is in the log, and can be undone there.") % {"done": event})
            return redirect("label", project.slug, (event.other or label).pk)
    query = searched(request)
    documents = services.movable(label, query if wanted.moves else "")
    context = {
        "project": project,
        "label": label,
        "wanted": wanted,
        "title": TITLES[wanted.kind] % {"label": label},
        "about": ABOUT[wanted.kind],
        "namesake": services.namesake(label, wanted.name) if kind == Kind.RENAME else None,
        "others": project.labels.in_use().exclude(pk=pk).order_by("code", "name").defer("definition"),
        "effect": services.effect(label, wanted.other) if kind in COUNTED else None,
        "documents": documents[: services.MOVE_AT_MOST] if wanted.moves else [],
        "n_documents": documents.count(),
        "n_all": services.movable(label).count() if wanted.moves else 0,
        "query": query,
        "documents_url": f"{reverse('documents', args=[project.slug])}?label={pk}",
    }
    return render(request, "labelling/change_label.html", context)
