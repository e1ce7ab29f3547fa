"""The review page: one document, everything that decides, one key for each decision."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from labelling.models import Decision, Document, GoldAnswer, Habit, Label, Project, Query, QueueEntry
from labelling.services import Refused, claims, flags, gold
from labelling.services import review as services
from labelling.services.evidence import Evidence, what_the_judge_said
from labelling.services.labels import mend
from labelling.services.progress import review_progress
from labelling.services.searching import Found, find_labels, recent_labels
from labelling.views.access import Request, manager_view, number, project_view, searched

Action = Decision.Action

RECENT = 10
# Decisions of one process take turns: threads that compute at once, some of them holding the database's one write lock
# meanwhile, slow each other down to two thirds of the speed.
TURN = threading.Lock()
# Said after each decision, on the page and to screen readers.
DONE = {
    Action.ACCEPT: gettext_lazy("Accepted: %(label)s."),
    Action.OVERRIDE: gettext_lazy("Changed to %(label)s."),
    Action.NONE: gettext_lazy("None of these."),
    Action.SKIP: gettext_lazy("Skipped."),
}
WANTED = {
    Action.ACCEPT: gettext_lazy("Accept: %(label)s"),
    Action.OVERRIDE: gettext_lazy("Change to %(label)s"),
    Action.NONE: gettext_lazy("None of these"),
    Action.SKIP: gettext_lazy("Skip"),
}
SKIP_REASONS = (
    gettext_lazy("The text is unclear"),
    gettext_lazy("More than one label fits"),
    gettext_lazy("The definitions leave it open"),
    gettext_lazy("A colleague knows better"),
)


@dataclass(frozen=True)
class NotSaved:
    """A choice that came too late: about which document, what it was, and what stands in its way."""

    document: Document | None
    choice: str
    because: str


@project_view
def review(request: Request, project: Project) -> HttpResponse:
    """Give the reviewer their next document."""
    return _show_next(request, project)


@require_POST
@project_view
def renew(request: Request, project: Project, entry_id: int) -> HttpResponse:
    """Keep a document that is still open; 409 with the reason when it is somebody else's by now."""
    try:
        claims.renew(project, entry_id, request.user)
    except claims.Conflict as conflict:
        return HttpResponse(str(conflict), status=409, content_type="text/plain")
    return HttpResponse(status=204)


@require_POST
@project_view
def decide(request: Request, project: Project, entry_id: int) -> HttpResponse:
    """Save a decision and go on to the next document."""
    if document := _gold_in_place(request, project, entry_id):
        return _answer_gold(request, project, document)
    action, label = chosen(request, project)
    reason = request.POST.get("reason", "").replace("\0", "").strip()[:500]
    answered_first = request.POST.get("answered") == "first"
    with TURN:
        try:
            decision = services.decide(project, entry_id, request.user, action, label, reason, answered_first)
        except claims.Conflict as conflict:
            not_saved = _not_saved(project, entry_id, action, label, str(conflict))
            return _next(request, project, 409, not_saved=not_saved)
        except Refused as refusal:
            messages.error(request, _("Not saved. %(because)s") % {"because": refusal})
            return _next(request, project, 400)
        messages.success(request, _said(decision))
        return _next(request, project)


@require_POST
@project_view
def answer_gold(request: Request, project: Project, pk: int) -> HttpResponse:
    """Keep what is said of a document whose label is known, say whether it is right, and go on."""
    return _answer_gold(request, project, get_object_or_404(project.documents, pk=pk))


def _gold_in_place(request: Request, project: Project, entry_id: int) -> Document | None:
    """The gold document that a form was shown with in the place of what waits."""
    shown = number(request.POST.get("document", ""))
    if not shown or project.queue.filter(pk=entry_id, document=shown).exists():
        return None
    return project.documents.filter(pk=shown, gold__isnull=False).first()


def _answer_gold(request: Request, project: Project, document: Document) -> HttpResponse:
    action, label = chosen(request, project)
    try:
        answer = gold.answer(document, request.user, action, label)
    except Refused as refusal:
        messages.error(request, _("Not saved. %(because)s") % {"because": refusal})
        return _next(request, project, 400)
    if not request.htmx:
        return redirect(f"{reverse('review', args=[project.slug])}?told={answer.pk}")
    return _show_next(request, project, told=answer)


@require_POST
@project_view
def undo(request: Request, project: Project) -> HttpResponse:
    """Withdraw one of the reviewer's decisions, by default the last one they saw, and show its document again."""
    undone = services.undo(project, request.user, number(request.POST.get("decision", "")))
    if undone:
        messages.success(request, _("Undone: %(decision)s.") % {"decision": undone})
    else:
        messages.warning(request, _("There is nothing to undo."))
    return _next(request, project)


@require_POST
@project_view
def flag(request: Request, project: Project, pk: int) -> HttpResponse:
    """Keep a remark with the document; the decision on it is still to be taken."""
    document = get_object_or_404(project.documents, pk=pk)
    try:
        flags.flag(document, request.user, request.POST.get("comment", ""))
    except Refused as refusal:
        messages.error(request, _("Not saved. %(because)s") % {"because": refusal})
        return _next(request, project, 400)
    messages.success(request, _("Flagged. It waits for your decision still."))
    return _next(request, project)


@require_POST
@manager_view
def mend_definition(request: Request, project: Project, pk: int) -> HttpResponse:
    """Write the next version of a definition, beside the document that showed what is missing in it."""
    label = get_object_or_404(project.labels, pk=pk)
    text = request.POST.get("definition", "").replace("\0", "").replace("\r\n", "\n")
    try:
        mend(label, text, request.user, number(request.POST.get("version", "")))
    except Refused as refusal:
        messages.error(request, _("Not saved. %(because)s") % {"because": refusal})
        return _show_next(request, project, 409, mended=text)
    messages.success(request, _("Saved: what “%(label)s” means.") % {"label": label})
    return _next(request, project)


@require_POST
@project_view
def keys(request: Request, project: Project) -> HttpResponse:
    """Turn the keys on or off, for this person and for good."""
    Habit.objects.update_or_create(user=request.user, defaults={"keys": request.POST.get("keys") == "on"})
    return redirect("review", project.slug)


@project_view
def search_labels(request: Request, project: Project) -> HttpResponse:
    """Labels that match a few words, best first; without words, the reviewer's recent ones and the best guesses."""
    waiting = project.queue.filter(pk=number(request.GET.get("entry", ""))).select_related("query").first()
    shown = (gold.in_place_of(waiting, request.user) or waiting) if waiting else None
    found = _found(request, project, searched(request), shown)
    return render(request, "labelling/_label_results.html", {"project": project, "found": found})


def chosen(request: Request, project: Project) -> tuple[str, Label | None]:
    """The answer that a form sends, "none", "accept:7" or "override:7", and the label that it names."""
    action, _colon, label_id = request.POST.get("choice", "").partition(":")
    if not label_id:
        return action, None
    label = project.labels.filter(pk=number(label_id)).first()
    # Nobody accepts another label than the one they were shown.
    return action if label else Action.OVERRIDE, label


def _said(decision: Decision) -> str:
    if decision.answered_first and decision.action in Decision.LABELLING:
        words = [_answered(decision)]
    else:
        words = [str(DONE[Action(decision.action)] % {"label": decision.label})]
    blind = decision.query and (decision.query.is_audit or decision.answered_first)
    if not blind or decision.action not in Decision.LABELLING:
        return words[0]
    if decision.query and decision.query.is_audit:
        words.append(_("That was an audit."))
    if decision.query and decision.query.round.has_judge:
        words.append(what_the_judge_said(decision.document_id))
    return " ".join(words)


def _answered(decision: Decision) -> str:
    """The answer of somebody who had not seen the machine's word, and that word."""
    told = {"label": decision.label or _("none of these")}
    if decision.action == Action.ACCEPT:
        return _("Answered: %(label)s. The machine says the same.") % told
    told["predicted"] = Label.objects.get(pk=decision.query.predicted_id) if decision.query else "–"
    return _("Answered: %(label)s. The machine says %(predicted)s.") % told


def _not_saved(project: Project, entry_id: int, action: str, label: Label | None, because: str) -> NotSaved:
    query = Query.objects.filter(round__project=project, queue_entry=entry_id).first()
    decided = Decision.objects.filter(document__project=project, entry=entry_id).first()
    query = query or (decided.query if decided else None)
    chosen = label or (Label.objects.get(pk=query.predicted_id) if query else None)
    choice = str(WANTED[Action(action)] % {"label": chosen}) if action in WANTED else action
    return NotSaved(query.document if query else None, choice, because)


def _next(request: Request, project: Project, status: int = 200, not_saved: NotSaved | None = None) -> HttpResponse:
    if not request.htmx and status == 200:
        return redirect("review", project.slug)
    return _show_next(request, project, status, not_saved)


def _show_next(
    request: Request,
    project: Project,
    status: int = 200,
    not_saved: NotSaved | None = None,
    mended: str | None = None,
    told: GoldAnswer | None = None,
) -> HttpResponse:
    standing = services.standing_decisions(project, request.user).select_related("document", "label")
    recent = list(standing.only("action", "document__text", "label__code", "label__name")[:RECENT])
    # Who has decided on anything is done with practice.
    practice = None if recent else gold.practice(project, request.user)
    entry = None if practice else claims.claim_next(project, request.user)
    question = practice or (gold.in_place_of(entry, request.user) if entry else None)
    query = searched(request)
    evidence = question or (Evidence.of(entry.query) if entry else None)
    shown = question or entry
    last_round = project.last_round
    progress = review_progress(entry.query.round, last_round) if entry else None
    many_wait = progress is not None and progress.left is None
    context = {
        "project": project,
        "entry": shown,
        "practice": practice,
        "told": told or _told(request, project),
        "decide_url": _decide_url(project, entry, practice),
        "evidence": evidence,
        "progress": progress,
        "active_round": last_round if last_round and last_round.is_active else None,
        "flags": flags.standing_on(shown.document_id) if shown else [],
        "skip_reasons": SKIP_REASONS,
        "not_saved": not_saved,
        "renewal": claims.renewal(project),
        "n_for_me": claims.MANY if many_wait else claims.n_available(project, request.user),
        "many": claims.MANY,
        # Told only when nothing is left for this reviewer.
        "n_waiting": 0 if shown else project.queue.count(),
        "recent": recent,
        "query": query,
        "found": _found(request, project, query, shown) if query and shown else Found(),
        "is_manager": project.is_managed_by(request.user),
        "mended": "" if "mend" in request.GET else mended,
        "keys": not Habit.objects.filter(user=request.user, keys=False).exists(),
        "compared": "compare" in request.GET,
    }
    template = "labelling/_review.html" if request.htmx else "labelling/review.html"
    return render(request, template, context, status=status)


def _decide_url(project: Project, entry: QueueEntry | None, practice: gold.Question | None) -> str:
    if practice:
        return reverse("answer_gold", args=[project.slug, practice.document_id])
    return reverse("decide", args=[project.slug, entry.pk]) if entry else ""


def _told(request: Request, project: Project) -> GoldAnswer | None:
    """The answer to a gold document that was given just now, without JavaScript."""
    if "told" not in request.GET:
        return None
    answers = GoldAnswer.objects.filter(reviewer=request.user, document__project=project)
    answers = answers.select_related("document__example__label", "label")
    return answers.filter(pk=number(request.GET["told"])).first()


def _found(request: Request, project: Project, query: str, shown: QueueEntry | gold.Question | None) -> Found:
    """What a search finds; the machine's guesses come first unless its word is still to be hidden."""
    told = shown.query if shown and not shown.answer_first else None
    guesses = [label_id for label_id, _probability in told.candidates] if told else []
    return find_labels(project, query, guesses, recent_labels(project, request.user))
