"""Projects, their people, and their labels."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

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
        SETTLING = "settling", _("Settling: where one valid verdict settles the label, the most probable first")
        GAIN = "gain", _("Expected information gain: where one answer of the judge would tell most")
        ENTROPY = "entropy", _("Entropy: where the classifier spreads its probability widest")
        MARGIN = "margin", _("Margin: where the best two labels are closest")
        RANDOM = "random", _("Random: anywhere")

    class JudgeName(models.TextChoices):
        NONE = "none", _("None: people decide, and see the nearest examples")
        ANTHROPIC = "anthropic", _("Anthropic (a language model; needs a key in the environment)")
        # Of verdicts from before 0.2: it saw what the classifiers see and added nothing. No project can choose it.
        NEIGHBOURS = "neighbours", _("Neighbours")

    class QuestionForm(models.TextChoices):
        VALIDATE = "validate", _("Validate: is this label valid? (the classifiers' best guess, yes or no)")
        CHOOSE = "choose", _("Choose: which of the best candidates is it, or none of these?")

    class Combination(models.TextChoices):
        ARBITER = "arbiter", _("Arbiter: weighs what all classifiers say of a label")
        HIGHEST = "highest", _("The article's: the highest probability wins")

    class Limit(models.TextChoices):
        TWO = "0.02", _("2 %")
        FIVE = "0.05", _("5 %")
        TEN = "0.10", _("10 %")

    class Level(models.TextChoices):
        NINETY = "0.90", _("90 %")
        NINETY_FIVE = "0.95", _("95 %")
        NINETY_NINE = "0.99", _("99 %")

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=110, unique=True)
    task = models.TextField(
        _("what is labelled"),
        blank=True,
        help_text=_(
            "One or two sentences about the texts and what the labels are for. Reviewers and the judge read it."
        ),
    )
    batch_size = models.PositiveIntegerField(
        _("questions a round"),
        default=200,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
    )
    strategy = models.CharField(_("query strategy"), max_length=20, choices=Strategy, default=Strategy.SETTLING)
    certainty = models.FloatField(
        default=0.85,
        validators=[MinValueValidator(0.01), MaxValueValidator(0.999)],
        help_text=_(
            "A label counts as settled from this probability on, after the judge's evidence; below it the "
            "document is uncertain."
        ),
    )
    retrain_after = models.PositiveIntegerField(
        _("decisions a round"),
        default=40,
        validators=[MaxValueValidator(1_000_000)],
        help_text=_(
            "A round lays out so many documents for people, and once they are decided the next one starts by itself. "
            "0: rounds start only by hand."
        ),
    )
    judge = models.CharField(max_length=20, choices=JudgeName, default=JudgeName.NONE)
    judge_model = models.CharField(
        max_length=100, blank=True, help_text="Model name for the anthropic judge; empty for the site's default."
    )
    judge_base_url = models.CharField(
        _("judge's address"),
        max_length=300,
        blank=True,
        help_text=_(
            "A server that speaks the Messages API. The administrator lists the allowed ones in JUDGE_BASE_URLS."
        ),
    )
    question = models.CharField(
        _("question to the judge"),
        max_length=20,
        choices=QuestionForm,
        default=QuestionForm.VALIDATE,
        help_text=_(
            "In the second form the candidates stand in random order, and nothing tells which one the "
            "classifiers prefer."
        ),
    )
    use_batches = models.BooleanField(
        _("ask in message batches"),
        default=False,
        help_text=_("Cheaper by half with Anthropic, but the answers may take hours. Needs a language model."),
    )
    confirm_spending = models.BooleanField(
        _("show the forecast first"),
        default=True,
        help_text=_(
            "A round with a language model waits before it spends anything, until a manager has seen what it "
            "will send and what that will cost."
        ),
    )
    round_cap = models.DecimalField(
        _("cap of a round, in US dollars"),
        max_digits=10,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("At the cap the round pauses with what it has. Empty: no cap."),
    )
    project_cap = models.DecimalField(
        _("cap of the project, in US dollars"),
        max_digits=10,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("For everything that a language model does for this project. Empty: no cap."),
    )
    auto_accept = models.BooleanField(
        _("settle what is certain"),
        default=True,
        help_text=_("Off: a person decides on every document."),
    )
    limit = models.CharField(
        _("at most wrong"),
        max_length=4,
        choices=Limit,
        default=Limit.FIVE,
        help_text=_("The largest share of wrong labels among those that the machine settles."),
    )
    level = models.CharField(
        _("how sure"),
        max_length=4,
        choices=Level,
        default=Level.NINETY_FIVE,
        help_text=_("How sure the certificate is of that, however often one looks."),
    )
    restarts = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="How often the ledger of audits was begun anew."
    )
    watch_share = models.FloatField(
        _("share of later texts that is audited"),
        default=0.05,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=_(
            "Of the later texts that are to be watched, and that are answered as certified, this share, 0 to 1, is "
            "audited, too: it tells when the certificate no longer holds for them."
        ),
    )
    watches = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="How often watching later texts was begun anew."
    )
    combination = models.CharField(
        _("how the classifiers are combined"), max_length=20, choices=Combination, default=Combination.ARBITER
    )
    subset_size = models.PositiveIntegerField(
        _("labels in a subset"), default=10, validators=[MinValueValidator(2), MaxValueValidator(100)]
    )
    noise_ratio = models.FloatField(
        default=10.0,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text=_("Noise examples of a subset's classifier for each example of its average label."),
    )
    random_seed = models.PositiveIntegerField(default=0, validators=[MaxValueValidator(2**31 - 1)])
    claim_minutes = models.PositiveIntegerField(
        _("minutes a document stays reserved"),
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(24 * 60)],
        help_text=_(
            "At most this long an opened document is kept for a reviewer who gives no sign of life. When the "
            "page was closed others get it sooner: after twice the time that nearly all decisions take, once 20 are "
            "there to tell."
        ),
    )
    lease_seconds = models.PositiveIntegerField(
        null=True, editable=False, help_text="How long a claim lasts unless it is renewed, from the last decisions."
    )
    overlap = models.FloatField(
        _("share decided by two people"),
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=_(
            "This share, 0 to 1, of what later rounds lay out goes to two people, neither of whom sees the "
            "other's decision. Where they disagree a third decides. Needs at least two reviewers, better three."
        ),
    )
    reviewers_export = models.BooleanField(
        _("reviewers may export"),
        default=True,
        help_text=_("Off: only managers take documents and releases out."),
    )
    demands_second_factor = models.BooleanField(
        _("demand a second factor"),
        default=False,
        help_text=_(
            "On: whoever logs in with a password alone sees nothing of this project, by pages or programs, until they "
            "have set up a second factor."
        ),
    )
    answer_first = models.FloatField(
        _("share answered before the machine's word"),
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=_(
            "Of this share, 0 to 1, of what later rounds lay out, people see the text and the labels alone, and the "
            "machine's word after their answer. Shows how much people lean on it; each such answer takes longer."
        ),
    )
    practice_first = models.BooleanField(
        _("demand practice"),
        default=False,
        help_text=_(
            "On: new reviewers decide nothing, by pages or programs, before they have answered up to 20 of the "
            "documents that managers picked to train with."
        ),
    )
    gold_share = models.FloatField(
        _("share of gold documents"),
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=_(
            "So often, 0 to 1, a reviewer gets a document whose label is known instead of the next one, and is told "
            "afterwards whether they were right. Nothing is learnt from it. Managers pick them on the documents page. "
            "It looks like what is answered before the machine's word: of later rounds at least the same share is."
        ),
    )
    gold_limit = models.FloatField(
        _("fewest right on gold documents"),
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=_(
            "Of whoever was right on less than this share, 0 to 1, of their last gold documents (50 at most, from 10 "
            "on), each decision needs a second person, who does not see it. 0: of nobody."
        ),
    )
    encoder = models.CharField(
        _("encoder"), max_length=200, blank=True, editable=False, help_text="Empty: the installation's."
    )
    adapts_itself = models.BooleanField(
        _("adapt the encoder by itself"),
        default=False,
        help_text=_(
            "On: after a round, once there are twice the examples of the last try, the encoder learns them, and is "
            "kept where it is better."
        ),
    )
    metadata_columns = models.JSONField(default=list, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Since then nobody changes it.")

    # Who asked for it, their role, and the key of their expertise, where access.project_of has read them.
    asked_by: int | None = None
    role = ""
    expertise: int | None = None

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

    @property
    def encoder_in_use(self) -> str:
        """The encoder whose vectors the project's rounds learn."""
        return self.encoder or settings.ENCODER

    def is_managed_by(self, user) -> bool:
        """Whether the user may change labels, data, settings and rounds."""
        if user.is_superuser:
            return True
        if user.pk == self.asked_by:
            return self.role == Membership.Role.MANAGER
        return self.memberships.filter(user=user, role=Membership.Role.MANAGER).exists()

    @property
    def last_round(self) -> Round | None:
        """The newest round, with what tells how far it is; its other columns are read when asked for."""
        progress = ("state", "step", "done", "total", "lease_until", "stop_asked_at", "stop_reason")
        return self.rounds.order_by("-number").only("project", "number", *progress).first()

    @property
    def active_round(self) -> Round | None:
        """The round that is under way: no other than the last."""
        last = self.last_round
        return last if last and last.is_active else None


class Membership(models.Model):
    """A person's role in a project. Managers do all that reviewers do."""

    class Role(models.TextChoices):
        REVIEWER = "reviewer", _("Reviewer")
        MANAGER = "manager", _("Manager")

    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.REVIEWER)

    class Meta:
        ordering = ["user__username"]
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_role_a_member")]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class LabelQuerySet(models.QuerySet["Label"]):
    def in_use(self) -> LabelQuerySet:
        """Labels that a document can get: none that was retired or merged."""
        return self.filter(retired_at=None)

    def leaves(self) -> LabelQuerySet:
        """Labels that the classifiers learn and propose: in use, with nothing in use below them."""
        return self.in_use().exclude(pk__in=Label.objects.in_use().exclude(parent=None).values("parent"))

    def current(self, pks: Collection[int] | None = None) -> dict[int, Label]:
        """By the id of each label, or of those with these ids, also where it was merged, the label that it is now."""
        labels = self.in_bulk(pks)
        merged = {label.merged_into_id for label in labels.values()} - {None, *labels}
        now = labels | self.in_bulk(merged) if merged else labels
        return {pk: now.get(label.merged_into_id or pk, label) for pk, label in labels.items()}


class Label(models.Model):
    """A class. ``definition`` repeats the newest Definition's text, so that lists need no join.

    One that has others below it is a parent: people may answer with it, the classifiers learn what lies below.
    """

    MAX_LEVELS = 6

    project = models.ForeignKey(Project, models.CASCADE, related_name="labels")
    name = models.CharField(max_length=200)
    code = models.CharField(_("code"), max_length=50, blank=True)
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="children")
    definition = models.TextField(blank=True, help_text="Use when …, not when … Each change is kept as a version.")
    definition_version = models.PositiveIntegerField(default=0, editable=False)
    synonyms = models.TextField(
        blank=True, help_text=_("Other words for it, separated by semicolons: the search finds the label by them too.")
    )
    since = models.DateTimeField(
        null=True, editable=False, help_text="Verdicts from before are about what the label meant then."
    )
    retired_at = models.DateTimeField(null=True, editable=False)
    successors = models.ManyToManyField(
        "self",
        symmetrical=False,
        related_name="predecessors",
        editable=False,
        help_text="What a revision has divided it into; each of its texts belongs to one of them.",
    )
    merged_into = models.ForeignKey(
        "self", models.SET_NULL, null=True, editable=False, related_name="merged", help_text="Retired, as a part of it."
    )

    objects: ClassVar[models.Manager[Label]] = LabelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="label_name_once_a_project"),
            models.UniqueConstraint(
                fields=["project", "code"], condition=~models.Q(code=""), name="label_code_once_a_project"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}" if self.code else self.name


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
