"""Command line: reads options, calls the engine, prints, and ends with a documented exit status."""

from __future__ import annotations

import json
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import harness
from harness import artifact, graph_plan
from harness.backends.base import Limits
from harness.console import Console, lost, plain, quoted, say
from harness.errors import Exit, HarnessError
from harness.graph_plan import GraphPlan
from harness.plan import (
    DEFAULT_TARGET,
    FORMATS,
    PROOFS,
    Options,
    Plan,
    check_target,
    default_out,
    make_plan,
    with_formats,
)  # fmt: skip
from harness.supplied import Supplied

#: where a person reads; results for programs go to standard output only with --json
console = Console()


def _size(_context: click.Context, _option: click.Parameter, value: str | None) -> int | None:
    """A number of bytes, written as 500M or 8G (powers of 1024)."""
    if value is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]*)([KMGT]?)", value.strip().upper())
    if not match:
        raise click.BadParameter(f"{value!r} is no size: write a number with K, M, G or T, such as 8G.")
    return int(match[1]) << (10 * " KMGT".index(match[2] or " "))


#: as harness.backends has them; not imported here, so that `--help` stays quick
BACKENDS = ("auto", "venv", "docker")
_PATH = click.Path(path_type=Path, readable=False)  # whether it can be read is for the harness to say

EPILOG = """\b
Exit status:
  0 verified   1 diverged   2 usage   3 refused
  4 environment not available   5 worker crashed or timed out
  70 internal error   130 interrupted
"""


def main() -> None:
    """Entry point of ``python -m harness`` and of the console script."""
    # A cancelled job, a closed terminal: tidied up like Ctrl-C, which ends the workers and removes what is half-made.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _ended_by)
    sys.exit(_guarded(sys.argv[1:]))


class _SignalledError(BaseException):
    """Travels as Ctrl-C does: past everything that handles errors, through everything that tidies up."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = signal.Signals(number)


def _ended_by(number: int, _frame: object) -> None:
    raise _SignalledError(number)


def _guarded(arguments: list[str]) -> int:
    """The exit status of a command line; every error becomes a message, never a bare traceback."""
    try:
        return run(arguments)
    except HarnessError as error:
        _print_error(error)
        return int(error.kind.exit_status)
    except click.ClickException as error:
        _print_usage(error)
        return int(Exit.USAGE)
    except _SignalledError as error:
        Console(stderr=True).print(f"Ended by {error.number.name}. Nothing half-written was left.")
        return 128 + error.number
    except (KeyboardInterrupt, click.Abort):
        # The line break stands behind the ^C that a terminal shows.
        Console(stderr=True).print("\nInterrupted. Nothing half-written was left.")
        return int(Exit.INTERRUPTED)
    except Exception:  # noqa: BLE001 - the last resort: a bug ends with its documented status too
        err = Console(stderr=True)
        err.print("An internal error; please report it:", style="bold red")
        err.print(traceback.format_exc(), markup=False, highlight=False, soft_wrap=True, end="")
        return int(Exit.INTERNAL)


def run(arguments: list[str]) -> int:
    """The exit status of a command line; its arguments are what the report says of it. Raises what the command raises."""
    try:
        with cli.make_context("python -m harness", list(arguments), obj=arguments) as context:
            return int(cli.invoke(context) or 0)
    except click.exceptions.Exit as end:
        return end.exit_code
    except OSError as error:
        if Path(traceback.extract_tb(error.__traceback__)[-1].filename) != Path(click.utils.__file__):
            raise
        lost(error)  # help and the version, which click writes
        return 0


def _print_error(error: HarnessError) -> None:
    err = Console(stderr=True)
    err.print(f"[bold red]{error.code}[/]: {quoted(error.message)}", highlight=False, soft_wrap=True)
    for line in error.details:
        err.print(f"  • {quoted(line)}", highlight=False, soft_wrap=True)
    err.print(f"What to do: {quoted(error.remedy)}", highlight=False, soft_wrap=True)


def _print_usage(error: click.ClickException) -> None:
    """As click does it, which hands control characters on."""
    err, context = Console(stderr=True), getattr(error, "ctx", None)
    if context is not None:
        hint = f"Try '{context.command_path} --help' for help."
        err.print(plain(context.get_usage()), plain(hint), "", sep="\n", highlight=False, soft_wrap=True)
    err.print(f"Error: {quoted(error.format_message())}", highlight=False, soft_wrap=True)


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Receives one line of what is done now: a live status on a terminal, nothing elsewhere."""
    if quiet or not console.is_terminal:
        yield lambda _line: None
        return
    with console.status("starting") as status:
        yield lambda line: status.update(plain(line))


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(harness.__version__, prog_name="tf-harness")
def cli() -> None:
    """Migrate TensorFlow 1.x models to today's TensorFlow, and prove that they compute the same.

    \b
    Examples:
      python -m harness migrate model.h5
      python -m harness inspect model.h5
      python -m harness envs list
    """


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that runs workers."""
    for option in reversed(
        [
            click.option("--out", type=_PATH, help="Folder for the results. [default: NAME-migrated here]"),
            click.option("--backend", type=click.Choice(BACKENDS), default="auto", show_default=True),
            click.option(
                "--timeout",
                type=click.FloatRange(min=0, min_open=True),
                default=1800.0,
                show_default=True,
                help="Seconds for a single job.",
            ),
            click.option(
                "--untrusted",
                is_flag=True,
                help="Load the source in a container only, or not at all; the host recognises it in a bounded child process.",
            ),
            click.option("--memory", callback=_size, metavar="SIZE", help="What a worker may use, such as 8G."),
            click.option("--storage", callback=_size, metavar="SIZE", help="What a worker may write, such as 20G."),
            click.option(
                "--cpus", type=click.FloatRange(min=0.1), metavar="NUMBER", help="Processors that a worker may use."
            ),
            click.option("--keep-jobs", is_flag=True, help="Keep the job folders of a successful run too."),
            click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, nothing else."),
        ]
    ):
        command = option(command)
    return command


_LAYER_ARGUMENTS = click.option(
    "--layer-arguments",
    type=_PATH,
    help="TOML file: arguments of constructors that were not saved, a table for each layer or class.",
)
_TARGET_OBJECTS = click.option(
    "--target-objects",
    type=_PATH,
    help="Python file with the same classes and functions for Keras 3; runs in the target environment.",
)


def _source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.option("--weights", type=_PATH, help="Weights file, where SOURCE is an architecture (JSON or YAML)."),
            click.option("--architecture", type=_PATH, help="Architecture, where SOURCE is a weights file."),
            click.option("--from", "source_env", default="auto", show_default=True, help="Source environment."),
            click.option(
                "--signature",
                "signatures",
                multiple=True,
                metavar="KEY",
                help="Of a SavedModel or hub module; repeatable. [default: all]",
            ),
            click.option("--tags", metavar="TAG,…", help='Which graph of a SavedModel; "" is the one without tags.'),
            click.option(
                "--input-tensor",
                "input_tensors",
                multiple=True,
                metavar="[ARGUMENT=]NAME",
                help="Of a checkpoint or frozen graph; repeatable. [default: proposed]",
            ),
            click.option(
                "--output-tensor", "output_tensors", multiple=True, metavar="[ARGUMENT=]NAME", help="Likewise."
            ),
            click.option(
                "--fix-tensor",
                "fixed_tensors",
                multiple=True,
                metavar="NAME=VALUE",
                help="A value for a placeholder that is to be no input.",
            ),
            click.option("--inputs", type=_PATH, help="Your own samples: an npz with one array per input name."),
            click.option("--fetch-python", is_flag=True, help="Allow a missing Python to be downloaded."),
            click.option(
                "--custom-objects",
                type=_PATH,
                help="Python file with classes and functions that SOURCE names; runs in the source environment.",
            ),
            _LAYER_ARGUMENTS,
        ]
    ):
        command = option(command)
    return command


def _target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.option("--to", "target_env", default=DEFAULT_TARGET, show_default=True, help="Target environment."),
            click.option(
                "--format",
                "formats",
                type=click.Choice(FORMATS),
                multiple=True,
                help="Saved form. [default: the target's own]",
            ),
            click.option(
                "--hard-sigmoid",
                type=click.Choice(["pin", "fold"]),
                default="pin",
                show_default=True,
                help="Keep TF1's formula as native layers, or fold 1.2 into the weights.",
            ),
            click.option(
                "--optimizer-formula",
                type=click.Choice(["native", "pin"]),
                default="native",
                show_default=True,
                help="Today's optimizer, or TF1's formula where today's is another.",
            ),
            _TARGET_OBJECTS,
        ]
    ):
        command = option(command)
    return command


def _proof_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return _level_option(
        click.option(
            "--require-proven",
            type=click.FloatRange(0.0, 1.0),
            metavar="SHARE",
            help="Refuse if the probes notice changes in fewer of the weights, such as 0.99.",
        )(command)
    )


def _level_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--proof",
        type=click.Choice(PROOFS),
        default="standard",
        show_default=True,
        help="Compare in float32 only, in float64 as well where that costs little, or in float64 whatever it costs.",
    )(command)


def _lift_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--lift", is_flag=True, help="Of a graph: a native Keras model as well, layer by layer.")(
        command
    )


def _training_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--training",
        type=click.Choice(["off", "state", "auto", "parity"]),
        default="auto",
        show_default=True,
        help="Carry the optimizer and its state; prove one training step.",
    )(command)


def _options(given: dict[str, Any]) -> Options:
    samples = given.get("inputs")
    if samples is not None and not samples.is_file():
        raise HarnessError("samples-invalid", f"There is no file {samples}.")
    return Options(
        formats=tuple(dict.fromkeys(given.get("formats") or ())),
        hard_sigmoid=given.get("hard_sigmoid", "pin"),
        training=given.get("training", "auto"),
        optimizer_formula=given.get("optimizer_formula", "native"),
        timeout_s=given["timeout"],
        samples=samples,
        keep_jobs=given["keep_jobs"],
        limits=Limits(
            memory=given["memory"], storage=given["storage"], cpus=given["cpus"], enforced=given["untrusted"]
        ),
        untrusted=given["untrusted"],
        code=Supplied.read(given.get("custom_objects"), given.get("layer_arguments"), given.get("target_objects")),
        require_proven=given.get("require_proven"),
        proof=given["proof"] if given.get("proof") in PROOFS else "standard",
        lift=given.get("lift", False),
    )


def _plan(source: Path, given: dict[str, Any]) -> Plan | GraphPlan:
    shared = {
        "source_env": given["source_env"],
        "target_env": given.get("target_env", DEFAULT_TARGET),
        "backend": given["backend"],
        "out": given["out"],
        "options": _options(given),
    }
    choices = graph_plan.choices_of(given)
    if not given["weights"] and not given["architecture"]:
        found = artifact.sniff(source)
        if found.kind in graph_plan.READERS:
            return graph_plan.make(found, choices, **shared)
    if choices or shared["options"].lift:
        raise HarnessError("usage", "Signatures, tags, tensors and --lift are for graphs; SOURCE is none.")
    return make_plan(source, weights=given["weights"], architecture=given["architecture"], **shared)


def _engine(plan: Plan | GraphPlan) -> Any:
    """The module that runs a plan."""
    from harness import engine, graph_engine

    return graph_engine if isinstance(plan, GraphPlan) else engine


def _say_note(plan: Plan | GraphPlan, as_json: bool) -> None:
    """Tell which file was found that nobody named, before anything is started."""
    if plan.note and not as_json:
        console.print(plain(plan.note[0].upper() + plan.note[1:] + "."), highlight=False, soft_wrap=True)


def _finish(outcome: Any, as_json: bool) -> int:
    from harness.report import terminal

    try:
        if as_json:
            say(json.dumps({**outcome.report, "folder": str(outcome.folder)}, indent=1))
        else:
            terminal.show(outcome.report, _relative(outcome.folder), console)
    except HarnessError as error:  # the run is over, and what it gave is not lost
        there = (
            f"The run had ended by then, {outcome.report['status']}: its report is {outcome.folder / 'report.json'}."
        )
        raise HarnessError(error.code, f"{error.message} {there}", remedy=error.remedy) from error
    return int(outcome.exit_status)


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if Path.cwd() in path.parents else path


def _command() -> list[str]:
    return ["python", "-m", "harness", *click.get_current_context().find_root().obj]


@cli.command(epilog=EPILOG)
@click.argument("source", type=_PATH)
@_source_options
@_target_options
@_training_option
@_lift_option
@_proof_option
@_shared
def migrate(source: Path, **given: Any) -> int:
    """Migrate the model at SOURCE and prove the result.

    \b
    Examples:
      python -m harness migrate model.h5
      python -m harness migrate model.h5 --out new --inputs samples.npz
      python -m harness migrate architecture.json --weights weights.h5
      python -m harness migrate model.h5 --from tf1.12 --format keras --format saved_model
      python -m harness migrate exported/1514 --signature serving_default
      python -m harness migrate frozen.pb --output-tensor softmax:0
      python -m harness migrate run/model.ckpt-1000 --fix-tensor keep_prob=1.0
      python -m harness migrate frozen.pb --lift
    """
    plan = _plan(source, given)
    _say_note(plan, given["as_json"])
    with _progress(given["as_json"]) as progress:
        outcome = _engine(plan).migrate(plan, progress, _command(), fetch_python=given["fetch_python"])
    return _finish(outcome, given["as_json"])


@cli.command(epilog=EPILOG)
@click.argument("source", type=_PATH)
@_source_options
@_target_options
@_training_option
@_lift_option
@_proof_option
@_shared
def plan(source: Path, **given: Any) -> int:
    """Print what `migrate` would do, and start nothing.

    \b
    Example:
      python -m harness plan model.h5
    """
    made = _plan(source, given)
    if given["as_json"]:
        say(json.dumps(made.as_json(), indent=1))
    else:
        for number, step in enumerate(made.steps, 1):
            console.print(f"{number}. {plain(step)}", highlight=False, soft_wrap=True)
    return 0


@cli.command(epilog=EPILOG)
@click.argument("source", type=_PATH)
@_source_options
@_training_option
@_level_option
@_shared
def export(source: Path, **given: Any) -> int:
    """Only read SOURCE in its own TensorFlow and write a bundle (OUT/bundle).

    \b
    Example:
      python -m harness export model.h5 --out exported
    """
    made = _plan(source, given)
    _say_note(made, given["as_json"])
    with _progress(given["as_json"]) as progress:
        outcome = _engine(made).export(made, progress, _command(), fetch_python=given["fetch_python"])
    return _finish(outcome, given["as_json"])


@cli.command("import", epilog=EPILOG)
@click.argument("bundle", type=_PATH)
@_target_options
@_LAYER_ARGUMENTS
@_training_option
@_lift_option
@_proof_option
@_shared
def import_(bundle: Path, **given: Any) -> int:
    """Build a model from BUNDLE and prove it.

    \b
    Example:
      python -m harness import exported/bundle --out new
    """
    from harness import engine, envspec
    from harness.bundle import is_graph

    specs = envspec.load_specs()
    target = envspec.get_spec(specs, given["target_env"])
    check_target(specs, target)
    options = with_formats(_options(given), target)
    if options.lift and not is_graph(bundle):
        raise HarnessError("usage", "--lift is for graphs; BUNDLE holds a Keras model.")
    out = given["out"] or default_out(bundle)
    with _progress(given["as_json"]) as progress:
        outcome = engine.import_bundle(bundle, target, out, options, progress, _command(), backend=given["backend"])
    return _finish(outcome, given["as_json"])


@cli.command(epilog=EPILOG)
@click.argument("old", type=_PATH)
@click.argument("new", type=_PATH)
@click.option("--from", "source_env", default="auto", show_default=True, help="Environment that OLD is read in.")
@click.option("--in", "target_env", default=DEFAULT_TARGET, show_default=True, help="Environment that loads NEW.")
@click.option("--inputs", type=_PATH, help="Samples of your own (.npz), besides the probes that are made.")
@click.option("--custom-objects", type=_PATH, help="Python file with classes and functions that OLD needs.")
@_TARGET_OBJECTS
@_proof_option
@_shared
def verify(old: Path, new: Path, **given: Any) -> int:
    """Compare what NEW (.keras, .h5, or a SavedModel folder) computes with OLD: a model file, or a bundle.

    OLD is exported in its own TensorFlow first, unless it is a bundle. A bundle may stand in either place.

    \b
    Examples:
      python -m harness verify old.h5 mine.keras
      python -m harness verify exported/bundle mine.h5 --in tf2.15
    """
    from harness import engine, envspec
    from harness.bundle import is_bundle
    from harness.plan import make_plan

    target = envspec.get_spec(envspec.load_specs(), given["target_env"])
    if is_bundle(new) and not is_bundle(old):
        old, new = new, old
    out = given["out"] or Path(f"{new.resolve().stem}-verified")
    options = _options({**given, "training": "off"})
    reference: Any = old
    if is_bundle(old):
        if options.samples or options.code.custom_objects:
            raise HarnessError("usage", "--inputs and --custom-objects are for an OLD that is a model, not a bundle.")
    else:
        reference = make_plan(
            old,
            source_env=given["source_env"],
            target_env=target.name,
            backend=given["backend"],
            out=out,
            options=options,
        )
    with _progress(given["as_json"]) as progress:
        outcome = engine.verify_model(
            new, reference, target, out, options, progress, _command(), backend=given["backend"]
        )
    return _finish(outcome, given["as_json"])


@cli.command()
@click.argument("path", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print the description as JSON.")
def inspect(path: Path, as_json: bool) -> int:
    """Say what the model file, folder or bundle at PATH is; needs no TensorFlow and runs nothing.

    \b
    Examples:
      python -m harness inspect model.h5
      python -m harness inspect exported/bundle --json
    """
    from harness import inspection

    description = inspection.describe_artifact(path)
    if as_json:
        say(json.dumps(description, indent=1))
    else:
        inspection.render(description, console)
    return 0


@cli.command(epilog=EPILOG)
@click.option("--out", type=_PATH, default=Path("demo-out"), show_default=True, help="Folder for the results.")
@click.option("--backend", type=click.Choice(BACKENDS), default="auto", show_default=True)
def demo(out: Path, backend: str) -> int:
    """Train a small model in TF 1.15 whose naive load today is silently wrong, and migrate it.

    \b
    Example:
      python -m harness demo
    """
    from harness import demo as module

    with _progress(False) as progress:
        outcome = module.run(out, progress, console, backend)
    return _finish(outcome, False)


@cli.command(epilog=EPILOG)
@click.option("--pair", "pairs", multiple=True, metavar="SOURCE:TARGET", help="[default: those of envs/pairs.toml]")
@click.option("--only", multiple=True, metavar="GLOB", help="Only models of these names, such as 'recurrent/*'.")
@click.option("--corpus", "folders", type=_PATH, multiple=True, help="A folder of your own models. Repeatable.")
@click.option("--zoo/--no-zoo", default=True, show_default=True, help="Generate and run the zoo of small models.")
@click.option("--naive/--no-naive", default=False, show_default=True, help="Also try plain loads, side by side.")
@click.option("--out", type=_PATH, default=Path("regress-out"), show_default=True, help="Folder for the results.")
@click.option("--baseline", type=_PATH, help="Accepted results: a folder, or a file for one pair.")
@click.option("--update-baseline", is_flag=True, help="Accept what this run gives.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many models of each pair, spread evenly.")
@click.option("--backend", type=click.Choice(BACKENDS), default="auto", show_default=True)
@click.option("--untrusted", is_flag=True, help="Open the models in containers only, or not at all.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=120.0, show_default=True)
@click.option("--proof", type=click.Choice(PROOFS), default="quick", show_default=True, help="As of `migrate`.")
@click.option("--fetch-python", is_flag=True, help="Allow a missing Python to be downloaded.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON, nothing else.")
def regress(**given: Any) -> int:
    """Migrate many models between the tested pairs, and compare with the results accepted before.

    \b
    Examples:
      python -m harness regress
      python -m harness regress --pair tf1.15:tf2.21 --only 'recurrent/*'
      python -m harness regress --no-zoo --corpus my-models
    """
    from harness.regress import matrix, terminal

    request = matrix.Request(
        out=given["out"],
        pairs=tuple(dict.fromkeys(matrix.parse_pair(text) for text in given["pairs"])),
        only=given["only"],
        folders=given["folders"],
        zoo=given["zoo"],
        naive=given["naive"],
        baseline=given["baseline"],
        update=given["update_baseline"],
        limit=given["limit"],
        timeout_s=given["timeout"],
        proof=given["proof"],
        backend=given["backend"],
        untrusted=given["untrusted"],
        fetch_python=given["fetch_python"],
    )
    with _progress(given["as_json"]) as progress:
        outcome = matrix.run(request, progress)
    if given["as_json"]:
        say(json.dumps({**outcome.as_json(), "folder": str(outcome.folder)}, indent=1))
    else:
        terminal.show(outcome, console)
    return outcome.exit_status


@cli.command(epilog=EPILOG)
@click.argument("report", type=_PATH)
@click.option("--out", type=_PATH, help="Folder for the new results. [default: the old folder's name and -again]")
@click.option("--backend", type=click.Choice(BACKENDS), help="Instead of the report's own.")
@click.option("--untrusted", is_flag=True, help="Open the source in a container only, or not at all.")
@click.option("--allow-code", is_flag=True, help="Run the files with code that the report names.")
@click.option("--fetch-python", is_flag=True, help="Allow a missing Python to be downloaded.")
def reproduce(report: Path, out: Path | None, **ours: Any) -> int:
    """Run the command of a REPORT again, and say what came out otherwise.

    \b
    Examples:
      python -m harness reproduce model-migrated
      python -m harness reproduce report.json --untrusted
    """
    from harness import reproduce as module

    before = module.read(report)
    folder = report if report.is_dir() else report.resolve().parent
    out = out or Path(f"{folder.resolve().name}-again")
    status = run(module.arguments(before, out, **ours))
    after = module.read(out) if (out / "report.json").exists() else None
    for line in module.other_environments(before, after):
        console.print(f"Not the same environment: {plain(line)}", highlight=False, soft_wrap=True)
    found = module.differences(before, after) if after else ["no report was made"]
    for line in found:
        console.print(f"Not the same: {plain(line)}", highlight=False, soft_wrap=True)
    if not found:
        console.print(f"The same as in {plain(folder)}: every verdict, comparison and weight.", highlight=False)
    return status if not found else int(Exit.DIVERGED)


@cli.group()
def envs() -> None:
    """List, create, check and remove the TensorFlow environments.

    \b
    Examples:
      python -m harness envs list
      python -m harness envs create tf1.15 tf2.21
    """


@envs.command("list")
@click.option("--backend", type=click.Choice(BACKENDS[1:]), default="venv", show_default=True)
@click.option("--json", "as_json", is_flag=True)
def envs_list(backend: str, as_json: bool) -> int:
    """Show every environment, whether it stands on this machine, and what it is chosen for."""
    from harness import backends, envspec

    specs = envspec.load_specs()
    host = backends.get_backend(backend)
    rows = [
        {
            "name": spec.name,
            "tensorflow": spec.tensorflow,
            "python": spec.python,
            "keras": spec.keras_flavour,
            "roles": list(spec.roles),
            "created": host.find(spec) is not None,
            "chosen_for": list(spec.reads.chosen_for),
        }
        for spec in specs.values()
    ]
    if as_json:
        say(json.dumps({"environments": rows, "pairs": [vars(p) for p in envspec.load_pairs()]}, indent=1))
        return 0
    _envs_table(rows)
    for pair in envspec.load_pairs():
        console.print(f"tested: {pair.source} → {pair.target}  {pair.note}", highlight=False, soft_wrap=True)
    return 0


def _envs_table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table()
    for column in ("name", "TensorFlow", "Python", "Keras", "role", "created", "chosen for keras_version"):
        table.add_column(column, overflow="fold")
    for row in rows:
        created = "yes" if row["created"] else "no"
        cells = [row["name"], row["tensorflow"], row["python"], row["keras"], ", ".join(row["roles"]), created]
        table.add_row(*cells, ", ".join(row["chosen_for"]))
    console.print(table)


def _chosen_specs(names: tuple[str, ...]) -> list[Any]:
    from harness import envspec

    specs = envspec.load_specs()
    return [envspec.get_spec(specs, name) for name in names]


@envs.command("create")
@click.argument("names", nargs=-1, required=True)
@click.option("--backend", type=click.Choice(BACKENDS), default="auto", show_default=True)
@click.option("--fetch-python", is_flag=True, help="Allow a missing Python to be downloaded.")
def envs_create(names: tuple[str, ...], backend: str, fetch_python: bool) -> int:
    """Create the environments NAMES, or find them already there."""
    from harness import backends

    for spec in _chosen_specs(names):
        with _progress(False) as progress:
            made = backends.ensure(spec, backend, progress, fetch_python=fetch_python)
        console.print(f"{spec.name}: {made.where}", highlight=False, soft_wrap=True)
    return 0


@envs.command("check")
@click.argument("names", nargs=-1, required=True)
@click.option("--backend", type=click.Choice(BACKENDS[1:]), default="venv", show_default=True)
def envs_check(names: tuple[str, ...], backend: str) -> int:
    """Import TensorFlow in the environments NAMES and compare every package with the lock."""
    from harness import backends

    status = 0
    for spec in _chosen_specs(names):
        wrong = backends.get_backend(backend).check(spec)
        console.print(f"{spec.name}: {plain(wrong or 'healthy')}", highlight=False, soft_wrap=True)
        status = int(Exit.ENVIRONMENT) if wrong else status
    return status


@envs.command("remove")
@click.argument("names", nargs=-1, required=True)
@click.option("--backend", type=click.Choice(BACKENDS[1:]), default="venv", show_default=True)
def envs_remove(names: tuple[str, ...], backend: str) -> int:
    """Delete the environments NAMES; they are created again when needed."""
    from harness import backends

    for spec in _chosen_specs(names):
        gone = backends.get_backend(backend).remove(spec)
        console.print(f"{spec.name}: {'removed' if gone else 'was not there'}", highlight=False)
    return 0


@envs.command("show")
@click.argument("name")
@click.option("--sbom", is_flag=True, help="Print its software bill of materials (CycloneDX) and nothing else.")
def envs_show(name: str, sbom: bool) -> int:
    """Show what the environment NAME is made of."""
    from harness import sbom as bill

    (spec,) = _chosen_specs((name,))
    if sbom:
        say(bill.of(spec))
        return 0
    console.print(f"{spec.name}: TensorFlow {spec.tensorflow}, Python {spec.python}, key {spec.key}", highlight=False)
    for pin in spec.pins:
        console.print(f"  {pin.requirement}  {plain(pin.reason)}", highlight=False, soft_wrap=True)
    console.print(f"  every package with its hashes: {spec.lock_path}", highlight=False, soft_wrap=True)
    return 0


@envs.command("prune")
@click.option("--backend", type=click.Choice(BACKENDS[1:]), default="venv", show_default=True)
def envs_prune(backend: str) -> int:
    """Delete environments of older locks, and what killed runs left behind."""
    from harness import backends, envspec

    gone = backends.get_backend(backend).prune(list(envspec.load_specs().values()))
    for name in gone:
        console.print(f"{name}: removed", highlight=False, soft_wrap=True)
    console.print(f"{len(gone)} removed.", highlight=False)
    return 0


from harness import cli_weights  # noqa: E402, F401 - adds its command, made of what stands above
