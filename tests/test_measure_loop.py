"""What measures whole loops: the deal, the reviewers' eyes, and how an export is counted."""

from __future__ import annotations

import numpy as np
import pytest

from labelling.benchmark.data import Vectors, draw, read_corpus
from labelling.csv_io.exporting import csv_lines
from tests import real_data
from tests.measure_loop import Deal, Row, deal, report, row_of, row_of_benchmark
from tests.visitor import Page, fields, text_of

FOUND = {"questions": 2, "decisions": 1, "audits": 3, "bound": 0.25}


def test_seeds_and_pool_are_dealt_as_the_benchmark_deals_them(tmp_path):
    rows = [(f"text {n}", f"label {n % 7}") for n in range(200)]
    for name in ("train", "test"):
        real_data.write(tmp_path / f"{name}.csv", rows)
    vectors = np.random.default_rng(0).normal(size=(200, 3))
    text_of_vector = {tuple(vector): row for vector, row in zip(vectors, rows, strict=True)}
    corpus = read_corpus([tmp_path / "train.csv"], [tmp_path / "test.csv"])
    drawn, _ = draw(corpus, Vectors(vectors, vectors, vectors[:0], vectors[:7]), 5, 60, 3)
    dealt = deal(tmp_path, seeds_per_label=5, n_pool=60, random_state=3)
    assert dealt.seeds == [text_of_vector[tuple(vector)] for vector in drawn.X]
    assert dealt.pool == [text_of_vector[tuple(vector)] for vector in drawn.X_pool]
    assert (len(dealt.seeds), len(dealt.pool)) == (35, 60)


def test_an_export_is_counted_against_the_hidden_truth():
    pool = [("=1+1", "a"), ("two\nlines", "b"), ("three", "a"), ("four", "b"), ("five", "b")]
    dealt = Deal(seeds=[("seed", "a")], pool=pool)
    lines = [
        ["seed", "a", "seed", "", ""],
        ["=1+1", "a", "human", "0.2", ""],
        ["two\nlines", "b", "model", "0.9", "yes"],
        ["three", "b", "judge", "0.9", "yes"],
        ["four", "b", "model", "0.84", ""],  # not sure enough to count
        ["five", "", "", "", ""],
    ]
    exported = "".join(csv_lines(["text", "label", "source", "probability", "certified"], lines))
    row = row_of(exported, dealt, FOUND)
    assert (row.questions, row.decisions, row.audits, row.bound) == (2 / 5, 1, 3, 0.25)
    assert (row.settled, row.settled_right) == (3 / 5, 2 / 3)
    assert (row.certified, row.certified_right) == (2 / 5, 1 / 2)


def test_the_benchmarks_last_round_stands_beside_it():
    nothing = {"certified": 0.0, "certified_wrong": None, "bound": None}
    last = {"judge_calls": 0.3, "reviews": 0.04, "pool_labelled": 0.99, "pool_right": 0.98, "audits": 40.0} | nothing
    certified = last | {"certified": 0.9, "certified_wrong": 0.01, "bound": 0.04}
    figures = {"dataset": {"pool": 1000}, "loop": {"red": [{}, last], "people": [certified]}}
    assert row_of_benchmark(figures, "anthropic") == Row(0.3, 40, 0.99, 0.98, 0.0, None, 40, None)
    assert row_of_benchmark(figures, "none") == Row(0.3, 40, 0.99, 0.98, 0.9, 0.99, 40, 0.04)
    table = report({"one": row_of_benchmark(figures, "none"), "other": row_of_benchmark(figures, "anthropic")})
    assert "| one | 0.30 | 40 | 99.0 % | 98.0 % | 90.0 % | 99.0 % | 40 | 4.0 % |" in table
    assert "| other | 0.30 | 40 | 99.0 % | 98.0 % | 0.0 % | – | 40 | – |" in table


def test_a_visitor_reads_a_page_and_its_forms_as_they_stand():
    page = Page.read(
        """<!doctype html><title>It</title><form method="post" action="/a/b/">
        <input type="hidden" name="token" value="&lt;x&gt;"><input name="empty"><input type="file" name="file">
        <input type="checkbox" name="on" checked><input type="checkbox" name="off"><input name="no" value="1" disabled>
        <select name="first"><option value="1">One<option value="2">Two</select>
        <select name="second"><option value="1">One</option><option value="2" selected>Two</option></select>
        <textarea name="text">some
        words</textarea><button name="choice" value="accept">Go &amp; see</button></form>
        <p class="wide text">a<br>b  <b>c</b></p>"""
    )
    sent = {"token": "<x>", "empty": "", "on": "on", "first": "1", "second": "2", "text": "some words"}
    assert fields(page.form("/b/")) == sent
    assert (page.text("p", class_="text"), page.text("b"), page.text("h1")) == ("a b c", "c", "")
    assert [text_of(found) for found in page.find("button", name="choice", value="accept")] == ["Go & see"]
    with pytest.raises(LookupError, match="“It” has no form /c/"):
        page.form("/c/")
