"""Which words of a text speak for a label: those without which the classifiers think less of it.

Each word is left out in turn, wherever it stands, and what becomes of the odds between two labels is its weight
(leave one out, as in Li, Monroe and Jurafsky 2016, arXiv 1612.08220).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

# Texts to probabilities, shape (n_texts, n_labels); what is no candidate has 0.
Predict = Callable[[list[str]], np.ndarray]
# Where words stand in a text: start and end.
Spans = list[tuple[int, int]]

# Words of a text that are left out in turn. Of a longer text this many are read at a time, in so many passages.
MAX_WORDS = 40
MAX_PASSAGES = 25
# Words that speak for one label: at most so many, of which each changes the log odds by so much, and by this share of
# what the heaviest does.
MAX_SPEAKING = 3
LEAST_WEIGHT = 0.05
LEAST_SHARE = 0.5
# A probability below this is as good as none.
TINY = 1e-3
WORD = re.compile(r"\w+(?:['’-]\w+)*")


def speaking_words(
    texts: Sequence[str], pairs: Sequence[tuple[int, int]], predict: Predict
) -> list[tuple[Spans, Spans]]:
    """Return where the words stand that speak for the one and for the other of two labels, in reading order.

    Of a text longer than ``MAX_WORDS`` words only the passage is looked at that alone says most of the two labels.

    Args:
        texts: n of them.
        pairs: the codes of two different labels, for each text.
        predict: what the classifiers make of any texts; called twice at most, with all that has to be tried at once.

    Returns:
        n pairs of spans, either may be empty; none at all for a text of a single word.
    """
    passages = _most_telling(texts, pairs, predict)
    words = [_words(text[start:end]) for text, (start, end) in zip(texts, passages, strict=True)]
    tried: list[str] = []
    for text, (start, end), found in zip(texts, passages, words, strict=True):
        if len(found) > 1:
            tried += [text[start:end], *(_without(text[start:end], spans) for spans in found.values())]
    probabilities = predict(tried) if tried else np.empty((0, 0))
    speaking: list[tuple[Spans, Spans]] = []
    row = 0
    for (start, _end), found, pair in zip(passages, words, pairs, strict=True):
        if len(found) < 2:
            speaking.append(([], []))
            continue
        odds = _log_odds(probabilities[row : row + len(found) + 1], pair)
        row += len(found) + 1
        weights = odds[0] - odds[1:]
        spans = [[(start + a, start + b) for a, b in each] for each in found.values()]
        speaking.append((_heaviest(spans, weights), _heaviest(spans, -weights)))
    return speaking


def _most_telling(texts: Sequence[str], pairs: Sequence[tuple[int, int]], predict: Predict) -> Spans:
    """Of each text, start and end of what is looked at."""
    parts = [_passages(text) for text in texts]
    long = [n for n, spans in enumerate(parts) if len(spans) > 1]
    if not long:
        return [spans[0] for spans in parts]
    probabilities = predict([texts[n][start:end] for n in long for start, end in parts[n]])
    found, row = [spans[0] for spans in parts], 0
    for n in long:
        of_two = probabilities[row : row + len(parts[n])][:, list(pairs[n])].sum(axis=1)
        row += len(parts[n])
        found[n] = parts[n][int(of_two.argmax())]
    return found


def _passages(text: str) -> Spans:
    words = [match.span() for match in WORD.finditer(text)][: MAX_WORDS * MAX_PASSAGES]
    if len(words) <= MAX_WORDS:
        return [(0, len(text))]
    chunks = [words[n : n + MAX_WORDS] for n in range(0, len(words), MAX_WORDS)]
    return [(chunk[0][0], chunk[-1][1]) for chunk in chunks]


def _words(text: str) -> dict[str, Spans]:
    """Where each word stands, by how it is written in small letters."""
    found: dict[str, Spans] = {}
    for match in WORD.finditer(text):
        found.setdefault(match[0].casefold(), []).append(match.span())
    return found


def _without(text: str, spans: Spans) -> str:
    for start, end in reversed(spans):
        text = text[:start] + text[end:]
    return text


def _log_odds(probabilities: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    one, other = np.log(probabilities[:, list(pair)] + TINY).T
    return one - other


def _heaviest(spans: list[Spans], weights: np.ndarray) -> Spans:
    order = np.argsort(-weights, kind="stable")[:MAX_SPEAKING]
    least = max(LEAST_WEIGHT, LEAST_SHARE * weights.max())
    return sorted(span for n in order.tolist() if weights[n] >= least for span in spans[n])
