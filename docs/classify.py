"""Label the lines of standard input by an exported model: python classify.py FOLDER <texts.txt

Needs the package classifiers and what it imports: numpy, scikit-learn, the encoder. No database, no Django.
"""

import json
import sys
from pathlib import Path

import numpy as np

from classifiers.embeddings import side_by_side
from classifiers.encoders import parts
from classifiers.loop.believing import Factors
from classifiers.quantized import load_encoder
from classifiers.red_classifier import RedClassifier

FORMAT = 2

folder = Path(sys.argv[1])
about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
if about["format"] != FORMAT:
    sys.exit(f"This model has the format {about['format']}, and this program reads the format {FORMAT}.")
with np.load(folder / "model.npz", allow_pickle=False) as file:
    arrays = {name: file[name] for name in file.files}
model = RedClassifier.from_arrays(arrays)
factors = Factors(float(arrays["none_factor"]), arrays["label_factors"])
# Of an encoder that was adapted to the project; others are found by their name.
adapted = folder / "encoder.safetensors"
weights = adapted if adapted.exists() else None
encoders = [load_encoder(part, folder / "encoder", weights) for part in parts(about["encoder"]["model"])]
centres = [arrays[f"centre_{n}"] for n in range(len(encoders))]
texts = [line.strip() for line in sys.stdin if line.strip()]
X = side_by_side([encoder.encode(texts) for encoder in encoders], centres)
found = model.candidates(X, texts=texts)
belief = factors.prior(found.probabilities, found.labels)
names = [label["name"] for label in about["labels"]]
for text, codes, row in zip(texts, found.labels, belief, strict=True):
    best = int(row.argmax())
    label = names[codes[best]] if best < len(codes) else ""
    certified = label and about["threshold"] is not None and row[best] >= about["threshold"]
    sys.stdout.write(f"{label}\t{row[best]:.4f}\t{'certified' if certified else 'ask a person'}\t{text}\n")
