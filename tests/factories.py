"""Rows for tests, made in the way the product makes them."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, count

from django.contrib.auth.models import User
from django.core.files.base import ContentFile

from labelling import jobs
from labelling.models import CsvImport, Decision, Membership, Project, QueueEntry, Round
from labelling.services import imports, projects, review, rounds

numbers = count(1)

FRUIT = ("apple", "banana", "cherry", "mango")


def make_user(name: str = "", **flags: bool) -> User:
    return User.objects.create_user(name or f"user{next(numbers)}", password="secret", **flags)


def account(name: str, **flags: bool) -> User:
    """The account of this name: the one that the tests of a file share, or a new one."""
    return User.objects.filter(username=name).first() or make_user(name, **flags)


def fresh(project: Project) -> Project:
    """The project as the database has it."""
    return Project.objects.get(pk=project.pk)


def make_project(manager: User | None = None, reviewers: Iterable[User] = (), **settings) -> Project:
    name = settings.pop("name", f"Project {next(numbers)}")
    project = projects.create_project(name, manager or make_user(), **settings)
    for reviewer in reviewers:
        projects.set_member(project, reviewer, Membership.Role.REVIEWER)
    return project


def csv_file(rows: Iterable[Sequence[str]], header: Sequence[str] = ("text", "label"), name="texts.csv") -> ContentFile:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([header, *rows])
    return ContentFile(out.getvalue().encode(), name=name)


def import_rows(project: Project, rows: Iterable[Sequence[str]], **options) -> CsvImport:
    """Import (text, label) rows, or others with a ``header``, and return the finished import."""
    header = options.pop("header", ("text", "label"))
    return import_bytes(project, csv_file(rows, header).read(), **options)


def import_bytes(project: Project, data: bytes, **options) -> CsvImport:
    """Import a file with these bytes and return the finished import."""
    csv_import = imports.upload(project, ContentFile(data, name="texts.csv"), user=None)
    for name, value in options.items():
        setattr(csv_import, name, value)
    imports.start_here(csv_import)
    jobs.run_import(csv_import.pk)
    csv_import.refresh_from_db()
    return csv_import


def fruit_rows(n_seeds: int = 4, n_pool: int = 5) -> list[tuple[str, str]]:
    """Texts about four fruits that a bag of words tells apart: seeds with labels, pool without."""
    rows = []
    for fruit in FRUIT:
        rows += [(f"{fruit} {fruit} seed number {n}", fruit) for n in range(n_seeds)]
        rows += [(f"{fruit} {fruit} in the pool, item {n}", "") for n in range(n_pool)]
    return rows


def numbered(numbers: Iterable[int]) -> list[tuple[str, str]]:
    """Texts whose words tell nothing of their labels: only whoever has learnt it knows which number is of which."""
    return [(f"order {n}", FRUIT[n % len(FRUIT)]) for n in numbers]


def import_doubtful(project: Project) -> None:
    """24 texts about two fruits each: no classifier is sure of them, so that another round has something to gain."""
    pairs = combinations(FRUIT, 2)
    import_rows(project, [(f"{one} {other} mixed, item {n}", "") for one, other in pairs for n in range(4)])


def fruit_project(**settings) -> Project:
    """A project with 4 labels, 16 seed examples and 20 pool documents.

    The classifiers are sure of all of them; unlike the default strategy, that of the greatest gain asks nevertheless.
    """
    project = make_project(**{"strategy": "gain"} | settings)
    import_rows(project, fruit_rows())
    return project


def run_round(project: Project) -> Round:
    """Run the next round to its end, in this process."""
    round_ = rounds.start_round(project)
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    return round_


def queued(project: Project) -> list[QueueEntry]:
    return list(project.queue.select_related("query__label", "document"))


def undo_last(project: Project, user: User) -> Decision | None:
    """Undo as the button of the review page does."""
    last = review.standing_decisions(project, user).first()
    return review.undo(project, user, last.pk) if last else None


def typed(form) -> dict[str, object]:
    """What a browser sends of a form that nobody has touched."""
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def quickest(step: Callable[[], object], runs: int = 5) -> float:
    """CPU seconds of the quickest of some runs, as on the machine of the README's figures.

    Machines differ, and so does the same one with somebody else on its cores: a fixed piece of work is timed beside the
    step, and says how much slower this one is now. What a database server takes is not counted.
    """
    return USUAL_SECONDS * min(_seconds(step) for _ in range(runs)) / min(_seconds(_usual_work) for _ in range(5))


USUAL_SECONDS = 0.0126  # what _usual_work takes there


def _usual_work() -> str:
    return "".join(sorted({f"<td>{n * n % 9973:>6}</td>" for n in range(50_000)}))


def _seconds(step: Callable[[], object]) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started
