#!/bin/sh
# A model that onnxruntime's quantize_dynamic has made gives a text another label when another text is in the batch: one scale
# for the activations is found for the whole tensor while it runs, so a row with great values rounds the small values
# of all other rows away. The float model doesn't.
# Source: the operator DynamicQuantizeLinear of the ONNX standard (y_scale is made of max(x) and min(x), x being the whole
# input), which quantize_dynamic puts before each MatMulInteger; its options per_channel and reduce_range are about weights.
# Exits 0 while that is so, 1 when it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'CODE'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)
rng = np.random.default_rng(0)
weights = numpy_helper.from_array(rng.normal(size=(64, 20)).astype("float32"), "weights")  # of 20 labels
graph = helper.make_graph(
    [helper.make_node("MatMul", ["texts", "weights"], ["scores"])],
    "classifier",
    [helper.make_tensor_value_info("texts", TensorProto.FLOAT, [None, 64])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 20])],
    [weights],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "float.onnx")
quantize_dynamic("float.onnx", "int8.onnx")
texts = rng.normal(size=(1000, 64)).astype("float32")
loud = 20 * rng.normal(size=(1, 64)).astype("float32")


def labels(model: str, batches: list) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.array([session.run(None, {"texts": batch})[0][0].argmax() for batch in batches])


alone, together = [text[None] for text in texts], [np.vstack([text, loud]) for text in texts]
changed = {model: int((labels(model, alone) != labels(model, together)).sum()) for model in ("float.onnx", "int8.onnx")}
print("texts of 1000 that get another label beside one whose values are 20 times as great:", changed)
same = changed["float.onnx"] == 0 and changed["int8.onnx"] > 50
print("unchanged" if same else "CHANGED")
sys.exit(not same)
CODE
