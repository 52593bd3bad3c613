"""Objects that a person supplies for the source environment, and what a model still lacks.

``--custom-objects FILE.py`` is run as a module; every public name in it may stand for a class, a function or a value
that the model names. A function of a Lambda's own name takes the place of its bytecode.
"""

import inspect
import os
import sys
import types
from typing import Any, Dict, List, Tuple

from . import compat
from .errors import Refusal

FLAG = "--custom-objects"
ARGUMENTS = (
    "Give the arguments in a TOML file with --layer-arguments FILE.toml: a table for each layer (or class), "
    'such as ["%s"] with one line for each argument.'
)


def load_objects(path: Any, flag: str = FLAG, name: str = "custom_objects") -> Dict[str, Any]:
    """Public names of a Python file, which is run as a module of a name; empty for None.

    Raises Refusal custom-objects-invalid when the file cannot be run.
    """
    if not path:
        return {}
    module = types.ModuleType(name)
    module.__file__ = os.path.abspath(path)
    with open(path, "rb") as stream:
        source = stream.read()
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, os.path.basename(path), "exec"), module.__dict__)
    except Exception as error:
        where = "line %s" % _line(error, os.path.basename(path))
        message = "the file given with %s cannot be run: %s: %s" % (flag, type(error).__name__, error)
        raise Refusal("custom-objects-invalid", message, [where])
    return {key: value for key, value in vars(module).items() if not key.startswith("_")}


def _line(error: BaseException, name: str) -> Any:
    if isinstance(error, SyntaxError):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == name else line
        trace = trace.tb_next
    return line


def names_for_lambdas(keras: Any) -> Dict[str, Any]:
    """What the functions in Lambdas commonly take from the module around them, and Keras's own module does not have."""
    around = vars(sys.modules[keras.layers.Lambda.__module__])
    _own_globals(keras)
    return {key: value for key, value in _usual_names(keras).items() if key not in around}


def _own_globals(keras: Any) -> None:
    """Give functions that are loaded from a file globals of their own.

    TF 1.15 adds all custom objects to the globals of its module about Lambda, for good: a ``K`` of the user takes the
    place of the one that the layer itself works with.
    """
    module = sys.modules[keras.layers.Lambda.__module__]
    holder = module if hasattr(module, "func_load") else getattr(module, "generic_utils", None)
    plain = getattr(holder, "func_load", None)
    if plain is None or getattr(plain, "_own_globals", False):
        return
    clean, from_config = dict(vars(module)), vars(keras.layers.Lambda)["from_config"].__func__

    def func_load(code: Any, defaults: Any = None, closure: Any = None, globs: Any = None) -> Any:
        return plain(code, defaults, closure, dict(vars(module) if globs is None else globs))

    def restoring(cls: Any, config: Any, custom_objects: Any = None) -> Any:
        try:
            return from_config(cls, config, custom_objects)
        finally:
            for key in set(vars(module)) - set(clean):
                del vars(module)[key]
            vars(module).update((key, value) for key, value in clean.items() if key != "func_load")

    func_load._own_globals = True  # type: ignore[attr-defined]
    holder.func_load = func_load  # type: ignore[union-attr]
    keras.layers.Lambda.from_config = classmethod(restoring)


def _usual_names(keras: Any) -> Dict[str, Any]:
    import math

    import numpy

    tf = compat.import_tensorflow()
    names = {"K": keras.backend, "backend": keras.backend, "keras": keras, "tf": tf, "tensorflow": tf}
    names.update(np=numpy, numpy=numpy, math=math)
    names.update({key: getattr(keras, key) for key in ("layers", "activations", "initializers") if hasattr(keras, key)})
    return names


def constructor_gaps(objects: Dict[str, Any], entries: List[Tuple[str, str, Any]]) -> List[str]:
    """One line for each layer whose class needs arguments that its config does not hold."""
    lines = []
    for name, class_name, config in entries:
        cls = objects.get(class_name)
        if not inspect.isclass(cls) or "from_config" in vars(cls) or not isinstance(config, dict):
            continue
        try:
            wanted = list(inspect.signature(cls.__init__).parameters.values())[1:]
        except (TypeError, ValueError):
            continue
        plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        lacking = [p.name for p in wanted if p.kind in plain and p.default is p.empty and p.name not in config]
        if lacking:
            lines.append("%s (class %s): its constructor needs %s" % (name, class_name, ", ".join(lacking)))
    return lines


def stub(classes: Dict[str, List[str]], functions: Dict[str, List[str]]) -> List[str]:
    """Lines of a Python file to be filled in: a class or function for everything that is missing."""
    lines = ["import tensorflow as tf", "from tensorflow import keras", ""]
    for name, users in sorted(classes.items()):
        lines += ["", "class %s(keras.layers.Layer):  # %s" % (name, ", ".join(users)), "    ..."]
    for name, users in sorted(functions.items()):
        lines += ["", "def %s(x):  # %s" % (name, ", ".join(users)), "    ..."]
    return lines
