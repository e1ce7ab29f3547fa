"""Projects."""

from datetime import datetime
from typing import Annotated, Any

from django.db.models import QuerySet
from ninja import Router, Schema
from pydantic import Field, StringConstraints

from labelling.api.access import MANAGE, READ, Request, check_for_all
from labelling.api.adding import KEYED, added
from labelling.api.fields import Name, Storable, Words
from labelling.api.paging import Page, PlaceInQuery, page
from labelling.models import Membership, Project
from labelling.services import access
from labelling.services import projects as services

router = Router()

ProjectName = Annotated[Storable, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class NewProject(Schema):
    name: ProjectName
    task: Words = ""


class Settings(Schema):
    """What is given is changed."""

    name: ProjectName | None = None
    task: Words | None = None
    retrain_after: Annotated[int | None, Field(ge=0, le=1_000_000)] = None
    certainty: Annotated[float | None, Field(ge=0.01, le=0.999)] = None
    overlap: Annotated[float | None, Field(ge=0, le=1)] = None
    answer_first: Annotated[float | None, Field(ge=0, le=1)] = None
    practice_first: bool | None = None
    gold_share: Annotated[float | None, Field(ge=0, le=1)] = None
    gold_limit: Annotated[float | None, Field(ge=0, le=1)] = None
    auto_accept: bool | None = None
    limit: Project.Limit | None = None
    level: Project.Level | None = None
    watch_share: Annotated[float | None, Field(ge=0, le=1)] = None


class ShownProject(Schema):
    slug: str
    name: str
    task: str
    role: Membership.Role
    retrain_after: int
    certainty: float
    overlap: float
    answer_first: float
    practice_first: bool
    gold_share: float
    gold_limit: float
    auto_accept: bool
    limit: str
    level: str
    watch_share: float
    metadata_columns: list[Name]
    created_at: datetime


@router.get("", response=Page[ShownProject], auth=READ)
def list_projects(request: Request, place: PlaceInQuery) -> dict[str, Any]:
    """The projects that the token is good for."""
    return page(_of(request), place, lambda project: _shown(request, project))


@router.post("", response={201: ShownProject}, auth=MANAGE, openapi_extra=KEYED)
@added
def create_project(request: Request, body: NewProject) -> ShownProject:
    """Create a project. Needs a token for all projects, of staff."""
    check_for_all(request.auth)
    access.check_may_create_projects(request.auth.user)
    return _shown(request, services.create_project(body.name, request.auth.user, task=body.task))


@router.get("/{slug}", response=ShownProject, auth=READ)
def get_project(request: Request, slug: str) -> ShownProject:
    """One project."""
    return _shown(request, request.project)


@router.patch("/{slug}", response=ShownProject, auth=MANAGE)
def change_project(request: Request, slug: str, body: Settings) -> ShownProject:
    """Change settings; a running round keeps those that it started with."""
    services.change(request.project, **body.model_dump(exclude_none=True))
    return _shown(request, request.project)


def _of(request: Request) -> QuerySet[Project]:
    projects = Project.objects.visible_to(request.auth.user).exclude(pk__in=access.closed_to(request.auth.user))
    return projects.filter(pk=request.auth.project_id) if request.auth.project_id else projects


def _shown(request: Request, project: Project) -> ShownProject:
    role = Membership.Role.MANAGER if project.is_managed_by(request.auth.user) else Membership.Role.REVIEWER
    names = [name for name in ShownProject.model_fields if name != "role"]
    return ShownProject(role=role, **{name: getattr(project, name) for name in names})
