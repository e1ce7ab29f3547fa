"""A file of texts in, the same file with their labels out; nothing of it is kept, unless its texts are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, repeat

from django.conf import settings

from labelling.csv_io.texts import TextFile, TextRow
from labelling.models import BackgroundJob, Project
from labelling.services.suggesting import MAX_TEXTS, Answer, Suggestion
from labelling.services.watching import Watch

COLUMNS = (
    "predicted_label",
    "predicted_code",
    "probability",
    "second_label",
    "second_probability",
    "certified",
    "model",
    "release",
)
"""What stands behind the file's own columns."""

# Texts labelled at a time by who holds the model: enough that those of like length are encoded together.
CHUNK = 4_096
CERTIFIED, ASK = "yes", "ask a person"

Suggest = Callable[[Sequence[str]], Answer]


def header(file: TextFile) -> list[str]:
    """The names of the columns, each another one: the file's own give way."""
    return [f"{name} (original)" if name in COLUMNS else name for name in file.header] + list(COLUMNS)


def rows(file: TextFile, suggest: Suggest, chunk: int = MAX_TEXTS) -> Iterator[list[str]]:
    """Yield the file's rows with what ``suggest`` says of them; those without a text get nothing.

    Raises:
        NotServed, Refused: whatever ``suggest`` raises.
    """
    found = file.rows()
    while some := list(islice(found, chunk)):
        yield from _predicted(some, suggest)


def watched(suggest: Suggest, watch: Watch) -> Suggest:
    """Have what ``suggest`` answers watched."""

    def suggest_watched(texts: Sequence[str]) -> Answer:
        answer = suggest(texts)
        watch.see(answer.certified(texts))
        return answer

    return suggest_watched


def usual_text_columns(project: Project) -> list[str]:
    """The columns that the texts of the project's last import were in; none before the first."""
    last = project.imports.filter(state=BackgroundJob.State.DONE).first()
    return [last.text_column, *last.more_text_columns] if last else []


def _predicted(some: list[TextRow], suggest: Suggest) -> Iterator[list[str]]:
    answer = suggest([row.text[: settings.MAX_TEXT_CHARS] for row in some if row.text])
    found = iter(answer.suggestions)
    release = str(answer.standing.release.number) if answer.standing.release else ""
    for row in some:
        if row.text:
            yield [*row.cells, *_cells(next(found)), f"round {answer.round_number}", release]
        else:
            yield [*row.cells, *repeat("", len(COLUMNS))]


def _cells(suggestion: Suggestion) -> list[str]:
    """Up to the column ``certified``; no label is none of these."""
    label, second = (one.name if one else "" for one in (suggestion.label, suggestion.second))
    code = suggestion.label.code if suggestion.label else ""
    certified = CERTIFIED if suggestion.certified else ASK
    return [label, code, f"{suggestion.probability:.4f}", second, f"{suggestion.second_probability:.4f}", certified]
