"""What simulated browsers' cameras give: three layers of VP8 each, encoded beforehand, with Chromium's extensions."""

from __future__ import annotations

import functools
import struct
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.codec import CodecContext

from bridge.media.srtp import SrtpTable

from .descriptions import CAMERA, LAYERS, MID, RID, TRANSPORT, VP8

RATE = 30
CLIP = 150
"""Frames that are sent over and over, the first a keyframe. Browsers send one when asked; this does so each 5 s too."""
ASKED = 0.5
"""Seconds from a keyframe to the next that is asked for."""


class Camera:
    """One browser's."""

    def __init__(self, row: int) -> None:
        self.row = row
        self.ssrcs = np.array([1_000_000 + 10 * row + n for n in range(len(LAYERS))], np.uint32)
        self.packets = np.zeros(len(LAYERS), np.int64)
        self.octets = np.zeros(len(LAYERS), np.int64)
        self._clips = [_clip(width, height, bits, 1 + row) for _, width, height, bits in LAYERS]
        self._number = 0
        """Transport-wide, of the next packet."""
        self._frame = 0
        self._first = 0
        """Frame at which the clip began."""
        self._begun = 0.0
        self._keyed = 0.0
        self._srtp: Any = None

    def encrypt(self, suite: str, material: bytes) -> None:
        self._srtp = SrtpTable(1)
        self._srtp.set_send(0, suite, material)

    def refresh(self, now: float) -> None:
        """A keyframe is asked for."""
        if now - self._keyed > ASKED:
            self._first, self._keyed = self._frame, now

    @property
    def stamp(self) -> int:
        """RTP time of the next frame."""
        return self._frame * 90_000 // RATE

    def due(self, now: float) -> list[bytes]:
        """The packets of the frame whose time has come."""
        if self._srtp is None:
            return []
        self._begun = self._begun or now - self.row / RATE / 3
        if now < self._begun + self._frame / RATE:
            return []
        found = []
        place = (self._frame - self._first) % CLIP
        if not place:
            self._keyed = now
        for layer, clip in enumerate(self._clips):
            parts = clip[place]
            for n, part in enumerate(parts):
                second = (n == len(parts) - 1) << 7 | VP8
                sequence = 1000 + int(self.packets[layer]) & 0xFFFF
                head = struct.pack("!BBHII", 0x90, second, sequence, self.stamp & 0xFFFFFFFF, int(self.ssrcs[layer]))
                # RFC 7741 §4.2: X and S, a PictureID of 15 bits
                descriptor = struct.pack("!BBH", 0x80 | 0x10 * (n == 0), 0x80, 0x8000 | self._frame & 0x7FFF)
                found.append(self._sealed(head + _extension(LAYERS[layer][0], self._number) + descriptor + part))
                self._number = self._number + 1 & 0xFFFF
                self.packets[layer] += 1
                self.octets[layer] += len(descriptor) + len(part)
        self._frame += 1
        return found

    def _sealed(self, packet: bytes) -> bytes:
        buffer = np.zeros(len(packet) + 64, np.uint8)
        buffer[: len(packet)] = np.frombuffer(packet, np.uint8)
        lengths = np.array([len(packet)], np.int32)
        self._srtp.protect(np.zeros(1, np.intp), np.array([buffer.ctypes.data], np.uint64), lengths)
        return buffer[: lengths[0]].tobytes()


def _extension(rid: str, number: int) -> bytes:
    """The transport-wide number, the MID and the RID (RFC 8285 §4.2)."""
    elements = struct.pack("!BHB", TRANSPORT << 4 | 1, number, MID << 4) + CAMERA.encode()
    elements += bytes((RID << 4 | len(rid) - 1,)) + rid.encode()
    elements += bytes(-len(elements) & 3)
    return b"\xbe\xde" + (len(elements) // 4).to_bytes(2, "big") + elements


@functools.cache
def _clip(width: int, height: int, bits: int, seed: int) -> list[list[bytes]]:
    """Parts of each frame, as they fit packets, of something that moves."""
    chance = np.random.default_rng(seed)
    base = np.kron(chance.integers(60, 200, (height // 10, width // 5)), np.ones((10, 10))).astype(np.uint8)
    encoder: Any = CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, RATE), Fraction(RATE, 1)
    encoder.bit_rate, encoder.gop_size = bits, CLIP
    encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    frames = []
    for n in range(CLIP):
        shift = round((width // 2) * (0.5 + 0.5 * np.sin(2 * np.pi * n / CLIP)))
        picture = np.full((height * 3 // 2, width), 90 + 20 * (seed % 8), np.uint8)
        picture[:height] = base[:height, shift : shift + width]
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = n
        data = b"".join(bytes(packet) for packet in encoder.encode(frame))
        frames.append([data[at : at + 1100] for at in range(0, len(data), 1100)])
    return frames
