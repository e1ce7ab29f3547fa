"""Labels, and drafts of their definitions."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import Drafting, Label, Project


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

    parent = forms.ModelChoiceField(
        Label.objects.none(), label=gettext_lazy("Parent"), required=False, empty_label=gettext_lazy("– none –")
    )
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
            (scope.value, scope.label) for scope in (Drafting.Scope.UNDEFINED, Drafting.Scope.ALL)
        ]
