"""Import a CSV file from the command line, in the same way as in the browser."""

from __future__ import annotations

from pathlib import Path

from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling import jobs
from labelling.csv_io.formats import DELIMITERS, NotCsv
from labelling.models import BackgroundJob, CsvImport, Project
from labelling.services import Refused, imports


class Command(BaseCommand):
    help = "Imports a CSV file into a project. Columns, encoding and delimiter are guessed unless given."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug, as in its address")
        parser.add_argument("file", type=Path)
        parser.add_argument("--text-column")
        parser.add_argument("--label-column", help='"" for a file without labels')
        parser.add_argument("--id-column")
        parser.add_argument("--encoding", default="")
        parser.add_argument("--delimiter", default="", choices=list(DELIMITERS))
        parser.add_argument("--holdout-percent", type=int, default=0, help="share of the labelled rows to hold out")
        parser.add_argument("--keep-good-rows", action="store_true", help="import the good rows though others are bad")

    def handle(self, *args, **options) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        try:
            csv_import = self._start(project, options)
            jobs.run_import(csv_import.pk)
        except (NotCsv, Refused, ValidationError, OSError) as error:
            raise CommandError(str(error)) from error
        csv_import.refresh_from_db()
        self._report(csv_import)

    def _start(self, project: Project, options: dict) -> CsvImport:
        with options["file"].open("rb") as file:
            csv_import = imports.upload(
                project, File(file, name=options["file"].name), None, options["encoding"], options["delimiter"]
            )
        for name in ("text_column", "label_column", "id_column"):
            if options[name] is not None:
                setattr(csv_import, name, options[name])
        csv_import.holdout_percent = options["holdout_percent"]
        csv_import.keep_good_rows = options["keep_good_rows"]
        csv_import.full_clean(exclude=["created_by"])
        imports.start_here(csv_import)
        return csv_import

    def _report(self, csv_import: CsvImport) -> None:
        for problem in csv_import.problems:
            self.stderr.write(f"line {problem['line']}, column {problem['column']}: {problem['reason']}")
        counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in csv_import.counts.items())
        if csv_import.state != BackgroundJob.State.DONE:
            raise CommandError(f"Nothing was imported ({counts}). Mend the file, or give --keep-good-rows.")
        self.stdout.write(f"Imported: {counts}.")
