"""Models made from configs that their own Keras may not read back as they are written."""

import json
from typing import Any, Callable, Dict, Iterator, List, Optional

from . import compat, h5_weights
from .errors import Refusal
from .repair import repair

LACKING = "Give a Python file that defines them, at its top level, with --custom-objects FILE.py."


def first_loadable(
    keras: Any,
    config: Any,
    what: str,
    make: Callable[[Any], Any],
    weights: Callable[[], List[Any]],
    explain: Optional[Callable[[Any], List[str]]] = None,
) -> Any:
    """(what ``make`` gives for the config, nothing) or, where that fails, (for the respelled config, what was respelled).

    ``weights`` gives the stored weights as (layer name, arrays); it is called only if the plain config fails.
    ``explain`` says which layers an exception is about, if it is about code that they lack.

    Raises Refusal: source-not-loadable with every attempt's reason, code-missing, and whatever ``make`` refuses.
    """
    errors = []  # type: List[str]
    for chosen, changed, floatx in _attempts(config, weights):
        compat.clear(keras)
        compat.set_inference(keras)
        keras.backend.set_floatx(floatx)
        try:
            return make(chosen), changed
        except (Refusal, MemoryError):
            raise  # the second is nothing that another spelling of the config would mend
        except Exception as error:
            lacking = explain(error) if explain else []
            if lacking:
                message = "%d layers use names that the file does not hold" % len(lacking)
                raise Refusal("code-missing", message, lacking, LACKING)
            errors.append("%s: %s" % (type(error).__name__, str(error).strip()[:2000]))
    raise Refusal("source-not-loadable", "Keras %s cannot load %s" % (compat.keras_version(keras), what), errors)


def _attempts(config: Any, weights: Callable[[], List[Any]]) -> Iterator[Any]:
    """(config, what was changed in it, floatx) to be tried one after the other."""
    yield config, [], "float32"
    stored = weights()
    respelled, notes = repair(config, stored)
    if notes:
        yield respelled, notes, "float32"
    dtypes = {str(array.dtype) for _, arrays in stored for array in arrays}
    if len(dtypes) == 1 and dtypes <= {"float64", "float16"}:
        floatx = dtypes.pop()
        yield respelled, notes + ["floatx %s, the type of all weights" % floatx], floatx


def whole_model(keras: Any, path: str, found: Any, config: Any, objects: Dict[str, Any]) -> Any:
    """The model of a whole-model file: by Keras's own ``load_model``, or in two steps where that would not do.

    ``config`` is what is to be built: that of the file, or one that replaces it.
    """
    # Keras 2.1 leaves kernels of Theano as they are in nested models, and tf.keras rotates those of CNTK too.
    if found["backend"] in (None, "tensorflow") and json.dumps(config) == json.dumps(found["config"]):
        return compat.load_model(keras, path, objects)
    model = compat.build_model(keras, config, objects)
    stored = h5_weights.read_weights(path)
    h5_weights.load(keras, model, stored["layers"], stored["keras_version"], stored["backend"] or found["backend"])
    return model
