"""Labels for new texts: the same as the project's own, over a socket, by the newest model."""

from __future__ import annotations

import json
import threading
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

import pytest
from django.core.management import CommandError, call_command

from labelling.jobs.serving import AlreadyServed, ModelServer
from labelling.jobs.suggesting import Models
from labelling.models import Certificate, CohortMember, Label, Prediction
from labelling.services import Refused
from labelling.services.suggesting import NotServed, Standing, interpret, socket_key, suggest
from tests.factories import fruit_project, import_rows, run_round

# Threads of the server see what is committed alone.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_database]


@pytest.fixture
def project():
    project = fruit_project(retrain_after=0)
    run_round(project)
    return project


@pytest.fixture
def server(settings):
    server = ModelServer(settings.MODEL_SOCKET)
    server.start()
    yield server
    server.close()


def test_a_text_of_the_project_gets_the_label_that_the_project_predicts(project, server):
    predictions = list(Prediction.objects.filter(document__project=project).select_related("document"))
    answer = suggest(project, [f" {prediction.document.text}\n" for prediction in predictions])
    assert answer.round_number == 1
    for suggestion, prediction in zip(answer.suggestions, predictions, strict=True):
        assert suggestion.label == prediction.posterior_label
        assert suggestion.probability == pytest.approx(prediction.posterior, abs=1e-5)
        assert suggestion.second_probability <= suggestion.probability
        assert not suggestion.certified


def test_new_texts_are_answered_in_their_order(project, server, encoder):
    n = encoder.n_encoded
    texts = ["a mango, new", "an apple, new", "a mango, new", "cherry cherry pie"]
    found = [suggestion.label.name for suggestion in suggest(project, texts).suggestions]
    assert found == ["mango", "apple", "mango", "cherry"]
    assert encoder.n_encoded == n + 3
    assert suggest(project, []).suggestions == []


def test_without_the_process_it_is_said_what_to_start(project):
    with pytest.raises(NotServed, match="Start it"):
        suggest(project, ["apple"])


def test_without_a_model_it_is_said_what_is_missing(served):
    with pytest.raises(Refused, match="no model yet"):
        suggest(fruit_project(), ["apple"])


def test_who_does_not_know_the_key_gets_no_answer_and_harms_nobody(project, server, settings):
    with pytest.raises((AuthenticationError, ConnectionError)):
        Client(str(settings.MODEL_SOCKET), authkey=b"guessed")
    with Client(str(settings.MODEL_SOCKET), authkey=socket_key()):
        pass  # leaves without a question
    assert suggest(project, ["apple apple"]).suggestions[0].label.name == "apple"


def test_a_request_that_fails_is_answered_with_the_reason(project, server, settings):
    with Client(str(settings.MODEL_SOCKET), authkey=socket_key()) as connection:
        connection.send_bytes(b"{}")
        assert "KeyError" in json.loads(connection.recv_bytes())["error"]
    assert suggest(project, ["apple apple"]).suggestions


def test_a_newer_model_takes_over_while_requests_are_under_way(project, server):
    failed: list[Exception] = []
    rounds_seen = set()
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            try:
                rounds_seen.add(suggest(project, ["apple apple", "mango"]).round_number)
            except (NotServed, Refused) as error:
                failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    suggest(project, ["warm"])
    for thread in threads:
        thread.start()
    import_rows(project, [(f"mango mango seed, more {n}", "mango") for n in range(3)])
    run_round(project)
    server.models.refresh()
    assert suggest(project, ["mango"]).round_number == 2
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert {1, 2} >= rounds_seen


def test_models_that_are_gone_are_forgotten(project):
    models = Models()
    assert models.of(project.pk)
    project.model_file.unlink()
    assert models.of(project.pk)
    models.refresh()
    assert models.of(project.pk) is None


def test_no_more_models_are_kept_than_there_is_room_for(project, monkeypatch):
    monkeypatch.setattr("labelling.jobs.suggesting.MAX_MODELS", 1)
    other = fruit_project(retrain_after=0)
    run_round(other)
    models = Models()
    kept = models.of(project.pk)
    assert models.of(project.pk) is kept
    assert models.of(other.pk)
    assert models.of(project.pk) is not kept


def test_a_model_of_another_encoder_is_none(project, encoder):
    encoder.name = "another"
    assert Models().of(project.pk) is None


def test_a_second_process_at_the_same_socket_is_refused_and_a_dead_ones_place_is_taken(server, settings):
    with pytest.raises(AlreadyServed):
        ModelServer(settings.MODEL_SOCKET)
    with pytest.raises(CommandError, match="Another process answers"):
        call_command("serve_model")
    server.close()
    settings.MODEL_SOCKET.touch()
    ModelServer(settings.MODEL_SOCKET).close()


def test_a_path_that_is_too_long_for_a_socket_is_told(settings, tmp_path):
    settings.MODEL_SOCKET = tmp_path / ("x" * 120)
    with pytest.raises(CommandError, match="too long"):
        call_command("serve_model")


def certify(project, posterior: float) -> None:
    """Let a certificate cover the project's first settled label, which had this posterior."""
    round_ = project.rounds.first()
    member = CohortMember.objects.filter(cohort__project=project).first()
    numbers = {"n": 80, "k": 0, "ever": 20, "now": 20, "depth": 1.0, "bound": 0.04, "still_needed": 0, "n_open": 0}
    member.certificate = Certificate.objects.create(
        project=project, round=round_, ledger=0, limit=0.05, level=0.95, holds=True, finite=False, n_catching_up=0,
        **numbers,
    )  # fmt: skip
    member.save()
    member.settled.posterior = posterior
    member.settled.save()


def test_a_suggestion_is_certified_from_the_lowest_probability_that_is(project):
    assert Standing.of(project).threshold is None
    certify(project, 0.9)
    standing = Standing.of(project)
    assert standing.threshold == 0.9
    label, other = project.labels.all()[:2]
    proposals = [
        [(label.pk, 0.9), (None, 0.1)],
        [(label.pk, 0.89), (other.pk, 0.11)],
        [(None, 0.95), (other.pk, 0.05)],
        [(0, 0.95), (label.pk, 0.05)],
    ]
    found = interpret(project, standing, proposals)
    assert [one.certified for one in found] == [True, False, False, False]
    assert [one.label for one in found] == [label, label, None, None]
    assert [one.second for one in found] == [None, other, other, label]


def test_what_proposals_mean_is_read_of_the_labels_that_they_name_alone(project, django_assert_num_queries):
    label, other, third = project.labels.all()[:3]
    standing = Standing.of(project)
    Label.objects.filter(pk=other.pk).update(merged_into=third)
    with django_assert_num_queries(2) as asked:
        found = interpret(project, standing, 40 * [[(label.pk, 0.9), (other.pk, 0.1)]])
    assert {(one.label, one.second) for one in found} == {(label, third)}
    assert " IN (" in asked[0]["sql"]


def test_nothing_is_certified_once_settling_has_stopped(project):
    certify(project, 0.9)
    project.rounds.update(settling_stopped=True)
    assert Standing.of(project).threshold is None
