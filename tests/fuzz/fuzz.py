"""Coverage-guided fuzzing: ``python tests/fuzz/fuzz.py bundle|report|sniff [libFuzzer options]``; needs atheris.

    python tests/fuzz/fuzz.py bundle -runs=200000 -rss_limit_mb=512 -timeout=5 NEW tests/fuzz/seeds/bundle

What is found goes to NEW; a file there that names a defect belongs into ``tests/fuzz/seeds``, where the unit tests run it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["harness"]):
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import targets

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
import bad_files

TARGETS = {"bundle": targets.read_bundle, "report": targets.enter_bundle, "sniff": targets.sniff}


def main() -> None:
    """Run until libFuzzer ends the process."""
    run = TARGETS[sys.argv.pop(1)]
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        folder = Path(name)
        # Sound files to start from; made here, because they are thousands of bytes of zeros. Not where cases are read:
        # a bundle with a strange member is refused before anything of it is looked at.
        start, case = folder / "start", folder / "case"
        start.mkdir()
        case.mkdir()
        if run is targets.sniff:
            bad_files.keras_h5(start / "model")
            bad_files.weights_only(start / "weights")
            (start / "json").write_text('{"class_name": "Sequential", "config": [], "keras_version": "2.1.6"}')
            (start / "yaml").write_text("class_name: Sequential\nconfig: []\nkeras_version: 2.1.6\n")
            (start / "pickle").write_bytes(b"\x80\x02}q\x00.")
        atheris.Setup([*sys.argv, str(start)], lambda data: run(data, case) and None)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
