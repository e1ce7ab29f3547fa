#!/bin/sh
# py3langid says that "OK", a thumb up and an empty text are Afrikaans, or Serbian with norm_probs=True: where no feature of its
# model is found, all languages have the same score, and the first wins. "zxx", its class for what is no language, is for
# numbers and the like. Only the score tells. And a capital letter changes the language of a word.
# Source: py3langid/langid.py, RAW_FLOOR ("finite floor for featureless input"), _decide (two columns of Serbian are added up,
# so with norm_probs it is ahead of all others) and classify (argmax).
# Exits 0 while that is so, 1 when it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check py3langid==0.4.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'CODE'
import sys
from importlib.metadata import version

from py3langid.langid import MODEL_FILE, LanguageIdentifier

print("py3langid", version("py3langid"))
scored = LanguageIdentifier.from_model_file(MODEL_FILE)
normed = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
for text in ("", "OK", "ok", "\N{THUMBS UP SIGN}", "?!", "4711", "Danke", "danke"):
    print(f"{text!r}: {scored.classify(text)}, with norm_probs {normed.classify(text)}")
nothing = ("", "OK", "ok", "\N{THUMBS UP SIGN}")
same = (
    {scored.classify(text)[0] for text in nothing} == {"af"}
    and {normed.classify(text)[0] for text in nothing} == {"sr"}
    and scored.classify("4711")[0] == "zxx"
    and scored.classify("Danke")[0] != scored.classify("danke")[0]
)
print("unchanged" if same else "CHANGED")
sys.exit(not same)
CODE
