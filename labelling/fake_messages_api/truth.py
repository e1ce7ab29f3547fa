"""A model that knows the true labels, and says them as often as it is told to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# How a prompt ends a text that is too long for it.
CUT = re.compile(r" \[cut: (\d+) more characters\]$")


@dataclass(frozen=True)
class Truth:
    """What texts are, and how often the model is right about them; the same question always gets the same answer.

    Attributes:
        labels: the true label by text; a text that has "" or is missing belongs to no label.
        sensitivity: P(valid | the label is right), and of a choice P(the right option), in [0, 1].
        specificity: P(invalid | the label is wrong), in [0, 1].
        seed: another one is wrong elsewhere.
    """

    labels: Mapping[str, str]
    sensitivity: float = 0.95
    specificity: float = 0.95
    seed: int = 0

    def says_valid(self, text: str, label: str) -> bool:
        """Whether the model calls the label valid for the text."""
        if label and label == self.label_of(text):
            return self._luck(text, label) < self.sensitivity
        return self._luck(text, label) >= self.specificity

    def chosen(self, text: str, offered: Iterable[str]) -> str:
        """The label that the model chooses; "" for none of these. Its errors spread evenly over the other options."""
        options = sorted({*offered, ""})
        right = self.label_of(text)
        right = right if right in options else ""
        options.remove(right)
        if not options or self._luck(text, right) < self.sensitivity:
            return right
        return options[int(self._luck(text, right, "instead") * len(options))]

    def label_of(self, text: str) -> str:
        """The true label of a text as a prompt gives it; "" for none."""
        if text in self.labels or not (cut := CUT.search(text)):
            return self.labels.get(text, "")
        begins, length = text[: cut.start()], cut.start() + int(cut[1])
        wholes = (whole for whole in self.labels if len(whole) == length and whole.startswith(begins))
        return self.labels.get(next(wholes, text), "")

    def _luck(self, *question: str) -> float:
        """A number in [0, 1), uniform over questions; from the question alone, not from when it is asked."""
        digest = hashlib.sha256(json.dumps([self.seed, *question]).encode()).digest()
        return int.from_bytes(digest[:8]) / 2**64
