#!/bin/sh
# model2vec cuts a text long before the tokens that it names: max_length is 512 tokens, but first each text is cut to 512
# times the *median length of the vocabulary's tokens* in characters. A text of longer words than the median ends in the
# middle; here two texts of 201 tokens with opposite ends have one and the same vector.
# Source: model2vec/model.py, _encode_dispatch (m = max_length * self.median_token_length, sentence[:m]); the docstring of
# encode says "Any tokens beyond this length will be truncated".
# Exits 0 while that is so, 1 when it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check model2vec==0.10.0 tokenizers==0.23.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'CODE'
import sys
from importlib.metadata import version

import numpy as np
from model2vec import StaticModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

print("model2vec", version("model2vec"))
words = ["[UNK]", "a", "an", "the", "is", "it", "my", "of", "to", "cancellation", "accepted", "rejected"]
tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = Whitespace()
model = StaticModel(np.random.default_rng(0).normal(size=(len(words), 8)), tokenizer)
texts = ["cancellation " * 200 + end for end in ("accepted", "rejected")]
lengths = [len(tokenizer.encode(text).ids) for text in texts]
cut, whole = model.encode(texts), model.encode(texts, max_length=None)
print(f"tokens: {lengths}, max_length: {model.max_length}, median length of a token: {model.median_token_length}")
print("the vectors of both texts are equal:", bool((cut[0] == cut[1]).all()))
print("equal with max_length=None:", bool((whole[0] == whole[1]).all()))
same = max(lengths) < model.max_length and (cut[0] == cut[1]).all() and not (whole[0] == whole[1]).all()
print("unchanged" if same else "CHANGED")
sys.exit(not same)
CODE
