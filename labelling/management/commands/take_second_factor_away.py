"""Let somebody in without their second factor, where no other administrator can."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.services import second_factor


class Command(BaseCommand):
    help = "Takes the second factor of an account away, as administrators do on the page of accounts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="whose")

    def handle(self, *args, **options) -> None:
        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['user']!r}.")
        if not second_factor.take_away(user):
            raise CommandError(f"{user} has no second factor.")
