"""What the worker process does: the only room that knows both the tables and the classifiers.

django-q2 calls these by name. Each claims its job, works in named steps, and records how it
ended; every step may run twice.
"""

from __future__ import annotations

from django.db import transaction

from labelling.jobs import statistics
from labelling.jobs.lease import hold
from labelling.models import (
    Adaptation,
    BackgroundJob,
    Comparison,
    CsvImport,
    Drafting,
    Encoding,
    Measurement,
    Packing,
    Release,
    Round,
    Unpacking,
)
from labelling.services import notices
from labelling.services.adapting import start_if_due as adapt_if_due
from labelling.services.rounds import start_if_due


def run_import(pk: int) -> None:
    """Check a CSV file and write its rows."""
    from labelling.services import imports

    with hold(CsvImport, pk) as lease:
        if lease:
            state = imports.run(lease.job, lease)
            with transaction.atomic():
                # Both or neither: a worker killed in between would leave the new texts to nobody.
                lease.finish(state)
                if state == BackgroundJob.State.DONE:
                    notices.tell(lease.job.project, notices.Kind.IMPORTED, lease.job.filename, pk)
                start_if_due(lease.job.project, texts_came=True)
    if lease:
        # What was written before somebody cancelled it is there, too.
        start_if_due(lease.job.project, texts_came=True)
        statistics.gather()


def run_round(pk: int) -> None:
    """Embed, fit, predict, query, judge, settle."""
    from labelling.jobs import cluster, rounds

    with hold(Round, pk) as lease:
        if lease:
            with cluster.where_settings_say():
                rounds.run(lease)
    if lease:
        statistics.gather()
        adapt_if_due(lease.job.project)


def run_measurement(pk: int) -> None:
    """Count what audits say of each judge."""
    from labelling.jobs import measuring

    with hold(Measurement, pk) as lease:
        if lease:
            measuring.run(lease)


def run_drafting(pk: int) -> None:
    """Forecast, and then make, drafts of definitions."""
    from labelling.jobs import drafting

    with hold(Drafting, pk) as lease:
        if lease:
            drafting.run(lease)


def run_comparison(pk: int) -> None:
    """Forecast, and then ask, what another judge says of audited documents."""
    from labelling.jobs import comparing

    with hold(Comparison, pk) as lease:
        if lease:
            comparing.run(lease)


def run_release(pk: int) -> None:
    """Freeze the data set as it is now."""
    from labelling.jobs import releasing

    with hold(Release, pk) as lease:
        if lease:
            releasing.run(lease)


def run_encoding(pk: int) -> None:
    """Read all texts of a project by another encoder."""
    from labelling.jobs import encoding

    with hold(Encoding, pk) as lease:
        if lease:
            encoding.run(lease)


def run_adaptation(pk: int) -> None:
    """Fine-tune a project's encoder, and keep what is better."""
    from labelling.jobs import adapting

    with hold(Adaptation, pk) as lease:
        if lease:
            adapting.run(lease)


def run_sending() -> None:
    """Send the mails and the webhooks' deliveries that are due."""
    from labelling.jobs import delivering, mailing

    try:
        delivering.run()
    finally:
        mailing.run()


def run_packing(pk: int) -> None:
    """Write a project into one file."""
    from labelling.jobs import packing

    with hold(Packing, pk) as lease:
        if lease:
            packing.run_packing(lease)


def run_unpacking(pk: int) -> None:
    """Make a project of a file."""
    from labelling.jobs import packing

    with hold(Unpacking, pk) as lease:
        if lease:
            packing.run_unpacking(lease)
    if lease:
        statistics.gather()
