"""A worker in a container: cut off from the network, without privileges, with bounds on all that it may use.

Job folders go in and come out as tar streams through the engine, into a volume in memory of a fixed size. The first
process in the container (``harness/worker/supervise.py``) ends everything when its input closes, so a host that dies
leaves nothing running.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import struct
import tarfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, NotFound
from docker.types import DriverConfig, LogConfig, Mount, Ulimit

from harness.backends import transfer
from harness.backends.base import WORKER_FOLDER, Limits, Reason
from harness.backends.transfer import CHUNK, USER
from harness.envspec import EnvSpec
from harness.errors import HarnessError

LABEL = "tf-migration-harness"
#: label of containers: the process that they belong to
OWNER = "tf-migration-harness.owner"
ROOT = "/job"
#: the one folder in it that belongs to the worker's user, besides jobs
OWN = f"{ROOT}/own"
TEMPORARY = "/tmp"  # noqa: S108 - the container's own
TEMPORARY_BYTES = 1 << 30
#: of the engine's memory, where the user sets no limit
MEMORY_SHARE = 0.8
STORAGE_BYTES = 8 << 30
PROCESSES = 2048
#: what talking to an engine raises: its own errors, and those of the connection, in the middle of a stream too
ENGINE_ERRORS = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError)
#: of what a container says while it runs: a line, the progress of one job, and its log on the host
_LINE_BYTES, _EVENTS_BYTES, _LOG_BYTES = 1 << 16, 1 << 24, 1 << 24
#: how often its words are read before the host looks at the clock again
_READS = 64
# One byte at a time: whatever follows on standard input belongs to the supervisor.
_WAIT = (
    "import os,sys\nwhile os.read(0,1) not in (b'\\n',b''): pass\n"
    f"os.execv(sys.executable,[sys.executable,'-s','-B','{ROOT}/worker/supervise.py','{OWN}/start.log']+sys.argv[1:])"
)


def owner(pid: int) -> str:
    """What :data:`OWNER` says of the containers of a process of this machine."""
    return f"{socket.gethostname()}:{pid}"


def not_held(info: Mapping[str, Any]) -> list[str]:
    """Which limits an engine would accept and not hold to, by what it says of itself (``docker info``).

    A rootless engine without control groups of its own leaves out those of memory, processes and processors.
    """
    held = {
        "memory": info.get("MemoryLimit"),
        "swap": info.get("SwapLimit"),
        "processes": info.get("PidsLimit"),
        "processors": info.get("CpuCfsQuota"),
        "system calls (seccomp)": any("seccomp" in str(option) for option in info.get("SecurityOptions") or ()),
    }
    return [name for name, value in held.items() if not value]


def settings(spec: EnvSpec, limits: Limits) -> dict[str, Any]:
    """How every container of ours is cut off; the engine's default seccomp profile stays in force."""
    variables = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": TEMPORARY,
        "TMPDIR": TEMPORARY,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        **spec.variables,
    }
    memory = {"mem_limit": limits.memory, "memswap_limit": limits.memory} if limits.memory else {}
    cpus = {"nano_cpus": int(limits.cpus * 1e9)} if limits.cpus else {}
    return {
        "user": f"{USER}:{USER}",
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": limits.processes or PROCESSES,
        "ulimits": [Ulimit(name="core", soft=0, hard=0)],
        "tmpfs": {TEMPORARY: f"rw,nosuid,nodev,noexec,mode=1777,size={TEMPORARY_BYTES}"},
        "environment": variables,
        "labels": {LABEL: "worker", OWNER: owner(os.getpid())},
        "log_config": LogConfig(type="none"),
        "platform": "linux/amd64",
        "use_config_proxy": False,  # the client would put the user's proxies, passwords included, into the environment
        **memory,
        **cpus,
    }


class Container:
    """See :class:`harness.backends.base.Running`."""

    def __init__(
        self, client: docker.DockerClient, image: str, spec: EnvSpec, scratch: Path, flavour: str, limits: Limits
    ) -> None:
        info = client.info()
        if limits.enforced and (loose := not_held(info)):
            raise HarnessError(
                "environment-backend-missing",
                f"The Docker engine does not limit {', '.join(loose)}, which --untrusted relies on: nothing was opened.",
                remedy="Use an engine that does (`docker info` warns where it does not; a rootless one needs cgroup v2 with"
                " delegated controllers), or leave --untrusted out for a file that you trust.",
            )
        if limits.memory is None:
            limits = replace(limits, memory=int(info["MemTotal"] * MEMORY_SHARE))
        if limits.cpus is not None:
            limits = replace(limits, cpus=min(limits.cpus, info["NCPU"]))  # an engine refuses more than it has
        self.client, self.scratch, self.limits = client, scratch, limits
        self.log = scratch / "start.log"
        self.log.touch()
        self.job: Path | None = None
        self.jobs = 0
        self.status: int | None = None
        self.told = False  # whether the supervisor lived to tell the worker's end
        self.channel: Any = None
        self.socket: Any = None
        self._frames, self._lines = bytearray(), bytearray()
        storage = limits.storage or STORAGE_BYTES
        options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={storage},mode=0755"}
        mount = Mount(target=ROOT, source=None, type="volume", driver_config=DriverConfig("local", options))
        command = ["python", "-s", "-B", "-c", _WAIT, "--serve", *([flavour] if flavour else [])]
        self.container = client.containers.create(
            image, command, stdin_open=True, mounts=[mount], **settings(spec, limits)
        )
        try:
            self.channel = channel = self.container.attach_socket(
                params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
            self.socket = getattr(channel, "_sock", channel)
            self.container.start()
            empty = scratch / "own"
            empty.mkdir()
            self._put([(WORKER_FOLDER, "worker", False), (empty, "own", True)])
            self.socket.sendall(b"\n")
            self.socket.setblocking(False)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> None:
        """None: the engine may be on another machine."""
        return

    def submit(self, folder: Path) -> None:
        """Copy a job folder into the container and have it run."""
        self.job = folder
        self.jobs += 1  # many jobs may have one name, and what an earlier one left there cannot be taken away
        if self.look() is not None:
            return
        name = self._inner(folder)
        with _EngineFault(f"receive the job {folder.name}"):
            self._put([(folder, name, True)])
            try:
                self.socket.setblocking(True)
                self.socket.sendall(f"{ROOT}/{name}\n".encode())
                self.socket.setblocking(False)
            except OSError:
                pass  # the container has ended, which `look` tells

    def _inner(self, folder: Path) -> str:
        """Where a job lies below :data:`ROOT`."""
        return f"jobs/{self.jobs}-{folder.name}"

    def look(self) -> int | None:
        """Follow the supervisor's words; copies the results out when the job is done."""
        if self.status is None:
            with _EngineFault(f"run the job {self.job.name if self.job else ''}".strip()):
                self._read()
        return self.status

    def why(self) -> Reason | None:
        """Whether the engine ended processes for want of memory."""
        try:
            self.container.reload()
            killed = bool(self.container.attrs["State"]["OOMKilled"])
        except ENGINE_ERRORS:
            return None
        limit = f" of {self.limits.memory / 1e9:.1f} GB" if self.limits.memory else ""
        if killed or (self.told and self.status == -signal.SIGKILL):  # nobody else kills a single process in there
            return Reason("memory-exhausted", f"The container's memory{limit} was used up.")
        return Reason("worker-crashed", "Its container was ended from outside.") if not self.told else None

    def stop(self) -> None:
        """Kill and remove the container and its volume."""
        # The engine cannot kill a container whose words nobody takes: the connection goes first.
        with suppress(OSError):
            if self.socket is not None:
                self.socket.shutdown(socket.SHUT_RDWR)
        answer = getattr(self.channel, "_response", None)  # the client's library keeps it there
        for open_one in (answer, self.channel, self.socket):
            with suppress(OSError, ValueError):  # closing one closes parts of the others
                if open_one is not None:
                    open_one.close()
        try:
            self.container.remove(force=True, v=True)
        except ENGINE_ERRORS:
            pass  # removed already, or an engine that is gone: its container ended when its input closed
        self.client.close()

    def _put(self, trees: list[tuple[Path, str, bool]]) -> None:
        """Copy trees below :data:`ROOT`, links resolved; what the worker may change belongs to its user."""
        read, write = os.pipe()
        failed: list[BaseException] = []

        def pack() -> None:
            try:
                with os.fdopen(write, "wb") as sink, tarfile.open(fileobj=sink, mode="w|", dereference=True) as archive:
                    for path, name, writable in trees:
                        transfer.pack(archive, path, name, writable, within=self.limits.enforced)
            except BrokenPipeError:
                pass  # the other side tells why it stopped to read
            except Exception as error:  # noqa: BLE001 - raised again below, in the thread that waits
                failed.append(error)

        thread = threading.Thread(target=pack)
        thread.start()
        try:
            with os.fdopen(read, "rb") as source:
                self.container.put_archive(ROOT, iter(lambda: source.read(CHUNK), b""))
        except APIError as error:
            thread.join()
            if failed:
                raise failed[0] from error  # that is why the engine got half an archive
            if "no space" in str(error).lower():
                raise HarnessError(
                    "no-space",
                    f"The job's files do not fit into the container's storage of"
                    f" {(self.limits.storage or STORAGE_BYTES) / 1e9:.1f} GB.",
                    remedy="Give it more with `--storage`.",
                ) from error
            raise
        finally:
            thread.join()
        if failed:
            raise failed[0]

    def _read(self) -> None:
        for _ in range(_READS):  # and no more: somebody has to look at the clock, whatever a worker writes
            try:
                data = self.socket.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError, TimeoutError):
                return
            except OSError:
                data = b""
            if not data:
                self._ended()
                return
            self._frames += data
            self._take_frames()
            if self.status is not None:
                return

    def _take_frames(self) -> None:
        """Docker multiplexes both output streams: eight bytes of head (stream, length), then the data."""
        while len(self._frames) >= 8:
            stream, size = struct.unpack(">BxxxL", self._frames[:8])
            if len(self._frames) < 8 + size:
                return
            data = bytes(self._frames[8 : 8 + size])
            del self._frames[: 8 + size]
            if stream == 1:
                self._lines += data
                self._take_lines()
            else:
                _append(self.log, data, _LOG_BYTES)

    def _take_lines(self) -> None:
        """Follow what the supervisor says. The worker can write there as well, so nothing depends on it but its own job."""
        *lines, rest = bytes(self._lines).split(b"\n")
        self._lines = bytearray(rest[:_LINE_BYTES])
        for line in lines:
            said = _said(line)
            if "event" in said and self.job:
                _append(self.job / "events.jsonl", f"{said['event']}\n".encode(), _EVENTS_BYTES)
            elif "done" in said and self.job:
                self._fetch(self.job, whole=True)
                (self.job / "exit").write_text(f"{said['done']}\n")
            elif "ended" in said:
                self.told = True
                self._ended(said["ended"])

    def _ended(self, status: int | None = None) -> None:
        if self.job and not (self.job / "exit").exists():
            self._fetch(self.job, whole=False)
        if status is None:
            try:
                status = int(self.container.wait(timeout=10)["StatusCode"])
            except ENGINE_ERRORS:
                self.client.ping()  # raises where it is the engine that is gone
                status = -signal.SIGKILL
            status = 128 - status if status > 128 else status
        self.status = status

    def _fetch(self, job: Path, *, whole: bool) -> None:
        """Bring out what the job wrote: all of it, or of a worker that has died only the log."""
        inner = f"{ROOT}/{self._inner(job)}"
        for name in ("out", "response.json", "worker.log") if whole else ("worker.log",):
            try:
                stream, _ = self.container.get_archive(f"{inner}/{name}", chunk_size=CHUNK)
            except NotFound:
                continue
            except APIError as error:
                if whole:
                    raise HarnessError("worker-protocol", f"The job's results cannot be fetched: {error}") from error
                return
            transfer.unpack(stream, job, self.limits.storage or STORAGE_BYTES)
        try:
            stream, _ = self.container.get_archive(f"{OWN}/start.log", chunk_size=CHUNK)
            transfer.unpack(stream, self.scratch, CHUNK << 4)
        except (NotFound, APIError, HarnessError):
            pass  # only useful to people, and only if it is there


def _said(line: bytes) -> dict[str, Any]:
    """What a line of the supervisor says: ``event`` (text), ``done`` or ``ended`` (an exit status); empty for others."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    heard: dict[str, Any] = {key: said[key] for key in ("done", "ended") if type(said.get(key)) is int}
    heard = {key: status for key, status in heard.items() if -64 <= status <= 255}
    return {**heard, "event": said["event"]} if isinstance(said.get("event"), str) else heard


def _append(path: Path, data: bytes, limit: int) -> None:
    """Write more to a file that never grows above ``limit`` bytes."""
    with path.open("ab") as stream:
        stream.write(data[: max(0, limit - stream.tell())])


class _EngineFault:
    """Turns what the engine's client raises into an error of ours."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ENGINE_ERRORS):
            first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            raise HarnessError(
                "worker-crashed",
                f"The Docker engine stopped answering while the container was to {self.what}: {first}",
                remedy="Look at the engine (`docker info`), and run the command again: nothing was published.",
            ) from error
