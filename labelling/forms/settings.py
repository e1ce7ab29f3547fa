"""The settings of a project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import Project


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
