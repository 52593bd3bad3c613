"""A model that a script builds: the user's own code, run because the user named it."""

import inspect
import os
import sys
import traceback
import types
from typing import Any

from . import compat, compat_graph
from .errors import Refusal

MODULE = "harness_builder"
_REMEDY = (
    "The function has to return a built Keras model, `def build(): return keras.Sequential([keras.Input(...), ...])`."
)


def build(keras: Any, path: str, function: str, name: str) -> Any:
    """The model that ``function`` of the file returns; it is called with this Keras if it takes an argument.

    Raises Refusal builder-failed, with the traceback inside the user's file.
    """
    compat.clear(keras)
    compat.set_inference(keras)
    module = types.ModuleType(MODULE)
    module.__file__ = os.path.abspath(path)
    sys.modules[MODULE] = module
    try:
        with open(path, "rb") as stream:
            text = stream.read()
        # Layers made of code are traced to graphs, which old variables that are references would not leave.
        compat_graph.resource_variables(compat.import_tensorflow(), b"class " in text or b"Lambda" in text)
        exec(compile(text, name, "exec"), module.__dict__)
        if not callable(getattr(module, function, None)):
            defined = sorted(key for key, value in vars(module).items() if inspect.isfunction(value))
            raise Refusal(
                "builder-failed", "%s has no function %s" % (name, function), ["has: %s" % d for d in defined]
            )
        made = getattr(module, function)
        parameters = inspect.signature(made).parameters.values()
        wants = [
            p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        model = made(keras) if wants else made()
    except Refusal:
        raise
    except (Exception, SystemExit) as error:
        lines = traceback.format_exc().strip().splitlines()
        raise Refusal(
            "builder-failed",
            "%s:%s fails in %s: %s: %s"
            % (name, function, _where(keras), type(error).__name__, str(error).strip().split("\n")[0][:300]),
            lines[-12:],
            "Let the script use what this version has, give another one for it (`--builder` for the target, "
            "`--source-builder` for the source), or see the traceback.",
        )
    if not hasattr(model, "layers") or not hasattr(model, "weights"):
        raise Refusal("builder-failed", "%s:%s returns %s" % (name, function, type(model).__name__), remedy=_REMEDY)
    if not getattr(model, "inputs", None):
        message = "%s:%s returns a model that does not know the shape of its input" % (name, function)
        raise Refusal("builder-failed", message, remedy=_REMEDY)
    return model


def _where(keras: Any) -> str:
    tf = compat.import_tensorflow()
    return "TensorFlow %s (Keras %s)" % (tf.__version__, compat.keras_version(keras))
