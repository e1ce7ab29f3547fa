"""The filter of the documents desk: a form whose fields stand in the address."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, cast

from django import forms
from django.contrib.auth.models import User
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import CsvImport, Document, Label, Project, Round, Verdict
from labelling.services import finding, health, suggesting
from labelling.services.finding import Criteria

# Documents that are like a text: as far as anybody looks.
MOST_ALIKE = 500
YES_NO = [("", gettext_lazy("– all –")), ("yes", gettext_lazy("yes")), ("no", gettext_lazy("no"))]


def _date() -> forms.DateField:
    return forms.DateField(
        validators=[MinValueValidator(date(1900, 1, 1)), MaxValueValidator(date(2999, 1, 1))],
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )


def _probability() -> forms.FloatField:
    number = forms.NumberInput(attrs={"min": 0, "max": 1, "step": 0.01})
    return forms.FloatField(required=False, min_value=0, max_value=1, widget=number)


class Filter(forms.Form):
    """Which documents; each field is empty where nothing is asked."""

    show = forms.ChoiceField(label=gettext_lazy("Which documents"), choices=finding.KINDS.items, required=False)
    q = forms.CharField(
        label=gettext_lazy("Words in the text"),
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": gettext_lazy("Words in the text")}),
    )
    sort = forms.ChoiceField(label=gettext_lazy("Order"), choices=finding.SORTS.items, required=False)
    label = forms.ModelChoiceField(Label.objects.none(), label=gettext_lazy("Label"), required=False)
    below = forms.BooleanField(label=gettext_lazy("and the labels below it"), required=False)
    predicted = forms.ModelChoiceField(Label.objects.none(), label=gettext_lazy("Predicted label"), required=False)
    least = _probability()
    most = _probability()
    certified = forms.ChoiceField(label=gettext_lazy("Certified"), choices=YES_NO, required=False)
    verdict = forms.ChoiceField(label=gettext_lazy("The judge said"), required=False)
    reviewer = forms.ModelChoiceField(User.objects.none(), label=gettext_lazy("Decided by"), required=False)
    since = _date()
    until = _date()
    round = forms.ModelChoiceField(Round.objects.none(), label=gettext_lazy("Asked about in round"), required=False)
    source = forms.ModelChoiceField(CsvImport.objects.none(), label=gettext_lazy("Import"), required=False)
    own_id = forms.CharField(label=gettext_lazy("Id"), required=False, max_length=200)
    column = forms.ChoiceField(label=gettext_lazy("Column"), required=False)
    value = forms.CharField(label=gettext_lazy("has the value"), required=False, max_length=1_000)
    like = forms.CharField(label=gettext_lazy("Like this text"), required=False, max_length=20_000)
    # Of links alone.
    figure = forms.ChoiceField(choices=[("", ""), *health.FIGURES.items()], required=False)
    other = forms.ModelChoiceField(Label.objects.none(), required=False)
    like_document = forms.ModelChoiceField(Document.objects.none(), required=False)

    LABELS = {
        "least": gettext_lazy("Probability from"),
        "most": gettext_lazy("Probability to"),
        "since": gettext_lazy("Decided from"),
        "until": gettext_lazy("Decided until"),
    }
    # What stands behind the fold, in this order.
    FURTHER = (
        *("label", "below", "predicted", "least", "most", "certified", "verdict"),
        *("reviewer", "since", "until", "round", "source", "own_id", "column", "value", "like"),
    )
    HIDDEN = ("figure", "other", "like_document")

    def __init__(self, asked: QueryDict, project: Project):
        super().__init__(QueryDict(asked.urlencode().replace("%00", "")))
        self.project = project
        labels = project.labels.order_by("code", "name").defer("definition", "synonyms")
        rows: dict[str, QuerySet[Any]] = {
            **dict.fromkeys(("label", "predicted", "other"), labels),
            "reviewer": User.objects.filter(memberships__project=project).order_by("username"),
            "round": project.rounds.all(),
            "source": project.imports.all(),
            "like_document": project.documents.all(),
        }
        for name, queryset in rows.items():
            field = cast("forms.ModelChoiceField", self.fields[name])
            field.queryset, field.empty_label = queryset, _("– all –")
        nothing = ("", _("– all –"))
        self.fields["verdict"].choices = [nothing, *Verdict.Name.choices]  # type: ignore[attr-defined]
        columns = [(name, name) for name in project.metadata_columns]
        self.fields["column"].choices = [("", _("– none –")), *columns]  # type: ignore[attr-defined]
        for name, told in self.LABELS.items():
            self.fields[name].label = told

    @property
    def further(self) -> list[forms.BoundField]:
        absent = set() if self.project.metadata_columns or self.data.get("column") else {"column", "value"}
        return [self[name] for name in self.FURTHER if name not in absent]

    @property
    def n_further(self) -> int:
        """How many of the further fields ask for something."""
        return sum(bool(self.data.get(name)) for name in self.FURTHER)

    @property
    def hidden(self) -> list[tuple[str, str]]:
        return [(name, self.data[name]) for name in self.HIDDEN if self.data.get(name)]

    @property
    def address(self) -> str:
        """What stands behind the question mark, without place and empty fields."""
        asked = QueryDict(mutable=True)
        for name in self.fields:
            if value := self.data.get(name):
                asked[name] = value
        return asked.urlencode()

    @property
    def criteria(self) -> Criteria:
        """What is asked for; only of a form that is valid."""
        same = {name: value for name, value in self.cleaned_data.items() if name in Criteria.__dataclass_fields__}
        named = {"words": self.cleaned_data["q"], "csv_import": self.cleaned_data["source"]}
        return Criteria(**same, **named)

    @property
    def in_words(self) -> str:
        """What is asked for, for the log."""
        cleaned = self.cleaned_data
        figure = health.FIGURES.get(cleaned["figure"], "") % {"label": cleaned["label"], "other": cleaned["other"]}
        kind, words = str(finding.KINDS[cleaned["show"]]), cleaned["q"]
        parts = [kind, words, figure or (cleaned["label"].name if cleaned["label"] else "")]
        told = ("show", "q", "sort", "label", "figure", "other")
        parts += [
            f"{self.fields[name].label or name}: {cleaned[name]}"
            for name in self.fields
            if name not in told and cleaned[name]
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Found:
    """Documents that fit a filter.

    Attributes:
        in_order: the same, as the first few of the order are found most quickly.
        alike: by key, how alike those are that were asked for by their meaning.
    """

    documents: QuerySet[Document]
    in_order: QuerySet[Document] | None = None
    alike: dict[int, float] | None = None


def found(form: Filter, user: User) -> Found:
    """The documents that fit; none where the form has errors.

    Raises:
        NotServed: when they are asked for by their meaning, and nothing runs that knows it.
    """
    project = form.project
    if not form.is_valid():
        return Found(project.documents.none())
    documents, in_order = finding.find_in_order(project, user, form.criteria)
    like = form.cleaned_data["like_document"]
    if not (text := like.text if like else form.cleaned_data["like"]):
        return Found(documents, in_order)
    alike = suggesting.nearest(project, text, MOST_ALIKE)
    if like:
        alike.pop(like.pk, None)
    return Found(documents.filter(pk__in=list(alike)), alike=alike)
