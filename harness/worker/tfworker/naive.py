"""Operation ``naive_matrix``: what a user gets who loads an old file with today's plain ``load_model``.

Request: ``{"op": "naive_matrix", "model": "in/model.h5", "flavour": "keras3" | "tf_keras",
"bundle": "in/bundle" or null, "golden": "in/golden.npz" or null}``

The reference is the bundle's recorded outputs; where there is no bundle, those of the golden file. Loading a file this
way runs what code it holds: only the matrix of known models asks for it.
"""

import importlib
import os
from typing import Any, Dict

import numpy as np

from . import compat
from .arrays import ArrayReader
from .files import read_json


def naive_matrix(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """``{"error": text}``, or ``{"error": null, "max_rel": number, or null where the shapes differ}``."""
    compat.import_keras("keras3")
    keras = importlib.import_module("tf_keras" if request["flavour"] == "tf_keras" else "keras")
    references = list(_references(request))
    keras.backend.clear_session()
    try:
        context.step("load the model")
        model = keras.models.load_model(request["model"], compile=False)
        context.step("compute")
        worst = 0.0
        for inputs, outputs, continues in references:
            if not continues:
                _reset(model)
            found = model(inputs[0] if len(inputs) == 1 else inputs, training=False)
            found = list(found) if isinstance(found, (list, tuple)) else [found]
            worst = max([worst] + [_difference(a, b) for a, b in zip(outputs, found)])
            if len(found) != len(outputs):
                worst = float("inf")
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return {"error": "%s: %s" % (type(error).__name__, first[:200])}
    return {"error": None, "max_rel": worst if np.isfinite(worst) else None}


def _reset(model: Any) -> None:
    """States at their start, as far as this Keras lets a user do it."""
    if hasattr(model, "reset_states"):
        model.reset_states()
    elif hasattr(model, "_flatten_layers"):
        compat.reset_states(model)


def _references(request: Dict[str, Any]) -> Any:
    """(inputs, outputs, continues) of every recorded call."""
    if request.get("bundle"):
        manifest = read_json(os.path.join(request["bundle"], "manifest.json"))
        reader = ArrayReader(request["bundle"], manifest["arrays"])
        for row in manifest["probes"]["sets"]:
            yield [reader.get(n) for n in row["inputs"]], [reader.get(n) for n in row["outputs"]], row.get("continues")
        return
    with np.load(request["golden"], allow_pickle=False) as golden:
        kinds = {"input": [], "output": []}  # type: Dict[str, List[Any]]
        for name in golden.files:
            kind = name.split(":")[0]
            if kind in kinds:
                kinds[kind].append(golden[name])
    yield kinds["input"], kinds["output"], False


def _difference(expected: Any, found: Any) -> float:
    """max|difference| / max|reference|; infinite where the shapes differ, or one of them is not a number."""
    expected, found = np.asarray(expected), np.asarray(found)
    if expected.shape != found.shape:
        return float("inf")
    if expected.dtype.kind not in "fiub":
        return 0.0 if bool((expected == found).all()) else float("inf")
    left, right = expected.astype("float64"), found.astype("float64")
    if not np.array_equal(np.isfinite(left), np.isfinite(right)):
        return float("inf")
    finite = np.isfinite(left)
    scale = float(np.abs(left[finite]).max()) if finite.any() else 0.0
    off = float(np.abs(left - right)[finite].max()) if finite.any() else 0.0
    if not scale:
        return 0.0 if not off else float("inf")
    return off / scale
