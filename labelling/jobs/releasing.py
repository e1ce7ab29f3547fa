"""Write a release: the data, and what is promised of it. Beside its place first, so that there is all of it or none."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from labelling.csv_io.exporting import csv_lines
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.books import StoredBook
from labelling.jobs.snapshot import snapshot
from labelling.models import BackgroundJob, Project, Release
from labelling.models.documents import Source
from labelling.services import examples, exports, notices, promises, releases

# What the labels' sources are called in the files; "model" is whatever has neither of the others.
SOURCES = (*Source.values, "model")
READ_ONLY = 0o444


def run(lease: Lease[Release]) -> None:
    """Write the files, and put them in their place together with what is known of them."""
    release = lease.job
    lease.report(Release.Step.LOOK)
    _look_at_audits(lease)
    lease.report(Release.Step.WRITE)
    folder = _empty_folder(lease)
    with snapshot():
        # A round that has begun since would be half in it.
        releases.check(release.project, states=[BackgroundJob.State.RUNNING])
        counts = _write_rows(release.project, folder)
        data = {name: _digest(folder / name) for name in (Release.LABELS_CSV, Release.LABELS_JSONL)}
        certificate = promises.describe(release, counts, data)
    written = folder / Release.CERTIFICATE
    written.write_text(json.dumps(certificate, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    files = data | {Release.CERTIFICATE: _digest(written)}
    for name in files:
        (folder / name).chmod(READ_ONLY)
    with lease.transaction():
        # Of a worker that was killed before it could say that this is the release.
        shutil.rmtree(release.folder, ignore_errors=True)
        folder.rename(release.folder)
        lease.finish(BackgroundJob.State.DONE, counts=counts, certificate=certificate, files=files)
        notices.tell(release.project, notices.Kind.RELEASED, release.number, release.number)


def _look_at_audits(lease: Lease[Release]) -> None:
    """Look at the ledger once more: people may have decided on audits since the last round."""
    project = lease.job.project
    with lease.transaction():
        releases.check(project, states=[BackgroundJob.State.RUNNING])
        if round_ := project.rounds.first():
            examples.give_way(project)
            with notices.certificate_watched(project):
                StoredBook.read(project).look(round_)


def _empty_folder(lease: Lease[Release]) -> Path:
    """A folder beside the release's own; what earlier attempts left there is removed."""
    place = lease.job.folder
    place.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.glob(f".{place.name}.*"):
        shutil.rmtree(left)
    folder = place.with_name(f".{place.name}.{lease.job.lease}")
    folder.mkdir()
    return folder


def _write_rows(project: Project, folder: Path) -> dict[str, int]:
    """Write the same rows as CSV and as JSON lines, whose values are all strings, and count them.

    Returns:
        ``all`` rows, those of each source, and those that are ``certified``, held out (``holdout``) and
        ``without_label``.
    """
    names = exports.header(project)
    counts = Counter(dict.fromkeys(("all", *SOURCES, "certified", "holdout", "without_label"), 0))
    with (
        (folder / Release.LABELS_CSV).open("w", encoding="utf-8", newline="") as csv_file,
        (folder / Release.LABELS_JSONL).open("w", encoding="utf-8", newline="\n") as jsonl_file,
    ):

        def rows() -> Iterator[Iterable[str]]:
            for row in exports.rows(project):
                jsonl_file.write(json.dumps(row, ensure_ascii=False) + "\n")
                counts.update(_kinds(row))
                yield row.values()

        csv_file.writelines(csv_lines(names, rows(), for_programs=True))
    return dict(counts)


def _kinds(cells: dict[str, str]) -> list[str]:
    kinds = ["all", cells["source"] or "without_label"]
    kinds += ["certified"] if cells["certified"] == "yes" else []
    return [*kinds, "holdout"] if cells["holdout"] else kinds


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
