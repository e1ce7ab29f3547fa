"""Projects: list, overview, settings, members."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from labelling.forms import MemberForm, ProjectForm, ProjectSettingsForm
from labelling.models import Document, Membership, People, Project, Query, QueueEntry, TrainingExample
from labelling.models.documents import Source
from labelling.services import Refused, changes, claims, definitions, ledger, rounds
from labelling.services import projects as services
from labelling.services.progress import round_scores, settled_counts
from labelling.views.access import Request, manager_view, project_view


def project_list(request: Request) -> HttpResponse:
    projects = Project.objects.visible_to(request.user).annotate(
        n_documents=_count(Document), n_waiting=_count(QueueEntry)
    )
    return render(
        request, "labelling/project_list.html", {"projects": projects, "may_create": _may_create(request.user)}
    )


def create(request: Request) -> HttpResponse:
    if not _may_create(request.user):
        raise PermissionDenied(_("Only staff can create projects."))
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        project = services.create_project(form.cleaned_data["name"], request.user, task=form.cleaned_data["task"])
        messages.success(request, _("“%(project)s” is ready. Bring in some texts next.") % {"project": project})
        return redirect("upload", project.slug)
    return render(request, "labelling/project_new.html", {"form": form})


@project_view
def overview(request: Request, project: Project) -> HttpResponse:
    scores = round_scores(project)
    round_ = project.rounds.first()
    context = {
        "project": project,
        "is_manager": project.is_managed_by(request.user),
        "counts": _document_counts(project),
        "n_labels": project.labels.count(),
        "n_waiting": project.queue.count(),
        "n_for_me": claims.n_available(project, request.user),
        "many": claims.MANY,
        "n_disputed": project.queue.filter(people=People.THREE).count(),
        "changed_in": changes.latest(project),
        "n_new": rounds.new_examples(project),
        "until_next": rounds.examples_until_next(project),
        "round": round_,
        "spent": ledger.spent(project),
        "round_spent": ledger.spent(project, round_) if round_ and round_.is_active else None,
        "measured": project.rounds.exclude(certificate={}).first(),
        "n_audits_waiting": project.queue.filter(query__reason__in=Query.AUDITS).count(),
        "settled": settled_counts(project),
        "stale": definitions.stale_counts(project),
        "scores": scores,
        "points": [score.as_point() for score in reversed(scores)],
    }
    return render(request, "labelling/project.html", context)


@manager_view
def settings(request: Request, project: Project) -> HttpResponse:
    # An instance of its own: what is typed and refused must not show as the project's name.
    form = ProjectSettingsForm(request.POST or None, instance=Project.objects.get(pk=project.pk))
    if request.method == "POST" and form.is_valid():
        rounds.start_if_due(form.save())
        messages.success(request, _("Saved. The next round uses these settings."))
        return redirect("project_settings", project.slug)
    return render(request, "labelling/settings.html", {"project": project, "form": form})


@manager_view
def members(request: Request, project: Project) -> HttpResponse:
    form = MemberForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user: User = form.cleaned_data["user"]
        try:
            services.set_member(project, user, form.cleaned_data["role"])
        except Refused as refusal:
            messages.error(request, str(refusal))
        else:
            if form.cleaned_data["role"] == Membership.Role.MANAGER:
                said = _("%(user)s is a manager of this project.")
            else:
                said = _("%(user)s is a reviewer of this project.")
            messages.success(request, said % {"user": user})
        return redirect("members", project.slug)
    memberships = project.memberships.select_related("user").annotate(
        n_decisions=Count("user__decisions", filter=Q(user__decisions__document__project=project))
    )
    return render(request, "labelling/members.html", {"project": project, "form": form, "memberships": memberships})


@require_POST
@manager_view
def remove_member(request: Request, project: Project, pk: int) -> HttpResponse:
    membership = get_object_or_404(project.memberships, pk=pk)
    try:
        services.remove_member(membership)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(
            request, _("%(user)s is no longer a member. Their decisions stay.") % {"user": membership.user}
        )
    if not Project.objects.visible_to(request.user).filter(pk=project.pk).exists():
        return redirect("project_list")
    return redirect("members", project.slug)


def _document_counts(project: Project) -> dict[str, int]:
    """Documents by where their label comes from; ``pool`` has none yet."""
    counts = project.documents.aggregate(total=Count("pk"), holdout=Count("pk", filter=Q(holdout=True)))
    examples = TrainingExample.objects.filter(document__project=project).order_by()
    by_source = dict(examples.values_list("source").annotate(Count("pk")))
    labelled = {source: by_source.get(source, 0) for source in Source.values}
    return counts | labelled | {"pool": counts["total"] - counts["holdout"] - sum(labelled.values())}


def _count(model: type[Model]) -> Coalesce:
    """How many rows of a table belong to each project; a join of two such tables would multiply them."""
    rows = model._default_manager.filter(project=OuterRef("pk")).order_by().values("project")
    return Coalesce(Subquery(rows.annotate(n=Count("pk")).values("n")), 0)


def _may_create(user: User) -> bool:
    return user.is_staff
