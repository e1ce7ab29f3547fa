"""What people fill in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, cast

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, BaseUserCreationForm
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import QueryDict
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from labelling.csv_io import correspondences
from labelling.csv_io.columns import data_records, is_export_of, read_header, wrong_record
from labelling.csv_io.conversion import convert
from labelling.csv_io.dialects import DELIMITERS, PEERS, WORKBOOK, guess_rows
from labelling.csv_io.exporting import restore
from labelling.csv_io.formats import ENCODINGS, Format, NotCsv, detect, read_sample
from labelling.csv_io.label_lists import ListedLabel, Unreadable, guess_columns, read_labels
from labelling.csv_io.records import Malformed, Record
from labelling.models import (
    Comparison,
    CsvImport,
    DiaryEntry,
    Drafting,
    Invitation,
    Label,
    Membership,
    Project,
    Release,
    Token,
)

MAX_SHOWN_ERRORS = 20


class ProjectForm(forms.ModelForm):
    """A new project: the rest has sensible defaults."""

    class Meta:
        model = Project
        fields = ["name", "task"]
        labels = {"name": gettext_lazy("Name")}
        widgets = {"task": forms.Textarea(attrs={"rows": 3})}


class LoginForm(AuthenticationForm):
    """Name and password; ``seconds``: how long nobody may try."""

    def __init__(self, *args: Any, seconds: int = 0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.seconds = seconds

    def clean(self) -> dict[str, Any]:
        if self.seconds:
            told = {"minutes": -(-self.seconds // 60)}
            text = ngettext(
                "Too many attempts have failed. Try again in %(minutes)s minute.",
                "Too many attempts have failed. Try again in %(minutes)s minutes.",
                told["minutes"],
            )
            raise forms.ValidationError(text % told)
        return super().clean()


class SignUpForm(BaseUserCreationForm):
    """An account for somebody who was invited."""

    class Meta:
        model = User
        fields = ["username", "email"]


class InvitationForm(forms.ModelForm):
    """Whom a link is for, and what they will be."""

    class Meta:
        model = Invitation
        fields = ["name", "role"]

    def __init__(self, *args: Any, **kwargs: Any):
        # Beside the form that adds members, which has a role, too.
        super().__init__(*args, **kwargs | {"auto_id": "invited_%s"})


class DiaryForm(forms.Form):
    """Which entries of the diary to show; ``people``: those who are named in it."""

    since = forms.DateField(label=gettext_lazy("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=gettext_lazy("Until"), required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, people: list[str], **kwargs: Any):
        super().__init__(*args, **kwargs | {"label_suffix": ""})
        everything, everybody = ("", _("Everything")), ("", _("Everybody"))
        self.fields["act"] = forms.ChoiceField(
            label=_("What"), choices=[everything, *DiaryEntry.Act.choices], required=False
        )
        self.fields["who"] = forms.ChoiceField(
            label=_("Who"), choices=[everybody, *((name, name) for name in people)], required=False
        )
        self.order_fields(["act", "who"])


class ReleaseForm(forms.ModelForm):
    """What to say of a release; everything else is as the project has it."""

    class Meta:
        model = Release
        fields = ["note"]
        widgets = {"note": forms.Textarea(attrs={"rows": 3})}


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
            "limit",
            "level",
            "batch_size",
            "retrain_after",
            "strategy",
            "certainty",
            "claim_minutes",
            "overlap",
            "reviewers_export",
            "answer_first",
            "combination",
            "subset_size",
            "noise_ratio",
            "random_seed",
        ]
        labels = {
            "name": gettext_lazy("Name"),
            "judge": gettext_lazy("Judge"),
            "judge_model": gettext_lazy("Judge model"),
            "certainty": gettext_lazy("Certainty"),
            "noise_ratio": gettext_lazy("Noise ratio"),
            "random_seed": gettext_lazy("Random seed"),
        }
        widgets = {"task": forms.Textarea(attrs={"rows": 3})}

    SECTIONS = {
        gettext_lazy("Project"): ["name", "task"],
        gettext_lazy("What the machine settles"): ["auto_accept", "limit", "level"],
        gettext_lazy("People"): ["retrain_after", "overlap", "reviewers_export"],
        gettext_lazy("Judge"): ["judge", "judge_model", "confirm_spending", "round_cap", "project_cap"],
    }
    ADVANCED = {
        gettext_lazy("Settling and asking"): ["certainty", "batch_size", "strategy"],
        gettext_lazy("Questions to the judge"): ["question", "judge_base_url", "use_batches"],
        gettext_lazy("Review"): ["claim_minutes", "answer_first"],
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
        # Of older projects' verdicts alone.
        judges = [choice for choice in Project.JudgeName.choices if choice[0] != Project.JudgeName.NEIGHBOURS]
        self.fields["judge"] = forms.ChoiceField(choices=judges, label=self.fields["judge"].label)
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
        if cleaned.get("use_batches") and cleaned.get("judge") == Project.JudgeName.NONE:
            self.add_error("use_batches", _("Message batches need the judge “anthropic”."))
        return cleaned

    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        return self._titled(self.SECTIONS)

    def advanced(self) -> list[tuple[str, list[forms.BoundField]]]:
        """What nobody needs to finish a project, behind a fold."""
        return self._titled(self.ADVANCED)

    def advanced_has_errors(self) -> bool:
        return any(field.errors for _title, fields in self.advanced() for field in fields)

    def _titled(self, sections: Mapping[Any, list[str]]) -> list[tuple[str, list[forms.BoundField]]]:
        return [(str(title), [self[name] for name in names]) for title, names in sections.items()]


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
        fields = ["name", "code", "synonyms"]
        labels = {"name": gettext_lazy("Name"), "code": gettext_lazy("Code"), "synonyms": gettext_lazy("Synonyms")}
        widgets = {"synonyms": forms.TextInput}

    parent = forms.ModelChoiceField(Label.objects.none(), label=gettext_lazy("Parent"), required=False)
    field_order = ["name", "code", "parent", "synonyms", "definition"]

    def __init__(self, *args: Any, project: Project, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.instance.project = project
        self.initial["definition"] = self.instance.definition
        self.initial["parent"] = self.instance.parent_id
        if project:
            others = project.labels.in_use().exclude(pk=self.instance.pk).order_by("code", "name")
            self.fields["parent"].queryset = others.defer("definition", "synonyms")  # type: ignore[attr-defined]
        if self.instance.pk:
            # A name is changed on a page of its own, which tells first what that does.
            del self.fields["name"]

    def clean_name(self) -> str:
        name = self.cleaned_data["name"].strip()
        if Label.objects.filter(project=self.instance.project, name=name).exists():
            raise forms.ValidationError(_("The project has a label of this name already."))
        return name

    def clean_code(self) -> str:
        code = self.cleaned_data["code"].strip()
        same = Label.objects.filter(project=self.instance.project, code=code).exclude(pk=self.instance.pk)
        if code and (other := same.first()):
            raise forms.ValidationError(_("“%(label)s” has this code already.") % {"label": other})
        return code


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


class TokenForm(forms.ModelForm):
    """A token for a program; the projects are those of its person."""

    days = forms.IntegerField(label=gettext_lazy("For how many days"), initial=90, min_value=1, max_value=3_650)
    field_order = ["name", "project", "scope", "days"]

    class Meta:
        model = Token
        fields = ["name", "project", "scope"]
        labels = {"project": gettext_lazy("Project")}

    def __init__(self, *args: Any, user: User, **kwargs: Any):
        super().__init__(*args, **kwargs)
        project = self.fields["project"]
        project.queryset = Project.objects.visible_to(user)  # type: ignore[attr-defined]
        project.empty_label = _("all")  # type: ignore[attr-defined]


class UploadForm(forms.Form):
    """A file of documents."""

    TOO_LARGE = gettext_lazy("The file has %(size)s; at most %(limit)s are allowed. Split it.")
    ACCEPTED = ".csv,.tsv,.txt,.xlsx,.xls,.ods,.json,.jsonl,.zip,.parquet,text/csv"

    file = forms.FileField(label=gettext_lazy("File"), widget=forms.FileInput(attrs={"accept": ACCEPTED}))

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        limit = settings.MAX_UPLOAD_MB * 1024 * 1024
        if file.size > limit:
            told = {"size": filesizeformat(file.size), "limit": filesizeformat(limit)}
            raise forms.ValidationError(self.TOO_LARGE % told)
        return file


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


class TableForm(UploadForm):
    """A file whose columns are known by their names; where those say too little, the form asks, and for the file again.

    ``COLUMNS``: what there may be, by what a column holds.
    """

    COLUMNS: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for what, label in self.COLUMNS.items():
            self.fields[f"{what}_column"] = forms.CharField(label=label, required=False, widget=forms.HiddenInput)
        self.order_fields(["file"])

    def guess(self, header: list[str]) -> dict[str, str]:
        """Which column holds what, by their names."""
        raise NotImplementedError

    def missing(self, columns: Mapping[str, str]) -> list[str]:
        """What the file can't do without, and no column holds."""
        raise NotImplementedError

    def read(self, rows: list[dict[str, str]], columns: dict[str, str]) -> list[Any]:
        """What the rows say; Unreadable where they can't be read."""
        raise NotImplementedError

    def clean_file(self) -> list[Any]:
        header, records, fmt = _read_records(super().clean_file())
        columns = self._columns(header)
        if wrong := list(_wrong(records, header, fmt)):
            raise forms.ValidationError(wrong[:MAX_SHOWN_ERRORS])
        cells = (record.cells for record in records if isinstance(record, Record))
        rows = (row if fmt.kind else [restore(cell) for cell in row] for row in cells)
        try:
            found = self.read([dict(zip(header, row, strict=True)) for row in rows], columns)
        except Unreadable as error:
            raise forms.ValidationError(error.reasons[:MAX_SHOWN_ERRORS]) from error
        if not found:
            raise forms.ValidationError(_("The file has no rows below the column names."))
        return found

    def _columns(self, header: list[str]) -> dict[str, str]:
        """The chosen columns, or else those that are known by their names."""
        chosen = {what: self.data.get(f"{what}_column", "") for what in self.COLUMNS}
        columns = chosen if any(chosen.values()) else self.guess(header)
        columns = {what: name if name in header else "" for what, name in columns.items()}
        if missing := self.missing(columns):
            self._ask_for_columns(header, columns)
            told = {"names": _(" and no column ").join(missing)}
            raise forms.ValidationError(
                _("The file has no column %(names)s. Choose it, and the file once more.") % told
            )
        return columns

    def _ask_for_columns(self, header: list[str], columns: Mapping[str, str]) -> None:
        choices = [("", _("– none –")), *((name, name) for name in header)]
        data = cast("QueryDict", self.data).copy()
        for what, name in columns.items():
            self.fields[f"{what}_column"].widget = forms.Select(choices=choices)
            data[f"{what}_column"] = name
        self.data = data


class DefinitionsForm(TableForm):
    """A file of labels: names, and what there is of codes, parents, definitions and synonyms."""

    PARENTS = (
        ("column", gettext_lazy("in a column, by code or name")),
        ("prefix", gettext_lazy("by codes: a label's code begins with its parent's")),
    )
    COLUMNS: ClassVar[dict[str, Any]] = {
        "name": gettext_lazy("Column of the names"),
        "code": gettext_lazy("Column of the codes"),
        "parent": gettext_lazy("Column of the parents"),
        "definition": gettext_lazy("Column of the definitions"),
        "synonyms": gettext_lazy("Column of the synonyms"),
    }

    parents = forms.ChoiceField(
        label=gettext_lazy("Parents, if there are any, are told"), choices=PARENTS, required=False
    )

    @property
    def by_prefix(self) -> bool:
        return self.cleaned_data["parents"] == "prefix"

    def guess(self, header: list[str]) -> dict[str, str]:
        return guess_columns(header)

    def missing(self, columns: Mapping[str, str]) -> list[str]:
        tells = any(columns[what] for what in ("definition", "code", "parent"))
        return ([] if columns["name"] else ["name"]) + ([] if tells else ["definition"])

    def read(self, rows: list[dict[str, str]], columns: dict[str, str]) -> list[ListedLabel]:
        return read_labels(rows, columns)


class RevisionForm(TableForm):
    """A file of correspondences: which old label becomes which new one."""

    COLUMNS: ClassVar[dict[str, Any]] = {
        "old": gettext_lazy("Column of the old labels, by code or name"),
        "new": gettext_lazy("Column of the new labels, by code or name"),
        "name": gettext_lazy("Column of the new names"),
        "definition": gettext_lazy("Column of the new definitions"),
    }

    def guess(self, header: list[str]) -> dict[str, str]:
        return correspondences.guess_columns(header)

    def missing(self, columns: Mapping[str, str]) -> list[str]:
        return [what for what in ("old", "new") if not columns[what]]

    def read(self, rows: list[dict[str, str]], columns: dict[str, str]) -> list[correspondences.Correspondence]:
        return correspondences.read_correspondences(rows, columns)


def _read_records(file: Any) -> tuple[list[str], list[Record | Malformed], Format]:
    """The header and the records of a file of any format."""
    with tempfile.TemporaryFile() as kept:
        try:
            kind = convert(file, kept)
            binary = kept if kind else file
            # Nobody is asked here: a mark that is never closed is a mistake to be told.
            fmt = guess_rows(read_sample(kept, "utf-8"), kind) if kind else replace(detect(file), plain_quotes=False)
            return [name.strip() for name in read_header(binary, fmt)], list(data_records(binary, fmt)), fmt
        except NotCsv as error:
            raise forms.ValidationError(_("This file can't be read. %(reason)s") % {"reason": error}) from error


def _wrong(records: list[Record | Malformed], header: list[str], fmt: Format) -> Iterator[str]:
    for record in records:
        if isinstance(record, Malformed):
            yield _("Line %(line)s: %(reason)s") % {"line": record.line, "reason": record.reason}
        elif wrong := wrong_record(header, record.cells, fmt.encoding):
            told = {"line": record.line, "column": wrong[0], "reason": wrong[1]}
            yield _("Line %(line)s, column %(column)s: %(reason)s") % told


def _renamed(header: list[str], chosen: Mapping[str, str]) -> list[str]:
    """The columns that were chosen under the names that they stand for."""
    stands_for = {chosen[f"{name}_column"].strip().lower(): name for name in ("name", "definition", "synonyms")}
    stands_for.pop("", None)
    return [stands_for.get(name, f"{name} (2)" if name in stands_for.values() else name) for name in header]
