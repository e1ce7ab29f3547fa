"""Labels for texts that need not be in a project, by its model, and under what promise they stand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from typing import Any

from django.conf import settings
from django.db.models import Min, QuerySet
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from labelling.models import Certificate, CohortMember, DriftLook, Label, Project, Release, SettledLabel
from labelling.services import Refused, certificates, domains, watching

# Texts in one request.
MAX_TEXTS = 1_000
PATIENCE_SECONDS = 120.0

# (Key of a label or None for none of these, probability) of a text's best labels, best first.
Proposals = list[tuple[int | None, float]]


class NotServed(Exception):
    """No process holds the models. The message says what to start, for people."""


@dataclass(frozen=True)
class Suggestion:
    """What the model says of a text; a label of None is none of these.

    Attributes:
        certified: whether the probability is one from which on a certificate covers the project's own labels; else a
            person should be asked.
    """

    label: Label | None
    probability: float
    second: Label | None
    second_probability: float
    certified: bool


@dataclass(frozen=True)
class Standing:
    """Under what promise a project's model answers.

    Attributes:
        certificate: the newest that holds; None where nothing is promised, or no longer for later texts.
        threshold: the lowest probability of the labels that it covers and that rest on the model alone; None as above.
        release: the newest that is done.
        drift: what is known of later texts; None where nothing is.
        reserved: ids of the labels that only people decide on.
    """

    certificate: Certificate | None
    threshold: float | None
    release: Release | None
    drift: DriftLook | None = None
    reserved: frozenset[int] = frozenset()

    @classmethod
    def of(cls, project: Project) -> Standing:
        release = project.releases.filter(state=Release.State.DONE).first()
        certificate, drift = certificates.in_force(project), watching.last_look(project)
        if certificate is None or (drift and drift.is_wrong):
            return cls(None, None, release, drift)
        lowest = covered(project).aggregate(lowest=Min("settled__posterior"))["lowest"]
        reserved = frozenset(domains.reserved_labels(project))
        return cls(certificate if lowest is not None else None, lowest, release, drift, reserved)

    def covers(self, label: Label | None, probability: float) -> bool:
        """Whether a label is answered as certified: never one that a rule leaves to people."""
        if label is None or self.threshold is None or label.pk in self.reserved:
            return False
        return probability >= self.threshold


def covered(project: Project) -> QuerySet[CohortMember]:
    """The labels that a certificate covers and that rest on the model alone."""
    return CohortMember.objects.filter(
        certificate__isnull=False,
        settled__project=project,
        settled__source=SettledLabel.Source.MODEL,
        settled__left_at=None,
        settled__is_parent=False,
    )


@dataclass(frozen=True)
class Answer:
    """Suggestions for texts, in their order; the round whose model made them, 0 where that was not noted."""

    round_number: int
    standing: Standing
    suggestions: list[Suggestion]

    def certified(self, texts: Sequence[str]) -> list[tuple[str, Label, float]]:
        """Of the texts that it is about those that are answered as certified, with label and probability."""
        answered = zip(texts, self.suggestions, strict=True)
        return [(text, one.label, one.probability) for text, one in answered if one.certified and one.label]


def suggest(project: Project, texts: Sequence[str]) -> Answer:
    """Ask the process that holds the models for the labels of at most ``MAX_TEXTS`` texts.

    Raises:
        NotServed: when it does not run.
        Refused: when the project has no model.
    """
    with _asked({"project": project.pk, "texts": [text.strip() for text in texts]}) as answer:
        standing = Standing.of(project)
        found = answer()
    if found["round"] is None:
        raise Refused(_("This project has no model yet. Let a round run first."))
    return Answer(found["round"], standing, interpret(project, standing, found["proposals"]))


def nearest(project: Project, text: str, n: int) -> dict[int, float]:
    """Ask for the ``n`` documents that are most like a text: by key, cosine similarity in [-1, 1], most alike first.

    Those that no round has read are not among them.

    Raises:
        NotServed: when the process that holds the models does not run.
    """
    with _asked({"project": project.pk, "like": text.strip(), "n": n}) as answer:
        return dict(answer()["nearest"])


def interpret(project: Project, standing: Standing, proposals: Sequence[Proposals]) -> list[Suggestion]:
    """Say what proposals mean. A label that was deleted since counts as none of these."""
    named = {pk for best, second, *_rest in proposals for pk, _probability in (best, second) if pk is not None}
    labels: dict[int | None, Label] = dict(project.labels.current(named).items())
    suggestions = []
    for (best, probability), (second, second_probability), *_rest in proposals:
        label = labels.get(best)
        certified = standing.covers(label, probability)
        suggestions.append(Suggestion(label, probability, labels.get(second), second_probability, certified))
    return suggestions


def socket_key() -> bytes:
    """What both ends of the socket have to know."""
    return salted_hmac("labelling.suggesting", "socket", algorithm="sha256").digest()


@contextmanager
def _asked(message: dict[str, Any]) -> Iterator[Callable[[], dict[str, Any]]]:
    """Ask the process that holds the models, and give what waits for its answer: something else may be done meanwhile.

    Raises:
        NotServed: when it does not run, does not answer, or has failed.
    """

    def answer() -> dict[str, Any]:
        if not connection.poll(PATIENCE_SECONDS):
            raise NotServed(_("The process that holds the models does not answer."))
        found: dict[str, Any] = json.loads(connection.recv_bytes())
        if "error" in found:
            raise NotServed(_("The process that holds the models failed: %(error)s") % found)
        return found

    try:
        with Client(str(settings.MODEL_SOCKET), family="AF_UNIX", authkey=socket_key()) as connection:
            connection.send_bytes(json.dumps(message).encode())
            yield answer
    except (OSError, EOFError, AuthenticationError) as error:
        raise NotServed(_("The process that holds the models does not run. Start it: manage.py serve_model")) from error
