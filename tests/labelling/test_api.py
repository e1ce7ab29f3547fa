"""The API does what the pages do, and explains what it does not do."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import reverse

from labelling import jobs
from labelling.api import api
from labelling.models import CsvImport, Document, KeyedRequest, Label, LabelEvent, Project, Release, Round, Token
from labelling.services import tokens
from tests.factories import fruit_project, import_rows, make_user, run_round

pytestmark = pytest.mark.django_db


class Caller:
    """A program with a token."""

    def __init__(self, secret: str):
        self.client = Client(headers={"Authorization": f"Bearer {secret}"})

    def __call__(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """Return the answer, once its status is the expected one."""
        given = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        response = getattr(self.client, method.lower())(f"/api{path}", headers=headers, **given)
        assert response.status_code == status, b"".join(response)[:500]
        if status >= 400:
            assert response["Content-Type"] == "application/problem+json"
            assert response.json()["status"] == status
        content = b"".join(response)
        return json.loads(content) if content and "json" in response["Content-Type"] else content.decode()


@pytest.fixture
def manager():
    return make_user("manager", is_staff=True)


@pytest.fixture
def project(manager) -> Project:
    return fruit_project(manager=manager, retrain_after=0)


@pytest.fixture
def call(manager) -> Caller:
    return Caller(tokens.create(manager, "test", Token.Scope.MANAGE, 1)[1])


@pytest.fixture
def at(project) -> str:
    return f"/projects/{project.slug}"


@pytest.fixture
def work(messages, monkeypatch, django_capture_on_commit_callbacks):
    """Do what the worker was told, until it has nothing to do."""
    monkeypatch.setattr("labelling.jobs.releasing.snapshot", nullcontext)

    def run() -> None:
        for model, run_job in ((CsvImport, jobs.run_import), (Round, jobs.run_round), (Release, jobs.run_release)):
            for job in model.objects.filter(state="queued"):
                run_job(job.pk)

    return run


# Tokens.


def test_a_token_is_shown_once_and_kept_as_a_digest(client, manager, project):
    client.force_login(manager)
    form = {"name": "nightly", "project": project.pk, "scope": "label", "days": 30}
    page = client.post(reverse("tokens"), form).content.decode()
    secret = page.split("red_")[1].split("<")[0]
    token = Token.objects.get()
    assert (token.user, token.project, token.scope) == (manager, project, "label")
    assert secret not in client.get(reverse("tokens")).content.decode()
    assert secret not in "".join(str(value) for value in Token.objects.values()[0].values())
    assert tokens.find(f"red_{secret}") == token
    assert client.post(reverse("revoke_token", args=[token.pk])).status_code == 302
    assert tokens.find(f"red_{secret}") is None


def test_nobody_makes_tokens_for_projects_of_others_or_revokes_theirs(client, manager, project):
    token, _secret = tokens.create(manager, "mine", "read", 1)
    client.force_login(make_user())
    client.post(reverse("tokens"), {"name": "x", "project": project.pk, "scope": "read", "days": 1})
    client.post(reverse("revoke_token", args=[token.pk]))
    assert list(Token.objects.all()) == [token]


# Projects and labels.


def test_projects_are_made_read_and_changed(call):
    made = call("post", "/projects", {"name": "Letters", "task": "What they want"}, 201)
    assert (made["slug"], made["role"]) == ("letters", "manager")
    changed = call("patch", "/projects/letters", {"retrain_after": 7, "limit": "0.10"})
    assert (changed["retrain_after"], changed["limit"], changed["task"]) == (7, "0.10", "What they want")
    assert call("get", "/projects/letters") == changed
    call("patch", "/projects/letters", {"limit": "0.3"}, 422)
    call("get", "/projects/none", status=404)


def test_labels_are_added_changed_and_deleted(call, at, manager):
    label = call("post", f"{at}/labels", {"name": " plum ", "definition": "Use when purple."}, 201)
    assert (label["name"], label["definition_version"]) == ("plum", 1)
    call("post", f"{at}/labels", {"name": "plum"}, 409)
    one = f"{at}/labels/{label['id']}"
    changed = call("patch", one, {"definition": "Use when blue.", "synonyms": "prune"})
    assert (changed["definition_version"], changed["synonyms"], changed["name"]) == (2, "prune", "plum")
    assert Label.objects.get(pk=label["id"]).definitions.first().author == manager
    call("patch", one, {"name": "apple"}, 409)
    assert call("get", one) == changed
    assert [one["name"] for one in call("get", f"{at}/labels")["items"]][-1] == "plum"
    call("delete", one, status=204)
    call("get", one, status=404)
    call("delete", f"{at}/labels/{Label.objects.get(name='apple').pk}", status=409)
    apple = Label.objects.get(name="apple")
    assert call("patch", f"{at}/labels/{apple.pk}", {"name": "sloe"})["name"] == "sloe"
    assert LabelEvent.objects.get().before["after"] == "sloe", "it can be undone on the page"


# Documents.


def test_documents_come_in_as_an_import_and_are_found_again(call, at, work, project):
    new = [
        {"text": "a plum,\nripe", "external_id": "p-1", "metadata": {"channel": "web"}},
        {"text": "=plum plum", "label": "plum"},
    ]
    started = call("post", f"{at}/documents", {"documents": new}, 201)
    assert started["state"] == "queued"
    work()
    done = call("get", f"{at}/imports/{started['id']}")
    assert (done["state"], done["counts"]["pool"], done["counts"]["labelled"]) == ("done", 1, 1)
    (found,) = call("get", f"{at}/documents?q=ripe")["items"]
    assert (found["text"], found["external_id"], found["metadata"]) == ("a plum,\nripe", "p-1", {"channel": "web"})
    assert (found["label"], found["source"]) == (None, "")
    label = Label.objects.get(name="plum")
    (seed,) = call("get", f"{at}/documents?label={label.pk}&show=seed")["items"]
    assert (seed["text"], seed["label"], seed["source"]) == ("=plum plum", {"id": label.pk, "name": "plum"}, "seed")
    changed = call("patch", f"{at}/documents/{found['id']}", {"metadata": {"channel": "", "lang": "de"}})
    assert changed["metadata"] == {"lang": "de"} == Document.objects.get(pk=found["id"]).metadata
    project.refresh_from_db()
    assert "lang" in project.metadata_columns
    call("delete", f"{at}/documents/{found['id']}", status=204)
    call("get", f"{at}/documents/{found['id']}", status=404)
    call("post", f"{at}/documents", {"documents": [{"text": "x", "metadata": {"label": "y"}}]}, 409)


def test_what_evidence_rests_on_is_not_deleted(call, at, project):
    run_round(project)
    settled = project.settled_labels.first()
    call("delete", f"{at}/documents/{settled.document_id}", status=409)
    call("delete", f"{at}/documents/{project.queue.first().document_id}", status=409)


def test_documents_show_what_the_page_shows(call, at, project):
    run_round(project)
    blind = project.queue.filter(query__reason="audit").first()
    shown = call("get", f"{at}/documents/{blind.document_id}")
    assert (shown["source"], shown["probability"]) == ("model", blind.document.prediction.probability)
    other = project.documents.pool().exclude(queue_entry__isnull=False).first()
    assert call("get", f"{at}/documents/{other.pk}")["label"]["id"] == other.prediction.posterior_label_id


def test_pages_neither_skip_nor_repeat_while_rows_are_added(call, at, project):
    n = project.documents.count()
    seen, after = [], None
    while True:
        page = call("get", f"{at}/documents?limit=7" + (f"&after={after}" if after else ""))
        seen += [one["id"] for one in page["items"]]
        if after is None:
            import_rows(project, [("kiwi, new", "")])
        after = page["next"]
        if after is None:
            break
    assert seen == list(project.documents.order_by("pk").values_list("pk", flat=True))
    assert len(seen) == n + 1


# Imports.


def test_a_file_is_imported_and_asks_what_is_doubtful(call, at, work):
    def send(data: str, **fields: str) -> dict[str, Any]:
        form = {"file": ContentFile(data.encode(), name="more.csv"), **fields}
        response = call.client.post(f"/api{at}/imports", form)
        assert response.status_code == 201, response.content
        work()
        return call("get", f"{at}/imports/{response.json()['id']}")

    done = send("what,who\nplum plum,plum\nkiwi,\n", text_column="what", label_column="who")
    assert (done["state"], done["counts"]["labelled"], done["counts"]["pool"]) == ("done", 1, 1)
    rejected = send("text,label\n,apple\nfine,\n")
    assert (rejected["state"], rejected["problems"][0]["line"]) == ("waiting", 2)
    kept = call("post", f"{at}/imports/{rejected['id']}/keep-good-rows")
    assert kept["state"] == "queued"
    work()
    assert call("get", f"{at}/imports/{kept['id']}")["state"] == "done"
    asked = send("text,label\nplum one,Plum\nplum two,plum\n")
    answers = {question["key"]: question["choices"][0][0] for question in asked["questions"]}
    assert answers
    call("post", f"{at}/imports/{asked['id']}/answers", {"answers": {}}, 409)
    call("post", f"{at}/imports/{asked['id']}/answers", {"answers": answers})
    call("post", f"{at}/imports/{asked['id']}/cancel")
    assert len(call("get", f"{at}/imports")["items"]) == 4
    assert call.client.post(f"/api{at}/imports", {"file": ContentFile(b"%PDF-1.4", name="a.csv")}).status_code == 422


# Rounds, decisions, releases, suggestions.


def test_a_round_is_started_followed_and_steered(call, at, work):
    assert call("post", f"{at}/rounds", status=201)["state"] == "queued"
    call("post", f"{at}/rounds", status=409)
    assert call("post", f"{at}/rounds/1/cancel")["state"] == "cancelled"
    assert call("post", f"{at}/rounds/1/go-on")["state"] == "queued"
    work()
    done = call("get", f"{at}/rounds/1")
    assert (done["state"], done["training_examples"]) == ("done", 16)
    assert [one["number"] for one in call("get", f"{at}/rounds")["items"]] == [1]
    call("post", f"{at}/rounds/1/agree", status=409)
    call("post", f"{at}/rounds/1/explode", status=422)


def test_the_queue_is_decided_on_and_a_decision_taken_back(call, at, project, manager):
    run_round(project)
    waiting = call("post", f"{at}/queue/next")
    assert call("post", f"{at}/queue/next")["entry"] == waiting["entry"]
    decided = call("post", f"{at}/queue/{waiting['entry']}/decisions", {"action": "accept"}, 201)
    assert (decided["action"], decided["label"]) == ("accept", waiting["predicted"]["id"])
    again = call("post", f"{at}/queue/{waiting['entry']}/decisions", {"action": "accept"}, 201)
    assert again["id"] == decided["id"]
    call("post", f"{at}/queue/{waiting['entry']}/decisions", {"action": "none"}, 409)
    call("delete", f"{at}/decisions/{decided['id']}", status=204)
    call("delete", f"{at}/decisions/{decided['id']}", status=409)
    listed = call("get", f"{at}/decisions")["items"]
    assert [(one["action"], one["withdraws"]) for one in listed] == [("accept", None), ("undo", decided["id"])]
    project.queue.all().delete()
    call("post", f"{at}/queue/next", status=204)


def test_any_document_gets_its_label(call, at, project):
    document, label = project.documents.pool().first(), Label.objects.get(name="mango")
    call("post", f"{at}/documents/{document.pk}/decisions", {"label": label.pk}, 201)
    shown = call("get", f"{at}/documents/{document.pk}")
    assert (shown["label"]["name"], shown["source"]) == ("mango", "human")
    call("post", f"{at}/documents/{document.pk}/decisions", {"label": None}, 201)
    assert call("get", f"{at}/documents/{document.pk}")["label"] is None
    call("post", f"{at}/documents/{document.pk}/decisions", {"label": fruit_project().labels.first().pk}, 404)
    call("post", f"{at}/documents/{document.pk}/decisions", {}, 422)


def test_a_release_is_delivered_and_its_files_are_what_was_released(call, at, project, work):
    run_round(project)
    assert call("post", f"{at}/releases", {"note": "first"}, 201)["number"] == 1
    work()
    release = call("get", f"{at}/releases/1")
    assert (release["state"], release["note"], release["counts"]["all"]) == ("done", "first", 36)
    assert len(call("get", f"{at}/releases/1/files/labels.csv").splitlines()) == 37
    call("get", f"{at}/releases/1/files/none", status=404)
    path = Release.objects.get().folder / "labels.csv"
    path.chmod(0o644)
    path.write_text("other")
    call("get", f"{at}/releases/1/files/labels.csv", status=409)
    assert len(call("get", f"{at}/export.csv").splitlines()) == 37
    assert [one["number"] for one in call("get", f"{at}/releases")["items"]] == [1]


def test_new_texts_are_labelled_and_the_uncertain_ones_queued(call, at, project, served, work):
    call("post", f"{at}/suggest", {"texts": ["apple"]}, 409)
    run_round(project)
    answer = call("post", f"{at}/suggest", {"texts": ["apple apple", "a ripe mango"], "queue": True})
    assert [one["label"]["name"] for one in answer["suggestions"]] == ["apple", "mango"]
    assert (answer["model"], answer["release"], answer["promise"]) == (1, None, None)
    work()
    assert call("get", f"{at}/imports/{answer['queued']}")["counts"]["pool"] == 2
    reader = make_user("reader")
    call("post", f"{at}/suggest", {"texts": []}, 422)
    call("post", f"{at}/suggest", {"texts": ["x"] * 1001}, 422)
    project.memberships.create(user=reader, role="reviewer")
    as_reader = Caller(tokens.create(reader, "test", Token.Scope.READ, 1)[1])
    as_reader("post", f"{at}/suggest", {"texts": ["apple"]})
    as_reader("post", f"{at}/suggest", {"texts": ["apple"], "queue": True}, 403)


def test_without_the_process_that_holds_the_models_it_is_said_what_to_start(call, at):
    assert "manage.py serve_model" in call("post", f"{at}/suggest", {"texts": ["apple"]}, 503)["detail"]


# Requests.


def test_the_same_key_adds_once(call, at, project):
    body = {"name": "plum"}
    first = call("post", f"{at}/labels", body, 201, **{"Idempotency-Key": "k"})
    assert call("post", f"{at}/labels", body, 201, **{"Idempotency-Key": "k"}) == first
    assert project.labels.filter(name="plum").count() == 1
    call("post", f"{at}/labels", {"name": "kiwi"}, 409, **{"Idempotency-Key": "k"})
    call("post", f"{at}/labels", {"name": "kiwi"}, 409, **{"Idempotency-Key": "k" * 201})
    call("post", f"{at}/labels", {"name": "apple"}, 409, **{"Idempotency-Key": "failed"})
    call("post", f"{at}/labels", {"name": "pear"}, 201, **{"Idempotency-Key": "failed"})
    KeyedRequest.objects.update(created_at="2020-01-01T00:00Z")
    call("post", f"{at}/labels", body, 409, **{"Idempotency-Key": "k"})


def test_the_same_file_with_the_same_key_is_imported_once(call, at, project):
    def send(data: bytes) -> int:
        form = {"file": ContentFile(data, name="a.csv")}
        return call.client.post(f"/api{at}/imports", form, headers={"Idempotency-Key": "k"}).status_code

    n = project.imports.count()
    assert (send(b"text\nplum\n"), send(b"text\nplum\n"), send(b"text\nkiwi\n")) == (201, 201, 409)
    assert project.imports.count() == n + 1
    assert project.imports.first().file.read() == b"text\nplum\n"


def test_too_many_requests_have_to_wait(call, at, monkeypatch):
    throttle = next(operation for router in api._get_bound_routers() for view in router.path_operations.values()
                    for operation in view.operations).throttle_objects[0]  # fmt: skip
    monkeypatch.setattr(throttle, "num_requests", 2)
    for _ in range(2):
        call("get", "/projects")
    response = call.client.get("/api/projects")
    assert (response.status_code, response["Content-Type"]) == (429, "application/problem+json")
    assert 0 < int(response["Retry-After"]) <= 60


@pytest.mark.parametrize(
    ("body", "status"),
    [("{", 400), ('{"name": "a\\u0000b"}', 422), ('{"name": "\\ud800"}', 422), ('{"name": ""}', 422), ("[]", 422)],
)
def test_a_body_with_mistakes_is_explained(call, at, body, status):
    response = call.client.post(f"/api{at}/labels", body, content_type="application/json")
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("address", ["labels/0", "labels/x", f"labels/{2**70}", "documents?after=-1", "rounds?limit=0"])
def test_numbers_that_no_row_has_are_mistakes(call, at, address):
    call("get", f"{at}/{address}", status=422)


def test_the_document_and_its_page_are_there_for_everybody(client, manager):
    assert client.get(reverse("api:openapi-json")).json()["openapi"].startswith("3.1")
    page = client.get(reverse("api:openapi-view"))
    assert "/api/projects/{slug}/suggest" in page.content.decode()
    client.force_login(manager)
    assert client.get(reverse("api:openapi-view")).status_code == 200
