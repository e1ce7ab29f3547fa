"""Look whether the certificate still holds for texts that came later."""

from __future__ import annotations

import numpy as np
from django.db.models import Count

from classifiers import drift
from labelling.models import DriftLook, Project, Round
from labelling.services import notices, watching
from labelling.services.suggesting import covered


def look_at_later_texts(round_: Round) -> None:
    """Write down what is known of later texts, where that is something new, and tell of what is found."""
    project, last = round_.project, watching.last_look(round_.project)
    n, k = watching.audited(project)
    later = dict(project.later_counts.filter(watch=project.watches).values_list("label_id", "n"))
    n_texts = sum(later.values())
    number = project.drift_looks.filter(watch=project.watches, divergence__isnull=False).count()
    before = _certified_by_label(project) if n_texts >= drift.texts_for_look(number) else {}
    if not before and n == (last.n if last else 0):
        return
    limit, level = float(project.limit), float(project.level)
    found = DriftLook(
        project=project,
        watch=project.watches,
        round=round_,
        limit=limit,
        level=level,
        n=n,
        k=k,
        at_least=drift.wrong_at_least(n, k, level),
        is_wrong=drift.is_broken(n, k, limit, level) or (last is not None and last.is_wrong),
        n_texts=n_texts,
        is_shifted=last is not None and last.is_shifted,
    )
    if before:
        _compare(found, before, later, number)
    found.save()
    if (found.is_wrong, found.is_shifted) != ((last.is_wrong, last.is_shifted) if last else (False, False)):
        notices.tell(project, notices.Kind.DRIFT)


def _certified_by_label(project: Project) -> dict[int, int]:
    rows = covered(project).order_by().values_list("settled__label_id").annotate(n=Count("pk"))
    return {pk: n for pk, n in rows if pk is not None}


def _compare(found: DriftLook, before: dict[int, int], later: dict[int, int], number: int) -> None:
    """Compare the labels' shares among the later answers with those among the labels that are certified."""
    labels = sorted({*before, *later})
    earlier, since = (np.array([one.get(pk, 0) for pk in labels], dtype=np.int64) for one in (before, later))
    found.divergence = float(drift.divergence(earlier, since))
    found.is_shifted |= drift.is_shifted(earlier, since, number, found.project.random_seed + number)
