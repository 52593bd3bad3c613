"""The matching for people and programs: rows of the report, ``mapping.toml``, and what stops a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.matching import Matching, Move
from harness.matching.fitting import shape_text
from harness.weights.plan import Policies

_FILLS = {"keep": "left as the model made it", "zeros": "set to zeros"}


def _fill(policy: str) -> str:
    return _FILLS.get(policy) or f"drawn at random with seed {policy.partition(':')[2]}"


def rows(found: Matching, on_missing: str) -> list[dict[str, Any]]:
    """A row for every weight of the model, then for every array that is not used."""
    made = [
        _row(
            target=move.target.name, status="transformed" if move.transforms else "matched", source=list(move.source),
            shape=list(move.target.shape), dtype=move.target.dtype, basis=move.basis, transforms=list(move.transforms),
        )
        for move in found.moves
    ]  # fmt: skip
    for variables, status, basis in (
        (found.missing, "missing", None if on_missing == "error" else _fill(on_missing)),
        (found.skipped, "skipped", "left as the model made it"),
    ):
        made += [_row(target=v.name, status=status, shape=list(v.shape), dtype=v.dtype, basis=basis) for v in variables]
    made += [_row(source=[s.name], status="unused", shape=list(s.shape), dtype=s.dtype) for s in found.unused]
    made += [_row(source=[name], status="left out", basis=reason) for name, reason in found.left_out]
    return made


def _row(**given: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        "target": None,
        "source": [],
        "status": None,
        "shape": None,
        "dtype": None,
        "basis": None,
        "transforms": [],
    }
    return {**empty, "rounding": None, **given}


def section(made: Sequence[Mapping[str, Any]], found: Matching) -> dict[str, Any]:
    """The report's ``weights`` before anything was assigned."""
    return {
        "total": 0,
        "equal": 0,
        "transformed": [],
        "unequal": [],
        "missing": [v.name for v in found.missing],
        "unused": [s.name for s in found.unused],
        "tensors": list(made),
    }


def filled(made: list[dict[str, Any]], found: Matching, result: Mapping[str, Any]) -> dict[str, Any]:
    """The report's ``weights`` after the model was filled and read back."""
    done = {row["target"]: row for row in result["rows"]}
    transformed = []
    for row in made:
        if row["target"] in done and row["status"] in ("matched", "transformed"):
            row["rounding"] = done[row["target"]]["rounding"]
            if row["transforms"]:
                steps = [dict(step) for step in row["transforms"]]
                name = row["source"][0]
                transformed.append({"name": name, "transforms": steps, "sha256": done[row["target"]]["sha256"]})
    assigned = {move.target.name for move in found.moves}
    unequal = [name for name in result["unequal"] if name in assigned]
    return {
        **section(made, found), "total": len(assigned), "equal": len(assigned) - len(unequal),
        "transformed": transformed, "unequal": list(result["unequal"]),
    }  # fmt: skip


def by_order(result: Mapping[str, Any]) -> dict[str, Any]:
    """The report's ``weights`` of a model that Keras's own order filled."""
    made = [_row(**row) for row in result["rows"]]
    counts = {"total": len(made), "equal": len(made), "transformed": [], "unequal": [], "missing": [], "unused": []}
    return {**counts, "tensors": made}


def lines(found: Matching) -> list[str]:
    """The proposed mapping as a table, a line for each weight of the model."""
    pairs = [(m.target.name, ", ".join(m.source), _how(m), m.target.shape) for m in found.moves]
    pairs += [(v.name, s.name, "proposed, not sure", v.shape) for v, s in found.proposals]
    width = max((len(target) for target, *_ in pairs), default=0)
    return [f"{target:<{width}} ← {source}  {shape_text(shape)}  [{how}]" for target, source, how, shape in pairs]


def _how(move: Move) -> str:
    steps = " → ".join(step["op"] for step in move.transforms)
    return f"{move.basis}; {steps}" if steps else move.basis


def require(found: Matching, policies: Policies, side: str) -> None:
    """Stop at whatever is not allowed, all of it at once.

    Raises:
        HarnessError: weights-mismatch, weights-ambiguous, weights-missing, weights-unused.
    """
    missing = (
        [f"missing: {v.name} {shape_text(v.shape)}" for v in found.missing] if policies.on_missing == "error" else []
    )
    unused = [f"unused: {s.name} {shape_text(s.shape)}" for s in found.unused] if policies.on_unused == "error" else []
    problems = [f"does not fit: {line}" for line in found.problems]
    ambiguous = [f"ambiguous: {line}" for line in found.ambiguous]
    every = [*problems, *ambiguous, *missing, *unused]
    if not every and found.moves:
        return
    model = "the model" if side == "target" else "the source model"
    if problems or not (found.moves or ambiguous):
        code, message = "weights-mismatch", f"{len(every)} weights do not correspond between the arrays and {model}."
        if not (problems or found.moves):
            message = f"No array has a place in {model}: a load that changes nothing is none."
    elif ambiguous:
        code, message = (
            "weights-ambiguous",
            f"{len(ambiguous)} layers of {model} have more than one candidate of the same shapes.",
        )
    elif missing:
        code, message = "weights-missing", f"{len(missing)} weights of {model} have no array."
    else:
        code, message = "weights-unused", f"{len(unused)} arrays have no place in {model}."
    table = [f"found: {line}" for line in lines(found)]
    raise HarnessError(code, message, details=[*every, *table])


def not_checked(found: Matching, on_missing: str) -> list[str]:
    """Sentences about what was allowed and is not in the source."""
    said = []
    if found.missing:
        names = ", ".join(v.name for v in found.missing)
        said.append(f"{len(found.missing)} weights had no array and were {_fill(on_missing)}: {names}")
    if found.skipped:
        names = ", ".join(v.name for v in found.skipped)
        said.append(f"{len(found.skipped)} weights were not to be filled and stay as the model made them: {names}")
    if found.unused:
        said.append(f"{len(found.unused)} arrays were not used: {', '.join(s.name for s in found.unused)}")
    return said


def write_mapping(path: Path, found: Matching) -> None:
    """Write what was found as a mapping file; what is not sure as comments, to be corrected and switched on.

    Raises:
        HarnessError: output-unwritable.
    """
    text = ["# Which array goes to which weight. Edit it, and give it with --mapping.", ""]
    for move in found.moves:
        text += _entry(move.target.name, move.source, move.transforms, f"{move.basis}; {shape_text(move.target.shape)}")
    for variable, stored in found.proposals:
        lines_ = _entry(variable.name, (stored.name,), (), f"not sure; {shape_text(variable.shape)}")
        text += [f"# {line}" if line and not line.startswith("#") else line for line in lines_]
    for variable in found.missing:
        text += [f"# missing: {variable.name} {shape_text(variable.shape)}"]
    for stored in found.unused:
        text += [f"# unused: {stored.name} {shape_text(stored.shape)}"]
    try:
        path.write_text("\n".join(text) + "\n", encoding="utf-8")
    except OSError as error:
        raise HarnessError("output-unwritable", f"{path} cannot be written: {error.strerror}.") from error


def _entry(target: str, source: Sequence[str], steps: Sequence[Mapping[str, Any]], why: str) -> list[str]:
    listed = json.dumps(source[0]) if len(source) == 1 else json.dumps(list(source))
    made = ["[[map]]", f"target = {json.dumps(target)}  # {why}", f"source = {listed}"]
    shown = [step for step in steps if step["op"] not in ("cast", "decode")]  # these follow from --cast
    if shown:
        made.append(f"transforms = [{', '.join(_inline(step) for step in shown)}]")
    return [*made, ""]


def _inline(step: Mapping[str, Any]) -> str:
    pairs = {k: v for k, v in step.items() if not (k == "ranges" and v is None)}
    if step["op"] == "gates":
        letters = "abcdefgh"[: len(step["order"])]
        pairs = {"op": "gates", "axis": step["axis"], "from": letters, "to": "".join(letters[i] for i in step["order"])}
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in pairs.items()) + " }"
