"""The back office: managers who are staff see their own projects here, superusers all of them."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import ForeignKey, Model, QuerySet
from django.http import HttpRequest
from import_export.admin import ImportExportModelAdmin

from labelling.back_office import EVIDENCE, PROJECTS, SITE, WORK
from labelling.models import (
    Audit,
    Call,
    Comparison,
    CsvImport,
    Decision,
    Definition,
    Document,
    Draft,
    Drafting,
    Flag,
    Guideline,
    JudgeFailure,
    Label,
    Membership,
    Prediction,
    Price,
    Project,
    Query,
    QueueEntry,
    Release,
    Round,
    TrainingExample,
    Verdict,
    Worker,
)
from labelling.resources import LabelCsv, LabelResource
from labelling.services import access
from labelling.services import labels as label_services

# Secrets of people's log-ins: nobody's to look at.
admin.site.unregister([Authenticator, EmailAddress, SocialAccount, SocialApp, SocialToken])


class ProjectScoped(admin.ModelAdmin):
    """Shows and changes only rows of projects that the user manages.

    ``project_path`` leads from a row to its project; ``group``: where the index lists it.
    """

    project_path = "project"
    group = PROJECTS

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        user = cast("User", request.user)
        if not user.is_superuser:
            rows = rows.filter(**{f"{self.project_path}__in": Project.objects.managed_by(user)})
        return rows.exclude(**{f"{self.project_path}__in": access.closed_to(user)})

    def formfield_for_foreignkey(self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.related_model is Project:
            kwargs["queryset"] = Project.objects.managed_by(request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_staff

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_staff and self._is_in_reach(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_staff

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_view_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_view_permission(request, obj)

    def _is_in_reach(self, request: HttpRequest, obj: Model | None) -> bool:
        return obj is None or self.get_queryset(request).filter(pk=obj.pk).exists()


class OfOneProject(ProjectScoped):
    """What belongs to a project for good: moved to another, it would take that project's examples along."""

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["project"] if obj else []


class ReadOnly(ProjectScoped):
    """Evidence and what jobs write: to look at, never to change."""

    group = EVIDENCE

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ManagedProjects(admin.RelatedFieldListFilter):
    """Offers only the projects that the user manages: the others' names are none of their business."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        return [(project.pk, str(project)) for project in Project.objects.managed_by(request.user)]


class MembershipInline(admin.TabularInline):
    model = Membership
    extra = 1
    autocomplete_fields = ["user"]

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_staff

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """To choose among all users takes the right to see them; others name members on the project's page."""
        return request.user.has_perm("auth.view_user")

    has_add_permission = has_delete_permission = has_change_permission


@admin.register(Project)
class ProjectAdmin(ProjectScoped):
    project_path = "pk"
    list_display = ["name", "judge", "auto_accept", "batch_size", "created_at"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [MembershipInline]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Others create projects on the site, which makes them managers of what they create."""
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_superuser

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[str], dict[str, int], set, list]:
        """Count what goes with a project instead of listing it: that may be 100,000 documents.

        Evidence can't be deleted by itself, but it goes with its project. What was delivered stays, and its project.
        """
        released = [str(release) for release in Release.objects.filter(project__in=objs)]
        counts = {
            "documents": Document.objects.filter(project__in=objs).count(),
            "labels": Label.objects.filter(project__in=objs).count(),
            "rounds": Round.objects.filter(project__in=objs).count(),
            "decisions": Decision.objects.filter(document__project__in=objs).count(),
        }
        return [f"Project “{project}” with all that belongs to it" for project in objs], counts, set(), released


class DefinitionInline(admin.TabularInline):
    model = Definition
    extra = 0
    fields = ("version", "text", "author", "created_at")
    readonly_fields = fields

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_staff

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Label)
class LabelAdmin(ImportExportModelAdmin, OfOneProject):
    fields = ["project", "code", "name", "synonyms", "definition"]
    resource_classes = [LabelResource]
    formats = [LabelCsv]
    list_display = ["name", "code", "project", "definition", "definition_version"]
    list_filter = (("project", ManagedProjects),)
    search_fields = ["code", "name", "synonyms", "definition"]
    inlines = [DefinitionInline]

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[str], dict[str, int], set, list]:
        """Definitions can't be deleted by themselves, but they go with their label."""
        listed, counts, forbidden, protected = super().get_deleted_objects(objs, request)
        return listed, counts, forbidden - {"definition"}, protected

    def save_model(self, request: HttpRequest, obj: Label, form: Any, change: bool) -> None:
        """A definition is never overwritten: what was typed becomes its next version."""
        typed, obj.definition = obj.definition, form.initial.get("definition", "")
        super().save_model(request, obj, form, change)
        label_services.define(obj, typed, cast("User", request.user))

    def get_import_resource_kwargs(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        return super().get_import_resource_kwargs(request, **kwargs) | {"user": request.user}


@admin.register(Membership)
class MembershipAdmin(OfOneProject):
    list_display = ["project", "user", "role"]
    list_filter = (("project", ManagedProjects), "role")
    autocomplete_fields = ["user"]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("auth.view_user") and super().has_change_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("auth.view_user") and super().has_add_permission(request)

    has_delete_permission = has_change_permission


@admin.register(Round)
class RoundAdmin(ReadOnly):
    group = WORK
    list_display = ["project", "number", "state", "step", "training_examples", "uncertain", "holdout_accuracy"]
    list_filter = (("project", ManagedProjects), "state")


@admin.register(Release)
class ReleaseAdmin(ReadOnly):
    group = WORK
    list_display = ["project", "number", "state", "created_by", "created_at", "note"]
    list_filter = (("project", ManagedProjects), "state")


@admin.register(CsvImport)
class CsvImportAdmin(ReadOnly):
    group = WORK
    list_display = ["filename", "project", "state", "created_by", "created_at"]
    list_filter = (("project", ManagedProjects), "state")


@admin.register(Document)
class DocumentAdmin(ReadOnly):
    group = PROJECTS
    list_display = ["text", "project", "external_id", "holdout", "given_label"]
    list_filter = (("project", ManagedProjects), "holdout")
    search_fields = ["text", "external_id"]


class OfDocument(ReadOnly):
    project_path = "document__project"
    list_filter = (("document__project", ManagedProjects),)


@admin.register(TrainingExample)
class TrainingExampleAdmin(OfDocument):
    list_display = ["document", "label", "source", "learned_in", "created_at"]
    list_select_related = ("document", "label", "learned_in__project")


@admin.register(Prediction)
class PredictionAdmin(OfDocument):
    list_display = ["document", "label", "probability", "posterior_label", "posterior", "round"]
    list_select_related = ("document", "label", "posterior_label", "round__project")


@admin.register(QueueEntry)
class QueueEntryAdmin(ReadOnly):
    group = WORK
    list_display = ["document", "project", "priority", "people", "claimed_by", "claimed_until"]
    list_filter = (("project", ManagedProjects),)


@admin.register(Decision)
class DecisionAdmin(OfDocument):
    list_display = ["document", "action", "label", "reviewer", "people", "created_at"]
    list_select_related = ("document", "label", "reviewer")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Not the first of two decisions before the second: who looks may be the second person."""
        told = Decision.objects.told_to(request.user)
        return super().get_queryset(request).filter(pk__in=told.values("pk"))


@admin.register(Flag)
class FlagAdmin(OfDocument):
    list_display = ["document", "comment", "author", "created_at", "lowered_by"]
    list_select_related = ("document", "author", "lowered_by")


@admin.register(Query)
class QueryAdmin(ReadOnly):
    project_path = "round__project"
    list_display = ["document", "round", "rank", "label", "probability", "entropy"]
    list_select_related = ("document", "round__project", "label")
    list_filter = (("round__project", ManagedProjects),)


class OfQuery(ReadOnly):
    project_path = "query__round__project"
    list_filter = (("query__round__project", ManagedProjects),)
    list_select_related = ("query__document", "query__label", "query__round__project")


@admin.register(Verdict)
class VerdictAdmin(OfQuery):
    list_display = ["query", "verdict", "reason", "judge", "model", "created_at"]


@admin.register(Audit)
class AuditAdmin(OfQuery):
    list_display = ["query", "label", "posterior", "created_at"]


@admin.register(JudgeFailure)
class JudgeFailureAdmin(OfQuery):
    list_display = ["query", "reason", "created_at"]


@admin.register(Call)
class CallAdmin(ReadOnly):
    list_display = ["started_at", "project", "purpose", "model", "state", "prompt_tokens", "output_tokens", "cost"]
    list_filter = (("project", ManagedProjects), "purpose", "state", "model")
    list_select_related = ("project",)


@admin.register(Price)
class PriceAdmin(admin.ModelAdmin):
    """Prices hold for the whole site: whoever may change them is given the right by a superuser."""

    group = SITE
    list_display = ["model", "valid_from", "input", "output", "cache_write", "cache_read", "batch_share", "source"]
    list_filter = ("model",)


@admin.register(Definition)
class DefinitionAdmin(ReadOnly):
    project_path = "label__project"
    list_display = ["label", "version", "author", "created_at"]
    list_filter = (("label__project", ManagedProjects),)


@admin.register(Guideline)
class GuidelineAdmin(ReadOnly):
    list_display = ["project", "version", "author", "created_at"]
    list_filter = (("project", ManagedProjects),)


@admin.register(Drafting)
class DraftingAdmin(ReadOnly):
    group = WORK
    list_display = ["project", "scope", "model", "state", "created_by", "created_at"]
    list_filter = (("project", ManagedProjects), "state")


@admin.register(Draft)
class DraftAdmin(ReadOnly):
    group = WORK
    project_path = "drafting__project"
    list_display = ["__str__", "model", "decided_by", "decided_at"]
    list_filter = (("drafting__project", ManagedProjects), "state")
    list_select_related = ("label", "proposal", "decided_by")


@admin.register(Comparison)
class ComparisonAdmin(ReadOnly):
    group = WORK
    list_display = ["project", "base_model", "model", "question", "state", "created_at"]
    list_filter = (("project", ManagedProjects), "state")


@admin.register(Worker)
class WorkerAdmin(ReadOnly):
    group = WORK
    list_display = ["host", "pid", "seen_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return Worker.objects.all() if request.user.is_superuser else Worker.objects.none()
