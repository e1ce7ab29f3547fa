"""Programs that are told what happens."""

from datetime import datetime
from typing import Annotated, Any

from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema, Status
from pydantic import Field, StringConstraints

from labelling.api.access import MANAGE, Request
from labelling.api.fields import Key, Storable
from labelling.api.paging import Page, PlaceInQuery, page
from labelling.models import Event
from labelling.services import webhooks as services

router = Router()

WebhookKey = Annotated[Key, Path()]
Address = Annotated[Storable, StringConstraints(pattern="^https?://", max_length=500)]


class NewWebhook(Schema):
    """Where a program listens, and of which kinds of events it is told."""

    address: Address
    kinds: Annotated[list[Event.Kind], Field(min_length=1)]


class ShownWebhook(Schema):
    """A webhook; paused since ``paused_at``, where nothing has arrived for a day."""

    id: int
    address: str
    kinds: list[str]
    created_at: datetime
    paused_at: datetime | None


class AddedWebhook(ShownWebhook):
    """``secret``: what signatures are made with; it is told this once."""

    secret: str


@router.get("/{slug}/webhooks", response=Page[ShownWebhook], auth=MANAGE)
def list_webhooks(request: Request, slug: str, place: PlaceInQuery) -> dict[str, Any]:
    """All webhooks."""
    return page(request.project.webhooks.all(), place, ShownWebhook.from_orm)


# Without a key against repetition: the answer, which holds the secret, would have to be kept.
@router.post("/{slug}/webhooks", response={201: AddedWebhook}, auth=MANAGE)
def add_webhook(request: Request, slug: str, body: NewWebhook) -> Status:
    """Have events of some kinds posted to an address."""
    webhook, secret = services.add(request.project, request.auth.user, body.address, body.kinds)
    return Status(201, AddedWebhook(secret=secret, **ShownWebhook.from_orm(webhook).model_dump()))


@router.delete("/{slug}/webhooks/{pk}", response={204: None}, auth=MANAGE)
def remove_webhook(request: Request, slug: str, pk: WebhookKey) -> Status:
    """Post nothing more to an address."""
    services.remove(get_object_or_404(request.project.webhooks, pk=pk))
    return Status(204, None)
