"""A whole loop through the product, and the benchmark's row of the same deal beside it.

Real web server, real worker, real encoder; the judge is the stand-in that answers from the true labels, and two
scripted reviewers decide by the true labels, from what the review page shows. Seeds and pool are dealt as
`manage.py benchmark` deals them.

python -m tests.measure_loop banking77 --judge anthropic --beside var/benchmark/banking77.json
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from labelling.benchmark.data import Vectors, draw, read_corpus
from labelling.csv_io.exporting import restore
from tests import real_data
from tests.site import ROOT, Site, free_port, wait_for
from tests.visitor import Page, Visitor, value_of

PROJECT = "/p/measured/"
MANAGER, *REVIEWERS = ACCOUNTS = ("manager", "reviewer1", "reviewer2")
PASSWORD = "of simulated reviewers"
MODEL = "simulation"
SECONDS_A_ROUND = 3_600.0
PAUSE = 1.0
# The next document after a decision that came too late; for ever the same one would be an error of the product.
MOST_CONFLICTS = 100

# All that differs from a new project's settings; besides these the judge, its address and its model.
SETTINGS: Mapping[str, str | bool] = {"confirm_spending": False, "retrain_after": "40", "batch_size": "320"}

MAKE = "from tests import measure_loop; measure_loop.make_accounts()"
COUNT = "import json; from tests import measure_loop; print(json.dumps(measure_loop.counted()))"


@dataclass(frozen=True)
class Deal:
    """Who knows what: the seeds' labels are imported, all labels are known to the reviewers and to the stand-in."""

    seeds: list[tuple[str, str]]
    pool: list[tuple[str, str]]

    @property
    def truth(self) -> dict[str, str]:
        """The true label of each text, by its letters."""
        return {letters(text): label for text, label in self.seeds + self.pool}


@dataclass(frozen=True)
class Row:
    """The end of a loop. Shares are in [0, 1]; None: not known.

    Attributes:
        questions: to the judge, for each text of the pool.
        decisions: of people.
        settled, certified: shares of the pool.
        settled_right, certified_right: shares of these that are right by the hidden truth.
        audits: that count for the certificate.
        bound: the share of what is certified that is wrong at most.
    """

    questions: float
    decisions: float
    settled: float
    settled_right: float | None
    certified: float | None = None
    certified_right: float | None = None
    audits: float | None = None
    bound: float | None = None


@contextmanager
def loop(
    folder: Path,
    data_set: str,
    judge: str,
    sensitivity: float,
    specificity: float,
    decisions: int,
    seeds_per_label: int = 30,
    pool: int | None = None,
    random_state: int = 0,
) -> Iterator[tuple[Site, Visitor, Deal]]:
    """Run a loop until so many decisions are taken or the project has nothing more to ask, and hand over the site."""
    source = real_data.data_set(data_set)
    dealt = deal(source, seeds_per_label, pool, random_state)
    with ExitStack() as stack:
        judge_url = stack.enter_context(stand_in(source / "train.csv", sensitivity, specificity, random_state))
        site = stack.enter_context(site_with_judge(folder, judge_url))
        people = [stack.enter_context(visiting(site, name)) for name in ACCOUNTS]
        manager, *reviewers = people
        new_project(manager, judge, judge_url)
        bring_in(manager, folder, dealt)
        say(f"{len(dealt.seeds):,} seeds and {len(dealt.pool):,} texts in the pool are imported.")
        start_round(manager)
        review(site, manager, reviewers, dealt.truth, decisions)
        yield site, manager, dealt


def measure(*wanted: Any, **more: Any) -> Row:
    """Run a loop, as ``loop`` does, and look at what it has reached."""
    with loop(*wanted, **more) as (site, manager, dealt):
        return row_of(manager.read(f"{PROJECT}export.csv"), dealt, count(site))


def deal(source: Path, seeds_per_label: int, n_pool: int | None, random_state: int) -> Deal:
    """Seeds and pool as the benchmark deals them, in its order."""
    corpus = read_corpus([source / "train.csv"], [source / "test.csv"])
    rows = [row for table in corpus.train for row in zip(table.texts, table.labels, strict=True)]
    # In the vectors' place the rows' numbers: what comes out tells which row went where.
    numbers, nothing = np.arange(len(rows)), np.empty(0)
    dealt, _ = draw(corpus, Vectors(numbers, nothing, nothing, nothing), seeds_per_label, n_pool, random_state)
    return Deal([rows[number] for number in dealt.X], [rows[number] for number in dealt.X_pool])


@contextmanager
def stand_in(truth: Path, sensitivity: float, specificity: float, seed: int) -> Iterator[str]:
    """The address of a stand-in that answers from the true labels, until the end of the block."""
    port = free_port()
    rates = [f"--sensitivity={sensitivity}", f"--specificity={specificity}", f"--seed={seed}"]
    command = [sys.executable, "manage.py", "fake_messages_api", f"--port={port}", "--latency=0", f"--truth={truth}"]
    environment = {"SECRET_KEY": "none is needed"}
    with subprocess.Popen([*command, *rates], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            if "answers at" not in process.stdout.readline():
                raise RuntimeError("The stand-in for the judge does not start.")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)


@contextmanager
def site_with_judge(folder: Path, judge_url: str) -> Iterator[Site]:
    """A running installation with three accounts and no project; what it logged is shown when the block fails."""
    site = Site(folder, JUDGE_BASE_URLS=judge_url, ANTHROPIC_API_KEY="any", NO_PROXY="*")
    site.manage("shell", "--no-imports", "-c", MAKE)
    try:
        site.start()
        yield site
    except BaseException:
        sys.stderr.write(site.log()[-4_000:])
        raise
    finally:
        site.stop()


@contextmanager
def visiting(site: Site, name: str) -> Iterator[Visitor]:
    visitor = Visitor(site.url, name, PASSWORD)
    try:
        yield visitor
    finally:
        visitor.close()


def make_accounts() -> None:
    """Write the accounts; runs inside the product."""
    from django.contrib.auth.models import User

    for name in ACCOUNTS:
        User.objects.create_user(name, password=PASSWORD, is_staff=name == MANAGER)


def new_project(manager: Visitor, judge: str, judge_url: str) -> None:
    manager.submit(manager.look("/projects/new/"), "/projects/new/", name="Measured")
    for name in REVIEWERS:
        manager.submit(manager.look(f"{PROJECT}members/"), f"{PROJECT}members/", user=name, role="reviewer")
    wanted = {"judge": judge, "judge_base_url": judge_url, "judge_model": MODEL, **SETTINGS}
    manager.submit(manager.look(f"{PROJECT}settings/"), f"{PROJECT}settings/", **wanted)


def bring_in(manager: Visitor, folder: Path, dealt: Deal) -> None:
    """Import the seeds with their labels and the pool without; nothing is held out, as in the benchmark."""
    path = real_data.write(folder / "dealt.csv", [*dealt.seeds, *((text, "") for text, _ in dealt.pool)])
    mapping = manager.submit(manager.look(f"{PROJECT}import/"), f"{PROJECT}import/", file=path)
    address = value_of(mapping.find("form", id="import")[0], "action")
    manager.submit(mapping, address, address, holdout_percent="0", start="")
    wait_for(lambda: manager.look(address).text("h2"), "the import", SECONDS_A_ROUND, PAUSE)
    if (said := manager.look(address).text("h2")) != "Imported":
        raise RuntimeError(said)


def start_round(manager: Visitor) -> bool:
    """Start the next round by hand; False where the project page does not offer it."""
    page = manager.look(PROJECT)
    if not page.find("form", action=f"{PROJECT}rounds/start/"):
        return False
    manager.submit(page, PROJECT, "/rounds/start/")
    return True


def review(site: Site, manager: Visitor, reviewers: Sequence[Visitor], truth: Mapping[str, str], wanted: int) -> None:
    """Decide in turns while no round is under way, until so many decisions are taken or nothing more is asked."""
    turns, n_decided, decided_at_start, n_keys = deque(reviewers), 0, -1, 0
    while True:
        wait_for(lambda: not round_runs(manager), "a round", SECONDS_A_ROUND, PAUSE)
        found = count(site)
        last = found["round"]
        say(f"round {last['number']}, {last['state']} in {sum(last['seconds'].values()):.0f} s: {_in_words(found)}")
        if last["state"] != "done":
            raise RuntimeError(f"Round {last['number']} is {last['state']}. {last['error']}")
        if last["stop_reason"]:
            say(f"The project is done. {last['stop_reason']}")
            return
        while not round_runs(manager) and n_decided < wanted and (keys := decide_next(turns, truth)):
            n_decided, n_keys = n_decided + 1, n_keys + keys
        if n_decided:
            say(f"{n_keys / n_decided:.2f} keys a decision")
        if n_decided >= wanted:
            return
        if round_runs(manager):
            continue
        # Nothing waits, and too little is new for the next round to start by itself.
        if n_decided == decided_at_start or not start_round(manager):
            say("Nothing is left to decide.")
            return
        say(f"After {n_decided} decisions nothing waits: the next round is started by hand.")
        decided_at_start = n_decided


def round_runs(visitor: Visitor) -> bool:
    return bool(visitor.look(f"{PROJECT}rounds/progress/?compact").find("span", class_="busy"))


def decide_next(turns: deque[Visitor], truth: Mapping[str, str]) -> int:
    """Let whose turn it is, or who has something to decide on, decide; return with how many keys, 0 when nobody has."""
    for _ in range(len(turns)):
        person = turns[0]
        turns.rotate(-1)
        for _ in range(MOST_CONFLICTS):
            page = person.look(f"{PROJECT}review/")
            if not page.find("form", id="decide"):
                break
            right = truth[letters(page.text("p", class_="text"))]
            pressed, keys = choice(person, page, right)
            if not person.press(page, "/decide/", pressed).find("section", id="conflict"):
                return keys
    return 0


def choice(person: Visitor, page: Page, right: str) -> tuple[str, int]:
    """What to press on a review page to say this label, and with how many keys.

    One where it is predicted or shown; else the key that opens the search, letters until it comes first, and Enter.

    Raises:
        LookupError: when the search does not find it.
    """
    for button in page.find("button", name="choice"):
        if _says(button, right):
            return value_of(button, "value"), 1
    search = value_of(page.part("input", id="label-search").root, "hx-get")
    for n in range(1, len(right) + 1):
        found = person.look(f"{search}&q={quote(right[:n])}").find("button")
        if found and _says(found[0], right):
            return value_of(found[0], "value"), n + 2
    for below, button in enumerate(found):
        if _says(button, right):
            return value_of(button, "value"), len(right) + below + 2
    raise LookupError(f"The search does not find the label {right}.")


def _says(button: Any, right: str) -> bool:
    """Whether a button gives this label; of the predicted one it says so."""
    said = value_of(button, "data-says").removeprefix("Accept: ")
    is_label = value_of(button, "value").startswith(("accept", "override:"))
    return is_label and letters(said) == letters(right)


def count(site: Site) -> dict[str, Any]:
    """What the database holds; see counted."""
    return json.loads(site.manage("shell", "--no-imports", "-c", COUNT))


def counted() -> dict[str, Any]:
    """Questions, decisions, audits, and the last round; runs inside the product."""
    from labelling.models import Call, Certificate, Decision, Round

    last = Round.objects.latest("number")
    look: Mapping[str, Any] = Certificate.objects.values("n", "bound").first() or {}
    return {
        "questions": Call.objects.filter(purpose=Call.Purpose.VERDICT, state=Call.State.DONE).count(),
        "decisions": Decision.objects.standing().count(),
        "audits": look.get("n"),
        "bound": look.get("bound"),
        "round": {name: getattr(last, name) for name in ("number", "state", "error", "stop_reason", "seconds")},
    }


def row_of(exported: str, dealt: Deal, found: Mapping[str, Any]) -> Row:
    """The row of an export: how much of the pool has a label that counts, and how much of that is right."""
    truth = {letters(text): label for text, label in dealt.pool}
    lines = csv.DictReader(io.StringIO(exported.removeprefix("\ufeff"), newline=""))
    pool = [line for line in lines if letters(restore(line["text"])) in truth]
    settled, certified = (
        [restore(line["label"]) == truth[letters(restore(line["text"]))] for line in pool if counts(line)]
        for counts in (is_settled, is_certified)
    )
    return Row(
        questions=found["questions"] / len(truth),
        decisions=found["decisions"],
        settled=len(settled) / len(truth),
        settled_right=share(settled),
        certified=len(certified) / len(truth),
        certified_right=share(certified),
        audits=found["audits"],
        bound=found["bound"],
    )


def is_settled(line: Mapping[str, str]) -> bool:
    """Whether people decided on an export's line, or the machine settled it."""
    return line["source"] in ("human", "judge") or bool(line["certified"])


def is_certified(line: Mapping[str, str]) -> bool:
    return line["certified"] == "yes"


def row_of_benchmark(figures: Mapping[str, Any], judge: str) -> Row:
    """The last round of the benchmark's loop, of what `manage.py benchmark --json` wrote."""
    loops = figures["loop"]
    last = (loops["people"] if judge == "none" else loops["red"])[-1]
    wrong = last.get("certified_wrong")
    return Row(
        questions=last["judge_calls"],
        decisions=last["reviews"] * figures["dataset"]["pool"],
        settled=last["pool_labelled"],
        settled_right=last["pool_right"],
        certified=last["certified"],
        certified_right=None if wrong is None else 1 - wrong,
        audits=last["audits"],
        bound=last.get("bound"),
    )


def report(rows: Mapping[str, Row]) -> str:
    """The rows as a table for the README."""
    names = ("questions a text", "decisions", "settled", "right", "certified", "right of these", "audits", "bound")
    lines = [["", *names], ["---", *("---:" for _ in names)]]
    for name, row in rows.items():
        percents = (row.settled, row.settled_right, row.certified, row.certified_right)
        lines.append(
            [
                name,
                f"{row.questions:.2f}",
                f"{row.decisions:,.0f}",
                *(_shown(value, ".1%") for value in percents),
                _shown(row.audits, ",.0f"),
                _shown(row.bound, ".1%"),
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def letters(text: str) -> str:
    """A text without its white space, which is not kept around marked words."""
    return "".join(text.split())


def share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None


def say(what: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")
    sys.stderr.flush()


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}".replace("%", " %")


def _in_words(found: Mapping[str, Any]) -> str:
    counts = [f"{found[name] or 0:,} {name}" for name in ("questions", "decisions", "audits")]
    return ", ".join([*counts, f"bound {_shown(found['bound'], '.1%')}"])


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_set", help="a folder of RED_DATA with train.csv and test.csv")
    parser.add_argument("--judge", choices=["none", "anthropic"], default="none")
    parser.add_argument("--sensitivity", type=float, default=0.95, help="of the stand-in for a judge")
    parser.add_argument("--specificity", type=float, default=0.95)
    parser.add_argument("--decisions", type=int, default=320, help="at the most; 40 a round")
    parser.add_argument("--seeds-per-label", type=int, default=30)
    parser.add_argument("--pool", type=int, help="the most texts of the pool (default: all)")
    parser.add_argument("--random-state", type=int, default=0, help="of the deal, and of the stand-in's errors")
    parser.add_argument("--beside", type=Path, metavar="FILE.json", help="what `manage.py benchmark --json` wrote")
    wanted = vars(parser.parse_args(arguments))
    beside = wanted.pop("beside")
    # Read first: a file that is none must not cost an hour.
    rows = {"the benchmark": row_of_benchmark(json.loads(beside.read_text()), wanted["judge"])} if beside else {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        rows = {"the product": measure(Path(folder), **wanted), **rows}
    sys.stdout.write(f"{report(rows)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
