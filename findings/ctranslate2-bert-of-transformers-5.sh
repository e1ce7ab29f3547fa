#!/bin/sh
# CTranslate2 can't convert a BERT that transformers 5 has saved: its converter asks the configuration for a word,
# position_embedding_type, that transformers 5 has dropped. Models saved before carry the word, and convert.
# Exits 0 while that is so, 1 when it has changed. Needs some 300 MB for the packages, nothing else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    ctranslate2==4.8.5 transformers==5.23.0 torch==2.13.0 numpy==2.4.6
cd "$folder"
HF_HUB_OFFLINE=1 venv/bin/python - <<'CODE'
import json
import sys
from importlib.metadata import version
from pathlib import Path

from ctranslate2.converters import TransformersConverter
from transformers import BertConfig, BertModel, BertTokenizer

print(*(f"{name} {version(name)}" for name in ("ctranslate2", "transformers", "torch")), sep=", ")
model = Path("model")
model.mkdir()
(model / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]))
BertTokenizer.from_pretrained(model).save_pretrained(model)
BertModel(
    BertConfig(vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
).save_pretrained(model)
config = json.loads((model / "config.json").read_text())


def converted(to: str) -> str:
    try:
        TransformersConverter(str(model)).convert(to)
    except AttributeError as error:
        return f"AttributeError: {error}"
    return "converted"


print("the word in config.json:", config.get("position_embedding_type"))
as_saved = converted("first")
print("as transformers 5 saves it:", as_saved)
(model / "config.json").write_text(json.dumps(config | {"position_embedding_type": "absolute"}))
with_the_word = converted("second")
print('with "position_embedding_type": "absolute" written into config.json:', with_the_word)
same = as_saved.endswith("no attribute 'position_embedding_type'") and with_the_word == "converted"
print("unchanged" if same else "CHANGED")
sys.exit(not same)
CODE
