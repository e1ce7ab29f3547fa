#!/bin/sh
# When as many people say one label as another, cleanlab's majority vote takes the label that is rarer in the whole data.
# Its documentation says the opposite, so a rare label grows by every text that people disagree about.
# Source: get_majority_vote_label in cleanlab/multiannotator.py: the docstring has "using the empirical class frequencies and
# selecting the class with highest frequency", the code takes np.min(class_frequencies[...]), as a comment there says.
# Exits 0 while that is so, 1 when it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cleanlab==2.9.0 numpy==2.2.6 scikit-learn==1.9.1
"$folder/venv/bin/python" - <<'CODE'
import sys

import cleanlab
import numpy as np
from cleanlab.multiannotator import get_majority_vote_label

print("cleanlab", cleanlab.__version__)
agreed = [[0, 0]] * 90 + [[1, 1]] * 5  # a row a text, a column a person
tied = [[0, 1], [1, 0]]
frequent_is_0 = get_majority_vote_label(np.array(agreed + tied, dtype=float))[-2:].tolist()
frequent_is_1 = get_majority_vote_label(1 - np.array(agreed + tied, dtype=float))[-2:].tolist()
says_highest = "selecting the class with highest frequency" in " ".join(get_majority_vote_label.__doc__.split())
print("two texts with a vote for 0 and one for 1, beside 90 texts of 0 and 5 of 1:", frequent_is_0)
print("the same beside 90 texts of 1 and 5 of 0:", frequent_is_1)
print("its docstring says that the class with the highest frequency is taken:", says_highest)
same = frequent_is_0 == [1, 1] and frequent_is_1 == [0, 0] and says_highest
print("unchanged" if same else "CHANGED")
sys.exit(not same)
CODE
