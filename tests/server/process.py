"""A real bridge process for tests: starts, says where it listens, ends."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
START = 20.0
"""Seconds that a start may take on a busy machine; one takes a second."""


@dataclass
class Bridge:
    process: subprocess.Popen[bytes]
    http: str
    log: Path

    def get(self, path: str) -> Any:
        return httpx.get(self.http + path, timeout=5).raise_for_status().json()

    def post(self, path: str, body: object = None) -> httpx.Response:
        return httpx.post(self.http + path, json=body, timeout=5)

    @property
    def udp(self) -> tuple[str, int]:
        """The address of its first UDP listener."""
        text = next(t for t in self.get("/api/v1/bridge")["listeners"] if t.startswith("udp:"))
        host, port = text.removeprefix("udp:").rsplit(":", 1)
        return host, int(port)

    def end(self, seconds: float = 15.0) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(seconds)


def media_ports() -> str:
    """A small range, below the kernel's own choice, that another test process does not take."""
    base = 26000 + os.getpid() % 150 * 32
    return f"{base}-{base + 31}"


@contextmanager
def bridge(directory: Path, *arguments: str, command: str = "serve") -> Iterator[Bridge]:
    """``visiopont serve`` on loopback with ports of the kernel's choice, its data and log in ``directory``."""
    log = directory / "log"
    line = [sys.executable, "-m", "server.cli", command, "--http", "127.0.0.1:0", "--data", str(directory / "data")]
    if "--sip" not in arguments:
        line += ["--sip", "udp:127.0.0.1:0"]
    if "--video-ports" not in arguments:
        line += ["--video-ports", ""]
    if "--media-ports" not in arguments:
        line += ["--media-ports", media_ports()]
    environment = {"VISIOPONT_VIDEO__BFCP_PORT": "0", **os.environ, "PYTHONPATH": str(ROOT)}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*line, *arguments], cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        yield Bridge(process, _address(process, log), log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """The HTTP address out of what it prints when it is ready."""
    assert process.stdout is not None
    said, until = b"", time.monotonic() + START
    while time.monotonic() < until:
        if not select.select([process.stdout], [], [], 0.2)[0]:
            continue
        part = os.read(process.stdout.fileno(), 65536)
        said += part
        if found := re.search(rb"https?://\S+?:\d+(?=/api/docs)", said):
            return found[0].decode()
        if not part:
            break
    raise AssertionError(f"it did not start: {said.decode()} {log.read_text()}")
