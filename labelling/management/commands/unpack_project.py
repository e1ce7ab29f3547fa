"""Make a project of a file that another installation has packed."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.jobs.packing import unpack
from labelling.services import Refused


class Command(BaseCommand):
    help = (
        "Makes a new project of a file that manage.py pack_project or the page wrote. The people in it become accounts "
        "that nobody can log in to, whose names get a number where they are taken."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--manager", required=True, metavar="USERNAME", help="who is to manage the project here")
        parser.add_argument(
            "--same-people",
            action="store_true",
            help="accounts here of the same names are theirs: you know who packed the file, and who has these names",
        )

    def handle(self, *args, **options) -> None:
        manager = User.objects.filter(username=options["manager"]).first()
        if manager is None:
            raise CommandError(f"There is no account {options['manager']!r}.")
        try:
            project = unpack(options["file"], manager, options["same_people"])
        except (OSError, Refused) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Made the project {project.slug}.")
