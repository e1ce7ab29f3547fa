"""Pack a project into one file, for another installation."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.jobs.packing import pack
from labelling.models import Project
from labelling.services import Refused, packing


class Command(BaseCommand):
    help = (
        "Packs a project into one file: documents, labels, evidence, certificates, releases, model and vectors. "
        "manage.py unpack_project makes a project of it elsewhere."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug, as in its address")
        parser.add_argument("file", type=Path, help="must not exist")

    def handle(self, *args, **options) -> None:
        project, file = Project.objects.filter(slug=options["project"]).first(), options["file"]
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        if file.exists():
            raise CommandError(f"{file} exists already.")
        try:
            pack(project, file)
        except (OSError, Refused) as error:
            raise CommandError(str(error)) from error
        packing.note_packed(project)
        self.stdout.write(f"Packed {project} into {file}.")
