"""The settings of a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.utils.formats import localize
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import Project

# What a project needs first.
SECTIONS = {
    gettext_lazy("Project"): ["name", "task"],
    gettext_lazy("What is promised"): ["limit"],
    gettext_lazy("Judge"): ["judge", "judge_model", "project_cap"],
    gettext_lazy("People"): ["retrain_after"],
}
ADVANCED = {
    gettext_lazy("What the machine settles"): ["auto_accept", "level", "certainty", "watch_share"],
    gettext_lazy("What a round asks"): ["batch_size", "strategy"],
    gettext_lazy("Questions to the judge"): [
        "confirm_spending",
        "round_cap",
        "question",
        "use_batches",
        "judge_base_url",
    ],
    gettext_lazy("How people review"): [
        "overlap",
        "answer_first",
        "practice_first",
        "gold_share",
        "gold_limit",
        "claim_minutes",
    ],
    gettext_lazy("What reads the texts"): ["adapts_itself"],
    gettext_lazy("Who gets in, and what gets out"): ["demands_second_factor", "reviewers_export"],
}


class ProjectSettingsForm(forms.ModelForm):
    """Everything a manager can change; a running round keeps the settings it started with.

    How the classifiers are built is no setting of a page: what was measured is the default, and nothing is gained by
    turning it. The back office has it for comparisons.
    """

    class Meta:
        model = Project
        fields = [name for names in (SECTIONS | ADVANCED).values() for name in names]
        labels = {
            "name": gettext_lazy("Name"),
            "judge": gettext_lazy("Judge"),
            "judge_model": gettext_lazy("Judge model"),
            "certainty": gettext_lazy("Certainty"),
        }
        widgets = {"task": forms.Textarea(attrs={"rows": 3})}

    # When to change it, or what that does.
    ADVICE = {
        "judge": gettext_lazy(
            "Choose a language model when its answers are cheaper than your experts' time: it is asked about what the "
            "classifiers are least sure of."
        ),
        "judge_model": gettext_lazy(
            "Change it when the judge's page shows that another one agrees with people more often."
        ),
        "project_cap": gettext_lazy("Set it before the first round with a language model."),
        "limit": gettext_lazy("Smaller: more audits before anything is certified, and fewer labels are."),
        "retrain_after": gettext_lazy(
            "Fewer: the classifiers learn sooner what was decided, and people wait more often for a round."
        ),
        "auto_accept": gettext_lazy("On: people decide on what is uncertain, and on audits."),
        "level": gettext_lazy("Surer: more audits until the certificate."),
        "certainty": gettext_lazy("Higher: fewer labels are settled, fewer of them wrong, and people decide on more."),
        "batch_size": gettext_lazy("More: a round settles more, takes longer and costs more."),
        "strategy": gettext_lazy("The default needs the fewest questions; the others are there to compare with it."),
        "confirm_spending": gettext_lazy("Off: rounds spend as they start, up to the caps."),
        "question": gettext_lazy(
            "Choose: longer and dearer prompts, which pay where the right label is often the second or third guess."
        ),
        "overlap": gettext_lazy("More: you know how far people agree, and get fewer other decisions."),
        "gold_share": gettext_lazy("More: you know sooner how often each reviewer is right, and get fewer decisions."),
        "gold_limit": gettext_lazy("Set it once some gold documents are picked: 0.8 is a beginning."),
        "adapts_itself": gettext_lazy("It takes minutes of the worker each time, and often nothing is kept."),
        "claim_minutes": gettext_lazy(
            "Shorter: others get it sooner; too short, and two people work on the same document."
        ),
    }

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._offer_addresses()
        # Of older projects' verdicts alone.
        judges = [choice for choice in Project.JudgeName.choices if choice[0] != Project.JudgeName.NEIGHBOURS]
        self.fields["judge"] = forms.ChoiceField(choices=judges, label=self.fields["judge"].label)
        named = _("As the server names it. Empty: %(model)s.") % {"model": settings.JUDGE_MODEL}
        self.fields["judge_model"].help_text = named
        for name, field in self.fields.items():
            said = (field.help_text, self.ADVICE.get(name, ""), _default_of(name))
            field.help_text = " ".join(str(sentence) for sentence in said if sentence)

    def _offer_addresses(self) -> None:
        """Whoever is sent a question is sent the key: only the administrator says who that may be."""
        default = settings.JUDGE_BASE_URL or "Anthropic"
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
        return self._titled(SECTIONS)

    def advanced(self) -> list[tuple[str, list[forms.BoundField]]]:
        """What nobody needs to finish a project, behind a fold."""
        return self._titled(ADVANCED)

    def advanced_has_errors(self) -> bool:
        return any(field.errors for _title, fields in self.advanced() for field in fields)

    def _titled(self, sections: Mapping[Any, list[str]]) -> list[tuple[str, list[forms.BoundField]]]:
        return [(str(title), [self[name] for name in names]) for title, names in sections.items()]


def _default_of(name: str) -> str:
    """What a new project has, in a sentence; nothing where that is nothing."""
    field: Any = Project._meta.get_field(name)
    default = field.get_default()
    if default is None or default == "":
        return ""
    if isinstance(default, bool):
        told = _("on") if default else _("off")
    else:
        # The choices explain themselves after a colon.
        told = str(dict(field.flatchoices).get(default, localize(default))).split(":")[0]
    return _("Default: %(value)s.") % {"value": told}


class EncoderForm(forms.Form):
    """Which encoder is tried."""

    encoder = forms.ChoiceField(label=gettext_lazy("Encoder"))

    def __init__(self, *args: Any, choices: Sequence[str], **kwargs: Any):
        super().__init__(*args, **kwargs)
        # A list of choices alone: the field's own type knows no more of them.
        self.fields["encoder"] = forms.ChoiceField(
            choices=[(name, name) for name in choices], label=self.fields["encoder"].label
        )
        self.is_choice = len(choices) > 1
