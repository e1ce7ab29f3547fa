"""The project page's one bar and one next action, what is promised, and the certificate's page."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.urls import reverse
from django.utils import timezone

from classifiers import certificate as statistics
from classifiers.ledger import State
from classifiers.loop.book import Book
from labelling.jobs.rounds.outlook import outlook as foretell
from labelling.models import (
    Certificate,
    Decision,
    Label,
    Measurement,
    Project,
    QueueEntry,
    Release,
    Round,
    SettledLabel,
    TrainingExample,
)
from labelling.services import Refused, audits, certificates, claims, domains, projects, releases, review, rounds
from labelling.services.certificates import Stage, begin_anew, promise
from labelling.services.measuring import is_no_better_than_chance
from labelling.services.next_action import Kind, NextAction, next_action
from labelling.services.outlook import SECONDS_ASSUMED, Ahead, minutes, outlook, seconds_a_decision
from labelling.services.progress import Counts, counts
from tests.factories import FRUIT, account, fresh, fruit_rows, import_rows, make_project, make_user, run_round

pytestmark = pytest.mark.django_db


@pytest.fixture
def mia():
    return account("mia", is_staff=True)


@pytest.fixture
def client(client, mia):
    client.force_login(mia)
    return client


def shown(client, name: str, project: Project, **query) -> str:
    response = client.get(reverse(name, args=[project.slug]), query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def sure_project(manager, n_pool: int = 60, **settings) -> Project:
    """The classifiers are sure of all that waits, so that audits begin with the first round."""
    project = make_project(manager, **settings)
    rows = [(f"{fruit} {fruit} seed number {n}", fruit) for fruit in FRUIT for n in range(6)]
    import_rows(
        project, rows + [(f"{fruit} {fruit} in the pool, item {n}", "") for fruit in FRUIT for n in range(n_pool)]
    )
    return project


def decide_all(project: Project, user, n_wrong: int = 0) -> int:
    """Say what each text's first word says, but another label of the first so many."""
    n = 0
    while entry := claims.claim_next(project, user):
        right = project.labels.get(name=entry.document.text.split()[0])
        other = project.labels.exclude(pk=right.pk).first()
        review.decide(project, entry.pk, user, "override", other if n < n_wrong else right)
        n += 1
    return n


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    """A project whose first certificate holds; further audits wait."""
    mia = account("mia", is_staff=True)
    project = sure_project(mia, n_pool=30, retrain_after=40)
    run_round(project)
    decide_all(project, mia)
    Round.objects.filter(state="queued").delete()
    run_round(project)
    return project


@pytest.fixture
def audited(laid_out) -> Project:
    return fresh(laid_out)


# The bar


@pytest.mark.parametrize(
    ("numbers", "parts"),
    [
        ((0, 0, 0, 0), [(0, 0), (0, 0), (0, 0), (0, 0)]),
        ((1, 2, 3, 4), [(0, 10), (10, 20), (30, 30), (60, 40)]),
        ((0, 5, 0, 0), [(0, 0), (0, 100), (100, 0), (100, 0)]),
    ],
)
def test_the_bars_parts_follow_each_other(numbers, parts):
    found = Counts(*numbers).parts
    assert [part.name for part in found] == ["certified", "settled", "decided", "open"]
    assert [(part.start, part.percent) for part in found] == parts


def test_the_bar_counts_every_document_of_the_project_once(client, audited):
    standing = counts(audited)
    assert standing.total == audited.documents.count() - 24
    assert standing.certified
    assert standing.settled
    text = shown(client, "project", audited)
    assert f"Of {standing.total} documents {standing.certified} are certified" in text
    for name, n in zip(
        ("Certified", "Settled, not yet certified", "Decided by people", "Open"), vars(standing).values(), strict=True
    ):
        assert f"{name} <strong>{n}</strong>" in text


def test_what_only_experts_read_stands_behind_a_fold(client, audited):
    for name, args in (("project", []), ("certificate", []), ("judge", []), ("round", [1]), ("review", [])):
        page = client.get(reverse(name, args=[audited.slug, *args])).content.decode()
        open_part = page.split("<details")[0] + "".join(
            part.split("</details>")[-1] for part in page.split("<details")[1:]
        )
        for word in ("nats", "prior", "posterior", "gain"):
            assert f" {word}" not in open_part.lower(), (name, word)


# The next action


def test_a_project_from_nothing_to_done(client, mia, settings):
    bob = make_user("bob")
    project = make_project(mia, [bob], retrain_after=80)

    def kinds():
        return next_action(project, mia).kind, next_action(project, bob).kind

    assert kinds() == (Kind.IMPORT_TEXTS, Kind.WAIT_FOR_MANAGER)
    import_rows(project, [("no label yet", "")])
    assert next_action(project, mia) == NextAction(Kind.IMPORT_EXAMPLES, 0)
    Label.objects.create(project=project, name="kiwi")
    rows = [(f"{fruit} {fruit} seed number {n}", fruit) for fruit in FRUIT for n in range(6)]
    import_rows(project, rows)
    assert next_action(project, mia) == NextAction(Kind.IMPORT_EXAMPLES, 1, may_start=True)
    assert "Bring in examples of 1 label" in shown(client, "project", project)
    project.labels.get(name="kiwi").delete()
    assert kinds() == (Kind.START_FIRST, Kind.WAIT_FOR_MANAGER)
    Project.objects.filter(pk=project.pk).update(judge="anthropic")
    project.refresh_from_db()
    assert next_action(project, mia) == NextAction(Kind.WRITE_DEFINITIONS, 4, may_start=True)
    assert "Bring in definitions for 4 labels" in shown(client, "project", project)
    Project.objects.filter(pk=project.pk).update(judge="none")
    project.refresh_from_db()

    import_rows(project, [(f"{fruit} {fruit} in the pool, item {n}", "") for fruit in FRUIT for n in range(30)])
    project.documents.get(text="no label yet").delete()
    round_ = rounds.start_round(project, mia)
    assert kinds() == (Kind.WAIT_FOR_ROUND, Kind.WAIT_FOR_ROUND)
    assert "Round 1 is running" in shown(client, "project", project)
    Round.objects.filter(pk=round_.pk).delete()
    for _ in range(9):
        last = run_round(project)
        if last.stop_reason:
            break
        action = next_action(project, bob)
        assert action.kind == Kind.AUDIT
        assert action.n == project.queue.filter(query__reason="audit").count()
        assert f"Audit {action.n} document" in shown(client, "project", project)
        decide_all(project, bob)
        Round.objects.filter(state="queued").delete()
    assert kinds() == (Kind.DELIVER, Kind.DELIVER)
    text = shown(client, "project", project)
    assert "Done: deliver" in text
    assert "120 labels are certified" in text

    releases.start(project, mia)
    Release.objects.update(state="done")
    assert kinds() == (Kind.DELIVERED, Kind.DELIVERED)
    assert "Done: release 1 is delivered" in shown(client, "project", project)
    review.relabel(project.documents.filter(prediction__isnull=False).first(), mia, project.labels.first())
    assert kinds() == (Kind.DELIVER, Kind.DELIVER), "what was put right comes with the next release"


def test_what_stops_a_round_comes_first_for_managers_and_never_for_reviewers(client, audited, mia):
    bob = make_user("bob")
    projects.set_member(audited, bob, "reviewer")
    last = audited.rounds.order_by("-number")[0]
    for state, kind in (
        ("waiting", Kind.AGREE),
        ("failed", Kind.GO_ON),
        ("paused", Kind.GO_ON),
        ("cancelled", Kind.GO_ON),
    ):
        Round.objects.filter(pk=last.pk).update(state=state, error="It broke.")
        assert next_action(audited, mia).kind == kind
        assert next_action(audited, bob).kind == Kind.AUDIT
    Round.objects.filter(pk=last.pk).update(state="failed", step="fit")
    text = shown(client, "project", audited)
    assert "It broke." in text
    assert f"Go on with round {last.number}" in text
    audited.queue.all().delete()
    assert next_action(audited, bob).kind == Kind.WAIT_FOR_MANAGER


def test_what_others_hold_is_waited_for_and_what_all_skipped_is_looked_at(audited, mia):
    bob = make_user("bob")
    projects.set_member(audited, bob, "reviewer")
    audited.queue.exclude(pk=audited.queue.first().pk).delete()
    entry = claims.claim_next(audited, bob)
    assert next_action(audited, mia) == NextAction(Kind.WAIT_FOR_COLLEAGUES, 1)
    review.decide(audited, entry.pk, bob, "skip")
    assert next_action(audited, bob) == NextAction(Kind.WAIT_FOR_COLLEAGUES, 1)
    review.decide(audited, claims.claim_next(audited, mia).pk, mia, "skip")
    assert next_action(audited, mia) == NextAction(Kind.LOOK_AT_SKIPPED, 1)


def test_a_disagreement_waits_for_the_third(audited, mia):
    people = [make_user(name) for name in ("ann", "bob")]
    for user in people:
        projects.set_member(audited, user, "reviewer")
    entry = audited.queue.first()
    audited.queue.exclude(pk=entry.pk).delete()
    settled = entry.query.label
    for user, label in zip(people, audited.labels.exclude(pk=settled.pk)[:2], strict=True):
        claims.claim_next(audited, user)
        review.decide(audited, entry.pk, user, "override", label)
    assert next_action(audited, mia).kind == Kind.SETTLE_DISAGREEMENTS
    assert next_action(audited, people[0]).kind == Kind.WAIT_FOR_COLLEAGUES


@pytest.mark.parametrize("with_round", [True, False])
def test_what_people_have_decided_alone_is_delivered(client, mia, with_round):
    project = make_project(mia, auto_accept=False, retrain_after=40)
    import_rows(project, fruit_rows(n_pool=2))
    if with_round:
        run_round(project)
        decide_all(project, mia)
    else:
        for document in project.documents.pool():
            review.relabel(document, mia, project.labels.get(name=document.text.split()[0]))
    assert not project.rounds.exclude(stop_reason="").exists()
    with pytest.raises(Refused, match="nothing to ask about"):
        rounds.start_round(project)
    assert next_action(project, mia) == NextAction(Kind.DELIVER)
    assert "8 documents were decided by people." in shown(client, "project", project)
    releases.start(project, mia)
    Release.objects.update(state="done")
    assert next_action(project, mia).kind == Kind.DELIVERED
    import_rows(project, [("mango mango, a later one", "")])
    assert next_action(project, mia).kind not in (Kind.DELIVER, Kind.DELIVERED)


def test_what_people_disagreed_on_elsewhere_is_decided_before_the_end(client, mia):
    project = make_project(mia, retrain_after=10)
    import_rows(project, fruit_rows(n_seeds=6, n_pool=2))
    for document in project.documents.pool():
        review.relabel(document, mia, project.labels.get(name=document.text.split()[0]))
    import_rows(project, [("apple banana, who knows", ""), ("apple cherry, who knows", "")])
    project.documents.pool().update(is_disputed=True)
    last = run_round(project)
    Round.objects.filter(pk=last.pk).update(learning_over="Enough.")
    assert (last.state, last.stop_reason) == ("done", "")
    assert next_action(project, mia) == NextAction(Kind.DECIDE, 2, 1)
    # Where the loop ended without them, as it could before, a round lays them out.
    project.queue.all().delete()
    Round.objects.update(stop_reason="Enough.")
    assert next_action(project, mia).kind == Kind.START_NEXT
    run_round(project)
    assert next_action(project, mia).kind == Kind.DECIDE
    review.decide(project, claims.claim_next(project, mia).pk, mia, "skip")
    decide_all(project, mia)
    Round.objects.filter(state="queued").delete()
    assert domains.undecided(project).count() == 0
    assert run_round(project).stop_reason
    assert next_action(project, mia).kind == Kind.DELIVER


def test_once_nothing_more_is_learnt_what_is_there_may_be_delivered_before_all_is_audited(client, audited, mia):
    bob = make_user("bob")
    projects.set_member(audited, bob, "reviewer")
    action = next_action(audited, mia)
    assert (action.kind, action.may_deliver) == (Kind.AUDIT, True)
    deliver = f'href="{reverse("deliver", args=[audited.slug])}"'
    assert deliver in shown(client, "project", audited)
    client.force_login(bob)
    text = shown(client, "project", audited)
    assert "audits alone add to what is certified" in text
    assert deliver not in text
    Round.objects.filter(project=audited).update(learning_over="")
    assert not next_action(audited, mia).may_deliver


# What lies ahead


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (Ahead(60, 90, 130, 15), "60 to 130 audits, 15 to 32 minutes"),
        (Ahead(60, 60, 60, 15), "60 audits, 15 minutes"),
        (Ahead(1, 1, 1, 15), "1 audit, 1 minute"),
        (Ahead(1, 1, 3, 15), "1 to 3 audits, 1 minute"),
        (Ahead(60, 300, None, 10), "60 audits or more, 10 minutes or more"),
        (Ahead(300, 501, 900, 15), "some 500 audits or more"),
        (Ahead(1000, None, None, 15), "some 1,000 audits or more"),
    ],
)
def test_what_lies_ahead_in_words(ahead, words):
    assert ahead.in_words == words


def finished(n_labels: int, mean_doubt: float, times_as_wrong: float, random_state: int):
    """Audit a project, 40 a round; return how many audits certified 90 %, and what each third look foretold."""
    rng = np.random.default_rng(random_state)
    doubt = np.minimum(rng.exponential(mean_doubt, n_labels), 0.1)
    is_wrong = rng.random(n_labels) < times_as_wrong * doubt
    book = Book()
    book.settle(np.arange(n_labels), np.zeros(n_labels), 1 - doubt, np.ones(n_labels, dtype=bool), 0.8, 0.2)
    look, foretold = book.look(0.05, 0.95), []
    while book.certified.mean() < 0.9:
        book.enter(0.05, look.holds, waits=False, random_state=[random_state])
        look = book.look(0.05, 0.95)
        if look.n % 120 == 0:
            foretold.append((look.n, foretell(book, look, 40)["nearly_all"]))
        drawn = book.draw(40)
        book.state[drawn] = np.where(is_wrong[book.document[drawn]], State.WRONG, State.RIGHT)
        look = book.look(0.05, 0.95)
    return look.n, foretold


@pytest.mark.parametrize(
    ("n_labels", "mean_doubt", "times_as_wrong", "missed"),
    # Before the first audit nobody can tell that twice as many labels are wrong as is believed.
    [(600, 0.02, 1, 0.2), (2500, 0.02, 1, 0.2), (600, 0.03, 2, 0.4)],
)
def test_what_is_foretold_comes_true_eight_times_in_ten(n_labels, mean_doubt, times_as_wrong, missed):
    misses = []
    for random_state in range(6):
        reached, foretold = finished(n_labels, mean_doubt, times_as_wrong, random_state)
        for n, ahead in foretold:
            # Audits come by the round: the certificate holds somewhere among the last forty.
            too_soon = ahead["high"] is not None and reached - 39 - n > ahead["high"]
            misses.append(too_soon or ahead["low"] is None or reached - n < ahead["low"])
    assert len(misses) > 10
    assert np.mean(misses) <= missed


@pytest.mark.parametrize(("n", "seconds", "expected"), [(0, 15, 1), (1, 15, 1), (24, 15, 6), (130, 12, 26)])
def test_minutes(n, seconds, expected):
    assert minutes(n, seconds) == expected


def test_a_decision_takes_what_the_last_ones_took_once_there_are_twenty(mia):
    project = make_project(mia)
    import_rows(project, [("a text", "")])
    document = project.documents.get()
    assert seconds_a_decision(project) == SECONDS_ASSUMED
    for n in range(19):
        Decision.objects.create(document=document, action="none", seconds=n)
    assert seconds_a_decision(project) == SECONDS_ASSUMED
    Decision.objects.create(document=document, action="none", seconds=1_000)
    assert seconds_a_decision(project) == 9.5


def test_audits_decided_since_the_last_look_are_no_longer_ahead(mia):
    project = sure_project(mia)
    run_round(project)
    Round.objects.update(outlook={"high": 130, "low": 60, "middle": 90})
    assert outlook(project).first is None
    found = {"high": 130, "low": 60, "middle": 90}
    Round.objects.update(outlook={"first": found, "nearly_all": found | {"high": None, "low": 10}})
    before = outlook(project)
    assert (before.first.low, before.first.middle, before.first.high) == (60, 90, 130)
    assert (before.nearly_all.low, before.nearly_all.high) == (10, None)
    audits_waiting = project.queue.filter(query__reason="audit").count()
    assert audits_waiting > 10
    for entry in project.queue.filter(query__reason="audit")[:12]:
        review.decide(project, entry.pk, mia, "accept")
    after = outlook(project)
    assert (after.first.low, after.first.middle, after.first.high) == (48, 78, 118)
    assert after.nearly_all.low == 0


# What is promised


def look_of(project: Project, **fields) -> Certificate:
    told = {
        "round": project.rounds.latest("pk"),
        "ledger": project.restarts,
        "limit": 0.05,
        "level": 0.95,
        "n": 80,
        "k": 1,
        "ever": 5906,
        "now": 5906,
        "depth": 0.1,
        "bound": 0.07557,
        "holds": False,
        "still_needed": 43,
        "n_open": 0,
        "n_catching_up": 0,
        "finite": False,
    }
    return Certificate.objects.create(project=project, **told | fields)


def test_the_sentences_of_the_certificate(client, audited):
    audited.certificates.all().delete()
    look_of(audited)
    assert promise(audited).stage == Stage.NOT_YET
    assert (
        "<strong>Not certified yet:</strong> 80 random audits found 1 error: at most 7.6 % are wrong (95 % sure). "
        "43 more without an error would certify 5 %." in shown(client, "project", audited)
    )
    Round.objects.filter(pk=audited.rounds.latest("pk").pk).update(
        outlook={"settled": 7383, "entered": 5906 + 738, "certified": 5906}
    )
    held = look_of(audited, n=166, k=2, bound=0.0482, holds=True, still_needed=0)
    certified = (
        "<strong>Certified:</strong> of the 5,906 surest of 7,383 labels that the machine settled, at most 4.8 % are "
        "wrong (95 % sure, whenever you look): 166 random audits, 2 errors, both corrected. 738 more are being audited."
    )
    assert certified in shown(client, "project", audited)
    look_of(audited, n=170, k=2, n_catching_up=12, bound=0.9)
    text = shown(client, "project", audited)
    assert certified in text, "while audits catch up the last one that held stands"
    assert "It stands while 12 labels that came later are audited." in text
    look_of(audited, n=190, k=6, bound=0.0712, still_needed=55)
    text = shown(client, "project", audited)
    assert certified in text
    assert "It stands for the labels that it covered then." in text
    assert "55 more without an error would certify 5 %." in text
    assert promise(audited).held == held


def test_an_error_that_somebody_skipped_is_not_called_corrected(client, audited, mia):
    held = audited.certificates.filter(holds=True).first()
    Certificate.objects.filter(pk=held.pk).update(k=2)
    assert "2 errors, both corrected" in shown(client, "project", audited)
    entry = audited.queue.filter(query__reason="audit").first()
    review.decide(audited, entry.pk, mia, "skip")
    text = shown(client, "project", audited)
    assert "2 errors." in text
    assert "1 audit was skipped: it counts as an error until somebody decides." in text


def test_what_keeps_a_certificate_from_beginning_is_said(client, mia):
    project = sure_project(mia, auto_accept=False)
    text = shown(client, "project", project)
    assert promise(project).stage == Stage.OFF
    assert "the machine settles nothing in this project" in text
    Project.objects.update(auto_accept=True)
    project.refresh_from_db()
    assert "no round has settled labels yet" in shown(client, "project", project)
    run_round(project)
    assert promise(project).stage == Stage.NO_AUDIT
    project.cohorts.all().delete()
    assert promise(project).stage == Stage.AWAITED
    assert "fewer than a third of them are sure enough" in shown(client, "project", project)
    Round.objects.update(outlook={"settled": 0})
    assert "not sure enough of any label yet" in shown(client, "project", project)
    Round.objects.update(settling_stopped=True)
    assert "audits found more wrong than 5 %" in shown(client, "project", project)


def test_what_is_out_of_reach_is_said_and_ten_percent_offered(client, mia):
    project = sure_project(mia)
    run_round(project)
    for middle in (501, None):
        Round.objects.update(
            outlook={"first": {"low": 300, "middle": middle, "high": None}, "settled": 9, "entered": 9}
        )
        text = shown(client, "project", project)
        assert "5 % is out of reach here:" in text
        assert "Promise 10 % instead" in text
    Project.objects.update(limit="0.10")
    text = shown(client, "project", project)
    assert "10 % is out of reach here:" in text
    assert "instead" not in text


# The certificate's page


def test_the_certificates_page_shows_claim_looks_cohorts_and_audits(client, audited, mia):
    text = shown(client, "certificate", audited)
    look = audited.certificates.filter(holds=True).first()
    for part in ("at most 5 % are still wrong", f"<dd>{look.n}</dd>", "<dd>96 %</dd>", "Certified", "mia", "right"):
        assert part in text
    open_ = audited.queue.filter(query__reason="audit").select_related("query__label")
    assert f"{open_.count()} more are drawn and wait for people." in text
    addresses = [reverse("document", args=[audited.slug, entry.document_id]) for entry in open_]
    assert all(f'"{address}"' not in text for address in addresses), "nothing of what waits is told"


def test_an_error_is_listed_with_both_labels_once_two_have_seen_it(client, audited, mia):
    bob = make_user("bob")
    projects.set_member(audited, bob, "reviewer")
    entry = audited.queue.filter(query__reason="audit").first()
    other = audited.labels.exclude(pk=entry.query.label_id).first()
    review.decide(audited, entry.pk, mia, "override", other)
    assert other.name not in shown(client, "certificate", audited).split(entry.document.text)[1].split("</tr>")[0]
    review.decide(audited, entry.pk, bob, "override", other)
    row = shown(client, "certificate", audited).split(entry.document.text)[1].split("</tr>")[0]
    for part in ("mia, bob", entry.query.label.name, other.name, "wrong, corrected"):
        assert part in row


def test_the_level_after_restarts_is_that_of_the_statistics(mia):
    for level in ("0.90", "0.95", "0.99"):
        project = make_project(mia, level=level)
        for restarts in range(4):
            expected = statistics.level_of(restarts, float(level))
            assert certificates.level_of(project, restarts) == pytest.approx(expected, abs=1e-12)


def test_a_ledger_begins_anew_with_fresh_audits_and_a_higher_level(client, audited, mia):
    waiting = list(audited.queue.filter(query__reason="audit"))
    held = waiting[0]
    QueueEntry.objects.filter(pk=held.pk).update(claimed_by=mia, claimed_until=timezone.now() + timedelta(minutes=5))
    n_finished = certificates.draws(audited).count() - len(waiting)
    text = shown(client, "restart_ledger", audited)
    for part in (
        f"{n_finished} audits that people have decided prove nothing",
        "99.2 %",
        "96 %",
        f"{len(waiting) - 1} audits that wait",
    ):
        assert part in text
    certified = counts(audited).certified

    response = client.post(reverse("restart_ledger", args=[audited.slug]), follow=True)
    assert "begins anew with the next round" in response.content.decode()
    audited.refresh_from_db()
    assert audited.restarts == 1
    assert list(audited.queue.filter(query__reason="audit")) == [held], "what somebody has open stays"
    assert counts(audited).certified == certified, "what was certified stays certified"
    freed = [entry.document_id for entry in waiting[1:]]
    assert not audits.waiting(audited).filter(document__in=freed).exists()
    assert promise(audited).stage == Stage.HOLDS

    review.decide(audited, held.pk, mia, "accept")
    Round.objects.filter(state="queued").delete()
    run_round(audited)
    assert set(audited.cohorts.values_list("ledger", flat=True)) == {0, 1}
    assert certificates.draws(audited).count() == audited.queue.filter(query__reason="audit").count()
    assert "begun anew once" in shown(client, "certificate", audited)


def test_a_ledger_that_is_not_begun_or_in_use_is_not_begun_anew(client, audited, mia):
    with pytest.raises(Refused, match="nothing to begin anew"):
        begin_anew(make_project(mia))
    rounds.start_round(audited)
    with pytest.raises(Refused, match="is running"):
        begin_anew(audited)
    assert "is running" in client.post(reverse("restart_ledger", args=[audited.slug]), follow=True).content.decode()
    audited.refresh_from_db()
    assert audited.restarts == 0


def test_only_managers_begin_anew(client, audited):
    bob = make_user("bob")
    projects.set_member(audited, bob, "reviewer")
    client.force_login(bob)
    assert client.get(reverse("restart_ledger", args=[audited.slug])).status_code == 403
    assert "Begin the ledger anew" not in shown(client, "certificate", audited)


def test_an_audit_of_a_label_on_the_judges_word_is_blind_everywhere(client, audited):
    entry = audited.queue.filter(query__reason="audit").first()
    TrainingExample.objects.create(document=entry.document, label=entry.query.label, source="judge")
    SettledLabel.objects.filter(document=entry.document, left_at=None).update(source="judge")
    assert audits.waits(entry.document)
    page = client.get(reverse("document", args=[audited.slug, entry.document_id])).content.decode()
    assert "Hidden until somebody has decided on the audit." in page
    assert "selected" not in page


# A judge in words


@pytest.mark.parametrize(
    ("value", "low", "expected"),
    [(0.0, -0.2, True), (0.15, -0.05, True), (0.4, -0.05, False), (0.1, 0.02, False), (None, None, False)],
)
def test_a_judge_is_no_better_than_chance_where_kappa_is_slight_and_may_be_luck(value, low, expected):
    assert is_no_better_than_chance({"kappa": {"value": value, "low": low}}) == expected


def test_the_judges_page_says_not_to_use_one_that_guesses_and_what_its_word_adds(client, audited):
    assert "This project has no judge: people decide" in shown(client, "judge", audited)
    Project.objects.update(judge="anthropic", judge_model="claude")
    nothing = {"value": None, "low": None, "high": None, "n": 3, "still_needed": 17}
    kappa = {"value": 0.03, "low": -0.2, "high": 0.2, "n": 40, "still_needed": 0}
    figures = {"judge": "anthropic", "model": "claude", "prompt_version": "v1", "n": 40, "n_unsure": 0, "labels": []}
    rates = dict.fromkeys(("sensitivity", "specificity", "agreement"), nothing)
    Measurement.objects.create(
        project=audited, figures=[figures | rates | {"kappa": kappa}], counted=audits.state(audited)
    )
    assert "claude · v1 is no better than chance: do not use this judge." in shown(client, "judge", audited)
    for weight, n, words in (
        (0.85, 3, "counts 85 % of what it would if it erred independently"),
        (0.85, 3, "Mostly assumed: 3 decisions so far"),
        (0.02, 90, "adds nothing to what the classifiers believe"),
        (1.1, 90, "counts in full"),
        (1.1, 90, "Learnt from 90 decisions."),
    ):
        Round.objects.update(
            reliability={
                "judge": "anthropic",
                "model": "claude",
                "prompt_version": "v1",
                "weight": weight,
                "n_weighed": n,
            }
        )
        assert words in shown(client, "judge", audited)
