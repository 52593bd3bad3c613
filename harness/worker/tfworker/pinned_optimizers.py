"""Optimizers with the formulas of TensorFlow 1, for Keras 3. This file stands alone: copy it beside your program.

Import it before loading a model that was saved with one of them::

    import pinned_optimizers
    model = keras.models.load_model("model.keras")

The variables are those of Keras 3's optimizers, so that the state can be exchanged.
"""

import keras
from keras import ops

PACKAGE = "pinned_optimizers"


@keras.saving.register_keras_serializable(PACKAGE)
class EpsilonOutsideRMSprop(keras.optimizers.RMSprop):
    """RMSprop without momentum of tf.keras up to 2.10 and Keras up to 2.3: g / (sqrt(v) + epsilon)."""

    def update_step(self, gradient, variable, learning_rate):
        """One update; ``centered`` subtracts the squared mean of the gradients from v."""
        index, dtype = self._get_variable_index(variable), variable.dtype
        rate, gradient = ops.cast(learning_rate, dtype), ops.cast(gradient, dtype)
        velocity = self._velocities[index]
        self.assign(velocity, self.rho * velocity + (1 - self.rho) * ops.square(gradient))
        spread = ops.convert_to_tensor(velocity)
        if self.centered:
            mean = self._average_gradients[index]
            self.assign(mean, self.rho * mean + (1 - self.rho) * gradient)
            spread = spread - ops.square(mean)
        self.assign_sub(variable, rate * gradient / (ops.sqrt(spread) + self.epsilon))


@keras.saving.register_keras_serializable(PACKAGE)
class EpsilonOutsideAdagrad(keras.optimizers.Adagrad):
    """Adagrad of tf.keras up to 2.10 and Keras up to 2.3: g / (sqrt(a) + epsilon)."""

    def update_step(self, gradient, variable, learning_rate):
        """One update."""
        dtype = variable.dtype
        rate, gradient = ops.cast(learning_rate, dtype), ops.cast(gradient, dtype)
        accumulator = self._accumulators[self._get_variable_index(variable)]
        self.assign_add(accumulator, ops.square(gradient))
        self.assign_sub(variable, rate * gradient / (ops.sqrt(accumulator) + self.epsilon))


@keras.saving.register_keras_serializable(PACKAGE)
class ScheduledNadam(keras.optimizers.Nadam):
    """Nadam of tf.keras up to 2.10 and Keras up to 2.3: momentum beta_1 (1 - 0.96^(t schedule_decay) / 2) at step t."""

    def __init__(self, schedule_decay=0.004, **kwargs):
        super().__init__(**kwargs)
        self.schedule_decay = schedule_decay

    def _momentum(self, step, dtype):
        base = ops.cast(0.96, dtype)
        return self.beta_1 * (1.0 - 0.5 * ops.power(base, ops.cast(step, dtype) * self.schedule_decay))

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        step = self._momentum(self.iterations + 1, self._u_product.dtype)
        self.assign(self._u_product, self._u_product * step)
        keras.optimizers.Optimizer._backend_update_step(self, grads, trainable_variables, learning_rate)

    def update_step(self, gradient, variable, learning_rate):
        """One update."""
        index, dtype = self._get_variable_index(variable), variable.dtype
        rate, gradient = ops.cast(learning_rate, dtype), ops.cast(gradient, dtype)
        now, then = self._momentum(self.iterations + 1, dtype), self._momentum(self.iterations + 2, dtype)
        product = ops.cast(self._u_product, dtype)
        m, v = self._momentums[index], self._velocities[index]
        self.assign(m, self.beta_1 * m + (1 - self.beta_1) * gradient)
        self.assign(v, self.beta_2 * v + (1 - self.beta_2) * ops.square(gradient))
        ahead = (1 - now) * gradient / (1 - product) + then * m / (1 - product * then)
        power = ops.power(ops.cast(self.beta_2, dtype), ops.cast(self.iterations + 1, dtype))
        self.assign_sub(variable, rate * ahead / (ops.sqrt(v / (1 - power)) + self.epsilon))

    def get_config(self):
        """Nadam's config and ``schedule_decay``."""
        return dict(super().get_config(), schedule_decay=self.schedule_decay)
