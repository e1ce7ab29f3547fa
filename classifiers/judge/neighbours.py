"""The offline judge: looks at the nearest training examples of all labels. No key, no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from classifiers.judge.question import Answer, Example, Form, Question, VerdictName, choice
from classifiers.messages_api import JudgeError
from classifiers.sentences import Reason as _


@dataclass(frozen=True)
class NeighbourJudge:
    """Votes with the similarities of the nearest examples.

    So it is no better than a nearest-neighbour classifier; it is a second opinion from another kind of model, not an
    expert's.

    Attributes:
        form: of the questions; decides what the answers are counted as.
        n_neighbours: how many examples vote.
        valid_share: the label is valid from this share of the vote on.
        invalid_share: the label is invalid up to this share; between the two it is unsure.
    """

    form: Form = "validate"
    n_neighbours: int = 10
    valid_share: float = 0.5
    invalid_share: float = 0.2
    name: str = field(default="neighbours", init=False)
    model: str = field(default="nearest examples", init=False)

    @property
    def prompt_version(self) -> str:
        return "neighbours-1" if self.form == "validate" else "neighbours-choose-1"

    def ask(self, question: Question) -> Answer:
        """Answer from ``question.neighbours``.

        Raises:
            JudgeError: when there is no neighbour to look at.
        """
        nearest = question.neighbours[: self.n_neighbours]
        if not nearest:
            raise JudgeError(_("There is no training example to compare with."))
        votes: Counter[str | None] = Counter()
        for example in nearest:
            votes[example.label] += max(example.similarity, 0.0)  # type: ignore[assignment]
        winner = max(votes, key=lambda label: (votes[label], label == question.label))
        if question.offered:
            offered = {rival.label for rival in question.offered}
            return choice(question, winner if winner in offered else None, _counted(nearest, winner), self.model)
        share = votes[question.label] / (sum(votes.values()) or 1.0)
        reason = _counted(nearest, question.label, winner)
        return Answer(self._verdict(share), reason, winner if winner != question.label else None, self.model)

    def _verdict(self, share: float) -> VerdictName:
        if share >= self.valid_share:
            return "valid"
        return "invalid" if share <= self.invalid_share else "unsure"


def _counted(nearest: Sequence[Example], label: str | None, winner: str | None = None) -> str:
    """How many of the nearest examples are of a label, and how many of the one that has most, where it is another."""

    def count(of: str | None) -> int:
        return sum(example.label == of for example in nearest)

    said = f"{count(label)} of the {len(nearest)} nearest examples are {label or 'none of the labels'}"
    if winner != label and label is not None and count(winner):
        said += f", {count(winner)} are {winner or 'none of the labels'}"
    return f"{said}."
