"""What selective forwarding costs: ``python -m benchmarks.forwarding``, processor time in one video worker's beat.

Three browsers send 640x360 in three layers; 200 receive three tiles each, over SRTP both ways, with transport-wide
numbers and feedback. Packets are handed to the kernel, on loopback, where sockets that nobody reads drop them: what
receivers do is not measured.
"""

from __future__ import annotations

import argparse
import random
import struct
import time
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from pylibsrtp import Policy, Session

from bridge.media import relay, rtcp
from bridge.media.video import feedback
from bridge.media.video.transport_cc import TICK, TransportCc
from bridge.media.wire import address_words, open_socket
from bridge.worker.protocol import Address, Begin, SrtpKey
from bridge.worker.protocol_video import (
    SetSpeaker,
    SetTile,
    SetVideoRoom,
    SetVideoStream,
    VideoExtensions,
    VideoFormat,
    VideoLayer,
    VideoReport,
)
from bridge.worker.video.beat import SLOT, VideoBeat

SUITE = "AES_CM_128_HMAC_SHA1_80"
LAYERS = (("q", 100_000, 90), ("h", 400_000, 180), ("f", 1_200_000, 360))
"""Bits a second, height."""
RATE = 30
PAYLOAD = 1100
IDS = VideoExtensions(transport_sequence=3, mid=4, rid=5, repaired_rid=6)
VP8 = VideoFormat("VP8", 96, {}, 97)
KEYFRAME_EVERY = 30


def key(n: int) -> bytes:
    return random.Random(n).randbytes(30)


class Sender:
    """One browser with a camera."""

    def __init__(self, n: int) -> None:
        self.stream, self.bundle = n + 1, 500 + n
        policy = Policy(
            key=key(n), ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80
        )
        self._session = Session(policy)
        self._count, self._number, self._sequences = 10 * n, 0, [1000, 2000, 3000]
        self._chance = random.Random(n)

    def spec(self, port: int) -> SetVideoStream:
        return SetVideoStream(
            stream=self.stream,
            room=1,
            port=port,
            remote=Address("127.0.0.1", 9),
            remote_rtcp=None,
            rtcp_mux=True,
            send=None,
            receive=(VP8,),
            pli=True,
            nack=True,
            transport_cc=True,
            extensions=IDS,
            mid="1",
            layers=tuple(VideoLayer(rid) for rid, *_ in LAYERS),
            bundle=self.bundle,
            keyed=True,
            fixed=True,
            srtp_receive=SrtpKey(SUITE, key(self.stream - 1)),
            srtp_send=SrtpKey(SUITE, key(100 + self.stream)),
        )

    def frame(self) -> list[bytes]:
        """A picture's packets, of all layers."""
        made = []
        whole = self._count % KEYFRAME_EVERY == 0
        for n, (rid, bits, height) in enumerate(LAYERS):
            left = int(bits / 8 / RATE * (4 if whole else 1))
            descriptor = struct.pack("!BBHB", 0x90, 0xC0, 0x8000 | self._count & 0x7FFF, self._count & 0xFF)
            first = bytes([0x10 if whole else 0x11, 0, 0, 0x9D, 0x01, 0x2A]) + struct.pack(
                "<HH", height * 16 // 9, height
            )
            while left > 0:
                size = min(left, PAYLOAD)
                left -= size
                elements = b"\x31" + struct.pack("!H", self._number & 0xFFFF) + b"\x401" + b"\x50" + rid.encode()
                elements += bytes(-len(elements) % 4)
                self._number += 1
                stamp = self._count * 90000 // RATE
                head = struct.pack(
                    "!BBHII", 0x90, (left <= 0) << 7 | 96, self._sequences[n] & 0xFFFF, stamp, 77 + 10 * n
                )
                head += struct.pack("!HH", 0xBEDE, len(elements) // 4) + elements
                self._sequences[n] += 1
                made.append(
                    self._session.protect(head + descriptor + first + self._chance.randbytes(max(size - 15, 1)))
                )
                descriptor, first = struct.pack("!B", 0x80) + descriptor[1:], b""
        self._count += 1
        return made


@dataclass
class Spent:
    seconds: float
    forwarded: int
    cpu: float
    slowest_ms: float


def run(receivers: int, senders: int, tiles: int, seconds: float, *, told: bool) -> Spent:
    """Run the beat in virtual time; what it took."""
    shared = open_socket("127.0.0.1", 0)
    port = shared.getsockname()[1]
    writer, reader = relay.pair()
    sinks = [open_socket("127.0.0.1", 0, buffer=4096) for _ in range(8)]
    events: list[msgspec.Struct] = []
    now, wall = 1000.0, 1.7e9
    begin = Begin("127.0.0.1", (35990,), 1024, seed=1, bundle_ports=(port,), relays=1)
    beat = VideoBeat(begin, events.append, now, (shared.dup().detach(), reader.detach()))
    cameras = [Sender(n) for n in range(senders)]
    beat.obey(SetVideoRoom(1), now)
    for camera in cameras:
        beat.obey(camera.spec(port), now)
    stream, first = 100, dict[int, int]()
    for n in range(receivers):
        remote = Address("127.0.0.1", sinks[n % len(sinks)].getsockname()[1])
        for k in range(tiles):
            tile = SetTile(
                stream=stream,
                room=1,
                port=port,
                remote=remote,
                formats=(VP8,),
                owner=10_000 + n,
                participant=0 if k == 0 else 1 + (n + k) % senders,
                max_height=360 if k == 0 else 180,
                bundle=1000 + n,
                keyed=True,
                srtp_send=SrtpKey(SUITE, key(5000 + n)),
                srtp_receive=SrtpKey(SUITE, key(7000 + n)),
                mid=str(k + 2),
                extensions=IDS,
                transport_cc=True,
            )
            beat.obey(tile, now)
            first.setdefault(n, beat.table.rows[stream])
            stream += 1
    voices = [Voice(n) for n in range(receivers)] if told else []
    spent, slowest, due, forwarded, frames = 0.0, 0.0, now, 0, 0
    beats = round((seconds + 2.0) / SLOT)
    for turn in range(beats):
        now += SLOT
        wall += SLOT
        if now >= due:  # one after the other, as they would come
            due += 1 / RATE / senders
            frames += 1
            for packet in cameras[frames % senders].frame():
                hand(writer, cameras[frames % senders].bundle, now, packet)
        if turn % 300 == 0:
            beat.obey(SetSpeaker(1, 1 + turn // 300 % senders), now)
        for voice in voices[turn % 15 :: 15]:  # each ten times a second
            place = beat.fanout.departures.place[first[voice.n]]
            for report in voice.tell(int(beat.fanout.departures.next[place]), beat.fanout.departures.when[place]):
                hand(writer, 1000 + voice.n, now, report)
        before = time.thread_time()
        beat.run(now, wall)
        passed = time.thread_time() - before
        if turn * SLOT < 2.0:  # it begins: keys, first keyframes
            forwarded = beat.forwarding.packets
            continue
        spent += passed
        slowest = max(slowest, passed)
    forwarded = beat.forwarding.packets - forwarded
    assert any(isinstance(each, VideoReport) for each in events)
    beat.close()
    for sock in (shared, writer, *sinks):
        sock.close()
    return Spent(seconds, forwarded, spent, 1000 * slowest)


class Voice:
    """What a receiver says of what came."""

    def __init__(self, n: int) -> None:
        self.n = n
        policy = Policy(
            key=key(7000 + n), ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80
        )
        self._session = Session(policy)
        self._from, self._count = 0, 0

    def tell(self, until: int, when: NDArray[np.float64]) -> list[bytes]:
        """All came after 20 ms.

        Args:
            when: the ring of the times at which they were sent.
        """
        numbers = np.arange(self._from, until) + 0x10000
        if not numbers.size:
            return []
        times = when[numbers % len(when)] + 0.02
        reference = int(times[0] / 0.064)
        ticks = ((times - 0.064 * reference) / TICK).astype(int).tolist()
        message = TransportCc(1, 0, self._from & 0xFFFF, self._count & 0xFF, reference, tuple(ticks))
        self._from, self._count = until, self._count + 1
        return [self._session.protect_rtcp(rtcp.build([rtcp.ReceiverReport(1 + self.n), feedback.write(message)]))]


def hand(writer: object, bundle: int, now: float, packet: bytes) -> None:
    head = np.zeros(1, relay.HEAD)
    head["source"] = address_words("127.0.0.1", 9)
    head["stream"], head["arrival"] = bundle, now
    writer.send(head.tobytes() + packet)  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forwarding")
    parser.add_argument("--receivers", type=int, default=200)
    parser.add_argument("--senders", type=int, default=3)
    parser.add_argument("--tiles", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    given = parser.parse_args()
    for told in (False, True):
        spent = run(given.receivers, given.senders, given.tiles, given.seconds, told=told)
        print(
            f"feedback={'yes' if told else 'no'} forwarded={spent.forwarded / spent.seconds:.0f}/s "
            f"cpu={100 * spent.cpu / spent.seconds:.1f}% per_packet={1e6 * spent.cpu / max(spent.forwarded, 1):.2f}us "
            f"slowest_beat={spent.slowest_ms:.1f}ms"
        )


if __name__ == "__main__":
    main()
