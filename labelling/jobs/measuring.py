"""How well each judge does against people, and people among themselves; written down for the pages to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from itertools import combinations
from typing import Any

from classifiers.agreement import agreement, alpha, kappa_of_two, share
from labelling.jobs.lease import Lease
from labelling.models import BackgroundJob, Measurement, Verdict
from labelling.services import audits, people
from labelling.services.audits import Judged

Name = Verdict.Name


def run(lease: Lease[Measurement]) -> None:
    """Measure every judge that was audited, overall and by label, the one with the most verdicts first; and people."""
    project = lease.job.project
    # Looked at before the counting: what comes in meanwhile makes the figures old, not wrong.
    counted = audits.state(project)
    by_judge: dict[audits.JudgeId, list[Judged]] = {}
    for row in audits.judged(project):
        by_judge.setdefault(row.judge, []).append(row)
    figures = [judge._asdict() | _by_label(rows) for judge, rows in by_judge.items()]
    figures.sort(key=lambda judge: -judge["n"])
    among_people = agreement_of_people(people.shared(project))
    lease.finish(BackgroundJob.State.DONE, figures=figures, people=among_people, counted=counted)


def agreement_of_people(shared: list[people.Shared]) -> dict[str, Any]:
    """How far two people who don't see each other's decision agree: all together, and by pair, the busiest first.

    ``alpha``, ``agreement``, and a pair's ``kappa`` are Estimates; ``pairs`` name the two reviewers by their ids.
    """
    by_pair: dict[tuple[int, int], list[people.Shared]] = {}
    for labels in shared:
        for pair in combinations(sorted(labels), 2):
            by_pair.setdefault(pair, []).append(labels)
    pairs = [
        {
            "reviewers": [one, other],
            "kappa": asdict(kappa_of_two([labels[one] for labels in both], [labels[other] for labels in both])),
        }
        for (one, other), both in sorted(by_pair.items(), key=lambda found: -len(found[1]))
    ]
    n_same = sum(len(set(labels.values())) == 1 for labels in shared)
    return {
        "alpha": asdict(alpha([list(labels.values()) for labels in shared])),
        "agreement": asdict(share(n_same, len(shared))),
        "pairs": pairs,
    }


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
