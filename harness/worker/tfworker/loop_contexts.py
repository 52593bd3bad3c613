"""The loops of a frozen graph made known to the TensorFlow 1 that is to differentiate it.

A GraphDef has the nodes of a loop, but not the record (``WhileContext``) that ``tf.gradients`` of TensorFlow 1 goes by; meta
graphs carry it in a collection. It is rebuilt here from the frames.
"""

from typing import Any, Dict, List

from .graphs import control_flow
from .graphs.attrs import text_attr


def restore(graph: Any) -> int:
    """Give every loop of a live graph its record; returns how many.

    Where loops hold loops or conditionals, all are left as they are: their records would have to know of each other, and a
    wrong one gives wrong gradients.
    """
    operations = {op.name: op for op in graph.get_operations()}
    frames = control_flow.frames_of([_node(op) for op in operations.values()])
    members = {}  # type: Dict[Any, List[Any]]
    for name, frame in frames.items():
        if frame:
            members.setdefault(frame, []).append(operations[name])
    if any(len(frame) > 1 for frame in members) or any(map(_holds_conditional, members.values())):
        return 0
    for frame in sorted(members):
        _restore(graph, frame[0], members[frame])
    return len(members)


def _holds_conditional(members: List[Any]) -> bool:
    return any(op.type == "Merge" and not any(t.op.type == "Enter" for t in op.inputs) for op in members)


def _node(op: Any) -> Dict[str, Any]:
    attrs = {}
    if op.type in ("Enter", "RefEnter"):
        attrs["frame_name"] = text_attr(op.get_attr("frame_name").decode("utf-8"))
    inputs = [tensor.name for tensor in op.inputs] + ["^" + other.name for other in op.control_inputs]
    return {"name": op.name, "op": op.type, "inputs": inputs, "attrs": attrs}


def _restore(graph: Any, name: str, members: List[Any]) -> None:
    from tensorflow.core.protobuf import control_flow_pb2
    from tensorflow.python.ops import control_flow_ops

    by_type = {}  # type: Dict[str, List[Any]]
    for op in members:
        by_type.setdefault(op.type, []).append(op)
    (condition,) = by_type["LoopCond"]
    switches = [op for op in by_type["Switch"] if op.inputs[1].op is condition]
    exits = list(by_type.get("Exit", ()))
    for switch in switches:
        if not any(reader.type == "Exit" for reader in switch.outputs[0].consumers()):
            # Freezing drops exits that nothing reads; without one, no gradient goes back through the variable.
            with graph.as_default():
                exits.append(control_flow_ops.exit(switch.outputs[0]).op)
    bodies = [reader for switch in switches for reader in switch.outputs[1].consumers() if reader.type == "Identity"]
    record = control_flow_pb2.WhileContextDef(
        context_name=name,
        parallel_iterations=max(int(op.get_attr("parallel_iterations")) for op in by_type["Enter"]),
        back_prop=True,
        swap_memory=False,
        pivot_name=condition.outputs[0].name,
        pivot_for_pred_name=condition.inputs[0].name,
        pivot_for_body_name=bodies[0].outputs[0].name,
    )
    variables = {merge.inputs[0].op for merge in by_type["Merge"]}
    record.loop_exit_names.extend(op.outputs[0].name for op in exits)
    record.loop_enter_names.extend(op.outputs[0].name for op in by_type["Enter"] if op in variables)
    for op in members:
        if op.type != "Exit":
            record.values_def.values.extend(tensor.name for tensor in op.outputs)
    for op in by_type["Enter"]:
        if op not in variables:
            record.values_def.values.append(op.inputs[0].name)
            record.values_def.external_values[op.inputs[0].name] = op.outputs[0].name
    with graph.as_default():
        context = control_flow_ops.WhileContext(context_def=record)
    for op in exits:
        op._set_control_flow_context(context)
