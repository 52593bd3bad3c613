"""A model's config made fit for proving one training step: float64, and without randomness.

In float64 a changed formula stays and rounding vanishes; adaptive optimizers divide by the root of a squared
gradient, so that in float32 a gradient that is truly zero becomes a step of full size.
"""

from typing import Any, Dict, Iterator, Set

import numpy as np

_RATES = ("Dropout", "AlphaDropout", "GaussianDropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
_RECURRENT = ("dropout", "recurrent_dropout", "dropout_W", "dropout_U")


def doubled(value: Any, unfuse: bool = False) -> Any:
    """The config in float64, dropout rates and noise at 0; ``unfuse`` turns kernels off that have no double form."""
    if isinstance(value, list):
        return [doubled(item, unfuse) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: doubled(item, unfuse) for key, item in value.items()}
    for key in ("dtype", "cell_dtype"):
        if out.get(key) == "float32":
            out[key] = "float64"
    if out.get("class_name") in ("Policy", "DTypePolicy", "PolicyV1") and isinstance(out.get("config"), dict):
        if out["config"].get("name") == "float32":
            out["config"]["name"] = "float64"
    config = out.get("config")
    if isinstance(config, dict) and "class_name" in out:
        _quieten(out["class_name"], config, unfuse)
    return out


def _quieten(class_name: str, config: Dict[str, Any], unfuse: bool) -> None:
    if class_name in _RATES and "rate" in config:
        config["rate"] = 0.0
    if class_name == "GaussianNoise" and "stddev" in config:
        config["stddev"] = 0.0
    for key in _RECURRENT:
        if isinstance(config.get(key), float):
            config[key] = 0.0
    if class_name.startswith("BatchNormalization") and unfuse:
        config["fused"] = False


def with_fused_epsilon(config: Any, model: Any, least: float) -> Any:
    """The config with epsilons of at least ``least`` for the normalisations of a live model that the fused kernel computes."""
    return _with_epsilon(config, set(_fused(model)), least)


def _fused(layer: Any) -> Iterator[str]:
    if getattr(layer, "fused", False):
        yield layer.name
    for inner in list(getattr(layer, "layers", [])) + [getattr(layer, "layer", None)]:
        if inner is not None:
            for name in _fused(inner):
                yield name


def _with_epsilon(value: Any, names: Set[str], least: float) -> Any:
    if isinstance(value, list):
        return [_with_epsilon(item, names, least) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: _with_epsilon(item, names, least) for key, item in value.items()}
    if out.get("name") in names and isinstance(out.get("epsilon"), float):
        out["epsilon"] = max(out["epsilon"], least)
    return out


def single(value: Any) -> Any:
    """Every float of an optimizer's config rounded to float32.

    Some versions pass hyperparameters through float32 and some do not; a number that float32 holds is the same in all.
    """
    if isinstance(value, dict):
        return {key: single(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [single(item) for item in value]
    return float(np.float32(value)) if isinstance(value, float) else value
