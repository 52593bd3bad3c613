"""Snapshot of the configs that one version writes: {class: {argument: [distinct values, capped]}}."""

import gzip
import json
import os
import re

from zoo import writer

CAP = 20
# Large arrays say nothing about the argument and would fill the snapshot.
LONGEST = 400
# So does bytecode, which also holds the path of the file it was compiled from.
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]{60,}")


def _shown(value):
    """The value with bytecode replaced by a word."""
    if isinstance(value, str) and _BASE64.fullmatch(value):
        return "<bytecode>"
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    return value


def collect(config, table):
    """Add every {"class_name", "config"} pair found in a model config, initializers and the like too."""
    if isinstance(config, list):
        for value in config:
            collect(value, table)
        return
    if not isinstance(config, dict):
        return
    arguments = config.get("config")
    if isinstance(config.get("class_name"), str) and isinstance(arguments, dict):
        row = table.setdefault(config["class_name"], {})
        for name, value in arguments.items():
            seen = row.setdefault(name, [])
            # Topology is not an argument: layers and their connections differ in every model.
            if name in ("layers", "input_layers", "output_layers"):
                continue
            value = _shown(value)
            if len(seen) < CAP and value not in seen and len(json.dumps(value)) <= LONGEST:
                seen.append(value)
    for value in config.values():
        collect(value, table)


def snapshot(folder, index):
    """The table over all built cases of a zoo folder."""
    table = {}
    for entry in index["cases"]:
        if entry["file"]:
            collect(writer.read_config(os.path.join(folder, entry["file"])), table)
    return table


def save(table, path):
    """Write as JSON, one argument a line so that a change shows in a diff; gzip when the name ends in .gz."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.write("{\n")
        for i, (class_name, row) in enumerate(sorted(table.items())):
            lines = [
                "  {}: {}".format(json.dumps(name), json.dumps(values, sort_keys=True))
                for name, values in sorted(row.items())
            ]
            file.write("{}{}: {{\n{}\n}}".format(",\n" if i else "", json.dumps(class_name), ",\n".join(lines)))
        file.write("\n}\n")
