"""What asking the judge will take: calls, tokens, money, and the prompts exactly as they will be sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

from django.conf import settings
from django.db.models import Avg

from classifiers.judge import AnthropicJudge, JudgeError, JudgeUnavailable
from classifiers.messages_api import MessagesClient, Prompt
from labelling.jobs.lease import JobFailed, Lease
from labelling.jobs.rounds.auditing import judge_of
from labelling.jobs.rounds.judging import tasks, unanswered
from labelling.models import Call, Price, Query, Round
from labelling.services import ledger

# Prompts whose tokens are counted by the provider; those of the others follow from their length.
MAX_COUNTED = 20
# Prompts that are shown.
N_SHOWN = 3
# Tokens of an answer, as long as this project has seen none of the model: a sentence and a word.
ASSUMED_OUTPUT = 90
BYTES_A_TOKEN = 4


@dataclass(frozen=True)
class Size:
    """Tokens of a prompt: of the part that is shared, and of all of it."""

    system: float
    total: float


def forecast_is_due(round_: Round) -> bool:
    """Whether a language model is going to be asked, and nobody has said yet what that will take."""
    return round_.settings["judge"] == "anthropic" and not round_.forecast and bool(unanswered(round_))


def awaits_consent(round_: Round) -> bool:
    """Whether a manager has to see the forecast before anything is spent."""
    wanted = round_.settings.get("confirm_spending", False) and round_.confirmed_at is None
    # Also where all is answered already: what is refused leads to questions that may be new.
    return wanted and bool(round_.forecast) and round_.forecast["calls"] + round_.forecast["further"] > 0


def forecast(lease: Lease[Round]) -> None:
    """Write on the round what its questions will take.

    Raises:
        JobFailed: when there is no key.
    """
    judge = cast("AnthropicJudge", judge_of(lease.job))
    queries = unanswered(lease.job)
    questions = list(tasks(lease.job, queries))
    new = [task for task in questions if not ledger.answered(judge.client.fingerprint(task.prompt))]
    try:
        judge.client.open()
        sizes, note = _sizes(judge.client, [task.prompt for task in new])
    except JudgeUnavailable as error:
        raise JobFailed(str(error)) from error
    finally:
        judge.client.close()
    lease.update(
        forecast={
            "calls": len(new),
            "reused": len(questions) - len(new),
            "further": _further(queries),
            "counted": min(len(new), MAX_COUNTED),
            "note": note,
            "model": judge.model,
            "address": judge.client.base_url or "",
            "prompt_version": judge.prompt_version,
            "in_batches": bool(lease.job.settings.get("use_batches")),
            **_amounts(lease.job, judge.model, [task.prompt for task in new], sizes),
            "prompts": [
                {"label": task.key.label.name, "system": task.prompt.system, "user": task.prompt.user}
                for task in _shown(new)
            ],
        }
    )


def _shown(new: list) -> list:
    """The first prompt, the longest, and one from the middle: each once."""
    if not new:
        return []
    longest = max(range(len(new)), key=lambda n: len(new[n].prompt.user))
    positions = dict.fromkeys([0, longest, len(new) // 2, len(new) - 1])
    return [new[position] for position in positions][:N_SHOWN]


def _further(queries: Sequence[Query]) -> int:
    """How many questions are likely to be added because the judge refuses a label."""
    return round(sum(1 - query.posterior for query in queries if query.form == Query.Form.VALIDATE))


def _sizes(client: MessagesClient, prompts: Sequence[Prompt]) -> tuple[list[Size], str]:
    """Tokens of each prompt: counted for some, by their length for the others; and a note where none is counted."""
    step = max(len(prompts) / MAX_COUNTED, 1)
    sample = [prompts[int(n * step)] for n in range(min(len(prompts), MAX_COUNTED))]
    if not sample:
        return [], ""
    try:
        with ThreadPoolExecutor(settings.JUDGE_CONCURRENCY) as pool:
            totals = list(pool.map(client.count_tokens, sample))
            # A message may not be empty.
            shared = list(pool.map(client.count_tokens, [replace(prompt, user=".") for prompt in sample]))
    except (JudgeError, JudgeUnavailable) as error:
        note = f"The tokens could not be counted and are estimated from the length of the prompts. {error}"
        return [_by_length(prompt, 1 / BYTES_A_TOKEN, 1 / BYTES_A_TOKEN) for prompt in prompts], note
    system_rate = sum(shared) / sum(len(prompt.system.encode()) for prompt in sample)
    user_bytes = sum(len(prompt.user.encode()) for prompt in sample)
    user_rate = max(sum(totals) - sum(shared), 0) / user_bytes
    return [_by_length(prompt, system_rate, user_rate) for prompt in prompts], ""


def _by_length(prompt: Prompt, system_rate: float, user_rate: float) -> Size:
    system = system_rate * len(prompt.system.encode())
    return Size(system, system + user_rate * len(prompt.user.encode()))


def _amounts(round_: Round, model: str, prompts: Sequence[Prompt], sizes: Sequence[Size]) -> dict[str, Any]:
    price = Price.objects.today(model)
    in_batch = bool(round_.settings.get("use_batches"))
    tokens = _tokens(prompts, sizes, None if in_batch or price is None else price.cache_min_tokens)
    tokens["output_tokens"] = round(len(prompts) * _usual_output(round_, model))
    total = tokens["input_tokens"] + tokens["cache_read_tokens"] + tokens["cache_write_tokens"]
    amounts: dict[str, Any] = {
        **tokens,
        "prompt_tokens": total,
        "cache_share": tokens["cache_read_tokens"] / total if total else 0.0,
        "cost": None,
    }
    if price:
        uncached = price.cost(input_tokens=total, output_tokens=tokens["output_tokens"], in_batch=in_batch)
        each = [price.ceiling(round(s.total), p.max_tokens, in_batch) for s, p in zip(sizes, prompts, strict=True)]
        cost = price.cost(**tokens, in_batch=in_batch)
        amounts |= {
            "cost": f"{cost:.4f}",
            "at_most": f"{sum(each, Decimal(0)):.4f}",
            "saved": f"{uncached - cost:.4f}",
            "price": str(price),
        }
    return amounts


def _tokens(prompts: Sequence[Prompt], sizes: Sequence[Size], cache_min_tokens: int | None) -> dict[str, int]:
    """Tokens by kind: the first call with a system prompt writes it to the cache, the others read it from there.

    None for ``cache_min_tokens``: nothing is known of the cache, or batches may find it cold, so none is counted on.
    """
    seen: set[str] = set()
    tokens: Counter[str] = Counter(input_tokens=0, cache_read_tokens=0, cache_write_tokens=0)
    for prompt, size in zip(prompts, sizes, strict=True):
        if cache_min_tokens is None or size.system < cache_min_tokens:
            tokens["input_tokens"] += round(size.total)
            continue
        tokens["cache_read_tokens" if prompt.system in seen else "cache_write_tokens"] += round(size.system)
        tokens["input_tokens"] += round(size.total - size.system)
        seen.add(prompt.system)
    return dict(tokens)


def _usual_output(round_: Round, model: str) -> float:
    answered = Call.objects.filter(
        project=round_.project_id, model=model, purpose=Call.Purpose.VERDICT, state=Call.State.DONE
    )
    return answered.aggregate(mean=Avg("output_tokens"))["mean"] or ASSUMED_OUTPUT
