"""How well a project's judges do, measured against people."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models.jobs import BackgroundJob
from labelling.models.ledger import Call
from labelling.models.projects import Label, Project
from labelling.models.rounds import Query, Verdict
from labelling.models.sentences import SentenceField


class Measurement(BackgroundJob):
    """What a project's audits said of each judge when they were last counted.

    ``figures`` has one entry for each judge, model and wording, ``people`` how far the reviewers agree with each other,
    see ``labelling.jobs.measuring``. ``counted`` is what
    ``services.audits.state`` was then: when it is another by now, the figures are old.
    """

    is_quick = True

    project = models.OneToOneField(Project, models.CASCADE, related_name="measurement")
    figures = models.JSONField(default=list)
    people = models.JSONField(default=dict)
    counted = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"{self.project}, measured"


class Comparison(BackgroundJob):
    """Another judge's answers on documents that were audited already, beside those of one that was audited.

    ``base_judge``, ``base_model`` and ``base_prompt_version`` name the judge whose verdicts are there; ``model`` and
    ``question`` the language model that is asked now, and how. Nothing of it changes a belief, a verdict or a training
    example. Waiting after PREPARE: a manager has to agree to the forecast.
    """

    class Step(models.TextChoices):
        PREPARE = "prepare", gettext_lazy("Counting tokens")
        ASK = "ask", gettext_lazy("Asking")

    project = models.ForeignKey(Project, models.CASCADE, related_name="comparisons")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    base_judge = models.CharField(max_length=20)
    base_model = models.CharField(max_length=100)
    base_prompt_version = models.CharField(max_length=40)
    model = models.CharField("model to compare with", max_length=100)
    question = models.CharField(
        "question to it", max_length=20, choices=Project.QuestionForm, default=Project.QuestionForm.VALIDATE
    )
    prompt_version = models.CharField(max_length=40, blank=True)
    forecast = models.JSONField(default=dict)
    confirmed_at = models.DateTimeField(null=True, help_text="When a manager agreed to what the forecast says.")
    result = models.JSONField(default=dict, help_text="The paired table, see labelling.jobs.comparing.")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(state__in=BackgroundJob.ACTIVE),
                name="one_active_comparison_a_project",
            ),
        ]

    def __str__(self) -> str:
        return _("%(base)s against %(model)s") % {"base": self.base_name, "model": self.name}

    @property
    def base_name(self) -> str:
        """The judge whose verdicts are there: by its model, and by the wording too where both are of one model."""
        return f"{self.base_model} · {self.base_prompt_version}" if self.base_model == self.model else self.base_model

    @property
    def name(self) -> str:
        """The judge that is asked now: by its model, and by the form of the question where both are of one model."""
        return f"{self.model} · {self.question}" if self.base_model == self.model else self.model

    @property
    def step_label(self) -> str:
        return str(self.Step(self.step).label) if self.step else ""

    def get_absolute_url(self) -> str:
        return reverse("comparison", args=[self.project.slug, self.pk])


class ComparedAnswer(models.Model):
    """What the judge that is compared says to one audit's question; ``verdict`` is empty until it has answered."""

    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="answers")
    query = models.ForeignKey(Query, models.CASCADE, related_name="+")
    verdict = models.CharField(max_length=10, choices=Verdict.Name, blank=True)
    better_label = models.ForeignKey(Label, models.SET_NULL, null=True, related_name="+")
    reason = models.TextField(blank=True)
    failure = SentenceField(blank=True, help_text="Why there is no answer.")
    call = models.ForeignKey(Call, models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["comparison", "query"], name="one_answer_a_question")]

    def __str__(self) -> str:
        return self.verdict or self.failure or "not answered yet"
