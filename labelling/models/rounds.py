"""Rounds and the evidence they gather."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from labelling.models.documents import Document
from labelling.models.jobs import BackgroundJob
from labelling.models.projects import Label, Project


class Round(BackgroundJob):
    """Query, judge, review, retrain: once around. Settings are copied when it starts."""

    class Step(models.TextChoices):
        EMBED = "embed", "Embedding texts"
        PARTITION = "partition", "Splitting the labels"
        FIT = "fit", "Training the classifiers"
        PREDICT = "predict", "Predicting the pool"
        QUERY = "query", "Choosing what to ask"
        JUDGE = "judge", "Asking the judge"
        SETTLE = "settle", "Laying out the review queue"

    project = models.ForeignKey(Project, models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField()
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    settings = models.JSONField(default=dict)
    seconds = models.JSONField(default=dict, help_text="Time spent in each step.")

    training_examples = models.PositiveIntegerField(null=True)
    subsets = models.JSONField(default=list, help_text="Label ids that share a classifier; kept while labels stay.")
    labels_learned = models.PositiveIntegerField(null=True)
    pool = models.PositiveIntegerField("documents in the pool", null=True)
    unlabelled_at_import = models.PositiveIntegerField(
        null=True, help_text="The fixed set on which uncertain documents are counted from round to round."
    )
    uncertain = models.PositiveIntegerField("uncertain documents", null=True)
    holdout_size = models.PositiveIntegerField(null=True)
    holdout_accuracy = models.FloatField(null=True)
    holdout_macro_f1 = models.FloatField(null=True)
    queried_at = models.DateTimeField(null=True, help_text="Set with the queries: from here on the batch is fixed.")
    settled_at = models.DateTimeField(null=True, help_text="Set with the review queue: from here on verdicts count.")
    accepted = models.PositiveIntegerField("accepted from the judge", default=0)
    left_queue = models.PositiveIntegerField("left the queue because the model became sure", default=0)
    stop_reason = models.TextField(blank=True)

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
    def step_label(self) -> str:
        return str(self.Step(self.step).label) if self.step else ""


class Prediction(models.Model):
    """What the classifiers say of a document now; replaced by each round.

    ``candidates`` lists [label id, probability] of the best labels, best first.
    """

    document = models.OneToOneField(Document, models.CASCADE, related_name="prediction")
    round = models.ForeignKey(Round, models.CASCADE, related_name="predictions")
    label = models.ForeignKey(Label, models.CASCADE, related_name="+")
    probability = models.FloatField()
    entropy = models.FloatField()
    candidates = models.JSONField()

    def __str__(self) -> str:
        return f"{self.label} {self.probability:.2f}"


class Query(models.Model):
    """A document a round asked about, with the evidence as it was.

    ``candidates``: [label id, probability], best first. ``examples``: [document id, label id or
    None, similarity] of the nearest training examples of the candidate and its strongest rival;
    ``neighbours``: the same for the nearest of all.
    """

    round = models.ForeignKey(Round, models.CASCADE, related_name="queries")
    document = models.ForeignKey(Document, models.CASCADE, related_name="queries")
    label = models.ForeignKey(Label, models.RESTRICT, related_name="+")
    rank = models.PositiveIntegerField(help_text="0 is asked first.")
    probability = models.FloatField()
    entropy = models.FloatField()
    candidates = models.JSONField()
    examples = models.JSONField()
    neighbours = models.JSONField()

    class Meta:
        verbose_name_plural = "queries"
        constraints = [models.UniqueConstraint(fields=["round", "document"], name="asked_once_a_round")]

    def __str__(self) -> str:
        return f"{self.label}? {self.document}"


class Verdict(models.Model):
    """The judge's answer to one query."""

    class Name(models.TextChoices):
        VALID = "valid", "Valid"
        INVALID = "invalid", "Invalid"
        UNSURE = "unsure", "Unsure"

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
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.verdict}: {self.query}"


class JudgeFailure(models.Model):
    """A query that got no verdict, and why. Retrying removes the row."""

    query = models.OneToOneField(Query, models.CASCADE, related_name="judge_failure")
    reason = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.reason
