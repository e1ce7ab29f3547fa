"""What the review page shows beside the text, and the small things around a decision."""

from __future__ import annotations

import ast
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation.template import templatize

from labelling.models import (
    AccountKind,
    Adaptation,
    BackgroundJob,
    Call,
    Comparison,
    CsvImport,
    Decision,
    DiaryEntry,
    Encoding,
    Event,
    Flag,
    Label,
    LabelEvent,
    Mailbox,
    Packing,
    Prediction,
    Project,
    Query,
    QueueEntry,
    Round,
    Token,
    TrainingExample,
    Unpacking,
    Verdict,
)
from labelling.models.documents import Source
from labelling.services import Refused, audits, claims, flags, review
from labelling.services.evidence import Evidence
from labelling.services.progress import review_progress
from labelling.services.searching import Found, FoundLabel
from labelling.services.selections import Which
from tests.factories import (
    account,
    fresh,
    fruit_project,
    import_doubtful,
    import_rows,
    make_user,
    run_round,
    undo_last,
)
from tests.fakes import KnowingJudge

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

ROOT = Path(__file__).resolve().parents[2]
CHOICES = (
    AccountKind,
    Adaptation.Step,
    BackgroundJob.State,
    Call.Purpose,
    Call.State,
    Comparison.Step,
    CsvImport.Step,
    Decision.Action,
    LabelEvent.Kind,
    Project.QuestionForm,
    Query.Reason,
    DiaryEntry.Act,
    Event.Kind,
    Mailbox.Mail,
    Encoding.Step,
    Packing.Step,
    Unpacking.Step,
    Which,
    Round.Step,
    Source,
    Token.Scope,
    Verdict.Name,
)

# A string in the source, and the functions that translate it.
STRING = r"""u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
SAYING = {"_", "gettext_lazy", "ngettext"}


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    project = fruit_project(manager=account("ann"), judge="neighbours", batch_size=5, retrain_after=3)
    import_doubtful(project)
    run_round(project)
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


def shown(client, user, project, **query) -> str:
    client.force_login(user)
    return unmarked(client.get(reverse("review", args=[project.slug]), query))


def unmarked(response) -> str:
    """A page without the marks inside its text."""
    return re.sub("</?mark[^>]*>", "", response.content.decode())


def judged(project) -> QueueEntry:
    """A document with a verdict, made the next one."""
    entry = project.queue.exclude(query__reason__in=Query.AUDITS).first()
    Verdict.objects.create(query=entry.query, verdict="valid", judge="neighbours", model="m", prompt_version="p")
    QueueEntry.objects.filter(pk=entry.pk).update(priority=-(10**17))
    return entry


# What is shown


def test_near_duplicates_are_noted_by_the_round_and_say_what_was_decided_on_them(client, ann):
    project = fruit_project(manager=ann, judge="neighbours", batch_size=22, retrain_after=0)
    import_rows(project, [("number 0 seed apple apple", ""), ("0 number seed apple apple", "")])
    run_round(project)
    query = Query.objects.filter(document__text="number 0 seed apple apple", queue_entry__isnull=False).get()
    assert {project.documents.get(pk=pk).text for pk, alike in query.near_duplicates if alike > 0.99} == {
        "apple apple seed number 0",
        "0 number seed apple apple",
    }
    assert Query.objects.exclude(document__text__contains="number").first().near_duplicates == []
    QueueEntry.objects.exclude(query=query).update(claimed_by=make_user(), claimed_until=timezone.now() + timedelta(1))
    text = shown(client, ann, project)
    assert "2 texts say almost the same" in text
    assert re.search(r"apple</strong> ×1, 1 not decided on", text)


def test_the_label_that_the_judge_suggests_is_the_one_to_compare_with(ann, project):
    query = judged(project).query
    *_others, least = query.labels_with_examples
    Verdict.objects.filter(query=query).update(verdict="invalid", better_label=least)
    query.refresh_from_db()
    evidence = Evidence.of(query)
    assert least not in {row[1] for row in query.compared_examples}, "the judge saw those of another"
    assert [label.pk for label, _ in evidence.examples] == [query.label_id, least]
    assert evidence.rival.label.pk == least
    assert evidence.rival.judge_prefers


def test_why_names_both_figures_and_both_labels_and_each_alternative_its_proposers(client, ann, project):
    entry = claims.claim_next(project, ann)
    evidence = Evidence.of(entry.query)
    asked, rival = evidence.compared
    figures = dict(entry.query.candidates)
    assert evidence.figures == f"{figures[asked.pk]:.2f} against {figures[rival.pk]:.2f}: {asked} or {rival}."
    assert evidence.reason in ("Two labels are close.", "An answer tells much here.")
    assert [label for label, _ in evidence.examples] == [asked, rival]
    assert sum(c.n_neighbours for c in (evidence.predicted, *evidence.alternatives)) == len(entry.query.neighbours)
    assert all(candidate.is_possible for candidate in evidence.alternatives)
    text = shown(client, ann, project)
    proposed = [candidate for candidate in evidence.alternatives if candidate.shown_belief is not None]
    assert text.count('<span class="tag">model</span>') == len(proposed) > 0
    assert "neighbour" in text
    assert '<span class="tag seed">seed</span>' in text
    assert 'id="compare"' in text
    assert "<dialog" in shown(client, ann, project, compare="")
    assert re.search("<dialog[^>]* open", shown(client, ann, project, compare=""))


def test_the_judges_record_on_a_label_is_claimed_only_from_twenty_audits_on(client, ann, project):
    query = judged(project).query
    assert Evidence.of(query).record == audits.Record(0, 0)
    assert "is not known: 20 more audits are needed" in shown(client, ann, project)
    import_rows(project, [(f"an audited text {n}", "") for n in range(20)])
    for document in project.documents.filter(text__startswith="an audited"):
        audit = Query.objects.create(
            round=query.round,
            document=document,
            label=query.label,
            rank=100,
            reason="audit",
            probability=0.5,
            posterior=0.5,
            entropy=1,
            candidates=[],
            examples=[],
            neighbours=[],
        )
        right = document.text.endswith("0")
        judge = {name: getattr(query.verdict, name) for name in ("judge", "model", "prompt_version")}
        Verdict.objects.create(query=audit, verdict="valid", **judge)
        review.relabel(document, ann, query.label if right else None)
    assert Evidence.of(query).record == audits.Record(2, 20)
    assert f"About {query.label} the judge was right in 2 of 20 audits." in shown(client, ann, project)


def test_progress_counts_the_rounds_documents_and_what_starts_the_next(client, ann, project):
    round_ = project.rounds.get()
    first = review_progress(round_, round_)
    n = project.queue.count()
    assert (first.decided, first.left, first.total, first.until_next) == (0, n, n, 3)
    review.decide(project, claims.claim_next(project, ann).pk, ann, "accept")
    then = review_progress(round_, round_)
    assert (then.decided, then.left, then.total, then.until_next) == (1, n - 1, n, 2)
    text = shown(client, ann, project)
    assert "2 more to the next model" in text
    assert f"<strong>{n - 1}</strong> of {n} left in this batch" in text


def test_a_conflict_says_who_decided_what_and_keeps_the_choice_in_sight(client, ann, project):
    entry = claims.claim_next(project, ann)
    QueueEntry.objects.filter(pk=entry.pk).update(claimed_by=None)
    bob = make_user("bob")
    review.decide(project, entry.pk, bob, "none")
    client.force_login(ann)
    response = client.post(reverse("decide", args=[project.slug, entry.pk]), {"choice": "accept"})
    text = response.content.decode()
    assert response.status_code == 409
    assert "bob has decided on this document already: None of these" in text
    assert re.search(rf"Your choice was:.*Accept: {entry.query.label}.*{entry.document.text}", text, re.DOTALL)


# The predicted label


def test_predicted_is_what_is_believed_most_though_the_question_is_about_another(client, ann, project):
    entry = judged(project)
    asked = entry.query.label
    other = project.labels.exclude(pk=asked.pk).first()
    Prediction.objects.filter(document=entry.document).update(posterior_label=other)
    entry.refresh_from_db()
    evidence = Evidence.of(entry.query)
    assert (evidence.predicted.label, entry.query.predicted_id) == (other, other.pk)
    assert asked in [candidate.label for candidate in evidence.alternatives]
    assert f'value="accept:{other.pk}" data-key="Enter"' in shown(client, ann, project)
    decision = review.decide(project, entry.pk, ann, "accept")
    assert (decision.action, decision.label) == ("accept", other)


def test_where_none_of_these_is_most_probable_the_likeliest_label_is_predicted(project):
    prediction = judged(project).document.prediction
    labels = [label_id for label_id, _ in prediction.candidates]
    prediction.posterior_label = None
    prediction.belief = [0.1, 0.3, *[0.0] * (len(labels) - 2), 0.6]
    assert prediction.likeliest_id == labels[1]


def test_of_an_audit_what_was_settled_is_predicted_whatever_a_verdict_made_of_it(project):
    query = judged(project).query
    Query.objects.filter(pk=query.pk).update(reason="audit")
    other = project.labels.exclude(pk=query.label_id).first()
    Prediction.objects.filter(document=query.document_id).update(posterior_label=other)
    assert Query.objects.get(pk=query.pk).predicted_id == query.label_id


def test_accepting_takes_what_was_shown_though_another_label_is_predicted_by_now(client, ann, project):
    entry = judged(project)
    shown_id = entry.query.predicted_id
    other = project.labels.exclude(pk=shown_id).first()
    Prediction.objects.filter(document=entry.document).update(posterior_label=other)
    client.force_login(ann)
    address = reverse("decide", args=[project.slug, entry.pk])
    assert client.post(address, {"choice": "accept:999999"}).status_code == 400
    for _ in range(2):
        client.post(address, {"choice": f"accept:{shown_id}"})
    decision = Decision.objects.get()
    assert (decision.action, decision.label_id) == ("override", shown_id)


# Skips, flags, keys


def test_a_skip_keeps_its_reason(client, ann, project):
    entry = claims.claim_next(project, ann)
    client.force_login(ann)
    address = reverse("decide", args=[project.slug, entry.pk])
    client.post(address, {"choice": "skip", "reason": " two labels fit "})
    assert Decision.objects.get().reason == "two labels fit"
    page = client.get(reverse("document", args=[project.slug, entry.document_id])).content.decode()
    assert "two labels fit" in page


def test_a_flag_stays_with_the_document_until_it_is_dealt_with_and_decides_nothing(client, ann, project):
    entry = claims.claim_next(project, ann)
    client.force_login(ann)
    address = reverse("flag", args=[project.slug, entry.document_id])
    for _ in range(2):  # sent again after its answer was lost
        text = unmarked(client.post(address, {"comment": "Names a person"}, follow=True))
    flag = Flag.objects.get()
    assert "Names a person" in text
    assert entry.document.text in text
    assert not TrainingExample.objects.filter(document=entry.document).exists()

    flagged = reverse("documents", args=[project.slug]) + "?show=flagged"
    assert "Names a person" in client.get(flagged).content.decode()
    assert client.get(flagged).context["page"].n == 1
    client.post(reverse("lower_flag", args=[project.slug, entry.document_id, flag.pk]))
    assert client.get(flagged).context["page"].n == 0
    page = client.get(reverse("document", args=[project.slug, entry.document_id])).content.decode()
    assert "dealt with by ann" in page
    assert client.post(address, {"comment": "  "}).status_code == 400
    with pytest.raises(Refused, match="2,000"):
        flags.flag(entry.document, ann, "x" * 2_001)


def test_keys_are_turned_off_for_good_and_for_oneself(client, ann, project):
    assert 'data-keys="on"' in shown(client, ann, project)
    client.post(reverse("keys", args=[project.slug]), {"keys": "off"})
    client.logout()
    assert 'data-keys="off"' in shown(client, ann, project)
    assert 'data-keys="on"' in shown(client, make_user(is_superuser=True), project)
    client.force_login(ann)
    client.post(reverse("keys", args=[project.slug]), {"keys": "on"})
    assert 'data-keys="on"' in shown(client, ann, project)


def test_any_of_the_last_ten_is_opened_for_a_new_decision(client, ann, project):
    decisions = [review.decide(project, claims.claim_next(project, ann).pk, ann, "accept") for _ in range(2)]
    text = shown(client, ann, project)
    assert all(f'name="decision" value="{decision.pk}"' in text for decision in decisions)
    client.post(reverse("undo", args=[project.slug]), {"decision": decisions[0].pk})
    assert claims.claim_next(project, ann).document == decisions[0].document
    assert TrainingExample.objects.filter(source="human").get().document == decisions[1].document


def test_undo_while_the_next_round_runs_withdraws_what_it_is_learning(ann, project, monkeypatch):
    Project.objects.update(auto_accept=False)
    project.refresh_from_db()
    entry = claims.claim_next(project, ann)
    review.decide(project, entry.pk, ann, "accept")
    judge = KnowingJudge()
    ask = judge.ask

    def undo_and_ask(question):
        undo_last(project, ann)
        return ask(question)

    judge.ask = undo_and_ask
    monkeypatch.setattr("labelling.jobs.rounds.judging.judge_of", lambda round_: judge)
    run_round(project)
    assert not TrainingExample.objects.filter(document=entry.document).exists()
    assert claims.claim_next(project, ann).document == entry.document
    assert project.rounds.first().training_examples == 17
    assert run_round(project).training_examples == 16


# Synonyms in and out


def test_synonyms_go_out_and_in_with_the_labels(client, ann, project):
    client.force_login(ann)
    apple = project.labels.get(name="apple")
    client.post(
        reverse("label", args=[project.slug, apple.pk]),
        {"name": "apple", "synonyms": "pippin; Cox", "definition": "Round."},
    )
    exported = client.get(reverse("export_definitions", args=[project.slug])).content
    assert b"pippin; Cox" in exported
    project.labels.update(synonyms="")
    upload = reverse("import_definitions", args=[project.slug])
    client.post(upload, {"file": ContentFile(exported, name="labels.csv")})
    apple.refresh_from_db()
    assert (apple.synonyms, apple.definition) == ("pippin; Cox", "Round.")
    client.post(upload, {"file": ContentFile(b"name,definition\napple,Red.\n", name="labels.csv")})
    apple.refresh_from_db()
    assert (apple.synonyms, apple.definition) == ("pippin; Cox", "Red.")


# For everyone


def test_the_page_weighs_less_than_150_kb(client, ann, project):
    weight = len(shown(client, ann, project).encode())
    for path in ("app.css", "connection.js", "outbox.js", "label-search.js", "keys.js", "icon.svg"):
        weight += (ROOT / "static/labelling" / path).stat().st_size
    assert weight < 150_000


def test_pages_are_compressed_for_browsers_that_ask_for_it(client, ann, project):
    client.force_login(ann)
    plain = client.get(reverse("review", args=[project.slug]))
    assert not plain.has_header("Content-Encoding")
    compressed = client.get(reverse("review", args=[project.slug]), headers={"Accept-Encoding": "gzip"})
    assert compressed["Content-Encoding"] == "gzip"
    assert len(compressed.content) < len(plain.content) / 2


def test_no_page_runs_what_stands_inside_it(client, ann, project):
    client.force_login(ann)
    for address in (reverse("review", args=[project.slug]), reverse("login"), "/admin/login/", "/health/"):
        policy = client.get(address)["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
    for template in (ROOT / "templates").rglob("*.html"):
        source = template.read_text(encoding="utf-8")
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]*\ssrc=)", source), template


def test_every_string_of_the_desk_is_translated():
    # Django has its own words for the admin pages.
    paths = [path for path in (ROOT / "templates").rglob("*.html") if "admin" not in path.parts]
    strings = {
        ast.literal_eval(string)
        for path in paths
        for string in re.findall(rf"(?:gettext|\b_)\({STRING}", templatize(path.read_text(encoding="utf-8")))
    }
    strings |= {
        node.args[0].value
        for room in ("labelling", "classifiers")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in SAYING
        and isinstance(node.args[0], ast.Constant)
    }
    strings |= {str(text) for choices in CHOICES for text in choices.labels}
    assert len(strings) > 1500
    with translation.override("de"):
        same = {string for string in strings if translation.gettext(string) == string}
    alike = {
        "Labels",
        "Name",
        "Text",
        "Admin",
        "Label",
        "Code",
        "Definition",
        "Prompt",
        "System",
        "Webhook",
        "Webhooks",
    }
    assert same <= alike | {*Project.Limit.labels, *Project.Level.labels}


def test_the_page_speaks_german_to_those_who_want_it(client, ann, project):
    client.post("/language/", {"language": "de", "next": "/"})
    text = shown(client, ann, project)
    assert '<html lang="de">' in text
    assert "Keines davon" in text
    assert "None of these" not in text
    client.post(reverse("logout"))
    assert "Anmelden" in client.get(reverse("login")).content.decode()


def test_every_page_answers_in_german(client, ann, project):
    names = ["project", "documents", "judge", "ledger", "labels", "create_label", "drafts", "upload", "members"]
    names += ["project_settings", "predict", "review", "bulk", "disagreements", "people"]
    pages = [reverse(name, args=[project.slug]) for name in names]
    pages += [reverse(name, args=[project.slug, project.labels.first().pk]) for name in ("label", "versions")]
    pages += [reverse("document", args=[project.slug, project.documents.first().pk]), reverse("project_list")]
    client.force_login(ann)
    client.post("/language/", {"language": "de", "next": "/"})
    for page in pages:
        response = client.get(page)
        assert response.status_code == 200, page
        assert '<html lang="de">' in response.content.decode(), page
    forecast = {"calls": 2, "model": "stub-1", "cost": None, "counted": 1}
    for state in Round.State:
        project.rounds.update(state=state, step=Round.Step.FIT, done=1, total=2, forecast=forecast)
        overview, detail = reverse("project", args=[project.slug]), reverse("round", args=[project.slug, 1])
        assert "Runde 1" in client.get(overview).content.decode()
        assert "2 Fragen an <strong>stub-1</strong>" in client.get(detail).content.decode()
    assert client.get("/p/none/").status_code == 404
    assert "Diese Seite gibt es nicht" in client.get("/p/none/").content.decode()


def test_texts_of_other_directions_are_set_in_theirs():
    label = Label(name="بطاقة", definition="بطاقة")
    shown = Found([FoundLabel(label, above=("بطاقة",))])
    html = render_to_string("labelling/_label_results.html", {"found": shown, "project": Project(slug="x")})
    assert html.count('dir="auto"') == 3
