# ruff: noqa: TID251, UP031 - runs in another environment, of another Python
"""Runs in TF 2.21: python mutate.py MODEL FOLDER. Writes FOLDER/NAME.keras for each way to damage a migrated model."""

import json
import sys

import keras
import numpy as np

source, folder = sys.argv[1:3]


def load():
    return keras.models.load_model(source, compile=False)


def layer(model, path):
    for name in path.split("/"):
        model = model.get_layer(name)
    return model


def weights_changed(path, index, change):
    """The model after ``change`` of one weight of a layer."""
    model = load()
    variable = layer(model, path).weights[index]
    variable.assign(change(np.array(variable)))
    return model


def config_changed(change):
    """The model built again from a changed config, with the same weights."""
    old = load()
    config = old.get_config()
    change(config)
    new = keras.Model.from_config(config)
    new.set_weights(old.get_weights())
    return new


def entry(config, name):
    """The config of a layer, wherever it is nested."""
    for item in config["layers"]:
        if item["config"].get("name") == name:
            return item
        if "layers" in item["config"]:
            found = entry(item["config"], name)
            if found:
                return found
    return None


def swap_gates(kernel):
    """Forget and cell gates of an LSTM exchanged."""
    parts = np.split(kernel, 4, axis=-1)
    return np.concatenate([parts[0], parts[2], parts[1], parts[3]], axis=-1)


def one_by_a_thousandth(kernel):
    kernel.flat[np.abs(kernel).argmax()] *= 1 + 1e-3
    return kernel


def todays_hard_sigmoid(config):
    entry(config, "gru_after")["config"]["recurrent_activation"] = "hard_sigmoid"


def epsilon(config):
    entry(config, "tower_norm")["config"]["epsilon"] = 1e-5


def swapped(config):
    arguments = entry(config, "difference")["inbound_nodes"][0]["args"][0]
    arguments.reverse()


MUTATIONS = {
    "saved_again": load,
    "permuted_kernel": lambda: weights_changed("tower/tower_conv", 0, lambda k: k[::-1]),
    "swapped_gates": lambda: weights_changed("lstm", 0, swap_gates),
    "todays_hard_sigmoid": lambda: config_changed(todays_hard_sigmoid),
    "other_epsilon": lambda: config_changed(epsilon),
    "dropped_bias": lambda: weights_changed("shared", 1, np.zeros_like),
    "swapped_inputs": lambda: config_changed(swapped),
    "one_weight_by_1e-3": lambda: weights_changed("aux", 0, one_by_a_thousandth),
}
for name, make in MUTATIONS.items():
    make().save("%s/%s.keras" % (folder, name))
print(json.dumps(sorted(MUTATIONS)))
