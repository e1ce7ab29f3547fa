"""Write a project's export to a file, in any of the formats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.csv_io.workbooks import NotWritable
from labelling.csv_io.writing import WRITERS, Lines
from labelling.models import Project
from labelling.services import Refused, exports, selections
from labelling.services.selections import Selection, Which


class Command(BaseCommand):
    help = "Exports all documents of a project with their labels as CSV."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug, as in its address")
        parser.add_argument("file", type=Path)
        parser.add_argument("--format", choices=WRITERS, default="csv")
        parser.add_argument(
            "--for-programs",
            action="store_const",
            const="programs",
            dest="format",
            help="without byte order mark and without apostrophes before formulas; the same as --format programs",
        )
        parser.add_argument("--rows", choices=Which.values, default=Which.ALL)
        parser.add_argument("--label", help="only rows with this label")
        parser.add_argument("--release", type=int, metavar="NUMBER", help="as it was delivered, not as it is now")
        parser.add_argument("--columns", nargs="+", default=[], metavar="NAME")

    def handle(self, *args, **options) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        try:
            parts = selections.write(project, options["format"], _selection(project, options))
            _write(options["file"], parts)
        except (OSError, Refused, NotWritable) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Wrote {options['file']}.")


def _write(path: Path, parts: Lines) -> None:
    """Write the file beside its place first: a reader finds the last one or this one, never half of it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            file.writelines(part.encode() if isinstance(part, str) else part for part in parts)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _selection(project: Project, options: dict[str, Any]) -> Selection:
    label = release = None
    if options["label"] is not None and (label := project.labels.filter(name=options["label"]).first()) is None:
        raise CommandError(f"The project has no label {options['label']!r}.")
    if (number := options["release"]) is not None:
        release = selections.finished_releases(project).filter(number=number).first()
        if release is None:
            raise CommandError(f"The project has no release {number}.")
    if missing := set(options["columns"]) - set(exports.header(project)):
        raise CommandError(f"The export has no column {', '.join(sorted(missing))}.")
    return Selection(options["rows"], label, release, options["columns"])
