"""Layers that run on GPUs only, read as their CPU twins, so that the source TensorFlow can be asked on any machine.

CuDNNLSTM and CuDNNGRU compute what LSTM and GRU (``reset_after=True``) compute with sigmoid gates; Keras
itself converts their weights (gate order, doubled bias) when a CuDNN file is loaded into the plain layers.
"""

from typing import Any, Dict, List, Tuple

_TWINS = {
    "CuDNNLSTM": ("LSTM", {"activation": "tanh", "recurrent_activation": "sigmoid"}),
    "CuDNNGRU": ("GRU", {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True}),
}


def rewrite(config: Any) -> Tuple[Any, List[Dict[str, str]]]:
    """The config with GPU-only layers replaced, and one entry a replacement: layer, before, after."""
    changes = []  # type: List[Dict[str, str]]
    return _walk(config, changes), changes


def _walk(value: Any, changes: List[Dict[str, str]]) -> Any:
    if isinstance(value, list):
        return [_walk(item, changes) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: _walk(item, changes) for key, item in value.items()}
    twin = _TWINS.get(out.get("class_name")) if isinstance(out.get("config"), dict) else None
    if twin:
        name, arguments = twin
        changes.append({"layer": str(out["config"].get("name")), "before": out["class_name"], "after": name})
        out["class_name"], out["config"] = name, dict(out["config"], **arguments)
    return out
