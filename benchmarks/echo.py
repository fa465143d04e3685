"""The kernel's limit: every 20 ms receive all, send the same back, and do nothing else.

``python -m benchmarks.echo HOST FIRST LAST CPU`` prints ``ready`` and runs until its standard input closes.
"""

from __future__ import annotations

import select
import subprocess
import sys
import time

import numpy as np

from bridge.media.wire import PacketPool, Receiver, Sender, open_pairs

from .crowd import stay_on


class EchoServer:
    """The echo as a process, with the face of :class:`.worker.MediaServer`."""

    def __init__(self, ports: range, *, cpu: int = 0, host: str = "127.0.0.1") -> None:
        command = [sys.executable, "-m", "benchmarks.echo", host, str(ports.start), str(ports.stop), str(cpu)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if not self._process.stdout.readline().startswith("ready"):
            raise OSError("the echo did not start")
        self.pids = [self._process.pid]
        self.ports = tuple(range(ports.start, ports.stop, 2))

    def stop(self) -> None:
        self._process.communicate("", timeout=5)


def main() -> None:
    host, first, last, cpu = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    stay_on(cpu)
    _, socks, _ = open_pairs(host, range(first, last))
    fds = [s.fileno() for s in socks]
    pool = PacketPool(24576)
    receiver, sender = Receiver(pool, 8192), Sender(8192)
    print("ready", flush=True)
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        if time.monotonic() < due:
            continue
        due += 0.020
        batch = receiver.receive(fds, time.monotonic(), time.time())
        if not len(batch.slots):
            continue
        order = np.argsort(batch.sockets, kind="stable")
        names = (batch.sources.ctypes.data + order * 32).astype(np.uint64)
        heads = pool.addresses(batch.slots[order])
        sender.send(fds, batch.sockets[order], names, heads, batch.lengths[order], heads, 0)
        pool.give(batch.slots)


if __name__ == "__main__":
    main()
