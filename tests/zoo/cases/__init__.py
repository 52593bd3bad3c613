"""The case tables, one module per family; importing a module registers its cases."""

import importlib
import os


def load():
    """Import every module of this folder, in alphabetical order."""
    for name in sorted(os.listdir(os.path.dirname(os.path.abspath(__file__)))):
        if name.endswith(".py") and not name.startswith("_"):
            importlib.import_module(__name__ + "." + name[:-3])
