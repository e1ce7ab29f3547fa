"""Make a token for the API, where nobody has a browser at hand."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.models import Project, Token
from labelling.services import tokens


class Command(BaseCommand):
    help = "Makes a token for the API and prints it: it is shown this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="whose permissions it has")
        parser.add_argument("--project", help="the slug of the one project that it is for; default: all of the user's")
        parser.add_argument("--scope", choices=Token.Scope.values, default=Token.Scope.READ, help="default: read")
        parser.add_argument("--days", type=int, default=90, help="for how long it holds; default: 90")
        parser.add_argument("--name", default="command line", help="what it is for")

    def handle(self, *args, **options) -> None:
        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['user']!r}.")
        project = None
        if slug := options["project"]:
            project = Project.objects.visible_to(user).filter(slug=slug).first()
            if project is None:
                raise CommandError(f"{user} has no project {slug!r}.")
        _token, secret = tokens.create(user, options["name"], options["scope"], options["days"], project)
        self.stdout.write(secret)
