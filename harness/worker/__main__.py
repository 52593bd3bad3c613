"""``python harness/worker JOB`` runs one job folder; ``--serve [FLAVOUR]`` stays and takes folders from stdin."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from tfworker import protocol  # noqa: E402


def main(argv):
    if len(argv) in (2, 3) and argv[1] == "--serve":
        if len(argv) == 3:
            # Import TensorFlow while the host still prepares the first job.
            from tfworker import compat

            compat.import_keras(argv[2])
        return protocol.serve(sys.stdin)
    if len(argv) == 2:
        return protocol.run_job(os.path.abspath(argv[1]))
    sys.stderr.write(__doc__ + "\n")
    return protocol.EXIT_UNREADABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv))
