"""The proxy reviewer: is this label valid for this text? Or: which of these labels is it?

A judge is anything with ``name``, ``model``, ``prompt_version`` and ``ask(question) -> Answer``. An answer is always
the judge's own: whatever goes wrong raises, so a failed call can never be taken for a verdict.
To add a judge, write a class of that shape beside NeighbourJudge and name it in ``make_judge``.
"""

from __future__ import annotations

from classifiers.judge.language_model import AnthropicJudge
from classifiers.judge.neighbours import NeighbourJudge
from classifiers.judge.question import Answer, Example, Form, Judge, Question, Rival, VerdictName
from classifiers.messages_api import JudgeError, JudgeUnavailable, MessagesClient

__all__ = [
    "Answer",
    "AnthropicJudge",
    "Example",
    "Form",
    "Judge",
    "JudgeError",
    "JudgeUnavailable",
    "NeighbourJudge",
    "Question",
    "Rival",
    "VerdictName",
    "make_judge",
]


def make_judge(
    name: str, model: str = "", base_url: str | None = None, form: Form = "validate", timeout: float = 60.0
) -> Judge:
    """Return the judge of that name, for questions of one form.

    Raises:
        ValueError: for an unknown name.
    """
    if name == "neighbours":
        return NeighbourJudge(form)
    if name == "anthropic":
        return AnthropicJudge(MessagesClient(model, base_url, timeout), form)
    raise ValueError(f"Unknown judge {name!r}; choose neighbours or anthropic.")
