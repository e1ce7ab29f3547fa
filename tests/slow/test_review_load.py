"""Eight reviewers without pause, on the real web server: nothing lost, nothing done twice."""

from __future__ import annotations

import pytest

from tests.load_review import measure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

LABELS = 943


@pytest.mark.parametrize("overlap", [0.0, 0.2])
def test_2000_documents_are_each_decided_as_often_as_asked_though_the_server_is_killed_twice(tmp_path, overlap):
    figures = measure(tmp_path, documents=2_000, labels=LABELS, reviewers=8, restarts=2, overlap=overlap)
    assert figures.waiting == 0
    assert figures.too_many == 0
    assert figures.too_few == 0
    assert figures.lost == 0
    assert figures.wrong_answers == {}


@pytest.mark.alone
def test_eight_without_pause_on_100_000_documents_are_never_handed_the_same_one(tmp_path):
    """How fast that goes on a machine that does nothing else is for `make load` to print: more than twice this."""
    figures = measure(tmp_path, documents=100_000, labels=LABELS, reviewers=8, seconds=60)
    assert figures.a_second > 12, figures
    assert (figures.too_many, figures.lost, figures.wrong_answers) == (0, 0, {})
