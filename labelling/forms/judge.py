"""The judge: what it costs, and another one beside it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import Comparison, Price, Project


class PriceForm(forms.ModelForm):
    """What a model costs from a day on."""

    class Meta:
        model = Price
        fields = [
            "model",
            "valid_from",
            "input",
            "output",
            "cache_write",
            "cache_read",
            "cache_min_tokens",
            "batch_share",
            "source",
        ]
        labels = {
            "model": gettext_lazy("Model"),
            "valid_from": gettext_lazy("From this day on"),
            "input": gettext_lazy("Prompt"),
            "output": gettext_lazy("Answer"),
            "cache_write": gettext_lazy("Put into the cache"),
            "cache_read": gettext_lazy("Found in the cache"),
            "cache_min_tokens": gettext_lazy("Shortest cached prompt, in tokens"),
            "batch_share": gettext_lazy("Share in a batch"),
            "source": gettext_lazy("Where you read it"),
        }
        help_texts = {
            "model": gettext_lazy("As the server names it."),
            "cache_min_tokens": gettext_lazy(
                "From so many tokens on the provider caches the shared part of a prompt. Forecasts need it."
            ),
            "batch_share": gettext_lazy("Of the price, for what is asked in message batches: 0.5 is half."),
            "source": gettext_lazy("For whoever checks."),
        } | dict.fromkeys(
            ["input", "output", "cache_write", "cache_read"], gettext_lazy("US dollars for a million tokens.")
        )
        widgets = {"valid_from": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")}
        error_messages = {
            "__all__": {
                "unique_together": gettext_lazy(
                    "This model has a price from that day on. It stays: choose a later day, or ask an administrator."
                )
            }
        }


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
