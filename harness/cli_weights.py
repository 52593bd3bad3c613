"""The command ``load-weights``: options, then the pipeline in ``harness/weights``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.cli import _PATH as PATH
from harness.cli import EPILOG, _command, _finish, _options, _progress, _shared, _target_options, cli
from harness.plan import PROOFS

_REPEATED: dict[str, Any] = {"multiple": True, "metavar": "GLOB"}


def _weights_options(command: Callable[..., Any]) -> Callable[..., Any]:
    cast = click.Choice(["none", "exact", "round"])
    backends = click.Choice(["theano", "tensorflow", "cntk"])
    for option in reversed(
        [
            click.option("--builder", help="FILE.py:function that builds the model; your own code, it is run."),
            click.option("--source-builder", help="The same for the source environment. [default: --builder]"),
            click.option("--architecture", type=PATH, help="Keras architecture (JSON or YAML) instead of a script."),
            click.option("--mapping", type=PATH, help="mapping.toml: renames, transposes, pairs, leaves out."),
            click.option("--write-mapping", type=PATH, help="Write what was found, to be edited."),
            click.option("--include", **_REPEATED, help="Only arrays of these names. Repeatable."),
            click.option("--exclude", **_REPEATED, help="No arrays of these names. Repeatable."),
            click.option("--only", **_REPEATED, help="Fill only these layers. Repeatable."),
            click.option("--freeze", **_REPEATED, help="Layers not to be trained further. Repeatable."),
            click.option("--on-missing", default="error", show_default=True, help="error, keep, zeros or seed:N."),
            click.option("--on-unused", type=click.Choice(["error", "report"]), default="error", show_default=True),
            click.option(
                "--cast", type=cast, default="none", show_default=True, help="Float types: exact, or rounded."
            ),
            click.option("--weights-backend", type=backends, help="What Keras ran on, if the file does not say."),
            click.option("--expected", type=PATH, help="npz with outputs known to be right (and their inputs)."),
            click.option(
                "--proof",
                type=click.Choice(["outputs", "weights", *PROOFS]),
                default="outputs",
                show_default=True,
                help="What has to be equal: weights where nothing tells the outputs; or outputs, quick to full (standard).",
            ),
            click.option("--from", "source_env", default="auto", show_default=True, help="Source environment."),
            click.option("--inputs", type=PATH, help="Your own samples: an npz with one array per input name."),
            click.option("--fetch-python", is_flag=True, help="Allow a missing Python to be downloaded."),
        ]
    ):
        command = option(command)
    return command


@cli.command("load-weights", epilog=EPILOG)
@click.argument("sources", type=PATH, nargs=-1, required=True)
@_weights_options
@_target_options
@_shared
def load_weights(sources: tuple[Path, ...], **given: Any) -> int:
    """Put the weights in SOURCES into a model that a script or an architecture describes, and prove the result.

    \b
    Examples:
      python -m harness load-weights weights.npz --builder model.py:build
      python -m harness load-weights kernel.npy bias.npy --builder model.py:build
      python -m harness load-weights weights.h5 --source-builder old_model.py:build
      python -m harness load-weights old.h5 --builder new.py:build --only 'conv*' --on-unused report
    """
    from harness.weights import load
    from harness.weights.plan import Policies, plan_load

    policies = Policies(
        on_missing=given["on_missing"],
        on_unused=given["on_unused"],
        cast=given["cast"],
        only=given["only"],
        freeze=given["freeze"],
        proof="weights" if given["proof"] == "weights" else "outputs",
        backend=given["weights_backend"],
    )
    names = ("builder", "source_builder", "architecture", "mapping", "write_mapping", "include", "exclude", "expected")
    more = {name: given[name] for name in (*names, "source_env", "target_env", "backend", "out")}
    made = plan_load(sources, policies=policies, options=_options(given), **more)
    with _progress(given["as_json"]) as progress:
        outcome = load.load_weights(made, progress, _command(), fetch_python=given["fetch_python"])
    return _finish(outcome, given["as_json"])
