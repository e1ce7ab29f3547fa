"""The REST API: what the pages do, for programs. The same services and permissions, no logic of its own."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.urls import URLPattern
from ninja.throttling import AuthRateThrottle

from labelling.api import decisions, documents, imports, labels, projects, releases, rounds, suggesting, webhooks
from labelling.api.document import Api, Page
from labelling.api.problems import explain

api = Api(
    title="R.E.D. labelling",
    version=settings.VERSION,
    docs=Page(),
    docs_url="/",
    urls_namespace="api",
    throttle=[AuthRateThrottle(settings.API_RATE)],
)
explain(api)
for router, tag in (
    (projects.router, "Projects"),
    (labels.router, "Labels"),
    (documents.router, "Documents"),
    (decisions.router, "Decisions"),
    (rounds.router, "Rounds"),
    (releases.router, "Releases"),
    (imports.router, "Imports"),
    (suggesting.router, "Suggestions"),
    (webhooks.router, "Webhooks"),
):
    api.add_router("/projects", router, tags=[tag])

urls = api.urls
for pattern in urls[0]:
    # Programs have a token in place of a login: see access.
    if isinstance(pattern, URLPattern):
        pattern.callback = login_not_required(pattern.callback)
