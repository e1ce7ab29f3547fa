"""What a round changed: labels that got better or worse, documents whose predicted label moved, new confusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db.models import Count

from labelling.models import Prediction, Round, TrainingExample

# What a page shows; the numbers are of all.
MAX_LABELS = 20
MAX_DOCUMENTS = 50
MAX_PAIRS = 20


class Top(NamedTuple):
    """The label that the classifiers give a document, and its probability."""

    document_id: int
    label_id: int
    probability: float


def changes(round_: Round, pool: Sequence[Top], holdout: Sequence[Top], truths: Sequence[int | None]) -> dict[str, Any]:
    """Compare what the classifiers say now with the predictions that are there still; empty when there are none.

    Args:
        pool: documents without a label.
        holdout: those to measure with.
        truths: the holdout's label ids, None for a text of no label.

    Returns:
        ``since``: number of the round compared with. ``learnt``: by source, the examples that are new in this one.
        ``better``, ``worse``: [label id, right before, right now, documents] on the holdout.
        ``confusions``: [true label id, predicted label id, times before, times now], new ones first.
        ``n_moved`` of ``n_compared`` pool documents, and of these ``moved``: [document id, label id before, label id
        now, probability now], the surest first; ``moves``: [label id before, label id now, documents].
    """
    rows = Prediction.objects.filter(document__project=round_.project).exclude(round=round_)
    before = dict(rows.values_list("document", "label"))
    earlier = round_.project.rounds.filter(number__lt=round_.number, pool__isnull=False)
    if not before or (since := earlier.values_list("number", flat=True).first()) is None:
        return {}
    examples = TrainingExample.objects.filter(document__project=round_.project, learned_in=None).order_by()
    return {
        "since": since,
        "learnt": dict(examples.values_list("source").annotate(Count("pk"))),
        **on_pool(before, pool),
        **on_holdout(before, holdout, truths),
    }


def on_pool(before: dict[int, int], pool: Iterable[Top]) -> dict[str, Any]:
    """Documents whose predicted label is another now."""
    known = [top for top in pool if top.document_id in before]
    moved = [top for top in known if before[top.document_id] != top.label_id]
    moves = Counter((before[top.document_id], top.label_id) for top in moved)
    surest = sorted(moved, key=lambda top: (-top.probability, top.document_id))[:MAX_DOCUMENTS]
    return {
        "n_compared": len(known),
        "n_moved": len(moved),
        "moved": [
            [top.document_id, before[top.document_id], top.label_id, round(top.probability, 4)] for top in surest
        ],
        "moves": [[*pair, n] for pair, n in _most(moves)],
    }


def on_holdout(before: dict[int, int], holdout: Iterable[Top], truths: Iterable[int | None]) -> dict[str, Any]:
    """Labels that are found more or less often where the truth is known, and what they are taken for by mistake."""
    known = [
        (truth, before[top.document_id], top.label_id)
        for top, truth in zip(holdout, truths, strict=True)
        if truth is not None and top.document_id in before
    ]
    n = Counter(truth for truth, _, _ in known)
    was_right = Counter(truth for truth, then, _ in known if then == truth)
    is_right = Counter(truth for truth, _, now in known if now == truth)
    gained = Counter({label_id: is_right[label_id] - was_right[label_id] for label_id in n})
    rows = [[label_id, was_right[label_id], is_right[label_id], n[label_id]] for label_id, _ in _most(gained, len(n))]
    then = Counter((truth, label_id) for truth, label_id, _ in known if label_id != truth)
    now = Counter((truth, label_id) for truth, _, label_id in known if label_id != truth)
    more = Counter({pair: now[pair] - then[pair] for pair in now if now[pair] > then[pair]})
    confusions = sorted(_most(more, len(more)), key=lambda found: then[found[0]] > 0)[:MAX_PAIRS]
    return {
        "n_holdout": len(known),
        "right_before": was_right.total(),
        "right_now": is_right.total(),
        "better": [row for row in rows if row[2] > row[1]][:MAX_LABELS],
        "worse": [row for row in reversed(rows) if row[2] < row[1]][:MAX_LABELS],
        "confusions": [[*pair, then[pair], now[pair]] for pair, _ in confusions],
    }


def _most(counts: Counter, n: int = MAX_PAIRS) -> list[tuple[Any, int]]:
    """The largest counts; the same ones each time where some are equal."""
    return sorted(counts.items(), key=lambda found: (-found[1], found[0]))[:n]
