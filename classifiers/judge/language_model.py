"""The judge that asks a language model behind the Messages API."""

from __future__ import annotations

from classifiers.judge.prompt import PROMPT_VERSIONS, prompt, read_answer
from classifiers.judge.question import Answer, Form, Question
from classifiers.messages_api import MessagesClient


class AnthropicJudge:
    """Asks one call a question, and repeats nothing: whoever keeps the books does that.

    Args:
        client: the model and where it is.
        form: of the questions.
    """

    name = "anthropic"

    def __init__(self, client: MessagesClient, form: Form = "validate"):
        self.client, self.model, self.form = client, client.model, form

    @property
    def prompt_version(self) -> str:
        return PROMPT_VERSIONS[self.form]

    def ask(self, question: Question) -> Answer:
        """Put the question to the model; see Judge.ask for what it raises."""
        return read_answer(self.client.call(prompt(question)), question)
