"""How a picture fares: ``python -m benchmarks pictures`` renews the tables of docs/video.md.

The video beat runs in virtual time, so a busy machine changes no figure. One terminal sends 1280x720 (under loss:
640x360) at 30 frames a second, another one is sent the composed picture and decodes it; both are real encoders and
decoders on real sockets. What is seen is compared with the very frame that was sent, scaled as the tile is.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bridge.media import rtcp
from bridge.mixer.layout import Kind, Tile, lay_out
from bridge.mixer.scale import NumpyScaler
from bridge.worker.protocol_video import SetSpeaker, VideoFormat, VideoLook
from tests.interop.picture import RATE, U8, Clip, Seen, psnr, ssim
from tests.worker.video.terminals import Studio, Terminal

PAGE = Path(__file__).parents[1] / "docs" / "video.md"
TIERS = ((1920, 1080), (1280, 720), (640, 360), (320, 180))
SENT, SENT_BITS = (1280, 720), 2_000_000
"""What the sender sends: a good webcam's picture."""
BEGIN = 2.5
"""Seconds in which encoders find their quantisers and keyframes are over."""
LOOKS = 12
"""Pictures compared in each run, a seventh of a second apart."""
LOSSES = (0.01, 0.03, 0.05)
LOSSY_SECONDS = 30.0
WAY = 0.025
"""Seconds between a terminal and the bridge, one way."""
OLD = 6
"""Frames behind the sender, more than which is frozen: two of them are the way, two the bridge and its pacing."""
CARD = 25.0
"""Standard deviation of luma below which a tile is the grey card that stands for a picture that stalled for 2 s."""
BROKEN = 0.8
"""SSIM below which a picture is broken: whole ones have 0.95 and more."""


def scene(width: int, height: int) -> Callable[[float], U8]:
    """Something like what a camera sees: a room of natural texture (power falls with the square of frequency), a head
    and shoulders that sway before it, sensor noise. (height * 3/2, width) I420 at a time."""
    rng = np.random.default_rng(5)
    wide = width + 64
    across, down = np.fft.fftfreq(wide)[None], np.fft.fftfreq(height)[:, None]
    spectrum = rng.normal(size=(height, wide)) + 1j * rng.normal(size=(height, wide))
    spectrum /= np.maximum(np.hypot(across, down), 1 / wide) ** 1.3
    wall = np.fft.ifft2(spectrum).real
    wall = 120 + 38 * (wall - wall.mean()) / wall.std()
    y, x = np.mgrid[0:height, 0:width] / height
    skin = np.asarray(np.fft.ifft2(spectrum[:, :width] / 3).real)
    skin = 165 + 9 * (skin - skin.mean()) / skin.std()
    noise = [rng.normal(0, 1.5, (height, width)) for _ in range(5)]

    def at(time: float) -> U8:
        sway, nod = 0.06 * np.sin(1.7 * time), 0.015 * np.sin(5.1 * time)
        middle = width / height / 2 + sway
        head = ((x - middle) / 0.16) ** 2 + ((y - 0.4 - nod) / 0.23) ** 2 < 1
        body = ((x - middle) / 0.42) ** 2 + ((y - 1.05) / 0.4) ** 2 < 1
        shift = round(32 + 12 * np.sin(0.4 * time))  # the camera is not quite still
        luma = wall[:, shift : shift + width]
        luma = np.where(body, 70 + 0.25 * luma, luma)
        luma = np.where(head, skin, luma) + noise[int(time * RATE) % len(noise)]
        picture = np.full((height * 3 // 2, width), 128, np.uint8)
        picture[:height] = np.clip(luma, 16, 235)
        return picture

    return at


def paintings() -> dict[str, Callable[[int, int], Callable[[float], U8]]]:
    """Sources by their names."""

    def numbers(width: int, height: int) -> Callable[[float], U8]:
        clip = Clip(1, width, height)
        return lambda time: clip.picture(int(time * RATE))

    return {"test picture": numbers, "camera-like scene": scene}


# ------------------------------------------------------------------------------------------------ quality


@dataclass(frozen=True, slots=True)
class Quality:
    source: str
    codec: str
    tier: tuple[int, int]
    ssim: float
    psnr: float
    """dB; both medians."""
    taken_in: float
    """SSIM of what the bridge decoded and the source: the sender's own loss."""


def quality(source: str, codec: str, tier: tuple[int, int]) -> Quality:
    """One source through decode, compose and encode."""
    studio = Studio()
    try:
        studio.room(look=VideoLook("single"), width=tier[0], height=tier[1])
        sender = studio.terminal(codec=codec, size=SENT, bitrate=SENT_BITS)
        sender.painting = paintings()[source](*SENT)
        high = VideoFormat("H264", 96, {"packetization-mode": "1", "profile-level-id": "42e028"})
        join = {"send": high} if codec == "H264" else {}  # level 4 holds 1080p
        viewer = studio.terminal(codec=codec, sending=False, join=join)
        studio.tell(SetSpeaker(1, 1))
        studio.run(BEGIN)
        rows = []
        for _ in range(LOOKS):
            studio.run(1 / 7)
            rows.append((*_seen(sender, viewer, tier), _decoded(studio, sender)))
        alike, ratio, taken = np.median(rows, axis=0)
        return Quality(source, codec, tier, float(alike), float(ratio), float(taken))
    finally:
        studio.close()


def _seen(sender: Terminal, viewer: Terminal, tier: tuple[int, int]) -> tuple[float, float]:
    """(SSIM, PSNR) of what is seen and the sent frame that is nearest to it."""
    assert viewer.seen_size == tier, f"{viewer.seen_size} instead of {tier}"
    tile = lay_out(*tier, Kind.SINGLE, 1).tiles[0]
    high = tile.inner.h - (tile.label.h if tile.label else 0)
    assert viewer.picture is not None
    seen = viewer.picture[: tier[1]][:high]
    best: tuple[float, U8] = (-1.0, seen)
    for picture in list(sender.sources)[::-1]:
        into = np.zeros((tier[1], tier[0]), np.uint8)
        NumpyScaler().plane(picture[: SENT[1]], into)
        ratio = psnr(into[:high], seen)
        if ratio > best[0]:
            best = ratio, into[:high]
    return ssim(best[1], seen), best[0]


def _decoded(studio: Studio, sender: Terminal) -> float:
    picture = studio.beat.sources[studio.beat.table.rows[sender.stream]].picture
    assert picture is not None
    luma = np.asarray(picture.planes[0])
    nearest = max((psnr(sent[: SENT[1]], luma), n) for n, sent in enumerate(sender.sources))[1]
    return ssim(sender.sources[nearest][: SENT[1]], luma)


# --------------------------------------------------------------------------------------------------- loss


class Distant(Terminal):
    """A terminal with some milliseconds between it and the bridge."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.now = 0.0
        self._going: deque[tuple[float, bytes]] = deque()
        self._coming: deque[tuple[float, bytes]] = deque()

    def play(self, now: float) -> None:
        self.now = now
        super().play(now)
        while self._going and self._going[0][0] <= now:
            self.sock.sendto(self._going.popleft()[1], (self.host, self.port))

    def transmit(self, data: bytes) -> None:
        self._going.append((self.now + WAY, data))

    def send_rtcp(self, packets: list[rtcp.Packet]) -> None:
        self.transmit(rtcp.build(packets))

    def collect(self, now: float) -> None:
        while self._coming and self._coming[0][0] <= now:
            super()._receive(self._coming.popleft()[1], now)
        super().collect(now)

    def _receive(self, data: bytes, now: float) -> None:
        self._coming.append((now + WAY, data))


@dataclass(frozen=True, slots=True)
class Damage:
    """Of one minute."""

    side: str
    """Who lost packets."""
    loss: float
    nack: bool
    frozen: float
    """Seconds."""
    broken: float


def damage(side: str, loss: float, *, nack: bool) -> Damage:
    """One way loses packets, each by itself."""
    studio = Studio()
    try:
        studio.room(look=VideoLook("single"), width=640, height=360)
        clip = Clip(1)
        ends = []
        for number in (1, 2):
            out = loss if (side, number) == ("sender", 1) else 0.0
            into = loss if (side, number) == ("receiver", 2) else 0.0
            end = Distant(number, studio.ports[0], sending=number == 1, nack=nack, loss_out=out, loss_in=into)
            studio.terminals.append(end)
            studio.tell(end.spec(1))
            ends.append(end)
        sender, viewer = ends
        sender.painting = lambda now: clip.picture(int(now * RATE))
        studio.tell(SetSpeaker(1, 1))
        studio.run(BEGIN)
        frozen = broken = 0
        steps = round(LOSSY_SECONDS * RATE)
        for step in range(steps):
            studio.run(1 / RATE)
            whole, age = _state(viewer, clip, int(studio.now * RATE), closely=step % 4 == 0)
            frozen += whole and age > OLD
            broken += not whole
        minute = 60 / steps
        return Damage(side, loss, nack, frozen * minute, broken * minute)
    finally:
        studio.close()


def _state(viewer: Terminal, clip: Clip, now: int, *, closely: bool) -> tuple[bool, int]:
    """(what he sees is whole, how many frames it is behind)"""
    if viewer.picture is None:
        return True, 1 << 30
    seen = Seen(viewer.picture)
    tile: Tile = lay_out(*seen.size, Kind.SINGLE, 1).tiles[0]
    if seen.part(tile.inner).std() < CARD:
        return True, 1 << 30
    told = seen.number(tile, clip)
    if told is None or told // 1000 != clip.source:
        return False, 0
    if closely and seen.likeness(tile, clip) < BROKEN:
        return False, 0
    return True, (now - told % 1000) % 900


# --------------------------------------------------------------------------------------------------- page


def quality_table(rows: Iterable[Quality]) -> str:
    lines = ["| source | codec | tier | SSIM | PSNR, dB | SSIM of what came in |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.source} | {row.codec} | {row.tier[1]}p | {row.ssim:.3f} | {row.psnr:.1f} | {row.taken_in:.3f} |"
        for row in rows
    ]
    return "\n".join(lines)


def damage_table(rows: Iterable[Damage]) -> str:
    lines = ["| who loses packets | loss | NACK | frozen, s a minute | broken, s a minute |", "|---|---|---|---|---|"]
    lines += [
        f"| the {row.side} | {row.loss:.0%} | {'yes' if row.nack else 'no'} | {row.frozen:.1f} | {row.broken:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def renew(mark: str, text: str) -> None:
    """What stands between a page's marks."""
    page = PAGE.read_text()
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    assert pattern.search(page), f"{PAGE.name} has no {begin}"
    PAGE.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", page))


def judge() -> int:
    """Measure, renew the page; 1 where a 720p picture is worse than SSIM 0.9, or a broken one was ever seen."""
    found = []
    for source in paintings():
        for codec in ("H264", "VP8"):
            for tier in TIERS:
                found.append(quality(source, codec, tier))
                print(found[-1], file=sys.stderr, flush=True)
    renew("quality", quality_table(found))
    print(quality_table(found))
    return judge_losses() or int(any(row.ssim < 0.9 for row in found if row.tier == (1280, 720)))


def judge_losses() -> int:
    losses = []
    for side in ("sender", "receiver"):
        for loss in LOSSES:
            for nack in (True, False):
                losses.append(damage(side, loss, nack=nack))
                print(losses[-1], file=sys.stderr, flush=True)
    renew("loss", damage_table(losses))
    print(damage_table(losses))
    return int(any(row.broken > 0 for row in losses))
