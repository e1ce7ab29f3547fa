"""Write a project's export to a file."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.models import Project
from labelling.services.exports import export_lines


class Command(BaseCommand):
    help = "Exports all documents of a project with their labels as CSV."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug, as in its address")
        parser.add_argument("file", type=Path)

    def handle(self, *args, **options) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        try:
            with options["file"].open("w", encoding="utf-8", newline="") as file:
                file.writelines(export_lines(project))
        except OSError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Wrote {options['file']}.")
