"""Verdicts that saw an older definition: counted, asked again on request, and out of the beliefs once replaced."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from labelling import jobs
from labelling.fake_messages_api import answer
from labelling.fake_messages_api.answers import mark_of
from labelling.jobs.rounds.judging import asked
from labelling.models import Prediction, Project, Query, Round, Verdict
from labelling.services import Refused, definitions, labels, review, rounds
from labelling.services.evidence import Evidence
from tests.factories import account, fresh, fruit_project, import_doubtful, run_round
from tests.labelling.conftest import serving

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


@pytest.fixture
def manager():
    return account("manager", is_staff=True)


def saying(said: str):
    def respond(request):
        return answer(said, text=mark_of(request.body["messages"][0]["content"]))

    return respond


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    """A judge that has called every label valid that it was asked about."""
    settings = {"judge": "anthropic", "confirm_spending": False, "auto_accept": False}
    manager = account("manager", is_staff=True)
    project = fruit_project(manager=manager, batch_size=22, retrain_after=5, **settings)
    import_doubtful(project)
    with pytest.MonkeyPatch.context() as patch, serving(patch, laying_out) as api:
        api.respond = saying("valid")
        run_round(project)
    assert Verdict.objects.count() == 12
    return project


@pytest.fixture
def project(laid_out, api) -> Project:
    api.respond = saying("valid")
    return fresh(laid_out)


def redefine(project: Project, name: str = "") -> None:
    for label in project.labels.filter(name=name) if name else project.labels.all():
        labels.define(label, f"A new definition of {label.name}.", None)


def ask_again(project: Project, label=None) -> Round:
    """Start the round, look at its forecast, and let it spend."""
    round_ = definitions.ask_again(project, None, label)
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert round_.state == "waiting", "the forecast comes first, whatever the project's settings"
    rounds.agree(round_)
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    return round_


def test_a_changed_definition_makes_its_verdicts_stale(project):
    assert definitions.stale_counts(project) == {}
    label = project.labels.get(pk=Verdict.objects.first().query.label_id)
    redefine(project, label.name)
    assert definitions.stale_counts(project) == {label: Verdict.objects.filter(query__label=label).count()}


def test_what_has_its_label_or_waits_as_a_blind_audit_is_not_stale(project, manager):
    redefine(project)
    assert definitions.stale(project).count() == 12
    query = Verdict.objects.first().query
    review.relabel(query.document, manager, query.label)
    assert definitions.stale(project).count() == 11
    Query.objects.filter(pk=definitions.stale(project)[0].query_id).update(reason="audit")
    assert definitions.stale(project).count() == 10


def test_verdicts_of_the_offline_judge_are_never_stale(project):
    redefine(project)
    Verdict.objects.update(judge="neighbours")
    assert definitions.stale(project).count() == 0


def test_stale_questions_are_asked_again_with_the_definition_as_it_is(project, api):
    redefine(project)
    before_that = set(Verdict.objects.values_list("query__document", "query__label"))
    before = len(api.requests)
    round_ = ask_again(project)
    assert round_.state == "done"
    assert set(asked(round_).values_list("document", "label")) == before_that
    assert set(asked(round_).values_list("reason", flat=True)) == {"redefined"}
    assert len(api.requests) == before + 12
    assert all("A new definition of" in request.body["system"][0]["text"] for request in api.requests[before:])
    assert definitions.stale(project).count() == 0
    assert Verdict.objects.count() == 24, "the old verdicts stay as evidence"
    assert set(Verdict.objects.filter(query__round=round_).values_list("definition_version", flat=True)) == {1}


def test_one_labels_verdicts_are_asked_again_alone(project):
    redefine(project)
    label, n = next(iter(definitions.stale_counts(project).items()))
    round_ = ask_again(project, label)
    assert set(asked(round_).values_list("label", flat=True)) == {label.pk}
    assert definitions.stale(project).count() == 12 - n


def test_the_new_verdict_counts_in_the_old_ones_place(project, api):
    """Whatever was said before: the belief is the same as if only the new verdict had been given."""
    redefine(project)
    api.respond = saying("unsure")
    round_ = ask_again(project)
    after = dict(Prediction.objects.values_list("document", "posterior"))
    # Believed anew from all that is there, as the next round does.
    predicted = run_next(project)
    for query in asked(round_):
        assert after[query.document_id] == pytest.approx(predicted[query.document_id], abs=1e-3)


def run_next(project: Project) -> dict[int, float]:
    Project.objects.filter(pk=project.pk).update(batch_size=1, strategy="random", judge="neighbours")
    project.refresh_from_db()
    run_round(project)
    new = asked(project.rounds.first())
    rows = Prediction.objects.exclude(document__in=new.values("document")).values_list("document", "posterior")
    return dict(rows) | dict(new.values_list("document", "posterior"))


def test_until_the_new_one_is_there_the_old_one_counts(project):
    believed = dict(Prediction.objects.values_list("document", "posterior_label"))
    redefine(project)
    assert dict(Prediction.objects.values_list("document", "posterior_label")) == believed


def test_a_refusal_under_the_new_definition_overrules_an_old_yes(project, api):
    query = Verdict.objects.order_by("pk").first().query
    sure = Prediction.objects.get(document=query.document_id)
    assert sure.posterior_label_id == query.label_id
    redefine(project)
    api.respond = saying("invalid")
    ask_again(project)
    doubted = Prediction.objects.get(document=query.document_id)
    assert doubted.beliefs[query.label_id] < query.posterior < sure.beliefs[query.label_id]


def test_a_choice_is_asked_again_as_a_choice(project, api):
    redefine(project)
    Project.objects.filter(pk=project.pk).update(question="choose")
    project.refresh_from_db()
    api.respond = None
    round_ = ask_again(project)
    queries = list(asked(round_))
    assert len(queries) == len({query.document_id for query in queries})
    assert all(query.label_id in query.offered and len(query.offered) >= 2 for query in queries)
    assert definitions.stale(project).count() == 0


def test_the_offline_judge_is_not_asked_again(project):
    redefine(project)
    project.judge = "neighbours"
    with pytest.raises(Refused, match="reads no definitions"):
        definitions.ask_again(project, None)


def test_nothing_stale_is_nothing_to_ask(project):
    with pytest.raises(Refused, match="No verdict"):
        definitions.ask_again(project, None)


def test_a_label_that_is_no_candidate_any_more_is_asked_about_nevertheless(project):
    redefine(project)
    document = Verdict.objects.first().query.document
    Query.objects.filter(document=document).update(label=project.labels.exclude(name__in=document.text.split()).first())
    round_ = ask_again(project)
    assert round_.queries.filter(document=document).exists()
    assert definitions.stale(project).count() == 0


def test_the_pages_count_and_ask(client, project, manager):
    client.force_login(manager)
    label = project.labels.get(pk=Verdict.objects.first().query.label_id)
    redefine(project, label.name)
    n = definitions.stale(project).count()
    for name, args in (("project", [project.slug]), ("label", [project.slug, label.pk])):
        text = client.get(reverse(name, args=args)).content.decode()
        assert f"{n} verdict" in text
        assert "Ask again" in text
    client.post(reverse("ask_again", args=[project.slug]), {"label": label.pk})
    assert project.rounds.first().settings["ask_again"] == [label.pk]
    refused = client.post(reverse("ask_again", args=[project.slug]))
    assert [str(one) for one in get_messages(refused.wsgi_request)] == ["A round is running already."]


def test_the_review_page_says_why_it_is_asked_again(project):
    redefine(project)
    query = asked(ask_again(project)).first()
    assert Evidence.of(query).reason == "The definition has changed since the judge answered."
