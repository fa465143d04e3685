"""The media benchmarks: a crowd of phones against one worker, or against the kernel's limit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from bridge.worker.protocol import Report, SetRoom

from . import calls, compose, glass, sounds, webrtc
from .callers import Callers
from .crowd import Crowd, Outcome, stay_on
from .echo import EchoServer
from .janus import JanusServer
from .processes import cpu_seconds, memory_bytes
from .server import WholeServer
from .worker import MediaServer, Phone

SERVER_CPU, CROWD_CPU = 0, 1
SRTP_KEY = 30
LOSS = 0.005
"""The most that a run may lose, by the 3,000 participants' target, and still say anything."""


@dataclass(slots=True)
class Options:
    seconds: float = 10.0
    runs: int = 3
    port: int = 24000
    sockets: int = 16
    """Media ports of the server under test."""


@dataclass(slots=True)
class Result:
    """One line of the table."""

    name: str
    participants: int
    figures: dict[str, float] = field(default_factory=dict)
    target: str = ""
    met: bool | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the target is met, for a table. Where packets were lost nothing was shown, whatever the figure."""
        if self.note:
            return self.note
        if self.met and self.figures.get("loss", 0.0) >= LOSS:
            return "**not shown**: packets were lost"
        return {True: "yes", False: "**no**", None: ""}[self.met]


@dataclass(slots=True)
class Meeting:
    """Who is there: one entry a participant."""

    rooms: list[int]
    codecs: list[str]
    talking: list[bool]
    secure: bool = False
    marks: bool = False
    settle: float = 3.0
    """Seconds before anything is counted."""

    @classmethod
    def one_room(cls, n: int, *, codec: str = "PCMU", talkers: int = 3, **more: Any) -> Meeting:
        return cls([1] * n, [codec] * n, [i < talkers for i in range(n)], **more)


def ports(options: Options) -> range:
    return range(options.port, options.port + 2 * options.sockets)


@contextmanager
def crowd(meeting: Meeting) -> Iterator[Crowd]:
    phones = Crowd(len(meeting.rooms))
    try:
        yield phones
    finally:
        phones.close()


def against_worker(meeting: Meeting, options: Options) -> tuple[Outcome, list[Report]]:
    """One run of a meeting in a fresh worker."""
    n = len(meeting.rooms)
    server = MediaServer(ports(options), capacity=max(n + 16, 256), cpu=SERVER_CPU)
    try:
        with crowd(meeting) as phones:
            admit(server, phones, meeting)
            script = sounds.script(meeting.codecs, meeting.talking, marks=meeting.marks)
            settle = meeting.settle + n / 1000
            outcome = phones.run(script, lambda: cpu_seconds(server.pids), seconds=options.seconds, settle=settle)
            return outcome, server.reports()
    finally:
        server.stop()


def admit(server: MediaServer, phones: Crowd, meeting: Meeting) -> None:
    """Tell both sides of each other."""
    n = len(meeting.rooms)
    at = [server.ports[i % len(server.ports)] for i in range(n)]
    keys = [os.urandom(SRTP_KEY) if meeting.secure else b"" for _ in range(2 * n)]
    rooms = {room: SetRoom(room) for room in sorted(set(meeting.rooms))}
    streams = [
        Phone(meeting.rooms[i], phones.addresses[i], at[i], meeting.codecs[i], keys[i], keys[n + i]) for i in range(n)
    ]
    server.populate(rooms, streams)
    phones.aim([("127.0.0.1", port) for port in at])
    if meeting.secure:
        phones.encrypt(keys[:n])


def against_kernel(meeting: Meeting, options: Options) -> Outcome:
    """The same packets, echoed."""
    server = EchoServer(ports(options), cpu=SERVER_CPU)
    try:
        with crowd(meeting) as phones:
            phones.aim([("127.0.0.1", server.ports[i % len(server.ports)]) for i in range(phones.n)])
            script = sounds.script(meeting.codecs, meeting.talking)
            return phones.run(script, lambda: cpu_seconds(server.pids), seconds=options.seconds)
    finally:
        server.stop()


# ----------------------------------------------------------------------------------------------- figures


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.median([row[key] for row in rows])), 3) for key in rows[0]}


def figures(outcome: Outcome, reports: list[Report] | None = None) -> dict[str, float]:
    found = {
        "cpu_us_per_pair": outcome.cpu_us,
        "core_share": outcome.cpu / outcome.seconds,
        "loss": outcome.loss,
        "generator_busy": outcome.busy,
    }
    if reports:
        last = reports[-1]
        found |= {"beat_p50_ms": last.beat_p50_ms, "beat_p99_ms": last.beat_p99_ms, "beat_max_ms": last.beat_max_ms}
        found["beats_late"] = last.beats_late - reports[0].beats_late
    if outcome.latency_ms.size:
        found["latency_p50_ms"] = float(np.percentile(outcome.latency_ms, 50))
        found["latency_p99_ms"] = float(np.percentile(outcome.latency_ms, 99))
        found["latencies"] = outcome.latency_ms.size
    return found


def worker_figures(meeting: Meeting, options: Options) -> dict[str, float]:
    return figures(*against_worker(meeting, options))


def side_by_side(
    first: Callable[[], dict[str, float]],
    second: Callable[[], dict[str, float]],
    runs: int,
) -> tuple[dict[str, float], dict[str, float], float]:
    """Two measurements in turn, several times; their medians, and the median of the ratios of CPU."""
    ones, others, ratios = [], [], []
    for _ in range(runs):
        ones.append(first())
        others.append(second())
        ratios.append(ones[-1]["cpu_us_per_pair"] / others[-1]["cpu_us_per_pair"])
    return medians(ones), medians(others), round(float(np.median(ratios)), 3)


# ----------------------------------------------------------------------------------------------- scenarios


def kernel(options: Options) -> list[Result]:
    """(a), (b) One room of 1,000 beside the kernel's limit."""
    meeting = Meeting.one_room(1000)
    ours, limit, ratio = side_by_side(
        partial(worker_figures, meeting, options),
        lambda: figures(against_kernel(meeting, options)),
        options.runs,
    )
    return [
        Result("kernel limit, the same packets", 1000, limit),
        Result(
            "one room, PCMU, 3 talkers",
            1000,
            ours | {"ratio": ratio},
            "at most 1.6 times the kernel limit's CPU",
            ratio <= 1.6,
        ),
    ]


def crowded(options: Options) -> list[Result]:
    """(c) 3,000 participants on one core."""
    found = medians([worker_figures(Meeting.one_room(3000), options) for _ in range(options.runs)])
    met = found["loss"] < LOSS and found["beat_p99_ms"] < 20
    return [Result("one room, PCMU, 3 talkers", 3000, found, "loss < 0.5 %, beat p99 < 20 ms", met)]


def rooms(options: Options) -> list[Result]:
    """(d) 250 rooms of 4, all sending speech."""
    many = Meeting([1 + i // 4 for i in range(1000)], ["PCMU"] * 1000, [True] * 1000)
    one = Meeting.one_room(1000)
    ours, base, ratio = side_by_side(
        partial(worker_figures, many, options), partial(worker_figures, one, options), options.runs
    )
    del base
    return [
        Result(
            "250 rooms of 4, all talk",
            1000,
            ours | {"ratio": ratio},
            "at most 1.3 times one room of 1,000",
            ratio <= 1.3,
        )
    ]


def opus(options: Options) -> list[Result]:
    """(e) 500 Opus participants on one core."""
    found = medians([worker_figures(Meeting.one_room(500, codec="OPUS"), options) for _ in range(options.runs)])
    met = found["loss"] < LOSS and found["beat_p99_ms"] < 20
    return [Result("one room, Opus 48 kHz, 3 talkers, the rest noise", 500, found, "one core holds it", met)]


def secure(options: Options) -> list[Result]:
    """(f) 1,000 SRTP participants on one core."""
    meeting = Meeting.one_room(1000, secure=True)
    found = medians([worker_figures(meeting, options) for _ in range(options.runs)])
    met = found["loss"] < LOSS and found["beat_p99_ms"] < 20
    return [Result("one room, PCMU over SRTP, 3 talkers", 1000, found, "one core holds it", met)]


def mixed(options: Options) -> list[Result]:
    """(g) Half PCMU, half G.722."""
    codecs = ["PCMU" if i % 2 else "G722" for i in range(1000)]
    both = Meeting([1] * 1000, codecs, [i < 4 for i in range(1000)])
    ours, base, ratio = side_by_side(
        partial(worker_figures, both, options),
        partial(worker_figures, Meeting.one_room(1000), options),
        options.runs,
    )
    del base
    return [
        Result(
            "one room, half PCMU, half G.722", 1000, ours | {"ratio": ratio}, "at most 2 times PCMU alone", ratio <= 2.0
        )
    ]


def latency(options: Options) -> list[Result]:
    """(h) From a talker's packet to the listeners' that carries it."""
    results = []
    for n, talkers, name in (
        (10, 0, "all talk in turn"),
        (1000, 0, "all talk in turn"),
        (10, 1, "one talks"),
        (1000, 1, "one talks"),
    ):
        settle = 12.0 if talkers else 3.0  # the beat takes some seconds to come near the one who talks
        meeting = Meeting.one_room(n, talkers=talkers, marks=True, settle=settle)
        found = medians([worker_figures(meeting, options) for _ in range(options.runs)])
        met = found["latency_p50_ms"] <= 15 and found["latency_p99_ms"] <= 40
        results.append(Result(f"added latency, {name}", n, found, "p50 <= 15 ms, p99 <= 40 ms", met))
    return results


def memory(options: Options) -> list[Result]:
    """(i) What a participant costs beyond the first hundred: all processes of the whole server, calls by SIP."""
    few, many = 100, 1100
    sizes = {n: _whole_memory(n, options) for n in (few, many)}
    each = (sizes[many] - sizes[few]) / (many - few) / 1024
    found = {"kb_per_participant": round(each, 1), "megabytes": round(sizes[many] / 2**20, 1)}
    return [Result("memory of all processes, calls by SIP", many, found, "at most 64 kB a participant", each <= 64)]


def _whole_memory(n: int, options: Options) -> int:
    meeting = Meeting.one_room(n)
    # All calls come from one address here, which no scanner's brake must slow.
    settings = "[sip]\ncalls_per_second = 2000\n"
    server = WholeServer(options.port + 500, cpu=SERVER_CPU, settings=settings)
    try:
        with crowd(meeting) as phones:
            callers = Callers(server.sip)
            phones.aim(callers.call(phones.addresses))
            script = sounds.script(meeting.codecs, meeting.talking)
            outcome = phones.run(script, lambda: 0.0, seconds=options.seconds, settle=3.0)
            size = memory_bytes(server.pids)
            callers.hang_up()
    finally:
        server.stop()
    if outcome.fewest == 0:
        raise OSError("not every caller heard something")
    return size


def most(options: Options) -> list[Result]:
    """How many one core holds: loss under 0.5 % and, where we can see it, a beat p99 under 20 ms."""
    held, found = 0, {"loss": 1.0}
    for n in (3000, 3500, 4000, 4500, 5000):
        figures_now = worker_figures(Meeting.one_room(n), options)
        if figures_now["loss"] >= LOSS or figures_now["beat_p99_ms"] >= 20 or figures_now["generator_busy"] > 0.97:
            break
        held, found = n, figures_now
    return [Result("the most that one core held, PCMU, 3 talkers", held, found)]


def janus(options: Options) -> list[Result]:
    """(j) Janus' AudioBridge with the same crowd: CPU, the most it holds, added delay."""
    results = [
        Result("Janus AudioBridge, PCMU, 3 talkers", 300, against_janus(Meeting.one_room(300), options)),
        Result(
            "Janus AudioBridge, added latency", 10, against_janus(Meeting.one_room(10, talkers=0, marks=True), options)
        ),
    ]
    held, found = 0, {"loss": 1.0}
    for n in (400, 500, 600, 700, 800, 900):
        figures_now = against_janus(Meeting.one_room(n), options)
        if figures_now["loss"] >= LOSS:
            break
        held, found = n, figures_now
    return [*results, Result("Janus AudioBridge, the most that one core held", held, found)]


def against_janus(meeting: Meeting, options: Options) -> dict[str, float]:
    n = len(meeting.rooms)
    first = options.port + 300
    server = JanusServer(range(first, first + 2 * n + 32), cpu=SERVER_CPU)
    try:
        with crowd(meeting) as phones:
            phones.aim([server.join(address) for address in phones.addresses])
            script = sounds.script(meeting.codecs, meeting.talking, marks=meeting.marks)
            return figures(phones.run(script, lambda: cpu_seconds(server.pids), seconds=options.seconds))
    finally:
        server.stop()


def placed_calls(options: Options) -> list[Result]:
    """100 INVITE-to-BYE calls a second for a minute, against the whole server."""
    found = calls.run(options.port + 400, cpu=SERVER_CPU, sipp_cpu=CROWD_CPU, seconds=max(int(options.seconds), 60))
    met = found["failed"] == 0 and found["successful"] == found["calls"]
    return [Result("calls, 100 a second for a minute", int(found["calls"]), found, "none failed", met)]


def composing(options: Options) -> list[Result]:
    """Nine pictures into one, beside ffmpeg's xstack on the same files."""
    found = compose.run(options.runs)
    ratio = {what: round(cost / found[compose.THEIRS], 3) for what, cost in found.items()}
    return [
        Result(
            what,
            compose.SOURCES,
            {"cpu_us_per_picture": cost, "ratio": ratio[what]},
            "at most half of ffmpeg's CPU" if what == compose.OURS else "",
            ratio[what] <= 0.5 if what == compose.OURS else None,
        )
        for what, cost in found.items()
    ]


def glass_to_glass(options: Options) -> list[Result]:
    """From a picture's sending to the last packet of the composed picture that shows it."""
    found = medians([glass.added_delay(options.port) for _ in range(options.runs)])
    met = found["latency_p50_ms"] <= 60
    return [Result("added latency of pictures", 2, found, "p50 <= 60 ms", met)]


def beside_video(options: Options) -> list[Result]:
    """Audio on a CPU that video processes have no end of work on; and, before and after that, audio alone."""
    meeting = Meeting.one_room(200)
    alone = [worker_figures(meeting, options)]
    loads = [glass.Saturation(40, options.port + 300 + 40 * n, options.seconds + 15) for n in range(3)]
    try:
        time.sleep(10.0)  # until their clips are encoded and their terminals are there
        found = worker_figures(meeting, options)
        each = [load.figures() for load in loads]
        found |= {key: round(sum(row[key] for row in each), 3) for key in each[0]}
    finally:
        for load in loads:
            load.close()
    alone.append(worker_figures(meeting, options))
    # Of the beats that are counted one may fall on the other side of the end.
    met = found["loss"] * options.seconds * 50 <= 1.01 and found["beat_p99_ms"] < 20
    return [
        Result("audio alone", 200, medians(alone)),
        Result("audio, video overloaded on the same CPU", 200, found, "no loss, beat p99 < 20 ms", met),
    ]


def browsers(options: Options) -> list[Result]:
    """Browsers in one session: the composed picture, then pictures forwarded, then Janus forwarding."""
    where: dict[str, Any] = {"port": options.port, "cpu": SERVER_CPU, "seconds": options.seconds}
    results = []
    for n in webrtc.SIZES:
        for forwarded in (False, True):
            name = f"browsers, {'3 pictures forwarded to each' if forwarded else 'the composed picture'}"
            run = partial(webrtc.load, webrtc.Gathering(n, forwarded), **where)
            results.append(_browsers_result(name, n, run, pictures=webrtc.TILES if forwarded else 1))
        name = "Janus AudioBridge and VideoRoom, 3 pictures forwarded to each"
        results.append(_browsers_result(name, n, partial(webrtc.janus, n, **where)))
    return results


def _browsers_result(name: str, n: int, run: Callable[[], dict[str, float]], *, pictures: int = 0) -> Result:
    """One run, not the median of several: what is shown is that a session of this size holds.

    Args:
        pictures: that each is to see; 0: it is not judged.
    """
    try:
        found = run()
    except OSError as error:  # it isn't there, or it gave up: the others go on
        return Result(name, n, note=str(error).split("\n")[0])
    rounded = {key: round(value, 4) for key, value in found.items()}
    if found["generator_busy"] > webrtc.BUSY:
        return Result(name, n, rounded, note="**not shown**: the generator was too busy")
    if not pictures:
        return Result(name, n, rounded)
    there = found["there"] == found["watchers"] == n and found["restarts"] == 0
    seen = found["pictures"] >= pictures and found["fps_least"] >= webrtc.FULL
    met = there and seen and found["loss"] < LOSS
    return Result(name, n, rounded, "all there on one core, loss < 0.5 %, all pictures at full rate", met)


def joins(options: Options) -> list[Result]:
    """From the offer to the first sound and the first picture, in a small session at rest."""
    found = webrtc.idle_joins(6, 20, port=options.port, cpu=SERVER_CPU)
    met = found["refused"] == 0 and max(found.get("heard_p50_ms", np.inf), found.get("seen_p50_ms", np.inf)) < 1000
    rounded = {key: round(value, 2) for key, value in found.items()}
    return [Result("a browser joins", 6, rounded, "first sound and picture p50 < 1 s", met)]


SCENARIOS: dict[str, Callable[[Options], list[Result]]] = {
    "kernel": kernel,
    "crowded": crowded,
    "most": most,
    "rooms": rooms,
    "opus": opus,
    "secure": secure,
    "mixed": mixed,
    "latency": latency,
    "memory": memory,
    "calls": placed_calls,
    "compose": composing,
    "glass": glass_to_glass,
    "beside": beside_video,
    "janus": janus,
    "browsers": browsers,
    "join": joins,
}


def prepare() -> None:
    """The generator's own CPU."""
    stay_on(CROWD_CPU)


def as_plain(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "participants": result.participants,
        "figures": result.figures,
        "target": result.target,
        "met": result.met,
        "verdict": result.verdict,
        "note": result.note,
    }
