"""The OpenAPI document, and the page that shows it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase
from ninja.openapi.schema import OpenAPISchema

from labelling.api.access import Bearer
from labelling.api.problems import MEDIA_TYPE, Problem

# What any request may be answered with; 409 and 503 say themselves when.
PROBLEMS = {
    400: "The body can't be read.",
    401: "There is no such token, or it has expired.",
    403: "The token's person may not do that, or the token has not the scope.",
    404: "There is no such thing, for this token's person at least.",
    409: "It can't be done now.",
    413: "The body is too large.",
    422: "The request has mistakes.",
    429: "Too many requests: wait as long as Retry-After says.",
    503: "Something that does this is not running.",
}


class Api(NinjaAPI):
    """Says of every operation which scope it needs, and that its mistakes are explained as problem details."""

    def get_openapi_schema(self, *args: Any, **kwargs: Any) -> OpenAPISchema:
        document = super().get_openapi_schema(*args, **kwargs)
        document["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        explained = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        answers = {status: {"description": told, "content": explained} for status, told in PROBLEMS.items()}
        scopes = self.scopes()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"] = {**operation["responses"], **answers}
                operation["x-scope"] = scopes[operation["operationId"]]
        return document

    def scopes(self) -> dict[str, str]:
        """By operation: the scope that a token needs."""
        return {
            operation.operation_id or self.get_openapi_operation_id(operation): str(callback.scope)
            for bound in self._get_bound_routers()
            for view in bound.path_operations.values()
            for operation in view.operations
            for callback in operation.auth_callbacks
            if isinstance(callback, Bearer)
        }


class Page(DocsBase):
    """The document as a page of our own: no script, nothing from elsewhere."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        document = api.get_openapi_schema(path_params=kwargs)
        groups: dict[str, list[dict[str, Any]]] = {}
        for address, path in document["paths"].items():
            for method, operation in path.items():
                shown = {"method": method.upper(), "address": address, **_shown(operation), **operation}
                groups.setdefault(operation["tags"][0], []).append(shown)
        return render(request, "labelling/api.html", {"groups": groups, "schemas": document["components"]["schemas"]})


def _shown(operation: dict[str, Any]) -> dict[str, Any]:
    """What a template can't read by itself: the scope and the fields of the body."""
    content = operation.get("requestBody", {}).get("content", {})
    bodies = [(kind, _fields(found["schema"])) for kind, found in content.items()]
    return {"scope": operation["x-scope"], "bodies": bodies}


def _fields(schema: dict[str, Any]) -> list[str]:
    return [schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else list(schema.get("properties", {}))
