"""``python harness/worker JOB`` runs one job folder; ``--serve [FLAVOUR]`` stays and takes folders from stdin."""

import gc
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from tfworker import protocol  # noqa: E402


def settle():
    """Take what was imported out of the garbage collector's sight, where Python can (3.7 and later).

    ``clear_session`` collects before each model, which costs 0.2 s of walking TensorFlow's modules and 0.02 s without.
    """
    freeze = getattr(gc, "freeze", None)
    if freeze is not None:
        gc.collect()
        freeze()


def ended(status):
    """``status``; without the interpreter's last words, which would change it, where there is no room for them."""
    if status == protocol.EXIT_FULL:
        os._exit(status)
    return status


def main(argv):
    if len(argv) in (2, 3) and argv[1] == "--serve":
        protocol.end_with(0)  # a host that is gone needs no answer
        if len(argv) == 3:
            # Import TensorFlow while the host still prepares the first job.
            from tfworker import compat

            compat.import_keras(argv[2])
            settle()
        return ended(protocol.serve(sys.stdin))
    if len(argv) == 2:
        return ended(protocol.run_job(os.path.abspath(argv[1])))
    sys.stderr.write(__doc__ + "\n")
    return protocol.EXIT_UNREADABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv))
