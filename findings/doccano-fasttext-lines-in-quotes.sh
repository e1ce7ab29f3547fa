#!/bin/sh
# fastText loses the label of each text with a comma or a quotation mark that doccano has exported for it: doccano writes
# the lines as a CSV file of one column, so such a line stands in quotes, and its first word begins with the quote, which
# is no label to fastText. It trains on the rest and says nothing.
# Source: FastTextWriter in doccano's backend/data_export/pipeline/writers.py (dataset.to_csv); fastText's supervised
# tutorial (labels start with the prefix __label__).
# Exits 0 while that is so, 1 when it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fasttext-wheel==0.9.2 numpy==1.26.4 pandas==1.5.3
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps doccano==1.8.4 # its server isn't needed
cd "$folder"
venv/bin/python - <<'CODE'
import sys
from importlib.metadata import distribution, version
from pathlib import Path

import fasttext
import pandas as pd

sys.path.insert(0, str(distribution("doccano").locate_file("backend")))
from data_export.pipeline.writers import FastTextWriter

print(*(f"{name} {version(name)}" for name in ("doccano", "fasttext-wheel")))
lines = [
    "__label__card I lost my card",
    "__label__card I lost my card, please help",
    "__label__loan What is a loan",
    '__label__loan What is "the rate" of a loan',
]
Path("plain.txt").write_text("".join(f"{line}\n" for line in lines))
FastTextWriter.write("exported.txt", pd.Series(lines))
print(Path("exported.txt").read_text(), end="")
texts = {}
for name in ("plain.txt", "exported.txt"):
    labels, counts = fasttext.train_supervised(name, minCount=1, epoch=1, verbose=0).get_labels(include_freq=True)
    texts[name] = dict(zip(labels, counts.tolist(), strict=True))
print("texts of each label that fastText finds:", texts)
same = set(texts["plain.txt"].values()) == {2} and set(texts["exported.txt"].values()) == {1}
print("unchanged" if same else "CHANGED")
sys.exit(not same)
CODE
