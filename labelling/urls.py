"""The application's addresses. What belongs to a project starts with its slug."""

from django.urls import include, path

from labelling.views import documents, exports, imports, labels, measuring, projects, review, rounds, status

project_urls = [
    path("", projects.overview, name="project"),
    path("settings/", projects.settings, name="project_settings"),
    path("members/", projects.members, name="members"),
    path("members/<int:pk>/remove/", projects.remove_member, name="remove_member"),
    path("labels/", labels.label_list, name="labels"),
    path("labels/new/", labels.create, name="create_label"),
    path("labels/definitions.csv", labels.export_definitions, name="export_definitions"),
    path("labels/definitions/", labels.import_definitions, name="import_definitions"),
    path("labels/<int:pk>/", labels.detail, name="label"),
    path("labels/<int:pk>/delete/", labels.delete, name="delete_label"),
    path("documents/", documents.document_list, name="documents"),
    path("documents/<int:pk>/", documents.detail, name="document"),
    path("import/", imports.upload, name="upload"),
    path("import/<int:pk>/", imports.detail, name="import"),
    path("import/<int:pk>/progress/", imports.progress, name="import_progress"),
    path("import/<int:pk>/keep/", imports.keep_good_rows, name="keep_good_rows"),
    path("import/<int:pk>/cancel/", imports.cancel, name="cancel_import"),
    path("import/<int:pk>/retry/", imports.retry, name="retry_import"),
    path("import/<int:pk>/rejected.csv", imports.rejected, name="rejected_rows"),
    path("export.csv", exports.export, name="export"),
    path("rounds/start/", rounds.start, name="start_round"),
    path("rounds/progress/", rounds.progress, name="round_progress"),
    path("rounds/<int:number>/", rounds.detail, name="round"),
    path("rounds/<int:number>/cancel/", rounds.cancel, name="cancel_round"),
    path("rounds/<int:number>/go-on/", rounds.go_on, name="go_on_round"),
    path("rounds/<int:number>/retry-judge/", rounds.retry_judge, name="retry_judge"),
    path("judge/", measuring.overview, name="judge"),
    path("judge/measure/", measuring.measure, name="measure"),
    path("judge/progress/", measuring.progress, name="measuring_progress"),
    path("review/", review.review, name="review"),
    path("review/<int:entry_id>/decide/", review.decide, name="decide"),
    path("review/undo/", review.undo, name="undo"),
    path("review/labels/", review.search_labels, name="search_labels"),
]

urlpatterns = [
    path("", projects.project_list, name="project_list"),
    path("projects/new/", projects.create, name="create_project"),
    path("p/<slug:slug>/", include(project_urls)),
    path("worker/", status.worker, name="worker_status"),
    path("health/", status.health, name="health"),
]
