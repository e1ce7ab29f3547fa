"""Import a CSV file from the command line, in the same way as in the browser."""

from __future__ import annotations

from argparse import BooleanOptionalAction
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling import jobs
from labelling.csv_io.dialects import DELIMITERS, ONE_TEXT_A_LINE, Oddity
from labelling.csv_io.formats import NotCsv
from labelling.csv_io.names import Question
from labelling.models import BackgroundJob, CsvImport, Project
from labelling.services import Refused, imports

NO_DELIMITER = "none"
# By what is odd: how to say that it is as guessed, or otherwise.
OPTIONS = {
    "delimiter": "--delimiter",
    "has_header": "--header or --no-header",
    "skip_rows": "--skip-rows",
    "more_header_rows": "--header-rows",
    "plain_quotes": "--quotes or --no-quotes",
    "skip_spaces": "",
    "is_export": "--export or --no-export",
    "label_column": "--label-column",
    "": "",
}


class Command(BaseCommand):
    help = (
        "Imports a file into a project: CSV, Excel, JSON, Parquet, fastText, or an export of Label Studio, doccano, "
        "Argilla or Prodigy. "
        "Columns, encoding and layout are guessed unless given. What is doubtful is asked before anything is written: "
        "answer with the options that are named, or take all guesses with --yes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug, as in its address")
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--text-column", action="append", help="may be repeated: the columns are joined, each with its name"
        )
        parser.add_argument("--label-column", help='"" for a file without labels')
        parser.add_argument("--id-column")
        parser.add_argument("--encoding", default="")
        parser.add_argument(
            "--delimiter", choices=[*filter(None, DELIMITERS), NO_DELIMITER], help=f"{NO_DELIMITER}: one text a line"
        )
        parser.add_argument("--header", action=BooleanOptionalAction, help="whether there are column names")
        parser.add_argument(
            "--skip-rows", type=int, metavar="N", help="lines above the column names, or above the data"
        )
        parser.add_argument("--header-rows", type=int, metavar="N", help="rows that the column names take, usually 1")
        parser.add_argument("--quotes", action=BooleanOptionalAction, help="whether quotation marks enclose cells")
        parser.add_argument("--export", action=BooleanOptionalAction, help="whether this program wrote the file")
        parser.add_argument(
            "--holdout", "--holdout-percent", type=int, dest="holdout_percent", metavar="PERCENT",
            help="share of the labelled rows to hold out; default: what is recommended",
        )  # fmt: skip
        parser.add_argument(
            "--answer",
            action="append",
            default=[],
            metavar="QUESTION=ANSWER",
            help="answer a question; may be repeated",
        )
        parser.add_argument("--yes", action="store_true", help="take every guess")
        parser.add_argument("--dry-run", action="store_true", help="say how the file would be read, and write nothing")
        parser.add_argument("--keep-good-rows", action="store_true", help="import the good rows though others are bad")

    def handle(self, *args, **options) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        try:
            csv_import = self._upload(project, options)
            odd, recommended = self._look_at(csv_import)
            if options["holdout_percent"] is None:
                self._hold_out(csv_import, recommended)
            self._say_what_is_odd(csv_import, odd, options)
            if options["dry_run"]:
                self._try_out(csv_import, _answers(options))
            else:
                self._run(csv_import, options)
                self._report(csv_import)
        except (NotCsv, Refused, ValidationError, OSError) as error:
            raise CommandError(str(error)) from error

    def _upload(self, project: Project, options: dict[str, Any]) -> CsvImport:
        delimiter = ONE_TEXT_A_LINE if options["delimiter"] == NO_DELIMITER else options["delimiter"]
        with options["file"].open("rb") as file:
            named = File(file, name=options["file"].name)
            csv_import = imports.upload(project, named, None, options["encoding"], delimiter, **_layout(options))
        chosen = {"is_export": options["export"], "holdout_percent": options["holdout_percent"]}
        chosen |= {name: options[name] for name in ("label_column", "id_column")}
        if options["text_column"]:
            chosen["text_column"], *csv_import.more_text_columns = options["text_column"]
        for name, value in chosen.items():
            if value is not None:
                setattr(csv_import, name, value)
        csv_import.keep_good_rows = options["keep_good_rows"]
        csv_import.full_clean(exclude=["created_by"])
        return csv_import

    def _look_at(self, csv_import: CsvImport) -> tuple[list[Oddity], imports.Recommendation]:
        try:
            return imports.look_at(csv_import)
        except NotCsv:
            csv_import.delete()
            raise

    def _hold_out(self, csv_import: CsvImport, recommended: imports.Recommendation) -> None:
        csv_import.holdout_percent = recommended.percent
        if recommended.percent:
            self.stdout.write(f"Holdout: {recommended.percent} % (--holdout). {recommended.reason}")

    def _say_what_is_odd(self, csv_import: CsvImport, odd_things: list[Oddity], options: dict[str, Any]) -> None:
        """Tell what is guessed of the layout; stop where it is doubtful and nobody has decided."""
        open_options = []
        for odd in odd_things:
            self._tell(odd)
            if odd.doubtful and not _is_decided(odd, options):
                open_options.append(OPTIONS[odd.name])
        if open_options:
            csv_import.delete()
            raise CommandError(
                f"Nothing was imported. Say so with {', '.join(open_options)}, or take the guesses with --yes."
            )

    def _tell(self, odd: Oddity) -> None:
        option = f" ({OPTIONS[odd.name]})" if OPTIONS[odd.name] else ""
        self.stdout.write(odd.message + option)
        for line, beginning in odd.lines:
            self.stdout.write(f"  line {line}: {beginning}")

    def _try_out(self, csv_import: CsvImport, answers: dict[str, str]) -> None:
        """Say how the file would be read, and forget it."""
        delimiter = DELIMITERS.get(csv_import.delimiter, csv_import.delimiter)
        self.stdout.write(csv_import.kind or f"Encoding: {csv_import.encoding}. Delimiter: {delimiter}.")
        text = " + ".join([csv_import.text_column, *csv_import.more_text_columns])
        names = {"text": text, "label": csv_import.label_column, "id": csv_import.id_column}
        self.stdout.write(" ".join(f"Column of the {what}: {name or 'none'}." for what, name in names.items()))
        csv_import.answers = answers
        try:
            for question in imports.try_out(csv_import):
                self._ask(question, "")
            self._list_problems(csv_import)
            self.stdout.write(f"Nothing was imported (--dry-run): {_counted(csv_import)}.")
        finally:
            csv_import.delete()

    def _run(self, csv_import: CsvImport, options: dict[str, Any]) -> None:
        """Run the import, and again with the answers to what it asks."""
        given = _answers(options)
        imports.start_here(csv_import)
        jobs.run_import(csv_import.pk)
        csv_import.refresh_from_db()
        while csv_import.questions:
            questions = [Question(**question) for question in csv_import.questions]
            guesses = {question.key: question.guess for question in questions if options["yes"]}
            for question in questions:
                self._ask(question, given.get(question.key, ""))
            if any(question.key not in guesses | given for question in questions):
                csv_import.delete()
                raise CommandError("Nothing was imported. Answer with --answer, or take the guesses with --yes.")
            imports.answer_here(csv_import, guesses | given)
            jobs.run_import(csv_import.pk)
            csv_import.refresh_from_db()

    def _ask(self, question: Question, answer: str) -> None:
        self.stdout.write(question.text)
        for example in question.examples:
            self.stdout.write(f"  {example}")
        for value, words in question.choices:
            mark = " (chosen)" if value == answer else " (guess)" if value == question.guess else ""
            self.stdout.write(f'  --answer "{question.key}={value}": {words}{mark}')

    def _list_problems(self, csv_import: CsvImport) -> None:
        for problem in csv_import.problems:
            column = f", column {problem['column']}" if problem["column"] else ""
            self.stderr.write(f"line {problem['line']}{column}: {problem['reason']}")

    def _report(self, csv_import: CsvImport) -> None:
        self._list_problems(csv_import)
        if csv_import.state != BackgroundJob.State.DONE:
            raise CommandError(
                f"Nothing was imported ({_counted(csv_import)}). Mend the file, or give --keep-good-rows."
            )
        self.stdout.write(f"Imported: {_counted(csv_import)}.")


def _counted(csv_import: CsvImport) -> str:
    return ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in csv_import.counts.items())


def _answers(options: dict[str, Any]) -> dict[str, str]:
    """By question; its key may hold an equals sign."""
    return dict(text.rpartition("=")[::2] for text in options["answer"])


def _layout(options: dict[str, Any]) -> dict[str, int | bool]:
    """What the options say of the file's layout."""
    given = {"skip_rows": options["skip_rows"], "has_header": options["header"]}
    if options["quotes"] is not None:
        given["plain_quotes"] = not options["quotes"]
    if (n := options["header_rows"]) is not None:
        given |= {"has_header": n > 0, "more_header_rows": max(0, n - 1)}
    return {name: value for name, value in given.items() if value is not None}


def _is_decided(odd: Oddity, options: dict[str, Any]) -> bool:
    if options["yes"] or options["dry_run"]:
        return True
    names = {"more_header_rows": ["header_rows"], "has_header": ["header", "header_rows"], "plain_quotes": ["quotes"],
             "is_export": ["export"]}  # fmt: skip
    return any(options[name] is not None for name in names.get(odd.name, [odd.name]))
