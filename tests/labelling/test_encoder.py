"""A project gets another encoder: tried, agreed to, read beside the rounds, and used from the next round on."""

from __future__ import annotations

import numpy as np
import pytest
from django.urls import reverse

from classifiers.encoders import ENTRIES, Entry
from labelling import jobs
from labelling.jobs import vectors
from labelling.jobs.rounds.memory import recall
from labelling.jobs.suggesting import Model
from labelling.jobs.vectors import Space
from labelling.models import Centre, Decision, DiaryEntry, Embedding, Encoding, Project, TrainingExample, Verdict
from labelling.services import Refused, encoding, queueing, review
from labelling.services.claims import claim_next
from tests.factories import fresh, fruit_project, import_rows, make_project, make_user, run_round
from tests.fakes import HashingEncoder

pytestmark = pytest.mark.django_db

N_TEXTS = 36
State = Encoding.State


class Named(HashingEncoder):
    """One of several; its texts all lie near one direction where that is asked for."""

    def __init__(self, name: str, n_dims: int, shift: float = 0.0):
        super().__init__(n_dims)
        self.name = name
        self.shift = shift

    def encode(self, texts):
        found = super().encode(texts)
        found[:, 0] += self.shift
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture
def encoders(settings, monkeypatch) -> dict[str, Named]:
    """What an administrator has listed, by name."""
    found = {"hashing": Named("hashing", 256), "wide": Named("wide", 512), "crowded": Named("crowded", 128, shift=3)}
    settings.ENCODERS = ["wide", "crowded", "hashing+wide"]
    monkeypatch.setitem(ENTRIES, "crowded", Entry(is_centred=True, learnt="de en"))
    monkeypatch.setattr("labelling.jobs.vectors.load_encoder", lambda name: found[name])
    return found


@pytest.fixture
def manager():
    return make_user("mia", is_staff=True)


@pytest.fixture
def project(encoders, manager) -> Project:
    """One round was run, and a reviewer has decided on what it laid out."""
    project = fruit_project(manager=manager, retrain_after=0)
    run_round(project)
    for _ in range(3):
        entry = claim_next(project, manager)
        review.decide(project, entry.pk, manager, Decision.Action.ACCEPT, entry.query.label)
    return project


def run(job: Encoding) -> Encoding:
    jobs.run_encoding(job.pk)
    job.refresh_from_db()
    return job


def change(project: Project, encoder: str) -> Encoding:
    """All the way, as a manager who agrees."""
    job = run(encoding.start(project, None, encoder))
    if job.state == State.WAITING:
        encoding.go_on(job)
        run(job)
    return job


def test_it_is_tried_first_and_tells_what_it_takes(project, encoders):
    job = run(encoding.start(project, None, "wide"))
    assert job.state == State.WAITING
    assert (job.forecast["texts"], job.forecast["bytes"]) == (N_TEXTS, N_TEXTS * 512 * 4)
    assert job.forecast["seconds"] >= 0
    assert job.minutes == 1
    assert not Embedding.objects.filter(encoder="wide").exists()


def test_rounds_and_suggestions_use_the_old_vectors_until_the_next_round_begins(project, encoders):
    before = recall(project)
    said = Model.of(project).propose(["apple apple pie"])
    evidence = [set(model.objects.values_list("pk", flat=True)) for model in (Decision, TrainingExample, Verdict)]
    job = run(encoding.start(project, None, "wide"))
    encoding.go_on(job)
    assert Model.of(project).propose(["apple apple pie"]) == said
    run(job)
    assert job.state == State.DONE
    assert Embedding.objects.filter(encoder="wide").count() == N_TEXTS
    # The round has begun, and has its encoder; what it will learn is not there yet.
    project = fresh(project)
    assert (project.encoder_in_use, project.active_round.number) == ("wide", 2)
    assert Model.of(project).propose(["apple apple pie"]) == said
    jobs.run_round(project.active_round.pk)
    memory = recall(project)
    assert (before.encoder, memory.encoder, memory.encoder_model) == ("hashing", "wide", "wide")
    assert Model.of(project).space.load(list(project.documents.values_list("text_hash", flat=True))).shape[1] == 512
    after = [set(model.objects.values_list("pk", flat=True)) for model in (Decision, TrainingExample, Verdict)]
    assert all(old <= new for old, new in zip(evidence, after, strict=True))
    assert project.documents.pool().exclude(prediction__round__number=2).count() == 0


def test_while_a_round_waits_for_people_or_runs_the_next_one_takes_over(project, encoders):
    round_ = project.rounds.first()
    project.rounds.filter(pk=round_.pk).update(state="waiting")
    assert change(project, "wide").state == State.DONE
    assert fresh(project).encoder == ""
    assert encoding.coming(project) == "wide"
    project.rounds.filter(pk=round_.pk).update(state="done")
    run_round(fresh(project))
    assert fresh(project).encoder == "wide"


def test_before_the_first_round_it_is_there_at_once(encoders, manager):
    project = make_project(manager)
    job = run(encoding.start(project, manager, "wide"))
    assert (job.state, fresh(project).encoder, job.forecast) == (State.DONE, "wide", {})
    import_rows(project, [(f"apple {n}", "apple") for n in range(3)] + [(f"fig {n}", "fig") for n in range(3)])
    import_rows(project, [("an apple", "")])
    run_round(fresh(project))
    assert set(Embedding.objects.values_list("encoder", flat=True)) == {"wide"}


def test_and_back_without_reading_anything_again(project, encoders):
    change(project, "wide")
    jobs.run_round(fresh(project).active_round.pk)
    n = {name: encoder.n_encoded for name, encoder in encoders.items()}
    change(fresh(project), "hashing")
    assert fresh(project).encoder == ""
    jobs.run_round(fresh(project).active_round.pk)
    assert recall(project).encoder == "hashing"
    # Some are tried.
    assert encoders["hashing"].n_encoded <= n["hashing"] + N_TEXTS + 1


def test_what_is_imported_meanwhile_is_read_too(project, encoders, monkeypatch):
    job = run(encoding.start(project, None, "wide"))
    encoding.go_on(job)
    embed_missing, late = Space.embed_missing, ["a late apple", "a later mango"]

    def importing(self, documents):
        yield from embed_missing(self, documents)
        if late:
            import_rows(project, [(late.pop(), "")])

    monkeypatch.setattr(Space, "embed_missing", importing)
    run(job)
    assert Embedding.objects.filter(encoder="wide").count() == project.documents.count() == N_TEXTS + 2


def test_one_that_stops_goes_on_where_it_was(project, encoders, monkeypatch):
    monkeypatch.setattr(vectors, "CHUNK_TEXTS", 10)
    job = run(encoding.start(project, None, "wide"))
    encoding.go_on(job)
    embed_missing = Space.embed_missing

    def breaking(self, documents):
        for done, total in embed_missing(self, documents):
            yield done, total
            if done:
                raise MemoryError("too little of it")

    with monkeypatch.context() as patch:
        patch.setattr(Space, "embed_missing", breaking)
        with pytest.raises(MemoryError):
            jobs.run_encoding(job.pk)
    job.refresh_from_db()
    assert (job.state, Embedding.objects.filter(encoder="wide").count()) == (State.FAILED, 10)
    n = encoders["wide"].n_encoded
    encoding.go_on(job)
    run(job)
    assert (job.state, encoders["wide"].n_encoded - n) == (State.DONE, N_TEXTS - 10)


def test_two_side_by_side_read_only_what_is_missing(project, encoders):
    n = encoders["hashing"].n_encoded
    job = run(encoding.start(project, None, "hashing+wide"))
    assert job.forecast["texts"] == N_TEXTS
    encoding.go_on(job)
    run(job)
    tried = 1 + N_TEXTS
    assert encoders["hashing"].n_encoded == n + tried
    jobs.run_round(fresh(project).active_round.pk)
    space = Space.of(fresh(project))
    hashes = list(project.documents.values_list("text_hash", flat=True))
    assert space.load(hashes).shape == (N_TEXTS, 256 + 512)
    assert np.linalg.norm(space.load(hashes), axis=1) == pytest.approx(np.ones(N_TEXTS), abs=1e-5)
    assert recall(project).encoder == space.name == "hashing + wide"
    assert Model.of(fresh(project)).propose(["apple apple"])[0]


def test_a_mean_is_the_projects_and_goes_with_its_model(project, encoders, tmp_path):
    change(project, "crowded")
    project = fresh(project)
    jobs.run_round(project.active_round.pk)
    hashes = list(project.documents.values_list("text_hash", flat=True))
    raw, space = vectors.load(hashes, encoders["crowded"]), Space.of(project)
    assert space.centres[0] == pytest.approx(raw.mean(axis=0), abs=1e-6)
    assert np.linalg.norm(space.load(hashes).mean(axis=0)) < 0.2 < np.linalg.norm(raw.mean(axis=0))
    model = Model.of(project)
    assert np.array_equal(model.space.centres[0], space.centres[0])
    said = model.propose(["apple apple pie"])
    # A few more texts don't move it; twice as many do, and then all is learnt anew with the new one.
    import_rows(project, [(f"cherry banana, {n}", "") for n in range(10)])
    run_round(project)
    assert np.array_equal(Space.of(project).centres[0], space.centres[0])
    import_rows(project, [(f"mango mango, {n} times", "") for n in range(60)])
    Centre.objects.filter(project=project).update(n_texts=N_TEXTS)
    old = recall(project)
    run_round(project)
    assert not np.array_equal(Space.of(project).centres[0], space.centres[0])
    assert not old.has_learnt_in(Space.of(project))
    assert recall(project).has_learnt_in(Space.of(project))
    assert Model.of(project).propose(["apple apple pie"])[0][0] == pytest.approx(said[0][0], abs=0.3)


@pytest.mark.parametrize(
    ("encoder", "told"), [("elsewhere/evil", "list this encoder"), ("hashing", "already"), ("", "list this encoder")]
)
def test_it_is_refused_in_words(project, encoder, told):
    with pytest.raises(Refused, match=told):
        encoding.start(project, None, encoder)


def test_only_one_at_a_time_and_the_last_one_counts(project):
    job = encoding.start(project, None, "wide")
    with pytest.raises(Refused, match="on its way"):
        encoding.start(project, None, "crowded")
    with pytest.raises(Refused, match="running"):
        encoding.go_on(job)
    queueing.cancel(job)
    other = encoding.start(project, None, "crowded")
    job.refresh_from_db()
    with pytest.raises(Refused, match="newer one"):
        encoding.go_on(job)
    assert run(other).state == State.WAITING


def test_one_that_cannot_be_loaded_says_so_and_changes_nothing(project, encoders):
    del encoders["wide"]
    job = encoding.start(project, None, "wide")
    with pytest.raises(KeyError):
        jobs.run_encoding(job.pk)
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert "wide" in str(job.error)
    assert encoding.coming(project) == ""


def test_one_that_is_listed_no_more_is_not_taken_over(project, settings):
    project.rounds.update(state="waiting")
    change(project, "wide")
    settings.ENCODERS = []
    assert encoding.coming(project) == ""


def test_a_managers_way_through_the_page(client, project, manager):
    client.force_login(manager)
    address = reverse("encoder", args=[project.slug])
    assert address in client.get(reverse("project_settings", args=[project.slug])).content.decode()
    assert "Try it" in client.get(address).content.decode()
    assert "Choose one" in client.post(address, {"encoder": "elsewhere/evil"}, follow=True).content.decode()
    assert "Stop" in client.post(address, {"encoder": "wide"}, follow=True).content.decode()
    job = Encoding.objects.get()
    progress = reverse("encoding_progress", args=[project.slug])
    assert "Waiting" in client.get(progress).content.decode() or client.get(progress).status_code == 200
    run(job)
    page = client.get(address).content.decode()
    assert "36 texts are read" in page
    assert "about 1 minute" in page
    assert client.get(progress).headers["HX-Refresh"] == "true"
    client.post(reverse("go_on_encoding", args=[project.slug, job.pk]))
    client.post(reverse("cancel_encoding", args=[project.slug, job.pk]))
    assert "was stopped" in client.get(address).content.decode()
    client.post(reverse("go_on_encoding", args=[project.slug, job.pk]))
    run(job)
    assert "<code>wide</code>" in client.get(address).content.decode()
    entry = DiaryEntry.objects.filter(act="settings").get()
    assert (entry.user, entry.before, entry.after) == (manager, {"encoder": "hashing"}, {"encoder": "wide"})


def test_without_a_list_the_page_says_who_makes_one(client, manager, settings):
    settings.ENCODERS = []
    project = make_project(manager)
    client.force_login(manager)
    assert "an administrator lists those" in client.get(reverse("encoder", args=[project.slug])).content.decode()


GERMAN = ["Meine Karte wurde zweimal belastet.", "Wo finde ich die Rechnung für letzten Monat?", "Der Akku ist leer."]


def test_an_import_recommends_an_encoder_that_knows_the_language(encoders, settings, manager):
    settings.ENCODER_LANGUAGES = ["en"]
    project = make_project(manager)
    import_rows(project, [(text, "") for text in GERMAN])
    (told,) = project.imports.latest("pk").problems
    assert "Change to crowded" in told["reason"]
    change(project, "crowded")
    import_rows(fresh(project), [(f"{text} Danke für die Hilfe.", "") for text in GERMAN])
    assert project.imports.latest("pk").problems == []
