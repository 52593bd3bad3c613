"""The matrix: every case through every pair, then files, the comparison with the baseline, and an exit status."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import harness
from harness import backends, envspec
from harness.backends import Environment, Limits, Progress
from harness.envspec import EnvSpec
from harness.errors import Exit, HarnessError
from harness.job import remove
from harness.plan import Options
from harness.regress import baseline, zoo
from harness.regress.baseline import Comparison, Entry
from harness.regress.cases import ZOO, Case, folder_cases, select, zoo_cases
from harness.regress.junit import junit
from harness.regress.page import page
from harness.regress.runner import CaseResult, PairRun
from harness.regress.tables import Row, rows_of

#: version of ``results.json``; a reader refuses what it does not know
RESULTS_SCHEMA = 1
RESULTS, JUNIT, PAGE = "results.json", "junit.xml", "index.html"
JOURNAL = "results.jsonl"
#: the shared corpus, when it stands beside the checkout or where ``HARNESS_CORPUS`` says
CORPUS = "corpus"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to run.

    Attributes:
        pairs: (source, target) names as the user gave them; those of ``pairs.toml`` where there are none.
        only: globs of case ids; all where there are none.
        folders: the user's own folders of models.
        zoo: whether the zoo is generated and run.
        naive: whether plain loads are tried beside the migration (of the zoo and the shared corpus only).
        baseline: a folder of baselines, or one file where there is one pair.
        update: write the baselines.
        limit: at most so many cases of each pair.
        backend: where workers run; the zoo is generated in virtual environments.
        untrusted: whether the models may be opened in containers only.
        proof: as of a migration; the matrix is about meaning that shows in float32, unless more is asked for.
    """

    out: Path
    pairs: tuple[tuple[str, str], ...] = ()
    only: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    zoo: bool = True
    naive: bool = False
    baseline: Path | None = None
    update: bool = False
    limit: int | None = None
    timeout_s: float = 120.0
    proof: str = "quick"
    backend: str = "auto"
    untrusted: bool = False
    fetch_python: bool = False


@dataclass(kw_only=True)
class Outcome:
    """What a run of the matrix gave."""

    folder: Path
    results: list[CaseResult] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0, or 1 where something is worse than accepted or diverges."""
        return int(Exit.DIVERGED if self.comparison.worse else Exit.VERIFIED)

    def as_json(self) -> dict[str, Any]:
        """The content of ``results.json``."""
        return {
            "regress_schema": RESULTS_SCHEMA,
            "harness": harness.__version__,
            "exit_status": self.exit_status,
            "seconds": self.seconds,
            "notes": self.notes,
            "comparison": asdict(self.comparison),
            "tables": [asdict(row) for row in self.rows],
            "cases": [result.as_json() for result in self.results],
        }


def parse_pair(text: str) -> tuple[str, str]:
    """``tf1.15:tf2.21`` as (source, target). Raises HarnessError usage."""
    source, colon, target = text.partition(":")
    if not (source and colon and target):
        raise HarnessError("usage", f"{text!r} is no pair: it is written SOURCE:TARGET, such as tf1.15:tf2.21.")
    return source, target


def run(request: Request, progress: Progress, report: Callable[[CaseResult], None] | None = None) -> Outcome:
    """Run the matrix and write its files into ``request.out``.

    Raises:
        HarnessError: when an environment is missing (that is no skip here), the output folder is taken, a folder of
            models is not there, or a baseline cannot be read.
    """
    specs = envspec.load_specs()
    rows = {(p.source, p.target): p for p in envspec.load_pairs()}
    pairs = request.pairs or tuple(rows)
    suites = _suites(request)
    files = {pair: _baseline_file(request, pair, pairs) for pair in pairs}
    accepted = {pair: baseline.load(path) for pair, path in files.items() if path}
    _check_out(request.out)
    environments: dict[str, Environment] = {}
    for name in dict.fromkeys(name for pair in pairs for name in pair):
        spec = envspec.get_spec(specs, name)
        environments[name] = backends.ensure(
            spec, request.backend, progress, fetch_python=request.fetch_python, untrusted=request.untrusted
        )
    outcome = Outcome(folder=request.out)
    request.out.mkdir(parents=True, exist_ok=True)
    remove(request.out / "jobs")
    for source, target in pairs:
        share = rows[source, target].zoo if (source, target) in rows and not request.only else None
        cases = _cases(request, suites, specs, environments[source].spec, share, progress, outcome)
        found = _run_pair(request, (environments[source], environments[target]), cases, progress, report, outcome)
        known = accepted.get((source, target), {})
        ran = {ZOO: request.zoo and zoo.generator() is not None, **dict.fromkeys(suites, True)}
        complete = (
            [] if request.only or request.limit is not None else [i for i in known if ran.get(_suite_of(i), False)]
        )
        outcome.comparison.add(baseline.compare(found, known, complete=complete))
        path = files[source, target]
        if request.update and path:
            _update(path, known, complete, [r for r in found if _suite_of(r.id) in (ZOO, CORPUS)])
    write(outcome)
    return outcome


def _suite_of(case_id: str) -> str:
    return case_id.partition(":")[0] if ":" in case_id else ZOO


def _suites(request: Request) -> dict[str, Path]:
    """Folders of models by the name that their cases carry: the shared corpus, and the user's."""
    found = {}
    shared = Path(os.environ.get("HARNESS_CORPUS") or _checkout().parent / "shared" / "corpus")
    if shared.is_dir():
        found[CORPUS] = shared
    for folder in request.folders:
        if not folder.is_dir():
            raise HarnessError("source-missing", f"There is no folder {folder}.")
        name, number = folder.resolve().name, 2
        if any(folder.resolve() == known.resolve() for known in found.values()):
            continue
        while name in found or name == ZOO:
            name, number = f"{folder.resolve().name}-{number}", number + 1
        found[name] = folder
    return found


def _checkout() -> Path:
    return Path(__file__).resolve().parents[2]


def baselines_folder() -> Path:
    """Where the accepted results of the checkout are."""
    return _checkout() / "tests" / "golden" / "regress"


def _baseline_file(request: Request, pair: tuple[str, str], pairs: Sequence[tuple[str, str]]) -> Path | None:
    given = request.baseline
    if given is not None and given.suffix == ".json":
        if len(pairs) > 1:
            raise HarnessError(
                "usage", f"--baseline {given} is one file, and {len(pairs)} pairs are run: name a folder."
            )
        return given
    if given is not None:
        return given / baseline.pair_file(*pair)
    folder = baselines_folder()
    return folder / baseline.pair_file(*pair) if folder.parent.is_dir() else None


def _check_out(out: Path) -> None:
    ours = (out / RESULTS).is_file() or (out / "zoo").is_dir()
    if out.exists() and not (out.is_dir() and (ours or not any(out.iterdir()))):
        raise HarnessError("output-occupied", f"{out} is not an earlier result of the matrix.")


def _cases(
    request: Request, suites: Mapping[str, Path], specs: Mapping[str, EnvSpec], source: EnvSpec,
    share: int | None, progress: Progress, outcome: Outcome,
) -> list[Case]:  # fmt: skip
    found: list[Case] = []
    script = zoo.generator()
    name = source.name
    if request.zoo and script is None:
        outcome.notes.append("the zoo is skipped: its generator is in the tests of a checkout, not in the package")
    elif request.zoo and script is not None:
        globs = [glob for glob in request.only if ":" not in glob]
        if globs or not request.only:
            progress(f"generate the zoo of {name}")
            local = backends.local(source, progress, fetch_python=request.fetch_python)
            folder = zoo.ensure(local, script, request.out.resolve() / "zoo" / name, globs)
            found += select(zoo_cases(folder), limit=share)
    for suite, folder in suites.items():
        there = list(folder_cases(folder, suite))
        here = [case for case in there if _reads(request, specs, source, case)]
        found += here
        outcome.notes.append(f"{suite}: {len(here)} of {len(there)} models belong to {name}")
    return select(found, request.only, request.limit)


def _reads(request: Request, specs: Mapping[str, EnvSpec], source: EnvSpec, case: Case) -> bool:
    """Whether a file is this environment's: the one that ``migrate`` chooses, or one that reads it, if asked by name.

    The shared corpus never changes places: each of its files stands in the baseline of one source.
    """
    if request.pairs and case.suite != CORPUS:
        return envspec.reads_keras_version(source, case.keras_version)
    try:
        return envspec.choose_source(specs, case.keras_version, case.backend).name == source.name
    except HarnessError:
        return False


def _run_pair(
    request: Request, pair: tuple[Environment, Environment], cases: list[Case], progress: Progress,
    report: Callable[[CaseResult], None] | None, outcome: Outcome,
) -> list[CaseResult]:  # fmt: skip
    source, target = pair
    name = f"{source.spec.name}--{target.spec.name}"
    root = request.out.resolve() / "jobs" / name
    root.mkdir(parents=True)
    journal = root / JOURNAL
    count = 0

    def each(result: CaseResult) -> None:
        nonlocal count
        count += 1
        with journal.open("a", encoding="utf-8") as stream:  # what a run that is killed had found so far
            stream.write(json.dumps(result.as_json()) + "\n")
        progress(f"{name}: {count} of {len(cases)}, {result.status}: {result.id}")
        if report:
            report(result)

    started = time.monotonic()
    run_ = PairRun(
        source=source,
        target=target,
        root=root,
        options=Options(
            timeout_s=request.timeout_s,
            proof=request.proof,
            untrusted=request.untrusted,
            limits=Limits(enforced=request.untrusted),
        ),
        naive=request.naive,
        naive_suites=frozenset({ZOO, CORPUS}),
    )
    found = run_.run(cases, each) if cases else []
    outcome.seconds[name] = round(time.monotonic() - started, 3)
    outcome.results += found
    outcome.rows += rows_of(source.spec.name, target.spec.name, ((r.status, r.layers) for r in found))
    for part in ("source", "target", "naive"):
        remove(root / part)
    return found


def _update(path: Path, known: Mapping[str, Entry], complete: Sequence[str], found: Sequence[CaseResult]) -> None:
    """Write a baseline: what was run replaces what was known of it; cases that are gone are left out."""
    kept = {name: entry for name, entry in known.items() if name not in set(complete)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(baseline.dump({**kept, **baseline.entries_of(found)}), encoding="utf-8")


def write(outcome: Outcome) -> None:
    """The results as JSON, JUnit and a page."""
    done = ", ".join(f"{name} in {seconds:.0f} s" for name, seconds in outcome.seconds.items())
    about = f"{len(outcome.results)} models by harness {harness.__version__}: {done}."
    texts = {
        RESULTS: json.dumps(outcome.as_json(), indent=1) + "\n",
        JUNIT: junit(outcome.results, outcome.comparison.worse),
        PAGE: page(outcome.results, outcome.rows, outcome.comparison, about=about),
    }
    for name, text in texts.items():
        beside = outcome.folder / f".{name}.partial"
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, outcome.folder / name)
