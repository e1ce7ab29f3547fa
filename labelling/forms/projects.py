"""A project, its diary and its releases."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import DiaryEntry, Project, Release


class ProjectForm(forms.ModelForm):
    """A new project: the rest has sensible defaults."""

    class Meta:
        model = Project
        fields = ["name", "task"]
        labels = {"name": gettext_lazy("Name")}
        widgets = {"task": forms.Textarea(attrs={"rows": 3})}


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
