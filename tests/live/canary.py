"""How long the machine holds a process up that has the media worker's priority and nothing to do.

What a test measures of the bridge is no better than that: ``python -m tests.live.canary FILE`` notes each time that a
20 ms sleep took more than 10 ms longer. The parent's death ends it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

PERIOD = 0.020
NOTED = 0.010
HOLE = 0.25
"""Seconds without a packet that a test lets pass, besides what the canary noted: on a shared machine the phones, the
bridge and the generator of junk wait for each other's turns. A call that is hurt has a longer hole; how short they are
where nothing else runs is printed, and for the benchmarks to show."""


def main() -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    parent = os.getppid()
    with Path(sys.argv[1]).open("a") as notes:
        while os.getppid() == parent:
            before = time.time()
            time.sleep(PERIOD)
            late = time.time() - before - PERIOD
            if late > NOTED:
                notes.write(f"{before} {late}\n")
                notes.flush()


if __name__ == "__main__":
    main()
