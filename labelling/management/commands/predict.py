"""Label the texts of a file by a project's model, and leave the project as it is."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.csv_io.exporting import csv_lines
from labelling.csv_io.formats import NotCsv
from labelling.csv_io.texts import TextFile
from labelling.jobs.suggesting import Model
from labelling.models import CsvImport, Project
from labelling.services import Refused, predicting, queueing
from labelling.services.suggesting import Answer, Standing, interpret
from labelling.services.watching import Watch

STANDARD = Path("-")
SECONDS_BETWEEN_REPORTS = 5.0


class Command(BaseCommand):
    help = (
        "Writes a file's rows again with the label that the project's model gives each text, how probable it is, the "
        "second best, whether a certificate covers labels as sure as that, the round of the model and the last release."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug, as in its address")
        parser.add_argument("file", type=Path, help="any file that an import reads; - for standard input")
        parser.add_argument("--to", type=Path, metavar="FILE", help="default: standard output")
        parser.add_argument(
            "--text-column",
            action="append",
            help="of several the texts are joined; default: as in the project's last import, or guessed",
        )
        parser.add_argument(
            "--for-programs",
            action="store_true",
            help="without byte order mark and without apostrophes before formulas",
        )
        parser.add_argument(
            "--watch",
            action="store_true",
            help="count the labels, and bring a random share of the texts answered as certified in, to be audited",
        )

    def handle(self, *args, **options) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        model = Model.of(project)
        if model is None:
            raise CommandError("This project has no model yet. Let a round run first.")
        standing, watch = Standing.of(project), Watch(project)

        def suggest(texts: Sequence[str]) -> Answer:
            return Answer(model.memory.round_number, standing, interpret(project, standing, model.propose(texts)))

        asked = predicting.watched(suggest, watch) if options["watch"] else suggest
        try:
            if options["watch"]:
                queueing.check_idle(project, CsvImport)
            with ExitStack() as stack:
                file = stack.enter_context(_readable(options["file"]))
                texts = TextFile(file, options["text_column"] or predicting.usual_text_columns(project))
                rows = self._reported(predicting.rows(texts, asked, predicting.CHUNK), file)
                lines = csv_lines(predicting.header(texts), rows, options["for_programs"])
                if options["to"]:
                    stack.enter_context(options["to"].open("w", encoding="utf-8", newline="")).writelines(lines)
                else:
                    for line in lines:
                        self.stdout.write(line, ending="")
            if options["watch"]:
                self._bring_in(watch)
        except (NotCsv, OSError, Refused) as error:
            raise CommandError(str(error)) from error

    def _bring_in(self, watch: Watch) -> None:
        brought = watch.bring_in(user=None)
        said = f"import {brought.pk} brings them in" if brought else "none"
        self.stderr.write(f"Texts to be audited: {said}")

    def _reported(self, rows: Iterator[list[str]], file: BinaryIO) -> Iterator[list[str]]:
        """Pass the rows on, and say now and then how far the file is."""
        size = file.seek(0, 2)
        n, started = 0, time.monotonic()
        reported = started
        for n, row in enumerate(rows, start=1):
            yield row
            if time.monotonic() - reported > SECONDS_BETWEEN_REPORTS:
                reported = time.monotonic()
                self.stderr.write(f"{n:,} rows, {100 * file.tell() // max(size, 1)} %")
        self.stderr.write(f"{n:,} rows in {time.monotonic() - started:.0f} s")


@contextmanager
def _readable(path: Path) -> Iterator[BinaryIO]:
    """The file; standard input is kept on disk first, as it is looked at more than once."""
    if path != STANDARD:
        with path.open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as spooled:
        shutil.copyfileobj(sys.stdin.buffer, spooled)
        yield spooled
