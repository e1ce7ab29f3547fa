"""Documents: see what they are labelled, change what stands beside their text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from django.core.files.base import ContentFile
from django.db import transaction
from django.utils.translation import gettext as _

from labelling.csv_io.exporting import csv_lines
from labelling.models import CsvImport, Document, Label, Project
from labelling.services import Refused, diary, imports, packing

# Names that an import gives a meaning to.
OWN_NAMES = ("id", "text", "label")


class Shown(NamedTuple):
    """A document's label (None for none of these), who gave it, and how probable it is."""

    label: Label | None
    source: str
    probability: float | None


class NewText(NamedTuple):
    """A text on its way in; without a label it goes to the pool."""

    text: str
    external_id: str
    label: str
    metadata: Mapping[str, str]


def shown(document: Document) -> Shown | None:
    """What people may be told of a document's label, as ``finding.for_pages`` gives it; None where there is none."""
    example, prediction = (getattr(document, name, None) for name in ("example", "prediction"))
    if document.is_blind and prediction:  # type: ignore[attr-defined]
        return Shown(prediction.label, "model", prediction.probability)
    belief = document.belief
    if example:
        same = belief is not None and belief.label == example.label
        return Shown(example.label, example.source, belief.probability if belief and same else None)
    if document.holdout:
        return Shown(document.given_label, "holdout", None)
    return Shown(belief.label, "model", belief.probability) if belief else None


def add(project: Project, texts: list[NewText], user) -> CsvImport:
    """Bring texts in, as a file would that holds them.

    Raises:
        Refused: when another import is running, or a name of the metadata means something else.
    """
    names = list(dict.fromkeys(name for text in texts for name in text.metadata))
    if taken := [name for name in names if name in OWN_NAMES]:
        raise Refused(_("Metadata can't be called %(names)s.") % {"names": ", ".join(taken)})
    rows = (
        [text.external_id, text.text, text.label, *(text.metadata.get(name, "") for name in names)] for text in texts
    )
    lines = csv_lines([*OWN_NAMES, *names], rows, for_programs=True)
    file = ContentFile("".join(lines).encode(), name="texts.csv")
    layout = {"has_header": True, "plain_quotes": False, "skip_spaces": False, "skip_rows": 0, "more_header_rows": 0}
    added = imports.upload(project, file, user, encoding="utf-8", delimiter=",", **layout)
    added.id_column, added.text_column, added.label_column = OWN_NAMES
    added.is_export = False
    imports.start(added)
    return added


def change_metadata(document: Document, metadata: Mapping[str, str]) -> None:
    """Put these values in the place of those with the same names; an empty one removes its name."""
    merged = {**document.metadata, **metadata}
    with transaction.atomic():
        document.metadata = {name: value for name, value in merged.items() if value}
        document.save(update_fields=["metadata"])
        project = Project.objects.select_for_update().get(pk=document.project_id)
        project.metadata_columns = list(dict.fromkeys([*project.metadata_columns, *document.metadata]))
        project.save(update_fields=["metadata_columns"])


@transaction.atomic
def delete(document: Document) -> None:
    """Delete a document that no evidence rests on.

    Raises:
        Refused: when somebody decided on it, it was settled, or asked about.
    """
    locked = Document.objects.select_for_update().get(pk=document.pk)
    if locked.decisions.exists() or locked.queries.exists() or locked.settled_labels.exists():
        raise Refused(_("Decisions, questions or the certificate rest on this document: it stays."))
    locked.delete()
    packing.forget(locked.project)
    about = locked.external_id or document.pk
    diary.write(diary.Act.DOCUMENTS_DELETED, locked.project, about, before={"documents": 1})
