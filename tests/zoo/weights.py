"""Randomised weights: every value distinct, scaled so that activations cross their knees without saturating."""

import numpy as np


def _role(name):
    """``dense/kernel_1:0`` -> ``kernel``."""
    return name.split("/")[-1].split(":")[0].rstrip("0123456789").rstrip("_")


def sample(name, shape, rng):
    """A float64 array for the variable; variances and scales stay positive, kernels follow their fan-in."""
    role = _role(name)
    if "variance" in role or "stddev" in role or role.endswith("_weight"):
        return rng.uniform(0.5, 2.0, shape)
    if role == "gamma":
        return 1.0 + 0.3 * rng.normal(size=shape)
    if role == "alpha":
        return 0.25 + 0.2 * rng.normal(size=shape)
    if "bias" in role or role in ("beta", "moving_mean", "renorm_mean"):
        return 0.4 * rng.normal(size=shape)
    if role == "embeddings":
        return 0.7 * rng.normal(size=shape)
    # The cap keeps large receptive fields lively: without it deep kernels would give outputs near zero.
    fan_in = min(int(np.prod(shape[:-1])) if len(shape) > 1 else 1, 24)
    return rng.normal(size=shape) / np.sqrt(max(fan_in, 1))


def randomise(model, backend, rng):
    """Set every floating point weight of the model once, shared ones too."""
    pairs, seen = [], set()
    for variable in model.weights:
        dtype = np.dtype(getattr(variable.dtype, "as_numpy_dtype", None) or str(variable.dtype).replace("_ref", ""))
        if id(variable) in seen or dtype.kind != "f":
            continue
        seen.add(id(variable))
        shape = tuple(int(size) for size in variable.shape)
        name = getattr(variable, "path", None) or variable.name
        pairs.append((variable, sample(name, shape, rng).astype(dtype)))
    if hasattr(backend, "batch_set_value"):
        backend.batch_set_value(pairs)
        return
    for variable, value in pairs:  # Keras 3
        variable.assign(value)
