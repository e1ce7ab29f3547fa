"""Delete what the diary need not keep any longer."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.services import diary


class Command(BaseCommand):
    help = "Deletes the diary's entries that are older than so many days, by default DIARY_DAYS."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=settings.DIARY_DAYS)

    def handle(self, *args, **options) -> None:
        if options["days"] < 1:
            raise CommandError("Say with --days or DIARY_DAYS how long the diary is kept.")
        n = diary.forget(timedelta(days=options["days"]))
        self.stdout.write(f"Deleted {n} entries.")
