"""Label definitions as CSV, in and out."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from import_export import fields, resources, widgets
from import_export.formats.base_formats import CSV
from tablib import Dataset

from labelling.csv_io.exporting import csv_lines, restore
from labelling.csv_io.rows import MAX_LABEL_CHARS
from labelling.models import Label, Project
from labelling.services import access
from labelling.services import labels as services


class LabelCsv(CSV):
    """CSV in which a spreadsheet runs nothing, and that comes back as it was."""

    def export_data(self, dataset: Dataset, **kwargs: Any) -> str:
        return "".join(csv_lines(dataset.headers, dataset))

    def create_dataset(self, in_stream: Any, **kwargs: Any) -> Dataset:
        read = super().create_dataset(in_stream, **kwargs)
        rows = ([restore(cell) for cell in row] for row in read)
        return Dataset(*rows, headers=[restore(name) for name in read.headers or []])


class LabelResource(resources.ModelResource):
    """Labels as rows of project, code, name, parent, synonyms and definition.

    Coming in, a definition that changes becomes a new version. An empty cell of definition or synonyms leaves what is
    there, so that a list of names can be imported without harm; so does a file without the column. Code and parent
    only go out here: a project's own page takes them in.
    """

    project = fields.Field(
        column_name="project", attribute="project", widget=widgets.ForeignKeyWidget(Project, field="slug")
    )
    code = fields.Field(column_name="code", attribute="code", readonly=True)
    parent = fields.Field(column_name="parent", readonly=True)
    synonyms = fields.Field(column_name="synonyms", attribute="synonyms", readonly=True)
    definition = fields.Field(column_name="definition", attribute="definition", readonly=True)

    class Meta:
        model = Label
        fields = ("project", "code", "name", "parent", "synonyms", "definition")
        import_id_fields = ("project", "name")

    def __init__(self, user: Any = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.user = user

    def dehydrate_parent(self, label: Label) -> str:
        return (label.parent.code or label.parent.name) if label.parent else ""

    def before_import_row(self, row: dict[str, Any], **kwargs: Any) -> None:
        """Turn away nameless rows, and those for projects that the user does not manage."""
        row["name"] = (row.get("name") or "").strip()
        if not row["name"]:
            raise ValueError(_("The label has no name."))
        if len(row["name"]) > MAX_LABEL_CHARS:
            told = {"n": f"{len(row['name']):,}", "limit": MAX_LABEL_CHARS}
            raise ValueError(_("The name has %(n)s characters; at most %(limit)s are allowed.") % told)
        if any("\0" in (cell or "") for cell in row.values()):
            raise ValueError(_("The row holds a NUL byte."))
        let_in = Project.objects.exclude(pk__in=access.closed_to(self.user))
        project = let_in.filter(slug=row.get("project") or "").first()
        if project is None or not project.is_managed_by(self.user):
            raise ValueError(_("You manage no project “%(project)s”.") % {"project": row.get("project") or ""})

    def after_save_instance(self, instance: Label, row: dict[str, Any], **kwargs: Any) -> None:
        if synonyms := (row.get("synonyms") or "").strip():
            instance.synonyms = synonyms
            instance.save(update_fields=["synonyms"])
        if row.get("definition"):
            services.define(instance, row["definition"], self.user)
