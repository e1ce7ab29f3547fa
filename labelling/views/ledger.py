"""The ledger: what was asked of language models, and what it cost."""

from __future__ import annotations

from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Exists, F, OrderBy, OuterRef, QuerySet
from django.http import HttpResponse
from django.shortcuts import render

from labelling.models import Call, Price, Project
from labelling.services import audits, ledger, prices
from labelling.views.access import Request, manager_view, number, sorted_by

PER_PAGE = 30
# Calls of which the cost or the time is not known come last.
SORTS: dict[str, tuple[OrderBy, ...]] = {
    "time": (F("pk").desc(),),
    "cost": (F("cost").desc(nulls_last=True), F("pk").desc()),
    "seconds": (F("latency").desc(nulls_last=True), F("pk").desc()),
}


@manager_view
def call_list(request: Request, project: Project) -> HttpResponse:
    state, round_number = request.GET.get("state", ""), request.GET.get("round", "")
    sort = sorted_by(request, SORTS)
    calls = _calls(project, state, round_number).order_by(*SORTS[sort])
    model = project.judge_model or settings.JUDGE_MODEL
    context = {
        "project": project,
        "spent": ledger.spent(project),
        "page": Paginator(calls, PER_PAGE).get_page(request.GET.get("page")),
        "state": state,
        "sort": sort,
        "states": Call.State.choices,
        "round_number": round_number,
        "rounds": project.rounds.filter(calls__isnull=False).distinct(),
        "model": model,
        "price": Price.objects.today(model),
        "needs": prices.missing(project.judge, project.judge_model),
    }
    return render(request, "labelling/ledger.html", context)


def _calls(project: Project, state: str, round_number: str) -> QuerySet[Call]:
    # That a further label of an audit was asked about would tell that the judge refused the one before.
    blind = audits.waiting(project).filter(document=OuterRef("query__document"))
    calls = project.calls.select_related("round", "label", "query__document").defer("answer")
    calls = calls.annotate(is_blind=Exists(blind))
    if state:
        calls = calls.filter(state=state)
    return calls.filter(round__number=number(round_number)) if round_number else calls
