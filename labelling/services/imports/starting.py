"""Queue an import, again and with answers."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from labelling.models import (
    BackgroundJob,
    CsvImport,
)
from labelling.services import Refused, diary, queueing


def answer(csv_import: CsvImport, answers: Mapping[str, str]) -> None:
    """Keep the answers to what an import asks, and queue it again.

    Raises:
        Refused: when a question has no answer, or one that is not among its choices.
    """
    _keep_answers(csv_import, answers)
    start(csv_import)


def answer_here(csv_import: CsvImport, answers: Mapping[str, str]) -> None:
    """Keep the answers and make the import ready for a process that runs it itself.

    Raises:
        Refused: as ``answer``.
    """
    _keep_answers(csv_import, answers)
    start_here(csv_import)


def _keep_answers(csv_import: CsvImport, answers: Mapping[str, str]) -> None:
    for question in csv_import.questions:
        if answers.get(question["key"]) not in dict(question["choices"]):
            raise Refused(_("Not answered: %(question)s") % {"question": question["text"]})
    csv_import.answers |= {question["key"]: answers[question["key"]] for question in csv_import.questions}
    csv_import.questions = []
    csv_import.counts = {}


def start(csv_import: CsvImport) -> None:
    """Queue an import: it checks the file, and imports it when nothing is wrong.

    Raises:
        Refused: when it has started already, or another import of the project is active.
    """
    if csv_import.state != BackgroundJob.State.WAITING:
        raise Refused(_("This import has been started already."))
    _enqueue(csv_import)


def start_here(csv_import: CsvImport) -> None:
    """Make an import ready for a process that runs it itself, without the worker.

    Raises:
        Refused: when another import of the project is active.
    """
    _enqueue(csv_import, send=False)


def keep_good_rows(csv_import: CsvImport) -> None:
    """Import the rows that are in order although others were rejected."""
    csv_import.keep_good_rows = True
    csv_import.counts = {}
    start(csv_import)


def retry(csv_import: CsvImport) -> None:
    """Queue a failed or cancelled import again; what it has written already adds nothing.

    Raises:
        Refused: when it is running or done.
    """
    if not csv_import.file or csv_import.state not in (BackgroundJob.State.FAILED, BackgroundJob.State.CANCELLED):
        raise Refused(_("Only a failed or cancelled import can be tried again."))
    _enqueue(csv_import)


def _enqueue(csv_import: CsvImport, send: bool = True) -> None:
    try:
        with transaction.atomic():
            queueing.enqueue(csv_import, send)
            diary.write(diary.Act.IMPORTED, csv_import.project, csv_import.filename, user=csv_import.created_by)
    except IntegrityError as error:
        raise Refused(_("Another import into this project is running. Wait until it has ended.")) from error
