"""What a round changed, with the labels and documents in place of their ids."""

from __future__ import annotations

from dataclasses import dataclass

from labelling.models import Document, Label, Project, Round


@dataclass(frozen=True)
class LabelChange:
    """On how many of the holdout's documents of a label it was found, before and now."""

    label: Label
    before: int
    now: int
    n: int


@dataclass(frozen=True)
class Pair:
    """Two labels, and how often: predicted labels that moved from one to the other, or a truth taken for another."""

    first: Label
    second: Label
    before: int
    now: int


@dataclass(frozen=True)
class Move:
    """A document without a label whose predicted label is another one now."""

    document: Document
    before: Label
    now: Label
    probability: float


@dataclass(frozen=True)
class Changes:
    """What the round page shows; lists are cut off, numbers count everything."""

    since: int
    learnt: dict[str, int]
    n_compared: int
    n_moved: int
    n_holdout: int
    right_before: int
    right_now: int
    better: list[LabelChange]
    worse: list[LabelChange]
    confusions: list[Pair]
    moves: list[Pair]
    moved: list[Move]


NUMBERS = ("since", "learnt", "n_compared", "n_moved", "n_holdout", "right_before", "right_now")


def of_round(round_: Round) -> Changes | None:
    """What the round changed; None for a first round. Labels and documents that are gone since are left out."""
    if not round_.changes:
        return None
    stored = round_.changes
    labels = Label.objects.filter(project=round_.project_id).in_bulk()
    documents = Document.objects.in_bulk([row[0] for row in stored["moved"]])

    def named(rows: list[list], *columns: int) -> list[list]:
        return [row for row in rows if all(row[column] in labels for column in columns)]

    return Changes(
        **{name: stored[name] for name in NUMBERS},
        better=[LabelChange(labels[pk], *rest) for pk, *rest in named(stored["better"], 0)],
        worse=[LabelChange(labels[pk], *rest) for pk, *rest in named(stored["worse"], 0)],
        confusions=[Pair(labels[a], labels[b], *rest) for a, b, *rest in named(stored["confusions"], 0, 1)],
        moves=[Pair(labels[a], labels[b], 0, n) for a, b, n in named(stored["moves"], 0, 1)],
        moved=[
            Move(documents[pk], labels[a], labels[b], probability)
            for pk, a, b, probability in named(stored["moved"], 1, 2)
            if pk in documents
        ],
    )


def latest(project: Project) -> int | None:
    """Number of the last round that changed predictions; None before the second."""
    return project.rounds.exclude(changes={}).values_list("number", flat=True).first()
