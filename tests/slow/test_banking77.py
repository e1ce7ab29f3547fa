"""The whole walk on banking77, with the limits it has to keep."""

from __future__ import annotations

import statistics

import pytest

from tests.measure import N_REVIEWED, walk

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_banking77_from_csv_to_reviewed_retrained_labels(tmp_path):
    figures = walk("banking77", tmp_path)
    first, second = figures.rounds
    assert (first["training_examples"], first["pool"], first["holdout_size"]) == (2310, 7636, 3076)
    assert second["training_examples"] == 2310 + N_REVIEWED
    assert sum(figures.reviewed.values()) == N_REVIEWED
    assert first["holdout_accuracy"] > 0.90
    assert figures.exports_equal
    assert figures.seconds["round 1"] < 300
    assert statistics.median(figures.review_ms) < 100
    assert figures.web_mb < 250  # two processes and the one that starts them
