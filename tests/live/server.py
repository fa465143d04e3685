"""A real server process, seen from outside: its processes, their memory, its API, its log."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.interop.ports import free_ports
from tests.interop.process import Process, until

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"entry": "silent", "announce_alone": False, "announce_people": False}
"""A room in which nothing is played that isn't said."""
MEDIA_PORTS = 32


class Server:
    """``visiopont serve``. ``settings`` are dotted keys: ``{"sip.calls_per_second": 5}``."""

    def __init__(self, directory: Path, settings: Mapping[str, Any] | None = None, *, ports: int = MEDIA_PORTS) -> None:
        self.directory = directory
        self.port, self._http, self.media = free_ports(2), free_ports(2), free_ports(ports)
        self.media_ports = range(self.media, self.media + ports)
        self._settings = dict(settings or {})
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{self._http}", timeout=10.0)
        self._starts = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Also again, after :meth:`kill`: the same ports, the same data."""
        if not any(key.startswith("video.") for key in self._settings):
            self._settings["video.enabled"] = False
        environment = {f"VISIOPONT_{key.upper().replace('.', '__')}": str(v) for key, v in self._settings.items()}
        self._starts += 1
        sip = f"127.0.0.1:{self.port}"
        self.process = Process(
            [sys.executable, "-m", "server.cli", "serve", "--sip", f"udp:{sip}", "--sip", f"tcp:{sip}", "--http",
             f"127.0.0.1:{self._http}", "--media-ports", f"{self.media}-{self.media_ports[-1]}", "--data",
             str(self.directory / "data")],
            self.directory / f"server-{self._starts}.log",
            limit=300.0,
            grace=20.0,
            env=environment,
            cwd=ROOT,
        )  # fmt: skip
        try:
            until(self._ready, "a server that is ready", 30.0)
        except BaseException as error:
            error.add_note(f"--- {self.process.log}\n{self.process.text[-4000:]}")
            self.process.kill()
            self.api.close()
            raise
        self.pid = _children(self.process._popen.pid)[0]

    def _ready(self) -> bool:
        if not self.process.running:
            raise RuntimeError("the server ended")
        with contextlib.suppress(httpx.HTTPError):
            return self.api.get("/ready").status_code == 200
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.api.close()
        status = self.process.stop(20.0)
        if error is not None:
            error.add_note(f"--- {self.process.log}\n{self.process.text[-4000:]}")
            return
        self.assert_no_bug()
        assert status in (0, -signal.SIGKILL), f"ended with {status}\n{self.process.text[-3000:]}"

    # What it says

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def uri(self, user: str) -> str:
        return f"sip:{user}@127.0.0.1:{self.port}"

    def room(self, name: str, **settings: Any) -> str:
        """A room, and how it is dialled."""
        answer = self.api.post("/api/v1/rooms", json={"name": name, **QUIET, **settings})
        assert answer.status_code == 201, answer.text
        return self.uri(name)

    def status(self) -> Any:
        return self.api.get("/api/v1/status").json()

    def worker(self) -> int:
        """The process id of its one media worker."""
        return int(self.status()["workers"][0]["pid"])

    def people(self, room: str) -> list[dict[str, Any]]:
        answer = self.api.get(f"/api/v1/rooms/{room}")
        return list(answer.json()["participants"]) if answer.is_success else []

    def metric(self, pattern: str) -> float:
        """The sum of the samples whose name and labels match."""
        text = self.api.get("/metrics").text
        return sum(float(v) for v in re.findall(rf"^{pattern}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))

    def rejections(self, method: str) -> float:
        text = self.api.get("/metrics").text
        found = re.findall(rf'^visiopont_sip_rejections_total{{[^}}]*method="{method}"[^}}]*}} (\S+)$', text, re.M)
        return sum(map(float, found))

    def assert_no_bug(self) -> None:
        text = self.process.text
        at = max(text.find("Traceback"), text.find("a bug"))
        assert at < 0, text[max(0, at - 500) : at + 5000]
        assert self.metric_of_bugs == 0

    metric_of_bugs = 0.0

    # What it is made of

    def processes(self) -> list[int]:
        """Control, and its children: workers and the spare."""
        return [self.pid, *_children(self.pid)]

    def memory(self) -> dict[int, int]:
        """Resident kB of control and of the worker, by pid."""
        return {pid: resident(pid) for pid in (self.pid, self.worker())}

    def files(self) -> dict[int, int]:
        """Open file descriptors of control and of the worker, by pid."""
        return {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in (self.pid, self.worker())}

    def kill(self) -> list[int]:
        """SIGKILL to control alone; its children as they were then."""
        children = _children(self.pid)
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(5)
        return children


def resident(pid: int) -> int:
    """kB."""
    return int(re.findall(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[0])


def alive(pid: int) -> bool:
    """Runs, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found
