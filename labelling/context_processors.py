"""What every page shows beside its own content."""

from django.http import HttpRequest

from labelling.models import Worker


def worker(request: HttpRequest) -> dict[str, object]:
    """Say whether a worker runs: without one nothing moves, and every page has to say so."""
    if not request.user.is_authenticated:
        return {}
    return {"worker_alive": Worker.objects.alive().exists()}
