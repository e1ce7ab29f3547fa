"""The benchmark command on small data: no test here has a database, so one that touches it fails."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from classifiers.subset_classifier import NOISE
from labelling.benchmark import report
from labelling.benchmark.data import BadData, Vectors, draw, read_corpus, skewed, some_labels
from labelling.benchmark.measuring import ARMS, MODELS, is_cross_validated
from tests.fakes import HashingEncoder

N_LABELS = 6
FIGURES = {
    "round",
    "judge_calls",
    "reviews",
    "heldout_accuracy",
    "pool_labelled",
    "pool_right",
    "uncertain",
    "expected_gain",
    "accepted",
    "accepted_right",
    "certified",
    "certified_wrong",
    "audits",
    "audit_errors",
    "bound",
    "claimed",
    "claimed_right",
    "best_before",
    "best_after",
}


@pytest.fixture
def sentence_encoder(monkeypatch) -> HashingEncoder:
    fake = HashingEncoder(64)
    monkeypatch.setattr("labelling.benchmark.embedding.load_encoder", lambda name, cache, weights: fake)
    return fake


def write(path: Path, rows: list[tuple[str, str]], heads: tuple[str, str] = ("text", "label")) -> str:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([heads, *rows])
    return str(path)


def texts(n: int, seed: int, n_labels: int = N_LABELS) -> list[tuple[str, str]]:
    """n texts a label, of its own words and of words that all labels share."""
    rng = random.Random(seed)
    return [
        (" ".join([*(f"word{label}{rng.randrange(4)}" for _ in range(2)), f"any{rng.randrange(9)}"]), f"label_{label}")
        for label in range(n_labels)
        for _ in range(n)
    ]


@pytest.fixture
def files(tmp_path) -> list[str]:
    return [write(tmp_path / "train.csv", texts(14, 0)), write(tmp_path / "test.csv", texts(5, 1))]


@pytest.fixture
def oos(tmp_path) -> str:
    return write(tmp_path / "oos.csv", [(f"elsewhere{n} nowhere{n % 3}", "oos") for n in range(12)])


@pytest.fixture
def benchmark(tmp_path, sentence_encoder):
    """Run the command; returns the figures of its JSON file, what it printed and its progress."""

    def run(*arguments: str) -> tuple[dict, str, str]:
        out, progress, path = io.StringIO(), io.StringIO(), tmp_path / "figures.json"
        few = (
            "--seeds-per-label 4 --rounds 2 --judge-calls-per-round 8 --reviews-per-round 4"
            f" --random-state 0 1 --cache {tmp_path / 'cache'} --json {path}"
        )
        call_command("benchmark", *arguments, *few.split(), stdout=out, stderr=progress)
        return json.loads(path.read_text(encoding="utf-8")), out.getvalue(), progress.getvalue()

    return run


def test_it_measures_all_arms(benchmark, files, oos, tmp_path):
    figures, printed, progress = benchmark(*files, "--oos", oos, "--plot", str(tmp_path / "curves.png"))
    assert set(figures) == {"dataset", "no_judge", "loop", "stopped", "oos", "seconds", "peak_rss_mb", "run"}
    assert {key: figures["dataset"][key] for key in ("labels", "seeds", "pool", "test", "oos")} == {
        "labels": N_LABELS,
        "seeds": N_LABELS * 4,
        "pool": N_LABELS * 10 + 12,
        "test": N_LABELS * 5,
        "oos": 12,
    }
    assert set(figures["no_judge"]) == set(MODELS)
    assert set(figures["loop"]) == set(ARMS)
    for row in figures["no_judge"].values():
        assert set(row) == with_sd(
            {
                "accuracy",
                "pool_accuracy",
                "macro_f1",
                "coverage_at_95",
                "ece",
                "recall_at_10",
                "pool_recall_at_10",
            }
        )
        assert all(0 <= value <= 1 for value in row.values())
    for rounds in figures["loop"].values():
        assert [row["round"] for row in rounds] == list(range(1, len(rounds) + 1))
        assert all(set(row) == with_sd(FIGURES) - {"round_sd"} for row in rounds)
        assert rounds[-1]["reviews"] <= 10 / 72  # a last audit may need a second look
    calls = {arm: rounds[-1]["judge_calls"] for arm, rounds in figures["loop"].items()}
    assert calls.pop("people") == 0
    # A refused label leads to the next, at most three in a row.
    assert all(0 < spent <= 3 * 16 / 72 for spent in calls.values())
    assert set(figures["stopped"]) == {"round", "round_sd", "reason"}
    assert len(figures["stopped"]["reason"]) == 2
    assert figures["oos"]["auroc"] > 0.5
    assert set(figures["seconds"]) == with_sd({"embed", "partition", "fit", "predict"})
    assert figures["peak_rss_mb"] > 10
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "state 1: red loop, round 1 of 2" in progress
    for row in ("| flat | ", "| red | ", "| article, round ", "AUROC"):
        assert row in printed


def with_sd(keys: set[str]) -> set[str]:
    return keys | {f"{key}_sd" for key in keys}


def test_the_same_run_reads_its_vectors_and_finds_the_same(benchmark, files, sentence_encoder):
    first, *_ = benchmark(*files, "--no-loop")
    encoded = sentence_encoder.n_encoded
    assert first["run"]["texts_encoded"] == encoded == N_LABELS * (14 + 5 + 1)
    second, *_ = benchmark(*files, "--no-loop")
    assert sentence_encoder.n_encoded == encoded
    assert second["run"]["texts_encoded"] == 0
    assert first["no_judge"] == second["no_judge"]
    assert second["loop"] == {}
    assert second["stopped"] == {"round": None, "round_sd": None, "reason": []}
    assert second["oos"] == {"auroc": None, "auroc_sd": None}


def test_the_judge_can_be_asked_to_choose(benchmark, files):
    figures, printed, _ = benchmark(*files, "--question", "choose", "--arms", "red", "article", "--pool", "30")
    assert set(figures["loop"]) == {"red", "article"}
    assert figures["dataset"]["pool"] == 30
    assert "question choose" in printed


def test_the_judge_may_know_no_more_than_the_seeds(benchmark, files):
    figures, printed, _ = benchmark(*files, "--arms", "red", "--copying-judge")
    assert "judge that copies the nearest seeds, question validate" in printed
    knowing, printed, _ = benchmark(*files, "--arms", "red")
    assert "judge 0.95/0.95, question validate" in printed
    assert figures["loop"]["red"][0]["claimed_right"] != knowing["loop"]["red"][0]["claimed_right"]


def test_few_labels_come_with_their_texts_alone(benchmark, files):
    figures, _, _ = benchmark(*files, "--no-loop", "--arms", "red", "--labels", "4", "--random-state", "0")
    assert figures["dataset"] | {"oos": 0, "pool": 4 * 10} == figures["dataset"]
    assert (figures["dataset"]["labels"], figures["dataset"]["test"]) == (4, 4 * 5)


@pytest.mark.parametrize("n_labels", [2, 3, 9])
def test_labels_are_drawn_with_their_rows_vectors_and_names(tmp_path, n_labels):
    train, test = (Path(write(tmp_path / name, texts(n, 0, 3))) for name, n in (("train.csv", 4), ("test.csv", 2)))
    corpus = read_corpus([train], [test])
    numbered = [np.arange(n, dtype=np.float32)[:, None] for n in (12, 6, 0, 3)]
    few, vectors = some_labels(corpus, Vectors(*numbered), n_labels, random_state=1)
    assert len(few.labels) == min(n_labels, 3)
    assert few.names == [label.replace("_", " ") for label in few.labels]
    assert [corpus.labels[int(row)] for row in vectors.names[:, 0]] == few.labels
    for tables, before, rows in ((few.train, corpus.train, vectors.train), (few.test, corpus.test, vectors.test)):
        assert set(tables[0].labels) == set(few.labels)
        assert [before[0].texts[int(row)] for row in rows[:, 0]] == tables[0].texts


def test_folders_name_the_parts_of_a_mixture(tmp_path):
    paths = [Path(write(tmp_path / part / "train.csv", texts(3, 0, 2))) for part in ("first", "second")]
    corpus = read_corpus(paths, paths)
    assert corpus.labels == ["first/label_0", "first/label_1", "second/label_0", "second/label_1"]
    assert corpus.names == ["label 0", "label 1", "label 0", "label 1"]


def test_seeds_leave_a_text_of_each_label_in_the_pool(tmp_path):
    rows = [(f"{label} {n}", label) for label, size in (("one", 1), ("two", 2), ("nine", 9)) for n in range(size)]
    path = Path(write(tmp_path / "train.csv", rows))
    corpus = read_corpus([path], [path], Path(write(tmp_path / "oos.csv", [("else", "oos")])))
    X = np.arange(12, dtype=np.float32)[:, None]
    vectors = Vectors(X, X, np.array([[99.0]], dtype=np.float32), np.zeros((3, 1)))
    data, mixed = draw(corpus, vectors, 5, None, random_state=3)
    assert np.bincount(data.y).tolist() == [5, 1, 1]  # nine, one, two
    assert np.bincount(data.y_pool, minlength=3).tolist() == [4, 0, 1]
    truth = corpus.codes(corpus.train)
    assert (truth[data.X_pool[:, 0].astype(int)] == data.y_pool).all()
    assert not set(data.X[:, 0]) & set(data.X_pool[:, 0])
    assert sorted(mixed.X_pool[:, 0]) == [*sorted(data.X_pool[:, 0]), 99.0]
    assert mixed.y_pool[mixed.X_pool[:, 0] == 99].tolist() == [NOISE]
    again, _ = draw(corpus, vectors, 5, 2, random_state=3)
    assert (again.X == data.X).all()
    assert (again.X_pool == data.X_pool[:2]).all()


@pytest.mark.parametrize("random_state", range(5))
def test_a_skewed_pool_follows_zipfs_law(random_state):
    y = np.random.default_rng(9).permutation(np.repeat(np.arange(20), 60))
    kept = skewed(np.arange(1_200), y, 1.0, random_state)
    counted = np.sort(np.bincount(y[kept], minlength=20))[::-1]
    assert counted.tolist() == [60 // rank for rank in range(1, 21)]
    assert (np.diff(kept) > 0).all()
    assert (kept == skewed(np.arange(1_200), y, 1.0, random_state)).all()
    assert np.bincount(y[skewed(np.arange(1_200), y, 3.0, random_state)], minlength=20).min() == 1


def test_which_label_is_common_is_drawn():
    y = np.repeat(np.arange(20), 60)
    assert len({np.bincount(y[skewed(np.arange(1_200), y, 1.0, state)]).argmax() for state in range(8)}) > 4


@pytest.mark.parametrize("value", ["-1", "4", "nan", "x", ""])
def test_exponents_that_are_none_are_refused(value):
    with pytest.raises(CommandError, match="between 0 and 3"):
        call_command("benchmark", "a.csv", "b.csv", "--zipf", value)


def test_figures_without_a_value_are_left_out_of_the_mean():
    nan = float("nan")
    assert report.summary([{"a": 1.0, "b": nan, "c": nan}, {"a": 3.0, "b": 2.0, "c": nan}]) == {
        "a": 2.0,
        "a_sd": pytest.approx(2**0.5),
        "b": 2.0,
        "b_sd": None,
        "c": None,
        "c_sd": None,
    }


def test_a_loop_that_has_stopped_keeps_its_last_round():
    rounds = report.curve([[{"round": 1, "a": 1.0}], [{"round": 1, "a": 1.0}, {"round": 2, "a": 2.0}]])
    assert [(one["round"], one["a"]) for one in rounds] == [(1, 1.0), (2, 1.5)]


@pytest.mark.parametrize(
    ("n_labels", "n_seeds", "per_label", "tuned"),
    [(77, 2310, 30, True), (568, 14_700, 30, True), (943, 26_000, 30, False), (6, 12, 2, False)],
)
def test_large_data_is_not_cross_validated(n_labels, n_seeds, per_label, tuned):
    assert is_cross_validated(n_labels, n_seeds, per_label) is tuned


@pytest.mark.parametrize(
    ("rows", "heads", "message"),
    [
        ([("a", "b")], ("text", "intent"), "has no column label"),
        ([("a", "b")], ("a", "b"), "has no column text and no column label"),
        ([("a", "b"), ("", "b")], ("text", "label"), "line 3: text or label is missing"),
        ([], ("text", "label"), "has no rows"),
        ([("a", "b")], ("text", "label"), "at least two labels"),
        ([("a", "b"), ("c", "d")], ("text", "label"), "has labels that .* lacks: strange"),
    ],
)
def test_files_that_cannot_be_measured_on(tmp_path, rows, heads, message):
    train = Path(write(tmp_path / "train.csv", rows, heads))
    test = Path(write(tmp_path / "test.csv", [("a", "strange")]))
    with pytest.raises(BadData, match=message):
        read_corpus([train], [test])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.csv", "missing.csv"], "missing.csv can't be read: No such file"),
        (["{train}", "{test}", "--arms", "cat"], "invalid choice: 'cat'"),
        (["{train}", "{test}", "--judge-sensitivity", "95"], "should be a number between 0 and 1"),
        (["{train}", "{test}", "--random-state", "x"], "should be a whole number of 0 or more"),
        (["{train}", "{test}", "--review-strategy", "best"], "invalid choice: 'best'"),
        (["{train}", "{test}", "--plot", "no/where.png"], "folder is missing"),
    ],
)
def test_it_refuses_in_words(files, sentence_encoder, tmp_path, arguments, message):
    filled = [argument.format(train=files[0], test=files[1]) for argument in arguments]
    with pytest.raises(CommandError, match=message):
        call_command("benchmark", *filled, "--cache", str(tmp_path), stderr=io.StringIO())
    assert sentence_encoder.n_encoded == 0


def test_an_encoder_that_is_not_there(files, sentence_encoder, tmp_path, monkeypatch):
    def fail(texts):
        raise OSError("no such model")

    monkeypatch.setattr(sentence_encoder, "encode", fail)
    with pytest.raises(CommandError, match=r"The encoder hashing can't be used: no such model"):
        call_command("benchmark", *files, "--cache", str(tmp_path / "cache"), stderr=io.StringIO())
    assert not list((tmp_path / "cache").glob("*"))
