"""Labels for new texts."""

from typing import Annotated

from ninja import Router, Schema
from pydantic import Field

from labelling.api.access import READ, Request, check_manages
from labelling.api.documents import NamedLabel
from labelling.api.fields import Words
from labelling.models import Certificate, Label
from labelling.services import documents
from labelling.services import suggesting as services

router = Router()


class Texts(Schema):
    """``queue``: bring the uncertain ones into the project, where the next round lays them out for people."""

    texts: Annotated[list[Annotated[Words, Field(min_length=1)]], Field(min_length=1, max_length=services.MAX_TEXTS)]
    queue: bool = False


class Promise(Schema):
    """What is promised of the project's labels: at most ``limit`` of them are wrong, with the probability ``level``."""

    limit: float
    level: float
    audits: int
    threshold: float


class Suggestion(Schema):
    """``certified``: as sure as the labels that the promise covers; else ask a person."""

    label: NamedLabel | None
    probability: float
    second: NamedLabel | None
    second_probability: float
    certified: bool


class Suggestions(Schema):
    """In the order of the texts. ``model``: the round whose model it is. ``queued``: the import of uncertain texts."""

    model: int
    release: int | None
    promise: Promise | None
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
        suggestions=[_shown(suggestion) for suggestion in answer.suggestions],
        queued=_queue(request, body.texts, answer) if body.queue else None,
    )


def _queue(request: Request, texts: list[str], answer: services.Answer) -> int | None:
    uncertain = [
        documents.NewText(text, "", "", {})
        for text, suggestion in zip(texts, answer.suggestions, strict=True)
        if not suggestion.certified
    ]
    return documents.add(request.project, uncertain, request.auth.user).pk if uncertain else None


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
