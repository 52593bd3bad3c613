"""A report in plain words: the verdict and what stands behind it, for the page and for pull requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_HEADLINES = {
    "verified": "The new model computes the same as the old one.",
    "diverged": "The new model computes something else than the old one.",
    "refused": "Nothing was handed over.",
    "failed": "No verdict was reached.",
}


def headline(report: Mapping[str, Any]) -> str:
    """One sentence that says how it ended."""
    if report["status"] == "verified" and not report["outputs"]:
        return "The source was read and recorded; nothing was built yet."
    return _HEADLINES[report["status"]]


def sides(report: Mapping[str, Any]) -> str:
    """``TensorFlow 1.15.5 (Keras 2.2.4-tf) → TensorFlow 2.21.0 (Keras 3.15.0)``, as far as it is known."""
    known = [side for side in (report["from"], report["to"]) if side]
    return " → ".join(f"TensorFlow {side['tensorflow']} (Keras {side['keras']})" for side in known)


def evidence(report: Mapping[str, Any]) -> list[tuple[bool | None, str]]:
    """Sentences about what was compared: True where it holds, False where it does not, None where it is only told."""
    found: list[tuple[bool | None, str]] = []
    if report["outputs"]:
        found.append(_compared("Outputs", "of the saved model, in a fresh process", report["outputs"]))
    layers = report["layers"]
    if layers:
        first = layers["first_divergent"]
        line = f"Layers: {layers['equal_within_bound']} of {layers['compared']} calls agree."
        if first:
            line += f" The first that differs is {first['layer']} ({first['class_name']}): {first['reason']}."
        found.append((first is None, line))
    if report.get("noise_floor"):
        found += _floor(report["noise_floor"])
    if report.get("gradients"):
        found.append(_compared("Gradients", "by the trained variables", report["gradients"]))
    found += knees(report.get("knees") or ())
    if report["weights"]:
        found.append(_weights(report["weights"]))
    if report.get("proven"):
        found.append(_proven(report["proven"]))
    if report["training"]:
        found.append(_training(report["training"]))
    if report.get("lift"):
        found += lifted(report["lift"])
    return found


def lifted(lift: Mapping[str, Any]) -> list[tuple[bool | None, str]]:
    """What became of the native Keras model of a graph, and what was in its way."""
    found: list[tuple[bool | None, str]] = []
    if lift["status"] == "not lifted":
        why = [*lift["findings"], *map(_blocked, lift["blocked"])]
        more = f", and {len(why) - 3} more" if len(why) > 3 else ""
        return [(None, f"There is no native Keras model of this graph: {'; '.join(why[:3])}{more}.")]
    carried = [row for row in lift["layers"] if row["class_name"] == "GraphLayer"]
    said = "made of Keras throughout" if not carried else f"{len(carried)} parts of it carried as graphs"
    rows = [*lift["outputs"], *lift["gradients"]]
    ok = all(row["ok"] for row in rows) and not lift["findings"]
    found.append(
        (ok, f"Native Keras model, model.keras, of {lift['signature']}: {len(lift['layers'])} layers, {said}.")
    )
    found.append(_compared("Outputs", "of the native Keras model", lift["outputs"]))
    if lift["gradients"]:
        found.append(_compared("Gradients", "by its weights", lift["gradients"]))
    found += knees(lift["knees"])
    found += [(False, f"{line}.") for line in lift["findings"][:5]]
    if lift["front"]:
        given, nodes = ", ".join(lift["front"]["outputs"]), set(lift["front"]["nodes"])
        why = [_blocked(row) for row in lift["blocked"] if row["node"] in nodes]
        found.append((None, f"Its inputs are {given}; what gives them is a SavedModel, front: {'; '.join(why[:5])}."))
    if carried:
        inner = [row for row in lift["blocked"] if not lift["front"] or row["node"] not in lift["front"]["nodes"]]
        found.append((None, f"Carried: {'; '.join(map(_blocked, inner[:5]))}."))
    return found


def knees(units: Sequence[Mapping[str, Any]]) -> list[tuple[bool | None, str]]:
    """The units that decide gradients by rounding."""
    if not units:
        return []
    far, layers = measure(max(row["distance"] for row in units)), sorted({row["layer"] for row in units})
    many = f"{len(units)} units lie" if len(units) > 1 else "One unit lies"
    named = f"{', '.join(layers[:3])}{', …' if len(layers) > 3 else ''}"
    line = (
        f"{many} within rounding of the knee of an activation ({named}; at most {far} of the largest value beside it)"
    )
    return [
        (None, f"{line}, on its other side in the source; gradients were compared with the slope of the source's side.")
    ]


def _blocked(row: Mapping[str, Any]) -> str:
    name = f"{row['node']} ({row['op']}): " if row["node"] else ""
    return f"{name}{row['reason']}"


def measure(value: float) -> str:
    """A difference as people read it; -1 stands for values that could not be compared."""
    return "not comparable" if value < 0 else "0" if value == 0 else f"{value:.2g}"


def _compared(what: str, where: str, rows: Iterable[Mapping[str, Any]]) -> tuple[bool, str]:
    rows = list(rows)
    wrong = [row for row in rows if not row["ok"]]
    worst = max(wrong or rows, key=lambda row: row["max_rel"])
    count = f"{len(rows) - len(wrong)} of {len(rows)} agree"
    said = worst["reason"] or f"differs by {measure(worst['max_rel'])} of its largest value"
    bound = "" if wrong else f", where {measure(worst['tolerance'])} would still be rounding"
    if not wrong and (worst.get("float64") or {}).get("decides"):
        bound = f"; that is beyond {measure(worst['tolerance'])}, and rounding all the same, as float64 shows"
    return not wrong, f"{what} {where}: {count}. The worst, {worst['name']}, {said}{bound}."


def _floor(floor: Mapping[str, Any]) -> list[tuple[bool | None, str]]:
    if floor["skipped"]:
        return [(None, f"Float64: not compared: {floor['skipped']}.")]
    found: list[tuple[bool | None, str]] = []
    for form in floor["forms"]:
        if form["skipped"]:
            found.append((None, f"Float64, as {form['format']}: not compared: {form['skipped']}."))
            continue
        line = (
            f"Float64, as {form['format']}: the outputs differ by {measure(form['float64'] or 0)} there, by {measure(form['float32'] or 0)}"
            f" in float32; the old model's own rounding is {measure(form['noise'] or 0)}."
        )
        if form["settled"]:
            line += f" Amplified rounding, told by float64: {_names(form['settled'])}."
        if form["hidden"]:
            line += f" Hidden below the bound of float32: {_names(form['hidden'])}."
        found.append((form["agrees"], line))
    return found


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def not_exact(floor: Mapping[str, Any]) -> list[str]:
    """What was not compared in float64, and why; a line each."""
    if floor["skipped"]:
        return [f"float64: {floor['skipped']}"]
    lines = [f"float64, as {form['format']}: {form['skipped']}" for form in floor["forms"] if form["skipped"]]
    if not floor["layers"] and any(not form["skipped"] for form in floor["forms"]):
        lines.append("float64: the largest layers of a model of this size; --proof full compares them")
    return lines


def _weights(weights: Mapping[str, Any]) -> tuple[bool, str]:
    line = f"Weights: {weights['equal']} of {weights['total']} are equal bit for bit"
    if weights["transformed"]:
        line += f", {len(weights['transformed'])} of them after a declared transformation"
    wrong = weights["unequal"]
    line += f". {wrong[0]}" + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "") if wrong else ""
    return weights["equal"] == weights["total"] and not wrong, f"{line}."


def _proven(proven: Mapping[str, Any]) -> tuple[bool | None, str]:
    if proven["skipped"]:
        return None, f"Reach of the probes: not known, {proven['skipped']}."
    tensors = proven["tensors"]
    line = f"Reach of the probes: a change would be noticed in {tensors['proven']} of {tensors['total']} weights."
    if proven["knees"]:
        line += " " + bends(proven["knees"])
    if proven["saturated"]:
        line += f" Saturated outputs, which compare equal to almost anything: {', '.join(proven['saturated'])}."
    enough = proven["required"] is None or proven["share"] >= proven["required"]
    return (None if tensors["proven"] < tensors["total"] and enough else enough), line


def bends(knees: Mapping[str, Any]) -> str:
    """A sentence on activations of several pieces: of how many every piece was reached, and of which not."""
    if not knees["total"]:
        return "No layer shows an activation with a bend."
    line = f"Activations with bends: every piece was reached in {knees['crossed']} of {knees['total']} layers."
    named = [
        f"{row['layer']} ({row['activation']}: nothing {', nothing '.join(row['missing'])})" for row in knees["missed"]
    ]
    more = f", and {len(named) - 5} more" if len(named) > 5 else ""
    return f"{line} Not in {', '.join(named[:5])}{more}." if named else line


def _training(training: Mapping[str, Any]) -> tuple[bool | None, str]:
    step = training["step"] or {"status": "skipped", "reason": "none was recorded"}
    count = step.get("steps", 1)
    many = "one step" if count == 1 else f"one step and {count} steps"
    said = {
        "equal": f"{many} in float64 agree{'s' if count == 1 else ''} in loss, gradients and weights",
        "differs": f"training steps differ: {step.get('reason')}",
        "known": f"the optimizer agrees; loss and gradients are not judged: {step.get('reason')}",
        "skipped": f"no step was compared: {step.get('reason')}",
    }[step["status"]]
    slots = training["slots"]
    state = f"{slots['equal']} of {slots['total']} optimizer slots equal bit for bit; " if slots["total"] else ""
    told = None if step["status"] in ("skipped", "known") else True
    return (told if training["ok"] else False), f"Training: {state}{said}."
