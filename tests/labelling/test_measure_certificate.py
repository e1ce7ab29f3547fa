"""The command that measures the certificate, on few projects; no test here has a database."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from classifiers.certificate import audits_needed
from classifiers.ledger import State
from labelling.benchmark.certificates import (
    KINDS,
    LONG_AUDITS,
    LONG_WRONG,
    Ledger,
    clopper_pearson_holds,
    measure,
    measure_long,
)


def test_the_command_prints_and_writes_every_kind(tmp_path):
    out, path = io.StringIO(), tmp_path / "figures.json"
    call_command("measure_certificate", "--projects=2", f"--json={path}", stdout=out, stderr=io.StringIO())
    figures = json.loads(path.read_text())
    assert [one["kind"] for one in figures[1:]] == [kind.name for kind in KINDS]
    assert all(one["kind"] in out.getvalue() for one in figures)
    assert figures[0]["projects"] == 100


@pytest.mark.parametrize("arguments", [["--projects=0"], ["--random-state=-1"], ["--json=missing/figures.json"]])
def test_what_cannot_be_measured_is_refused_at_once(arguments):
    with pytest.raises(CommandError):
        call_command("measure_certificate", *arguments)


def test_the_same_seed_gives_the_same_projects():
    assert measure(KINDS[1], 2, random_state=3) == measure(KINDS[1], 2, random_state=3)
    assert measure_long(500, random_state=3) == measure_long(500, random_state=3)


def test_sets_that_are_always_a_little_too_bad():
    found = measure_long(4000, random_state=0)
    exact = exact_chance_of_false(LONG_WRONG, LONG_AUDITS)
    assert exact <= 0.05
    assert found.false == pytest.approx(exact, abs=0.01)
    assert found.false_clopper_pearson == pytest.approx(0.23, abs=0.02)


def exact_chance_of_false(share_wrong: float, n_audits: int) -> float:
    """Chance that a set without end is certified at some time, by recursion over the number of errors."""
    needed = np.array([k + audits_needed(k, k) for k in range(100)])
    chance, false = np.zeros(len(needed)), 0.0
    chance[0] = 1.0
    for n in range(1, n_audits + 1):
        wrong = chance * share_wrong
        chance = chance - wrong
        chance[1:] += wrong[:-1]
        false += chance[needed <= n].sum()
        chance[needed <= n] = 0.0
    return false


def test_clopper_and_pearson_ask_for_the_known_numbers():
    n = np.arange(1, 200)
    first = [int(n[clopper_pearson_holds(n, np.array(k))][0]) for k in range(3)]
    assert first == [59, 93, 124]
    assert all(first[k] < k + audits_needed(k, k) for k in range(3))


def test_an_error_counts_only_if_two_people_see_it():
    ledger, rng = Ledger([0]), np.random.default_rng(0)
    ledger.enter(np.arange(20_000) < 10_000)
    for position in ledger.draw(20_000):
        ledger.decide(position, 0.1, rng)
    called_wrong = ledger.state == State.WRONG
    assert called_wrong[:10_000].mean() == pytest.approx(0.81, abs=0.02)
    assert called_wrong[10_000:].mean() == pytest.approx(0.01, abs=0.005)
    # Corrected, or spoilt.
    assert (ledger.wrong == np.where(np.arange(20_000) < 10_000, ~called_wrong, called_wrong)).all()
