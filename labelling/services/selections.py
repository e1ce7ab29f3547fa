"""Which rows and columns of a project an export has."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from django.db.models import QuerySet, TextChoices
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.csv_io.peers import label_studio
from labelling.csv_io.writing import WRITERS, Lines
from labelling.models import BackgroundJob, Document, Label, Project, Release
from labelling.models.documents import Source
from labelling.services import Refused, diary, exports, releases


class Which(TextChoices):
    """Rows, by what is known of their labels."""

    ALL = "all", gettext_lazy("All")
    CERTIFIED = "certified", gettext_lazy("Certified")
    PEOPLE = "people", gettext_lazy("Decided by people")


@dataclass(frozen=True)
class Selection:
    """Rows as they are now or in a ``release``, all or of one ``label``; ``columns``: empty for all of them.

    ``documents``: of these alone, None for all; not with a release.
    """

    which: str = Which.ALL
    label: Label | None = None
    release: Release | None = None
    columns: Collection[str] = ()
    documents: QuerySet[Document] | None = None


def header_of(project: Project, selection: Selection) -> list[str]:
    """The names of the columns that were chosen, in the order of the export."""
    names = exports.header(project)
    return [name for name in names if name in selection.columns] or names


def write(project: Project, format_name: str, selection: Selection) -> Lines:
    """Return an export's content, bit by bit.

    Raises:
        Refused: when some columns are missing that the format needs, or the release's file is damaged.
    """
    writer = WRITERS[format_name]
    header = header_of(project, selection)
    if not writer.fits_columns and len(header) < len(exports.header(project)):
        raise Refused(_("This format needs all columns."))
    told = {"rows": selection.which, "label": selection.label, "release": selection.release}
    content = writer.write(header, rows(project, selection))
    diary.write(diary.Act.EXPORTED, project, format_name, after={name: str(one) for name, one in told.items() if one})
    return content


def rows(project: Project, selection: Selection) -> Iterator[dict[str, str]]:
    """Return the rows that were chosen, with all cells by name.

    Raises:
        Refused: when the release's file is damaged.
    """
    all_rows = (
        _of_release(selection.release, project) if selection.release else exports.rows(project, selection.documents)
    )
    return (row for row in all_rows if _is_chosen(row, selection))


def configuration(project: Project) -> str:
    """The labelling configuration for Label Studio, with all labels and their definitions."""
    return label_studio.configuration(project.labels.order_by("name").values_list("name", "definition"))


def finished_releases(project: Project) -> QuerySet[Release]:
    return project.releases.filter(state=BackgroundJob.State.DONE)


def _of_release(release: Release, project: Project) -> Iterator[dict[str, str]]:
    try:
        releases.verify(release, Release.LABELS_JSONL)
    except releases.Damaged as damage:
        raise Refused(str(damage)) from damage
    nothing = dict.fromkeys(exports.header(project), "")

    def read() -> Iterator[dict[str, str]]:
        with (release.folder / Release.LABELS_JSONL).open(encoding="utf-8") as file:
            for line in file:
                yield nothing | json.loads(line)

    return read()


def _is_chosen(row: dict[str, str], selection: Selection) -> bool:
    if selection.label and row["label"] != selection.label.name:
        return False
    if selection.which == Which.CERTIFIED:
        return row["certified"] == "yes"
    return selection.which != Which.PEOPLE or row["source"] == Source.HUMAN
