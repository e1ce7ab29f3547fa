"""What the worker does with an import."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import BinaryIO, cast

from django.db import transaction

from labelling.csv_io.names import Meaning, Question, ask, understand
from labelling.csv_io.rows import (
    survey_rows,
)
from labelling.models import (
    BackgroundJob,
    CsvImport,
)
from labelling.services.imports.checking import (
    Check,
    Progress,
    ask_changes,
    check_rows,
    save_check,
)
from labelling.services.imports.uploading import columns_of, format_of
from labelling.services.imports.writing import prepare_project, write
from labelling.services.labels import other_names


def run(csv_import: CsvImport, progress: Progress) -> str:
    """Check the file and write its rows; return the state in which the import ends.

    May be run again after an interruption: rows that are written already add nothing.

    Raises:
        FileNotFoundError: when the file is gone, or is empty by now, which none is that is taken.
    """
    progress.report(CsvImport.Step.CHECK)
    if not csv_import.file.size:
        raise FileNotFoundError(errno.ENOENT, "nothing is left in it", csv_import.filename)
    check, questions = _look(csv_import, progress)
    with progress.transaction():
        if questions or check is None:
            _save_questions(csv_import, questions)
            return BackgroundJob.State.WAITING
        if not csv_import.counts:
            # Counted once: after an interruption, rows that are written already would count as known.
            save_check(csv_import, check)
        if check.rejected and not csv_import.keep_good_rows:
            return BackgroundJob.State.WAITING
        prepare_project(csv_import, check)
    write(csv_import, check, progress)
    return BackgroundJob.State.DONE


def try_out(csv_import: CsvImport) -> list[Question]:
    """Find out what an import would do, by the guesses where nobody has answered; the project stays as it is.

    Returns:
        What would be asked.
    """
    asked: list[Question] = []
    check, questions = _look(csv_import, _Unheard())
    while questions or check is None:
        asked += questions
        csv_import.answers |= {question.key: question.guess for question in questions}
        check, questions = _look(csv_import, _Unheard())
    save_check(csv_import, check)
    return asked


class _Unheard:
    """Progress that nobody watches."""

    def report(self, step: str, done: int = 0, total: int = 0) -> None:
        """Say nothing."""

    def transaction(self) -> AbstractContextManager[None]:
        return transaction.atomic()


def _look(csv_import: CsvImport, progress: Progress) -> tuple[Check | None, list[Question]]:
    """Read the file without writing anything: what it would do, and what has to be asked first."""
    meaning, questions = _understand(csv_import)
    if questions:
        return None, questions
    check = check_rows(csv_import, meaning, progress)
    return check, [question for question in ask_changes(check) if question.key not in csv_import.answers]


def _understand(csv_import: CsvImport) -> tuple[Meaning, list[Question]]:
    """What the cells mean, and what somebody has to say about that first. An export needs no questions."""
    others = other_names(csv_import.project)
    known = [*csv_import.project.labels.values_list("name", flat=True), *others]
    columns = columns_of(csv_import)
    with csv_import.file.open("rb") as file:
        found = survey_rows(cast("BinaryIO", file), format_of(csv_import), columns)
    if columns.is_export:
        return understand(found, known, {}, others), []
    open_questions = [question for question in ask(found, known) if question.key not in csv_import.answers]
    return understand(found, known, csv_import.answers, others), open_questions


def _save_questions(csv_import: CsvImport, questions: Iterable[Question]) -> None:
    csv_import.questions = [asdict(question) for question in questions]
    csv_import.problems = []
    csv_import.save(update_fields=["questions", "problems"])
