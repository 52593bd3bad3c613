"""Names of arguments as Python functions of TensorFlow 2 take them, and of nodes in such functions. Pure."""

import keyword
import re
from typing import Dict, Iterable

#: the scope of nodes in a function that was made of a graph
SCOPE = "graph"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


def arguments(names: Iterable[str]) -> Dict[str, str]:
    """Name of a signature's argument -> the name that a call uses: the same, unless Python or TensorFlow forbid it.

    TensorFlow makes every sign but letters and digits an underscore when it tells arguments apart.
    """
    found, taken = {}, set()  # type: Dict[str, str], set
    for name in sorted(names, key=lambda n: (not _allowed(n), n)):
        made = (
            name
            if _allowed(name)
            else re.sub(r"[^A-Za-z0-9]", "_", name if name[:1].isalpha() else "arg_" + name) + "_"
        )
        while told_apart(made) in taken:
            made += "_"
        taken.add(told_apart(made))
        found[name] = made
    return found


def _allowed(name: str) -> bool:
    return bool(_PLAIN.fullmatch(name)) and not keyword.iskeyword(name) and name != "self"


def told_apart(name: str) -> str:
    """What TensorFlow makes of an argument's name inside of a function."""
    return re.sub(r"[^A-Za-z0-9]", "_", name)


def node_of(operation: str) -> str:
    """The node that an operation of a function was made of, outside of loops and conditionals."""
    return re.sub(r"^%s(_\d+)?/" % SCOPE, "", operation)
