"""A project in one file, and a file that becomes a project."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labelling.jobs.lease import Lease
from labelling.jobs.packing.reading import unpack
from labelling.jobs.packing.writing import pack
from labelling.models import BackgroundJob, Packing, Project, Unpacking
from labelling.services import Refused

__all__ = ["pack", "run_packing", "run_unpacking", "unpack"]


def run_packing(lease: Lease[Packing]) -> None:
    """Write the project's file in the last one's place."""
    packing = lease.job
    lease.report(Packing.Step.WRITE)
    written = packing.path.with_name(f"{packing.project_id}.{lease.job.lease}.zip")
    try:
        pack(packing.project, written)
        with written.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = written.stat().st_size
        with lease.transaction():
            written.replace(packing.path)
            lease.finish(BackgroundJob.State.DONE, size=size, sha256=sha256)
    finally:
        written.unlink(missing_ok=True)


def run_unpacking(lease: Lease[Unpacking]) -> None:
    """Make a project of the file that was uploaded; the file goes, whether it was one or not."""
    unpacking = lease.job
    lease.report(Unpacking.Step.CHECK)

    @contextmanager
    def written() -> Iterator[None]:
        lease.report(Unpacking.Step.WRITE)
        with lease.transaction():
            yield

    def done(project: Project) -> None:
        lease.finish(BackgroundJob.State.DONE, project=project)

    path = Path(unpacking.file.path)
    try:
        unpack(path, unpacking.created_by, within=written, done=done)
    except Refused:
        path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)
