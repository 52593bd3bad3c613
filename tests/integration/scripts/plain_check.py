# ruff: noqa: TID251, B905 - runs in another environment, of another Python
"""Runs in TF 2.21 with -I, knowing nothing of the harness: python -I plain_check.py MODEL GOLDEN [MODEL GOLDEN ...].

Prints one JSON line: for each model the largest max|difference| / max|reference| over its outputs.
"""

import importlib.util
import json
import sys

import keras
import numpy as np

strangers = [name for name in ("harness", "tfworker", "zoo") if importlib.util.find_spec(name)]
found = {}
for path, golden in zip(sys.argv[1::2], sys.argv[2::2]):
    model = keras.models.load_model(path, compile=False)
    with np.load(golden, allow_pickle=False) as arrays:
        inputs = [arrays[name] for name in sorted(arrays.files) if name.startswith("input:")]
        outputs = [arrays[name] for name in sorted(arrays.files) if name.startswith("output:")]
    # Smaller batches only, because the machine is small: the values of a row do not depend on the others.
    predicted = model.predict(inputs[0] if len(inputs) == 1 else inputs, verbose=0)
    predicted = list(predicted) if isinstance(predicted, (list, tuple)) else [predicted]
    assert len(predicted) == len(outputs)
    assert [p.shape for p in predicted] == [o.shape for o in outputs]
    assert [p.dtype for p in predicted] == [o.dtype for o in outputs]
    found[path] = max(float(np.abs(p - o).max() / np.abs(o).max()) for p, o in zip(predicted, outputs))
print(json.dumps({"strangers": strangers, "sys_path": sys.path, "difference": found}))
