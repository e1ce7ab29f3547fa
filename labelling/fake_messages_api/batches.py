"""Message batches: taken in at once, worked on in the background, answered in another order."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Event, Thread
from typing import Any

from labelling.fake_messages_api.answers import Reply
from labelling.fake_messages_api.model import FakeModel


@dataclass
class Batch:
    """A batch and what came of its requests so far."""

    id: str
    requests: Sequence[Mapping[str, Any]]
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    results: list[dict[str, Any]] = field(default_factory=list)
    cancelled: Event = field(default_factory=Event)


class Batches:
    """All batches of a server; each takes ``latency`` seconds of its model, however many requests it has."""

    def __init__(self, model: FakeModel):
        self.model = model
        self._batches: dict[str, Batch] = {}
        self._numbers = count(1)

    def create(self, requests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        batch = Batch(f"msgbatch_{next(self._numbers)}", requests)
        self._batches[batch.id] = batch
        Thread(target=self._work, args=(batch,), daemon=True).start()
        return self.state(batch.id, "")

    def state(self, batch_id: str, url: str) -> dict[str, Any]:
        batch = self._batches[batch_id]
        ended = len(batch.results) == len(batch.requests)
        kinds = [result["result"]["type"] for result in batch.results] if ended else []
        counts = {kind: kinds.count(kind) for kind in ("succeeded", "errored", "canceled", "expired")}
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "canceling" if batch.cancelled.is_set() else "in_progress",
            "request_counts": {"processing": 0 if ended else len(batch.requests), **counts},
            "created_at": batch.created_at.isoformat(),
            "expires_at": (batch.created_at + timedelta(days=1)).isoformat(),
            "ended_at": datetime.now(UTC).isoformat() if ended else None,
            "results_url": f"{url}/v1/messages/batches/{batch.id}/results" if ended else None,
        }

    def cancel(self, batch_id: str) -> dict[str, Any]:
        self._batches[batch_id].cancelled.set()
        return self.state(batch_id, "")

    def results(self, batch_id: str) -> bytes:
        # Not in the order of the requests: only the custom id tells what belongs to what.
        lines = [json.dumps(result) for result in reversed(self._batches[batch_id].results)]
        return "\n".join(lines).encode()

    def _work(self, batch: Batch) -> None:
        batch.cancelled.wait(self.model.latency)
        for number, request in enumerate(batch.requests):
            result = {"type": "canceled"} if batch.cancelled.is_set() else self._result(batch, number, request)
            batch.results.append({"custom_id": request["custom_id"], "result": result})
            time.sleep(0)

    def _result(self, batch: Batch, number: int, request: Mapping[str, Any]) -> dict[str, Any]:
        reply = self.model.respond(request["params"], f"{batch.id}_{number}", in_batch=True)
        if isinstance(reply, Reply) and reply.status == 200 and not reply.cut:
            return {"type": "succeeded", "message": reply.body}
        said = reply.body["error"] if isinstance(reply, Reply) and reply.status != 200 else {"message": "No answer."}
        return {"type": "errored", "error": {"type": "error", "error": {"type": "api_error"} | said}}
