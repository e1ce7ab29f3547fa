"""A drafting that is stopped or killed at any moment goes on with the rest, and the ledger knows what it took."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from classifiers.messages_api import MessagesClient, Prompt
from classifiers.messages_api import Reply as ApiReply
from labelling import jobs
from labelling.fake_messages_api import MessagesApi, Reply, Request, message
from labelling.models import Call, Draft, Drafting, ProposedLabel
from labelling.services import definitions as services
from labelling.services import queueing
from tests.factories import fruit_project
from tests.labelling.test_drafting import MODEL, agree, api, asked_about, drafted, run  # noqa: F401
from tests.labelling.test_killed import die, go_on, kill_after_transaction, kill_in_transaction, run_and_be_killed

pytestmark = pytest.mark.django_db(transaction=True)

N_LABELS = 4


@pytest.fixture(autouse=True)
def _one_after_the_other(settings):
    settings.JUDGE_CONCURRENCY = 1


@pytest.fixture
def agreed(api) -> Drafting:  # noqa: F811
    drafting = run(services.start_drafting(fruit_project(), None, "all", MODEL))
    services.go_on(drafting)
    return drafting


def kill_on_call(number: int):
    """Die while the n-th call is on its way."""

    def arm() -> None:
        call, left = MessagesClient.call, iter(range(number - 1, -1, -1))

        def dying(self: MessagesClient, prompt: Prompt) -> ApiReply:
            reply = call(self, prompt)
            if not next(left):
                die()
            return reply

        MessagesClient.call = dying

    return arm


MOMENTS = {
    **{f"in write {n}": kill_in_transaction(n) for n in range(1, N_LABELS + 1)},
    **{f"after write {n}": kill_after_transaction(n) for n in range(1, N_LABELS + 1)},
    **{f"on call {n}": kill_on_call(n) for n in range(1, N_LABELS + 1)},
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_drafts_the_rest_and_pays_twice_for_one_call_at_most(agreed, api, moment):  # noqa: F811
    assert run_and_be_killed(partial(jobs.run_drafting, agreed.pk), MOMENTS[moment]), "the moment was never reached"
    go_on(Drafting, jobs.run_drafting, agreed.pk)
    agreed.refresh_from_db()
    assert agreed.state == "done"
    assert set(agreed.drafts.values_list("state", flat=True)) == {"proposed"}
    states = Counter(Call.objects.values_list("state", flat=True))
    assert states.total() == len(api.requests)
    assert states == ({"done": 4} if moment.startswith("after") else {"done": 4, "lost": 1})
    assert Draft.objects.filter(call__state="done").count() == N_LABELS


def test_stopped_by_a_manager_it_stops_at_once_and_goes_on_with_the_rest(agreed, api):  # noqa: F811
    def stopping(request: Request) -> Reply:
        if len(api.requests) == 2:
            queueing.cancel(Drafting.objects.get())
        return drafted(request)

    api.respond = stopping
    drafting = run(agreed)
    assert drafting.state == "cancelled"
    assert drafting.drafts.filter(state="proposed").count() == 1
    assert len(api.requests) == 2
    api.respond = drafted
    assert agree(drafting).state == "done"
    assert len(api.requests) == N_LABELS, "the answer that came too late is in the ledger, and used from there"


def test_the_forecast_killed_halfway_is_made_again(api: MessagesApi):  # noqa: F811
    drafting = services.start_drafting(fruit_project(), None, "all", MODEL)
    assert run_and_be_killed(partial(jobs.run_drafting, drafting.pk), kill_after_transaction(1))
    go_on(Drafting, jobs.run_drafting, drafting.pk)
    drafting.refresh_from_db()
    assert (drafting.state, drafting.forecast["calls"]) == ("waiting", N_LABELS)
    assert {asked_about(request)["label"]["name"] for request in api.requests} == set()


def test_names_of_proposed_labels_survive_a_killed_worker_too(api: MessagesApi):  # noqa: F811
    project = fruit_project()
    for start in (0, 2):
        texts = project.documents.all()[start : start + 2]
        ProposedLabel.objects.create(project=project, name=str(start), size=2).documents.set(texts)
    api.respond = lambda request: message('{"name": "fruit", "use_when": "It is.", "not_when": "", "against": []}')
    drafting = run(services.start_drafting(project, None, "nowhere", MODEL))
    services.go_on(drafting)
    assert run_and_be_killed(partial(jobs.run_drafting, drafting.pk), kill_on_call(2))
    go_on(Drafting, jobs.run_drafting, drafting.pk)
    assert set(ProposedLabel.objects.values_list("name", "definition")) == {("fruit", "Use when: It is.")}
    assert Counter(Call.objects.values_list("state", flat=True)) == {"done": 2, "lost": 1}
