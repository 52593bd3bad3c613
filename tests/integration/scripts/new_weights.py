"""Weights files of TensorFlow 2, and what the model that wrote them gives. FOLDER BUILDERS"""

import sys
from pathlib import Path

sys.path.insert(0, sys.argv[2])

import numpy as np
import questions

folder, rng = Path(sys.argv[1]), np.random.RandomState(0)
model = questions.sequences()
model.set_weights([abs(w + rng.normal(scale=0.1, size=w.shape)).astype(w.dtype) for w in model.get_weights()])
x = rng.normal(size=(3, 12, 4)).astype("float32")
np.savez(str(folder / "golden.npz"), **{"input:x": x, "output:y": np.asarray(model(x))})
model.save_weights(str(folder / "new.weights.h5"))
model.save_weights(str(folder / "checkpoint" / "model"))
