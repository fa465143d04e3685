"""Ports on 127.0.0.1 that are free now, chosen at run time."""

from __future__ import annotations

import os
import random
import socket

RANGE = os.environ.get("VISIOPONT_TEST_PORTS", "20000-29999")
"""Below where Linux takes ephemeral ports from (32768), so that nothing comes between looking and binding."""
_given: set[int] = set()


def free_ports(count: int) -> int:
    """The first, even, of ``count`` ports in a row that nobody has, by UDP and TCP, and that were not given before."""
    first, _, last = RANGE.partition("-")
    for _ in range(2_000):
        start = random.randrange(int(first), int(last) - count, 2)
        block = range(start, start + count)
        if _given.isdisjoint(block) and all(map(_is_free, block)):
            _given.update(block)
            return start
    raise RuntimeError(f"no {count} free ports in a row in {RANGE}")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
