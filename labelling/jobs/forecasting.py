"""What putting prompts to a language model will take, before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.db.models import Avg

from classifiers.messages_api import JudgeError, JudgeUnavailable, MessagesClient, Prompt
from labelling.jobs.lease import JobFailed
from labelling.models import Call, Price

# Prompts whose tokens are counted; the others are reckoned from their length.
N_COUNTED = 24
# Where the endpoint doesn't count tokens.
ASSUMED_TOKENS_A_BYTE = 0.25


def forecast(
    client: MessagesClient, prompts: Sequence[Prompt], purpose: str, assumed_output_tokens: int
) -> dict[str, Any]:
    """Return calls, tokens and money, and the first prompt exactly as it will be sent.

    Args:
        client: the model to ask.
        prompts: all that will be sent.
        purpose: of the calls; an answer's length is the mean of this model's earlier ones of the same purpose.
        assumed_output_tokens: of an answer, as long as there is none.

    Raises:
        JobFailed: when there is no key.
    """
    if not prompts:
        return {"calls": 0}
    sample = prompts[:: max(len(prompts) // N_COUNTED, 1)]
    tokens, why_not = _count(client, sample)
    per_byte = sum(tokens) / sum(map(_n_bytes, sample)) if tokens else ASSUMED_TOKENS_A_BYTE
    answered = Call.objects.filter(purpose=purpose, model=client.model, state=Call.State.DONE)
    measured = answered.aggregate(mean=Avg("output_tokens"))["mean"]
    n_input = round(per_byte * sum(map(_n_bytes, prompts)))
    n_output = round((measured or assumed_output_tokens) * len(prompts))
    price = Price.objects.today(client.model)
    return {
        "calls": len(prompts),
        "input_tokens": n_input,
        "output_tokens": n_output,
        "counted": len(tokens),
        "why_not_counted": why_not,
        "output_is_assumed": measured is None,
        "cost": str(price.cost(input_tokens=n_input, output_tokens=n_output)) if price else None,
        "at_most": str(price.ceiling(n_input, sum(prompt.max_tokens for prompt in prompts))) if price else None,
        "price_from": price.valid_from.isoformat() if price else None,
        "prompt": {"system": prompts[0].system, "user": prompts[0].user},
    }


def _count(client: MessagesClient, prompts: Sequence[Prompt]) -> tuple[list[int], str]:
    """Count the tokens of prompts; where the endpoint can't, return nothing, and why."""
    try:
        client.open()
    except JudgeUnavailable as error:
        raise JobFailed(str(error)) from error
    try:
        with ThreadPoolExecutor(settings.JUDGE_CONCURRENCY, thread_name_prefix="count") as pool:
            return list(pool.map(client.count_tokens, prompts)), ""
    except (JudgeError, JudgeUnavailable) as error:
        # Many servers that speak the Messages API don't count. If it is something else, asking will tell.
        return [], str(error)


def _n_bytes(prompt: Prompt) -> int:
    return len(prompt.system.encode()) + len(prompt.user.encode())
