"""What every page shows beside its own content."""

from functools import partial

from django.conf import settings
from django.http import HttpRequest

from labelling.models import Worker
from labelling.services import notices

MANY_UNREAD = 100


def worker(request: HttpRequest) -> dict[str, object]:
    """Say whether a worker runs: without one nothing moves, and every page has to say so."""
    if not request.user.is_authenticated:
        return {}
    return {"worker_alive": Worker.objects.alive().exists()}


def bell(request: HttpRequest) -> dict[str, object]:
    """Say how many notices somebody has not read, where a template asks; the database is asked then alone."""
    if not request.user.is_authenticated:
        return {}
    return {"count_unread": partial(notices.count_unread, request.user, MANY_UNREAD), "many_unread": MANY_UNREAD}


def simulated_judge(request: HttpRequest) -> dict[str, object]:
    """Say how often the judge is right, in percent, where it is a simulation: nobody may take its verdicts for real."""
    return {"simulated_percent": 100 * settings.SIMULATED_JUDGE}
