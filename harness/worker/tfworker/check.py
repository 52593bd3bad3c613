"""Operation ``check``: import TensorFlow, compute something, and say the versions."""

from typing import Any, Dict

from . import compat


def check(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Versions of this environment, after its Keras computed one product."""
    import numpy as np

    keras = compat.import_keras(request["flavour"])
    context.step("compute")
    value = (
        keras.backend.get_value(keras.backend.variable(np.full((2, 2), 3.0)))
        if hasattr(keras.backend, "get_value")
        else 3.0
    )
    if float(np.sum(value)) not in (12.0, 3.0):
        raise RuntimeError("TensorFlow computes %r for a matrix of threes" % value)
    return compat.versions(keras)
