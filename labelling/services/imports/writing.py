"""Write documents, their labels and the lines they came in with."""

from __future__ import annotations

from itertools import islice
from typing import TypeGuard

from django.db.models import Q

from labelling.csv_io.names import Meaning
from labelling.csv_io.rows import (
    Row,
)
from labelling.csv_io.screening import Changed, Known
from labelling.models import (
    CsvImport,
    Document,
    Label,
    Prediction,
    QueueEntry,
    TrainingExample,
)
from labelling.models.documents import Source
from labelling.services.imports.checking import (
    Check,
    Progress,
    is_holdout,
    screened,
)
from labelling.services.imports.inserting import insert
from labelling.services.imports.lines import Lines, bring_up_to_date, further_lines
from labelling.services.labels import by_name, create_labels

# Rows written in one transaction: small enough that a reviewer never waits for it.
CHUNK_ROWS = 2_000
# What a row may change of a document that is there.
CHANGED = ["provenance", "given_label", "given_source", "holdout", "proposals", "is_disputed"]


def prepare_project(csv_import: CsvImport, check: Check) -> None:
    project = csv_import.project
    before = set(project.labels.values_list("pk", flat=True))
    labels = create_labels(project, check.labels)
    # Once more after an interruption: those of the first time are there by now.
    csv_import.made_labels += [label.pk for label in labels.values() if label.pk not in before]
    csv_import.save(update_fields=["made_labels"])
    project.metadata_columns = list(dict.fromkeys([*project.metadata_columns, *check.metadata]))
    project.save(update_fields=["metadata_columns"])


def write(csv_import: CsvImport, check: Check, meaning: Meaning, progress: Progress) -> None:
    labels = by_name(csv_import.project)
    total = sum(check.counts[role] for role in ("labelled", "holdout", "pool"))
    lines = Lines(csv_import, {item.row.text_hash for item in check.repeated})
    with csv_import.file.open("rb") as file:
        items = (item for item in screened(csv_import, meaning, file) if _writes(item))
        written = 0
        progress.report(CsvImport.Step.WRITE, 0, total)
        while chunk := list(islice(items, CHUNK_ROWS)):
            with progress.transaction():
                _write_chunk(csv_import, chunk, labels, check.holdout, lines)
            written += sum(isinstance(item, Row) for item in chunk)
            progress.report(CsvImport.Step.WRITE, written, total)


def _writes(item: object) -> TypeGuard[Row | Known | Changed]:
    return isinstance(item, (Row, Changed)) or (isinstance(item, Known) and not item.again)


def _write_chunk(
    csv_import: CsvImport,
    chunk: list[Row | Known | Changed],
    labels: dict[str, Label],
    holdout: set[str],
    lines: Lines,
) -> None:
    rows = [item for item in chunk if isinstance(item, Row)]
    created_by = _write_documents(csv_import, rows, labels, holdout)
    _apply_changes(csv_import, [item for item in chunk if isinstance(item, Changed)], labels)
    lines.keep([row for row in further_lines(chunk, csv_import, lines.repeated) if row.line not in created_by])


def _write_documents(csv_import: CsvImport, rows: list[Row], labels: dict[str, Label], holdout: set[str]) -> set[int]:
    """Write new documents, and labels to those that have none; return the lines that became documents."""
    documents = Document.objects.filter(project=csv_import.project, text_hash__in=[row.text_hash for row in rows])
    # Looked up once: the rows of a first import are all new, and Django asks nothing about no keys.
    known = Document.objects.filter(pk__in=list(documents.values_list("pk", flat=True)))
    # The queue first, then the documents: whoever reviews locks them in this order too.
    labelled = [row.text_hash for row in rows if row.source]
    QueueEntry.objects.filter(document__in=known.filter(text_hash__in=labelled)).delete()
    known_by_hash = {document.text_hash: document for document in known.select_for_update()}
    # Somebody decided on these since the file was checked: their word holds.
    decided = set(known.filter(example__isnull=False).values_list("text_hash", flat=True))
    rows = [row for row in rows if row.text_hash not in decided]
    created_by = set()
    new: dict[str, Document] = {}
    for row in rows:
        document = known_by_hash.get(row.text_hash) or new.get(row.text_hash)
        if document is None:
            document = new[row.text_hash] = Document(
                project_id=csv_import.project_id,
                csv_import_id=csv_import.pk,
                text=row.text,
                text_hash=row.text_hash,
                external_id=row.external_id,
                metadata=dict(row.metadata),
            )
            created_by.add(row.line)
        document.provenance = {**document.provenance, **row.provenance}
        document.given_label_id = labels[row.label].pk if row.label else None
        document.given_source = row.source
        document.holdout = is_holdout(row, holdout)
        document.proposals = [*document.proposals, *row.proposals]
        document.is_disputed = document.is_disputed or row.is_disputed
    changed = [known_by_hash[row.text_hash] for row in rows if row.text_hash in known_by_hash]
    Document.objects.bulk_update(changed, CHANGED)
    insert(new.values())
    created = Document.objects.filter(project=csv_import.project, text_hash__in=list(new))
    for key, pk in created.values_list("text_hash", "pk"):
        new[key].pk = pk
    _learn_given_labels([*changed, *new.values()])
    return created_by


def _apply_changes(csv_import: CsvImport, changed: list[Changed], labels: dict[str, Label]) -> None:
    """Take over what somebody chose to; the metadata in any case."""
    if not changed:
        return
    takes_text, takes_label = (csv_import.answers.get(f"changed:{what}") == "take" for what in ("text", "label"))
    by_id = {item.row.external_id: item.row for item in changed if item.what == "text"}
    by_hash = {item.row.text_hash: item.row for item in changed if item.what == "label"}
    documents = csv_import.project.documents.filter(Q(external_id__in=by_id) | Q(text_hash__in=by_hash))
    documents = documents.select_for_update(of=("self",)).select_related("example")
    for document in documents:
        row = by_hash.get(document.text_hash) or by_id[document.external_id]
        if takes_text and row.text_hash != document.text_hash:
            document.text, document.text_hash = row.text, row.text_hash
            QueueEntry.objects.filter(document=document).delete()
            Prediction.objects.filter(document=document).delete()
        if takes_label and row.source:
            _relabel(document, row, labels)
        if document.external_id == row.external_id:
            bring_up_to_date(document, row)
        document.save()


def _relabel(document: Document, row: Row, labels: dict[str, Label]) -> None:
    document.given_label = labels[row.label] if row.label else None
    document.given_source = row.source
    if document.holdout:
        return
    QueueEntry.objects.filter(document=document).delete()
    told = {"label": document.given_label, "source": row.source, "learned_in": None}
    TrainingExample.objects.exclude(source=Source.HUMAN).update_or_create(document=document, defaults=told)


def _learn_given_labels(documents: list[Document]) -> None:
    insert(
        [
            TrainingExample(document_id=document.pk, label_id=document.given_label_id, source=document.given_source)
            for document in documents
            if document.given_source and not document.holdout
        ]
    )
