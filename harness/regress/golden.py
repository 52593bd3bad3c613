"""Outputs that others recorded: fed to the source model as samples, and compared with what it gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.bundle import Bundle
from harness.regress.cases import Case, input_names
from harness.verify.compare import compare
from harness.verify.tolerance import Bounds

SAMPLES = "samples"


def samples_of(case: Case, path: Path) -> bool:
    """Write the golden inputs of a case as ``--inputs`` wants them, keyed by input name; False if they cannot be."""
    if case.golden is None:
        return False
    with np.load(case.golden, allow_pickle=False) as golden:
        keys = [key for key in golden.files if key.startswith("input:")]
        names = input_names(case.path, len(keys))
        if not keys or names is None:
            return False
        np.savez(path, **{name: golden[key] for name, key in zip(names, keys, strict=True)})
    return True


def disagreement(case: Case, bundle: Bundle) -> str | None:
    """Why the bundle's source model is not the one whose outputs were recorded; None if it reproduces them.

    A dtype may differ: what ``predict`` returns is not always what the graph computes.
    """
    sets = bundle.manifest["probes"]["sets"]
    recorded = next((row for row in sets if row["name"] == SAMPLES), None)
    if recorded is None or case.golden is None:
        return None
    bounds, reader = Bounds(bundle.manifest["model"]["graph"]), bundle.arrays
    with np.load(case.golden, allow_pickle=False) as golden:
        expected = [golden[key] for key in golden.files if key.startswith("output:")]
    if len(expected) != len(recorded["outputs"]):
        return f"the source model has {len(recorded['outputs'])} outputs, {len(expected)} were recorded"
    for index, (value, name) in enumerate(zip(expected, recorded["outputs"], strict=True)):
        found = reader.get(name)
        scales = [np.abs(a[np.isfinite(a)]).max(initial=0.0) for a in (reader.get(s["outputs"][index]) for s in sets)]
        bound = bounds.output(index, found.dtype.name)
        result = compare(name, value.astype(found.dtype), found, bound, scale=1e-3 * float(max(scales)))
        if not result.ok:
            return f"the source model does not reproduce the recorded output {index}: {result.reason}"
    return None
