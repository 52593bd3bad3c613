"""Prints, as JSON, the arguments that every layer class of a Keras takes: layer_arguments.py FLAVOUR

Named arguments of the constructors, from the class up to where one takes no further keywords, and those that a
constructor takes out of its keywords by name.
"""

import importlib
import inspect
import json
import re
import sys

#: arguments of every layer, and those that only say what the model's graph says as well
BASE = {"self", "args", "kwargs", "name", "trainable", "dtype", "activity_regularizer", "autocast", "dynamic"}


def arguments(cls, base):
    found = set()
    for owner in cls.__mro__:
        if owner is base or owner is object:
            break
        if "__init__" not in vars(owner):
            continue
        init = inspect.unwrap(getattr(vars(owner)["__init__"], "_original_function", vars(owner)["__init__"]))
        taken = inspect.signature(init).parameters.values()
        found |= {p.name for p in taken}
        try:
            found |= set(re.findall(r"kwargs\.pop\(\s*['\"](\w+)['\"]", inspect.getsource(init)))
        except (OSError, TypeError):
            pass
        if not any(p.kind is p.VAR_KEYWORD for p in taken):
            break
    return sorted(found - BASE)


def main(flavour):
    keras = importlib.import_module("tensorflow").keras if flavour == "tf.keras" else importlib.import_module(flavour)
    layers = keras.layers
    classes = {name: getattr(layers, name) for name in dir(layers) if isinstance(getattr(layers, name), type)}
    classes = {name: cls for name, cls in classes.items() if issubclass(cls, layers.Layer)}
    return {name: arguments(cls, layers.Layer) for name, cls in sorted(classes.items())}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1]), indent=0))
