"""A SavedModel as a Keras 3 layer that every optimizer can train. Put this file beside your script; it needs only Keras.

`keras.layers.TFSMLayer` calls its weights as TensorFlow does, `dense/kernel:0`; Adam and others then fail, because they
name their own variables after them and Keras 3 allows no colon.
"""

import keras


@keras.saving.register_keras_serializable(package="harness", name="SavedModelLayer")
class SavedModelLayer(keras.layers.TFSMLayer):
    """`keras.layers.TFSMLayer(filepath, call_endpoint="serve")` with weights that optimizers accept."""

    def _add_existing_weight(self, weight):
        # The layer's variable is the SavedModel's own, not a copy.
        name = weight.name.split(":")[0].replace("/", "_")
        variable = keras.Variable(
            initializer=weight, trainable=weight.trainable, dtype=weight.dtype, shape=weight.shape, name=name
        )
        self._track_variable(variable)
