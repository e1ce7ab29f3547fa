"""Rounds."""

from typing import Annotated, Any, Literal

from django.shortcuts import get_object_or_404
from ninja import Path, Router

from labelling.api.access import MANAGE, READ, Request
from labelling.api.adding import KEYED, added
from labelling.api.fields import Number
from labelling.api.jobs import Job
from labelling.api.paging import Page, PlaceInQuery, page
from labelling.models import Round
from labelling.services import queueing
from labelling.services import rounds as services

router = Router()

RoundNumber = Annotated[Number, Path()]
STEPS = {
    "agree": services.agree,
    "cancel": queueing.cancel,
    "go-on": services.go_on,
    "stop-asking": services.stop_asking,
}


class ShownRound(Job):
    """A round; waiting: a manager has to agree to what its forecast says."""

    number: int
    training_examples: int | None
    pool: int | None
    uncertain: int | None
    laid_out: int
    holdout_size: int | None
    holdout_accuracy: float | None
    forecast: dict[str, Any]
    learning_over: str
    stop_reason: str


@router.get("/{slug}/rounds", response=Page[ShownRound], auth=READ)
def list_rounds(request: Request, slug: str, place: PlaceInQuery) -> dict[str, Any]:
    """All rounds."""
    return page(request.project.rounds.all(), place, ShownRound.from_orm)


@router.post("/{slug}/rounds", response={201: ShownRound}, auth=MANAGE, openapi_extra=KEYED)
@added
def start_round(request: Request, slug: str) -> ShownRound:
    """Start the next round."""
    return ShownRound.from_orm(services.start_round(request.project, request.auth.user))


@router.get("/{slug}/rounds/{number}", response=ShownRound, auth=READ)
def get_round(request: Request, slug: str, number: RoundNumber) -> Round:
    """How far a round is."""
    return get_object_or_404(request.project.rounds, number=number)


@router.post("/{slug}/rounds/{number}/{step}", response=ShownRound, auth=MANAGE)
def steer_round(
    request: Request, slug: str, number: RoundNumber, step: Literal["agree", "cancel", "go-on", "stop-asking"]
) -> Round:
    """Agree to what a round's forecast says, cancel it, let it go on, or have it stop asking the judge."""
    round_ = get_object_or_404(request.project.rounds, number=number)
    STEPS[step](round_)
    round_.refresh_from_db()
    return round_
