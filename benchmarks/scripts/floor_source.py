"""The floor, first step: load the file, predict on the probes, save weights and outputs.

Arguments: MODEL PROBES WEIGHTS OUTPUTS. PROBES holds one array per probe set and input, named SET/INDEX.
"""

import sys

import numpy as np
import tensorflow as tf

model_file, probe_file, weight_file, output_file = sys.argv[1:5]
model = tf.keras.models.load_model(model_file, compile=False)
weights = {}
for layer in model.layers:
    for index, value in enumerate(layer.get_weights()):
        weights[f"{layer.name}:{index}"] = value
np.savez(weight_file, **weights)
outputs = {}
with np.load(probe_file) as probes:
    for name in sorted({key.split(":")[0] for key in probes.files}):
        count = sum(key.split(":")[0] == name for key in probes.files)
        outputs[name] = model.predict_on_batch([probes[f"{name}:{i}"] for i in range(count)])
np.savez(output_file, **outputs)
