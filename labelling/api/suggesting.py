"""Labels for new texts."""

from typing import Annotated

from ninja import Router, Schema
from pydantic import Field

from labelling.api.access import READ, Request, check_manages
from labelling.api.documents import NamedLabel
from labelling.api.fields import Words
from labelling.models import Certificate, DriftLook, Label
from labelling.services import suggesting as services
from labelling.services import watching

router = Router()


class Texts(Schema):
    """``queue``: bring the uncertain ones into the project, where the next round lays them out for people.

    A few of the others come in, too, drawn at random: audits of them tell whether the promise holds for later texts.
    """

    texts: Annotated[list[Annotated[Words, Field(min_length=1)]], Field(min_length=1, max_length=services.MAX_TEXTS)]
    queue: bool = False


class Promise(Schema):
    """What is promised of the project's labels: at most ``limit`` of them are wrong, with the probability ``level``."""

    limit: float
    level: float
    audits: int
    threshold: float


class Drift(Schema):
    """What audits say of texts that came later: at least ``at_least`` of the ``audited`` answers' kind are wrong.

    ``more_wrong``: than was promised, so that nothing is promised any more. ``shifted``: they have other labels.
    """

    audited: int
    wrong: int
    at_least: float
    limit: float
    more_wrong: bool
    shifted: bool


class Suggestion(Schema):
    """``certified``: as sure as the labels that the promise covers; else ask a person."""

    label: NamedLabel | None
    probability: float
    second: NamedLabel | None
    second_probability: float
    certified: bool


class Suggestions(Schema):
    """In the order of the texts. ``model``: the round whose model it is. ``queued``: the import of what comes in."""

    model: int
    release: int | None
    promise: Promise | None
    drift: Drift | None
    suggestions: list[Suggestion]
    queued: int | None


@router.post("/{slug}/suggest", response=Suggestions, auth=READ)
def suggest(request: Request, slug: str, body: Texts) -> Suggestions:
    """Label up to 1,000 texts. Only managers may have the uncertain ones queued."""
    if body.queue:
        check_manages(request)
    answer = services.suggest(request.project, body.texts)
    standing = answer.standing
    return Suggestions(
        model=answer.round_number,
        release=standing.release.number if standing.release else None,
        promise=_promise(standing.certificate, standing.threshold),
        drift=_drift(standing.drift),
        suggestions=[_shown(suggestion) for suggestion in answer.suggestions],
        queued=_queue(request, body.texts, answer) if body.queue else None,
    )


def _queue(request: Request, texts: list[str], answer: services.Answer) -> int | None:
    """Bring the uncertain texts in, and a few of the others, to be audited."""
    watch = watching.Watch(request.project)
    watch.see(answer.certified(texts))
    uncertain = (text for text, one in zip(texts, answer.suggestions, strict=True) if not one.certified)
    queued = watch.bring_in(request.auth.user, uncertain)
    return queued.pk if queued else None


def _drift(look: DriftLook | None) -> Drift | None:
    if look is None:
        return None
    return Drift(
        audited=look.n,
        wrong=look.k,
        at_least=look.at_least,
        limit=look.limit,
        more_wrong=look.is_wrong,
        shifted=look.is_shifted,
    )


def _promise(certificate: Certificate | None, threshold: float | None) -> Promise | None:
    if certificate is None or threshold is None:
        return None
    return Promise(limit=certificate.limit, level=certificate.level, audits=certificate.n, threshold=threshold)


def _shown(found: services.Suggestion) -> Suggestion:
    return Suggestion(
        label=_named(found.label),
        probability=found.probability,
        second=_named(found.second),
        second_probability=found.second_probability,
        certified=found.certified,
    )


def _named(label: Label | None) -> NamedLabel | None:
    return NamedLabel(id=label.pk, name=label.name) if label else None
