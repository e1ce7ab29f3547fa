"""What putting questions to a language model will take, before anything is spent: tokens, money, and the prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Avg

from classifiers.messages_api import JudgeError, JudgeUnavailable, MessagesClient, Prompt
from labelling.jobs.calls import Task
from labelling.jobs.lease import JobFailed
from labelling.models import Call, Price
from labelling.models.sentences import said_by
from labelling.services import ledger

# Prompts whose tokens are counted by the provider; those of the others follow from their length.
MAX_COUNTED = 20
# Prompts that are shown.
N_SHOWN = 3
# Where the endpoint doesn't count tokens.
ASSUMED_TOKENS_A_BYTE = 0.25


@dataclass(frozen=True)
class Sized:
    """A prompt with its tokens: of the part that is shared, and of all of it."""

    prompt: Prompt
    system: float
    total: float


@dataclass(frozen=True)
class Rates:
    """Tokens a byte: of the part of prompts that is shared, and of the rest."""

    system: float
    user: float

    def sized(self, prompt: Prompt) -> Sized:
        system = self.system * len(prompt.system.encode())
        return Sized(prompt, system, system + self.user * len(prompt.user.encode()))


def forecast(
    client: MessagesClient, tasks: Sequence[Task], assumed_output_tokens: int, in_batches: bool = False
) -> dict[str, Any]:
    """Return what templates/labelling/_forecast.html shows; ready for JSON, money as text in US dollars.

    Of no task, ``calls`` is 0 and tokens and money are left out. Without a price ``cost`` is None, and the other
    amounts are left out.

    Args:
        client: the model to ask. It is closed afterwards.
        tasks: all that will be sent, of one project, purpose and round.
        assumed_output_tokens: of an answer, as long as this model has given none for the same purpose.
        in_batches: whether they are paid at the batch price.

    Raises:
        JobFailed: when there is no key.
    """
    about = {"calls": len(tasks), "model": client.model, "address": client.base_url or "", "in_batches": in_batches}
    if not tasks:
        return about
    row = tasks[0].row()
    row.model = client.model
    rates, counted, note = _rates(client, [task.prompt for task in tasks])
    usual_output = _usual_output(row)
    n_output = round(len(tasks) * (usual_output or assumed_output_tokens))
    return {
        **about,
        "counted": counted,
        "note": note,
        "output_is_assumed": usual_output is None,
        **_amounts([rates.sized(task.prompt) for task in tasks], n_output, row, in_batches),
        "prompts": [_shown(task) for task in _to_show(tasks)],
    }


def _rates(client: MessagesClient, prompts: Sequence[Prompt]) -> tuple[Rates, int, str]:
    """Tokens a byte, of how many prompts they were counted, and a note where none was."""
    step = max(len(prompts) / MAX_COUNTED, 1)
    sample = [prompts[int(n * step)] for n in range(min(len(prompts), MAX_COUNTED))]
    try:
        client.open()
    except JudgeUnavailable as error:
        raise JobFailed(said_by(error)) from error
    try:
        return _count(client, sample), len(sample), ""
    except (JudgeError, JudgeUnavailable) as error:
        # Many servers that speak the Messages API don't count. If it is something else, asking will tell.
        note = f"The tokens could not be counted and are estimated from the length of the prompts. {error}"
        return Rates(ASSUMED_TOKENS_A_BYTE, ASSUMED_TOKENS_A_BYTE), 0, note
    finally:
        client.close()


def _count(client: MessagesClient, sample: Sequence[Prompt]) -> Rates:
    with ThreadPoolExecutor(settings.JUDGE_CONCURRENCY, thread_name_prefix="count") as pool:
        total = sum(pool.map(client.count_tokens, sample))
        # A message may not be empty.
        shared = sum(pool.map(client.count_tokens, [replace(prompt, user=".") for prompt in sample]))
    system_bytes = sum(len(prompt.system.encode()) for prompt in sample)
    user_bytes = sum(len(prompt.user.encode()) for prompt in sample)
    return Rates(shared / system_bytes, max(total - shared, 0) / user_bytes)


def _usual_output(row: Call) -> float | None:
    """Tokens of the model's mean answer of this purpose: in this project, else in all; None when there is none."""
    everywhere = Call.objects.filter(purpose=row.purpose, model=row.model, state=Call.State.DONE)
    for answered in (everywhere.filter(project=row.project_id), everywhere):
        if mean := answered.aggregate(mean=Avg("output_tokens"))["mean"]:
            return mean
    return None


def _amounts(prompts: Sequence[Sized], n_output: int, row: Call, in_batches: bool) -> dict[str, Any]:
    price = Price.objects.today(row.model)
    tokens = _tokens(prompts, None if in_batches or price is None else price.cache_min_tokens)
    total = sum(tokens.values())
    amounts: dict[str, Any] = {
        **tokens,
        "output_tokens": n_output,
        "prompt_tokens": total,
        "cache_share": tokens["cache_read_tokens"] / total if total else 0.0,
        "cost": None,
    }
    if price:
        cost = price.cost(**tokens, output_tokens=n_output, in_batch=in_batches)
        each = [price.ceiling(round(one.total), one.prompt.max_tokens, in_batches) for one in prompts]
        amounts |= {
            "cost": str(cost),
            "at_most": str(sum(each, Decimal(0))),
            "saved": str(price.cost(total, n_output, in_batch=in_batches) - cost),
            "price": str(price),
            "warnings": _warnings(cost, row),
        }
    return amounts


def _tokens(prompts: Sequence[Sized], cache_min_tokens: int | None) -> dict[str, int]:
    """Prompt tokens by kind: the first call with a system prompt writes it to the cache, the others read it there.

    None for ``cache_min_tokens``: nothing is known of the cache, or batches may find it cold, so none is counted on.
    """
    seen: set[str] = set()
    tokens: Counter[str] = Counter(input_tokens=0, cache_read_tokens=0, cache_write_tokens=0)
    for one in prompts:
        if cache_min_tokens is None or one.system < cache_min_tokens:
            tokens["input_tokens"] += round(one.total)
            continue
        tokens["cache_read_tokens" if one.prompt.system in seen else "cache_write_tokens"] += round(one.system)
        tokens["input_tokens"] += round(one.total - one.system)
        seen.add(one.prompt.system)
    return dict(tokens)


def _warnings(cost: Decimal, row: Call) -> list[str]:
    """A sentence for each cap that leaves less than the forecast cost."""
    budgets = {"project": ledger.spent(row.project)}
    if row.round:
        budgets["round"] = ledger.spent(row.project, row.round)
    return [
        f"This is more than the {whose}'s cap of ${spent.cap:.2f} leaves: ${spent.left:.4f} at the time of this "
        "forecast. At the cap asking pauses with what it has."
        for whose, spent in budgets.items()
        if spent.left is not None and cost > spent.left
    ]


def _to_show(tasks: Sequence[Task]) -> list[Task]:
    """The first task, the one with the longest text, and one from the middle: each once."""
    longest = max(range(len(tasks)), key=lambda n: len(tasks[n].prompt.user))
    positions = dict.fromkeys([0, longest, len(tasks) // 2, len(tasks) - 1])
    return [tasks[position] for position in positions][:N_SHOWN]


def _shown(task: Task) -> dict[str, str]:
    return {"label": str(task.row().label or ""), "system": task.prompt.system, "user": task.prompt.user}
