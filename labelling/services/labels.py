"""Labels and the versions of their definitions."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import RestrictedError
from django.utils.translation import gettext as _

from labelling.models import Definition, Label, Project
from labelling.services import Refused


@transaction.atomic
def define(label: Label, text: str, author: User | None) -> Definition | None:
    """Give a label a new version of its definition; None when the text is the one it has."""
    label = Label.objects.select_for_update().get(pk=label.pk)
    text = text.strip()
    if text == label.definition:
        return None
    label.definition = text
    label.definition_version += 1
    label.save()
    return Definition.objects.create(label=label, version=label.definition_version, text=text, author=author)


def create_labels(project: Project, names: Iterable[str]) -> dict[str, Label]:
    """Create the labels that do not exist yet and return all of the project's, by name."""
    Label.objects.bulk_create([Label(project=project, name=name) for name in names], ignore_conflicts=True)
    return {label.name: label for label in project.labels.all()}


def delete_label(label: Label) -> None:
    """Delete a label that nothing uses.

    Raises:
        Refused: when documents, examples or decisions name it.
    """
    try:
        label.delete()
    except RestrictedError as error:
        raise Refused(_("“%(label)s” is in use and can't be deleted.") % {"label": label}) from error
