"""Who does the heavy work: threads where the process has cores for them, the caller himself where it has not."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

MOST = 8
"""Threads at most: what is between two jobs is Python's, and holds the others up."""


class Crew:
    """Runs jobs. Libraries' work (decode, scale, encode) leaves the interpreter to others meanwhile.

    What a job returns is a function that the loop's thread calls later, so results need no locks.
    """

    def __init__(self, threads: int | None = None) -> None:
        """Args:
        threads: 0: jobs are done at once by who gives them; None: as many as this process may use cores, 0 for one.
        """
        if threads is None:
            cores = len(os.sched_getaffinity(0))
            threads = 0 if cores < 2 else min(cores, MOST)
        self.threads = threads
        self.cores = max(threads, 1)
        self._pool = ThreadPoolExecutor(threads, "video") if threads else None
        self._done: deque[Callable[[], None]] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def fileno(self) -> int:
        """Readable when results wait."""
        return self._wake_read

    def run(self, job: Callable[[], Callable[[], None]]) -> None:
        """Do a job, here or in a thread. It must not raise."""
        if self._pool is None:
            job()()
            return
        self._pool.submit(self._work, job)

    def _work(self, job: Callable[[], Callable[[], None]]) -> None:
        self._done.append(job())
        with contextlib.suppress(BlockingIOError):  # then it is awake
            os.write(self._wake_write, b"\0")

    def collect(self) -> None:
        """Call what finished jobs left."""
        if self._pool is None:
            return
        try:
            while len(os.read(self._wake_read, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass
        for _ in range(len(self._done)):
            self._done.popleft()()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        os.close(self._wake_read)
        os.close(self._wake_write)
