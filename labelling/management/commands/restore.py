"""Make an installation of a backup."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.services import Refused, backups


class Command(BaseCommand):
    help = "Reads a backup into an empty database and an empty MEDIA_ROOT, and brings it up to date."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)

    def handle(self, *args, **options) -> None:
        try:
            about = backups.restore(options["folder"])
        except (OSError, Refused) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Restored what version {about['version']} wrote at {about['made_at']}.")
