"""What a judge is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

VerdictName = Literal["valid", "invalid", "unsure"]
VERDICTS: tuple[VerdictName, ...] = get_args(VerdictName)
Form = Literal["validate", "choose"]


@dataclass(frozen=True)
class Example:
    """A training example near the text; ``label`` is None where the text belongs to no label."""

    text: str
    label: str | None
    similarity: float


@dataclass(frozen=True)
class Rival:
    """A label that could be meant instead."""

    label: str
    definition: str = ""


@dataclass(frozen=True)
class Question:
    """Is ``label`` valid for ``text``? Or, where labels are offered: which of them is it?

    Attributes:
        text: the document.
        label: the candidate label's name. A judge that is to choose is not told.
        definition: when the label applies and when not; may be empty.
        task: what the project labels, in the admin's words; may be empty.
        rivals: the labels most like the candidate, whatever the text: all questions about a label share them.
        others: further labels that this text makes probable, strongest first.
        offered: the labels to choose among, in the order shown; empty where one is to be checked.
        examples: nearest training examples of the label and of its rival, or of what is offered.
        neighbours: nearest training examples whatever their label, most similar first.
    """

    text: str
    label: str
    definition: str = ""
    task: str = ""
    rivals: Sequence[Rival] = ()
    others: Sequence[Rival] = ()
    offered: Sequence[Rival] = ()
    examples: Sequence[Example] = ()
    neighbours: Sequence[Example] = ()


@dataclass(frozen=True)
class Answer:
    """What the judge said, and what it took.

    Attributes:
        verdict: valid, invalid or unsure. A choice is valid when the candidate was chosen, invalid when another label
            or none of them was.
        reason: one sentence.
        better_label: the rival that fits, where the judge named one; the label chosen, where it isn't the candidate.
        model: the model that answered.
        request_id: the provider's id of the call; empty offline.
        input_tokens, output_tokens: as billed; 0 offline.
    """

    verdict: VerdictName
    reason: str
    better_label: str | None = None
    model: str = ""
    request_id: str = ""
    input_tokens: int = 0
    output_tokens: int = 0


def choice(question: Question, chosen: str | None, reason: str, model: str = "") -> Answer:
    """The answer of a judge that chose a label among those offered, or None for none of these."""
    if chosen == question.label:
        return Answer("valid", reason, model=model)
    return Answer("invalid", reason, chosen, model)


class Judge(Protocol):
    """Answers questions; ``prompt_version`` changes whenever the same question is put differently."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def prompt_version(self) -> str: ...

    def ask(self, question: Question) -> Answer:
        """Answer one question.

        Raises:
            JudgeError: when this question got no usable answer.
            JudgeUnavailable: when no question can be answered until somebody acts.
        """
        ...
