"""A Dask cluster that takes what is heavy in a round, where DASK_SCHEDULER names one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from classifiers import spreading
from labelling.jobs.lease import JobFailed
from labelling.models.sentences import Sentence as _

# So often a part is begun anew whose worker died, before it is taken for the part that kills them.
RETRIES = 3
PATIENCE_SECONDS = 30.0


@contextmanager
def where_settings_say() -> Iterator[None]:
    """Have the heavy work of this block done by the cluster; without one, on threads of this process.

    Raises:
        JobFailed: when the scheduler can't be reached, or has no worker.
    """
    if not settings.DASK_SCHEDULER:
        yield
        return
    # It takes a second, and only some installations have it.
    from distributed import Client

    try:
        client = Client(settings.DASK_SCHEDULER, timeout=PATIENCE_SECONDS)
        client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
    except (OSError, TimeoutError) as error:
        told = {"address": settings.DASK_SCHEDULER, "error": str(error)}
        raise JobFailed(_("The Dask cluster at %(address)s can't be used: %(error)s") % told) from error
    with client:
        # Not pure: a result is not kept for the next round, in which the model is another one.
        executor = client.get_executor(pure=False, retries=RETRIES)
        place = spreading.Place(
            executor,
            share=lambda shared: client.scatter(shared, broadcast=True, hash=False),
            n_threads=sum(client.nthreads().values()),
        )
        with spreading.elsewhere(place):
            yield
