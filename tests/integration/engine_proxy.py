"""A Docker engine that can be stopped without stopping anybody's: ``python engine_proxy.py SOCKET`` passes all on.

With a second argument, a file of certificate and key, it is an engine behind TLS at a free port, which it prints.
Kill it, and whoever talked to it sees what he sees when an engine dies: connections that end, and none that begins.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
from contextlib import suppress

ENGINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on until the source says no more, and then say so too."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def main(path: str, certificate: str = "") -> None:
    with socket.socket(socket.AF_INET if certificate else socket.AF_UNIX) as server:
        server.bind(("127.0.0.1", 0) if certificate else path)
        server.listen(64)
        print(server.getsockname()[1] if certificate else "ready", flush=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if certificate:
            context.load_cert_chain(certificate)
        while True:
            client, _ = server.accept()
            if certificate:
                client = context.wrap_socket(client, server_side=True)
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(ENGINE)
            for ends in ((client, engine), (engine, client)):
                threading.Thread(target=pump, args=ends, daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
