"""Read all texts of a project by another encoder, beside its rounds."""

from __future__ import annotations

import time

from labelling.jobs.lease import Lease
from labelling.jobs.rounds.learning import keep_centres
from labelling.jobs.vectors import Space, new_centres
from labelling.models import BackgroundJob, Encoding
from labelling.services import Refused, rounds
from labelling.services.encoding import take_over

Step, State = Encoding.Step, BackgroundJob.State

# Texts that tell how long all of them take.
N_TRIED = 64


def run(lease: Lease[Encoding]) -> None:
    """Take it to its forecast, or, once a manager has agreed to that, to the last text; then the next round begins."""
    encoding = lease.job
    lease.report(Step.TRY)
    space = Space.named(str(encoding))
    if encoding.confirmed_at is None:
        forecast = _forecast(encoding, space)
        if forecast["texts"]:
            lease.finish(State.WAITING, forecast=forecast)
            return
    # What is imported meanwhile is read, too.
    while _n_missing(encoding, space):
        for done, total in space.embed_missing(encoding.project.documents.all()):
            if done:
                lease.got_further()
            lease.report(Step.EMBED, done, total)
    centres = new_centres(encoding.project, space)
    with lease.transaction():
        keep_centres(centres)
        lease.finish(State.DONE)
        _begin(encoding)


def _begin(encoding: Encoding) -> None:
    """Start the round that learns in the new space; where none can start now, the next one does."""
    project = encoding.project
    if not project.rounds.exists():
        take_over(project)
        return
    try:
        rounds.start_round(project)
    except Refused:
        return


def _forecast(encoding: Encoding, space: Space) -> dict[str, float]:
    """How many texts have to be read, and what that takes: seconds on this machine, and bytes in the database."""
    texts = list(encoding.project.documents.order_by("?").values_list("text", flat=True)[:N_TRIED])
    if not texts:
        return {"texts": 0}
    # The first call loads the models.
    for encoder in space.encoders:
        encoder.encode(texts[:1])
    started = time.monotonic()
    sizes = [encoder.encode(texts)[0].nbytes for encoder in space.encoders]
    seconds = time.monotonic() - started
    n = encoding.project.documents.exclude(space.has_vector()).count()
    return {"texts": n, "seconds": round(seconds / len(texts) * n, 1), "bytes": n * sum(sizes)}


def _n_missing(encoding: Encoding, space: Space) -> int:
    return encoding.project.documents.exclude(space.has_vector()).count()
