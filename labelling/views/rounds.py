"""Rounds: start, watch, stop, look back."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from labelling.models import Project, Query, Round, Verdict
from labelling.services import audits, changes, definitions, ledger, queueing
from labelling.services import rounds as services
from labelling.services.buying import bought
from labelling.services.progress import round_scores
from labelling.views.access import Request, attempt, manager_view, number, project_view, sorted_by

# A row is a line, on a phone two: a page of them takes less than three screens.
PER_PAGE = 30
SORTS = {"rank": ("rank", "pk"), "label": ("label__name", "rank", "pk"), "probability": ("probability", "pk")}


@require_POST
@manager_view
def start(request: Request, project: Project) -> HttpResponse:
    attempt(request, services.start_round, project, request.user)
    return redirect(project)


@require_POST
@manager_view
def ask_again(request: Request, project: Project) -> HttpResponse:
    """Ask about stale verdicts again, of the label that is named or of all."""
    label = project.labels.filter(pk=number(request.POST.get("label", ""))).first()
    attempt(request, definitions.ask_again, project, request.user, label)
    return redirect(project)


@project_view
def progress(request: Request, project: Project) -> HttpResponse:
    """How far the active round is; when the round that a page shows has ended, the page is loaded again."""
    round_ = project.active_round
    compact = "compact" in request.GET
    if not compact and (round_ is None or request.GET.get("round") != str(round_.number)):
        return HttpResponseClientRefresh()
    template = "labelling/_round_status.html" if compact else "labelling/_round_progress.html"
    context: dict[str, object] = {
        "project": project,
        "round": round_,
        "is_manager": project.is_managed_by(request.user),
    }
    if round_ and round_.step == Round.Step.JUDGE and not compact:
        context["spent"] = ledger.spent(project, round_)
    return render(request, template, context)


@project_view
def detail(request: Request, project: Project, number: int) -> HttpResponse:
    round_ = get_object_or_404(project.rounds, number=number)
    verdict, reason = request.GET.get("verdict", ""), request.GET.get("reason", "")
    sort = sorted_by(request, SORTS)
    queries = _queries(round_, verdict, reason).order_by(*SORTS[sort])
    context = {
        "project": project,
        "is_manager": project.is_managed_by(request.user),
        "round": round_,
        "spent": ledger.spent(project, round_),
        "bought": bought(round_),
        "trial": audits.tried(round_),
        "may_go_on": round_.state in services.STOPPED,
        "changes": changes.of_round(round_),
        "score": next((score for score in round_scores(project) if score.round == round_), None),
        "steps": [(label, round_.seconds[step]) for step, label in Round.Step.choices if step in round_.seconds],
        "page": Paginator(queries, PER_PAGE).get_page(request.GET.get("page")),
        "verdict": verdict,
        "reason": reason,
        "sort": sort,
        "reasons": Query.Reason.choices,
        "verdicts": [*Verdict.Name.choices, ("failed", _("No answer"))],
    }
    return render(request, "labelling/round.html", context)


@project_view
def latest_changes(request: Request, project: Project) -> HttpResponse:
    """To the page that tells what the last decisions changed."""
    latest = changes.latest(project)
    if latest is None:
        messages.info(request, _("Nothing to compare yet: decisions show their effect from the second round on."))
        return redirect(project)
    return redirect(reverse("round", args=[project.slug, latest]) + "#changes")


def _queries(round_: Round, verdict: str, reason: str) -> QuerySet[Query]:
    """What a round asked; verdicts on audits that wait for their person are not told, nor looked for."""
    audits_waiting = audits.waiting(round_.project).filter(document=OuterRef("document"))
    queries = round_.queries.annotate(is_blind=Exists(audits_waiting)).select_related(
        "document", "label", "verdict__better_label", "judge_failure"
    )
    if reason:
        queries = queries.filter(reason=reason)
    if verdict == "failed":
        queries = queries.exclude(judge_failure=None)
    elif verdict:
        queries = queries.filter(verdict__verdict=verdict, is_blind=False)
    # That the judge was asked about a further label tells that it refused the one before.
    return queries.exclude(Q(reason=Query.Reason.DELEGATED) & Q(is_blind=True))


@require_POST
@manager_view
def cancel(request: Request, project: Project, number: int) -> HttpResponse:
    attempt(request, queueing.cancel, get_object_or_404(project.rounds, number=number))
    return redirect(project)


@require_POST
@manager_view
def go_on(request: Request, project: Project, number: int) -> HttpResponse:
    attempt(request, services.go_on, get_object_or_404(project.rounds, number=number))
    return redirect(project)


@require_POST
@manager_view
def agree(request: Request, project: Project, number: int) -> HttpResponse:
    attempt(request, services.agree, get_object_or_404(project.rounds, number=number))
    return redirect("round", project.slug, number)


@require_POST
@manager_view
def stop_asking(request: Request, project: Project, number: int) -> HttpResponse:
    attempt(request, services.stop_asking, get_object_or_404(project.rounds, number=number))
    return redirect("round", project.slug, number)


@require_POST
@manager_view
def retry_judge(request: Request, project: Project, number: int) -> HttpResponse:
    attempt(request, services.retry_judge, get_object_or_404(project.rounds, number=number))
    return redirect(project)
