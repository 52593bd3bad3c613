"""The part of a session's graph that its signatures need; what stands in the way is named."""

import re
from typing import Any, Dict, Set

from .compat_graphs import v1
from .errors import Refusal

#: operations that cannot be carried, with the way out
_FOREIGN = {
    "PyFunc": "it calls Python code that the file does not hold",
    "PyFuncStateless": "it calls Python code that the file does not hold",
    "EagerPyFunc": "it calls Python code that the file does not hold",
}
_SOURCES = re.compile(
    r"(Iterator|OneShotIterator|QueueDequeue|\w*Queue|\w*Reader|Reader\w+|Stage|Unstage|MapUnstage)\w*"
)
_MUTABLE_TABLES = re.compile(r"Mutable(Dense)?HashTable\w*")
_PHASE = re.compile(r"(^|/)(is_)?(train(ing)?|learning_phase|keras_learning_phase|phase_train|is_train)(_\d+)?$")


class Part(object):
    """The part of a session's graph that its signatures need."""

    def __init__(self, session: Any, signatures: Dict[str, Any], fixed: Dict[str, Any]) -> None:
        self.session, self.graph = session, session.graph
        self.fixed = {tensor if ":" in tensor else tensor + ":0": value for tensor, value in fixed.items()}
        self.ledger = []  # type: List[Dict[str, str]]
        self.signatures = {}  # type: Dict[str, Any]
        self.names = set()  # type: Set[str]
        for key in sorted(signatures):
            self.signatures[key] = self._described(signatures[key])
            inputs = self.signatures[key]["inputs"]
            for name in [n for n, spec in inputs.items() if spec["tensor"] in self.fixed]:
                del inputs[name]  # what is fixed is no input any more
            self.names |= self.needed(key)
        self._fix_phases()
        self.names = set()
        for key in self.signatures:
            self.names |= self.needed(key)
        self.operations = [op for op in self.graph.get_operations() if op.name in self.names]
        for tensor in list(self.fixed):  # what was fixed and turned out to be needless
            if tensor.split(":")[0] not in self.names:
                del self.fixed[tensor]

    def _described(self, signature: Dict[str, Any]) -> Dict[str, Any]:
        return {
            "inputs": {name: self._spec(tensor) for name, tensor in sorted(signature["inputs"].items())},
            "outputs": {name: self._spec(tensor) for name, tensor in sorted(signature["outputs"].items())},
            "method": signature["method"],
        }

    def _spec(self, name: str) -> Dict[str, Any]:
        tensor = self.graph.get_tensor_by_name(name)
        shape = None if tensor.shape.ndims is None else tensor.shape.as_list()
        dtype = tensor.dtype.base_dtype.name
        return {"tensor": name, "shape": shape, "dtype": dtype}

    def needed(self, key: str) -> Set[str]:
        """Names of the operations that compute the outputs of a signature from its inputs."""
        signature = self.signatures[key]
        fed = {spec["tensor"] for spec in signature["inputs"].values()} | set(self.fixed)
        queue = [self.graph.get_tensor_by_name(spec["tensor"]).op for spec in signature["outputs"].values()]
        found = {spec["tensor"].split(":")[0] for spec in signature["inputs"].values()}
        seen = set()  # type: Set[str]
        while queue:
            operation = queue.pop()
            if operation.name in seen:
                continue
            seen.add(operation.name)
            if any(tensor.name in fed for tensor in operation.outputs[:1]):
                continue  # fed: what computes it is not run
            queue += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
        return found | seen

    def _fix_phases(self) -> None:
        """Fix the training phase to inference where the file leaves it open and nobody feeds it."""
        fed = {spec["tensor"] for s in self.signatures.values() for spec in s["inputs"].values()} | set(self.fixed)
        unfed = []  # type: List[str]
        for name in sorted(self.names):
            operation = self.graph.get_operation_by_name(name)
            if not operation.type.startswith("Placeholder") or name + ":0" in fed:
                continue
            tensor = operation.outputs[0]
            if operation.type == "PlaceholderWithDefault":
                self.ledger.append({"where": name, "before": "placeholder with a default", "after": "its default"})
            elif _PHASE.search(name) and tensor.dtype.base_dtype == v1().bool:
                self.fixed[name + ":0"] = False
                self.ledger.append({"where": name, "before": "placeholder of the phase", "after": "inference (False)"})
            else:
                unfed.append("%s (%s, shape %s)" % (name, tensor.dtype.name, tensor.shape))
        if unfed:
            raise Refusal("placeholder-unfed", "%d placeholders are needed that no input feeds" % len(unfed), unfed)

    def refuse_foreign(self) -> None:
        """Raise Refusal ops-unsupported for everything that cannot be carried, by name."""
        findings = []  # type: List[str]
        inputs = {s["tensor"].split(":")[0] for sig in self.signatures.values() for s in sig["inputs"].values()}
        for operation in self.operations:
            if operation.name in inputs:
                continue
            if operation.type in _FOREIGN:
                findings.append("%s (%s): %s" % (operation.name, operation.type, _FOREIGN[operation.type]))
            elif _SOURCES.match(operation.type):
                findings.append(
                    "%s (%s): it reads an input pipeline; name the tensors that come from it with --input-tensor"
                    % (operation.name, operation.type)
                )
            elif _MUTABLE_TABLES.match(operation.type):
                findings.append("%s (%s): tables that change are not carried" % (operation.name, operation.type))
        if findings:
            raise Refusal("ops-unsupported", "%d operations cannot be carried" % len(findings), findings)

    def tensor(self, name: str) -> Any:
        """A live tensor by its name."""
        return self.graph.get_tensor_by_name(name)

    def feed(self, values: Dict[str, Any]) -> Dict[str, Any]:
        """What a session is fed: tensor name -> array, the fixed tensors included."""
        return dict(self.fixed, **values)
