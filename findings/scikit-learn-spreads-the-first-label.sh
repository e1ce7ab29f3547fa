#!/bin/sh
# LabelSpreading and LabelPropagation of scikit-learn give the first label to texts that no label reaches: nothing flows into
# an island of neighbours without a labelled text, its row of label_distributions_ is all zeros, and the largest of zeros
# is the first. transduction_ and predict() hand that out like any other label; only predict_proba() has nan there.
# Source: sklearn/semi_supervised/_label_propagation.py, fit (normalizer[normalizer == 0] = 1, then np.argmax) and predict.
# Exits 0 while that is so, 1 when it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'CODE'
import sys

import numpy as np
import sklearn
from sklearn.semi_supervised import LabelPropagation, LabelSpreading

print("scikit-learn", sklearn.__version__)
islands = np.repeat(np.eye(3), 5, axis=0) + np.random.default_rng(0).normal(scale=0.01, size=(15, 3))
given = np.full(15, -1)  # -1: no label
given[0], given[5] = 20, 30  # one labelled text in each of the first two islands, none in the third
same = True
for method in (LabelSpreading, LabelPropagation):
    fitted = method(kernel="knn", n_neighbors=3).fit(islands, given)
    third, predicted = fitted.transduction_[10:].tolist(), fitted.predict(islands[10:]).tolist()
    spread, sure = fitted.label_distributions_[10].tolist(), fitted.predict_proba(islands[10:])
    print(f"{method.__name__}: the third island gets {third}, predict() {predicted}")
    print(f"    label_distributions_ there {spread}, predict_proba() {sure[0].tolist()}")
    same &= third == predicted == [20] * 5 and np.isnan(sure).all()
print("unchanged" if same else "CHANGED")
sys.exit(not same)
CODE
