"""Labels, their place in the tree, and the versions of their definitions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import RestrictedError
from django.utils.translation import gettext as _

from labelling.csv_io.label_lists import ListedLabel, parents_by_prefix
from labelling.models import Definition, Label, Project
from labelling.services import Refused, diary, trees
from labelling.services.diary import Act


@transaction.atomic
def define(label: Label, text: str, author: User | None) -> Definition | None:
    """Give a label a new version of its definition; None when the text is the one it has."""
    before = label.definition
    version = _define(label, text, author)
    if version:
        told = {"definition": before}, {"definition": version.text}
        diary.write(Act.LABEL_CHANGED, label.project, label, *told, user=author)
    return version


def _define(label: Label, text: str, author: User | None) -> Definition | None:
    label = Label.objects.select_for_update().get(pk=label.pk)
    text = text.strip()
    if text == label.definition:
        return None
    label.definition = text
    label.definition_version += 1
    label.save(update_fields=["definition", "definition_version"])
    return Definition.objects.create(label=label, version=label.definition_version, text=text, author=author)


@transaction.atomic
def mend(label: Label, text: str, author: User, version: int) -> None:
    """Give a label a new version of its definition, in the place of the version that the author has read.

    Raises:
        Refused: when there is a newer one by now, or the text is empty.
    """
    label = Label.objects.select_for_update().get(pk=label.pk)
    if label.definition_version != version:
        raise Refused(
            _("Somebody has changed this definition meanwhile: it now is “%(text)s”.") % {"text": label.definition}
        )
    if not text.strip():
        raise Refused(_("The definition is empty."))
    define(label, text, author)


@transaction.atomic
def add(project: Project, name: str, definition: str = "", synonyms: str = "", author: User | None = None) -> Label:
    """Create a label with the first version of its definition.

    Raises:
        Refused: when the project has one of this name.
    """
    label, is_new = Label.objects.get_or_create(project=project, name=name, defaults={"synonyms": synonyms})
    if not is_new:
        raise Refused(_("The project has a label of this name already."))
    _define(label, definition, author)
    label.refresh_from_db()
    diary.write(Act.LABEL_ADDED, project, label, after={"definition": label.definition}, user=author)
    return label


@transaction.atomic
def save(label: Label) -> Label:
    """Keep a label that is new, or was given another name, code or synonyms."""
    told = ("name", "code", "synonyms")
    before = Label.objects.filter(pk=label.pk).values(*told).first()
    label.save()
    after = {name: getattr(label, name) for name in told}
    if before is None:
        diary.write(Act.LABEL_ADDED, label.project, label, after=after)
    else:
        diary.write_changes(Act.LABEL_CHANGED, label.project, label, before, after)
    return label


def create_labels(project: Project, names: Iterable[str]) -> dict[str, Label]:
    """Create the labels that do not exist yet and return all of the project's, by name."""
    Label.objects.bulk_create([Label(project=project, name=name) for name in names], ignore_conflicts=True)
    return by_name(project)


def by_name(project: Project) -> dict[str, Label]:
    """All labels by name; by the name of one that was merged, what it is a part of."""
    return {label.name: label.merged_into or label for label in project.labels.select_related("merged_into")}


def other_names(project: Project) -> dict[str, str]:
    """By code, and by name of a label that was merged, the name of the label that is meant."""
    labels = project.labels.select_related("merged_into")
    named = {label.name for label in labels}
    merged = {label.name: label.merged_into.name for label in labels if label.merged_into}
    codes = {
        label.code: (label.merged_into or label).name for label in labels if label.code and label.code not in named
    }
    return codes | merged


@transaction.atomic
def place(label: Label, parent: Label | None) -> None:
    """Put a label under another one, with all that lies below it; None: at the top.

    Raises:
        Refused: when it would lie under itself, or too deep.
    """
    labels = {one.pk: one for one in label.project.labels.select_for_update()}
    parents = {pk: one.parent_id for pk, one in labels.items()} | {label.pk: parent.pk if parent else None}
    trees.check(parents, labels)
    before, label.parent = label.parent, parent
    label.save(update_fields=["parent"])
    told = {"parent": before and str(before)}, {"parent": parent and str(parent)}
    diary.write_changes(Act.LABEL_CHANGED, label.project, label, *told)


@transaction.atomic
def import_labels(project: Project, listed: Sequence[ListedLabel], user: User | None, by_prefix: bool = False) -> int:
    """Create the labels of a list that do not exist yet, by code or else by name, and bring the others up to date.

    What the list says nothing of stays as it is.

    Args:
        by_prefix: the parent of a label is the one whose code its own begins with, among all of the project's.

    Returns:
        How many are new.

    Raises:
        Refused: for a name or code that another label has, a parent that is nowhere, or what would be no tree.
    """
    known = _Known(project)
    n_before = len(known.by_name)
    for one in listed:
        known.write(one)
    if by_prefix:
        above = parents_by_prefix([label.code for label in known.by_name.values() if label.code])
        listed = [replace(one, parent=above.get(one.code, "")) for one in listed]
    known.place([one for one in listed if one.parent])
    for one in listed:
        if one.definition:
            _define(known.found(one.key), one.definition, user)
    n_new = len(known.by_name) - n_before
    diary.write(Act.LABELS_IMPORTED, project, after={"labels": len(listed), "new": n_new}, user=user)
    return n_new


class _Known:
    """A project's labels while a list is imported."""

    def __init__(self, project: Project):
        self.project = project
        labels = list(project.labels.select_for_update())
        self.by_name = {label.name: label for label in labels}
        self.by_code = {label.code: label for label in labels if label.code}

    def found(self, key: str) -> Label:
        label = self.by_code.get(key) or self.by_name.get(key)
        if label is None:
            raise Refused(_("No label has the code or name “%(key)s”, which is named as a parent.") % {"key": key})
        return label

    def write(self, one: ListedLabel) -> None:
        label = self.by_code.get(one.code) or self.by_name.get(one.name) or Label(project=self.project)
        if (other := self.by_name.get(one.name, label)) != label or (one.code and label.code not in ("", one.code)):
            told = {"name": one.name, "code": one.code, "other": other}
            raise Refused(_("“%(name)s” with the code %(code)s: the project has “%(other)s”.") % told)
        before = (label.name, label.code, label.synonyms)
        self.by_name.pop(label.name, None)
        label.name, label.code = one.name, one.code or label.code
        label.synonyms = one.synonyms or label.synonyms
        if before != (label.name, label.code, label.synonyms):
            label.save()
        self.by_name[label.name] = label
        if label.code:
            self.by_code[label.code] = label

    def place(self, listed: Sequence[ListedLabel]) -> None:
        labels = {label.pk: label for label in self.by_name.values()}
        moved = {self.found(one.key).pk: self.found(one.parent) for one in listed}
        parents = {pk: label.parent_id for pk, label in labels.items()}
        trees.check(parents | {pk: parent.pk for pk, parent in moved.items()}, labels)
        for pk, parent in moved.items():
            labels[pk].parent = parent
        Label.objects.bulk_update([labels[pk] for pk in moved], ["parent"])


def delete_label(label: Label) -> None:
    """Delete a label that nothing uses.

    Raises:
        Refused: when documents, examples or decisions name it.
    """
    name, project = str(label), label.project
    try:
        with transaction.atomic():
            label.delete()
            diary.write(Act.LABEL_DELETED, project, name, before={"definition": label.definition})
    except RestrictedError as error:
        raise Refused(_("“%(label)s” is in use and can't be deleted.") % {"label": label}) from error
