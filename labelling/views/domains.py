"""What a reviewer gets from the queue, and what only people decide on."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from labelling.forms import DomainForm
from labelling.models import Expertise, Membership, PeopleOnly, Project
from labelling.services import domains
from labelling.views.access import Request, manager_view


@manager_view
def expertise(request: Request, project: Project, pk: int) -> HttpResponse:
    """Limit a reviewer to labels or to values of the metadata."""
    reviewers = project.memberships.filter(role=Membership.Role.REVIEWER).select_related("user", "project")
    membership = get_object_or_404(reviewers, pk=pk)
    known = Expertise.objects.filter(membership=membership).first()
    form = DomainForm(request.POST or None, project=project, domain=known)
    if request.method == "POST" and form.is_valid():
        domains.limit(membership, **form.cleaned_data)
        messages.success(request, _("Saved: what %(user)s gets from the queue.") % {"user": membership.user})
        return redirect("members", project.slug)
    context = {"project": project, "form": form, "membership": membership}
    return render(request, "labelling/expertise.html", context)


@manager_view
def people_only(request: Request, project: Project) -> HttpResponse:
    """Leave documents to people: counted first, and done once that count is confirmed."""
    rule = PeopleOnly.objects.filter(project=project).first()
    form = DomainForm(request.POST or None, project=project, domain=rule)
    n = n_settled = None
    if request.method == "POST" and form.is_valid():
        documents = domains.documents_of(project, **form.cleaned_data)
        n, n_settled = documents.pool().count(), domains.settled_of(project, **form.cleaned_data).count()
        if request.POST.get("confirmed") == str(n):
            domains.leave_to_people(project, **form.cleaned_data)
            messages.success(request, _("Saved. It holds from the next round on."))
            return redirect("people_only", project.slug)
    context = {"project": project, "form": form, "rule": rule, "n": n, "n_settled": n_settled}
    return render(request, "labelling/people_only.html", context)
