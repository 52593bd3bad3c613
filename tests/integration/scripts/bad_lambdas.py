"""Writes model files whose Lambda does harm when it is called, without calling it: python bad_lambdas.py FOLDER."""

import base64
import json
import marshal
import os
import sys

import h5py

FOLDER = sys.argv[1]


def reads_a_file(x):
    return x + tf.cast(tf.strings.length(tf.read_file("/etc/hostname")), "float32")  # noqa: F821


def calls_python(x):
    return tf.py_func(lambda a: a, [x], tf.float32)  # noqa: F821


def runs_for_ever(x):
    while True:
        pass


def allocates_without_end(x):
    held = []
    while True:
        held.append(b"x" * (1 << 28))


def reaches_the_network(x):
    return __import__("socket").create_connection(("192.0.2.1", 80), 5) and x


def writes_outside(x):
    return open("/usr/local/lib/written_by_a_lambda", "w") and x


def forks_without_end(x):
    while True:
        try:
            __import__("os").fork()
        except OSError:
            pass


def sleeps_for_ever(x):
    while True:
        __import__("time").sleep(600)


def needs_a_global(x):
    return x * LEARNED_FACTOR  # noqa: F821


def crashes(x):
    return x


def write(name, raw):
    config = {"name": "guest", "trainable": True, "dtype": "float32", "batch_input_shape": [None, 3], "arguments": {}}
    config.update(function=[base64.encodebytes(raw).decode("ascii"), None, None], function_type="lambda")
    config.update(output_shape=None, output_shape_type="raw", module="__main__")
    layers = [{"class_name": "Lambda", "config": config}]
    with h5py.File(os.path.join(FOLDER, name + ".h5"), "w") as file:
        model = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
        file.attrs["model_config"] = json.dumps(model).encode("ascii")
        file.attrs["keras_version"], file.attrs["backend"] = b"2.2.4-tf", b"tensorflow"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"guest"]
        group.attrs["keras_version"], group.attrs["backend"] = b"2.2.4-tf", b"tensorflow"
        group.create_group("guest").attrs["weight_names"] = []


HARMFUL = (reads_a_file, calls_python, runs_for_ever, allocates_without_end, needs_a_global)
HOSTILE = (reaches_the_network, writes_outside, forks_without_end, sleeps_for_ever)  # for containers only
for function in HARMFUL + HOSTILE:
    write(function.__name__, marshal.dumps(function.__code__))
code = marshal.dumps(crashes.__code__)
# The argument is loaded from a place that the frame does not have; some interpreters die of it.
write("crashes", code.replace(b"|\x00S\x00", b"|\xf0S\x00"))
