"""Accuracy by the number of examples, none included."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from labelling.benchmark.few_examples import centroid_accuracy, deal
from tests.fakes import AdaptedEncoder, HashingEncoder

FRUIT = ("apple", "cherry", "fig", "lemon")


@pytest.mark.parametrize(("number", "n_each"), [(0, 0), (1, 1), (3, 3), (9, 5)])
def test_a_deal_has_so_many_of_each_label_and_the_rest_is_the_pool(number, n_each):
    y = np.repeat(np.arange(4), 5)
    own, pool = deal(y, 4, number, random_state=0)
    assert np.bincount(y[own], minlength=4).tolist() == [n_each] * 4
    assert sorted([*own, *pool]) == list(range(20))
    again, _ = deal(y, 4, number, random_state=0)
    assert own.tolist() == again.tolist()


def test_a_name_counts_as_an_example_of_its_centroid():
    names = np.eye(2, 3)
    nothing = np.empty((0, 3)), np.empty(0, dtype=int)
    tests = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert centroid_accuracy(*nothing, names, tests[:2], np.array([0, 1])) == 1
    # One example pulls the second label's centroid half-way to the third direction.
    examples = np.array([[0.0, 0, 1]]), np.array([1])
    assert centroid_accuracy(*examples, names, tests, np.array([0, 1, 1])) == 1


@pytest.fixture
def files(tmp_path) -> list[str]:
    sentences = "a ripe {0} {1}", "{0} number {1} for me", "where is the {0} {1}", "{0} {0} {1}"
    for name, first in (("train", 0), ("test", 100)):
        rows = [(s.format(fruit, first + n), fruit) for fruit in FRUIT for n, s in enumerate(sentences)]
        with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    (tmp_path / "labels.csv").write_text("label,definition\napple,a round fruit\n", encoding="utf-8")
    return [str(tmp_path / f"{name}.csv") for name in ("train", "test")]


def test_the_command_measures_each_number_beside_the_plain_ways(files, tmp_path, monkeypatch):
    monkeypatch.setattr("labelling.benchmark.embedding.load_encoder", lambda name, cache, weights: HashingEncoder(64))
    out, path, plot = io.StringIO(), tmp_path / "few.json", tmp_path / "few.png"
    asked = f"--examples-per-label 0 1 3 --random-state 0 1 --cache {tmp_path} --json {path} --plot {plot}"
    more = f"--labels-file {tmp_path / 'labels.csv'}"
    call_command("benchmark", *files, *asked.split(), *more.split(), stdout=out, stderr=io.StringIO())
    found = json.loads(path.read_text(encoding="utf-8"))["examples_per_label"]
    assert list(found) == ["0", "1", "3"]
    assert found["0"]["flat"] == {"accuracy": None, "accuracy_sd": None, "ece": None, "ece_sd": None}
    for number, models in found.items():
        assert set(models) == {"red", "flat", "centroid"}
        assert models["red"]["accuracy"] >= 0.5, number
        assert models["centroid"]["accuracy"] >= 0.5, number
        assert 0 <= models["red"]["ece"] <= 1
    assert "| examples of each label | R.E.D. | its ECE | flat | centroid with name |" in out.getvalue()
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_an_encoder_that_learns_the_examples_stands_beside_the_one_as_it_is(files, tmp_path, monkeypatch):
    maker = AdaptedEncoder()
    monkeypatch.setattr("labelling.benchmark.embedding.fine_tune", maker)
    monkeypatch.setattr("labelling.benchmark.embedding.load_encoder", lambda name, cache, weights: maker.load(name))
    out = io.StringIO()
    asked = f"--examples-per-label 0 2 --random-state 0 --adapt --cache {tmp_path}"
    call_command("benchmark", *files, *asked.split(), stdout=out, stderr=io.StringIO())
    ((_texts, labels),) = maker.asked
    # Two texts of each label, and its name.
    assert sorted(labels) == sorted(3 * list(range(max(labels) + 1)))
    heads, _line, none, two = out.getvalue().splitlines()[:4]
    assert "| with the encoder adapted | ECE then |" in heads
    assert none.split("|")[4].strip() == "–" != two.split("|")[4].strip()


def test_a_number_below_none_is_refused(files):
    with pytest.raises(CommandError, match="'-1' should be a whole number of 0 or more"):
        call_command("benchmark", *files, "--examples-per-label", "-1")
