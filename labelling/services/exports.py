"""CSV files out: every document with its label and where that came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from labelling.csv_io.exporting import COLUMNS, TREE_COLUMNS, csv_lines
from labelling.models import (
    CohortMember,
    Decision,
    Document,
    Label,
    People,
    Prediction,
    Project,
    Query,
    QueueEntry,
    Row,
    SettledLabel,
    Verdict,
)
from labelling.services import diary

# Documents read at a time: the stream never holds more in memory.
CHUNK = 2_000
# Among so many keys for each document these are asked for from the first to the last: to list them takes longer.
MAX_SPREAD = 4

FIELDS = (
    "pk",
    "external_id",
    "text",
    "metadata",
    "provenance",
    "holdout",
    "given_label",
    "given_source",
    "example__label",
    "example__source",
    "prediction__label",
    "prediction__posterior_label",
    "prediction__posterior",
    "prediction__path",
    "prediction__round__number",
)


def export_lines(project: Project, for_programs: bool = False) -> Iterator[str]:
    """Return the lines of the project's export: one for each row that came in, also where they share a text."""
    diary.write(diary.Act.EXPORTED, project, "csv")
    return csv_lines(header(project), (row.values() for row in rows(project)), for_programs)


def header(project: Project) -> list[str]:
    """The names of the export's columns, each another one."""
    own = _columns(has_tree=project.labels.exclude(parent=None).exists())
    return [*own, *_beside(own, project.metadata_columns)]


def _columns(has_tree: bool) -> list[str]:
    return [*COLUMNS, *TREE_COLUMNS] if has_tree else list(COLUMNS)


def _beside(own: Iterable[str], metadata_columns: Iterable[str]) -> dict[str, str]:
    """The documents' own columns under names that no other column has."""
    taken, names = set(own), {}
    for column in metadata_columns:
        name = column
        while name in taken:
            name += " (original)"
        taken.add(name)
        names[name] = column
    return names


def rows(project: Project, documents: QuerySet[Document] | None = None) -> Iterator[dict[str, str]]:
    """Yield the export's rows, of these documents or of all: each name of the header, in its order, with its cell."""
    chosen = project.documents.all() if documents is None else documents
    labels = project.labels.current()
    own = _columns(has_tree=any(label.parent_id for label in labels.values()))
    beside = _beside(own, project.metadata_columns)
    last_pk = 0
    while pks := list(chosen.filter(pk__gt=last_pk).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        verdicts, decisions = _latest_verdicts(pks), _latest_decisions(pks)
        beliefs, settled, further = _beliefs(pks), _settled(pks), _further_rows(pks)
        for row in _documents(project if documents is None else None, pks):
            cells = {
                **row["provenance"],
                # A certificate is the promise of the project that earned it.
                "certified": "",
                "text": row["text"],
                "holdout": "yes" if row["holdout"] else "",
                **_label(row, labels, beliefs, settled.get(row["pk"]), project.certainty),
                **verdicts.get(row["pk"], {}),
                **decisions.get(row["pk"], {}),
            }
            for external_id, metadata in [(row["external_id"], row["metadata"]), *further.get(row["pk"], [])]:
                cells["id"] = external_id
                told = {name: cells.get(name, "") for name in own}
                yield told | {name: metadata.get(column, "") for name, column in beside.items()}
        last_pk = pks[-1]


def _documents(project: Project | None, pks: list[int]) -> QuerySet[Document, dict[str, Any]]:
    """Documents as plain rows: model instances would take three times as long. With a project they are all of it.

    Asked for by their keys: with a limit in their place PostgreSQL joins and sorts the whole
    project for each chunk while its statistics are older than the last import.
    """
    chosen = Q(_of(pks, "pk"), project=project) if project else Q(pk__in=pks)
    return Document.objects.filter(chosen).order_by("pk").values(*FIELDS)


def _of(pks: list[int], path: str) -> Q:
    """Rows of these documents, in the order of their keys; among others where they are neighbours."""
    if pks[-1] - pks[0] > MAX_SPREAD * CHUNK:
        return Q(**{f"{path}__in": pks})
    return Q(**{f"{path}__gte": pks[0], f"{path}__lte": pks[-1]})


def _further_rows(document_ids: list[int]) -> dict[int, list[tuple[str, dict[str, str]]]]:
    """By document: id and metadata of the other rows that came in with its text."""
    further: dict[int, list[tuple[str, dict[str, str]]]] = defaultdict(list)
    found = Row.objects.filter(_of(document_ids, "document")).order_by("pk")
    for document_id, external_id, metadata in found.values_list("document", "external_id", "metadata"):
        further[document_id].append((external_id, metadata))
    return further


def _beliefs(document_ids: list[int]) -> dict[int, dict[int | None, float]]:
    """By document that has a label: the belief in each of its candidates, after the judge's verdicts."""
    labelled = Q(document__example__isnull=False) | ~Q(document__given_source="")
    found = Prediction.objects.filter(labelled, _of(document_ids, "document")).only(
        "document_id", "candidates", "belief"
    )
    return {prediction.document_id: prediction.beliefs for prediction in found}


class _Settled(NamedTuple):
    """A label that the machine settled, None for none of these, and whether certificates cover it, and its levels."""

    label_id: int | None
    posterior: float
    certified: bool
    certified_to: int


def _settled(document_ids: list[int]) -> dict[int, _Settled]:
    """By document: the label that the machine settled and that stands."""
    covered = CohortMember.objects.filter(settled=OuterRef("pk"), certificate__isnull=False)
    found = SettledLabel.objects.filter(_of(document_ids, "document"), left_at=None)
    deepest = found.annotate(certified_to=Max("memberships__certified_to", default=0))
    rows = deepest.values_list("document_id", "label_id", "posterior", Exists(covered), "certified_to")
    return {document_id: _Settled(*row) for document_id, *row in rows}


def _latest_verdicts(document_ids: list[int]) -> dict[int, dict[str, str]]:
    """By document: the cells of its last verdict; what a judge was tried on says nothing of the document."""
    found = Verdict.objects.filter(_of(document_ids, "query__document")).exclude(query__reason=Query.Reason.TRIAL)
    found = found.order_by("pk")
    fields = ("verdict", "reason", "model", "prompt_version", "definition_version", "query__round__number")
    names = ("verdict", "verdict_reason", "judge_model", "prompt_version", "definition_version", "round")
    return {
        document_id: dict(zip(names, map(str, values), strict=True))
        for document_id, *values in found.values_list("query__document", *fields)
    }


def _latest_decisions(document_ids: list[int]) -> dict[int, dict[str, str]]:
    """By document: the cells of the last decision that holds; none while a second or third person has to decide."""
    waiting = QueueEntry.objects.exclude(people=People.ONE).filter(document=OuterRef("document"))
    found = Decision.objects.standing().filter(_of(document_ids, "document"), ~Exists(waiting))
    rows = found.order_by("pk").values_list(
        "document", "action", "reviewer__username", "created_at", "query__round__number"
    )
    decisions = {}
    for document_id, action, reviewer, created_at, number in rows:
        cells = {
            "decision": action,
            "reviewer": reviewer or "",
            "decided_at": created_at.isoformat(timespec="seconds"),
        }
        decisions[document_id] = cells | ({"round": str(number)} if number else {})
    return decisions


def _label(
    row: dict[str, Any],
    labels: dict[int, Label],
    beliefs: dict[int, dict[int | None, float]],
    settled: _Settled | None,
    bar: float,
) -> dict[str, str]:
    """The label that holds: the training example's, or the one it came with, or the settled, or the most probable."""
    predicted = row["prediction__label"] is not None
    probabilities = beliefs.get(row["pk"], {})
    given = (row["given_label"], row["given_source"])
    if row["example__source"]:
        label, source = row["example__label"], row["example__source"]
    elif row["given_source"]:
        label, source = given
    elif settled:
        label, source = settled.label_id, "model"
        probabilities = {label: settled.posterior}
    elif predicted and not _is_retired(labels.get(row["prediction__posterior_label"])):
        label, source = row["prediction__posterior_label"], "model"
        probabilities = {label: row["prediction__posterior"]}
    else:
        return {}
    cells = {**_named(labels.get(label), "label", "label_code"), "source": source}
    cells |= _certain(row, labels, bar) if source == "model" and not settled else _certainly(label, labels)
    if settled:
        cells["certified"] = "yes" if settled.certified else "no"
        cells["certified_level"] = str(settled.certified_to or "")
    if predicted:
        cells["probability"] = f"{probabilities[label]:.4f}" if label in probabilities else ""
        cells["round"] = str(row["prediction__round__number"])
    elif (label, source) != given:
        cells["probability"] = ""  # what an earlier export gave was for another label
    return cells


def _named(label: Label | None, name: str, code: str) -> dict[str, str]:
    return {name: label.name if label else "", code: label.code if label else ""}


def _certainly(label_id: int | None, labels: dict[int, Label]) -> dict[str, str]:
    """A label as the certain one, with its level."""
    label, level = labels.get(label_id or 0), 0
    above: Label | None = label
    while above and level < Label.MAX_LEVELS:
        above, level = labels.get(above.parent_id or 0), level + 1
    return _named(label, "certain_label", "certain_code") | {"certain_level": str(level or "")}


def _is_retired(label: Label | None) -> bool:
    return label is not None and label.retired_at is not None


def _certain(row: dict[str, Any], labels: dict[int, Label], bar: float) -> dict[str, str]:
    """The deepest label that is as probable as the bar, with all that lies below it."""
    certain = Prediction(path=row["prediction__path"]).certain(bar) if row["prediction__path"] else None
    if certain is None:
        return {}
    return _certainly(certain[0], labels) | {"certain_probability": f"{certain[1]:.4f}"}
