"""Whatever is sent to the API, it answers as its OpenAPI document says, and never fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from labelling.models import Document, Project, Round, Token
from labelling.services import labels, projects, tokens
from red_project.wsgi import application
from tests.factories import make_user

pytestmark = pytest.mark.django_db

# For each operation.
N_REQUESTS = 8
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

# A client of the WSGI application: nothing is sent over a network.
quick = SchemathesisConfig.from_dict({"phases": {"coverage": {"enabled": False}}})
schema = schemathesis.openapi.from_wsgi("/api/openapi.json", application, config=quick)


@pytest.fixture(scope="module")
def project(laying_out) -> Project:
    """One project for all requests."""
    project = projects.create_project("Fuzzed", make_user("fuzzer", is_staff=True))
    label = labels.add(project, "apple")
    Document.objects.create(project=project, text="apple", text_hash="a" * 64)
    seed = {"given_label": label, "given_source": "seed", "holdout": True}
    Document.objects.create(project=project, text="an apple", text_hash="b" * 64, **seed)
    Round.objects.create(project=project, number=1, state="done")
    return project


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """The test's own transaction outlives the requests, as with Django's client."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def headers(project) -> dict[str, str]:
    """Of a token that may do everything, as often as it likes; schemathesis doesn't unpack what is compressed."""
    token = tokens.create(project.memberships.get().user, "fuzzing", Token.Scope.MANAGE, 1)[1]
    return {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}


@pytest.fixture
def no_look_up(monkeypatch) -> None:
    """Every name leads somewhere, and no network is asked where."""
    monkeypatch.setattr("labelling.services.addresses.resolve", lambda host, port: ["93.184.215.14"])


@schema.parametrize()
@settings(
    max_examples=N_REQUESTS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_request_is_answered_otherwise_than_the_document_says(case, project, headers, served, no_look_up):
    path = case.path_parameters
    if "slug" in path:
        path["slug"] = project.slug
    if str(path.get("number", "")).isdecimal():
        path["number"] = 1
    case.call_and_validate(headers=headers, checks=CHECKS)
