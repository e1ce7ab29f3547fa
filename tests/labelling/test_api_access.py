"""Every operation of the API x every role x every scope, read from the OpenAPI document: the rules of the pages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User

from labelling.api import api
from labelling.models import Token
from labelling.services import tokens
from tests.factories import fruit_project, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

SCOPES = Token.Scope.values
# What stands in an address where nothing else is asked for: nothing of the project has so large a number.
NOWHERE = 10**6
OPERATIONS = [
    pytest.param(method, path, operation["x-scope"], id=operation["operationId"].removeprefix("labelling_api_"))
    for path, methods in api.get_openapi_schema(path_prefix="/api/")["paths"].items()
    for method, operation in methods.items()
]
OF_PROJECTS = [case for case in OPERATIONS if "{slug}" in str(case.values[1])]
# Refused for what is asked, not for who asks: nothing is there, it can't be done now, or the empty body has mistakes.
ALLOWED = {200, 201, 204, 404, 409, 422, 503}


@pytest.fixture
def manager():
    return make_user("manager")


@pytest.fixture
def project(manager):
    return fruit_project(manager=manager, reviewers=[make_user("reviewer")], retrain_after=0)


def token_of(name: str, scope: str = "manage", project=None) -> str:
    user = User.objects.filter(username=name).first() or make_user(name, is_staff=name == "stranger")
    return tokens.create(user, "for a test", scope, 1, project)[1]


def ask(client, method: str, path: str, slug: str, secret: str) -> Any:
    """Send an empty body to an operation of a project."""
    address = path.replace("{slug}", slug).replace("{step}", "cancel").replace("{name}", "none")
    address = address.replace("{pk}", str(NOWHERE)).replace("{number}", str(NOWHERE))
    body = {} if method == "get" else {"data": json.dumps({}), "content_type": "application/json"}
    return getattr(client, method)(address, headers={"Authorization": f"Bearer {secret}"}, **body)


@pytest.mark.parametrize(("method", "path", "scope"), OPERATIONS)
def test_nobody_gets_in_without_a_token(client, project, method, path, scope):
    for secret in ("", "red_guessed"):
        response = ask(client, method, path, project.slug, secret)
        assert (response.status_code, response["Content-Type"]) == (401, "application/problem+json")


@pytest.mark.parametrize(("method", "path", "scope"), OF_PROJECTS)
def test_who_may_do_what(client, project, method, path, scope):
    """Strangers see no project, reviewers manage none, and no token does more than its scope says."""
    other = fruit_project(manager=project.memberships.get(role="manager").user)
    assert ask(client, method, path, project.slug, token_of("stranger")).status_code == 404
    assert ask(client, method, path, project.slug, token_of("manager", "manage", other)).status_code == 404
    for given in SCOPES:
        enough = SCOPES.index(given) >= SCOPES.index(scope)
        as_manager = ask(client, method, path, project.slug, token_of("manager", given)).status_code
        assert as_manager in ALLOWED if enough else as_manager == 403
        as_reviewer = ask(client, method, path, project.slug, token_of("reviewer", given)).status_code
        assert as_reviewer in ALLOWED if enough and scope != "manage" else as_reviewer == 403


def test_a_superuser_sees_every_project(client, project):
    make_user("root", is_superuser=True)
    assert ask(client, "get", "/api/projects/{slug}", project.slug, token_of("root")).status_code == 200


def test_a_token_ends_with_its_time_and_with_its_persons_account(client, project, manager):
    secret = token_of("manager")
    assert ask(client, "get", "/api/projects", "", secret).status_code == 200
    manager.is_active = False
    manager.save()
    assert ask(client, "get", "/api/projects", "", secret).status_code == 401
    manager.is_active = True
    manager.save()
    Token.objects.update(expires_at="2020-01-01T00:00Z")
    assert ask(client, "get", "/api/projects", "", secret).status_code == 401


def test_the_list_shows_what_the_token_is_good_for(client, project, manager):
    other = fruit_project(manager=manager)
    fruit_project()

    def listed(secret: str) -> list[str]:
        return [one["slug"] for one in ask(client, "get", "/api/projects", "", secret).json()["items"]]

    assert listed(token_of("manager")) == [project.slug, other.slug]
    assert listed(token_of("manager", "read", other)) == [other.slug]
    assert listed(token_of("reviewer")) == [project.slug]


def test_only_staff_create_projects_and_not_with_a_token_for_one(client, project):
    def create(secret: str) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        body = {"name": "New"}
        return client.post("/api/projects", body, content_type="application/json", headers=headers).status_code

    assert create(token_of("manager")) == 403
    assert create(token_of("stranger")) == 201
    assert create(token_of("stranger", "label")) == 403
    assert create(token_of("manager", "manage", project)) == 403
