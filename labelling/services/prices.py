"""What models cost, as people enter it, and what a judge still needs before it can be asked."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from labelling.models import Price, Project
from labelling.services import diary


@dataclass(frozen=True)
class Missing:
    """What a judge needs and has not: ``key`` in the environment, ``price`` of its ``model``."""

    model: str
    key: bool
    price: bool


def missing(judge: str, model: str) -> Missing:
    """What is to be done before this judge is of use; ``model`` empty: the site's default."""
    model = model.strip() or settings.JUDGE_MODEL
    if judge != Project.JudgeName.ANTHROPIC:
        return Missing(model, key=False, price=False)
    return Missing(model, key=not settings.HAS_JUDGE_KEY, price=Price.objects.today(model) is None)


@transaction.atomic
def enter(price: Price, project: Project) -> Price:
    """Keep a new price. It holds for the whole site; those that were entered before stay as they are."""
    price.save(force_insert=True)
    told = {"input": price.input, "output": price.output, "from": price.valid_from, "source": price.source}
    diary.write(diary.Act.PRICE, project, price.model, after=told)
    return price
