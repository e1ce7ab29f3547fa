"""What a project consists of: its tables, in the order in which they are written, and what is left out of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Field, Model, QuerySet

from labelling.jobs.packing.shapes import Shape, by_kind, cells, each, every, key_of, keyed, named, number, text
from labelling.models import (
    Adaptation,
    Audit,
    AuditDraw,
    BackgroundJob,
    BulkAct,
    Call,
    Centre,
    Certificate,
    Cohort,
    CohortMember,
    Comment,
    ComparedAnswer,
    Comparison,
    CsvImport,
    Decision,
    Definition,
    Delivery,
    DiaryEntry,
    Document,
    Draft,
    Drafting,
    DriftLook,
    Embedding,
    Encoding,
    Event,
    Expertise,
    Flag,
    Gold,
    GoldAnswer,
    Guideline,
    Habit,
    Invitation,
    JudgeFailure,
    KeyedRequest,
    Label,
    LabelEvent,
    LaterCount,
    LaterText,
    Mailbox,
    Measurement,
    Membership,
    Mention,
    MessageBatch,
    Notice,
    Packing,
    PeopleOnly,
    Prediction,
    Price,
    Project,
    ProposedLabel,
    Query,
    QueueEntry,
    Release,
    Revision,
    Round,
    Row,
    SavedView,
    Session,
    SettledLabel,
    Suspicion,
    Token,
    Total,
    TrainingExample,
    Unpacking,
    Verdict,
    Webhook,
    Worker,
)

LABEL, DOCUMENT = key_of(Label), key_of(Document)
LABELS, DOCUMENTS = each(LABEL), each(DOCUMENT)
# Documents with the label that they have, if any, and how alike they are.
EVIDENCE = each(cells(DOCUMENT, LABEL, number))
# What a step in a label's life keeps, where it is the same in all kinds.
BEFORE: dict[str, Shape] = {
    "believed": each(key_of(Prediction)),
    "children": LABELS,
    "held_out": DOCUMENTS,
    "judged": DOCUMENTS,
    "merged": LABELS,
    "predicted": each(key_of(Prediction)),
    "recoded": DOCUMENTS,
    "settled": each(key_of(SettledLabel)),
}
# Of every job: who works on it and until when, and that somebody there agreed to what it spends.
OF_A_JOB = frozenset({"lease", "lease_until", "confirmed_at"})


@dataclass(frozen=True)
class Table:
    """A model's rows of one project.

    Attributes:
        model: each row of it is a line of the file.
        of_project: the way from a row to its project.
        shapes: by field, where keys stand in what is no foreign key.
        plain: fields of JSON that have no keys in them.
        left_out: fields that stay behind, and have their default in the project that is made of the file.
        without: rows that stay behind.
    """

    model: Any
    of_project: str = "project"
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    plain: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()
    without: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.model._meta.model_name}.jsonl"

    @property
    def fields(self) -> list[Field[Any, Any]]:
        """The columns that are in the file."""
        behind = self.left_out | (OF_A_JOB if issubclass(self.model, BackgroundJob) else frozenset())
        return [column for column in self.model._meta.local_concrete_fields if column.name not in behind]

    def rows(self, project: Project) -> QuerySet[Any]:
        """The project's rows, in the order of their keys."""
        rows = self.model._base_manager.filter(**{self.of_project: project.pk})
        return (rows.exclude(**self.without) if self.without else rows).order_by("pk")


TABLES = (
    # Nothing is spent before somebody here has seen a forecast.
    Table(Project, "pk", shapes={"metadata_columns": each(text)}, left_out=frozenset({"confirm_spending"})),
    Table(Membership),
    Table(Label),
    Table(Expertise, "membership__project", shapes={"values": each(text)}),
    Table(Expertise.labels.through, "expertise__membership__project"),
    Table(PeopleOnly, shapes={"values": each(text)}),
    Table(PeopleOnly.labels.through, "peopleonly__project"),
    Table(Label.successors.through, "from_label__project"),
    Table(Definition, "label__project"),
    # The texts are in the documents; an import that waits for somebody would want its file.
    Table(
        CsvImport,
        shapes={"made_labels": LABELS},
        plain=frozenset({"more_text_columns", "answers", "questions", "counts", "problems"}),
        left_out=frozenset({"file", "rejected_file"}),
        without={"state": BackgroundJob.State.WAITING},
    ),
    Table(Document, shapes={"metadata": every(text), "provenance": every(text)}, plain=frozenset({"proposals"})),
    Table(Row, "document__project", shapes={"metadata": every(text)}),
    Table(
        Round,
        shapes={
            "settings": named(ask_again=LABELS),
            "changes": named(
                moved=each(cells(DOCUMENT, LABEL, LABEL, number)),
                moves=each(cells(LABEL, LABEL, number)),
                better=each(cells(LABEL, number)),
                worse=each(cells(LABEL, number)),
                confusions=each(cells(LABEL, LABEL, number)),
            ),
            "rivals": keyed(Label, LABELS),
            "factors": named(none=number, labels=keyed(Label, number)),
            "expected": keyed(Label, number),
            "shares": named(labels=keyed(Label, each(number)), none=each(number), n=number, drawn=number),
        },
        plain=frozenset({"seconds", "forecast", "reliability", "outlook", "holdout_by_level"}),
    ),
    Table(TrainingExample, "document__project"),
    Table(
        Prediction,
        "document__project",
        shapes={"candidates": each(cells(LABEL, number)), "belief": each(number), "path": each(cells(LABEL, number))},
    ),
    Table(
        Query,
        "round__project",
        shapes={
            "candidates": each(cells(LABEL, number)),
            "offered": LABELS,
            "examples": EVIDENCE,
            "neighbours": EVIDENCE,
            "suggested": EVIDENCE,
            "near_duplicates": each(cells(DOCUMENT, number)),
            "words": keyed(Label, each(cells(number, number))),
        },
    ),
    Table(MessageBatch),
    # An answer from elsewhere answers no question of another project that is put in the same words.
    Table(Call, plain=frozenset({"answer"}), left_out=frozenset({"fingerprint"})),
    Table(Total),
    Table(Verdict, "query__round__project"),
    Table(Audit, "query__round__project"),
    Table(JudgeFailure, "query__round__project"),
    Table(SettledLabel),
    Table(Cohort),
    Table(Certificate, plain=frozenset({"levels"})),
    Table(CohortMember, "cohort__project"),
    Table(AuditDraw, "member__cohort__project"),
    Table(Release, plain=frozenset({"counts", "certificate", "files"})),
    # Whoever had a document open has it open elsewhere.
    Table(QueueEntry, left_out=frozenset({"claimed_by", "claimed_at", "claimed_until"})),
    Table(Decision, "document__project", shapes={"entry": key_of(QueueEntry)}),
    Table(Flag, "document__project"),
    Table(Gold, "document__project"),
    Table(GoldAnswer, "document__project"),
    Table(
        BulkAct,
        shapes={"rows": by_kind(review=each(key_of(QueueEntry)), flag=each(key_of(Flag)), gold=each(key_of(Gold)))},
    ),
    Table(Revision, shapes={"counts": named(created=LABELS)}, plain=frozenset({"table"})),
    Table(
        LabelEvent,
        shapes={
            "before": by_kind(
                **dict.fromkeys(("rename", "recode", "restore", "move", "split"), named()),
                retire=named(**BEFORE),
                make=named(**BEFORE),
                merge=named(**BEFORE, examples=each(key_of(TrainingExample)), given=DOCUMENTS),
                divide=named(**BEFORE, examples=each(cells(DOCUMENT)), given=every(DOCUMENTS)),
            )
        },
        plain=frozenset({"counts"}),
    ),
    Table(ProposedLabel),
    Table(ProposedLabel.documents.through, "proposedlabel__project"),
    Table(ProposedLabel.neighbours.through, "proposedlabel__project"),
    Table(Suspicion),
    Table(Drafting, plain=frozenset({"forecast"})),
    Table(
        Draft, "drafting__project", shapes={"rivals": LABELS, "examples": keyed(Label, DOCUMENTS), "texts": DOCUMENTS}
    ),
    Table(Comparison, plain=frozenset({"forecast", "result"})),
    Table(ComparedAnswer, "comparison__project"),
    Table(LaterText),
    Table(LaterCount),
    Table(DriftLook),
    Table(Guideline),
    Table(Comment),
    Table(Mention, "comment__project"),
)

# Kept by the text, whatever project it is in; in a file of their own.
VECTORS = Embedding

# What is of an installation or of a person's work there, who is told of what happens in it, and what is counted again
# when somebody looks.
LEFT_OUT: tuple[type[Model], ...] = (
    Adaptation,
    Centre,
    Delivery,
    DiaryEntry,
    Encoding,
    Event,
    Habit,
    Invitation,
    KeyedRequest,
    Mailbox,
    Measurement,
    Notice,
    Packing,
    Price,
    SavedView,
    Session,
    Token,
    Unpacking,
    Webhook,
    Worker,
)


def leads_to_person(column: Field[Any, Any]) -> bool:
    return column.remote_field is not None and column.related_model is User
