"""Which documents a reviewer is for, or only people decide on."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import Label, Project
from labelling.models.domains import Domain


class DomainForm(forms.Form):
    """Labels and values of the metadata, one a line: there may be a thousand of them."""

    labels = forms.CharField(
        label=gettext_lazy("Labels"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=gettext_lazy("One a line, by code or name. Each stands for all below it. Empty: no matter which."),
    )
    values = forms.CharField(
        label=gettext_lazy("Values"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("One a line, as they stand in the column: a language, a source, a team."),
    )
    field_order = ["labels", "column", "values"]

    def __init__(self, *args: Any, project: Project, domain: Domain | None, **kwargs: Any):
        super().__init__(*args, **kwargs | {"label_suffix": ""})
        self.project = project
        columns = [(name, name) for name in project.metadata_columns]
        self.fields["column"] = forms.ChoiceField(
            label=_("Column of the metadata"), choices=[("", _("No matter which")), *columns], required=False
        )
        self.order_fields(self.field_order)
        if domain:
            self.initial = {
                "labels": "\n".join(label.code or label.name for label in domain.labels.all()),
                "column": domain.column,
                "values": "\n".join(domain.values),
            }

    def clean_labels(self) -> list[Label]:
        """The labels that the lines name.

        Raises:
            ValidationError: with all lines that name none.
        """
        in_use = list(self.project.labels.in_use().defer("definition", "synonyms"))
        by_word = {label.name.casefold(): label for label in in_use}
        by_word |= {label.code.casefold(): label for label in in_use if label.code}
        lines = _lines(self.cleaned_data["labels"])
        if unknown := [line for line in lines if line.casefold() not in by_word]:
            raise forms.ValidationError(_("No label is called %(names)s.") % {"names": ", ".join(unknown)})
        return list(dict.fromkeys(by_word[line.casefold()] for line in lines))

    def clean_values(self) -> list[str]:
        return _lines(self.cleaned_data["values"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if bool(cleaned.get("values")) != bool(cleaned.get("column")):
            self.add_error("values", _("Values need a column, and a column needs values."))
        return cleaned


def _lines(text: str) -> list[str]:
    return list(dict.fromkeys(line for part in text.replace("\0", "").splitlines() if (line := part.strip())))
