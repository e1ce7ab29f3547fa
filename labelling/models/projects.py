"""Projects, their people, and their labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from labelling.models.jobs import BackgroundJob

if TYPE_CHECKING:
    from labelling.models.rounds import Round


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user) -> ProjectQuerySet:
        """The projects this user is a member of; superusers see all."""
        return self if user.is_superuser else self.filter(memberships__user=user)

    def managed_by(self, user) -> ProjectQuerySet:
        """The projects whose labels, data, settings and rounds this user may change."""
        if user.is_superuser:
            return self
        return self.filter(memberships__user=user, memberships__role=Membership.Role.MANAGER)


class Project(models.Model):
    """One labelling job: its labels, documents, people and rounds."""

    class Strategy(models.TextChoices):
        SETTLING = "settling", "Settling: where one valid verdict settles the label, the most probable first"
        GAIN = "gain", "Expected information gain: where one answer of the judge would tell most"
        ENTROPY = "entropy", "Entropy: where the classifier spreads its probability widest"
        MARGIN = "margin", "Margin: where the best two labels are closest"
        RANDOM = "random", "Random: anywhere"

    class JudgeName(models.TextChoices):
        NEIGHBOURS = "neighbours", "Neighbours (offline: compares with the nearest examples)"
        ANTHROPIC = "anthropic", "Anthropic (a language model; needs a key in the environment)"

    class QuestionForm(models.TextChoices):
        VALIDATE = "validate", _("Validate: is this label valid? (the classifiers' best guess, yes or no)")
        CHOOSE = "choose", _("Choose: which of the best candidates is it, or none of these?")

    class Combination(models.TextChoices):
        ARBITER = "arbiter", "Arbiter: weighs what all classifiers say of a label"
        HIGHEST = "highest", "The article's: the highest probability wins"

    class AutoAccept(models.TextChoices):
        OFF = "off", "Off: a person decides on every document"
        CERTIFIED = "certified", "Certified: accept what is certain, only while the certificate holds"
        THRESHOLD = "threshold", "Threshold: accept what is certain, uncertified (not checked by people)"

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=110, unique=True)
    task = models.TextField(
        "what is labelled",
        blank=True,
        help_text="One or two sentences about the texts and what the labels are for. Reviewers and the judge read it.",
    )
    batch_size = models.PositiveIntegerField(
        "documents a round asks about",
        default=200,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
    )
    strategy = models.CharField("query strategy", max_length=20, choices=Strategy, default=Strategy.SETTLING)
    certainty = models.FloatField(
        default=0.85,
        validators=[MinValueValidator(0.01), MaxValueValidator(0.999)],
        help_text="A label counts as settled from this probability on, after the judge's evidence; below it the "
        "document is uncertain.",
    )
    audit_share = models.FloatField(
        "share of audits",
        default=0.1,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="This share of what is asked, 0 to 1, is drawn at random and reviewed without seeing the verdict. "
        "Audits tell how often the judge is right, and whether what is accepted from it is.",
    )
    retrain_after = models.PositiveIntegerField(
        "retrain after",
        default=50,
        validators=[MaxValueValidator(1_000_000)],
        help_text="The next round starts by itself when this many training examples are new. 0: only by hand.",
    )
    judge = models.CharField(max_length=20, choices=JudgeName, default=JudgeName.NEIGHBOURS)
    judge_model = models.CharField(
        max_length=100, blank=True, help_text="Model name for the anthropic judge; empty for the site's default."
    )
    judge_base_url = models.CharField(
        "judge's address",
        max_length=300,
        blank=True,
        help_text="A server that speaks the Messages API. The administrator lists the allowed ones in JUDGE_BASE_URLS.",
    )
    question = models.CharField(
        "question to the judge",
        max_length=20,
        choices=QuestionForm,
        default=QuestionForm.VALIDATE,
        help_text="In the second form the candidates stand in random order, and nothing tells which one the "
        "classifiers prefer.",
    )
    use_batches = models.BooleanField(
        "ask in message batches",
        default=False,
        help_text="Cheaper by half with Anthropic, but the answers may take hours. Needs a language model.",
    )
    confirm_spending = models.BooleanField(
        "show the forecast first",
        default=True,
        help_text="A round with a language model waits before it spends anything, until a manager has seen what it "
        "will send and what that will cost.",
    )
    round_cap = models.DecimalField(
        "cap of a round, in US dollars",
        max_digits=10,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="At the cap the round pauses with what it has. Empty: no cap.",
    )
    project_cap = models.DecimalField(
        "cap of the project, in US dollars",
        max_digits=10,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="For everything that a language model does for this project. Empty: no cap.",
    )
    auto_accept = models.CharField(max_length=20, choices=AutoAccept, default=AutoAccept.CERTIFIED)
    combination = models.CharField(
        "how the classifiers are combined", max_length=20, choices=Combination, default=Combination.ARBITER
    )
    subset_size = models.PositiveIntegerField(
        "labels in a subset", default=10, validators=[MinValueValidator(2), MaxValueValidator(100)]
    )
    noise_ratio = models.FloatField(
        default=10.0,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="Noise examples of a subset's classifier for each example of its average label.",
    )
    random_seed = models.PositiveIntegerField(default=0, validators=[MaxValueValidator(2**31 - 1)])
    claim_minutes = models.PositiveIntegerField(
        "minutes a document stays reserved",
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(24 * 60)],
        help_text="At most this long an opened document is kept for a reviewer who gives no sign of life. When the "
        "page was closed others get it sooner: after twice the time that nearly all decisions take, once 20 are there "
        "to tell.",
    )
    lease_seconds = models.PositiveIntegerField(
        null=True, editable=False, help_text="How long a claim lasts unless it is renewed, from the last decisions."
    )
    overlap = models.FloatField(
        "share decided by two people",
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="This share, 0 to 1, of what later rounds lay out goes to two people, neither of whom sees the "
        "other's decision. Where they disagree a third decides. Needs at least two reviewers, better three.",
    )
    metadata_columns = models.JSONField(default=list, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[Project]] = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("project", args=[self.slug])

    @property
    def model_file(self) -> Path:
        """Where the worker keeps what this project's classifiers have learnt."""
        return Path(settings.MEDIA_ROOT) / "models" / f"{self.pk}.npz"

    def is_managed_by(self, user) -> bool:
        """Whether the user may change labels, data, settings and rounds."""
        return user.is_superuser or self.memberships.filter(user=user, role=Membership.Role.MANAGER).exists()

    @property
    def active_round(self) -> Round | None:
        """The round that is under way, with what tells how far it is; its other columns are read when asked for."""
        active = self.rounds.filter(state__in=BackgroundJob.ACTIVE).order_by()
        return active.only(
            "project", "number", "state", "step", "done", "total", "lease_until", "stop_asked_at"
        ).first()


class Membership(models.Model):
    """A person's role in a project. Managers do all that reviewers do."""

    class Role(models.TextChoices):
        REVIEWER = "reviewer", "Reviewer"
        MANAGER = "manager", "Manager"

    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.REVIEWER)

    class Meta:
        ordering = ["user__username"]
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_role_a_member")]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class Label(models.Model):
    """A class. ``definition`` repeats the newest Definition's text, so that lists need no join."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="labels")
    name = models.CharField(max_length=200)
    definition = models.TextField(blank=True, help_text="Use when …, not when … Each change is kept as a version.")
    definition_version = models.PositiveIntegerField(default=0, editable=False)
    synonyms = models.TextField(
        blank=True, help_text="Other words for it, separated by semicolons: the search finds the label by them too."
    )

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="label_name_once_a_project")]

    def __str__(self) -> str:
        return self.name


class Definition(models.Model):
    """One version of the text that says when a label applies and when not."""

    label = models.ForeignKey(Label, models.CASCADE, related_name="definitions")
    version = models.PositiveIntegerField()
    text = models.TextField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["label", "-version"]
        constraints = [models.UniqueConstraint(fields=["label", "version"], name="definition_version_once")]

    def __str__(self) -> str:
        return f"{self.label} v{self.version}"
