"""The user's own samples: an npz with one array per model input, all problems named at once."""

import zipfile
from typing import Any, Dict, List

import numpy as np

from .errors import Refusal


def read_samples(path: str, inputs: List[Dict[str, Any]]) -> List[Any]:
    """One array per input, of its dtype, in the order of ``inputs`` (name, shape with None where free, dtype).

    Values are cast only where the kind stays (64 to 32 bits, integers to reals), never from reals to integers.

    Raises Refusal samples-invalid, for every array at once.
    """
    given = _load(path)
    names = [spec["name"] for spec in inputs]
    problems = ["missing: %s" % name for name in names if name not in given]
    problems += ["not an input of the model: %s" % name for name in sorted(given) if name not in names]
    present = [(spec, given[spec["name"]]) for spec in inputs if spec["name"] in given]
    problems += [problem for spec, array in present for problem in _problems(spec, array)]
    rows = sorted({len(array) for _, array in present if array.ndim})
    if len(rows) > 1:
        problems.append("the arrays differ in their number of rows: %s" % ", ".join(map(str, rows)))
    if problems:
        raise Refusal("samples-invalid", "the samples do not fit the inputs %s" % ", ".join(names), problems)
    return [_cast(array, spec["dtype"]) for spec, array in present]


def _load(path: str) -> Dict[str, Any]:
    try:
        with open(path, "rb") as stream:
            if stream.read(4) != b"PK\x03\x04":
                raise ValueError("it is no npz file")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as samples:
                return {name: samples[name] for name in samples.files}
    except (ValueError, EnvironmentError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise Refusal("samples-invalid", "the samples cannot be read: %s" % error)


def _problems(spec: Dict[str, Any], array: Any) -> List[str]:
    found, name = [], spec["name"]
    wanted = spec["shape"]
    fits = array.ndim == len(wanted) and all(w is None or w == g for w, g in zip(wanted, array.shape))
    if not fits:
        shape = "[%s]" % ", ".join("any" if d is None else str(d) for d in wanted)
        found.append("%s: shape expected %s, found %s" % (name, shape, list(array.shape)))
    elif not array.size:
        found.append("%s: no values" % name)
    text = array.dtype.kind in "SU"
    same = text if spec["dtype"] == "string" else not text and np.can_cast(array.dtype, spec["dtype"], "same_kind")
    if not same:
        found.append("%s: dtype expected %s, found %s" % (name, spec["dtype"], array.dtype.name))
    return found


def _cast(array: Any, dtype: str) -> Any:
    if dtype != "string":
        return array.astype(dtype)
    items = [i.encode("utf-8") if isinstance(i, str) else i for i in array.ravel().tolist()]
    return np.array(items, dtype=object).reshape(array.shape)
