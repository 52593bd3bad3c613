"""The first program of a container: starts the worker, passes job folders on, and ends all when the host goes away.

Standard input: one job folder a line, as for ``--serve``; its end, even by the host's death, ends the container.
Standard output: one JSON object a line: ``{"event": line of events.jsonl}``, ``{"done": status}`` once the job's
``exit`` is written, ``{"ended": status}`` when the worker is gone (negative for a signal), then nothing more.

It is process 1 of its container: nothing in there can kill or stop it. Nor can the worker, which has the same user, reach its
memory or its standard output.

Runs under the environment's Python (3.6 and later), standard library only.
"""

import ctypes
import json
import os
import select
import signal
import stat
import subprocess
import sys

PAUSE_S = 0.02
CHUNK = 1 << 20
PR_SET_DUMPABLE = 4  # linux/prctl.h


def say(**what):
    os.write(1, (json.dumps(what) + "\n").encode("utf-8"))


def read(path, offset, size):
    """Up to ``size`` bytes of a regular file; none of anything else, which a worker could put there to keep us waiting."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (IOError, OSError):
        return b""
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return b""
        return os.pread(number, size, offset)
    finally:
        os.close(number)


class Job(object):
    """Follows one job folder."""

    def __init__(self, folder):
        self.folder, self.offset = folder, 0

    def look(self):
        """Tell new events; whether the job has ended."""
        done = os.path.lexists(os.path.join(self.folder, "exit"))
        data = read(os.path.join(self.folder, "events.jsonl"), self.offset, CHUNK)
        complete = data if len(data) == CHUNK else data[: data.rfind(b"\n") + 1]
        self.offset += len(complete)
        for line in complete.decode("utf-8", "replace").splitlines():
            say(event=line)
        if done:
            status = read(os.path.join(self.folder, "exit"), 0, 20).strip()
            say(done=int(status) if status.isdigit() else -1)
        return done


def main(argv):
    if ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError("the supervisor cannot be kept apart from the worker")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one signal that Python gives process 1 a handler for
    here = os.path.dirname(os.path.abspath(__file__))
    log = open(argv[1], "ab")
    worker = subprocess.Popen(
        [sys.executable, "-s", "-B", here] + argv[2:], stdin=subprocess.PIPE, stdout=log, stderr=log
    )
    job, rest = None, b""
    while True:
        ready, _, _ = select.select([0], [], [], PAUSE_S if job else 0.2)
        if ready:
            data = os.read(0, 65536)
            if not data:
                worker.send_signal(signal.SIGKILL)
                return 0
            rest += data
            lines = rest.split(b"\n")
            rest = lines.pop()
            for line in lines:
                job = Job(line.decode("utf-8"))
                try:
                    worker.stdin.write(line + b"\n")
                    worker.stdin.flush()
                except (IOError, OSError):
                    pass  # it has ended: told below
        status = worker.poll()
        if job and job.look():
            job = None
        elif status is not None:
            say(ended=status)
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
