"""Control's side of a real video process: pictures outlive it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.mixer.layout import Kind, lay_out
from bridge.worker import protocol as say
from bridge.worker.client import Spare
from bridge.worker.protocol import Begin, pack
from bridge.worker.protocol_video import (
    DropVideoStream,
    SetPainted,
    SetSpeaker,
    SetVideoRoom,
    Snapshot,
    SnapshotDone,
    VideoFormat,
    VideoLook,
    VideoReport,
    unpack_video_command,
    unpack_video_event,
)
from bridge.worker.video.client import VIDEO, VideoWorker
from tests.worker.video.terminals import FIRST_PORT, SUITE, Terminal


class Calls:
    """A worker, its events, and terminals that show each other pictures in real time."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.spare = Spare(VIDEO)
        begin = Begin("127.0.0.1", tuple(range(FIRST_PORT, FIRST_PORT + 8, 2)), 32)
        self.worker = VideoWorker(1, begin, lambda _, event: self.events.append(event), self.spare)
        self.terminals: list[Terminal] = []

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, done: Callable[[], object], seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, "it did not happen in time"
            await self.play(0.02)

    async def play(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for terminal in self.terminals:
                terminal.play(time.monotonic())
                terminal.collect(time.monotonic())
            await asyncio.sleep(0.005)


@asynccontextmanager
async def calls() -> AsyncIterator[Calls]:
    made = Calls()
    try:
        await made.worker.start()
        yield made
    finally:
        await made.worker.stop()
        made.spare.close()
        for terminal in made.terminals:
            terminal.close()


def test_a_killed_workers_pictures_come_back_within_two_seconds(tmp_path: Path) -> None:
    async def run() -> None:
        async with calls() as c:
            ports = c.of(say.Ready)[0].ports
            c.worker.send(SetVideoRoom(1, look=VideoLook("grid"), width=640, height=360, rate=15))
            c.terminals += [
                Terminal(1, ports[0], size=(320, 180), rate=15, suite=SUITE),
                Terminal(2, ports[1], size=(320, 180), rate=15, codec="VP8"),
            ]
            for terminal in c.terminals:
                c.worker.send(terminal.spec(1))
            c.worker.send(SetPainted(3, 1, "Léa"))
            c.worker.send(SetSpeaker(1, 3))
            await c.until(lambda: all(t.pictures > 10 for t in c.terminals))
            await c.until(lambda: c.of(VideoReport))
            before, ssrcs = c.worker.pid, [t.peer_ssrc for t in c.terminals]
            os.kill(before, signal.SIGKILL)
            killed = time.monotonic()
            counts = [t.pictures for t in c.terminals]
            await c.until(lambda: all(t.pictures > n + 3 for t, n in zip(c.terminals, counts, strict=True)), 6.0)
            gap = max(next(at for at in t.seen_at if at > killed + 0.05) for t in c.terminals) - killed
            print(f"gap {gap:.3f} s")
            assert gap < 2.0
            assert c.worker.pid != before
            assert [t.peer_ssrc for t in c.terminals] == ssrcs
            await c.play(1.5)
            hues = [c.terminals[0].hue(tile.inner) for tile in lay_out(640, 360, Kind.GRID, 3).tiles]
            for stream in (1, 2):
                assert min(abs(hue - 28 - 37 * stream) for hue in hues) < 12
            path = tmp_path / "room.png"
            c.worker.send(Snapshot(4, 1, str(path)))
            await c.until(lambda: c.of(SnapshotDone))
            assert path.read_bytes().startswith(b"\x89PNG")
            c.worker.send(DropVideoStream(3))
            assert c.worker.streams == 2

    asyncio.run(run())


def test_who_waits_for_a_snapshot_of_a_dead_worker_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with calls() as c:
            c.worker.send(SetVideoRoom(1))
            await c.until(lambda: c.of(VideoReport))
            os.kill(c.worker.pid, signal.SIGSTOP)
            c.worker.send(Snapshot(9, 1, str(tmp_path / "never.png")))
            await asyncio.sleep(0.05)
            os.kill(c.worker.pid, signal.SIGKILL)
            await c.until(lambda: c.of(SnapshotDone))
            assert c.of(SnapshotDone)[0].error

    asyncio.run(run())


def test_the_process_gives_way_to_the_audio_workers() -> None:
    async def run() -> None:
        async with calls() as c:
            assert os.getpriority(os.PRIO_PROCESS, c.worker.pid) >= 5

    asyncio.run(run())


def test_no_port_is_an_error_that_says_so() -> None:
    async def run() -> None:
        spare = Spare(VIDEO, keep=False)
        worker = VideoWorker(1, Begin("203.0.113.1", (FIRST_PORT,), 8), lambda *_: None, spare)
        with pytest.raises(OSError, match="no media port"):
            await worker.start()
        await worker.stop()

    asyncio.run(run())


def test_commands_and_events_survive_the_wire() -> None:
    stream = Terminal(1, FIRST_PORT)
    try:
        spec = stream.spec(1, look=VideoLook("fixed"), send=VideoFormat("H264", 96, {"profile-level-id": "42e01f"}, 97))
    finally:
        stream.close()
    for command in (spec, SetVideoRoom(1, title="Salle"), SetPainted(1, 2, "Noé"), say.Stop()):
        assert unpack_video_command(pack(command)[4:]) == command
    report = VideoReport((), 1.0, 2.0, 3, 4, 5, 6, 7, 8.0, 9, 10)
    assert unpack_video_event(pack(report)[4:]) == report
    with pytest.raises(msgspec.MsgspecError):
        unpack_video_command(b"\x81\xa4type\xa3Say")
