"""Drafts of definitions: have them made, decide on them, and know which verdicts saw an older version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import Draft, Drafting, Label, Project, Query, Round, Verdict
from labelling.services import Refused, audits, diary, labels, nowhere, queueing, rounds
from labelling.services.counting import kept_of

State = Drafting.State
NOTHING_WANTED: Mapping[str, object] = {
    Drafting.Scope.UNDEFINED: gettext_lazy("Every label has an approved definition."),
    Drafting.Scope.NOWHERE: gettext_lazy("No proposed label is without a draft."),
}

# Verdicts from before examples of a label came from, or went to, another one.
MEANT_SOMETHING_ELSE = Q(created_at__lt=F("query__label__since")) | Q(created_at__lt=F("better_label__since"))


def start_drafting(project: Project, user: User | None, scope: str, model: str, chosen: Iterable[int] = ()) -> Drafting:
    """Have the forecast made for drafting these labels' definitions; nothing is spent yet.

    Of proposed labels, which is a scope of its own, names and definitions.

    Raises:
        Refused: when no label is meant, or a drafting of this project has not ended.
    """
    drafts = _wanted(project, scope, chosen)
    if not drafts:
        raise Refused(str(NOTHING_WANTED.get(scope, _("Choose a label."))))
    if unfinished := project.draftings.filter(state__in=[*Drafting.ACTIVE, State.WAITING, State.PAUSED]).first():
        state = unfinished.get_state_display()
        told = {"state": state[0].lower() + state[1:]}
        raise Refused(_("Definitions are being drafted already (%(state)s).") % told)
    try:
        with transaction.atomic():
            drafting = Drafting.objects.create(project=project, created_by=user, scope=scope, model=model)
            for draft in drafts:
                draft.drafting = drafting
            Draft.objects.bulk_create(drafts)
            queueing.enqueue(drafting)
    except IntegrityError as error:
        # Two people at once: the database lets one active drafting a project through.
        raise Refused(_("Definitions are being drafted already.")) from error
    return drafting


def _wanted(project: Project, scope: str, chosen: Iterable[int]) -> list[Draft]:
    if scope == Drafting.Scope.NOWHERE:
        return [Draft(proposal=proposal) for proposal in nowhere.undrafted(project)]
    return [Draft(label=label) for label in labels_of(project, scope, chosen)]


def labels_of(project: Project, scope: str, chosen: Iterable[int] = ()) -> QuerySet[Label]:
    """The labels that a scope means."""
    if scope == Drafting.Scope.UNDEFINED:
        return project.labels.in_use().filter(definition="")
    return project.labels.filter(pk__in=list(chosen)) if scope == Drafting.Scope.CHOSEN else project.labels.in_use()


def go_on(drafting: Drafting) -> None:
    """Agree to the forecast, or go on with a drafting that stopped halfway.

    Raises:
        Refused: when there is nothing to go on with, or another drafting is active.
    """
    if drafting.state not in (State.WAITING, State.PAUSED, State.FAILED, State.CANCELLED):
        raise Refused(_("It is running, or has ended."))
    if not drafting.drafts.filter(state=Draft.State.WAITING).exists():
        raise Refused(_("Nothing is left to draft."))
    agreed = bool(drafting.forecast) and drafting.confirmed_at is None
    if agreed:
        drafting.confirmed_at = timezone.now()
    _enqueue(drafting)
    if agreed:
        diary.write(diary.Act.SPENDING_AGREED, drafting.project, drafting)


def retry_failed(drafting: Drafting) -> None:
    """Draft again what failed.

    Raises:
        Refused: when nothing failed, or a drafting of the project is active.
    """
    with transaction.atomic():
        failed = drafting.drafts.filter(state=Draft.State.FAILED)
        if drafting.is_active or not failed.update(state=Draft.State.WAITING, reason=""):
            raise Refused(_("Nothing failed, or it is running already."))
        _enqueue(drafting)


def _enqueue(drafting: Drafting) -> None:
    try:
        with transaction.atomic():
            queueing.enqueue(drafting)
    except IntegrityError as error:
        raise Refused(_("Other definitions are being drafted already.")) from error


@transaction.atomic
def approve(draft: Draft, user: User, text: str | None = None) -> None:
    """Make a draft of a label, or what a person made of it, the label's next definition.

    Raises:
        Refused: when somebody decided on it before, or the text is empty.
    """
    text = draft.text if text is None else text.strip()
    if not text:
        raise Refused(_("The definition is empty. Reject the draft if the label needs none."))
    _decide(draft, user, Draft.State.APPROVED)
    draft.definition = labels.define(cast("Label", draft.label), text, user)
    draft.save(update_fields=["definition"])


@transaction.atomic
def reject(draft: Draft, user: User) -> None:
    """Throw a draft away; the label keeps the definition it has.

    Raises:
        Refused: when somebody decided on it before.
    """
    _decide(draft, user, Draft.State.REJECTED)


@transaction.atomic
def approve_all(proposed: QuerySet[Draft], user: User) -> int:
    """Approve drafts as they are, and return how many; those that were overtaken are left for a closer look."""
    ready = proposed.exclude(pk__in=overtaken(proposed)).select_related("label")
    for draft in ready:
        approve(draft, user)
    return len(ready)


def overtaken(proposed: QuerySet[Draft]) -> QuerySet[Draft]:
    """Drafts whose label was defined anew since they were made."""
    return proposed.exclude(definition_version=F("label__definition_version"))


def stale(project: Project) -> QuerySet[Verdict]:
    """The last verdicts on documents without a label that saw an older definition than there is now.

    The offline judge reads no definitions. Audits that wait for their person are left alone: their verdict is to be
    measured as it is.
    """
    newer = Verdict.objects.filter(
        Q(query__label=OuterRef("query__label")) | Q(query__form=Query.Form.CHOOSE),
        query__document=OuterRef("query__document"),
        pk__gt=OuterRef("pk"),
    )
    blind = audits.waiting(project).filter(document=OuterRef("query__document"))
    given = Verdict.objects.filter(query__round__project=project, query__document__example=None)
    given = given.filter(query__label__retired_at=None).exclude(judge="neighbours")
    outdated = given.filter(~Q(definition_version=F("query__label__definition_version")) | MEANT_SOMETHING_ELSE)
    return outdated.filter(~Exists(newer), ~Exists(blind), query__document__holdout=False)


def meant_as_now(verdicts: QuerySet[Verdict]) -> QuerySet[Verdict]:
    """Without those that say nothing of what their label means now."""
    return verdicts.exclude(pk__in=verdicts.order_by().filter(MEANT_SOMETHING_ELSE).values("pk"))


def stale_counts(project: Project) -> dict[Label, int]:
    """How many verdicts saw an older definition, by label, those with most first; of a large project see counting."""
    counts = kept_of(project, "stale", _counted)
    labels = Label.objects.in_bulk(counts)
    return {labels[label_id]: n for label_id, n in counts.items() if label_id in labels}


def _counted(project: Project) -> dict[int, int]:
    outdated = stale(project).order_by().values_list("query__label").annotate(n=Count("pk"))
    return dict(outdated.order_by("-n"))


def ask_again(project: Project, user: User | None, label: Label | None = None) -> Round:
    """Start a round that asks about the stale verdicts again, of one label or of all; its forecast comes first.

    Raises:
        Refused: when there are none, the project's judge reads no definitions, or no round can start.
    """
    if project.judge == Project.JudgeName.NEIGHBOURS:
        raise Refused(
            _("The judge in use reads no definitions: it would answer the same. Choose a language model first.")
        )
    labels = [label] if label else project.labels.all()
    found = sorted(set(stale(project).filter(query__label__in=labels).values_list("query__label", flat=True)))
    if not found:
        raise Refused(_("No verdict saw an older definition."))
    return rounds.start_round(project, user, ask_again=found)


def _decide(draft: Draft, user: User, state: str) -> None:
    decided = {"state": state, "decided_by": user, "decided_at": timezone.now()}
    if not Draft.objects.filter(pk=draft.pk, state=Draft.State.PROPOSED).update(**decided):
        raise Refused(_("Somebody has decided on this draft already, or a newer one has taken its place."))
    for name, value in decided.items():
        setattr(draft, name, value)
