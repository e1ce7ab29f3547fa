"""Definitions for 500 labels: forecast, drafted, gone through and approved."""

from __future__ import annotations

import time

import pytest
from django.urls import reverse

from labelling.models import Call, Draft, Label
from labelling.services import definitions as services
from tests.factories import import_rows, make_project, make_user, quickest
from tests.labelling.conftest import api as plain_api  # noqa: F401
from tests.labelling.test_drafting import MODEL, drafted, run

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

N_LABELS = 500
N_EXAMPLES = 10


@pytest.fixture
def answering(plain_api):  # noqa: F811
    def slowly(request):
        time.sleep(0.05)
        return drafted(request)

    plain_api.respond = slowly
    return plain_api


def test_five_hundred_labels(answering, client, settings):
    settings.JUDGE_CONCURRENCY = 16
    manager = make_user("manager", is_staff=True)
    project = make_project(manager)
    import_rows(
        project,
        [
            (f"matter{n} matter{n} neighbour{n // 4} number {i}", f"label {n}")
            for n in range(N_LABELS)
            for i in range(N_EXAMPLES)
        ],
    )
    drafting = services.start_drafting(project, manager, "all", MODEL)
    assert quickest(lambda: run(drafting), runs=1) < 30
    assert (drafting.state, drafting.forecast["calls"]) == ("waiting", N_LABELS)
    services.go_on(drafting)
    assert quickest(lambda: run(drafting), runs=1) < 60
    assert drafting.state == "done"
    assert Draft.objects.filter(state="proposed").count() == Call.objects.filter(state="done").count() == N_LABELS
    client.force_login(manager)
    address = reverse("drafts", args=[project.slug])
    assert client.get(address).status_code == 200
    assert quickest(lambda: client.get(address), runs=1) < 2
    client.post(reverse("approve_drafts", args=[project.slug]))
    assert not Label.objects.filter(definition="").exists()
