"""Child processes that end, whatever happens, and waiting that ends too."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import pytest

T = TypeVar("T")


def need(program: str, package: str) -> None:
    """Skip the test if ``program`` is not there; in CI, where it has to be, fail."""
    if shutil.which(program) is None:
        reason = f"{program} is missing: apt-get install --no-install-recommends {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def until(condition: Callable[[], T], what: str, seconds: float = 10.0) -> T:
    """What ``condition`` returns once that is true. Fails the test, saying ``what`` was awaited."""
    end = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        if time.monotonic() > end:
            pytest.fail(f"after {seconds:g} s: not yet {what}")
        time.sleep(0.05)


class Process:
    """A child in a process group of its own, its output in a file.

    coreutils' ``timeout`` stands above it, so that it ends even if we are killed: ``limit`` seconds after its start by
    SIGTERM, ``grace`` seconds after any SIGTERM by SIGKILL. Like systemd, it signals the whole group.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        limit: float = 120.0,
        grace: float = 2.0,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        self.name = Path(command[0]).name
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                ["timeout", "-k", f"{grace:g}", f"{limit:g}", *command],
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    @property
    def text(self) -> str:
        """Its output so far."""
        return self.log.read_text("utf-8", "replace")

    def write(self, line: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(line.encode() + b"\n")
        self._popen.stdin.flush()

    def expect(self, words: str, seconds: float = 10.0) -> None:
        """Wait for ``words`` in its output."""
        with self._explained():
            until(lambda: words in self.text or not self.running, f"{words!r} from {self.name}", seconds)
            assert words in self.text, f"{self.name} ended without {words!r}"

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            error.add_note(f"--- {self.log}\n{self.text[-3000:]}")
            raise

    def wait(self, seconds: float = 15.0) -> int:
        """Its exit status."""
        with self._explained():
            until(lambda: not self.running, f"the end of {self.name}", seconds)
        return self._popen.returncode

    def stop(self, seconds: float = 5.0) -> int:
        """SIGTERM, then SIGKILL; its exit status."""
        if self.running:
            self._popen.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(seconds)
        self.kill()
        return self._popen.returncode

    def kill(self) -> None:
        """SIGKILL to it and its children: gone without a word."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()
