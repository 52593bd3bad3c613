"""How training steps are taken in the different TensorFlow versions: loss, gradients, and the values after an update."""

from typing import Any, List, Tuple

import numpy as np

from . import compat
from .compat_training import create_slots, eager, family


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


def stepper(
    keras: Any, model: Any, optimizer: Any, inputs: List[Any], targets: List[Any], set_state: Any
) -> Tuple[Any, Any]:
    """(evaluate, update): two functions without arguments, for a compiled model and one batch, in the training phase.

    ``evaluate`` gives (loss, {id of variable: gradient}) and changes nothing. ``update`` takes one step and gives
    {id of variable: value after}. ``set_state`` is called once, when the optimizer has its variables: it gives model
    and optimizer their state.
    """
    take = _eager_steps if eager() else _graph_steps
    return take(keras, model, optimizer, inputs, targets, set_state)


def _alone(values: List[Any]) -> Any:
    return values[0] if len(values) == 1 else list(values)


def differentiated(model: Any, inputs: List[Any], targets: List[Any], put_back: bool) -> Any:
    """A function that gives (loss, gradients of the trainable weights, some IndexedSlices) of a Keras 2 model.

    It is traced, as ``fit`` is: outside of a graph, cross-entropies do not see the logits. What the call moves, such as
    moving averages, is left moved or put back.
    """
    tf = compat.import_tensorflow()
    x, y = _alone([tf.constant(a) for a in inputs]), _alone([tf.constant(a) for a in targets])
    params = list(model.trainable_weights)

    def compute():  # type: () -> Any
        with tf.GradientTape() as tape:
            loss = model.compiled_loss(y, model(x, training=True), regularization_losses=model.losses)
        return loss, tape.gradient(loss, params)

    model.compiled_loss(y, model(x, training=False))  # makes the variables of metrics, which a trace must not
    traced = tf.function(compute)

    def call():  # type: () -> Any
        kept = [(v, v.numpy()) for v in model.weights] if put_back else []
        loss, gradients = traced()
        for variable, value in kept:
            variable.assign(value)
        return float(loss), list(zip(params, gradients))

    return call


def _eager_steps(keras: Any, model: Any, optimizer: Any, inputs: List[Any], targets: List[Any], set_state: Any) -> Any:
    tf = compat.import_tensorflow()
    create_slots(keras, optimizer, list(model.trainable_weights))
    set_state()
    compute = differentiated(model, inputs, targets, put_back=True)

    def evaluate():  # type: () -> Any
        loss, gradients = compute()
        return loss, {id(p): tf.convert_to_tensor(g).numpy() for p, g in gradients if g is not None}

    def update():  # type: () -> Dict[int, Any]
        model.train_on_batch(_alone(inputs), _alone(targets))
        return {id(v): v.numpy() for v in model.weights}

    return evaluate, update


def _graph_steps(keras: Any, model: Any, optimizer: Any, inputs: List[Any], targets: List[Any], set_state: Any) -> Any:
    tf = compat.import_tensorflow()
    params = list(model._collected_trainable_weights)
    raw = [tf.convert_to_tensor(g) for g in keras.backend.gradients(model.total_loss, params)]
    decayed = _decay_by_hand(keras, optimizer)
    updates = list(optimizer.get_updates(params=params, loss=model.total_loss))
    session = keras.backend.get_session()  # initialises what was made
    set_state()
    x, y, sample_weights = model._standardize_user_data(_alone(inputs), _alone(targets))[:3]
    holders = model._feed_inputs + model._feed_targets + model._feed_sample_weights
    feed = dict(
        zip(holders, [np.asarray(a) for a in list(x) + list(y) + [w for w in sample_weights or [] if w is not None]])
    )
    phase = keras.backend.learning_phase()
    if not isinstance(phase, int):
        feed[phase] = True if phase.dtype.base_dtype.name == "bool" else 1
    moving = list(model.updates)

    def evaluate():  # type: () -> Any
        loss, gradients = session.run([model.total_loss, raw], feed)
        return float(np.mean(loss)), dict(zip([id(p) for p in params], gradients))

    def update():  # type: () -> Dict[int, Any]
        if family(optimizer) == "v2":
            session.run([updates, moving], feed)
        else:
            decayed()
            values = _fetched(session, feed, updates, params, _state(optimizer))
            session.run(moving, feed)  # moving averages depend on the weights before the step, which still stand
            count = int(keras.backend.get_value(optimizer.iterations))
            compat.assign(keras, values + [(optimizer.iterations, count + 1)])
        return dict(zip([id(v) for v in model.weights], keras.backend.batch_get_value(model.weights)))

    return evaluate, update


def _state(optimizer: Any) -> List[Any]:
    """Variables of an optimizer of the ``keras`` family, without its counter."""
    found = list(optimizer.weights) + [getattr(optimizer, "m_schedule", None)]
    return [v for v in found if v is not None and v is not optimizer.iterations]


def _fetched(session: Any, feed: Any, updates: List[Any], params: List[Any], state: List[Any]) -> List[Any]:
    """(variable, the value that the updates would assign to it) of weights and slots, nothing being assigned."""
    found = {}  # type: Dict[int, Any]
    for reference, value in [pair for pair in map(assigned, updates) if pair is not None]:
        for variable in params + state:
            if same_variable(reference, variable):
                found[id(variable)] = (variable, value)
    updated = sum(id(p) in found for p in params)
    if updated != len(params):
        raise ValueError("%d of %d weights are updated in a way that is not understood" % (updated, len(params)))
    pairs = list(found.values())
    return list(zip([variable for variable, _ in pairs], session.run([value for _, value in pairs], feed)))


def _decay_by_hand(keras: Any, optimizer: Any) -> Any:
    """The ``keras`` family reads ``iterations`` for the decay at no certain moment: write the decayed rate out.

    Returns a function that sets the rate for the next step, once ``iterations`` have their value.
    """
    decay = float(getattr(optimizer, "initial_decay", 0.0) or 0.0)
    if family(optimizer) != "keras" or not decay:
        return lambda: None
    optimizer.initial_decay = 0.0
    rate = optimizer.lr
    start = []  # type: List[float]

    def set_rate():  # type: () -> None
        if not start:
            start.append(float(keras.backend.get_value(rate)))
        done = float(keras.backend.get_value(optimizer.iterations))
        keras.backend.set_value(rate, start[0] / (1.0 + decay * done))

    return set_rate
