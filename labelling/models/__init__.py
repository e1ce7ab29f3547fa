"""The tables. Evidence (Definition, Query, Verdict, Decision) is written once and never changed."""

from labelling.models.definitions import Draft, Drafting
from labelling.models.documents import Document, Embedding, TrainingExample
from labelling.models.imports import CsvImport
from labelling.models.jobs import BackgroundJob, Worker
from labelling.models.ledger import Call, MessageBatch, Price, Total
from labelling.models.measuring import ComparedAnswer, Comparison, Measurement
from labelling.models.projects import Definition, Label, Membership, Project
from labelling.models.review import Decision, Flag, Habit, People, QueueEntry
from labelling.models.rounds import Audit, JudgeFailure, Prediction, Query, Round, Verdict

__all__ = [
    "Audit",
    "BackgroundJob",
    "Call",
    "ComparedAnswer",
    "Comparison",
    "CsvImport",
    "Decision",
    "Definition",
    "Document",
    "Draft",
    "Drafting",
    "Embedding",
    "Flag",
    "Habit",
    "JudgeFailure",
    "Label",
    "Measurement",
    "Membership",
    "MessageBatch",
    "People",
    "Prediction",
    "Price",
    "Project",
    "Query",
    "QueueEntry",
    "Round",
    "Total",
    "TrainingExample",
    "Verdict",
    "Worker",
]
