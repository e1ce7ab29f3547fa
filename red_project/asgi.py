"""The web process's entry point: Django behind its front door."""

from django.conf import settings
from django.db import connection
from django.urls import get_resolver

from red_project.front_door import FrontDoor
from red_project.wsgi import application as django_application

from labelling.services import senders  # isort: skip  # the application has to be set up first


def find_sender(headers: dict[str, str]) -> int | None:
    """Ask outside of any request, on a connection that nobody keeps."""
    try:
        return senders.find_sender(headers)
    finally:
        connection.close()


# All pages are loaded before the first visitor asks for one.
get_resolver().url_patterns  # noqa: B018

# Twice what a file may have: of one that is too large by less the form says so in a sentence.
application = FrontDoor(django_application, find_sender, max_bytes=2 * settings.MAX_UPLOAD_MB * 2**20)
