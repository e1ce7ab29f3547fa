"""Keep the whole installation in a folder."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.services import Refused, backups


class Command(BaseCommand):
    help = "Writes database and files of this installation to a new folder, while people work."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="must not exist")
        parser.add_argument("--portable", action="store_true", help="of PostgreSQL, what SQLite can be restored from")

    def handle(self, *args, **options) -> None:
        try:
            backups.back_up(options["folder"], options["portable"])
        except (OSError, Refused) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Wrote {options['folder']}.")
