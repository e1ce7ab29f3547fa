"""What the judge costs: prices with their dates, and a row for each call that was or may have been paid for."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import DecimalField, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from labelling.models.projects import Label, Project
from labelling.models.rounds import Query, Round
from labelling.models.sentences import SentenceField

MILLION = Decimal(1_000_000)
NOTHING = Decimal(0)


def _per_million(verbose_name: str, **options) -> models.DecimalField:
    return models.DecimalField(
        verbose_name, max_digits=12, decimal_places=6, validators=[MinValueValidator(NOTHING)], **options
    )


class PriceManager(models.Manager["Price"]):
    def today(self, model: str) -> Price | None:
        """The price of a model that holds today; None when nobody has entered one."""
        valid = self.filter(model=model, valid_from__lte=timezone.localdate())
        return valid.order_by("-valid_from").first()


class Price(models.Model):
    """What a model costs from a day on, in US dollars for a million tokens. Entered by people, never assumed."""

    model = models.CharField(max_length=100, help_text="The model's name, as projects and JUDGE_MODEL name it.")
    valid_from = models.DateField(default=timezone.localdate)
    input = _per_million("input", help_text="US dollars for a million tokens of the prompt.")
    output = _per_million("output", help_text="US dollars for a million tokens of the answer.")
    cache_write = _per_million("cache write", help_text="… for a million tokens that are put into the cache.")
    cache_read = _per_million("cache read", help_text="… for a million tokens that are found in the cache.")
    batch_share = models.DecimalField(
        "share in a batch",
        max_digits=4,
        decimal_places=3,
        default=Decimal("0.5"),
        validators=[MinValueValidator(NOTHING), MaxValueValidator(1)],
        help_text="What a call costs in a message batch, as a share of the price: 0.5 is half.",
    )
    cache_min_tokens = models.PositiveIntegerField(
        "shortest cached prompt",
        help_text="Tokens from which on the provider caches the shared part of a prompt; its page on prompt caching "
        "tells. Forecasts need it.",
    )
    source = models.CharField(max_length=300, blank=True, help_text="Where you read it, for whoever checks.")

    objects = PriceManager()

    class Meta:
        ordering = ["model", "-valid_from"]
        constraints = [models.UniqueConstraint(fields=["model", "valid_from"], name="one_price_a_model_and_day")]

    def __str__(self) -> str:
        return f"{self.model} from {self.valid_from}"

    def cost(
        self,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
        in_batch: bool = False,
    ) -> Decimal:
        """US dollars for so many tokens; the four kinds don't overlap."""
        tokens = (
            self.input * input_tokens
            + self.output * output_tokens
            + self.cache_read * cache_read_tokens
            + self.cache_write * cache_write_tokens
        )
        return tokens * (self.batch_share if in_batch else 1) / MILLION

    def ceiling(self, prompt_tokens: int, output_tokens: int, in_batch: bool = False) -> Decimal:
        """The most that a call of at most so many tokens can cost, whatever the cache does."""
        dearest = max(self.input, self.cache_write, self.cache_read)
        share = self.batch_share if in_batch else 1
        return (dearest * prompt_tokens + self.output * output_tokens) * share / MILLION


class MessageBatch(models.Model):
    """Calls that were submitted together at the batch price; ``remote_id`` is empty until the provider has it."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="batches")
    round = models.ForeignKey(Round, models.CASCADE, null=True, blank=True, related_name="batches")
    remote_id = models.CharField("provider's id", max_length=100, blank=True)
    submitted_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Set when its results are recorded.")

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "message batches"

    def __str__(self) -> str:
        return self.remote_id or "not submitted"


class Total(models.Model):
    """What all calls of a round, or of a project outside its rounds, have cost at most, kept up to date with each call.

    Adding up a hundred thousand calls before each new one would take longer than the call.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="totals")
    round = models.OneToOneField(Round, models.CASCADE, null=True, blank=True, related_name="spent_total")
    at_most = models.DecimalField(max_digits=20, decimal_places=8, default=NOTHING)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project"], condition=models.Q(round=None), name="one_total_outside_rounds")
        ]

    def __str__(self) -> str:
        return f"{self.round or self.project}: {self.at_most}"


class CallQuerySet(models.QuerySet["Call"]):
    def in_flight(self) -> CallQuerySet:
        return self.filter(state=Call.State.IN_FLIGHT)

    def at_most(self) -> Decimal:
        """What these calls have cost at most: what is known, and the ceiling where the cost isn't or isn't yet."""
        return self._sum(Coalesce("cost", "ceiling"))

    def known_cost(self) -> Decimal:
        return self._sum("cost")

    def _sum(self, amount) -> Decimal:
        total = self.aggregate(total=Sum(amount, output_field=DecimalField(max_digits=20, decimal_places=8)))["total"]
        return total or NOTHING


class Call(models.Model):
    """One call that was or may have been paid for: written before it leaves, finished when it is back.

    ``cost`` is None while it isn't known, and for ever when the answer was lost or the model has no price. Then the
    budget counts ``ceiling``, the most that it can have cost; None without a price. ``answer`` is what the model
    said: an identical question, known by ``fingerprint``, is not paid for again.
    """

    class Purpose(models.TextChoices):
        VERDICT = "verdict", _("Verdict")
        DEFINITION = "definition", _("Definition")
        COMPARISON = "comparison", _("Comparison")

    class State(models.TextChoices):
        IN_FLIGHT = "in flight", _("In flight")
        DONE = "done", _("Answered")
        FAILED = "failed", _("Failed")
        LOST = "lost", _("Lost")

    project = models.ForeignKey(Project, models.CASCADE, related_name="calls")
    round = models.ForeignKey(Round, models.CASCADE, null=True, blank=True, related_name="calls")
    query = models.ForeignKey(Query, models.CASCADE, null=True, blank=True, related_name="calls")
    label = models.ForeignKey(Label, models.SET_NULL, null=True, blank=True, related_name="+")
    batch = models.ForeignKey(MessageBatch, models.SET_NULL, null=True, blank=True, related_name="calls")
    purpose = models.CharField(max_length=20, choices=Purpose)
    model = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=State, default=State.IN_FLIGHT)
    fingerprint = models.CharField(max_length=64, blank=True, help_text="Hash of all that was sent.")
    answer = models.JSONField(null=True, blank=True)
    answered_by = models.CharField(max_length=100, blank=True, help_text="The model, as the endpoint names it.")
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    cache_read_tokens = models.PositiveIntegerField(default=0)
    cache_write_tokens = models.PositiveIntegerField(default=0)
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True)
    ceiling = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True)
    latency = models.FloatField("seconds", null=True, blank=True)
    request_id = models.CharField(max_length=100, blank=True)
    error = SentenceField(blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager[Call]] = CallQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["fingerprint"], name="calls_of_a_question"),
            models.Index(fields=["project", "-id"], name="calls_of_a_project"),
        ]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}, {self.model}: {self.get_state_display()}"

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens
