# ruff: noqa: TID251 - runs in another environment
"""A migrated SavedModel in today's TensorFlow, without the harness: python use_graph.py SAVED_MODEL SENTENCES EMBEDDINGS

Prints JSON: how far its embeddings are, what fine-tuning in a Keras model does, what serving sees.
"""

import json
import sys
import tempfile

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, sys.argv[1].rpartition("/")[0])
from saved_model_layer import SavedModelLayer

path, sentences, expected = sys.argv[1], np.load(sys.argv[2])["default"], np.load(sys.argv[3])
keras.utils.set_random_seed(1)  # for the new head and the order of batches
text = tf.constant(sentences.tolist())
loaded = tf.saved_model.load(path)
found = {"call": float(np.abs(loaded(text).numpy() - expected).max())}

inputs = keras.Input((), dtype="string")
layer = SavedModelLayer(path)
plain = keras.layers.TFSMLayer(path)
found["plain layer"] = float(np.abs(np.asarray(plain(text)) - expected).max())
outputs = keras.layers.Dense(1, activation="sigmoid")(layer(inputs))
model = keras.Model(inputs, outputs)
found["layer"] = float(np.abs(np.asarray(layer(text)) - expected).max())
found["trainable"] = len(layer.trainable_weights)
before = [np.array(w) for w in layer.trainable_weights]
model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy")
labels = np.array([1, 1, 0, 0, 0, 0], np.float32)[:, None]
history = model.fit(text, labels, epochs=60, verbose=0).history["loss"]
found["loss"] = [history[0], history[-1]]
found["moved"] = sum(not np.array_equal(a, np.array(b)) for a, b in zip(before, layer.trainable_weights, strict=True))

# Saved again, after training: variables, tables and assets come along.
folder = tempfile.mkdtemp()
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(loaded(text))
for variable, gradient in zip(loaded.trainable_variables, tape.gradient(loss, loaded.trainable_variables), strict=True):
    variable.assign_sub(0.1 * tf.convert_to_tensor(gradient))
tuned = loaded(text).numpy()
tf.saved_model.save(loaded, folder, signatures=dict(loaded.signatures))
again = tf.saved_model.load(folder)
found["saved again"] = float(np.abs(again(text).numpy() - tuned).max())
found["tuned"] = float(np.abs(tuned - expected).max())
found["assets"] = sorted(asset.asset_path.numpy().decode().rpartition("/")[2] for asset in loaded.assets)

# As a server does: a session on the graph tagged `serve`, nothing but the signature and the initialiser.
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta = tf.compat.v1.saved_model.load(session, ["serve"], path)
    key = "default" if "default" in meta.signature_def else "serving_default"
    signature = meta.signature_def[key]
    (given,), (taken,) = signature.inputs.values(), signature.outputs.values()
    served = session.run(taken.name, {given.name: sentences})
found["served"] = float(np.abs(served - expected).max())
print(json.dumps(found))
