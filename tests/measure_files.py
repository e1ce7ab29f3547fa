"""What files cost: seconds of processor and memory at their peak, of a command for each way in and out.

python -m tests.measure_files arxiv
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from xlsxwriter import Workbook

from tests import real_data
from tests.site import ROOT, Site

# A Label Studio file of so many bytes, its texts numbered.
LARGE_JSON = 100 * 2**20
MAKE = (
    "from django.contrib.auth.models import User; from labelling.services import projects;"
    "user = User.objects.create_user('ann'); [projects.create_project(name, user) for name in {names}]"
)
UNDO = (
    "from django.contrib.auth.models import User; from labelling.models import CsvImport;"
    "from labelling.services import removals;"
    "removals.undo_import(CsvImport.objects.filter(project__slug='csv').last(), User.objects.get())"
)
PROJECTS = ("csv", "xlsx", "json")


def main(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        site.manage("shell", "--no-imports", "--command", MAKE.format(names=PROJECTS))
        rows = real_data.read(real_data.FOLDER / name / "train.csv")
        sys.stdout.write(f"{len(rows):,} rows of {name}\n{'':34}processor  by the clock   memory\n")
        texts = real_data.write(site.folder / "texts.csv", rows)
        measure(site, "start of any command", "check")
        measure(site, "CSV in", "import_csv", "csv", str(texts), "--yes")
        measure(site, "CSV in again: all is known", "import_csv", "csv", str(texts), "--yes")
        for kind in ("csv", "jsonl", "xlsx", "label-studio", "doccano"):
            measure(site, f"{kind} out", "export_csv", "csv", str(site.folder / kind), "--format", kind)
        measure(site, "xlsx in", "import_csv", "xlsx", str(workbook(site.folder / "texts.xlsx", rows)), "--yes")
        large = tasks(site.folder / "tasks.json", rows)
        measure(site, "Label Studio JSON of 100 MB in", "import_csv", "json", str(large), "--yes")
        measure(site, "undoing the import of the CSV", "shell", "--no-imports", "--command", UNDO)


def measure(site: Site, what: str, *command: str) -> None:
    """Run a command and print what it took, its start included."""
    started = time.monotonic()
    with (site.folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=site.environment, stdout=said, stderr=said
        )
        _pid, status, used = os.wait4(process.pid, 0)
        said.seek(0)
        assert status == 0, said.read()
    seconds = used.ru_utime + used.ru_stime
    sys.stdout.write(f"{what:34}{seconds:7.1f} s {time.monotonic() - started:11.1f} s {used.ru_maxrss >> 10:5} MB\n")
    sys.stdout.flush()


def workbook(path: Path, rows: list[tuple[str, str]]) -> Path:
    with Workbook(path, {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        for n, cells in enumerate([("text", "label"), *rows]):
            for column, cell in enumerate(cells):
                sheet.write_string(n, column, cell)
    return path


def tasks(path: Path, rows: list[tuple[str, str]]) -> Path:
    """As Label Studio exports them, as many as make a large file."""
    made = {"completed_by": 1, "was_cancelled": False, "ground_truth": False, "lead_time": 3.5, "prediction": {}}
    made |= {"created_at": "2026-11-02T10:00:00.000000Z", "updated_at": "2026-11-02T10:00:00.000000Z"}
    with path.open("w", encoding="utf-8") as file:
        n, separator = 0, "["
        while file.tell() < LARGE_JSON:
            text, label = rows[n % len(rows)]
            said = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}
            task = {"id": n, "data": {"text": f"{text} ({n})"}, "annotations": [made | {"id": n, "result": [said]}]}
            file.write(separator + json.dumps(task | {"drafts": [], "predictions": [], "meta": {}}))
            n, separator = n + 1, ","
        file.write("]")
    return path


if __name__ == "__main__":
    csv.field_size_limit(2**30)
    main(sys.argv[1] if len(sys.argv) > 1 else "arxiv")
