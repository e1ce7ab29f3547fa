"""How well each judge does against people, as audits say; written down for the pages to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from classifiers.agreement import agreement
from labelling.jobs.lease import Lease
from labelling.models import BackgroundJob, Measurement, Verdict
from labelling.services import audits
from labelling.services.audits import Judged

Name = Verdict.Name


def run(lease: Lease[Measurement]) -> None:
    """Measure every judge that was audited, overall and by label, the one with the most verdicts first."""
    project = lease.job.project
    # Looked at before the counting: what comes in meanwhile makes the figures old, not wrong.
    counted = audits.state(project)
    by_judge: dict[audits.JudgeId, list[Judged]] = {}
    for row in audits.judged(project):
        by_judge.setdefault(row.judge, []).append(row)
    figures = [judge._asdict() | _by_label(rows) for judge, rows in by_judge.items()]
    figures.sort(key=lambda judge: -judge["n"])
    lease.finish(BackgroundJob.State.DONE, figures=figures, counted=counted)


def _by_label(rows: list[Judged]) -> dict[str, Any]:
    by_label: dict[int, list[Judged]] = {}
    for row in rows:
        by_label.setdefault(row.label_id, []).append(row)
    labels = [{"label": label_id} | measured(asked) for label_id, asked in by_label.items()]
    return measured(rows) | {"labels": sorted(labels, key=lambda label: -label["n"])}


def measured(rows: Iterable[Judged]) -> dict[str, Any]:
    """The figures of one judge's verdicts: all of ``Agreement``, the verdicts behind them, and how many were unsure."""
    counts = Counter((row.right, row.verdict) for row in rows)
    figures = agreement(
        true_valid=counts[True, Name.VALID],
        false_invalid=counts[True, Name.INVALID],
        true_invalid=counts[False, Name.INVALID],
        false_valid=counts[False, Name.VALID],
    )
    n_unsure = counts[True, Name.UNSURE] + counts[False, Name.UNSURE]
    return {"n": counts.total(), "n_unsure": n_unsure, **asdict(figures)}
