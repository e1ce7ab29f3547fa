"""Documents, their vectors, and what the classifiers learn from."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _

from labelling.models.projects import Label, Project


class Source(models.TextChoices):
    """Where a label came from. A human's wins over a judge's, a judge's over a seed."""

    SEED = "seed", _("Seed")
    JUDGE = "judge", _("Judge")
    HUMAN = "human", _("Human")


class Belief(NamedTuple):
    """A label, None for none of these, and how probable it is, in [0, 1]."""

    label: Label | None
    probability: float


class DocumentQuerySet(models.QuerySet["Document"]):
    def pool(self) -> DocumentQuerySet:
        """Documents without a label yet."""
        return self.filter(holdout=False, example=None)

    def in_windows(self) -> DocumentQuerySet:
        """Documents whose text is longer than the encoder reads at once, as far as it has read them."""
        return self.filter(text_hash__in=Embedding.objects.filter(n_windows__gt=1).values("text_hash"))


class Document(models.Model):
    """One text to be labelled, or one that came with its label.

    ``given_source`` says whose label ``given_label`` is: empty for a text that came without;
    with a source and no label, the text is known to belong to no label.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="documents", db_index=False)
    csv_import = models.ForeignKey("CsvImport", models.SET_NULL, null=True, blank=True, related_name="documents")
    external_id = models.CharField("id", max_length=200, blank=True)
    text = models.TextField()
    text_hash = models.CharField(max_length=64, editable=False, help_text="SHA-256 of the text, in hex.")
    metadata = models.JSONField(default=dict, blank=True)
    provenance = models.JSONField(
        default=dict, blank=True, help_text="What an earlier export said; shown until this project knows better."
    )
    holdout = models.BooleanField(default=False)
    proposals = models.JSONField(
        default=list,
        blank=True,
        help_text="What people and models said of it elsewhere: label, by, score, is_person. Evidence, no label.",
    )
    is_disputed = models.BooleanField(default=False, help_text="People disagreed elsewhere: people decide here.")
    given_label = models.ForeignKey(Label, models.RESTRICT, null=True, blank=True, related_name="+")
    given_source = models.CharField(max_length=10, choices=Source, blank=True)
    recoded_from = models.ForeignKey(
        Label,
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="recoded",
        help_text="Its label until a revision divided that: only the successors come into question.",
    )

    objects: ClassVar[models.Manager[Document]] = DocumentQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        indexes = [
            # On PostgreSQL with the key as its second column, see migration 0036.
            models.Index(fields=["project"], name="documents_of_a_project"),
            models.Index(fields=["project"], condition=models.Q(holdout=True), name="documents_held_out"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["project", "text_hash"], name="text_once_a_project"),
            models.UniqueConstraint(
                fields=["project", "external_id"], condition=~models.Q(external_id=""), name="id_once_a_project"
            ),
        ]

    def __str__(self) -> str:
        return self.text[:80]

    @property
    def belief(self) -> Belief | None:
        """The label that is most probable by all there is; a person's word is certain.

        None: nothing is predicted, or a label that was retired since.
        """
        example = getattr(self, "example", None)
        prediction = getattr(self, "prediction", None)
        if example and example.source == Source.HUMAN:
            return Belief(example.label, 1.0)
        if prediction is None or (prediction.posterior_label and prediction.posterior_label.retired_at):
            return None
        return Belief(prediction.posterior_label, prediction.posterior)


class Row(models.Model):
    """A further line that came in with a document's text: its own id and metadata, one decision for all.

    The first line's are the document's own.
    """

    document = models.ForeignKey(Document, models.CASCADE, related_name="rows")
    csv_import = models.ForeignKey("CsvImport", models.SET_NULL, null=True, blank=True, related_name="rows")
    line = models.PositiveIntegerField(help_text="Of the file, from 1.")
    external_id = models.CharField("id", max_length=200, blank=True)
    metadata = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["external_id"], name="rows_by_id")]
        constraints = [models.UniqueConstraint(fields=["csv_import", "line"], name="line_once_an_import")]

    def __str__(self) -> str:
        return f"{self.external_id or self.line}: {self.document}"


class Embedding(models.Model):
    """A text's vector, computed once for each encoder: float32 values in native byte order."""

    text_hash = models.CharField(max_length=64)
    encoder = models.CharField(max_length=200)
    vector = models.BinaryField()
    n_windows = models.PositiveSmallIntegerField(
        default=1, help_text="In so many parts the encoder read the text; the vector is their mean."
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["text_hash", "encoder"], name="vector_once_an_encoder")]
        indexes = [models.Index(fields=["text_hash"], condition=models.Q(n_windows__gt=1), name="read_in_windows")]

    def __str__(self) -> str:
        return f"{self.encoder} {self.text_hash[:8]}"


class TrainingExample(models.Model):
    """A document's current label, the only one: made by the import and by services.examples alone.

    ``label`` is None for a document that belongs to none of the labels. ``learned_in`` is the
    first round that trained on this example, None while it is new.
    """

    document = models.OneToOneField(Document, models.CASCADE, related_name="example")
    label = models.ForeignKey(Label, models.RESTRICT, null=True, blank=True, related_name="examples")
    source = models.CharField(max_length=10, choices=Source)
    learned_in = models.ForeignKey("Round", models.SET_NULL, null=True, blank=True, related_name="learned_examples")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.label or 'none of these'} ({self.source})"

    @property
    def source_label(self) -> str:
        # get_source_display would translate all choices to find the one; a review page shows up to twenty of them.
        return str(Source(self.source).label)
