"""Files of documents."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.csv_io.columns import is_export_of
from labelling.csv_io.dialects import DELIMITERS, PEERS, WORKBOOK
from labelling.csv_io.formats import ENCODINGS
from labelling.models import CsvImport


class UploadForm(forms.Form):
    """A file of documents."""

    TOO_LARGE = gettext_lazy("The file has %(size)s; at most %(limit)s are allowed. Split it.")
    ACCEPTED = ".csv,.tsv,.tab,.txt,.xlsx,.xls,.ods,.json,.jsonl,.ndjson,.zip,.gz,.parquet,text/csv"

    file = forms.FileField(label=gettext_lazy("File"), widget=forms.FileInput(attrs={"accept": ACCEPTED}))

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        limit = settings.MAX_UPLOAD_MB * 1024 * 1024
        if file.size > limit:
            told = {"size": filesizeformat(file.size), "limit": filesizeformat(limit)}
            raise forms.ValidationError(self.TOO_LARGE % told)
        return file


class PredictForm(UploadForm):
    """A file of texts that come later; only managers choose whether they are watched."""

    watch = forms.BooleanField(
        label=gettext_lazy("Watch these texts"),
        required=False,
        help_text=gettext_lazy(
            "Labels are counted, and a random share of the texts that are answered as certified (a setting) comes into "
            "the project, where people audit it: it tells when the certificate no longer holds for such texts."
        ),
    )

    def __init__(self, *args: Any, is_manager: bool, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not is_manager:
            del self.fields["watch"]


class ProjectFileForm(UploadForm):
    """A project that another installation has packed."""

    TOO_LARGE = gettext_lazy(
        "The file has %(size)s; at most %(limit)s can be sent. "
        "An administrator unpacks larger ones on the command line."
    )
    file = forms.FileField(label=gettext_lazy("File"), widget=forms.FileInput(attrs={"accept": ".zip"}))


class MappingForm(forms.ModelForm):
    """How to read an uploaded file and which column holds what."""

    class Meta:
        model = CsvImport
        fields = [
            "encoding",
            "delimiter",
            "has_header",
            "skip_rows",
            "more_header_rows",
            "plain_quotes",
            "skip_spaces",
            "text_column",
            "more_text_columns",
            "label_column",
            "id_column",
            "is_export",
            "holdout_percent",
            "keep_good_rows",
        ]
        labels = {
            "encoding": gettext_lazy("Encoding"),
            "delimiter": gettext_lazy("Delimiter"),
            "text_column": gettext_lazy("Text column"),
            "label_column": gettext_lazy("Label column"),
            "id_column": gettext_lazy("Id column"),
        }

    # What a person can say of a CSV file, of a workbook, and of the others: they have names for certain.
    LAYOUT = ("encoding", "delimiter", "has_header", "skip_rows", "more_header_rows", "plain_quotes", "skip_spaces")
    ROWS = ("has_header", "skip_rows", "more_header_rows")
    COLUMNS = ("text_column", "more_text_columns", "label_column", "id_column", "is_export")

    more_text_columns = forms.MultipleChoiceField(
        label=gettext_lazy("Further columns of the text"),
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=gettext_lazy("Each is joined to it with its name: people, classifiers and judge read them all."),
    )

    @classmethod
    def layout_of(cls, kind: str) -> tuple[str, ...]:
        """The fields that say how a file of this kind is laid out."""
        return cls.LAYOUT if not kind else cls.ROWS if kind == WORKBOOK else ()

    def __init__(self, *args: Any, header: list[str], **kwargs: Any):
        super().__init__(*args, **kwargs)
        kind = self.instance.kind
        self._offer_columns(header)
        absent = {*self.LAYOUT} - {*self.layout_of(kind)}
        if kind in PEERS:
            absent |= {*self.COLUMNS}
        elif not is_export_of(header):
            absent.add("is_export")
        for name in absent:
            del self.fields[name]

    def layout(self) -> list[forms.BoundField]:
        return [self[name] for name in self.LAYOUT if name in self.fields]

    def columns(self) -> list[forms.BoundField]:
        return [self[name] for name in self.COLUMNS if name in self.fields]

    def _offer_columns(self, header: list[str]) -> None:
        self.header = header
        columns = [(name, name) for name in header]
        absent = [("", _("– none –")), *columns]
        own = self.instance.delimiter
        choices = {
            "encoding": [(name, name) for name in dict.fromkeys([self.instance.encoding, *ENCODINGS])],
            "delimiter": list(({own: own} | DELIMITERS).items()),
            "text_column": columns,
            "label_column": absent,
            "id_column": absent,
        }
        for name, options in choices.items():
            required, label = name not in ("delimiter", "label_column", "id_column"), self.fields[name].label
            self.fields[name] = forms.ChoiceField(choices=options, required=required, label=label)
        more = [column for column in columns if column[0] != self.instance.text_column]
        self.fields["more_text_columns"].choices = more  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        chosen = [cleaned.get(f"{name}_column") for name in ("text", "label", "id")]
        chosen = [name for name in (*chosen, *cleaned.get("more_text_columns", [])) if name]
        if len(chosen) != len(set(chosen)):
            raise forms.ValidationError(_("Text, label and id need a column each: one was chosen twice."))
        if cleaned.get("is_export") and not {"text", "label"} <= set(chosen):
            raise forms.ValidationError(_("An export has its texts in “text” and its labels in “label”."))
        for name in ("skip_rows", "more_header_rows"):
            if name in self.fields:
                cleaned[name] = cleaned.get(name) or 0
        return cleaned
