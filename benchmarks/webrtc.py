"""Browsers' benchmarks: a session of simulated browsers on one core, composed or forwarded, and Janus beside."""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import sounds
from .browsers import Browsers, Peer, Ran
from .callers import WebCallers
from .crowd import Script
from .descriptions import OPUS, Wish
from .janus_rooms import JanusRooms
from .pages import Pages
from .processes import cpu_seconds
from .server import WholeServer

SIZES = (50, 100, 200)
TALKERS = 3
"""Who have cameras too."""
HEIGHTS = (360, 180, 180)
"""Of the tiles: whoever speaks, and two more."""
TILES = len(HEIGHTS)
RATE = 30.0
"""Pictures a second of a camera."""
SETTLE = 5.0
"""Seconds from the last one's keys to the count: layers are chosen, roster and estimates settle."""
BUSY = 0.9
"""Of the generator's CPU: beyond, what is missing may be its own fault."""
FULL = 0.95 * RATE
"""Pictures a second that count as all of them: the count begins and ends anywhere."""
KINDS = (("video", "bridge.worker.video.process"), ("audio", "bridge.worker.process"), ("control", "server.cli"))
STAGES = ("answered", "checked", "keyed", "heard", "seen")


@dataclass(frozen=True, slots=True)
class Gathering:
    """Who is there."""

    n: int
    forwarded: bool = False

    @property
    def wishes(self) -> list[Wish]:
        tiles = TILES if self.forwarded else 0
        return [Wish(video="sendrecv" if i < TALKERS else "recvonly", tiles=tiles) for i in range(self.n)]


def speech(wishes: Sequence[Wish]) -> Script:
    """The first talk, the others' microphones hiss."""
    script = sounds.script(["OPUS"] * len(wishes), [i < TALKERS for i in range(len(wishes))])
    script.payload_type[:] = OPUS
    return script


@contextmanager
def served(port: int, *, cpu: int) -> Iterator[WholeServer]:
    """The whole server; ports from ``port`` on, 400 of them."""
    settings = (
        f'[video]\nenabled = true\nports = "{port + 200}-{port + 263}"\nbfcp_port = 0\nstreams = 2048\n'
        f"[webrtc]\nport = {port + 300}\ntcp_port = 0\n"
        # All calls come from one address here, which no scanner's brake must slow.
        "[sip]\ncalls_per_second = 1000\n"
    )
    server = WholeServer(port, cpu=cpu, settings=settings)
    try:
        yield server
    finally:
        _errors(server)
        server.stop()


class Beats:
    """The beats' times as the server tells them, once a second, from a thread."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._over = threading.Event()
        self.audio: list[float] = []
        self.video: list[float] = []
        self.restarts = 0.0
        """Workers that were replaced, since the server began."""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(5)

    def _read(self) -> None:
        while not self._over.wait(1.0):
            with contextlib.suppress(OSError), urllib.request.urlopen(self._url, timeout=2) as answer:
                text = answer.read().decode()
                for name, found in (("beat", self.audio), ("video_beat", self.video)):
                    value = re.search(rf'^visiopont_{name}_seconds{{quantile="0.99",worker="0"}} (\S+)', text, re.M)
                    if value:
                        found.append(1000 * float(value[1]))
                again = re.findall(r"^visiopont_(?:video_)?worker_restarts_total\{\S+\} (\S+)", text, re.M)
                self.restarts = sum(map(float, again))


class Usage:
    """CPU seconds of the server's processes, by what they do; what one that ended had used stays counted."""

    def __init__(self, server: WholeServer) -> None:
        self._server = server
        self._used: dict[int, tuple[str, float]] = {}

    def __call__(self) -> list[float]:
        """In the order of :data:`KINDS`."""
        for pid in self._server.pids:
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                kind = next((kind for kind, module in KINDS if module in command), "control")
                self._used[pid] = (kind, cpu_seconds([pid]))
        return [sum(used for its, used in self._used.values() if its == kind) for kind, _ in KINDS]


def load(gathering: Gathering, *, port: int, cpu: int, seconds: float) -> dict[str, float]:
    """One run: all join at once, settle, and are counted."""
    with served(port, cpu=cpu) as server:
        wishes = gathering.wishes
        callers = WebCallers(server.sip, server.http, len(wishes))
        crowd = Browsers(wishes, callers, speech(wishes))
        pages = Pages(server.http)
        try:
            crowd.talk(range(min(TALKERS, gathering.n)))
            took = crowd.join(range(gathering.n))
            crowd.tended = _attend(crowd, pages, callers, gathering)
            crowd.pass_time(SETTLE + gathering.n / 50)
            beats = Beats(server.http)
            try:
                ran = crowd.watch(Usage(server), seconds)
            finally:
                beats.stop()
            callers.hang_up()
        finally:
            pages.close()
            crowd.close()
    found = figures(ran, crowd.peers)
    found |= {f"{kind}_share": used / ran.seconds for (kind, _), used in zip(KINDS, ran.cpu, strict=True)}
    found["joins_per_second"] = (gathering.n - found["refused"]) / took if took else 0.0
    found["beat_p99_ms"] = float(np.median(beats.audio)) if beats.audio else float("nan")
    found["video_beat_p99_ms"] = float(np.median(beats.video)) if beats.video else float("nan")
    found["restarts"] = beats.restarts
    return found


def _errors(server: WholeServer) -> None:
    """What went wrong, for whoever watches the run."""
    for line in server.log.read_text().splitlines():
        if "[error" in line or "[critical" in line:
            print(line, file=sys.stderr)


def _attend(crowd: Browsers, pages: Pages, callers: WebCallers, gathering: Gathering):  # type: ignore[no-untyped-def]
    """Opens the pages' sockets, one at a time, reads them, and asks for tiles as soon as it is known who talks."""
    waiting = [peer.number for peer in crowd.peers if peer.keyed]
    asked: set[int] = set()

    def tend(now: float) -> None:
        if waiting:
            number = waiting.pop(0)
            pages.open(number, callers.call_id(number))
        pages.read()
        if not gathering.forwarded:
            return
        talkers = [pages.all[n].participant for n in range(TALKERS) if n in pages.all]
        if len(talkers) < min(TALKERS, gathering.n) or not all(talkers):
            return
        for number, page in pages.all.items():
            if page.participant and number not in asked:
                asked.add(number)
                pages.say(number, _tiles([t for t in talkers if t != page.participant]))

    return tend


def _tiles(others: list[int]) -> dict[str, object]:
    """Whoever speaks, and others."""
    shown = list(zip((0, *others), HEIGHTS, strict=False))
    tiles = [
        {"mid": str(2 + n), "participant": participant, "height": height, "paused": False}
        for n, (participant, height) in enumerate(shown)
    ]
    return {"type": "tiles", "tiles": tiles, "composed": False}


def figures(ran: Ran, peers: Sequence[Peer]) -> dict[str, float]:
    frames, rows = ran.counted.frames, ran.counted.watchers
    whole = frames[frames > 0.2 * RATE]  # the others are as good as missing
    found = {
        "core_share": sum(ran.cpu) / ran.seconds,
        "loss": ran.loss,
        "gaps": float(ran.counted.audio_lost),
        "generator_busy": ran.busy,
        "there": float(ran.there),
        "refused": float(sum(bool(peer.refused) for peer in peers)),
        "pictures": len(whole) / max(len(np.unique(rows)), 1),
        "watchers": float(len(np.unique(rows))),
        "fps_least": float(whole.min(initial=np.inf)) if whole.size else 0.0,
        "fps_median": float(np.median(whole)) if whole.size else 0.0,
        "video_loss": ran.counted.video_lost / max(ran.counted.video_packets + ran.counted.video_lost, 1),
        "video_packets_per_second": ran.counted.video_packets / ran.seconds,
    }
    return found | stages(peers)


def stages(peers: Sequence[Peer]) -> dict[str, float]:
    """Milliseconds from the offer to each stage: median and 99th percentile."""
    found = {}
    for stage in STAGES:
        times = _since(peers, stage)
        if times.size:
            found[f"{stage}_p50_ms"] = float(np.percentile(times, 50))
            found[f"{stage}_p99_ms"] = float(np.percentile(times, 99))
    return found


def _since(peers: Sequence[Peer], stage: str) -> NDArray[np.float64]:
    return np.array([1000 * (getattr(peer, stage) - peer.began) for peer in peers if getattr(peer, stage)])


def idle_joins(n: int, joiners: int, *, port: int, cpu: int) -> dict[str, float]:
    """A small session, three of whom talk; others join it one after the other, each when the one before has both."""
    with served(port, cpu=cpu) as server:
        wishes = Gathering(n + joiners).wishes
        callers = WebCallers(server.sip, server.http, len(wishes))
        crowd = Browsers(wishes, callers, speech(wishes))
        try:
            crowd.talk(range(TALKERS))
            crowd.join(range(n))
            crowd.pass_time(SETTLE)
            for row in range(n, n + joiners):
                crowd.join([row], at_once=1, whole=True)
                crowd.pass_time(0.2)
            callers.hang_up()
        finally:
            crowd.close()
    late = crowd.peers[n:]
    return stages(late) | {"refused": float(sum(bool(peer.refused) for peer in late))}


def janus(n: int, *, port: int, cpu: int, seconds: float) -> dict[str, float]:
    """The same participants in Janus' rooms: sound mixed, pictures forwarded. Ports: 3 a participant."""
    server = JanusRooms(range(port, port + 3 * n + 16), n, cameras=min(TALKERS, n), heights=HEIGHTS, cpu=cpu)
    try:
        wishes = server.wishes
        crowd = Browsers(wishes, server, speech(wishes), host=own_address())
        try:
            crowd.talk(range(min(TALKERS, n)))
            publishers = n + min(TALKERS, n)
            took = crowd.join(range(publishers))
            crowd.pass_time(0.5)  # who publishes is there when their media is, and not before
            took += crowd.join(range(publishers, len(wishes)))
            crowd.pass_time(SETTLE + n / 50)
            ran = crowd.watch(lambda: [cpu_seconds(server.pids)], seconds)
        finally:
            crowd.close()
    finally:
        server.stop()
    found = figures(ran, crowd.peers)
    return found | {"joins_per_second": n / took if took else 0.0}


def own_address() -> str:
    """One that is not loopback's, which Janus leaves out of its candidates. Packets to it stay on this machine.

    Raises:
        OSError: there is none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))  # nothing is sent
        return str(sock.getsockname()[0])
