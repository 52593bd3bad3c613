"""The report for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from harness.console import Console, plain, quoted
from harness.report import story
from harness.supplied import TARGET_OBJECTS

_STYLE = {"verified": "bold green", "diverged": "bold red", "refused": "bold yellow", "failed": "bold red"}
#: lines of a list shown before it is cut with a count
SHOWN = 12


def show(report: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Print verdict, evidence and changes."""
    if report["error"]:
        _error(report["error"], console)
    if report["outputs"]:
        console.print(_outputs(report["outputs"]))
        _proof(report, console)
    if report.get("noise_floor"):
        _floor(report["noise_floor"], console)
    if report.get("proven"):
        _proven(report["proven"], console)
    if report["training"]:
        _training(report["training"], console)
    for line in report["not_checked"]:
        console.print(f"Not checked: {plain(line)}", highlight=False, soft_wrap=True)
    _code(report["code"], report["artifacts"], console)
    for holds, line in story.lifted(report["lift"]) if report.get("lift") else ():
        mark = "[red]Differs:[/] " if holds is False else ""
        console.print(f"{mark}{plain(line)}", highlight=False, soft_wrap=True)
    if report["ledger"]:
        _ledger(report["ledger"], console)
    status = report["status"]
    console.print(f"[{_STYLE[status]}]{status.upper()}[/]  {_sides(report)}", highlight=False)
    for artifact in report["artifacts"]:
        console.print(
            f"  {plain(str(folder / artifact['path']))}  ({plain(artifact['format'])})", highlight=False, soft_wrap=True
        )
    for name in ("report.html", "report.json"):
        console.print(f"  {plain(str(folder / name))}", highlight=False, soft_wrap=True)


def _sides(report: Mapping[str, Any]) -> str:
    sides = [report["from"], report["to"]]
    return plain(" → ".join(f"TensorFlow {s['tensorflow']} (Keras {s['keras']})" for s in sides if s))


def _error(error: Mapping[str, Any], console: Console) -> None:
    console.print(f"[bold]{error['code']}[/]: {quoted(error['message'])}", highlight=False, soft_wrap=True)
    for line in error["details"]:
        console.print(f"  • {quoted(line)}", highlight=False, soft_wrap=True)
    console.print(f"What to do: {quoted(error['remedy'])}", highlight=False, soft_wrap=True)


def _outputs(rows: list[Mapping[str, Any]]) -> Table:
    table = Table(title="Outputs of the saved model in a fresh process, against the source TensorFlow")
    for column in ("output", "saved as", "shape", "dtype", "max abs", "max rel", "ULP", "bound", ""):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(
            plain(row["name"]),
            plain(row["format"]),
            "×".join(map(str, row["shape"])),
            plain(row["dtype"]),
            f"{row['max_abs']:.2g}",
            f"{row['max_rel']:.2g}",
            str(row["max_ulp"]) if row["max_ulp"] is not None else "-",
            f"{row['tolerance']:.2g}",
            "[green]ok[/]" if row["ok"] else "[red]differs[/]",
        )
    return table


def _gradients(rows: list[Mapping[str, Any]], console: Console) -> None:
    agree = sum(row["ok"] for row in rows)
    worst = max(rows, key=lambda row: (not row["ok"], row["max_rel"]))
    line = f"Gradients: {agree} of {len(rows)} agree; the worst is {worst['name']}, {worst['max_rel']:.2g} of its largest value."
    console.print(plain(line), highlight=False, soft_wrap=True)


def _proof(report: Mapping[str, Any], console: Console) -> None:
    weights, layers = report["weights"], report["layers"]
    if weights:
        changed = f", {len(weights['transformed'])} of them transformed" if weights["transformed"] else ""
        console.print(f"Weights: {weights['equal']} of {weights['total']} equal bit for bit{changed}.", highlight=False)
        for line in weights["unequal"] if report.get("gradients") is not None else ():
            console.print(f"[red]Differs:[/] {plain(line)}", highlight=False, soft_wrap=True)
    if report.get("gradients"):
        _gradients(report["gradients"], console)
    for _, line in story.knees(report.get("knees") or ()):
        console.print(plain(line), highlight=False, soft_wrap=True)
    if layers:
        console.print(f"Layers: {layers['equal_within_bound']} of {layers['compared']} calls agree.", highlight=False)
        first = layers["first_divergent"]
        if first:
            _divergent(first, console)


def _floor(floor: Mapping[str, Any], console: Console) -> None:
    """What float64 says; why it says nothing stands under what was not checked."""
    for form in floor["forms"]:
        if form["skipped"]:
            continue
        line = (
            f"Float64, as {form['format']}: outputs differ by {form['float64'] or 0:.2g}; by {form['float32'] or 0:.2g} in float32, "
            f"where the source's own rounding is {form['noise'] or 0:.2g}."
        )
        console.print(plain(line), highlight=False, soft_wrap=True)
        for kind, said in (
            ("settled", "amplified rounding, told by float64"),
            ("hidden", "hidden below the float32 bound"),
        ):
            if form[kind]:
                names = ", ".join(form[kind][:SHOWN]) + (", …" if len(form[kind]) > SHOWN else "")
                console.print(f"  {said}: {plain(names)}", highlight=False, soft_wrap=True)


def _proven(proven: Mapping[str, Any], console: Console) -> None:
    """The share of weights that the probes reach, and those that they do not."""
    if proven["skipped"]:
        console.print(f"Not checked: which weights the probes reach: {plain(proven['skipped'])}", soft_wrap=True)
        return
    tensors, elements = proven["tensors"], proven["elements"]
    share = f"{elements['proven'] / elements['total']:.1%} of their elements" if elements["total"] else "no elements"
    line = f"Proven: a change would be noticed in {tensors['proven']} of {tensors['total']} weights ({share}) by {proven['by']}."
    console.print(plain(line), highlight=False, soft_wrap=True)
    lacking = [row for row in proven["unproven"] if not row["proven"]]
    for row in lacking[:SHOWN]:
        console.print(f"  not proven: {plain(row['name'])}: {plain(row['reason'])}", highlight=False, soft_wrap=True)
    if len(lacking) > SHOWN:
        console.print(f"  … and {len(lacking) - SHOWN} more in report.json", highlight=False)
    if proven["gradients"]:
        console.print(f"Not checked: gradients: {plain(proven['gradients'])}", highlight=False, soft_wrap=True)
    if proven["knees"] and proven["knees"]["total"]:
        console.print(plain(story.bends(proven["knees"])), highlight=False, soft_wrap=True)
    for name in proven["saturated"]:
        line = f"Not proven: the output {name} is 0 or 1 for every probe, and compares equal whatever its logits are"
        console.print(plain(line), highlight=False, soft_wrap=True)


def _training(training: Mapping[str, Any], console: Console) -> None:
    """The optimizer's state, training steps, and what is known to differ."""
    slots, step = training["slots"], training["step"] or {"status": "skipped", "reason": "none was recorded"}
    if training["optimizer"] and training["iterations"] is not None:
        name, count = training["optimizer"]["class_name"], training["iterations"]
        state = f"{slots['equal']} of {slots['total']} slots equal bit for bit, step counter {count}"
        console.print(plain(f"Training: {name}, {state}."), highlight=False)
    many = {1: "One step", 5: "Five steps"}.get(step.get("steps", 1), f"{step.get('steps')} steps")
    if step["status"] == "equal":
        line = f"{many}: loss, gradients and weights agree ({step['max_rel']:.2g} of an update, bound {step['tolerance']:.2g})."
        console.print(line, highlight=False)
    elif step["status"] == "differs":
        first = step["first_divergent"]
        line = f"[red]Training steps differ:[/] {plain(first['name'])}: {first['reason']}"
        console.print(line, highlight=False, soft_wrap=True)
    elif step["status"] == "known":
        line = f"{many}: the optimizer agrees; not judged, loss and gradients: {step['reason']}"
        console.print(plain(line), highlight=False, soft_wrap=True)
    else:
        console.print(f"Not checked: training steps: {plain(step['reason'])}", highlight=False, soft_wrap=True)
    if step.get("one_because"):
        console.print(
            f"Not checked: more than one training step: {plain(step['one_because'])}", highlight=False, soft_wrap=True
        )
    if step.get("native_formula"):
        console.print(f"Today's formula moves weights by {step['native_formula']:.2g} otherwise.", highlight=False)
    for wrong in training["wrong"]:
        console.print(f"[red]Training:[/] {plain(wrong)}", highlight=False, soft_wrap=True)
    for known in training["known"]:
        console.print(f"Known: {plain(known['what'])}: {plain(known['why'])}", highlight=False, soft_wrap=True)
    for line in training["not_carried"]:
        console.print(f"Not carried: {plain(line)}", highlight=False, soft_wrap=True)


def _divergent(first: Mapping[str, Any], console: Console) -> None:
    console.print(
        f"[red]First layer that differs:[/] [bold]{plain(first['layer'])}[/] ({plain(first['class_name'])}): {plain(first['reason'])}",
        highlight=False,
        soft_wrap=True,
    )
    for worst in first["worst"]:
        console.print(
            plain(f"  at {list(worst['index'])}: expected {worst['expected']}, found {worst['found']}"), highlight=False
        )


_WAYS = (
    ("native", "rebuilt from Keras's own operations"),
    ("source", "made from the source given for the target"),
    ("carried", "carried over as graphs"),
)


def _code(rows: list[Mapping[str, Any]], artifacts: list[Mapping[str, Any]], console: Console) -> None:
    for way, how in _WAYS:
        mine = [row for row in rows if row["way"] == way]
        if mine:
            names = ", ".join(row["layer"] for row in mine[:SHOWN]) + (", …" if len(mine) > SHOWN else "")
            line = f"Layers made of code, {how} ({len(mine)}): {names}."
            console.print(plain(line), highlight=False, soft_wrap=True)
    for row in rows:
        if row.get("differs"):
            line = f"{row['layer']} ({row['class_name']}), made from its source: {row['differs']}"
            console.print(f"[red]Differs:[/] {plain(line)}", highlight=False, soft_wrap=True)
    if any(artifact["path"] == TARGET_OBJECTS for artifact in artifacts):
        line = "To load the model: keras.models.load_model(…, custom_objects=vars(target_objects)), with target_objects.py beside it."
        console.print(plain(line), highlight=False, soft_wrap=True)
    if ran := sum(row["bytecode_run"] for row in rows):
        line = f"Python bytecode of the file was run for {ran} layers, in the source environment only."
        console.print(line, highlight=False, soft_wrap=True)


def _ledger(rows: list[Mapping[str, Any]], console: Console) -> None:
    console.print(f"Changed in the configuration ({len(rows)}):", highlight=False)
    for row in rows[:SHOWN]:
        line = f"  {row['where']}: {row['before']} → {row['after']}  ({row['why']})"
        console.print(plain(line), highlight=False, soft_wrap=True)
    if len(rows) > SHOWN:
        console.print(f"  … and {len(rows) - SHOWN} more in report.json", highlight=False)
