"""Projects: list, overview, settings, members."""

from __future__ import annotations

from django.conf import settings as site
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from labelling.forms import InvitationForm, MemberForm, PriceForm, ProjectForm, ProjectSettingsForm
from labelling.models import Membership, People, Price, Project, TrainingExample
from labelling.models.documents import Source
from labelling.services import (
    Refused,
    access,
    certificates,
    changes,
    claims,
    definitions,
    glances,
    invitations,
    ledger,
    levels,
    removals,
    rounds,
    threads,
    watching,
)
from labelling.services import prices as price_list
from labelling.services import projects as services
from labelling.services.counting import kept_of
from labelling.services.next_action import next_action
from labelling.services.progress import charts, counts, round_scores
from labelling.views.access import Request, manager_view, project_view, searched

PROJECTS_PER_PAGE = 20


def project_list(request: Request) -> HttpResponse:
    """One's projects: first those where something waits, then by name; the archived ones apart."""
    words = searched(request)
    found = glances.found(request.user, words)
    projects = found.filter(archived_at=None)
    waiting = glances.waiting_for(request.user, projects)
    ordered = sorted(projects, key=lambda project: project.pk not in waiting)
    page = Paginator(ordered, PROJECTS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "glances": glances.glances(list(page), waiting),
        "n_waiting": len(waiting),
        "archived": found.exclude(archived_at=None),
        "query": words,
        "n_mentions": threads.n_unseen(request.user),
        "may_create": access.may_create_projects(request.user),
        "many": claims.MANY,
    }
    return render(request, "labelling/project_list.html", context)


def create(request: Request) -> HttpResponse:
    access.check_may_create_projects(request.user)
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
    promise = certificates.promise(project)
    context = {
        "project": project,
        "is_manager": project.is_managed_by(request.user),
        "counts": _document_counts(project),
        "n_long": project.documents.in_windows().count(),
        "n_labels": project.labels.in_use().count(),
        "n_waiting": project.queue.count(),
        "n_disputed": project.queue.filter(people=People.THREE).count(),
        "changed_in": changes.latest(project),
        "n_new": rounds.new_examples(project),
        "until_next": rounds.decisions_until_next(round_),
        "round": round_,
        "spent": ledger.spent(project),
        "round_spent": ledger.spent(project, round_) if round_ and round_.is_active else None,
        "measured": project.rounds.exclude(reliability={}).first(),
        "standing": counts(project),
        "action": next_action(project, request.user),
        "promise": promise,
        "drift": watching.last_look(project),
        "levels": levels.shown(project),
        "ahead": promise.ahead,
        "many": claims.MANY,
        "stale": definitions.stale_counts(project),
        "scores": scores,
        "charts": charts(scores),
        "points": [score.as_point() for score in reversed(scores)],
    }
    return render(request, "labelling/project.html", context)


@manager_view
def settings(request: Request, project: Project) -> HttpResponse:
    # An instance of its own: what is typed and refused must not show as the project's name.
    form = ProjectSettingsForm(request.POST or None, instance=Project.objects.get(pk=project.pk))
    if request.method == "POST" and form.is_valid():
        services.change(form.instance, **form.cleaned_data)
        rounds.start_if_due(form.instance, texts_came=True)
        messages.success(request, _("Saved. The next round uses these settings."))
        return redirect("project_settings", project.slug)
    context = {
        "project": project,
        "form": form,
        "needs": _needs(form["judge"].value(), form["judge_model"].value()),
        "n_managers": project.memberships.filter(role=Membership.Role.MANAGER).count(),
        "n_reviewers": project.memberships.filter(role=Membership.Role.REVIEWER).count(),
    }
    return render(request, "labelling/settings.html", context)


@manager_view
def judge_needs(request: Request, project: Project) -> HttpResponse:
    """What the judge that is chosen in the form needs still, before anything is saved."""
    needs = _needs(request.GET.get("judge"), request.GET.get("judge_model"))
    return render(request, "labelling/_judge_needs.html", {"project": project, "needs": needs})


def _needs(judge: str | None, model: str | None) -> price_list.Missing:
    return price_list.missing(judge or "", (model or "").replace("\0", ""))


@manager_view
def prices(request: Request, project: Project) -> HttpResponse:
    """What models cost, and a new price: for the whole site, never in the place of another."""
    model = request.GET.get("model", "").replace("\0", "") or project.judge_model or site.JUDGE_MODEL
    form = PriceForm(request.POST or None, initial={"model": model})
    if request.method == "POST" and form.is_valid():
        price = price_list.enter(form.save(commit=False), project)
        messages.success(request, _("The price of %(model)s is known now.") % {"model": price.model})
        return redirect("prices", project.slug)
    return render(request, "labelling/prices.html", {"project": project, "form": form, "prices": Price.objects.all()})


@manager_view
def remove(request: Request, project: Project) -> HttpResponse:
    """Archive a project, open it again, or delete it for good once its name is typed."""
    if "archive" in request.POST:
        removals.archive(project)
    elif "reopen" in request.POST:
        removals.reopen(project)
    elif request.method == "POST":
        return _delete(request, project)
    if request.method == "POST":
        return redirect("remove_project", project.slug)
    context = {
        "project": project,
        "loss": removals.loss(project, project.documents.all()),
        "n_releases": project.releases.count(),
    }
    return render(request, "labelling/remove_project.html", context)


def _delete(request: Request, project: Project) -> HttpResponse:
    try:
        removals.delete_project(project, request.user, request.POST.get("name", ""))
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("remove_project", project.slug)
    messages.success(request, _("“%(project)s” is deleted.") % {"project": project})
    return redirect("project_list")


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
            said = {
                Membership.Role.MANAGER: _("%(user)s is a manager of this project."),
                Membership.Role.REVIEWER: _("%(user)s is a reviewer of this project."),
            }
            messages.success(request, said[form.cleaned_data["role"]] % {"user": user})
        return redirect("members", project.slug)
    return _members_page(request, project, form)


@require_POST
@manager_view
def invite(request: Request, project: Project) -> HttpResponse:
    """Make a link for one person; it is shown once, in answer to the form."""
    form, link = InvitationForm(request.POST), ""
    if form.is_valid():
        secret = invitations.invite(project, request.user, **form.cleaned_data)
        link, form = request.build_absolute_uri(reverse("join", args=[secret])), InvitationForm()
    return _members_page(request, project, MemberForm(), form, link)


@require_POST
@manager_view
def take_back_invitation(request: Request, project: Project, pk: int) -> HttpResponse:
    invitations.take_back(get_object_or_404(project.invitations, pk=pk))
    return redirect("members", project.slug)


def _members_page(
    request: Request, project: Project, form: MemberForm, invitation: InvitationForm | None = None, link: str = ""
) -> HttpResponse:
    context = {
        "project": project,
        "form": form,
        "invitation": invitation or InvitationForm(),
        "link": link,
        "open": project.invitations.open(),
        "lasts": invitations.LASTS.days,
        "memberships": project.memberships.select_related("user", "expertise")
        .prefetch_related("expertise__labels")
        .annotate(n_decisions=Count("user__decisions", filter=Q(user__decisions__document__project=project))),
    }
    return render(request, "labelling/members.html", context)


@require_POST
@manager_view
def remove_member(request: Request, project: Project, pk: int) -> HttpResponse:
    membership = get_object_or_404(project.memberships, pk=pk)
    try:
        services.remove_member(membership)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        told = {"user": membership.user}
        messages.success(request, _("%(user)s is no longer a member. Their decisions stay.") % told)
    if not Project.objects.visible_to(request.user).filter(pk=project.pk).exists():
        return redirect("project_list")
    return redirect("members", project.slug)


def _document_counts(project: Project) -> dict[str, int]:
    """Documents by where their label comes from; ``pool`` has none yet."""
    return kept_of(project, "documents", _counted)


def _counted(project: Project) -> dict[str, int]:
    counts = project.documents.aggregate(total=Count("pk"), holdout=Count("pk", filter=Q(holdout=True)))
    examples = TrainingExample.objects.filter(document__project=project).order_by()
    by_source = dict(examples.values_list("source").annotate(Count("pk")))
    labelled = {source: by_source.get(source, 0) for source in Source.values}
    return counts | labelled | {"pool": counts["total"] - counts["holdout"] - sum(labelled.values())}
