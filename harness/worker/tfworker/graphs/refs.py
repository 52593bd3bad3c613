"""Reference variables become resource variables, on the neutral graph alone.

In TF1 a ``VariableV2`` hands out a reference to its buffer. Every edge that reads it becomes a ``ReadVariableOp``, every
operation that writes it its counterpart on resources, and what read the reference that a write returned reads after that
write: the order that the data edge gave is kept by a control edge. Table handles likewise lose their reference form.
"""

from typing import Any, List, Optional, Set

from . import edges
from .attrs import text_attr, type_attr, type_of
from .edges import Node

VARIABLES = ("VariableV2", "Variable")
RESOURCE = "DT_RESOURCE"

#: operation on references -> (its counterpart, number of leading inputs that are references)
WRITES = {
    "Assign": ("AssignVariableOp", 1),
    "AssignAdd": ("AssignAddVariableOp", 1),
    "AssignSub": ("AssignSubVariableOp", 1),
    "CountUpTo": ("ResourceCountUpTo", 1),
    "IsVariableInitialized": ("VarIsInitializedOp", 1),
}  # type: Dict[str, Tuple[str, int]]
WRITES.update(
    ("Scatter" + kind, ("ResourceScatter" + kind, 1))
    for kind in ("Update", "Add", "Sub", "Mul", "Div", "Min", "Max", "NdUpdate", "NdAdd", "NdSub")
)
#: optimizers -> number of variables they update (the variable and its slots)
_OPTIMIZERS = {
    "GradientDescent": 1, "ProximalGradientDescent": 1, "Momentum": 2, "Adagrad": 2, "ProximalAdagrad": 2,
    "Adadelta": 3, "AdagradDA": 3, "Adam": 3, "AdaMax": 3, "Ftrl": 3, "FtrlV2": 3, "RMSProp": 3, "CenteredRMSProp": 4,
    "AddSign": 2, "PowerSign": 2,
}  # fmt: skip
for _kind, _count in _OPTIMIZERS.items():
    WRITES["Apply" + _kind] = ("ResourceApply" + _kind, _count)
    WRITES["SparseApply" + _kind] = ("ResourceSparseApply" + _kind, _count)

#: writes that return no tensor on resources; in TF1 they returned the reference
_SILENT = {name for name in WRITES if name not in ("CountUpTo", "IsVariableInitialized")}
#: what hands a reference on -> the same for resources
_PASSES = {
    "RefIdentity": "Identity", "RefEnter": "Enter", "RefExit": "Exit", "RefSwitch": "Switch", "RefMerge": "Merge",
    "RefNextIteration": "NextIteration", "RefSelect": None, "TemporaryVariable": None, "DestroyTemporaryVariable": None,
}  # type: Dict[str, Optional[str]]  # fmt: skip

_TABLES = {
    "HashTable": "HashTableV2", "MutableHashTable": "MutableHashTableV2", "MutableDenseHashTable": "MutableDenseHashTableV2",
    "MutableHashTableOfTensors": "MutableHashTableOfTensorsV2", "LookupTableFind": "LookupTableFindV2",
    "LookupTableInsert": "LookupTableInsertV2", "LookupTableSize": "LookupTableSizeV2",
    "LookupTableExport": "LookupTableExportV2", "LookupTableImport": "LookupTableImportV2",
    "InitializeTable": "InitializeTableV2", "InitializeTableFromTextFile": "InitializeTableFromTextFileV2",
}  # fmt: skip


class Unsupported(Exception):
    """What has no counterpart: a list of sentences, each naming a node."""

    def __init__(self, findings: List[str]) -> None:
        super(Unsupported, self).__init__("; ".join(findings))
        self.findings = findings


def to_resources(nodes: List[Node]) -> List[Node]:
    """The nodes with resources in place of references; names of nodes stay, reads are added where there were none.

    Raises Unsupported naming every node whose reference has no counterpart.
    """
    return _Pass(nodes).run()


class _Pass(object):
    def __init__(self, nodes: List[Node]) -> None:
        self.nodes = nodes
        self.index = edges.by_name(nodes)
        self.taken = set(self.index)
        self.refs = {}  # type: Dict[str, Tuple[str, Optional[str]]]
        self.types = {}  # type: Dict[str, str]
        self.out = []  # type: List[Node]
        self.findings = []  # type: List[str]

    def run(self) -> List[Node]:
        self._find_references()
        for node in self.nodes:
            self.out.append(self._converted(node))
        if self.findings:
            raise Unsupported(sorted(set(self.findings)))
        return self.out

    def _find_references(self) -> None:
        """Which tensors are references: to the edge of their handle, and the write they have to wait for."""
        changed = True
        while changed:  # loops hand references backwards
            changed = False
            for node in self.nodes:
                if node["name"] + ":0" not in self.refs:
                    changed = self._reference(node) or changed

    def _reference(self, node: Node) -> bool:
        name, op = node["name"], node["op"]
        if op in VARIABLES:
            self._note(name, name, None, type_of(node, "dtype"))
            return True
        given = [ref for ref in edges.data_inputs(node) if self._key(ref) in self.refs]
        if not given:
            return False
        if op in _SILENT:
            self._note(name, self.refs[self._key(given[0])][0], name, self.types[self._key(given[0])])
            return True
        if op in _PASSES:
            if _PASSES[op] is None:
                self.findings.append("%s (%s): references of this kind have no counterpart" % (name, op))
            for index in range(2 if op == "RefSwitch" else 1):
                key = "%s:%d" % (name, index)
                self.refs[key] = (edges.join(name, index), None)
                self.types[key] = self.types[self._key(given[0])]
            return True
        return False

    def _note(self, name: str, handle: str, after: Optional[str], dtype: str) -> None:
        self.refs[name + ":0"] = (handle, after)
        self.types[name + ":0"] = dtype

    @staticmethod
    def _key(ref: str) -> str:
        name, index = edges.split(ref)
        return "%s:%d" % (name, index)

    def _converted(self, node: Node) -> Node:
        op, name = node["op"], node["name"]
        if op in VARIABLES:
            attrs = {key: node["attrs"][key] for key in ("dtype", "shape", "container") if key in node["attrs"]}
            attrs["shared_name"] = node["attrs"].get("shared_name", text_attr(name))
            return dict(node, op="VarHandleOp", attrs=attrs)
        if op in _TABLES:
            return dict(node, op=_TABLES[op])
        given = edges.data_inputs(node)
        held = [self._key(ref) in self.refs for ref in given]
        if not any(held):
            return node
        if op == "Identity":
            return self._read(node, given[0], name)
        if op in _PASSES:
            return self._passed(node, given)
        count = WRITES[op][1] if op in WRITES else 0
        inputs, after = [], []  # type: List[str], List[str]
        for position, ref in enumerate(given):
            if not held[position]:
                inputs.append(ref)
            elif position < count:
                handle, write = self.refs[self._key(ref)]
                inputs.append(handle)
                after += ["^" + write] if write else []
            else:
                read = self._read(node, ref, edges.fresh(self.taken, "%s/read_%d" % (name, position)))
                self.out.append(read)
                inputs.append(read["name"])
        waits = edges.control_inputs(node)
        waits += [ref for ref in after if ref not in waits]
        done = dict(node, inputs=inputs + waits)
        return self._write(done, op) if op in WRITES else done

    def _passed(self, node: Node, given: List[str]) -> Node:
        handles, waits = [], edges.control_inputs(node)  # type: List[str], List[str]
        for ref in given:
            handle, write = self.refs.get(self._key(ref), (ref, None))
            handles.append(handle)
            waits += ["^" + write] if write and "^" + write not in waits else []
        counterpart = _PASSES[node["op"]] or node["op"]
        return dict(node, op=counterpart, inputs=handles + waits, attrs=dict(node["attrs"], T=type_attr(RESOURCE)))

    def _read(self, reader: Node, ref: str, name: str) -> Node:
        """A read of the variable behind ``ref`` at the time at which ``reader`` would have looked."""
        handle, write = self.refs[self._key(ref)]
        waits = edges.control_inputs(reader)
        waits += ["^" + write] if write and "^" + write not in waits else []
        attrs = {"dtype": type_attr(self.types[self._key(ref)])}
        return {"name": name, "op": "ReadVariableOp", "inputs": [handle] + waits, "attrs": attrs}

    def _write(self, node: Node, op: str) -> Node:
        attrs, counterpart = dict(node["attrs"]), WRITES[op][0]
        if op.startswith("Assign"):
            attrs = {"dtype": attrs.get("T", type_attr("DT_FLOAT"))}
        elif op.startswith("Scatter") and not op.startswith("ScatterNd"):
            attrs = {"dtype": attrs["T"], "Tindices": attrs["Tindices"]}
        elif op == "IsVariableInitialized":
            attrs = {}
        return dict(node, op=counterpart, attrs=attrs)


def written(nodes: List[Node]) -> Set[str]:
    """Names of the variables that some node of a converted graph writes."""
    counterparts = {new for old, (new, _) in WRITES.items() if old in _SILENT}
    index, found = edges.by_name(nodes), set()  # type: Any, Set[str]
    for node in nodes:
        if node["op"] in counterparts:
            count = next(n for old, (new, n) in WRITES.items() if new == node["op"])
            found.update(_root(index, ref) for ref in edges.data_inputs(node)[:count])
    return found


def _root(index: Any, ref: str) -> str:
    while edges.base(ref) in index and index[edges.base(ref)]["op"] in ("Identity", "Enter", "Switch"):
        ref = edges.data_inputs(index[edges.base(ref)])[0]
    return edges.base(ref)
