"""Ports on 127.0.0.1 that are free now, chosen at run time."""

from __future__ import annotations

import os
import random
import socket

FIRST, LAST = map(int, os.environ.get("VISIOPONT_TEST_PORTS", "20000-29999").split("-"))
"""Below where Linux takes ephemeral ports from (32768), so that nothing comes between looking and binding."""
_next = random.randrange(FIRST, LAST, 2)
"""Upwards, and around: what was given is not given again before all others, bound by then or not."""


def free_ports(count: int) -> int:
    """The first, even, of ``count`` ports in a row that nobody has, by UDP and TCP."""
    global _next
    for _ in range(LAST - FIRST):
        start, _next = _next, _next + 2
        if _next + count > LAST:
            _next = FIRST
        if start + count <= LAST + 1 and all(map(_is_free, range(start, start + count))):
            _next = start + count + count % 2
            return start
    raise RuntimeError(f"no {count} free ports in a row from {FIRST} to {LAST}")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
