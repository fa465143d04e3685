"""The whole server under test: ``visiopont serve`` in a process of its own, with its workers."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from .processes import family


class WholeServer:
    """Control and one media worker, on loopback ports from ``port`` on."""

    def __init__(self, port: int, *, cpu: int = 0, settings: str = "") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        folder = Path(self._folder.name)
        _free(port)
        (folder / "visiopont.toml").write_text(settings)
        self.sip, self.http = port, port + 1
        self.log = folder / "log"
        pin = ["taskset", "-c", str(cpu)] if shutil.which("taskset") else []
        command = [
            *(*pin, sys.executable, "-m", "server.cli", "serve", "--config", str(folder / "visiopont.toml")),
            *("--sip", f"udp:127.0.0.1:{self.sip}", "--http", f"127.0.0.1:{self.http}"),
            *("--media-ports", f"{port + 2}-{port + 65}", "--workers", "1", "--data", str(folder / "data")),
            *(() if "[video]" in settings else ("--video-ports", "")),
        ]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self._wait()

    @property
    def pids(self) -> list[int]:
        return family(self._process.pid)

    def _wait(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/", timeout=1):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
        text = self.log.read_text()[-2000:]
        self.stop()
        raise OSError(f"the server did not start:\n{text}")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._folder.cleanup()


def _free(port: int) -> None:
    """Raises OSError: somebody else has it, and would be measured."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
