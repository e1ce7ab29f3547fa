"""The model behind the server: tokens, cache, answers, failures, and the books."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Lock
from typing import Any

from labelling.fake_messages_api.answers import Reply, message, says
from labelling.fake_messages_api.failures import FAILURES, Fault
from labelling.fake_messages_api.truth import Truth

# As the real cache: an entry lives so long after it was last read.
CACHE_SECONDS = 300.0
BYTES_A_TOKEN = 4
# What the API itself puts around a prompt.
TOKENS_AROUND = 10


@dataclass
class Prices:
    """US dollars for a million tokens; made up, like all else here."""

    input: Decimal = Decimal("1.00")
    output: Decimal = Decimal("5.00")
    cache_write: Decimal = Decimal("1.25")
    cache_read: Decimal = Decimal("0.10")
    batch_share: Decimal = Decimal("0.5")

    def cost(self, usage: Mapping[str, int], in_batch: bool) -> Decimal:
        dollars = (
            self.input * usage["input_tokens"]
            + self.output * usage["output_tokens"]
            + self.cache_write * usage["cache_creation_input_tokens"]
            + self.cache_read * usage["cache_read_input_tokens"]
        )
        return dollars * (self.batch_share if in_batch else 1) / 1_000_000


@dataclass
class Books:
    """What was asked, and what it would have cost.

    Attributes:
        calls: requests for a message, failed ones and those of batches too.
        outcomes: how many ended how: "answered", or the failure's name.
        cost: of all answers that were sent whole, in US dollars.
        unseen_cost: of those whose connection broke before the answer was through.
        request_ids: of all answers that were charged for.
    """

    calls: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    cost: Decimal = Decimal(0)
    unseen_cost: Decimal = Decimal(0)
    request_ids: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "outcomes": dict(self.outcomes),
            "tokens": dict(self.tokens),
            "cost": str(self.cost),
            "unseen_cost": str(self.unseen_cost),
            "request_ids": self.request_ids,
        }


class FakeModel:
    """Answers one request after the other, many at once.

    Args:
        latency: seconds until an answer.
        failures: by name in FAILURES: which share of the calls fails so, in [0, 1].
        cache_min_tokens: shortest system prompt that is cached.
        prices: what is charged.
        seed: of the failures.
        truth: what it knows of the texts; without it, it compares words.
    """

    def __init__(
        self,
        latency: float = 0.0,
        failures: Mapping[str, float] | None = None,
        cache_min_tokens: int = 1024,
        prices: Prices | None = None,
        seed: int = 0,
        truth: Truth | None = None,
    ):
        self.latency, self.failures, self.cache_min_tokens = latency, dict(failures or {}), cache_min_tokens
        self.prices, self.books, self.truth = prices or Prices(), Books(), truth
        self._rng = random.Random(seed)  # noqa: S311
        self._cached: dict[str, float] = {}
        self._lock = Lock()

    def respond(self, body: Mapping[str, Any], request_id: str, failure: str = "", in_batch: bool = False) -> Any:
        """A Reply or a Fault for the body of one request; ``failure`` makes it fail in that way."""
        with self._lock:
            self.books.calls += 1
            failure = failure or self._drawn()
        time.sleep(0 if in_batch else self.latency)
        usage, entry = self._usage(body)
        schema = body["output_config"]["format"]["schema"]
        said = says(_text(body["system"]), _text(body["messages"]), schema, self.truth)
        text = json.dumps(said, ensure_ascii=False)
        usage["output_tokens"] = _tokens(text)
        good = message(text, usage=usage)
        good.body.update(id=request_id, model=body["model"])
        reply = FAILURES[failure](good) if failure else good
        self._charge(reply, failure, request_id, in_batch, entry)
        return reply

    def count(self, body: Mapping[str, Any]) -> int:
        """Input tokens of a request."""
        return _tokens(_text(body.get("system", ""))) + _tokens(_text(body["messages"])) + TOKENS_AROUND

    def _drawn(self) -> str:
        point = self._rng.random()
        for name, share in self.failures.items():
            point -= share
            if point < 0:
                return name
        return ""

    def _usage(self, body: Mapping[str, Any]) -> tuple[dict[str, int], str]:
        """Token counts as the cache makes them, and the cache entry that this call may leave; "" for none."""
        total, shared = self.count(body), _tokens(_text(body["system"]))
        usage = {"input_tokens": total, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
        marked = any("cache_control" in block for block in body["system"] if isinstance(block, dict))
        if not marked or shared < self.cache_min_tokens:
            return usage, ""
        prefix = json.dumps([body["model"], body["output_config"], body["system"]], sort_keys=True)
        entry = hashlib.sha256(prefix.encode()).hexdigest()
        with self._lock:
            fresh = self._cached.get(entry, -CACHE_SECONDS) + CACHE_SECONDS > time.monotonic()
        kind = "cache_read_input_tokens" if fresh else "cache_creation_input_tokens"
        return usage | {"input_tokens": total - shared, kind: shared}, entry

    def _charge(self, reply: Reply | Fault, failure: str, request_id: str, in_batch: bool, entry: str) -> None:
        with self._lock:
            self.books.outcomes[failure or "answered"] += 1
            if not isinstance(reply, Reply) or reply.status != 200:
                return
            # Only now: calls that come while the first one is on its way find nothing in the cache yet.
            if entry:
                self._cached[entry] = time.monotonic()
            cost = self.prices.cost(reply.body["usage"], in_batch)
            if reply.cut:
                self.books.unseen_cost += cost
                return
            self.books.cost += cost
            self.books.tokens.update(reply.body["usage"])
            self.books.request_ids.append(request_id)


def _text(content: Any) -> str:
    """All text of a system prompt or of messages."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        return _text(content.get("text") or content.get("content") or "")
    return "\n".join(_text(part) for part in content)


def _tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_A_TOKEN)
