"""Pictures when things go wrong: strangers, hostile senders, a dead process; and whether lips and voice agree."""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bridge.media import rtcp
from bridge.media.codecs.g711 import PCMU
from bridge.mixer.layout import Kind, lay_out
from tests.interop.picture import Clip, sources
from tests.interop.ports import free_ports
from tests.interop.process import Process, until

from .camera import Camera, Cameras
from .phone import Exchange, Phone
from .server import ROOT, Server, alive

pytestmark = [pytest.mark.interop, pytest.mark.timeout(90)]
SECONDS = 60 if os.environ.get("VISIOPONT_LONG") else 15
PORTS = 32
CLIPS = [Clip(1), Clip(2)]
TILES = lay_out(1280, 720, Kind.GRID, 2).tiles
SKEW = 0.045
"""Seconds of ITU-R BT.1359: sooner than that nobody sees that lips are not with the voice."""


@pytest.fixture
def cameras(exchange: Exchange) -> Iterator[Cameras]:
    with Cameras(exchange) as made:
        yield made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """With pictures."""
    first = free_ports(PORTS)
    ports = {"video.ports": f"{first}-{first + PORTS - 1}", "sip.calls_per_second": 2}
    with Server(tmp_path, ports) as running:
        yield running


def two(server: Server, cameras: Cameras, name: str) -> list[tuple[Phone, Camera]]:
    """In a room with a grid, and in view."""
    room = server.room(name, layout="grid")
    ends = [cameras.call(room, clip, tone=tone) for clip, tone in zip(CLIPS, (450, 850), strict=True)]
    for _, camera in ends:
        until(lambda: sources(camera.seen, TILES, CLIPS) == [1, 2], "both in the picture")  # noqa: B023
    return ends


def video_process(server: Server) -> int:
    return int(server.status()["video_workers"][0]["pid"])


def longest_gap(camera: Camera, first: int) -> float:
    """Seconds between two pictures that came, by their timestamps, from number ``first`` on."""
    stamps = np.array([frame.timestamp for frame in camera.frames[first:]], np.int64)
    return float((np.diff(stamps) % 2**32).max() / 90000)


def test_pictures_among_random_and_mutated_packets(server: Server, cameras: Cameras) -> None:
    (phone, camera), (_, other) = two(server, cameras, "calm")
    worker, first, since = video_process(server), len(camera.frames), time.time()
    ports = server.status()["video_ports"]
    command = [sys.executable, "-m", "tests.live.junk", "--sip", f"127.0.0.1:{server.port}", "--media",
               f"{ports}", "--seconds", str(SECONDS), "--rate", "1500"]  # fmt: skip
    with Process(command, server.directory / "junk.log", limit=SECONDS + 30, cwd=ROOT) as strangers:
        strangers.wait(SECONDS + 20)
        print("sent:", strangers.text.strip())
    print(f"longest gap {longest_gap(camera, first):.2f} s, {camera.errors} decoder errors")
    for each in (camera, other):
        until(lambda: each.seen.likeness(TILES[0], CLIPS[0]) >= 0.9, "one well seen")  # noqa: B023
        until(lambda: each.seen.likeness(TILES[1], CLIPS[1]) >= 0.9, "the other well seen")  # noqa: B023
        assert each.errors == 0
    assert video_process(server) == worker
    assert longest_gap(camera, first) < 0.5 + 4 * phone.line.exchange.held_up(since)
    server.assert_no_bug()


def test_a_sender_of_broken_pictures_harms_himself_only(server: Server, cameras: Cameras) -> None:
    (_, hostile), (_, other) = two(server, cameras, "hostile")
    rng, worker = random.Random(3), video_process(server)

    def mutated(payload: bytes) -> bytes:
        out = bytearray(payload)
        for _ in range(rng.choice((1, 4, 40))):
            out[rng.randrange(min(len(out), rng.choice((4, 2000))))] = rng.randrange(256)
        return bytes(out[: rng.choice((len(out), len(out), rng.randrange(1, len(out) + 1)))])

    hostile.mutate, first = mutated, len(other.frames)
    ends = time.monotonic() + 6.0
    alike, his = [], []
    while time.monotonic() < ends:
        seen = other.seen
        alike.append(seen.likeness(TILES[1], CLIPS[1]))
        # Digits have a contrast that a card with a letter has not.
        card = seen.part(TILES[0].inner).std() < 25
        his.append("card" if card else f"{seen.likeness(TILES[0], CLIPS[0]):.2f}")
        time.sleep(0.3)
    print("the other's tile meanwhile:", *(f"{each:.2f}" for each in alike), "; his own:", *his)
    assert all(each == "card" or float(each) > 0.8 for each in his), "a broken picture was shown"
    print("the hostile one's:", server.people("hostile")[0]["media"]["video"][0]["in"])
    assert statistics.median(alike) >= 0.9
    assert longest_gap(other, first) < 1.0
    hostile.mutate = None
    until(lambda: other.seen.likeness(TILES[0], CLIPS[0]) >= 0.9, "a whole picture again", 6.0)
    assert video_process(server) == worker
    assert other.errors == 0
    server.assert_no_bug()


def test_pictures_come_back_after_their_process_is_killed(server: Server, cameras: Cameras) -> None:
    ends = two(server, cameras, "killed")
    worker, since = video_process(server), time.time()
    told = [len(phone.line.received) for phone, _ in ends]
    first = [len(camera.frames) for _, camera in ends]
    os.kill(worker, signal.SIGKILL)
    until(lambda: video_process(server) not in (0, worker), "another process")
    for (_, camera), count in zip(ends, first, strict=True):
        until(lambda: len(camera.frames) > count + 30, "pictures")  # noqa: B023
        until(lambda: {1, 2} == set(sources(camera.seen, TILES, CLIPS)), "both in the picture")  # noqa: B023
    print("seconds until both were seen by both:", round(time.time() - since, 2))
    assert not alive(worker)
    for (phone, camera), count in zip(ends, told, strict=True):
        assert phone.up
        assert phone.heard(since).gap < 0.2 + 4 * phone.line.exchange.held_up(since), "the voice was touched"
        assert len({frame.timestamp for frame in camera.frames}) == len(camera.frames)
        assert len(phone.line.received) == count, "SIP came"


def test_lips_and_voice_are_together(server: Server, exchange: Exchange, cameras: Cameras) -> None:
    """Flashes and clicks, compared on the clock that the bridge's sender reports give both streams."""
    room = server.room("lips", layout="single")
    (talker, lips), (listener, eyes) = (cameras.call(room, clip) for clip in CLIPS)
    talker.gait = listener.gait = "mute"
    until(lambda: eyes.bright, "a picture")
    time.sleep(2.0)
    for _ in range(8):
        lips.flash()
        talker.click()
        time.sleep(0.7)
    reports = [each for each in eyes.reports if isinstance(each, rtcp.SenderReport)]
    until(lambda: listener.sender_reports, "a sender report with the voice")
    until(lambda: reports or _report(eyes), "a sender report with the picture")
    sound, picture = listener.sender_reports[-1], _report(eyes)
    assert picture is not None
    heard = [_wall(sound, stamp, 8000) for stamp in _clicks(listener)]
    seen = [_wall(picture, stamp, 90000) for stamp in _flashes(eyes)]
    assert len(talker.clicks) == len(lips.flashes) == 8
    skews = []
    for click, flash in zip(talker.clicks, lips.flashes, strict=True):
        # A packet of sound is sent when its last sample is there, so its first is as old as it is long.
        offset = flash - (click - 0.020)
        a, v = (min((t for t in times if t > at - 0.02), default=0.0) for times, at in ((heard, click), (seen, flash)))
        if a - click < 0.5 and v - flash < 0.5:
            skews.append(v - a - offset)
    print("picture behind voice, ms:", *(round(1000 * skew) for skew in skews))
    assert len(skews) >= 6
    assert abs(statistics.median(skews)) < SKEW


def _report(camera: Camera) -> rtcp.SenderReport | None:
    return next((each for each in reversed(camera.reports) if isinstance(each, rtcp.SenderReport)), None)


def _wall(report: rtcp.SenderReport, stamp: int, rate: int) -> float:
    """Seconds of :func:`time.time` of an RTP timestamp, as the report says."""
    behind = (stamp - report.timestamp + 2**31) % 2**32 - 2**31
    return report.ntp / 2**32 - rtcp.NTP_EPOCH + behind / rate


def _clicks(phone: Phone) -> list[int]:
    """Timestamps of the first samples of clicks."""
    found: list[int] = []
    for packet in phone.packets:
        if packet.payload_type == 0:
            pcm = np.abs(PCMU.decode_rows(np.frombuffer(packet.payload, np.uint8)[None])[0].astype(int))
            loud = np.flatnonzero(pcm > 3000)
            if loud.size and (not found or (packet.timestamp - found[-1]) % 2**32 > 1600):
                found.append(packet.timestamp + int(loud[0]))
    return found


def _flashes(camera: Camera) -> list[int]:
    """Timestamps of the first bright pictures."""
    found: list[int] = []
    for stamp, level in camera.bright:
        if level > 190 and (not found or (stamp - found[-1]) % 2**32 > 30000):
            found.append(stamp)
    return found
