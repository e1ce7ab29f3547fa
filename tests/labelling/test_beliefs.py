"""What the project knows of each document, and how far it trusts the judge: from verdicts, refusals, audits."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from django.urls import reverse

from classifiers.judge import JudgeError
from labelling import jobs
from labelling.jobs.lease import JobFailed
from labelling.jobs.rounds import _stop_reason
from labelling.models import (
    Audit,
    Decision,
    Prediction,
    Project,
    Query,
    QueueEntry,
    Round,
    TrainingExample,
    Verdict,
)
from labelling.services import audits, labels, rounds
from labelling.services.audits import JudgeId, Outcome
from labelling.services.claims import claim_next
from labelling.services.evidence import Evidence
from labelling.services.review import decide, relabel, undo
from tests.factories import fruit_project, fruit_rows, import_doubtful, import_rows, make_project, make_user, run_round
from tests.fakes import KnowingJudge

pytestmark = pytest.mark.django_db

KNOWING = JudgeId("neighbours", "all-knowing", "knowing-1")


@pytest.fixture
def use_judge(monkeypatch):
    def use(judge: KnowingJudge) -> KnowingJudge:
        monkeypatch.setattr("labelling.jobs.rounds.auditing.make_judge", lambda *arguments: judge)
        return judge

    return use


@pytest.fixture
def manager():
    return make_user("manager", is_staff=True)


@pytest.fixture
def expert():
    return make_user("expert")


def doubtful_project(**settings) -> Project:
    """20 easy texts and 24 that lie between two labels."""
    project = fruit_project(retrain_after=0, **settings)
    import_doubtful(project)
    return project


def review_all(project: Project, expert, wrong: int = 0) -> int:
    """Decide on everything in the queue as its first word says, and on the first few otherwise; return how many."""
    n = 0
    while entry := claim_next(project, expert):
        right = project.labels.get(name=entry.document.text.split()[0])
        label = project.labels.exclude(pk=right.pk).first() if n < wrong else right
        decide(project, entry.pk, expert, "override", label)
        n += 1
    return n


# Beliefs and refusals


def test_a_refused_label_leads_to_the_next_in_the_same_round(use_judge):
    judge = use_judge(KnowingJudge())
    project = doubtful_project(batch_size=24, audit_share=0)
    round_ = run_round(project)

    refused = Query.objects.filter(verdict__verdict="invalid", reason="uncertain").first()
    first, second = round_.queries.filter(document=refused.document).order_by("pk")
    assert (first.reason, second.reason) == ("uncertain", "delegated")
    assert (first.verdict.verdict, second.verdict.verdict) == ("invalid", "valid")
    assert (second.rank, second.examples) == (first.rank, first.examples)
    assert second.posterior > dict(first.candidates)[second.label_id], "the refusal makes the next one more probable"
    assert second.gain
    assert second.gain >= 0.05
    assert {label_id for _, label_id, _ in second.compared_examples} >= {second.label_id}

    assert len(judge.asked) == len(set(judge.asked)) == round_.queries.count() > 24
    assert project.queue.count() == 24
    assert all(
        entry.query == entry.document.queries.order_by("-pk").first()
        for entry in project.queue.select_related("query", "document")
    )


def test_a_judge_that_refuses_everything_is_asked_three_times_in_a_row(use_judge):
    use_judge(KnowingJudge(says="invalid"))
    project = doubtful_project(batch_size=10, audit_share=0)
    run_round(project)
    asked = Counter(Query.objects.values_list("document", flat=True))
    assert max(asked.values()) == 3
    assert len(asked) == 10


def test_a_refusal_changes_the_belief_at_once(use_judge):
    use_judge(KnowingJudge(says="invalid", stops_after=1))
    project = doubtful_project(batch_size=5, audit_share=0)
    with pytest.raises(JobFailed):
        run_round(project)
    verdict = Verdict.objects.first()
    prediction = Prediction.objects.get(document=verdict.query.document)
    assert prediction.beliefs[verdict.query.label_id] < verdict.query.posterior / 2
    assert sum(prediction.belief) == pytest.approx(1, abs=1e-4)
    assert prediction.posterior == pytest.approx(max(prediction.belief), abs=1e-5)


def test_earlier_verdicts_count_in_the_next_round_and_no_question_is_asked_twice(use_judge):
    judge = use_judge(KnowingJudge())
    project = doubtful_project(batch_size=44, audit_share=0, auto_accept="off")
    run_round(project)
    QueueEntry.objects.all().delete()
    before = dict(Prediction.objects.values_list("document", "posterior"))
    judge.says = "unsure"
    run_round(project)
    after = dict(Prediction.objects.values_list("document", "posterior"))
    # Nothing was learnt in between but how far the judge can be trusted.
    assert after == pytest.approx(before, abs=0.1)
    assert len(judge.asked) == len(set(judge.asked))


def test_another_definition_is_another_question(use_judge):
    judge = use_judge(KnowingJudge(says="unsure"))
    project = doubtful_project(batch_size=44, audit_share=0)
    run_round(project)
    QueueEntry.objects.all().delete()
    asked = set(judge.asked)
    for label in project.labels.all():
        labels.define(label, "Round, and it grows on trees.", None)
    run_round(project)
    assert set(judge.asked[len(asked) :]) & asked


def test_an_unsure_verdict_is_no_evidence(use_judge):
    use_judge(KnowingJudge(says="unsure"))
    project = doubtful_project(batch_size=44, auto_accept="threshold", certainty=0.4)
    round_ = run_round(project)
    assert round_.accepted == 0
    for prediction in Prediction.objects.all():
        assert dict(prediction.candidates)[prediction.label_id] == pytest.approx(prediction.posterior, abs=0.01)


def test_what_fits_no_label_is_accepted_as_none_of_these(use_judge):
    use_judge(KnowingJudge(says="invalid"))
    project = fruit_project(batch_size=1, audit_share=0, auto_accept="threshold", retrain_after=0, certainty=0.4)
    import_rows(project, [("nothing like the others at all", "")])
    run_round(project)
    examples = TrainingExample.objects.filter(source="judge")
    assert all(example.label is None or example.document.queries.exists() for example in examples)


def test_a_persons_word_is_certain_at_once(expert):
    project = doubtful_project(batch_size=5, audit_share=0)
    run_round(project)
    entry = claim_next(project, expert)
    document = entry.document
    assert document.belief.probability < 0.95
    decide(project, entry.pk, expert, "none")
    document = type(document).objects.get(pk=document.pk)
    assert document.belief == (None, 1.0)


# Audits


def test_audits_are_a_share_of_all_batches():
    project = doubtful_project(batch_size=4, audit_share=0.25)
    for _ in range(3):
        assert run_round(project).queries.filter(reason="audit").values("document").distinct().count() == 1


def test_an_audit_comes_first_and_shows_nothing_of_the_verdict(client, manager, use_judge):
    use_judge(KnowingJudge())
    project = doubtful_project(manager=manager, batch_size=10, audit_share=0.3)
    round_ = run_round(project)
    client.force_login(manager)
    for _ in range(3):
        text = client.get(reverse("review", args=[project.slug])).content.decode()
        entry = project.queue.get(claimed_by=manager)
        assert entry.query.is_audit
        assert "drawn at random" in text
        document_page = client.get(reverse("document", args=[project.slug, entry.document_id])).content.decode()
        only = {"reason": entry.query.reason}
        round_page = client.get(reverse("round", args=[project.slug, 1]), only).content.decode()
        assert "hidden until a person has decided" in round_page
        for page in (text, document_page):
            assert "It knows." not in page
            assert entry.query.verdict.get_verdict_display() not in page.split("<main")[1].split("Keys")[0]
        decided = client.post(
            reverse("decide", args=[project.slug, entry.pk]), {"choice": "accept"}, follow=True
        ).content.decode()
        assert f"The judge had said: {entry.document.queries.order_by('pk').first().verdict.in_words}" in decided
        document_page = client.get(reverse("document", args=[project.slug, entry.document_id])).content.decode()
        assert "It knows." in document_page
    assert not claim_next(project, manager).query.is_audit
    assert round_.queries.filter(reason__in=Query.AUDITS).count() == 3


def test_half_of_the_audits_are_drawn_from_the_pool_and_half_from_the_batch():
    project = doubtful_project(batch_size=10, audit_share=0.5)
    reasons = Counter(run_round(project).queries.exclude(reason="delegated").values_list("reason", flat=True))
    assert reasons == {"audit": 3, "spot_check": 2, "uncertain": 5}


def test_only_audits_of_the_whole_pool_tell_how_much_of_it_belongs_nowhere(use_judge, expert):
    use_judge(KnowingJudge())
    project = doubtful_project(batch_size=10, audit_share=1)
    run_round(project)
    while entry := claim_next(project, expert):
        decide(project, entry.pk, expert, "none" if entry.query.reason == "spot_check" else "accept")
    assert audits.none_counts(project) == (0, 5)


def test_a_refused_audit_is_reviewed_with_its_first_question(use_judge):
    use_judge(KnowingJudge(says="invalid"))
    project = doubtful_project(batch_size=10, audit_share=1)
    run_round(project)
    assert Query.objects.filter(reason="delegated").exists()
    assert all(entry.query.is_audit for entry in project.queue.select_related("query"))
    assert project.queue.count() == 10


def test_audits_tell_how_often_the_judge_is_right(use_judge, expert):
    use_judge(KnowingJudge())
    project = doubtful_project(batch_size=20, audit_share=1)
    run_round(project)
    first = Round.objects.get()
    assert first.reliability["sensitivity"]["is_prior"]
    assert audits.verdict_counts(project) == {}
    review_all(project, expert)
    counts = audits.verdict_counts(project)[KNOWING]
    assert counts[Outcome(True, True)] == Verdict.objects.filter(verdict="valid").count() > 9
    assert counts[Outcome(False, False)] == Verdict.objects.filter(verdict="invalid").count() > 0
    assert (counts[Outcome(True, False)], counts[Outcome(False, True)]) == (0, 0)
    second = run_round(project)
    assert not second.reliability["sensitivity"]["is_prior"]
    assert second.reliability["sensitivity"]["mean"] > 0.9
    assert (second.reliability["judge"], second.reliability["model"]) == ("neighbours", "all-knowing")


def test_only_the_first_decision_on_an_audit_was_blind(use_judge, expert):
    use_judge(KnowingJudge())
    project = doubtful_project(batch_size=2, audit_share=1)
    run_round(project)
    entry = claim_next(project, expert)
    decision = decide(project, entry.pk, expert, "none")
    assert sum(audits.verdict_counts(project)[KNOWING].values()) >= 1
    relabel(entry.document, make_user(), entry.query.label)
    assert audits.verdict_counts(project)[KNOWING][Outcome(False, True)] <= 1, "a later word changes nothing"
    undo(project, expert, decision.pk)
    assert audits.verdict_counts(project) == {}


@pytest.fixture
def audited(use_judge, expert):
    """120 texts of which 80 were audited, the first few with another label than the judge's."""

    def make(wrong: int = 0, says=None, **settings) -> Project:
        use_judge(KnowingJudge(says=says))
        # The strategy of the greatest gain asks even where the classifiers are sure.
        settings = {"batch_size": 80, "audit_share": 1, "retrain_after": 0, "certainty": 0.98} | settings
        project = make_project(strategy="gain", **settings)
        import_rows(project, fruit_rows(n_seeds=6, n_pool=30))
        run_round(project)
        assert Audit.objects.count() == 80
        assert review_all(project, expert, wrong) == 80
        project.batch_size, project.audit_share = 40, 0
        project.save()
        return project

    return make


def test_enough_audits_without_error_certify_what_is_accepted(audited, client, manager):
    project = audited(manager=manager)
    assert not TrainingExample.objects.filter(source="judge").exists(), "nothing is accepted before"
    round_ = run_round(project)
    assert round_.certificate["holds"]
    assert round_.certificate["n"] >= 59
    assert round_.accepted == TrainingExample.objects.filter(source="judge").count() > 0
    assert TrainingExample.objects.filter(source="judge").exclude(document__queries__round=round_).count() == 0
    client.force_login(manager)
    text = client.get(reverse("project", args=[project.slug])).content.decode()
    assert "Certified" in text
    assert "As of round 2" in text
    assert round_.certificate["sentence"] in text


def test_errors_found_by_audits_stop_the_acceptance(audited, client, manager):
    project = audited(wrong=8, manager=manager)
    round_ = run_round(project)
    assert (round_.certificate["errors"], round_.certificate["holds"], round_.accepted) == (8, False, 0)
    client.force_login(manager)
    text = client.get(reverse("project", args=[project.slug])).content.decode()
    assert "Not certified" in text
    assert "Nothing is accepted from the judge until the certificate holds" in text


def test_off_accepts_nothing_though_it_were_certified(audited):
    round_ = run_round(audited(auto_accept="off"))
    assert round_.certificate["holds"]
    assert round_.accepted == 0


def test_threshold_waits_for_no_certificate_but_for_audits(use_judge):
    use_judge(KnowingJudge())
    project = doubtful_project(batch_size=40, audit_share=0.5, auto_accept="threshold")
    round_ = run_round(project)
    assert not round_.certificate["holds"]
    assert round_.accepted > 0
    audited = round_.queries.filter(reason__in=Query.AUDITS).values("document")
    assert not TrainingExample.objects.filter(document__in=audited).exists()
    assert project.queue.filter(document__in=audited).count() == 20


def test_what_waited_in_the_queue_is_accepted_once_it_is_allowed(use_judge, expert):
    use_judge(KnowingJudge())
    project = doubtful_project(batch_size=40, audit_share=0, auto_accept="off")
    run_round(project)
    held = claim_next(project, expert).document
    certain = Prediction.objects.filter(posterior__gte=0.95, document__queries__isnull=False)
    n_certain = certain.exclude(document=held).values("document").distinct().count()
    project.auto_accept, project.batch_size = "threshold", 1
    project.save()
    assert run_round(project).accepted >= n_certain > 0
    assert not TrainingExample.objects.filter(document=held).exists(), "somebody has it open"


def test_what_the_model_is_sure_of_by_itself_says_nothing_of_the_judges_word(audited):
    project = audited(certainty=0.5)
    round_ = run_round(project)
    assert Audit.objects.filter(posterior__gte=0.5).count() == 80
    sure = Query.objects.filter(reason__in=Query.AUDITS, posterior__gte=0.5).count()
    assert round_.certificate["n"] == 80 - sure < 40


def test_audits_of_another_judge_do_not_count(audited, use_judge):
    project = audited()
    use_judge(KnowingJudge(prompt_version="knowing-2"))
    round_ = run_round(project)
    assert (round_.certificate["n"], round_.accepted) == (0, 0)
    assert round_.reliability["sensitivity"]["is_prior"]


# The model from round to round


def test_adding_a_label_refits_few_experts_and_leaves_verdicts_and_decisions_alone(expert, client):
    names = [f"{letter}{letter}{letter}word" for letter in "abcdefghijkl"]
    project = make_project(subset_size=3, batch_size=10, retrain_after=0)
    rows = [(f"{name} {name} seed {n}", name) for name in names for n in range(6)]
    rows += [(f"{one} {other} pool {n}", "") for one, other in pairwise(names) for n in range(4)]
    import_rows(project, rows)
    first = run_round(project)
    assert first.experts_fitted
    assert first.experts_fitted == first.experts
    decide(project, claim_next(project, expert).pk, expert, "none")
    verdicts, decisions = list(Verdict.objects.order_by("pk").values()), list(Decision.objects.values())

    import_rows(project, [(f"newcomer newcomer seed {n}", "newcomer") for n in range(4)])
    newcomer = project.labels.get(name="newcomer")
    client.force_login(project.memberships.get().user)
    for page in (reverse("labels", args=[project.slug]), reverse("label", args=[project.slug, newcomer.pk])):
        assert "ot learnt yet: the next round places it" in client.get(page).content.decode()
    second = run_round(project)
    assert second.labels_learned == 13
    assert second.experts_fitted
    assert second.experts
    assert 2 * second.experts_fitted < second.experts
    assert verdicts == list(Verdict.objects.filter(query__round=first).order_by("pk").values())
    assert decisions == list(Decision.objects.values())
    page = client.get(reverse("round", args=[project.slug, 2])).content.decode()
    assert f"Refitted {second.experts_fitted} of {second.experts} classifiers" in page
    assert "ot learnt yet" not in client.get(reverse("label", args=[project.slug, newcomer.pk])).content.decode()

    assert run_round(project).experts_fitted == 0, "nothing is new"


def fitted_anew(project: Project) -> bool:
    round_ = run_round(project)
    return round_.experts_fitted == round_.experts


def test_everything_is_fitted_anew_when_it_must_be():
    project = doubtful_project(batch_size=1)
    assert fitted_anew(project)
    assert not fitted_anew(project)

    project.subset_size = 3
    project.save()
    assert fitted_anew(project)
    assert not fitted_anew(project)

    project.model_file.write_bytes(project.model_file.read_bytes()[:1000])
    assert fitted_anew(project)
    project.model_file.unlink()
    assert fitted_anew(project)
    assert not fitted_anew(project)

    import_rows(project, [(f"apple number {n}", "apple") for n in range(4)])
    assert fitted_anew(project), "many more examples"
    assert not fitted_anew(project)

    TrainingExample.objects.filter(label__name="mango").delete()
    assert fitted_anew(project), "a label is gone"

    project.combination = "highest"
    project.save()
    assert fitted_anew(project)
    assert fitted_anew(project), "the article's combination is not kept"


def test_the_model_goes_with_its_project():
    project = fruit_project(batch_size=1)
    run_round(project)
    file = project.model_file
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    project.documents.all().delete()
    project.delete()
    assert not file.exists()


# The end of the loop


def test_the_loop_ends_when_answers_would_tell_little():
    project = doubtful_project(batch_size=5)
    round_ = run_round(project)
    assert round_.expected_gain
    assert round_.expected_gain > 0.1
    assert round_.stop_reason == ""
    round_.expected_gain = 0.001
    assert "0.001 nats" in _stop_reason(round_)


def test_an_outage_is_no_convergence(use_judge, monkeypatch):
    judge = use_judge(KnowingJudge())

    def fail(question):
        raise JudgeError("The judge did not answer in time.")

    monkeypatch.setattr(judge, "ask", fail)
    project = doubtful_project(batch_size=5)
    round_ = run_round(project)
    round_.expected_gain = 0.001
    assert _stop_reason(round_) == ""


def test_asking_again_after_an_outage_delegates_and_keeps_one_entry_a_document(use_judge, monkeypatch):
    judge = use_judge(KnowingJudge())
    ask = judge.ask

    def fail(question):
        raise JudgeError("The judge did not answer in time.")

    monkeypatch.setattr(judge, "ask", fail)
    project = doubtful_project(batch_size=10, audit_share=0)
    round_ = run_round(project)
    assert project.queue.count() == 10
    monkeypatch.setattr(judge, "ask", ask)
    rounds.retry_judge(round_)
    jobs.run_round(round_.pk)
    assert Query.objects.filter(reason="delegated").exists()
    assert project.queue.count() == 10
    delegated = Query.objects.filter(reason="delegated").first()
    entry = QueueEntry.objects.get(document=delegated.document)
    assert entry.query.reason == "delegated"
    evidence = Evidence.of(entry.query)
    assert [verdict.in_words.split()[0] for verdict in evidence.verdicts] == ["not", "valid"]
    assert "because the judge refused" in evidence.why
