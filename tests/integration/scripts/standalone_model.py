# ruff: noqa: TID251 - runs in another environment, of another Python
"""Runs in standalone Keras on TF 1.x: python standalone_model.py FOLDER.

Writes one model with a nested one, convolutions, masks and gates as ``whole.h5``; as ``arch.json``, ``arch.yaml`` and
``weights.h5``; and ``theano.h5``, the same model as Keras on Theano stores it.
"""

import sys
from pathlib import Path

import h5py
import keras
import numpy as np

L = keras.layers
folder = Path(sys.argv[1])

tower = keras.models.Sequential(name="tower")
tower.add(L.Conv2D(3, (3, 2), activation="relu", input_shape=(7, 6, 2), name="inner_conv"))
tower.add(L.BatchNormalization(name="inner_norm"))
tower.add(L.Conv2DTranspose(2, 2, name="inner_transposed"))
image, tokens = keras.layers.Input((7, 6, 2), name="image"), keras.layers.Input((5,), name="tokens", dtype="int32")
x = L.Conv2D(4, 3, activation="hard_sigmoid", name="conv")(tower(image))
x = L.Flatten(name="flat")(x)
y = L.Embedding(11, 4, mask_zero=True, name="embedding")(tokens)
y = L.TimeDistributed(L.Dense(3, activation="tanh"), name="each")(y)
y = L.Bidirectional(L.LSTM(3, return_sequences=True), name="both")(y)
y = L.GRU(4, name="gru")(y)
out = L.Dense(3, activation="softmax", name="out")(L.concatenate([x, y], name="joined"))
model = keras.models.Model([image, tokens], out, name="standalone")
rng = np.random.RandomState(7)
model.set_weights([rng.rand(*w.shape) * 0.8 - 0.2 for w in model.get_weights()])
tower.get_layer("inner_norm").set_weights([rng.rand(3) + 0.5 for _ in range(4)])
model.save(str(folder / "whole.h5"))
model.save_weights(str(folder / "weights.h5"))
(folder / "arch.json").write_text(model.to_json())
(folder / "arch.yaml").write_text(model.to_yaml())

(folder / "theano.h5").write_bytes((folder / "whole.h5").read_bytes())
with h5py.File(str(folder / "theano.h5"), "r+") as h5:
    for group in (h5, h5["model_weights"]):
        group.attrs["backend"] = np.bytes_("theano")
    kernels = []
    h5.visititems(lambda name, item: kernels.append(item) if getattr(item, "ndim", 0) == 4 else None)
    for kernel in kernels:  # Theano convolves where TensorFlow correlates
        kernel[...] = kernel[...][::-1, ::-1]
print(len(kernels))
