"""The kernel's limit: every 20 ms receive all, send the same number back, and do nothing else.

``python -m benchmarks.echo HOST FIRST LAST CPU`` prints ``ready`` and runs until its standard input closes.
"""

from __future__ import annotations

import os
import select
import sys
import time

import numpy as np

from bridge.media.wire import PacketPool, Receiver, Sender, open_pairs


def main() -> None:
    host, first, last, cpu = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})
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
