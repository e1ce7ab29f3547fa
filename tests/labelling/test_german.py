"""The pages about labels, definitions, imports, members and settings, in German."""

from __future__ import annotations

import re
import time

import pytest
from django.urls import reverse
from django.utils import translation

from labelling import forms
from labelling.models import Call, Comparison, CsvImport, Draft, Drafting, Price
from labelling.services import imports, labels
from labelling.templatetags.red import dollars, in_percent, nats, percent, probability
from tests.factories import account, csv_file, fruit_project, import_bytes, make_project
from tests.labelling.test_second_factor import code_of

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

State = Drafting.State


@pytest.fixture
def client(client, ann):
    ann.is_staff = True
    ann.save()
    client.force_login(ann)
    client.post("/language/", {"language": "de", "next": "/"})
    return client


@pytest.fixture
def project(ann):
    """With a definition in three versions, one of them drafted, and drafts in every state."""
    project = fruit_project(manager=ann)
    label = project.labels.get(name="apple")
    drafting = Drafting.objects.create(project=project, state=State.DONE, model="stub-1", done=4, total=4)
    for text in ("An apple", "An apple, no pear"):
        labels.define(label, text, ann)
    drafted = labels.define(label, "A red apple", ann)
    for label, state in zip(project.labels.all(), ("approved", "proposed", "failed", "rejected"), strict=True):
        examples = {str(label.pk): [label.examples.first().document_id]}
        Draft.objects.create(
            drafting=drafting,
            label=label,
            state=state,
            text="A fruit",
            definition=drafted if state == "approved" else None,
            decided_by=ann if state in ("approved", "rejected") else None,
            decided_at=drafting.created_at if state in ("approved", "rejected") else None,
            examples=examples,
            rivals=[project.labels.last().pk],
        )
    return project


def page(client, name: str, *args: object, **query: object) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    text = response.content.decode()
    assert '<html lang="de">' in text
    return text


@pytest.mark.parametrize(
    ("name", "query", "says"),
    [
        ("labels", {}, "3 Labels haben keine freigegebene Definition"),
        ("labels", {"q": "nothing"}, "Kein Label passt zu „nothing“."),
        ("labels", {"undefined": "1"}, "Auflisten"),
        ("create_label", {}, "Neues Label"),
        ("import_definitions", {}, "Ein Label je Zeile"),
        ("drafts", {}, "Die Definition von banana freigeben"),
        ("drafts", {"show": "approved"}, "Freigegeben als Fassung 3"),
        ("drafts", {"show": "failed"}, "1 der letzten 4 Labels bekamen keinen Entwurf"),
        ("drafts", {"show": "rejected"}, "Abgelehnt"),
        ("approve_drafts", {}, "1 Entwurf wartet."),
        ("upload", {}, "Bisherige Importe"),
        ("project_settings", {}, "Entscheidungen je Runde"),
        ("people_only", {}, "Erst zählen"),
        ("members", {}, "ann entfernen"),
        ("ledger", {}, "Noch wurde nichts gefragt."),
    ],
)
def test_a_page_of_a_project_speaks_german(client, project, name, query, says):
    assert says in page(client, name, project.slug, **query)


def test_the_pages_of_no_project_speak_german(client):
    assert "Projekt anlegen" in page(client, "create_project")
    assert "Ihr Passwort ändern" in page(client, "password_change")
    assert "Ihr Passwort ist geändert" in page(client, "password_change_done")


def test_a_label_and_its_versions_speak_german(client, project):
    label = project.labels.get(name="apple")
    assert "„<bdi>apple</bdi>“ löschen" in page(client, "label", project.slug, label.pk)
    text = page(client, "versions", project.slug, label.pk)
    assert "Fassungen von „<bdi>apple</bdi>“" in text
    assert "von Hand geschrieben oder importiert" in text


def test_the_second_factor_speaks_german(client, ann, project, settings):
    ann.is_superuser = True
    ann.save()
    settings.OIDC_SERVER_URL = "https://id.example"
    text = page(client, "mfa_index")
    assert "Aus: Zum Anmelden genügt Ihr Passwort." in text
    assert "Mit Single Sign-on verknüpfen" in text
    project.demands_second_factor = True
    project.save()
    answer = client.get(reverse("labels", args=[project.slug]))
    assert "Dieses Projekt verlangt einen zweiten Faktor" in answer.content.decode()

    asked = client.get(reverse("mfa_activate_totp"))["Location"]
    assert "Das ist nicht Ihr Passwort." in client.post(asked, {"password": "wrong"}).content.decode()
    client.post(asked, {"password": "secret"})
    assert "QR-Code des Geheimnisses" in page(client, "mfa_activate_totp")
    text = client.post(reverse("mfa_activate_totp"), {"code": "000000"}).content.decode()
    assert "Dieser Code ist falsch, wurde schon benutzt oder ist zu alt." in text
    secret = re.search(r"<code[^>]*>([A-Z2-7]{32})<", text)[1]
    made = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret, time.time())}, follow=True)
    assert "Ich habe sie" in made.content.decode()
    assert "10 Wiederherstellungscodes sind übrig." in page(client, "mfa_index")
    assert "10 verbliebene Codes gelten dann nicht mehr." in page(client, "mfa_generate_recovery_codes")
    assert "bleiben Ihnen verschlossen" in page(client, "mfa_deactivate_totp")
    assert "Den zweiten Faktor von ann entfernen" in page(client, "accounts")

    client.post(reverse("logout"))
    client.post("/language/", {"language": "de", "next": "/"})
    assert "Mit Single Sign-on anmelden" in page(client, "login")
    client.post(reverse("login"), {"username": "ann", "password": "secret"})
    assert "oder einen Ihrer Wiederherstellungscodes" in page(client, "mfa_authenticate")


def test_erasing_a_person_speaks_german(client, ann, project):
    ann.is_superuser = True
    ann.save()
    bob = account("bob")
    project.memberships.create(user=bob, role="reviewer")
    text = page(client, "erase_account", bob.pk)
    assert "<bdi>bob</bdi> löschen" in text
    assert "Die Person verlässt 1 Projekt." in text
    membership = project.memberships.get(user=bob)
    assert "Was bob aus der Warteschlange bekommt" in page(client, "expertise", project.slug, membership.pk)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (State.QUEUED, "Wartet auf den Worker"),
        (State.RUNNING, "Unterbrochen"),
        (State.WAITING, "2 Definitionen entwerfen"),
        (State.PAUSED, "Nach 1 von 4 angehalten."),
        (State.FAILED, "Das Entwerfen ist nach 1 von 4 fehlgeschlagen."),
        (State.CANCELLED, "Mit dem Rest weitermachen"),
    ],
)
def test_a_drafting_speaks_german(client, project, state, says):
    project.draftings.update(
        state=state, done=1, confirmed_at="2025-01-01T00:00Z", forecast={"calls": 2, "prompts": []}
    )
    assert says in page(client, "drafts", project.slug)


@pytest.mark.parametrize(
    ("state", "step", "says"),
    [
        ("waiting", "", "Spalten wählen"),
        ("queued", "", "Wartet auf den Worker"),
        ("waiting", "check", "1 Zeile lässt sich nicht importieren"),
        ("done", "write", "Importiert"),
        ("failed", "check", "Der Import ist fehlgeschlagen"),
        ("cancelled", "write", "Bis dahin waren 3 von 4 Zeilen importiert"),
        ("cancelled", "check", "Nichts wurde importiert."),
    ],
)
def test_an_import_speaks_german(client, ann, state, step, says):
    project = make_project(ann)
    csv_import = import_bytes(project, b"text,label\na red one,red\n,red\n")
    CsvImport.objects.filter(pk=csv_import.pk).update(state=state, step=step, done=3, total=4)
    assert says in page(client, "import", project.slug, csv_import.pk)


def test_the_columns_of_a_file_are_chosen_in_german(client, ann):
    project = make_project(ann)
    csv_import = imports.upload(project, csv_file([("a text", "red")]), ann)
    text = page(client, "import", project.slug, csv_import.pk)
    assert "Spalte mit dem Text" in text
    assert '<option value="," selected>Komma</option>' in text


def test_the_ledger_speaks_german(client, project):
    Price.objects.create(
        model="claude-haiku-4-5",
        valid_from="2020-10-01",
        input=1,
        output=5,
        cache_write=1,
        cache_read=1,
        cache_min_tokens=1,
    )
    for state in Call.State:
        Call.objects.create(
            project=project, label=project.labels.first(), purpose=Call.Purpose.DEFINITION, model="stub-1", state=state
        )
    text = page(client, "ledger", project.slug)
    assert "Stand 1. Okt. 2020" in text
    assert "Unterwegs" in text


@pytest.mark.parametrize("judge", ["neighbours", "anthropic"])
def test_switching_the_judge_speaks_german(client, project, judge):
    project.judge = judge
    project.save()
    comparison = Comparison.objects.create(project=project, state="done", model="stub-1", question="choose")
    text = page(client, "switch_judge", project.slug, comparison.pk)
    assert "<strong>stub-1</strong> in der Form „choose“ gefragt, anstelle von" in text


def test_what_is_refused_is_said_in_german(client, project):
    label = project.labels.get(name="apple")
    answer = client.post(reverse("delete_label", args=[project.slug, label.pk]), follow=True)
    assert "„apple“ wird verwendet und lässt sich nicht löschen." in answer.content.decode()
    answer = client.post(reverse("upload", args=[project.slug]), {"file": csv_file([], header=["\0"])})
    assert "Die Datei ist leer." in answer.content.decode()
    answer = client.post(
        reverse("import_definitions", args=[project.slug]), {"file": csv_file([("a", "x")], header=["name", "more"])}
    )
    assert "Der Datei fehlt die Spalte definition." in answer.content.decode()


def test_the_worker_finds_the_columns_that_somebody_chose_in_german(client, ann):
    project = make_project(ann)
    with translation.override("de"):
        rows = [("a long enough text", "x", "1"), ("and another one", "y", "2")]
        csv_import = imports.upload(project, csv_file(rows, header=["", "label", "id"]), ann)
    assert csv_import.text_column == "Column 1"


@pytest.mark.parametrize(
    ("written", "figure", "english", "german"),
    [
        (percent, 0.9341, "93.4 %", "93,4 %"),
        (in_percent, "0.975", "97.5 %", "97,5 %"),
        (in_percent, 1, "100 %", "100 %"),
        (probability, 0.999, "0.99", "0,99"),
        (nats, 0.123, "0.12 nats", "0,12 nats"),
        (dollars, "1234.5", "$1,234.50", "$1.234,50"),
        (dollars, "0.0042", "$0.0042", "$0,0042"),
    ],
)
def test_a_figure_is_written_as_in_its_language(written, figure, english, german):
    assert written(figure) == english
    with translation.override("de"):
        assert written(figure) == german


def said_by(form) -> set[str]:
    return {str(text) for field in form for text in (field.label, field.help_text) if text}


@pytest.mark.parametrize(
    "make",
    [
        forms.ProjectForm,
        forms.ProjectSettingsForm,
        forms.MemberForm,
        lambda: forms.LabelForm(project=None),
        forms.DraftingForm,
        forms.UploadForm,
        lambda: forms.MappingForm(header=["a"], instance=CsvImport(is_export=True)),
    ],
)
def test_every_label_and_help_text_of_a_form_is_translated(make):
    english = said_by(make())
    with translation.override("de"):
        assert english & said_by(make()) <= {"Name", "Code", "Definition"}
