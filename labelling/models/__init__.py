"""The tables. Evidence (Definition, Query, Verdict, Decision) is written once and never changed."""

from labelling.models.accounts import AccountKind, Invitation, Session
from labelling.models.certificates import AuditDraw, Certificate, Cohort, CohortMember, SettledLabel
from labelling.models.definitions import Draft, Drafting
from labelling.models.desk import BulkAct, SavedView
from labelling.models.diary import DiaryEntry
from labelling.models.documents import Document, Embedding, Row, TrainingExample
from labelling.models.domains import Expertise, PeopleOnly
from labelling.models.encoding import Adaptation, Centre, Encoding
from labelling.models.gold import Gold, GoldAnswer
from labelling.models.guidelines import Comment, Guideline, Mention
from labelling.models.imports import CsvImport
from labelling.models.jobs import BackgroundJob, Worker
from labelling.models.label_events import LabelEvent, Revision
from labelling.models.ledger import Call, MessageBatch, Price, Total
from labelling.models.measuring import ComparedAnswer, Comparison, Measurement
from labelling.models.notices import Delivery, Event, Mailbox, Notice, Webhook
from labelling.models.packing import Packing, Unpacking
from labelling.models.projects import Definition, Label, Membership, Project
from labelling.models.proposed_labels import ProposedLabel
from labelling.models.releases import Release
from labelling.models.review import Decision, Flag, Habit, People, QueueEntry
from labelling.models.rounds import Audit, JudgeFailure, Prediction, Query, Round, Verdict
from labelling.models.suspicions import Suspicion
from labelling.models.tokens import KeyedRequest, Token
from labelling.models.watching import DriftLook, LaterCount, LaterText

__all__ = [
    "AccountKind",
    "Adaptation",
    "Audit",
    "AuditDraw",
    "BackgroundJob",
    "BulkAct",
    "Call",
    "Centre",
    "Certificate",
    "Cohort",
    "CohortMember",
    "Comment",
    "ComparedAnswer",
    "Comparison",
    "CsvImport",
    "Decision",
    "Definition",
    "Delivery",
    "DiaryEntry",
    "Document",
    "Draft",
    "Drafting",
    "DriftLook",
    "Embedding",
    "Encoding",
    "Event",
    "Expertise",
    "Flag",
    "Gold",
    "GoldAnswer",
    "Guideline",
    "Habit",
    "Invitation",
    "JudgeFailure",
    "KeyedRequest",
    "Label",
    "LabelEvent",
    "LaterCount",
    "LaterText",
    "Mailbox",
    "Measurement",
    "Membership",
    "Mention",
    "MessageBatch",
    "Notice",
    "Packing",
    "People",
    "PeopleOnly",
    "Prediction",
    "Price",
    "Project",
    "ProposedLabel",
    "Query",
    "QueueEntry",
    "Release",
    "Revision",
    "Round",
    "Row",
    "SavedView",
    "Session",
    "SettledLabel",
    "Suspicion",
    "Token",
    "Total",
    "TrainingExample",
    "Unpacking",
    "Verdict",
    "Webhook",
    "Worker",
]
