"""Write a project's model for other programs."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.jobs.exporting import export_model
from labelling.jobs.suggesting import Model
from labelling.models import Project


class Command(BaseCommand):
    help = (
        "Writes a project's model to a folder: arrays, labels, certificate, model card, and a program that classifies."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug, as in its address")
        parser.add_argument("folder", type=Path, help="new, or empty")

    def handle(self, *args, **options) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        model = Model.of(project)
        if model is None:
            raise CommandError("This project has no model yet. Let a round run first.")
        try:
            for path in export_model(project, model, options["folder"]):
                self.stdout.write(str(path))
        except OSError as error:
            raise CommandError(str(error)) from error
