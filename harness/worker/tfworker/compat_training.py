"""How optimizers differ between TensorFlow and Keras versions: making them, their slots, and what one step assigns.

Three families: ``keras`` (standalone Keras 2 and tf.keras up to 1.13: lists of variables by position), ``v2``
(OptimizerV2, tf.keras 1.14 to 2.10: slots by name) and ``modern`` (tf.keras 2.11 and later, Keras 3: lists of
variables by attribute).
"""

from typing import Any, Dict, List, Tuple

import numpy as np

from . import compat

#: slots of the ``keras`` family, in the order of ``optimizer.weights``
LISTED = {
    "SGD": ("momentum",),
    "RMSprop": ("rms",),
    "Adagrad": ("accumulator",),
    "Adadelta": ("accum_grad", "accum_var"),
    "Adam": ("m", "v", "vhat"),
    "Adamax": ("m", "v"),
    "Nadam": ("m", "v"),
}
#: slot -> attribute of the ``modern`` family; the names of slots are those of OptimizerV2
ATTRIBUTES = {
    "SGD": {"momentum": "momentums"},
    "RMSprop": {"rms": "_velocities", "momentum": "_momentums", "mg": "_average_gradients"},
    "Adagrad": {"accumulator": "_accumulators"},
    "Adadelta": {"accum_grad": "_accumulated_grads", "accum_var": "_accumulated_delta_vars"},
    "Adam": {"m": "_momentums", "v": "_velocities", "vhat": "_velocity_hats"},
    "Adamax": {"m": "_m", "v": "_u"},
    "Nadam": {"m": "_momentums", "v": "_velocities"},
    "Ftrl": {"accumulator": "_accumulators", "linear": "_linears"},
}


def make_optimizer(keras: Any, entry: Dict[str, Any]) -> Any:
    """The optimizer of ``{"class_name", "config"}``."""
    return keras.optimizers.deserialize({"class_name": entry["class_name"], "config": dict(entry["config"])})


def family(optimizer: Any) -> str:
    """``keras``, ``v2`` or ``modern``."""
    if hasattr(optimizer, "get_slot"):
        return "v2"
    return "modern" if hasattr(optimizer, "build") else "keras"


def class_of(optimizer: Any) -> str:
    """The optimizer's class as Keras itself names it; pinned ones count as the class they pin."""
    for cls in type(optimizer).__mro__:
        if cls.__name__ in ATTRIBUTES:
            return cls.__name__
    return type(optimizer).__name__


def create_slots(keras: Any, optimizer: Any, params: List[Any]) -> None:
    """Make the optimizer's variables without training anything."""
    kind = family(optimizer)
    if kind == "modern":
        optimizer.build(params)
    elif kind == "v2":
        _ = optimizer.iterations
        optimizer._create_hypers()
        optimizer._create_slots(params)
    else:
        total = None  # any loss that depends on every parameter
        for p in params:
            total = keras.backend.sum(p) if total is None else total + keras.backend.sum(p)
        optimizer.get_updates(loss=total, params=params)


def slots(optimizer: Any, params: List[Any]) -> List[Tuple[int, str, Any]]:
    """(index of the parameter, slot, variable) of every slot that has a meaning.

    Raises ValueError if the variables are not the ones that this optimizer is known to have.
    """
    kind, name = family(optimizer), class_of(optimizer)
    if kind == "v2":
        names = list(optimizer.get_slot_names())
        return [(i, slot, optimizer.get_slot(p, slot)) for i, p in enumerate(params) for slot in names]
    found = []  # type: List[Tuple[int, str, Any]]
    if kind == "modern":
        for slot, attribute in ATTRIBUTES[name].items():
            found += [(i, slot, v) for i, v in enumerate(getattr(optimizer, attribute, None) or []) if v is not None]
        return found
    scalars = [optimizer.iterations, getattr(optimizer, "m_schedule", None)]
    listed = [w for w in optimizer.weights if not any(w is s for s in scalars)]
    if name not in LISTED or len(listed) != len(LISTED[name]) * len(params):
        raise ValueError("%s has %d variables for %d weights" % (name, len(listed), len(params)))
    for index, variable in enumerate(listed):
        slot = LISTED[name][index // len(params)]
        if slot != "vhat" or optimizer.amsgrad:  # without amsgrad the third group holds dummies
            found.append((index % len(params), slot, variable))
    return found


def scalars(keras: Any, optimizer: Any) -> Dict[str, Any]:
    """Variables of the optimizer that belong to no weight: ``iterations``, and Nadam's running product."""
    found = {"iterations": optimizer.iterations}
    for attribute in ("m_schedule", "_m_cache", "_u_product"):
        if getattr(optimizer, attribute, None) is not None:
            found["m_schedule"] = getattr(optimizer, attribute)
    return found


def live_config(optimizer: Any) -> Dict[str, Any]:
    """The optimizer's own config, every default spelled out; float32 numbers as the decimals that people wrote."""
    config = {key: _decimal(value) for key, value in optimizer.get_config().items() if key != "name"}
    for key in ("clipnorm", "clipvalue"):
        config[key] = getattr(optimizer, key, None)  # no version before TF 2.4 writes them into every config
    return config


def _decimal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _decimal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_decimal(item) for item in value]
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and float(np.float32(value)) == value:
        return float(str(np.float32(value)))
    return value


def is_standalone(keras: Any) -> bool:
    """Whether this is Keras 2 beside TensorFlow, whose BatchNormalization takes no ``fused``."""
    return str(keras.__name__) == "keras" and not hasattr(keras, "src")


def eager() -> bool:
    """Whether this TensorFlow computes at once, without graph and session."""
    tf = compat.import_tensorflow()
    return bool(tf.executing_eagerly())


def set_floatx(keras: Any, dtype: str) -> None:
    """The default dtype of everything that is made from now on."""
    keras.backend.set_floatx(dtype)
    tf = compat.import_tensorflow()
    if hasattr(tf, "keras") and not hasattr(keras, "config"):
        tf.keras.backend.set_floatx(dtype)  # standalone Keras 2.3 makes some of its constants there
    if hasattr(keras, "config") and hasattr(keras.config, "set_dtype_policy"):
        keras.config.set_dtype_policy(dtype)


def least_fused_epsilon() -> float:
    """What the fused kernel raises a smaller epsilon to: cuDNN's minimum, on every device, up to TF 2.3."""
    version = tuple(int(part) for part in compat.import_tensorflow().__version__.split(".")[:2])
    return 1.001e-5 if version <= (2, 3) else 0.0


def plain_batch_norm(keras: Any) -> Any:
    """Standalone Keras calls the fused kernel, which has no double form: a function that puts it back afterwards.

    In its place stands what the kernel computes, the N/(N-1) of its variance included.
    """
    tf = compat.import_tensorflow()
    homes = [tf.nn] + ([tf.compat.v1.nn] if hasattr(getattr(tf, "compat", None), "v1") else [])
    kept = [(home, home.fused_batch_norm) for home in homes if hasattr(home, "fused_batch_norm")]

    def plain(x, scale, offset, mean=None, variance=None, epsilon=0.001, data_format="NHWC", is_training=True):
        # type: (Any, Any, Any, Any, Any, float, str, bool) -> Any
        axes = [0, 1, 2] if data_format == "NHWC" else [0, 2, 3]
        shape = [1, 1, 1, -1] if data_format == "NHWC" else [1, -1, 1, 1]
        if is_training:
            mean, variance = tf.nn.moments(x, axes)
        parts = [tf.reshape(part, shape) for part in (mean, variance, offset, scale)]
        y = tf.nn.batch_normalization(x, parts[0], parts[1], parts[2], parts[3], max(epsilon, least_fused_epsilon()))
        if not is_training:
            return y, mean, variance
        count = tf.cast(tf.size(x) / tf.size(mean), x.dtype)
        return y, mean, variance * count / tf.maximum(count - 1, 1)

    for home, _ in kept:
        home.fused_batch_norm = plain
    return lambda: [setattr(home, "fused_batch_norm", function) for home, function in kept]


def assigned(update: Any) -> Any:
    """(variable's reference, tensor of its new value) of an update operation, or None if it is no assignment.

    The value is computed without being assigned. Keras up to TF 1.12 increments ``iterations`` while it reads them;
    which comes first differs from run to run. Where nothing is assigned, there is no such race.
    """
    if isinstance(update, tuple):
        return _handle(update[0]), update[1]
    op = getattr(update, "op", update)
    if op.type in ("Identity", "ReadVariableOp") and not op.type.startswith("Assign"):
        parents = list(op.control_inputs) + [t.op for t in op.inputs]
        ops = [parent for parent in parents if parent.type.startswith("Assign")]
        if not ops:
            return None
        op = ops[0]
    if op.type in ("Assign", "AssignVariableOp"):
        return op.inputs[0], op.inputs[1]
    return None


def _handle(variable: Any) -> Any:
    handle = getattr(variable, "handle", None)
    return handle if handle is not None else variable._ref()


def same_variable(reference: Any, variable: Any) -> bool:
    """Whether an assignment's reference is this variable's."""
    return reference is _handle(variable) or getattr(reference, "name", 0) == getattr(_handle(variable), "name", 1)


def predict(keras: Any, model: Any, inputs: List[Any]) -> List[Any]:
    """Outputs in the inference phase."""
    outputs = model.predict_on_batch(inputs if len(inputs) > 1 else inputs[0])
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [np.asarray(o) for o in outputs]


def one_step(keras: Any, model: Any, optimizer: Any, inputs: List[Any], targets: List[Any], set_state: Any) -> Any:
    """(loss before, {id of variable: gradient}, {id of variable: value after}) of a step in the training phase.

    ``set_state`` is called when the optimizer has its variables, and gives model and optimizer their state.
    """
    if eager():
        return _eager_step(model, optimizer, inputs, targets, set_state)
    return _graph_step(keras, model, optimizer, inputs, targets, set_state)


def _alone(values: List[Any]) -> Any:
    return values[0] if len(values) == 1 else list(values)


def _eager_step(model: Any, optimizer: Any, inputs: List[Any], targets: List[Any], set_state: Any) -> Any:
    tf = compat.import_tensorflow()
    params = list(model.trainable_weights)
    if family(optimizer) == "modern":
        optimizer.build(params)
    else:
        optimizer._create_all_weights(params)
    set_state()
    x, y = _alone([tf.constant(a) for a in inputs]), _alone([tf.constant(a) for a in targets])
    with tf.GradientTape() as tape:
        loss = model.compiled_loss(y, model(x, training=True), regularization_losses=model.losses)
    gradients = [g if g is None else tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, params)]
    set_state()  # the call above has moved moving averages
    model.train_on_batch(_alone(inputs), _alone(targets))
    known = {id(p): g for p, g in zip(params, gradients) if g is not None}
    return float(loss), known, {id(v): v.numpy() for v in model.weights}


def _graph_step(keras: Any, model: Any, optimizer: Any, inputs: List[Any], targets: List[Any], set_state: Any) -> Any:
    tf = compat.import_tensorflow()
    params = list(model._collected_trainable_weights)
    raw = [tf.convert_to_tensor(g) for g in keras.backend.gradients(model.total_loss, params)]
    decayed = _decay_by_hand(keras, optimizer, set_state)
    updates = list(optimizer.get_updates(params=params, loss=model.total_loss))
    session = keras.backend.get_session()  # initialises what was made
    set_state()
    decayed()
    x, y, sample_weights = model._standardize_user_data(_alone(inputs), _alone(targets))[:3]
    holders = model._feed_inputs + model._feed_targets + model._feed_sample_weights
    feed = dict(
        zip(holders, [np.asarray(a) for a in list(x) + list(y) + [w for w in sample_weights or [] if w is not None]])
    )
    phase = keras.backend.learning_phase()
    if not isinstance(phase, int):
        feed[phase] = True if phase.dtype.base_dtype.name == "bool" else 1
    loss, gradients = session.run([model.total_loss, raw], feed)
    moving = [u for u in model.updates]
    if family(optimizer) == "v2":
        session.run([updates, moving], feed)
        after = dict(zip([id(v) for v in model.weights], keras.backend.batch_get_value(model.weights)))
    else:
        after = _fetched(session, feed, updates, params)
        session.run(moving, feed)  # moving averages depend on the weights before the step, which still stand
        others = [v for v in model.weights if id(v) not in after]
        after.update(zip([id(v) for v in others], keras.backend.batch_get_value(others)))
    return float(np.mean(loss)), dict(zip([id(p) for p in params], gradients)), after


def _fetched(session: Any, feed: Any, updates: List[Any], variables: List[Any]) -> Dict[int, Any]:
    """The values that the updates would assign to the variables, nothing being assigned."""
    found = {}  # type: Dict[int, Any]
    for reference, value in [pair for pair in map(assigned, updates) if pair is not None]:
        for variable in variables:
            if same_variable(reference, variable):
                found[id(variable)] = value
    if len(found) != len(variables):
        raise ValueError("%d of %d weights are updated in a way that is not understood" % (len(found), len(variables)))
    return dict(zip(found, session.run(list(found.values()), feed)))


def _decay_by_hand(keras: Any, optimizer: Any, set_state: Any) -> Any:
    """The ``keras`` family reads ``iterations`` for the decay at no certain moment: write the decayed rate out.

    Returns a function that sets the rate, once ``iterations`` have their value.
    """
    decay = float(getattr(optimizer, "initial_decay", 0.0) or 0.0)
    if family(optimizer) != "keras" or not decay:
        return lambda: None
    optimizer.initial_decay = 0.0
    rate = optimizer.lr

    def set_rate():  # type: () -> None
        before = float(keras.backend.get_value(rate))
        done = float(keras.backend.get_value(optimizer.iterations))
        keras.backend.set_value(rate, before / (1.0 + decay * done))

    return set_rate


def plain(value: Any) -> Any:
    """A config as JSON, float32 numbers as decimals."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return _decimal(value)
