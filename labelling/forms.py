"""What people fill in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext_lazy as _
from tablib import Dataset

from labelling.csv_io.exporting import restore
from labelling.csv_io.formats import DELIMITERS, ENCODINGS, Format, NotCsv, detect
from labelling.csv_io.records import Malformed, Record
from labelling.csv_io.rows import data_records, is_export_of, read_header, wrong_record
from labelling.models import Comparison, CsvImport, Drafting, Label, Membership, Project

MAX_SHOWN_ERRORS = 20


class ProjectForm(forms.ModelForm):
    """A new project: the rest has sensible defaults."""

    class Meta:
        model = Project
        fields = ["name", "task"]
        widgets = {"task": forms.Textarea(attrs={"rows": 3})}


class ProjectSettingsForm(forms.ModelForm):
    """Everything a manager can change; a running round keeps the settings it started with."""

    class Meta:
        model = Project
        fields = [
            "name",
            "task",
            "judge",
            "judge_model",
            "judge_base_url",
            "question",
            "use_batches",
            "confirm_spending",
            "round_cap",
            "project_cap",
            "auto_accept",
            "batch_size",
            "retrain_after",
            "strategy",
            "certainty",
            "audit_share",
            "claim_minutes",
            "overlap",
            "combination",
            "subset_size",
            "noise_ratio",
            "random_seed",
        ]
        widgets = {"task": forms.Textarea(attrs={"rows": 3})}

    SECTIONS = {
        "Project": ["name", "task"],
        "Judge": ["judge", "question", "auto_accept"],
        "Language model": [
            "judge_model",
            "judge_base_url",
            "use_batches",
            "confirm_spending",
            "round_cap",
            "project_cap",
        ],
        "Rounds": ["batch_size", "retrain_after", "strategy", "certainty", "audit_share"],
        "Review": ["claim_minutes", "overlap"],
        "Classifiers": ["combination", "subset_size", "noise_ratio", "random_seed"],
    }

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        default = settings.JUDGE_BASE_URL or "Anthropic"
        # Whoever is sent a question is sent the key: only the administrator says who that may be.
        allowed = [("", f"The site's default ({default})"), *((url, url) for url in settings.JUDGE_BASE_URLS)]
        now = self.instance.judge_base_url
        if now and now not in settings.JUDGE_BASE_URLS:
            allowed.append((now, f"{now} (not allowed any more)"))
        self.fields["judge_base_url"] = forms.ChoiceField(
            choices=allowed,
            required=False,
            label=self.fields["judge_base_url"].label,
            help_text=self.fields["judge_base_url"].help_text,
        )
        self.fields["judge_model"].help_text = f"As the server names it. Empty: {settings.JUDGE_MODEL}."

    def clean_judge_base_url(self) -> str:
        url = self.cleaned_data["judge_base_url"]
        if url and url not in settings.JUDGE_BASE_URLS:
            raise forms.ValidationError("This address is not allowed any more: choose another one.")
        return url

    def clean(self) -> dict[str, Any]:
        """Only a language model takes batches."""
        cleaned = super().clean() or {}
        if cleaned.get("use_batches") and cleaned.get("judge") == Project.JudgeName.NEIGHBOURS:
            self.add_error("use_batches", "Message batches need the judge “anthropic”.")
        return cleaned

    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        return [(title, [self[name] for name in names]) for title, names in self.SECTIONS.items()]


class MemberForm(forms.Form):
    """Add an existing user, by name or e-mail address."""

    user = forms.CharField(label="User name or e-mail address", max_length=254)
    role = forms.ChoiceField(choices=Membership.Role)

    def clean_user(self) -> User:
        known_as = self.cleaned_data["user"].strip()
        found = User.objects.filter(Q(username=known_as) | Q(email__iexact=known_as), is_active=True)[:2]
        if len(found) != 1:
            raise forms.ValidationError("There is no such user. Administrators can create users in the admin pages.")
        return found[0]


class LabelForm(forms.ModelForm):
    """A label's name and the next version of its definition."""

    definition = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 5}),
        required=False,
        help_text="Use when …, not when … Reviewers and the judge read it. Each change is kept as a version.",
    )

    class Meta:
        model = Label
        fields = ["name", "synonyms"]
        widgets = {"synonyms": forms.TextInput}

    def __init__(self, *args: Any, project: Project, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.instance.project = project
        self.initial["definition"] = self.instance.definition

    def clean_name(self) -> str:
        name = self.cleaned_data["name"].strip()
        if Label.objects.filter(project=self.instance.project, name=name).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError("The project has a label of this name already.")
        return name


class DraftingForm(forms.ModelForm):
    """Which labels' definitions a language model is to draft, and which model."""

    class Meta:
        model = Drafting
        fields = ["scope", "model"]
        help_texts = {"model": "A label is defined once: a larger model than the judge's pays here."}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["model"].initial = settings.DEFINITION_MODEL
        self.fields["scope"].choices = [  # type: ignore[attr-defined]
            choice for choice in Drafting.Scope.choices if choice[0] != Drafting.Scope.CHOSEN
        ]


class ComparisonForm(forms.ModelForm):
    """Which judge is set beside which of those that were audited; ``figures`` as a Measurement has them."""

    base = forms.TypedChoiceField(label=_("Judge to compare with"), coerce=int)

    class Meta:
        model = Comparison
        fields = ["model", "question"]
        labels = {"model": _("Another model"), "question": _("Question to it")}

    field_order = ["base", "model", "question"]

    def __init__(self, *args: Any, figures: list[dict[str, Any]], project: Project, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["base"].choices = [  # type: ignore[attr-defined]
            (index, f"{judge['model']} · {judge['prompt_version']} ({_('%(n)s verdicts') % judge})")
            for index, judge in enumerate(figures)
        ]
        self.fields["model"].initial = project.judge_model or settings.JUDGE_MODEL
        self.fields["question"].initial = project.question


class UploadForm(forms.Form):
    """A CSV file of documents."""

    file = forms.FileField(label="CSV file", widget=forms.FileInput(attrs={"accept": ".csv,.tsv,.txt,text/csv"}))

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        limit = settings.MAX_UPLOAD_MB * 1024 * 1024
        if file.size > limit:
            raise forms.ValidationError(
                f"The file has {filesizeformat(file.size)}; at most {filesizeformat(limit)} are allowed. Split it."
            )
        return file


class MappingForm(forms.ModelForm):
    """How to read an uploaded file and which column holds what."""

    class Meta:
        model = CsvImport
        fields = [
            "encoding",
            "delimiter",
            "has_header",
            "text_column",
            "label_column",
            "id_column",
            "is_export",
            "holdout_percent",
            "keep_good_rows",
        ]

    def __init__(self, *args: Any, header: list[str], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.header = header
        columns = [(name, name) for name in header]
        absent = [("", "– none –"), *columns]
        choices = {
            "encoding": [(name, name) for name in dict.fromkeys([self.instance.encoding, *ENCODINGS])],
            "delimiter": list(DELIMITERS.items()),
            "text_column": columns,
            "label_column": absent,
            "id_column": absent,
        }
        for name, options in choices.items():
            required, label = name not in ("label_column", "id_column"), self.fields[name].label
            self.fields[name] = forms.ChoiceField(choices=options, required=required, label=label)
        if not self.instance.is_export:
            del self.fields["is_export"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        chosen = [cleaned.get(f"{name}_column") for name in ("text", "label", "id")]
        chosen = [name for name in chosen if name]
        if len(chosen) != len(set(chosen)):
            raise forms.ValidationError("Text, label and id need a column each: one was chosen twice.")
        if cleaned.get("is_export") and not is_export_of(self.header):
            cleaned["is_export"] = False
        return cleaned


class DefinitionsForm(UploadForm):
    """A CSV file of labels and definitions."""

    def clean_file(self) -> Dataset:
        file = super().clean_file()
        try:
            fmt = detect(file)
            header = [name.strip().lower() for name in read_header(file, fmt)]
            records = list(data_records(file, fmt))
        except NotCsv as error:
            raise forms.ValidationError(f"This file can't be read. {error}") from error
        if missing := [name for name in ("name", "definition") if name not in header]:
            raise forms.ValidationError(f"The file has no column {' and no column '.join(missing)}.")
        if wrong := list(_wrong(records, header, fmt)):
            raise forms.ValidationError(wrong[:MAX_SHOWN_ERRORS])
        rows = ([restore(cell) for cell in record.cells] for record in records if isinstance(record, Record))
        dataset = Dataset(*rows, headers=header)
        if not dataset.height:
            raise forms.ValidationError("The file has no rows below the column names.")
        if repeated := [name for name, n in Counter(map(str.strip, dataset["name"])).items() if n > 1]:
            raise forms.ValidationError(f"More than one row: {', '.join(repeated[:MAX_SHOWN_ERRORS])}.")
        return dataset


def _wrong(records: list[Record | Malformed], header: list[str], fmt: Format) -> Iterator[str]:
    for record in records:
        if isinstance(record, Malformed):
            yield f"Line {record.line}: {record.reason}"
        elif wrong := wrong_record(header, record.cells, fmt.encoding):
            yield f"Line {record.line}, column {wrong[0]}: {wrong[1]}"
