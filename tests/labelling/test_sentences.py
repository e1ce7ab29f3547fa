"""Sentences of the worker: stored as what they are made of, read in the reader's language."""

from __future__ import annotations

import pickle

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import translation

from classifiers.messages_api import JudgeError, JudgeUnavailable
from classifiers.sentences import Reason
from classifiers.stopping import stop_reason
from labelling.jobs.lease import JobFailed
from labelling.models import Round
from labelling.models.sentences import Sentence, said_by
from labelling.services import Refused, ledger
from tests.factories import account, fruit_project, run_round

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

# One that the catalogue of German has.
KNOWN = "At most %(n)s documents at once: choose fewer."


@pytest.mark.parametrize(
    ("template", "values", "said"),
    [
        ("Nothing.", None, "Nothing."),
        ("%(n)s of %(m)s, 100 %%", {"n": 3, "m": "many"}, "3 of many, 100 %"),
        ("%(n)s and %(gone)s", {"n": 3}, "3 and %(gone)s"),
        ("%(n)999999999s %d %s {n}", {"n": 3}, "%(n)999999999s %d %s {n}"),
        ("%(n)s", {"n": "%(m)s", "m": 1}, "%(m)s"),
    ],
)
def test_places_are_filled_and_nothing_else_is_done(template, values, said):
    sentence = Sentence(template, values)
    assert sentence == said
    assert pickle.loads(pickle.dumps(sentence)) == said


def test_it_is_put_into_the_language_of_whoever_reads_it():
    sentence = Sentence(KNOWN) % {"n": 3}
    assert sentence == "At most 3 documents at once: choose fewer."
    with translation.override("de"):
        assert Sentence(sentence.template, sentence.values) == translation.gettext(KNOWN) % {"n": 3} != sentence
        assert Sentence("%(share)s", {"share": 0.5}) == "0,5"


def test_it_is_stored_as_what_it_is_made_of_and_comes_back_so(client):
    ann = account("ann")
    project = fruit_project(manager=ann, retrain_after=0)
    round_ = run_round(project)
    round_.stop_reason = Sentence(KNOWN) % {"n": 3}
    round_.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT stop_reason FROM labelling_round WHERE id = %s", [round_.pk])
        assert cursor.fetchone()[0].startswith('{"sentence":')
    for language in ("de", "en"):
        with translation.override(language):
            found = Round.objects.get(pk=round_.pk)
            assert found.stop_reason == translation.gettext(KNOWN) % {"n": 3}
        # What is saved by somebody who reads German is no German.
        found.save()
    assert Round.objects.get(pk=round_.pk).stop_reason == "At most 3 documents at once: choose fewer."
    client.force_login(ann)
    page = client.get(reverse("round", args=[project.slug, 1]), headers={"Accept-Language": "de"}).content.decode()
    with translation.override("de"):
        assert translation.gettext(KNOWN) % {"n": 3} in page


@pytest.mark.parametrize(
    "text", ["", "As others wrote it.", '{"sentence":', '{"sentence": 1}', '{"sentence": [], "values": 3}']
)
def test_what_others_wrote_stays_as_it_is(text):
    project = fruit_project(manager=account("ann"))
    round_ = Round.objects.create(project=project, number=1, error=text, state="failed")
    assert Round.objects.get(pk=round_.pk).error == text
    assert Round.objects.filter(error=text).exists()


def test_errors_and_reasons_carry_their_sentence():
    told = Sentence("%(n)s", {"n": 3})
    assert said_by(JobFailed(told)) is told
    assert said_by(Refused("as it is")) == "as it is"
    assert said_by(ValueError()) == ""
    reason = stop_reason([1000, 600, 300, 298, 295, 291], [0, 20, 40, 60, 80, 100])
    assert reason
    assert Sentence(reason.template, reason.values) == reason
    assert Sentence(ledger.AT_ROUND_CAP, {"cap": "1", "spent": "0.9", "next": "0.2"}).startswith(
        "The round's cap of $1 is"
    )


def test_a_sentence_within_a_sentence_is_read_in_the_readers_language():
    project = fruit_project(manager=account("ann"))
    inner = Sentence(KNOWN) % {"n": 3}
    round_ = Round.objects.create(
        project=project, number=1, state="failed", error=Sentence("%(why)s!") % {"why": inner}
    )
    with translation.override("de"):
        assert Round.objects.get(pk=round_.pk).error == translation.gettext(KNOWN) % {"n": 3} + "!"
    assert Round.objects.get(pk=round_.pk).error == f"{inner}!"


def test_what_a_judge_says_of_itself_is_a_sentence_too():
    said = said_by(JudgeUnavailable(Reason("The judge knows no model '%(model)s': 100 %%", model="%(x)s")))
    assert isinstance(said, Sentence)
    assert (said, said.template) == (
        "The judge knows no model '%(x)s': 100 %",
        "The judge knows no model '%(model)s': 100 %%",
    )
    assert said_by(JudgeError(Reason("100 % of nothing"))) == "100 % of nothing"
