#!/bin/sh
# The column "id" of a Label Studio export is another thing in each format, if the texts came with an "id" of their own:
# JSON-MIN has Label Studio's number of the task there (and the text's own id is gone), CSV the text's own id (and the number
# is gone). A column that is named like the control of the labels goes apart too: of a text nobody has labelled, JSON-MIN gives
# out the value that came in as if it were the answer, CSV moves it to "_data_label".
# Source: label_studio_sdk/converter/converter.py, convert_to_json_min; label_studio_sdk/converter/exports/csv2.py,
# prepare_annotation: the one writes the task's id after the text's columns, the other before.
# Exits 0 while that is so, 1 when it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check label-studio-sdk==2.1.2
cd "$folder"
venv/bin/python - <<'CODE'
import csv
import json
import sys
from importlib.metadata import version
from pathlib import Path

from label_studio_sdk.converter import Converter

CONFIG = """<View><Text name="shown" value="$text"/>
<Choices name="label" toName="shown"><Choice value="card"/><Choice value="loan"/></Choices></View>"""
result = {"from_name": "label", "to_name": "shown", "type": "choices", "value": {"choices": ["card"]}}
said = [{"id": 5, "result": [result]}]
tasks = [
    {"id": 901, "data": {"id": "A-17", "text": "I lost my card", "label": "guess"}, "annotations": said},
    {"id": 902, "data": {"id": "A-18", "text": "What is the rate?", "label": "guess"}, "annotations": []},
]
Path("tasks.json").write_text(json.dumps(tasks))
print("label-studio-sdk", version("label-studio-sdk"))
for kind in ("JSON_MIN", "CSV"):
    Converter(CONFIG, ".").convert("tasks.json", kind, kind, is_dir=False)
as_json = [(row["id"], row["label"]) for row in json.loads(Path("JSON_MIN/result.json").read_text())]
with open("CSV/result.csv", newline="") as file:
    as_csv = [(row["id"], row["label"]) for row in csv.DictReader(file)]
print("id and label, JSON-MIN:", as_json)
print("id and label, CSV:     ", as_csv)
same = as_json == [(901, "card"), (902, "guess")] and as_csv == [("A-17", "card"), ("A-18", "")]
print("unchanged" if same else "CHANGED")
sys.exit(not same)
CODE
