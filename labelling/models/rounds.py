"""Rounds and the evidence they gather."""

from __future__ import annotations

import math

from django.conf import settings
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models.documents import Document
from labelling.models.jobs import BackgroundJob
from labelling.models.projects import Label, Project


class Round(BackgroundJob):
    """Query, judge, review, retrain: once around. Settings are copied when it starts."""

    class Step(models.TextChoices):
        EMBED = "embed", gettext_lazy("Embedding texts")
        PARTITION = "partition", gettext_lazy("Splitting the labels")
        FIT = "fit", gettext_lazy("Training the classifiers")
        PREDICT = "predict", gettext_lazy("Predicting the pool")
        QUERY = "query", gettext_lazy("Choosing what to ask")
        FORECAST = "forecast", gettext_lazy("Forecasting what the judge will cost")
        JUDGE = "judge", gettext_lazy("Asking the judge")
        SETTLE = "settle", gettext_lazy("Laying out the review queue")
        GRADUATE = "graduate", gettext_lazy("Training for the last time, on all that is settled")

    project = models.ForeignKey(Project, models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField()
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    settings = models.JSONField(default=dict)
    seconds = models.JSONField(default=dict, help_text="Time spent in each step.")

    training_examples = models.PositiveIntegerField(null=True)
    labels_learned = models.PositiveIntegerField(null=True)
    experts = models.PositiveIntegerField("classifiers", null=True)
    experts_fitted = models.PositiveIntegerField(
        "classifiers fitted anew",
        null=True,
        help_text="The others are the last round's: their examples are the same.",
    )
    pool = models.PositiveIntegerField("documents in the pool", null=True)
    unlabelled_at_import = models.PositiveIntegerField(
        null=True, help_text="The fixed set on which uncertain documents are counted from round to round."
    )
    uncertain = models.PositiveIntegerField("uncertain documents", null=True)
    expected_gain = models.FloatField(
        "expected gain", null=True, help_text="Nats an answer, on average over the best questions that are left."
    )
    changes = models.JSONField(
        default=dict, help_text="What learning changed since the round before, see labelling.jobs.rounds.changes."
    )
    rivals = models.JSONField(default=dict, help_text="By label id: the labels most like it, nearest first.")
    forecast = models.JSONField(
        default=dict, help_text="What asking the judge will take, and the first prompts exactly as they will be sent."
    )
    confirmed_at = models.DateTimeField(null=True, help_text="When a manager agreed to what the forecast says.")
    stop_asked_at = models.DateTimeField(null=True, help_text="When a manager asked to stop asking the judge.")
    reliability = models.JSONField(default=dict, help_text="How often the judge is right, from audits.")
    certificate = models.JSONField(default=dict, help_text="What audits say of the labels accepted from the judge.")
    holdout_size = models.PositiveIntegerField(null=True)
    holdout_accuracy = models.FloatField(null=True)
    holdout_macro_f1 = models.FloatField(null=True)
    queried_at = models.DateTimeField(null=True, help_text="Set with the queries: from here on the batch is fixed.")
    settled_at = models.DateTimeField(null=True, help_text="Set with the review queue: from here on verdicts count.")
    laid_out = models.PositiveIntegerField("documents laid out for review", default=0)
    accepted = models.PositiveIntegerField("accepted from the judge", default=0)
    expected_wrong = models.FloatField(
        "of the labels accepted from the judge, expected to be wrong", default=0, help_text="By the belief in each."
    )
    left_queue = models.PositiveIntegerField("left the queue because the model became sure", default=0)
    stop_reason = models.TextField(blank=True)
    taught_itself = models.PositiveIntegerField(
        null=True, help_text="Labels that the model gave itself and learnt in the last fit, when the loop had ended."
    )
    final_holdout_accuracy = models.FloatField(null=True, help_text="Of the model of the last fit.")

    class Meta:
        ordering = ["project", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="round_number_once_a_project"),
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(state__in=BackgroundJob.ACTIVE),
                name="one_active_round_a_project",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.project}, round {self.number}"

    @property
    def question(self) -> str:
        """The form of its questions, a Query.Form; rounds from before there were two ask to validate."""
        return self.settings.get("question", Query.Form.VALIDATE)

    @property
    def step_label(self) -> str:
        return str(self.Step(self.step).label) if self.step else ""


class Prediction(models.Model):
    """What the classifiers say of a document now; replaced by each round.

    ``candidates`` lists [label id, probability] of the best labels, best first. ``belief`` is the
    probability of each of them after the judge's verdicts and, last, of none of these; it changes
    with every verdict. ``posterior`` is the highest of them, ``posterior_label`` its label, None
    for none of these. A person's decision stands above all this: ask ``Document.belief``.
    """

    document = models.OneToOneField(Document, models.CASCADE, related_name="prediction")
    round = models.ForeignKey(Round, models.CASCADE, related_name="predictions")
    label = models.ForeignKey(Label, models.CASCADE, related_name="+")
    probability = models.FloatField()
    entropy = models.FloatField()
    candidates = models.JSONField()
    belief = models.JSONField(default=list)
    posterior = models.FloatField()
    posterior_label = models.ForeignKey(Label, models.CASCADE, null=True, related_name="+")
    gain = models.FloatField(
        "expected gain", null=True, help_text="Nats that one more verdict is expected to tell about this document."
    )

    def __str__(self) -> str:
        return f"{self.label} {self.probability:.2f}"

    @property
    def beliefs(self) -> dict[int | None, float]:
        """Label id to probability after the evidence; the key None stands for none of these."""
        labels = [label_id for label_id, _ in self.candidates]
        return dict(zip([*labels, None], self.belief, strict=True)) if self.belief else dict(self.candidates)

    @property
    def doubt(self) -> float:
        """Entropy of the belief, in nats: how much is open after the judge's verdicts."""
        return -sum(p * math.log(p) for p in self.beliefs.values() if p > 0)


class Query(models.Model):
    """One question of a round: is this the label of this document? With the evidence as it was.

    ``candidates``: [label id, probability], best first. ``examples``: [document id, label id or
    None, similarity] of the nearest training examples of the best candidates that the judge had
    not been asked about; ``neighbours``: the same for the nearest of all. ``probability`` is what
    the classifiers give the label, ``posterior`` the same after all earlier verdicts.
    """

    Form = Project.QuestionForm

    class Reason(models.TextChoices):
        UNCERTAIN = "uncertain", gettext_lazy("An answer tells much")
        AUDIT = "audit", gettext_lazy("Audit")
        SPOT_CHECK = "spot_check", gettext_lazy("Audit of the batch")
        DELEGATED = "delegated", gettext_lazy("Next label after a refusal")
        REDEFINED = "redefined", gettext_lazy("The definition has changed")

    # Drawn at random from the whole pool, and from what the query strategy chose; decided on blind.
    AUDITS = (Reason.AUDIT, Reason.SPOT_CHECK)

    round = models.ForeignKey(Round, models.CASCADE, related_name="queries")
    document = models.ForeignKey(Document, models.CASCADE, related_name="queries")
    label = models.ForeignKey(Label, models.RESTRICT, related_name="+")
    rank = models.PositiveIntegerField(help_text="0 is asked first; a document's further questions share its place.")
    reason = models.CharField(max_length=10, choices=Reason, default=Reason.UNCERTAIN)
    probability = models.FloatField()
    posterior = models.FloatField()
    gain = models.FloatField("expected gain", null=True, help_text="Nats that the answer was expected to tell.")
    entropy = models.FloatField()
    candidates = models.JSONField()
    form = models.CharField(max_length=20, choices=Form, default=Form.VALIDATE)
    offered = models.JSONField(
        default=list, help_text="In the form “choose”: ids of the labels to choose among, in the order shown."
    )
    examples = models.JSONField()
    neighbours = models.JSONField()
    near_duplicates = models.JSONField(
        default=list, help_text="[document id, similarity] of texts that say almost the same, most alike first."
    )

    class Meta:
        verbose_name_plural = "queries"
        constraints = [models.UniqueConstraint(fields=["round", "document", "label"], name="label_asked_once_a_round")]

    def __str__(self) -> str:
        return f"{self.label}? {self.document}"

    @property
    def is_audit(self) -> bool:
        return self.reason in self.AUDITS

    @property
    def compared_examples(self) -> list[list]:
        """The nearest examples of the label asked about and of its strongest rival that is still open."""
        labels = self.labels_with_examples
        after = labels.index(self.label_id) + 1 if self.label_id in labels else 0
        return self.examples_of(self.label_id, *labels[after : after + 1])

    @property
    def labels_with_examples(self) -> list[int]:
        """The labels of the examples: those that could be asked about, the most probable first."""
        return list(dict.fromkeys(label_id for _, label_id, _ in self.examples))

    def examples_of(self, *label_ids: int) -> list[list]:
        """The examples of these labels, as in ``examples``."""
        return [row for row in self.examples if row[1] in label_ids]


class Verdict(models.Model):
    """The judge's answer to one query."""

    class Name(models.TextChoices):
        VALID = "valid", gettext_lazy("Valid")
        INVALID = "invalid", gettext_lazy("Invalid")
        UNSURE = "unsure", gettext_lazy("Unsure")

    query = models.OneToOneField(Query, models.CASCADE, related_name="verdict")
    verdict = models.CharField(max_length=10, choices=Name)
    reason = models.TextField(blank=True)
    better_label = models.ForeignKey(Label, models.SET_NULL, null=True, blank=True, related_name="+")
    judge = models.CharField(max_length=20)
    model = models.CharField(max_length=100)
    prompt_version = models.CharField(max_length=40)
    definition_version = models.PositiveIntegerField(default=0)
    request_id = models.CharField(max_length=100, blank=True)
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    call = models.ForeignKey(
        "Call",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="verdicts",
        help_text="Where it was paid for; of another query when the very same question had its answer already.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.verdict}: {self.query}"

    @property
    def chosen_id(self) -> int | None:
        """In the form "choose": the label that was chosen, None for none of these."""
        return self.query.label_id if self.verdict == self.Name.VALID else self.better_label_id

    @property
    def in_words(self) -> str:
        """The verdict with the label it is about."""
        if self.query.form == Query.Form.CHOOSE and self.verdict != self.Name.UNSURE:
            chosen = self.query.label if self.verdict == self.Name.VALID else self.better_label
            return _("chose %(label)s from %(n)s") % {
                "label": chosen or _("none of these"),
                "n": len(self.query.offered),
            }
        words = {
            self.Name.VALID: _("valid %(label)s"),
            self.Name.INVALID: _("not %(label)s"),
            self.Name.UNSURE: _("unsure about %(label)s"),
        }
        return words[self.Name(self.verdict)] % {"label": self.query.label}


class Audit(models.Model):
    """What the loop made of an audited document before a person saw it: written once, when the round settles.

    ``label`` is the most probable one after the judge's verdicts, None for none of these.
    """

    query = models.OneToOneField(Query, models.CASCADE, related_name="audit")
    label = models.ForeignKey(Label, models.RESTRICT, null=True, blank=True, related_name="+")
    posterior = models.FloatField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.label or 'none of these'} {self.posterior:.2f}"


class JudgeFailure(models.Model):
    """A query that got no verdict, and why. Retrying removes the row."""

    query = models.OneToOneField(Query, models.CASCADE, related_name="judge_failure")
    reason = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.reason
