"""Files of TensorFlow 1.15 for the questions: a whole model, its weights, and a checkpoint. FOLDER BUILDERS"""

import sys
from pathlib import Path

sys.path.insert(0, sys.argv[2])

import numpy as np
import questions
import tensorflow as tf  # noqa: TID251 - runs inside of the environment

folder = Path(sys.argv[1])


def shaken(model, seed):
    """Other weights than any initializer makes, as training would."""
    rng = np.random.RandomState(seed)
    model.set_weights([w + rng.normal(scale=0.1, size=w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


classifier = shaken(questions.classifier(), 1)
classifier.save(str(folder / "classifier.h5"))
classifier.save_weights(str(folder / "classifier_weights.h5"))
shaken(questions.new_head(), 2).save_weights(str(folder / "other_weights.h5"))
tf.keras.backend.clear_session()
shaken(questions.orientation(), 3)
tf.compat.v1.train.Saver().save(tf.keras.backend.get_session(), str(folder / "orientation.ckpt"))
