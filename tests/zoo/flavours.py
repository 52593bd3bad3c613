"""The ``k`` namespace of the running environment, and the few things that differ between flavours."""

import importlib
import importlib.util
import logging
import os
import platform
import re


class Flavour(object):
    """The namespace with its versions; ``name`` is ``tf.keras``, ``keras`` or ``keras3``."""

    def __init__(self, name):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        self.tf = importlib.import_module("tensorflow")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        self.name = name
        self.k = self.tf.keras if name == "tf.keras" else importlib.import_module("keras")
        #: files are saved as this Keras saves them by itself
        self.extension = ".keras" if name == "keras3" else ".h5"
        self.graph_mode = self.tf.__version__.startswith("1.")
        if not self.graph_mode:
            self.tf.config.threading.set_intra_op_parallelism_threads(1)
            self.tf.config.threading.set_inter_op_parallelism_threads(1)

    def versions(self):
        """What wrote the files."""
        # From TensorFlow 2.6 on tf.keras lives in the package `keras` and carries no version of its own.
        keras = getattr(self.k, "__version__", None) or importlib.import_module("keras").__version__
        return {
            "flavour": self.name,
            "python": platform.python_version(),
            "tensorflow": self.tf.__version__,
            "keras": keras,
        }

    def fresh(self, seed):
        """A new graph and session with fixed seeds; one thread, because many small sessions start faster so."""
        backend = self.k.backend
        backend.clear_session()
        if self.graph_mode:
            config = self.tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
            # Without this the placer visits the whole graph, and CuDNN layers could not even be saved on a CPU.
            config.graph_options.place_pruned_graph = True
            backend.set_session(self.tf.Session(config=config))
            self.tf.set_random_seed(seed)
        else:
            self.tf.random.set_seed(seed)

    def prepare(self, model):
        """Before predict: TensorFlow 2 would trace a function for each model, which takes most of the time."""
        if not self.graph_mode:
            model.run_eagerly = True


def default_name():
    """``keras`` where the standalone package (up to 2.3) is installed, ``keras3`` beside it since, else ``tf.keras``.

    Imports none of them.
    """
    spec = importlib.util.find_spec("keras")
    if spec is None or not spec.origin:
        return "tf.keras"
    with open(spec.origin) as file:
        text = file.read()
    if re.search(r"__version__ = '2\.[0-3]\.", text):
        return "keras"
    return "keras3" if "keras.src.version" in text else "tf.keras"
