"""Files made to keep a reader busy for ever, or to fail it: each ends in seconds, in a declared error or in facts.

What hung once runs in the bounded child here as well, so that it would fail and not hang again.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import graph_plan, reproduce
from harness.artifact import Artifact, Kind, bounded, global_heap, graph_messages
from harness.artifact.checkpoints import find_checkpoint
from harness.artifact.graph_candidates import Candidates, named, propose
from harness.artifact.graph_messages import GraphFacts, GraphNode, read_graphs
from harness.artifact.wire import WireError
from harness.errors import HarnessError
from harness.supplied import Supplied

HDF5 = b"\x89HDF\r\n\x1a\n"


@pytest.fixture(autouse=True)
def _seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "PROCESSOR_SECONDS", 3)


def sniff(path: Path) -> Artifact:
    return bounded.sniff(path)


def refused(message: str, code: str = "source-truncated") -> pytest.RaisesExc[HarnessError]:
    return pytest.raises(HarnessError, match=message, check=lambda error: error.code == code)


# --- heaps of HDF5


def test_free_objects_of_a_heap_count(tmp_path: Path) -> None:
    """Many heaps that all lead into one chain of free objects."""
    heaps, chain = 5_000, 60_000
    behind = len(HDF5) + heaps * 32
    content = bytearray(HDF5)
    for _ in range(heaps):
        at = len(content)
        content += global_heap.COLLECTION + bytes(3) + struct.pack("<QHHIQ", 1 << 40, 0, 0, 0, behind - at - 16)
    content += struct.pack("<HHIQ", 0, 0, 0, 16) * chain
    (tmp_path / "m.h5").write_bytes(content)
    with refused("its global heaps hold more than 200,000 objects"):
        sniff(tmp_path / "m.h5")


def test_a_hole_is_not_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "m.h5").open("wb") as stream:
        stream.write(HDF5)
        stream.truncate(1 << 40)
    monkeypatch.setattr(global_heap, "SCANNED_BYTES", 64 << 20)  # for the time that it takes
    with refused("damaged HDF5 file"):
        sniff(tmp_path / "m.h5")


@pytest.mark.parametrize(("at", "found"), [(0, 99), (400, 99), (530, 0), (600, 99), (1000, 99)])
def test_of_a_large_file_both_ends_are_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, found: int
) -> None:
    monkeypatch.setattr(global_heap, "SCANNED_BYTES", 1024)
    heap = global_heap.COLLECTION + bytes(3) + struct.pack("<QHHIQ", 32 + 104, 1, 0, 0, 99) + bytes(104)
    content = bytearray(1100)
    content[at : at + len(heap)] = heap
    (tmp_path / "m.h5").write_bytes(content)
    assert global_heap.largest_object(tmp_path / "m.h5") == found


# --- graphs


def nodes(*rows: tuple[str, ...]) -> GraphFacts:
    return GraphFacts(nodes=tuple(GraphNode(name=name, op=op, inputs=tuple(inputs)) for name, op, *inputs in rows))


def proposed(facts: GraphFacts) -> Candidates:
    found = bounded.bounded(lambda: propose(facts), Candidates, "g.pb")
    assert isinstance(found, Candidates)
    return found


def test_nodes_that_lead_to_each_other_end() -> None:
    facts = nodes(
        ("x", "Placeholder"), ("y", "Placeholder"), ("start", "Relu", "x"), ("a", "Reshape", "gradients/b", "start"),
        ("gradients/b", "Reshape", "a"), ("loss", "Mul", "a", "y"),
    )  # fmt: skip
    assert proposed(facts).outputs == {"a": "a:0"}


@pytest.mark.parametrize("op", ["Identity", "Reshape"])
def test_a_long_chain_is_walked_once(op: str) -> None:
    chain = [(f"n{i}", op, f"n{i - 1}" if i else "x") for i in range(20_000)]
    assert proposed(nodes(("x", "Placeholder"), *chain)).outputs == {}
    dressed = [*chain, ("y", "Placeholder"), *((f"l{i}", "Mul", f"n{i}", "y") for i in range(20_000))]
    assert len(proposed(nodes(("x", "Placeholder"), ("x0", "Relu", "x"), *dressed)).inputs) <= 2


def test_many_ends_are_compared_by_what_they_need() -> None:
    rows = [("x", "Placeholder"), *((f"n{i}", "Relu", "x") for i in range(20_000))]
    assert len(proposed(nodes(*rows)).outputs) == 20_000


def test_a_name_of_many_parts_is_cut_from_its_end() -> None:
    deep = "/".join("a" * 50_000)
    found: dict[str, str] = bounded.bounded(lambda: named([deep, deep[:-2]]), dict[str, str], "g.pb")
    assert list(found) == ["a", "a_a"]


ATTRIBUTE = "node { name: 'x' op: 'Placeholder' attr { key: 'shape' value { shape { %s } } } }"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("node { op: 'x' }", "has no `name`"),
        ("node { name: 'x' }", "has no `op`"),
        ("node: 'a'", "`node` is no message"),
        ("node { name { } op: 'x' }", "`name` is a message"),
        ("node { name: 'a' op: 'x' input { } }", "`input` is a message"),
        ("node { name: 'a' op: 'x' attr: 5 }", "`attr` is no message"),
        ("node { name: 'a' op: 'x' attr { key: 'T' value: 5 } }", "`value` is no message"),
        ("node { name: 'a' op: 'x' attr { value { } } }", "has no `key`"),
        (ATTRIBUTE % "dim { size: abc }", "abc"),
        (ATTRIBUTE % "dim: 5", "`dim` is no message"),
        (ATTRIBUTE % ("dim { size: %s }" % ("9" * 5000)), "4300"),
        (ATTRIBUTE % ("dim { size: %s }" % ("9" * 30)), "a size that no tensor has"),
        ("saved_model_schema_version: 1 meta_graphs: 5", "`meta_graphs` is no message"),
        ("meta_graphs { graph_def: 'x' }", "`graph_def` is no message"),
        ("meta_graphs { signature_def { key: 'a' } }", "has no `value`"),
        ("meta_graphs { signature_def { value { } } }", "has no `key`"),
        (
            "meta_graphs { signature_def { key: 'a' value { inputs { key: 'b' value: 'c' } } } }",
            "`value` is no message",
        ),
        ("meta_graphs { meta_info_def { tags { } } }", "`tags` is a message"),
    ],
)
def test_text_of_another_form_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "saved_model.pbtxt").write_text("saved_model_schema_version: 1\n" * text.startswith("meta") + text)
    with pytest.raises(WireError, match=reason):
        read_graphs(tmp_path)
    with refused("cannot be parsed as a graph"):
        graph_plan.graph_of(tmp_path)


def test_the_length_of_a_text_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "g.pbtxt").write_text("node { name: 'a' op: 'b' }\n" + "# more\n" * 5000)
    assert len(read_graphs(tmp_path / "g.pbtxt")[0].nodes) == 1
    monkeypatch.setattr(graph_messages, "TEXT_LIMIT", 30_000)
    with pytest.raises(WireError, match="35,027 bytes of text, more than the limit of 30,000"):
        read_graphs(tmp_path / "g.pbtxt")


def test_text_is_parsed_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens, each of which would take a hundred bytes in a list of them."""
    (tmp_path / "g.pbtxt").write_text("node { name: 'a' op: 'b' }\n" + "; , " * 700_000)
    monkeypatch.setattr(bounded, "MEMORY_BYTES", 64 << 20)
    monkeypatch.setattr(bounded, "PROCESSOR_SECONDS", 20)
    assert bounded.bounded(lambda: len(read_graphs(tmp_path / "g.pbtxt")[0].nodes), int, "g.pbtxt") == 1


# --- checkpoints


@pytest.mark.parametrize("fill", [b"\n" * 300_000, b" " * 300_000, b"\n \t" * 100_000], ids=["lines", "spaces", "both"])
def test_a_pointer_of_blanks_is_read_in_no_time(tmp_path: Path, fill: bytes) -> None:
    (tmp_path / "checkpoint").write_bytes(fill)
    with refused("holds 0 checkpoints", "source-not-recognised"):
        bounded.bounded(lambda: find_checkpoint(tmp_path), Any, "checkpoint")


def test_of_a_pointer_the_start_is_read(tmp_path: Path) -> None:
    with (tmp_path / "checkpoint").open("wb") as stream:
        stream.truncate(3 << 30)
    with refused("holds 0 checkpoints", "source-not-recognised"):
        bounded.bounded(lambda: find_checkpoint(tmp_path), Any, "checkpoint")
    (tmp_path / "checkpoint").write_text('  model_checkpoint_path : "m-2"\nall_model_checkpoint_paths: "m-1"\n')
    for name in ("m-2.index", "m-2.data-00000-of-00001", "m-2.meta"):
        (tmp_path / name).write_bytes(b"x")
    assert find_checkpoint(tmp_path).prefix == tmp_path / "m-2"


# --- arrays

NINES = "9" * 4200


def npy(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


@pytest.mark.parametrize(
    "shape", [f"({NINES}, {NINES})", "(" + "1, " * 65 + ")", "(-1, 2)", f"({1 << 63},)", "(True, 2)"]
)
def test_an_npy_shape_that_no_array_has_is_a_damaged_header(tmp_path: Path, shape: str) -> None:
    (tmp_path / "a.npy").write_bytes(npy(shape))
    assert sniff(tmp_path / "a.npy").looks_like == "a numpy array (.npy) with a damaged header"


def safetensors(shape: str, dtype: str = "F32") -> bytes:
    header = f'{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,0]}}}}'.encode()
    return struct.pack("<Q", len(header)) + header


SHAPES = [f"[{NINES},{NINES}]", "[" + ",".join([NINES] * 5000) + "]", json.dumps([1] * 65), "[-1]", "[true]", "[1.0]"]


@pytest.mark.parametrize("shape", SHAPES, ids=range(len(SHAPES)))
def test_a_shape_of_safetensors_that_no_array_has_makes_it_none(tmp_path: Path, shape: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(safetensors(shape))
    assert sniff(tmp_path / "a.safetensors").kind is Kind.UNKNOWN


def test_large_shapes_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(safetensors(json.dumps([(1 << 63) - 1] * 64)))
    (tensor,) = sniff(tmp_path / "a.safetensors").weights
    assert tensor.size_bytes == ((1 << 63) - 1) ** 64 * 4
    (tmp_path / "a.safetensors").write_bytes(safetensors("[2]", "F²"))
    assert sniff(tmp_path / "a.safetensors").weights[0].size_bytes == 2


def test_a_header_of_safetensors_is_bounded(tmp_path: Path) -> None:
    for size, kind in (((8 << 20) - 100, Kind.SAFETENSORS), (8 << 20, Kind.UNKNOWN)):
        header = json.dumps({"__metadata__": {"a": "x" * size}}).encode()
        (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
        assert sniff(tmp_path / "a.safetensors").kind is kind


# --- pipes


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    def read_by(function: Callable[[], Any]) -> None:
        bounded.bounded(function, Any, "pipe")

    with refused("is no report", "usage"):
        read_by(lambda: reproduce.read(tmp_path / "pipe"))
    with refused("There is no file", "custom-objects-invalid"):
        read_by(lambda: Supplied.read(None, tmp_path / "pipe"))
