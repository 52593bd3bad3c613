"""Shared by the floor's scripts: predict on every probe set and compare with the recorded outputs."""

import numpy as np


def compare(model, probe_file, output_file):
    """Raise AssertionError when an output differs by more than rounding."""
    with np.load(probe_file) as probes, np.load(output_file) as outputs:
        for name in outputs.files:
            arrays = [probes[f"{name}:{i}"] for i in range(len(model.inputs))]
            found = model.predict_on_batch(arrays if len(arrays) > 1 else arrays[0])
            worst = np.abs(found - outputs[name]).max() / np.abs(outputs[name]).max()
            assert worst < 1e-5, (name, worst)
