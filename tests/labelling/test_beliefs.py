"""What the project knows of each document, and how far it trusts the judge: from verdicts, refusals, audits."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from django.urls import reverse

from classifiers.judge import JudgeError
from labelling import jobs
from labelling.jobs.lease import JobFailed
from labelling.jobs.rounds.auditing import all_rates
from labelling.jobs.rounds.judging import asked
from labelling.jobs.rounds.settling import _learning_over
from labelling.models import (
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
from labelling.services.audits import JudgeId
from labelling.services.claims import claim_next, take
from labelling.services.evidence import Evidence
from labelling.services.projects import set_member
from labelling.services.review import decide, relabel, undo
from tests.factories import fruit_project, import_doubtful, import_rows, make_project, make_user, run_round
from tests.fakes import KnowingJudge

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

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
    """20 easy texts and 24 that lie between two labels, and a judge."""
    project = fruit_project(**{"judge": "neighbours", "retrain_after": 0} | settings)
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
    project = doubtful_project(batch_size=24)
    round_ = run_round(project)

    refused = Query.objects.filter(verdict__verdict="invalid", reason="uncertain").first()
    first, second = asked(round_).filter(document=refused.document).order_by("pk")
    assert (first.reason, second.reason) == ("uncertain", "delegated")
    assert (first.verdict.verdict, second.verdict.verdict) == ("invalid", "valid")
    assert (second.rank, second.examples) == (first.rank, first.examples)
    assert second.posterior > dict(first.candidates)[second.label_id], "the refusal makes the next one more probable"
    assert second.gain
    assert second.gain >= 0.05
    assert {label_id for _, label_id, _ in second.compared_examples} >= {second.label_id}

    assert len(judge.asked) == len(set(judge.asked)) == asked(round_).count()
    waiting = project.queue.exclude(query__reason__in=Query.AUDITS).select_related("query", "document__prediction")
    assert all(entry.query.label_id == entry.document.prediction.label_id for entry in waiting if entry.query.label_id)


def test_a_judge_that_refuses_everything_is_asked_three_times_in_a_row(use_judge):
    use_judge(KnowingJudge(says="invalid"))
    project = doubtful_project(batch_size=10)
    round_ = run_round(project)
    times = Counter(asked(round_).values_list("document", flat=True))
    assert max(times.values()) == 3
    assert len(times) >= 3


def test_a_refusal_changes_the_belief_at_once(use_judge):
    use_judge(KnowingJudge(says="invalid", stops_after=1))
    project = doubtful_project(batch_size=5)
    with pytest.raises(JobFailed):
        run_round(project)
    verdict = Verdict.objects.first()
    prediction = Prediction.objects.get(document=verdict.query.document)
    assert prediction.beliefs[verdict.query.label_id] < verdict.query.posterior / 2
    assert sum(prediction.belief) == pytest.approx(1, abs=1e-4)
    assert prediction.posterior == pytest.approx(max(prediction.belief), abs=1e-5)


def test_earlier_verdicts_count_in_the_next_round_and_no_question_is_asked_twice(use_judge):
    judge = use_judge(KnowingJudge())
    project = doubtful_project(batch_size=44, auto_accept=False)
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
    project = doubtful_project(batch_size=100)
    run_round(project)
    QueueEntry.objects.all().delete()
    before = set(judge.asked)
    for label in project.labels.all():
        labels.define(label, "Round, and it grows on trees.", None)
    run_round(project)
    assert set(judge.asked[len(before) :]) & before


def test_an_unsure_verdict_is_no_evidence(use_judge):
    use_judge(KnowingJudge(says="unsure"))
    project = doubtful_project(batch_size=100)
    round_ = run_round(project)
    assert round_.accepted == 0
    assert set(project.settled_labels.values_list("source", flat=True)) == {"model"}
    for query in asked(round_):
        assert Prediction.objects.get(document=query.document_id).beliefs[query.label_id] == pytest.approx(
            query.posterior, abs=1e-5
        )


def test_what_the_judge_confirms_is_settled_on_its_word_and_teaches(use_judge):
    use_judge(KnowingJudge())
    project = doubtful_project(batch_size=100)
    round_ = run_round(project)
    on_its_word = project.settled_labels.filter(left_at=None, source="judge")
    accepted = TrainingExample.objects.filter(source="judge")
    assert set(accepted.values_list("document", "label")) == set(on_its_word.values_list("document", "label"))
    assert round_.accepted == accepted.count() > 20
    assert min(on_its_word.values_list("posterior", flat=True)) >= 0.85
    checked = round_.queries.filter(reason="spot_check").values("document")
    assert not on_its_word.filter(document__in=checked).exists(), "people see those first"
    assert project.queue.filter(document__in=checked).count() == 2


def test_nothing_rests_on_the_word_of_a_judge_that_calls_everything_valid(use_judge, client, expert):
    use_judge(KnowingJudge(says="valid"))
    project = doubtful_project(batch_size=300)
    assert run_round(project).accepted > 20, "nothing is known about it yet"
    import_doubtful(project)
    round_ = run_round(project)
    assert not round_.reliability["confirms"]
    assert round_.accepted == 0
    assert asked(round_).count() > 10
    set_member(project, expert, "reviewer")
    client.force_login(expert)
    page = client.get(reverse("round", args=[project.slug, round_.number])).content.decode()
    assert "So its word settles nothing" in page


def test_the_models_own_word_needs_more_than_the_judges(use_judge):
    use_judge(KnowingJudge())
    project = doubtful_project(batch_size=1, certainty=0.85)
    run_round(project)
    alone = project.settled_labels.filter(left_at=None, source="model")
    assert min(alone.values_list("posterior", flat=True)) >= 0.9


def test_what_fits_no_label_is_settled_as_none_of_these(use_judge):
    use_judge(KnowingJudge(says="invalid"))
    project = fruit_project(judge="neighbours", batch_size=20, retrain_after=0, certainty=0.4)
    import_rows(project, [("nothing like the others at all", "")])
    run_round(project)
    none = project.settled_labels.filter(left_at=None, label=None)
    found = Prediction.objects.filter(document__in=none.values("document"))
    assert not found.exclude(posterior_label=None).exists()
    examples = TrainingExample.objects.filter(source="judge")
    assert all(example.label is None or example.document.queries.exists() for example in examples)


def test_a_persons_word_is_certain_at_once(expert):
    project = doubtful_project(batch_size=5)
    run_round(project)
    entry = claim_next(project, expert)
    document = entry.document
    assert document.belief.probability < 0.95
    decide(project, entry.pk, expert, "none")
    document = type(document).objects.get(pk=document.pk)
    assert document.belief == (None, 1.0)


# Spot checks


def test_a_spot_check_comes_first_and_shows_nothing_of_the_verdict(client, manager, use_judge):
    use_judge(KnowingJudge())
    project = doubtful_project(manager=manager, batch_size=10)
    round_ = run_round(project)
    n_checks = project.queue.filter(query__reason__in=Query.AUDITS).count()
    assert n_checks >= 3
    client.force_login(manager)
    n_judged = 0
    for _ in range(n_checks):
        text = client.get(reverse("review", args=[project.slug])).content.decode()
        entry = project.queue.get(claimed_by=manager)
        assert entry.query.is_audit
        document_page = client.get(reverse("document", args=[project.slug, entry.document_id])).content.decode()
        for page in (text, document_page):
            assert "It knows." not in page
        client.post(reverse("decide", args=[project.slug, entry.pk]), {"choice": "accept"})
        if Verdict.objects.filter(query__document=entry.document_id).exists():
            n_judged += 1
            shown = client.get(reverse("document", args=[project.slug, entry.document_id])).content.decode()
            assert "It knows." in shown
    assert n_judged >= round_.queries.filter(reason="spot_check").count() == 2
    assert not claim_next(project, manager).query.is_audit


def test_a_tenth_of_the_reviews_is_drawn_half_from_the_pool_and_half_from_the_batch():
    round_ = run_round(doubtful_project(batch_size=30, retrain_after=40))
    reasons = Counter(round_.queries.values_list("reason", flat=True))
    assert (reasons["pool_check"], reasons["spot_check"]) == (2, 2)


def test_only_checks_of_the_whole_pool_tell_how_much_of_it_belongs_nowhere(use_judge, expert):
    use_judge(KnowingJudge())
    project = doubtful_project(batch_size=10, retrain_after=100)
    round_ = run_round(project)
    pool = set(round_.queries.filter(reason="pool_check").values_list("document", flat=True))
    assert len(pool) == 5
    while entry := claim_next(project, expert):
        decide(project, entry.pk, expert, "accept" if entry.document_id in pool else "none")
    assert audits.off_list_counts(project) == (0, 5)


@pytest.fixture
def checked(use_judge, expert):
    """44 texts of which 20 were checked blind, each after a verdict."""

    def make(says=None, errs: int = 0) -> Project:
        use_judge(KnowingJudge(says=says))
        project = doubtful_project(batch_size=80, retrain_after=400)
        round_ = run_round(project)
        assert round_.queries.filter(reason="spot_check").count() == 20
        assert Round.objects.get().reliability["sensitivity"]["is_prior"]
        assert audits.judged(project) == []
        review_all(project, expert, errs)
        return project

    return make


def test_spot_checks_tell_how_often_the_judge_is_right(checked):
    project = checked()
    found = audits.judged(project)
    assert {row.judge for row in found} == {KNOWING}
    assert all(row.right == (row.verdict == "valid") for row in found)
    assert sum(row.right for row in found) > 9
    second = run_round(project)
    assert not second.reliability["sensitivity"]["is_prior"]
    assert second.reliability["sensitivity"]["mean"] > 0.9
    assert second.reliability["weight"] >= 0.85
    assert (second.reliability["judge"], second.reliability["model"]) == ("neighbours", "all-knowing")


def test_the_word_of_a_judge_that_says_valid_to_everything_tells_little(checked):
    project = checked(says="valid")
    second = run_round(project)
    assert second.reliability["specificity"]["mean"] < 0.6
    sensitivity, specificity = all_rates(second)[KNOWING].validating
    assert 1 <= sensitivity / (1 - specificity) < 2


def test_answers_of_another_judge_do_not_count(checked, use_judge):
    project = checked()
    use_judge(KnowingJudge(prompt_version="knowing-2"))
    assert run_round(project).reliability["sensitivity"]["is_prior"]


def test_only_the_first_decision_on_a_spot_check_was_blind(use_judge, expert):
    use_judge(KnowingJudge())
    project = doubtful_project(batch_size=10)
    run_round(project)
    entry = project.queue.filter(document__queries__reason="spot_check").first()
    assert take(entry, expert)
    decision = decide(project, entry.pk, expert, "none")
    found = audits.judged(project)
    assert {row.right for row in found} == {False}
    relabel(entry.document, make_user(), entry.query.label)
    assert audits.judged(project) == found, "a later word changes nothing"
    undo(project, expert, decision.pk)
    assert audits.judged(project) == []


def test_what_waits_is_settled_once_it_is_allowed(use_judge, expert):
    use_judge(KnowingJudge())
    project = doubtful_project(batch_size=40, auto_accept=False)
    run_round(project)
    assert not project.settled_labels.exists()
    held = claim_next(project, expert).document
    project.auto_accept, project.batch_size = True, 1
    project.save()
    assert run_round(project).accepted >= 5
    assert not TrainingExample.objects.filter(document=held).exists(), "somebody has it open"


# The model from round to round


def test_adding_a_label_refits_few_experts_and_leaves_verdicts_and_decisions_alone(expert, client):
    names = [f"{letter}{letter}{letter}word" for letter in "abcdefghijkl"]
    project = make_project(auto_accept=False, subset_size=3, judge="neighbours", batch_size=10, retrain_after=0)
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
    assert not fitted_anew(project), "a label without examples is known by its name"

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


def test_the_next_rounds_gain_is_foretold():
    round_ = run_round(doubtful_project(batch_size=5, retrain_after=5))
    assert round_.expected_gain > 0.1
    assert round_.stop_reason == ""
    assert run_round(doubtful_project(judge="none")).expected_gain is None


def test_an_outage_is_no_convergence(use_judge, monkeypatch):
    judge = use_judge(KnowingJudge())

    def fail(question):
        raise JudgeError("The judge did not answer in time.")

    monkeypatch.setattr(judge, "ask", fail)
    project = doubtful_project(batch_size=5)
    round_ = run_round(project)
    for number in range(2, 7):
        numbers = {"uncertain": 24, "training_examples": 16 + number, "unlabelled_at_import": 44}
        last = Round.objects.create(project=project, number=number, state="done", settings=round_.settings, **numbers)
    assert "Nothing more is gained" in _learning_over(last, 24)
    Query.objects.filter(round=round_).update(round=last)
    assert _learning_over(last, 24) == ""


def test_asking_again_after_an_outage_delegates_and_keeps_one_entry_a_document(use_judge, monkeypatch):
    judge = use_judge(KnowingJudge())
    ask = judge.ask

    def fail(question):
        raise JudgeError("The judge did not answer in time.")

    monkeypatch.setattr(judge, "ask", fail)
    project = doubtful_project(batch_size=10)
    round_ = run_round(project)
    n_waiting = project.queue.count()
    monkeypatch.setattr(judge, "ask", ask)
    rounds.retry_judge(round_)
    jobs.run_round(round_.pk)
    assert Query.objects.filter(reason="delegated").exists()
    waiting = list(project.queue.values_list("document", flat=True))
    assert len(waiting) == len(set(waiting)) <= n_waiting + 4
    delegated = Query.objects.filter(reason="delegated").first()
    evidence = Evidence.of(delegated)
    assert [verdict.in_words.split()[0] for verdict in evidence.verdicts] == ["not", "valid"]
    refused, valid = (verdict.query.label for verdict in evidence.verdicts)
    assert evidence.judgement == f"The judge: not {refused}, but {valid}."
    assert evidence.reason == "The judge refused what was more probable before."
