"""Rounds and the evidence they gather."""

from __future__ import annotations

import math

from django.conf import settings
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models.compact import CandidatesField, ProbabilitiesField
from labelling.models.documents import Document
from labelling.models.jobs import BackgroundJob
from labelling.models.projects import Label, Project
from labelling.models.sentences import SentenceField


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
    factors = models.JSONField(
        default=dict, help_text="What the odds of labels and of none of these are multiplied with in this pool."
    )
    learning_over = SentenceField(blank=True, help_text="Why another question would teach little; audits may go on.")
    settling_stopped = models.BooleanField(default=False, help_text="Audits say that more is wrong than the limit.")
    expected = models.JSONField(
        default=dict, help_text="By label id: documents of the pool that are expected to belong to it."
    )
    shares = models.JSONField(
        default=dict, help_text="How common each label is in the pool, see labelling.jobs.rounds.prevailing."
    )
    outlook = models.JSONField(default=dict, help_text="What is still to be done, see labelling.jobs.rounds.outlook.")
    holdout_size = models.PositiveIntegerField(null=True)
    holdout_accuracy = models.FloatField(null=True)
    holdout_macro_f1 = models.FloatField(null=True)
    holdout_by_level = models.JSONField(default=list, help_text="[right, documents] of each level of a tree of labels.")
    queried_at = models.DateTimeField(null=True, help_text="Set with the queries: from here on the batch is fixed.")
    settled_at = models.DateTimeField(null=True, help_text="Set with the review queue: from here on verdicts count.")
    laid_out = models.PositiveIntegerField("documents laid out for review", default=0)
    accepted = models.PositiveIntegerField("accepted from the judge", default=0)
    expected_wrong = models.FloatField(
        "of the labels accepted from the judge, expected to be wrong", default=0, help_text="By the belief in each."
    )
    left_queue = models.PositiveIntegerField("left the queue because the model became sure", default=0)
    stop_reason = SentenceField(blank=True)
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
    def has_judge(self) -> bool:
        return self.settings.get("judge") != Project.JudgeName.NONE

    @property
    def learns(self) -> bool:
        """Whether answers are still worth asking for; else audits alone go on."""
        return self.settings.get("learns", True)

    @property
    def asks(self) -> bool:
        """Whether the judge is asked in it; not where it only takes in texts that came later."""
        return self.learns and not self.settings.get("only_predicts", False)

    @property
    def enough(self) -> int:
        """How many decisions start the round that follows this one, the last; 0: it is started by hand alone."""
        return self.project.retrain_after if self.state == self.State.DONE and not self.stop_reason else 0

    @property
    def question(self) -> str:
        """The form of its questions, a Query.Form; rounds from before there were two ask to validate."""
        return self.settings.get("question", Query.Form.VALIDATE)

    @property
    def step_label(self) -> str:
        return str(self.Step(self.step).label) if self.step else ""


class Prediction(models.Model):
    """What the classifiers say of a document now; replaced by each round that finds something else.

    ``candidates`` lists [label id, probability] of the best labels, best first. ``belief`` is the
    probability of each of them after the judge's verdicts and, last, of none of these; it changes
    with every verdict. ``posterior`` is the highest of them, ``posterior_label`` its label, None
    for none of these. ``path`` lists [label id, belief] of the labels that are more probable than
    not with all that lies below them, from the top of the tree down. A person's decision stands
    above all this: ask ``Document.belief``.
    """

    document = models.OneToOneField(Document, models.CASCADE, related_name="prediction")
    round = models.ForeignKey(
        Round,
        models.CASCADE,
        related_name="predictions",
        help_text="In which it became what it is; later ones found the same.",
    )
    label = models.ForeignKey(Label, models.CASCADE, related_name="+")
    probability = models.FloatField()
    entropy = models.FloatField()
    candidates = CandidatesField()
    belief = ProbabilitiesField()
    posterior = models.FloatField()
    posterior_label = models.ForeignKey(Label, models.CASCADE, null=True, related_name="+")
    path = CandidatesField()
    gain = models.FloatField(
        "expected gain", null=True, help_text="Nats that one more verdict is expected to tell about this document."
    )

    class Meta:
        indexes = [
            models.Index(fields=["posterior", "document"], name="predictions_by_belief"),
        ]

    def __str__(self) -> str:
        return f"{self.label} {self.probability:.2f}"

    @property
    def beliefs(self) -> dict[int | None, float]:
        """Label id to probability after the evidence; the key None stands for none of these."""
        labels = [label_id for label_id, _ in self.candidates]
        return dict(zip([*labels, None], self.belief, strict=True)) if self.belief else dict(self.candidates)

    def certain(self, bar: float) -> tuple[int, float] | None:
        """The deepest label of the tree that is as probable as the bar, above 0.5, and its belief; None for none."""
        reached = [(label_id, belief) for label_id, belief in self.path if belief >= bar]
        return reached[-1] if reached else None

    @property
    def likeliest_id(self) -> int:
        """Id of the label that is believed most, also where none of these is more probable."""
        if self.posterior_label_id:
            return self.posterior_label_id
        beliefs = {pk: belief for pk, belief in self.beliefs.items() if pk is not None}
        return max(beliefs, key=lambda pk: beliefs[pk], default=self.label_id)

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
        POOL_CHECK = "pool_check", gettext_lazy("Spot check of the pool")
        SPOT_CHECK = "spot_check", gettext_lazy("Spot check of the judge")
        WATCH = "watch", gettext_lazy("Audit of a later text")
        REVIEW = "review", gettext_lazy("A person's answer teaches much")
        DELEGATED = "delegated", gettext_lazy("Next label after a refusal")
        REDEFINED = "redefined", gettext_lazy("The definition has changed")
        REVISED = "revised", gettext_lazy("The classification has changed")
        TRIAL = "trial", gettext_lazy("Trial of the judge: the label is known")

    # Drawn at random: from the ledger, the whole pool, and what the judge was asked about. They measure the judge.
    AUDITS = (Reason.AUDIT, Reason.POOL_CHECK, Reason.SPOT_CHECK)
    # Decided on blind. Later texts are drawn from what the model is sure of: they measure that alone.
    BLIND = (*AUDITS, Reason.WATCH)
    # Of these, drawn whatever the judge said.
    SPOT_CHECKS = (Reason.POOL_CHECK, Reason.SPOT_CHECK)
    # For people alone.
    UNASKED = (Reason.AUDIT, Reason.POOL_CHECK, Reason.WATCH, Reason.REVIEW)

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
    words = models.JSONField(
        default=dict,
        help_text="By label id, of the likeliest two: [start, end] in the text of the words that speak for it. "
        "Noted once, when people are to be asked; empty of an audit.",
    )
    suggested = models.JSONField(
        default=list, help_text="As “examples”, of the label that the judge suggests where there are none of it."
    )

    class Meta:
        verbose_name_plural = "queries"
        indexes = [
            models.Index(fields=["reason", "round"], name="queries_by_reason"),
            models.Index(fields=["round", "rank", "id"], name="queries_by_rank"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["round", "document", "label"],
                condition=~models.Q(reason__in=["audit", "pool_check", "watch", "review"]),
                name="label_asked_once_a_round",
            )
        ]

    def __str__(self) -> str:
        return f"{self.label}? {self.document}"

    @property
    def is_audit(self) -> bool:
        return self.reason in self.BLIND

    @property
    def predicted_id(self) -> int:
        """Id of the label that a person is shown as predicted, and accepts with one key: the one believed most by now.

        Of an audit it is the one asked about: what is believed by now may rest on a verdict, which nobody is to see.
        """
        prediction = None if self.is_audit else getattr(self.document, "prediction", None)
        return prediction.likeliest_id if prediction else self.label_id

    def belief_in(self, label_id: int | None) -> float:
        """What was believed of a label that was offered, or, of None, of all that was not, before any answer.

        In a trial one of the best two is right: the label that stands first in ``candidates``, or the second.
        """
        if self.reason == self.Reason.TRIAL:
            of_two = zip((pk for pk, _ in self.candidates), (self.posterior, 1 - self.posterior), strict=False)
            return dict(of_two).get(label_id, 0.0)
        labels = self.round.factors.get("labels", {})
        odds = {pk: probability * labels.get(str(pk), 1.0) for pk, probability in self.candidates}
        none = max(1 - sum(probability for _, probability in self.candidates), 0.0) * self.round.factors.get(
            "none", 1.0
        )
        total = sum(odds.values()) + none
        given = {pk: odds[pk] / total for pk in self.offered if pk in odds}
        return given.get(label_id, 0.0) if label_id is not None else max(1 - sum(given.values()), 0.0)

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
    reason = SentenceField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.reason
