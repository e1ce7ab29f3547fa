"""CSV files out: every document with its label and where that came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from labelling.csv_io.exporting import COLUMNS, csv_lines
from labelling.models import Decision, Document, People, Prediction, Project, QueueEntry, Verdict

# Documents read at a time: the stream never holds more in memory.
CHUNK = 2_000

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
    "prediction__round__number",
)


def export_lines(project: Project) -> Iterator[str]:
    """Yield the lines of the project's export."""
    extra = project.metadata_columns
    header = list(COLUMNS)
    for name in extra:
        while name in header:
            name += " (original)"
        header.append(name)
    return csv_lines(header, _rows(project, extra))


def _rows(project: Project, extra: list[str]) -> Iterator[list[str]]:
    names = dict(project.labels.values_list("pk", "name"))
    last_pk = 0
    while pks := list(project.documents.filter(pk__gt=last_pk).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        verdicts, decisions = _latest_verdicts(pks), _latest_decisions(pks)
        beliefs = _beliefs(pks)
        for row in _documents(pks):
            cells = {
                **row["provenance"],
                "id": row["external_id"],
                "text": row["text"],
                "holdout": "yes" if row["holdout"] else "",
                **_label(row, names, beliefs),
                **verdicts.get(row["pk"], {}),
                **decisions.get(row["pk"], {}),
            }
            yield [cells.get(name, "") for name in COLUMNS] + [row["metadata"].get(name, "") for name in extra]
        last_pk = pks[-1]


def _documents(pks: list[int]) -> QuerySet[Document, dict[str, Any]]:
    """Documents as plain rows: model instances would take three times as long.

    Asked for by their keys: with a limit in their place PostgreSQL joins and sorts the whole
    project for each chunk while its statistics are older than the last import.
    """
    return Document.objects.filter(pk__in=pks).order_by("pk").values(*FIELDS)


def _beliefs(document_ids: list[int]) -> dict[int, dict[int | None, float]]:
    """By document that has a label: the belief in each of its candidates, after the judge's verdicts."""
    labelled = Q(document__example__isnull=False) | ~Q(document__given_source="")
    found = Prediction.objects.filter(labelled, document__in=document_ids).only("document_id", "candidates", "belief")
    return {prediction.document_id: prediction.beliefs for prediction in found}


def _latest_verdicts(document_ids: list[int]) -> dict[int, dict[str, str]]:
    """By document: the cells of its last verdict."""
    found = Verdict.objects.filter(query__document__in=document_ids).order_by("pk")
    fields = ("verdict", "reason", "model", "prompt_version", "definition_version", "query__round__number")
    names = ("verdict", "verdict_reason", "judge_model", "prompt_version", "definition_version", "round")
    return {
        document_id: dict(zip(names, map(str, values), strict=True))
        for document_id, *values in found.values_list("query__document", *fields)
    }


def _latest_decisions(document_ids: list[int]) -> dict[int, dict[str, str]]:
    """By document: the cells of the last decision that holds; none while a second or third person has to decide."""
    waiting = QueueEntry.objects.exclude(people=People.ONE).filter(document=OuterRef("document"))
    found = Decision.objects.standing().filter(~Exists(waiting), document__in=document_ids)
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


def _label(row: dict[str, Any], names: dict[int, str], beliefs: dict[int, dict[int | None, float]]) -> dict[str, str]:
    """The label that holds: the training example's, or the one it came with, or else the most probable."""
    predicted = row["prediction__label"] is not None
    probabilities = beliefs.get(row["pk"], {})
    given = (row["given_label"], row["given_source"])
    if row["example__source"]:
        label, source = row["example__label"], row["example__source"]
    elif row["given_source"]:
        label, source = given
    elif predicted:
        label, source = row["prediction__posterior_label"], "model"
        probabilities = {label: row["prediction__posterior"]}
    else:
        return {}
    cells = {"label": names.get(label, ""), "source": source}
    if predicted:
        cells["probability"] = f"{probabilities[label]:.4f}" if label in probabilities else ""
        cells["round"] = str(row["prediction__round__number"])
    elif (label, source) != given:
        cells["probability"] = ""  # what an earlier export gave was for another label
    return cells
