"""The books: no call leaves without a row and a budget, and every row says what became of its call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext_noop

from labelling.models import Call, Price, Project, Round, Total
from labelling.models.sentences import Sentence
from labelling.models.sentences import Sentence as _
from labelling.services import Refused

State = Call.State

AT_ROUND_CAP = gettext_noop(
    "The round's cap of $%(cap)s is reached: $%(spent)s are spent and the next call may cost up to $%(next)s. Raise it "
    "in the project's settings, then go on."
)
AT_PROJECT_CAP = gettext_noop(
    "The project's cap of $%(cap)s is reached: $%(spent)s are spent and the next call may cost up to $%(next)s. Raise "
    "it in the project's settings, then go on."
)

# What a call's row can hold, so that totals are what the rows add up to.
SMALLEST = Decimal("1e-8")


class OverBudget(Refused):
    """The call could cost more than a cap leaves. Calls in flight may cost less than feared and leave room."""


@transaction.atomic
def reserve(call: Call, prompt_tokens: int, output_tokens: int, in_batch: bool = False) -> Call:
    """Write the row of a call that is about to leave, while the caps leave room for the most that it can cost.

    Args:
        call: unsaved; with project, purpose, model and fingerprint, and a round, query or label where it has one.
        prompt_tokens: of the prompt, at most.
        output_tokens: of the answer, at most.
        in_batch: whether it is paid at the batch price.

    Raises:
        OverBudget: when a cap leaves too little room.
        Refused: when there is a cap and the model has no price.
    """
    # Everybody who spends on this project takes turns.
    project = Project.objects.select_for_update().get(pk=call.project_id)
    price = Price.objects.today(call.model)
    call.ceiling = price.ceiling(prompt_tokens, output_tokens, in_batch).quantize(SMALLEST) if price else None
    totals = dict(project.totals.values_list("round", "at_most"))
    _stay_within(project.project_cap, sum(totals.values(), Decimal(0)), call, AT_PROJECT_CAP)
    if call.round_id:
        _stay_within(project.round_cap, totals.get(call.round_id, Decimal(0)), call, AT_ROUND_CAP)
    call.save()
    if call.round_id not in totals:
        Total.objects.create(project=project, round_id=call.round_id)
    _add(call, call.ceiling)
    return call


def finish(
    call: Call, usage: Mapping[str, int], answer: Mapping[str, Any] | None = None, error: str = "", **values: object
) -> None:
    """Write what a call took.

    Args:
        usage: tokens by the names of Call's four fields.
        answer: what the model said; None for a call that failed.
        error: why it failed, for people.
        values: other fields of the row: request_id, latency, answered_by.
    """
    price = Price.objects.today(call.model)
    _close(
        call,
        _cost(price, usage, in_batch=call.batch_id is not None),
        state=State.FAILED if error else State.DONE,
        answer=answer,
        error=error,
        **usage,
        **values,
    )


def lose(calls: QuerySet[Call], reason: str) -> int:
    """Write off calls whose answer will never be known: they may have been paid for. Return how many."""
    in_flight = calls.filter(state=State.IN_FLIGHT)
    return in_flight.update(state=State.LOST, error=reason, ended_at=timezone.now())


def answered(fingerprint: str) -> Call | None:
    """The newest call that got an answer to the very same question."""
    return Call.objects.filter(fingerprint=fingerprint, state=State.DONE).order_by("-pk").first()


@dataclass(frozen=True)
class Spent:
    """What calls took.

    Attributes:
        n: by state, how many calls.
        cost: what is known, in US dollars.
        at_most: with lost calls and those in flight at their ceiling.
        prompt_tokens, cached_tokens, output_tokens: of all prompts, of those the part found in the cache, of answers.
        unpriced: answered calls whose model had no price.
        cap: in US dollars, None for no cap.
    """

    n: Mapping[str, int]
    cost: Decimal
    at_most: Decimal
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    unpriced: int
    cap: Decimal | None

    @property
    def calls(self) -> int:
        return sum(self.n.values())

    @property
    def cached_share(self) -> float | None:
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None

    @property
    def left(self) -> Decimal | None:
        """What the cap leaves, in US dollars; None for no cap."""
        return None if self.cap is None else max(self.cap - self.at_most, Decimal(0))

    @property
    def percent_of_cap(self) -> int | None:
        """Share of the cap that is used, 0 to 100."""
        return None if self.cap is None else min(100, round(100 * self.at_most / self.cap)) if self.cap else 100


def spent(project: Project, round_: Round | None = None) -> Spent:
    """What calls took so far, of a project or of one of its rounds."""
    calls = Call.objects.filter(round=round_) if round_ else Call.objects.filter(project=project)
    found = calls.aggregate(
        **{state.name: Count("pk", filter=Q(state=state)) for state in State},
        fresh=Sum("input_tokens"),
        cached_tokens=Sum("cache_read_tokens"),
        written=Sum("cache_write_tokens"),
        output_tokens=Sum("output_tokens"),
        unpriced=Count("pk", filter=Q(state=State.DONE, cost=None)),
    )
    tokens = {name: found[name] or 0 for name in ("fresh", "cached_tokens", "written", "output_tokens")}
    return Spent(
        n={state.value: found[state.name] for state in State},
        cost=calls.known_cost(),
        at_most=calls.at_most(),
        prompt_tokens=tokens["fresh"] + tokens["cached_tokens"] + tokens["written"],
        cached_tokens=tokens["cached_tokens"],
        output_tokens=tokens["output_tokens"],
        unpriced=found["unpriced"],
        cap=project.round_cap if round_ else project.project_cap,
    )


def _add(call: Call, amount: Decimal | None) -> None:
    """Add to what the calls of its round, or of its project outside rounds, have cost at most."""
    if amount:
        total = Total.objects.filter(project=call.project_id, round=call.round_id)
        total.update(at_most=F("at_most") + amount)


def _stay_within(cap: Decimal | None, at_most: Decimal, call: Call, reached: str) -> None:
    if cap is None:
        return
    if call.ceiling is None:
        unpriced = _(
            "No price is known for the model “%(model)s”, so the cap can't be kept: enter it under “Known prices” in "
            "the project's settings, or remove the cap there."
        )
        raise Refused(unpriced % {"model": call.model})
    if at_most + call.ceiling > cap:
        told = {"cap": f"{cap:f}", "spent": f"{at_most:.4f}", "next": f"{call.ceiling:.4f}"}
        raise OverBudget(Sentence(reached, told))


def _cost(price: Price | None, usage: Mapping[str, int], in_batch: bool) -> Decimal | None:
    if not any(usage.values()):
        return Decimal(0)
    return price.cost(**usage, in_batch=in_batch).quantize(SMALLEST) if price else None


@transaction.atomic
def _close(call: Call, cost: Decimal | None, **values: object) -> None:
    # A call that was given up for lost may come back after all.
    unknown = Call.objects.filter(pk=call.pk, state__in=[State.IN_FLIGHT, State.LOST])
    if unknown.update(ended_at=timezone.now(), cost=cost, **values) and cost is not None:
        _add(call, cost - (call.ceiling or 0))
    for name, value in {"cost": cost, **values}.items():
        setattr(call, name, value)
