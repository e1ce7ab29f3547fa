"""The tree in which a project's labels stand, as pages show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Count
from django.utils.translation import gettext as _

from labelling.models import Label, Project
from labelling.services import Refused

MAX_LEVELS = Label.MAX_LEVELS


@dataclass
class Node:
    """A label in the tree, with what lies below it added up.

    Attributes:
        level: from 1 at the top.
        n_examples: documents with this label or one below it.
        expected: documents without a label that are expected to belong here, as of the last round.
    """

    label: Label
    level: int
    n_examples: int = 0
    expected: float = 0.0
    children: list[Node] = field(default_factory=list)


def lineage(label: Label) -> list[Label]:
    """The labels above a label, from the top down."""
    above: list[Label] = []
    while (parent := above[0].parent if above else label.parent) and len(above) < MAX_LEVELS:
        above.insert(0, parent)
    return above


def lines(project: Project) -> dict[int | None, list[int | None]]:
    """By the id of each label that has a parent, its own id and those above it, from the bottom up."""
    parents: dict[int | None, int | None] = dict(project.labels.exclude(parent=None).values_list("pk", "parent_id"))
    found: dict[int | None, list[int | None]] = {}
    for label_id in parents:
        line: list[int | None] = [label_id]
        while (above := parents.get(line[-1])) and len(line) < MAX_LEVELS:
            line.append(above)
        found[label_id] = line
    return found


def lifted(lines: Mapping[int | None, Sequence[int | None]], label_id: int | None, level: int) -> int | None:
    """The label of a level, from 1 at the top, above this one, or itself where it does not lie below it."""
    line = lines.get(label_id, [label_id])
    return line[-level] if level <= len(line) else label_id


def check(parents: Mapping[int, int | None], label_ids: Mapping[int, Label]) -> None:
    """Make sure that these parents, by label, are a tree.

    Raises:
        Refused: for a circle, or more than six levels.
    """
    for label_id in parents:
        above, line = parents[label_id], [label_id]
        while above is not None:
            if above in line:
                raise Refused(_("“%(label)s” would lie under itself.") % {"label": label_ids[label_id]})
            line.append(above)
            above = parents.get(above)
        if len(line) > MAX_LEVELS:
            told = {"label": label_ids[label_id], "levels": MAX_LEVELS}
            raise Refused(_("“%(label)s” would lie below level %(levels)s, which is the last.") % told)


def top_nodes(project: Project) -> list[Node]:
    """The labels in use that have no parent, each with those below it; by code, then by name."""
    labels = project.labels.in_use().annotate(n=Count("examples")).defer("definition", "synonyms")
    last = project.rounds.exclude(expected={}).values_list("expected", flat=True).first() or {}
    nodes = {
        label.pk: Node(label, 1, label.n, last.get(str(label.pk), 0.0))  # type: ignore[attr-defined]
        for label in sorted(labels, key=lambda label: (label.code, label.name))
    }
    tops: list[Node] = []
    for node in nodes.values():
        above = nodes.get(node.label.parent_id or 0)
        (above.children if above else tops).append(node)
    for node in tops:
        _add_up(node)
    return tops


def rows(nodes: list[Node]) -> Iterator[Node]:
    """These nodes and all below them, each before those below it."""
    for node in nodes:
        yield node
        yield from rows(node.children)


def _add_up(node: Node) -> None:
    for child in node.children:
        child.level = node.level + 1
        _add_up(child)
        node.n_examples += child.n_examples
        node.expected += child.expected


def below(project: Project, label: Label) -> list[int]:
    """Ids of a label and of all labels below it."""
    children: dict[int, list[int]] = defaultdict(list)
    for pk, parent_id in project.labels.exclude(parent=None).values_list("pk", "parent_id"):
        children[parent_id].append(pk)
    found = [label.pk]
    for pk in found:
        found += children[pk]
    return found
