"""``python -m harness``, and the console script: Ctrl-C has its answer from the first moment on."""

from __future__ import annotations

import os
import signal


def _interrupted(_number: int = 0, _frame: object = None) -> None:
    """Ends the process at once: while modules are imported nothing has begun, and some of them swallow exceptions."""
    os.write(2, b"\nInterrupted. Nothing half-written was left.\n")
    os._exit(130)


def main() -> None:
    """Runs the command line; ends with its exit status."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _interrupted)
    from harness.cli import main as run

    try:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        run()
    except KeyboardInterrupt:
        _interrupted()


if __name__ == "__main__":
    main()
