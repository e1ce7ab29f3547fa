"""What is said of every job."""

from datetime import datetime

from ninja import Schema

from labelling.models import BackgroundJob


class Job(Schema):
    """How far a job is: ``done`` of ``total`` of its step."""

    state: BackgroundJob.State
    step: str
    done: int
    total: int
    error: str
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
