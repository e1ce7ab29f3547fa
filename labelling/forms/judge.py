"""The judge: what it costs, and another one beside it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import Comparison, Project


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
