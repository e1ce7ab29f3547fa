"""The back office: who sees which rows, what may be changed, labels as CSV."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from labelling.admin import ReadOnly
from labelling.back_office import GROUPS
from labelling.models import Decision, Label, Membership, Project, Query, Round, Verdict, Worker
from labelling.services import claims, labels, projects, review
from tests.factories import account, fresh, fruit_project, make_project, make_user, run_round

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

MODELS = [model for model in apps.get_app_config("labelling").get_models() if model in admin.site._registry]
OF_PROJECTS = [model for model in MODELS if model is not Worker]
READ_ONLY = [model for model in MODELS if isinstance(admin.site._registry[model], ReadOnly)]


def address(model, page: str, *args: object) -> str:
    return reverse(f"admin:labelling_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def superuser():
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def manager():
    return account("manager", is_staff=True)


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    manager = account("manager", is_staff=True)
    project = fruit_project(manager=manager, name="Mine", batch_size=3, retrain_after=0)
    labels.define(project.labels.first(), "Use when …", manager)
    run_round(project)
    reviewer = make_user("reviewer")
    review.decide(project, claims.claim_next(project, reviewer).pk, reviewer, "accept")
    return project


@pytest.fixture(scope="module")
def laid_out_beside(laid_out) -> Project:
    project = fruit_project(name="Theirs", batch_size=3, retrain_after=0)
    run_round(project)
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


@pytest.fixture
def other(laid_out_beside) -> Project:
    return fresh(laid_out_beside)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_superuser_can_look_at_every_table(client, superuser, project, model):
    client.force_login(superuser)
    assert client.get(address(model, "changelist")).status_code == 200
    row = model.objects.first()
    if row:
        assert client.get(address(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model.__name__)
def test_evidence_is_read_only_even_for_superusers(client, superuser, project, model):
    client.force_login(superuser)
    row = model.objects.first()
    if row:
        assert client.post(address(model, "change", row.pk), {}).status_code == 403
        assert client.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
        assert model.objects.filter(pk=row.pk).exists()
    assert client.post(address(model, "add"), {}).status_code == 403


def test_what_a_round_leaves_behind_is_read_only():
    assert {Query, Verdict, Decision, Round} <= set(READ_ONLY)


@pytest.mark.parametrize("model", OF_PROJECTS, ids=lambda model: model.__name__)
def test_a_staff_manager_sees_no_row_of_another_project(client, manager, project, other, model):
    client.force_login(manager)
    scoped = admin.site._registry[model]
    path = getattr(scoped, "project_path", "")
    theirs = model.objects.filter(**{path: other.pk}) if path else model.objects.filter(pk=other.pk)
    if not theirs.exists():
        return
    response = client.get(address(model, "changelist"))
    assert response.status_code == 200
    shown = set(response.context["cl"].queryset.values_list("pk", flat=True))
    assert not shown & set(theirs.values_list("pk", flat=True))
    assert client.get(address(model, "change", theirs.first().pk)).status_code == 302


def test_a_staff_reviewer_sees_no_labels_and_changes_none(client, project):
    reviewer = make_user("staff", is_staff=True)
    projects.set_member(project, reviewer, Membership.Role.REVIEWER)
    client.force_login(reviewer)
    label = project.labels.first()
    assert client.get(address(Label, "changelist")).context["cl"].queryset.count() == 0
    client.post(address(Label, "change", label.pk), {"project": project.pk, "name": "hijacked", "definition": ""})
    assert not Label.objects.filter(name="hijacked").exists()
    client.post(address(Label, "add"), {"project": project.pk, "name": "hijacked", "definition": ""})
    assert not Label.objects.filter(name="hijacked").exists()


def test_the_index_is_in_groups_and_evidence_is_to_look_at_alone(client, superuser):
    client.force_login(superuser)
    shown = {app["name"]: app["models"] for app in client.get(reverse("admin:index")).context["app_list"]}
    assert list(shown)[-4:] == ["Projects", "Site", "Work", "Evidence"]
    assert {model["object_name"] for model in shown["Evidence"]} >= {"Decision", "Query", "Verdict", "Audit"}
    for model in shown["Evidence"]:
        assert model["perms"] == {"add": False, "change": False, "delete": False, "view": True}
    assert sum(len(models) for name, models in shown.items() if name in GROUPS) == len(MODELS)


def test_the_admin_says_too_that_no_worker_runs(client, superuser):
    client.force_login(superuser)
    assert "No worker is running." in client.get(reverse("admin:index")).content.decode()


def test_somebody_who_is_not_staff_is_sent_to_the_login(client, project):
    client.force_login(make_user())
    assert client.get(reverse("admin:index")).status_code == 302


def test_a_manager_cannot_move_a_label_into_another_project(client, manager, project, other):
    client.force_login(manager)
    label = project.labels.first()
    client.post(address(Label, "change", label.pk), {"project": other.pk, "name": "apple", "definition": ""})
    label.refresh_from_db()
    assert label.project == project


def test_not_even_a_superuser_moves_a_label_into_another_project(client, superuser, project, other):
    client.force_login(superuser)
    label = project.labels.first()
    data = {"project": other.pk, "name": label.name, "definition": ""}
    management = {"definitions-TOTAL_FORMS": "0", "definitions-INITIAL_FORMS": "0"}
    assert client.post(address(Label, "change", label.pk), data | management).status_code == 302
    label.refresh_from_db()
    assert label.project == project


@pytest.mark.parametrize("model", OF_PROJECTS, ids=lambda model: model.__name__)
def test_a_staff_manager_reads_no_name_of_another_project(client, manager, project, other, model):
    client.force_login(manager)
    assert str(other) not in client.get(address(model, "changelist")).content.decode()


def test_an_unused_label_can_be_deleted_with_its_definition(client, superuser, project):
    client.force_login(superuser)
    label = labels.create_labels(project, ["kiwi"])["kiwi"]
    labels.define(label, "Brown.", superuser)
    client.post(address(Label, "delete", label.pk), {"post": "yes"})
    assert not Label.objects.filter(pk=label.pk).exists()


def test_a_definition_changed_in_the_admin_is_a_new_version(client, manager, project):
    client.force_login(manager)
    label = project.labels.get(name="banana")
    data = {
        "project": project.pk,
        "name": "banana",
        "definition": "Yellow.",
        "definitions-TOTAL_FORMS": "0",
        "definitions-INITIAL_FORMS": "0",
    }
    client.post(address(Label, "change", label.pk), data)
    label.refresh_from_db()
    assert (label.definition, label.definition_version) == ("Yellow.", 1)
    assert label.definitions.get().author == manager


def test_labels_are_imported_as_csv_with_a_preview(client, manager, project):
    client.force_login(manager)
    rows = f"project,name,definition\n{project.slug},apple,Round.\n{project.slug},kiwi,Furry.\n"
    upload = {"import_file": SimpleUploadedFile("labels.csv", rows.encode()), "format": "0", "resource": ""}
    preview = client.post(address(Label, "import"), upload)
    assert not project.labels.filter(name="kiwi").exists()
    confirm = preview.context["confirm_form"].initial
    client.post(address(Label, "process_import"), confirm)
    assert project.labels.get(name="kiwi").definition == "Furry."
    assert project.labels.get(name="apple").definition == "Round."


def test_labels_of_another_project_are_not_imported(client, manager, project, other):
    client.force_login(manager)
    rows = f"project,name,definition\n{other.slug},planted,x\n"
    upload = {"import_file": SimpleUploadedFile("labels.csv", rows.encode()), "format": "0", "resource": ""}
    assert "You manage no project" in client.post(address(Label, "import"), upload).content.decode()
    assert not Label.objects.filter(name="planted").exists()


def test_labels_are_exported_as_csv_from_ones_own_projects_only(client, manager, project, other):
    client.force_login(manager)
    data = {"format": "0", "resource": "", "labelresource_project": "on", "labelresource_name": "on"}
    exported = client.post(address(Label, "export"), data | {"labelresource_definition": "on"}).content.decode()
    assert f"{project.slug},apple,Use when …" in exported
    assert other.slug not in exported


def test_only_superusers_delete_projects(client, manager, superuser, project):
    client.force_login(manager)
    client.post(address(Project, "delete", project.pk), {"post": "yes"})
    assert Project.objects.filter(pk=project.pk).exists()
    client.force_login(superuser)
    client.post(address(Project, "delete", project.pk), {"post": "yes"})
    assert not Project.objects.filter(pk=project.pk).exists()


def test_a_manager_cannot_join_a_foreign_project_through_the_admin(client, manager, project, other):
    client.force_login(manager)
    client.post(address(Membership, "add"), {"project": other.pk, "user": manager.pk, "role": "manager"})
    assert not other.memberships.filter(user=manager).exists()


def test_an_empty_project_can_be_deleted(client, superuser):
    client.force_login(superuser)
    project = make_project()
    client.post(address(Project, "delete", project.pk), {"post": "yes"})
    assert not Project.objects.filter(pk=project.pk).exists()
