"""Which words speak for a label: where they stand, and that they are the ones which the classifiers go by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from classifiers.red_classifier import RedClassifier
from classifiers.speaking import MAX_PASSAGES, MAX_SPEAKING, MAX_WORDS, Predict, speaking_words
from tests.fakes import HashingEncoder

CARD, PIN = 0, 1
N_LABELS = 12


def by_words(texts: list[str]) -> np.ndarray:
    """Each "card" speaks for the one label, each "pin" for the other."""
    counts = np.array([[text.casefold().count(word) for word in ("card", "pin")] for text in texts], dtype=float)
    odds = np.exp(counts)
    return odds / odds.sum(axis=1, keepdims=True)


def marked(text: str, pair: tuple[int, int] = (CARD, PIN)) -> tuple[list[str], list[str]]:
    ((one, other),) = speaking_words([text], [pair], by_words)
    return [text[start:end] for start, end in one], [text[start:end] for start, end in other]


@pytest.mark.parametrize(
    ("text", "one", "other"),
    [
        ("my card, and the Pin of it", ["card"], ["Pin"]),
        ("Card or card?\nA pin!", ["Card", "card"], ["pin"]),
        ("nothing to go by", [], []),
        ("card", [], []),
        ("", [], []),
        ("… !", [], []),
    ],
)
def test_words_speak_for_one_of_two_labels_wherever_they_stand(text, one, other):
    assert marked(text) == (one, other)
    assert marked(text, (PIN, CARD)) == (other, one)


def test_of_a_long_text_the_most_telling_passage_is_looked_at_and_all_is_asked_in_two_calls():
    calls = []

    def predict(texts: list[str]) -> np.ndarray:
        calls.append(len(texts))
        # What says nothing is of neither label.
        known = np.array([["card" in text or "pin" in text] for text in texts])
        return np.where(known, by_words(texts), 1e-4)

    filler = " ".join(f"word{n}" for n in range(3 * MAX_WORDS))
    long = f"{filler} the card came {filler}"
    endless = "word " * MAX_WORDS * (MAX_PASSAGES + 1) + "card"
    found = speaking_words([long, "a pin", endless], [(CARD, PIN)] * 3, predict)
    assert [[long[start:end] for start, end in spans] for spans in found[0]] == [["card"], []]
    assert found[1] == ([], [(2, 5)])
    assert found[2] == ([], []), "nobody reads so far"
    assert len(calls) == 2
    assert calls[1] <= 3 * (MAX_WORDS + 1)
    assert speaking_words([], [], predict) == []


def test_without_the_marked_words_the_prediction_changes_three_times_as_often_as_without_others():
    """On texts of a label's own words, one of its neighbour's, and words that all labels share."""
    rng = np.random.default_rng(0)
    shared = [f"shared{n}" for n in range(40)]

    def texts(n_each: int) -> tuple[list[str], np.ndarray]:
        codes = np.arange(N_LABELS).repeat(n_each)
        own = [[*rng.choice(6, 2, replace=False), code] for code in codes.tolist()]
        telling = [
            (f"label{code}word{one}", f"label{code}word{two}", f"label{(code + 1) % N_LABELS}word0")
            for one, two, code in own
        ]
        written = [[*words, *rng.choice(shared, 8, replace=False)] for words in telling]
        return [" ".join(rng.permutation(words)) for words in written], codes

    seeds, codes = texts(8)
    encode = HashingEncoder(512).encode
    model = RedClassifier(n_deals=1, experts=("diverse",)).fit(encode(seeds), codes, texts=seeds)
    changed = changes_without(texts(10)[0], probabilities_of(model, encode))
    assert changed["marked"] >= 3 * changed["random"]
    assert changed["marked"] > 3 * N_LABELS, "of ten a label"


def probabilities_of(model: RedClassifier, encode: Callable[[list[str]], np.ndarray]) -> Predict:
    """What the model makes of texts, as a matrix."""

    def predict(texts: list[str]) -> np.ndarray:
        found = model.candidates(encode(texts), 10, texts)
        probabilities = np.zeros((len(texts), len(model.classes_)))
        np.put_along_axis(probabilities, found.labels, found.probabilities, axis=1)
        return probabilities

    return predict


def changes_without(texts: list[str], predict: Predict, random_state: int = 0) -> dict[str, int]:
    """How often the likeliest label is another one without the words that speak for it, and without as many others."""
    top_two = np.argsort(-predict(texts), axis=1, kind="stable")[:, :2]
    found = speaking_words(texts, [(one, other) for one, other in top_two.tolist()], predict)
    assert all(
        len({text[a:b].casefold() for a, b in spans}) <= MAX_SPEAKING
        for text, (spans, _) in zip(texts, found, strict=True)
    )
    rng = np.random.default_rng(random_state)
    without: dict[str, list[str]] = {"marked": [], "random": []}
    for text, (spans, _) in zip(texts, found, strict=True):
        gone = {text[start:end].casefold() for start, end in spans}
        words = text.split()
        kept = [word for word in words if word.strip(".,;:!?\"'()").casefold() not in gone]
        drawn = set(rng.choice(len(words), len(words) - len(kept), replace=False).tolist())
        without["marked"].append(" ".join(kept))
        without["random"].append(" ".join(word for n, word in enumerate(words) if n not in drawn))
    return {how: int((predict(shortened).argmax(axis=1) != top_two[:, 0]).sum()) for how, shortened in without.items()}
