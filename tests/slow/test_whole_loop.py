"""A whole loop through the product: rounds that start by themselves, a judge, two reviewers, and the export."""

from __future__ import annotations

import pytest

from tests.measure_loop import measure

pytestmark = pytest.mark.slow


@pytest.mark.timeout(1800)
def test_a_loop_with_a_judge_labels_the_pool(tmp_path):
    row = measure(tmp_path, "banking77", "anthropic", 0.95, 0.95, decisions=80, seeds_per_label=5, pool=300)
    assert 40 <= row.decisions <= 80
    assert row.questions > 0.3
    assert row.settled > 0.8
    assert row.settled_right > 0.9
