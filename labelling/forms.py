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
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
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
        labels = {"name": gettext_lazy("Name")}
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
        labels = {
            "name": gettext_lazy("Name"),
            "judge": gettext_lazy("Judge"),
            "judge_model": gettext_lazy("Judge model"),
            "auto_accept": gettext_lazy("Auto accept"),
            "certainty": gettext_lazy("Certainty"),
            "noise_ratio": gettext_lazy("Noise ratio"),
            "random_seed": gettext_lazy("Random seed"),
        }
        widgets = {"task": forms.Textarea(attrs={"rows": 3})}

    SECTIONS = {
        gettext_lazy("Project"): ["name", "task"],
        gettext_lazy("Judge"): ["judge", "question", "auto_accept"],
        gettext_lazy("Language model"): [
            "judge_model",
            "judge_base_url",
            "use_batches",
            "confirm_spending",
            "round_cap",
            "project_cap",
        ],
        gettext_lazy("Rounds"): ["batch_size", "retrain_after", "strategy", "certainty", "audit_share"],
        gettext_lazy("Review"): ["claim_minutes", "overlap"],
        gettext_lazy("Classifiers"): ["combination", "subset_size", "noise_ratio", "random_seed"],
    }

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        default = settings.JUDGE_BASE_URL or "Anthropic"
        # Whoever is sent a question is sent the key: only the administrator says who that may be.
        allowed = [
            ("", _("The site's default (%(address)s)") % {"address": default}),
            *((url, url) for url in settings.JUDGE_BASE_URLS),
        ]
        now = self.instance.judge_base_url
        if now and now not in settings.JUDGE_BASE_URLS:
            allowed.append((now, _("%(address)s (not allowed any more)") % {"address": now}))
        self.fields["judge_base_url"] = forms.ChoiceField(
            choices=allowed,
            required=False,
            label=self.fields["judge_base_url"].label,
            help_text=self.fields["judge_base_url"].help_text,
        )
        named = _("As the server names it. Empty: %(model)s.") % {"model": settings.JUDGE_MODEL}
        self.fields["judge_model"].help_text = named

    def clean_judge_base_url(self) -> str:
        url = self.cleaned_data["judge_base_url"]
        if url and url not in settings.JUDGE_BASE_URLS:
            raise forms.ValidationError(_("This address is not allowed any more: choose another one."))
        return url

    def clean(self) -> dict[str, Any]:
        """Only a language model takes batches."""
        cleaned = super().clean() or {}
        if cleaned.get("use_batches") and cleaned.get("judge") == Project.JudgeName.NEIGHBOURS:
            self.add_error("use_batches", _("Message batches need the judge “anthropic”."))
        return cleaned

    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        return [(str(title), [self[name] for name in names]) for title, names in self.SECTIONS.items()]


class MemberForm(forms.Form):
    """Add an existing user, by name or e-mail address."""

    user = forms.CharField(label=gettext_lazy("User name or e-mail address"), max_length=254)
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=Membership.Role)

    def clean_user(self) -> User:
        known_as = self.cleaned_data["user"].strip()
        found = User.objects.filter(Q(username=known_as) | Q(email__iexact=known_as), is_active=True)[:2]
        if len(found) != 1:
            raise forms.ValidationError(_("There is no such user. Administrators can create users in the admin pages."))
        return found[0]


class LabelForm(forms.ModelForm):
    """A label's name and the next version of its definition."""

    definition = forms.CharField(
        label=gettext_lazy("Definition"),
        widget=forms.Textarea(attrs={"rows": 5}),
        required=False,
        help_text=gettext_lazy(
            "Use when …, not when … Reviewers and the judge read it. Each change is kept as a version."
        ),
    )

    class Meta:
        model = Label
        fields = ["name", "synonyms"]
        labels = {"name": gettext_lazy("Name"), "synonyms": gettext_lazy("Synonyms")}
        widgets = {"synonyms": forms.TextInput}

    def __init__(self, *args: Any, project: Project, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.instance.project = project
        self.initial["definition"] = self.instance.definition

    def clean_name(self) -> str:
        name = self.cleaned_data["name"].strip()
        if Label.objects.filter(project=self.instance.project, name=name).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError(_("The project has a label of this name already."))
        return name


class DraftingForm(forms.ModelForm):
    """Which labels' definitions a language model is to draft, and which model."""

    class Meta:
        model = Drafting
        fields = ["scope", "model"]
        labels = {"model": gettext_lazy("Model")}
        help_texts = {"model": gettext_lazy("A label is defined once: a larger model than the judge's pays here.")}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["model"].initial = settings.DEFINITION_MODEL
        self.fields["scope"].choices = [  # type: ignore[attr-defined]
            choice for choice in Drafting.Scope.choices if choice[0] != Drafting.Scope.CHOSEN
        ]


class ComparisonForm(forms.ModelForm):
    """Which judge is set beside which of those that were audited; ``figures`` as a Measurement has them."""

    base = forms.TypedChoiceField(label=gettext_lazy("Judge to compare with"), coerce=int)

    class Meta:
        model = Comparison
        fields = ["model", "question"]
        labels = {"model": gettext_lazy("Another model"), "question": gettext_lazy("Question to it")}

    field_order = ["base", "model", "question"]

    def __init__(self, *args: Any, figures: list[dict[str, Any]], project: Project, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["base"].choices = [  # type: ignore[attr-defined]
            (index, _("%(model)s · %(prompt_version)s (%(n)s verdicts)") % judge) for index, judge in enumerate(figures)
        ]
        self.fields["model"].initial = project.judge_model or settings.JUDGE_MODEL
        self.fields["question"].initial = project.question


class UploadForm(forms.Form):
    """A CSV file of documents."""

    file = forms.FileField(
        label=gettext_lazy("CSV file"), widget=forms.FileInput(attrs={"accept": ".csv,.tsv,.txt,text/csv"})
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        limit = settings.MAX_UPLOAD_MB * 1024 * 1024
        if file.size > limit:
            told = {"size": filesizeformat(file.size), "limit": filesizeformat(limit)}
            raise forms.ValidationError(_("The file has %(size)s; at most %(limit)s are allowed. Split it.") % told)
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
        labels = {
            "encoding": gettext_lazy("Encoding"),
            "delimiter": gettext_lazy("Delimiter"),
            "text_column": gettext_lazy("Text column"),
            "label_column": gettext_lazy("Label column"),
            "id_column": gettext_lazy("Id column"),
        }

    def __init__(self, *args: Any, header: list[str], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.header = header
        columns = [(name, name) for name in header]
        absent = [("", _("– none –")), *columns]
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
            raise forms.ValidationError(_("Text, label and id need a column each: one was chosen twice."))
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
            raise forms.ValidationError(_("This file can't be read. %(reason)s") % {"reason": error}) from error
        if missing := [name for name in ("name", "definition") if name not in header]:
            told = {"names": _(" and no column ").join(missing)}
            raise forms.ValidationError(_("The file has no column %(names)s.") % told)
        if wrong := list(_wrong(records, header, fmt)):
            raise forms.ValidationError(wrong[:MAX_SHOWN_ERRORS])
        rows = ([restore(cell) for cell in record.cells] for record in records if isinstance(record, Record))
        dataset = Dataset(*rows, headers=header)
        if not dataset.height:
            raise forms.ValidationError(_("The file has no rows below the column names."))
        if repeated := [name for name, n in Counter(map(str.strip, dataset["name"])).items() if n > 1]:
            told = {"names": ", ".join(repeated[:MAX_SHOWN_ERRORS])}
            raise forms.ValidationError(_("More than one row: %(names)s.") % told)
        return dataset


def _wrong(records: list[Record | Malformed], header: list[str], fmt: Format) -> Iterator[str]:
    for record in records:
        if isinstance(record, Malformed):
            yield _("Line %(line)s: %(reason)s") % {"line": record.line, "reason": record.reason}
        elif wrong := wrong_record(header, record.cells, fmt.encoding):
            told = {"line": record.line, "column": wrong[0], "reason": wrong[1]}
            yield _("Line %(line)s, column %(column)s: %(reason)s") % told
