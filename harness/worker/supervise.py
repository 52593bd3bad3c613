"""The first program of a container: starts the worker, passes job folders on, and ends all when the host goes away.

Standard input: one job folder a line, as for ``--serve``; its end, even by the host's death, ends the container.
Standard output: one JSON object a line: ``{"event": line of events.jsonl}``, ``{"done": status}`` once the job's
``exit`` is written, ``{"ended": status}`` when the worker is gone (negative for a signal), then nothing more.

Runs under the environment's Python (3.6 and later), standard library only.
"""

import json
import os
import select
import signal
import subprocess
import sys

PAUSE_S = 0.02


def say(**what):
    os.write(1, (json.dumps(what) + "\n").encode("utf-8"))


class Job(object):
    """Follows one job folder."""

    def __init__(self, folder):
        self.folder, self.offset = folder, 0

    def look(self):
        """Tell new events; whether the job has ended."""
        done = os.path.exists(os.path.join(self.folder, "exit"))
        try:
            with open(os.path.join(self.folder, "events.jsonl"), "rb") as stream:
                stream.seek(self.offset)
                data = stream.read()
        except (IOError, OSError):
            data = b""
        complete = data[: data.rfind(b"\n") + 1]
        self.offset += len(complete)
        for line in complete.decode("utf-8", "replace").splitlines():
            say(event=line)
        if done:
            with open(os.path.join(self.folder, "exit")) as stream:
                say(done=int(stream.read().strip() or -1))
        return done


def main(argv):
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
