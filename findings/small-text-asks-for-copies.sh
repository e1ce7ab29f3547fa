#!/bin/sh
# The query strategy GreedyCoreset of small-text, which looks for the texts farthest from all labelled ones, asks for copies
# of labelled texts first when its distance is the cosine. By rounding, some vectors times themselves are a little more than 1,
# the arc cosine of that is nan, and np.argmax takes nan for the greatest. With the metric "euclidean" it asks for none of them.
# Source: small_text/query_strategies/coresets.py, _cosine_distance (np.arccos(sim), sim not clipped) and greedy_coreset.
# Exits 0 while that is so, 1 when it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check small-text==1.4.1 scikit-learn==1.9.1 numpy==2.2.6
"$folder/venv/bin/python" -W ignore - <<'CODE'
import sys
from importlib.metadata import version

import numpy as np
from small_text.query_strategies.coresets import GreedyCoreset

print("small-text", version("small-text"))
copies = {"cosine": [], "euclidean": []}  # of labelled texts, among the ten asked for
for seed in range(10):
    rng = np.random.default_rng(seed)
    fresh, labelled = rng.normal(size=(2, 50, 384)).astype("float32")
    vectors = np.vstack([fresh, labelled, labelled])  # 50 new texts and 50 copies of labelled ones have no label yet
    for metric, found in copies.items():
        asked = GreedyCoreset(distance_metric=metric).query(
            None, vectors, np.arange(100), np.arange(100, 150), np.zeros(50), n=10, embeddings=vectors
        )
        found.append(int((asked >= 50).sum()))
print("copies of labelled texts among ten questions, for ten seeds:", copies)
same = sum(copies["cosine"]) > 80 and sum(copies["euclidean"]) == 0
print("unchanged" if same else "CHANGED")
sys.exit(not same)
CODE
