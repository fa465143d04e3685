"""A seeded bad network in virtual time: one sender of real frames, one assembler, NACKs and requests for keyframes."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.media.video.assembler import Assembler, AssemblerSettings, Frame, Lost, Missing
from bridge.media.video.feedback import Nack, read, write
from bridge.media.video.history import SendHistory, SentPackets, unwrap_rtx
from bridge.media.video.payload import Limits, Packetiser
from tests.media.video.streams import ENCODERS, STEP

SSRC = 0x1234
BEAT = 0.02


@dataclass
class Network:
    loss: float = 0.0
    jitter: float = 0.0
    """Seconds a packet may be later than another."""
    twice: float = 0.0
    delay: float = 0.03
    seed: int = 1


@dataclass
class Outcome:
    frames: list[Frame] = field(default_factory=list)
    lost: list[tuple[float, Lost]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    assembler: Assembler | None = None
    packets: int = 0


def send(
    name: str,
    frames: Sequence[bytes],
    packetiser: Packetiser,
    network: Network,
    settings: AssemblerSettings | None = None,
    *,
    rtx: bool = False,
    sequence: int = 65500,
) -> Outcome:
    """Send ``frames``, 30 a second; a beat takes what came every 20 ms."""
    rng = random.Random(network.seed)
    encoder = ENCODERS[name]
    assembler = Assembler(encoder.format.depacketiser(encoder.parameters, Limits()), settings)
    outcome = Outcome(assembler=assembler)
    packets, history, row = SentPackets(), SendHistory(1), np.array([0])
    history.encoding(0, packets)
    history.open(0, sequence=sequence, offset=0xFFFFF000, rtx=9 if rtx else None)
    history.limit(row, 4e6)
    way: list[tuple[float, int, bool, int, int, bool, bytes]] = []

    def put(now: float, resent: bool, number: int, timestamp: int, marker: bool, payload: bytes) -> None:
        outcome.packets += 1
        for _ in range(1 + (rng.random() < network.twice)):
            if rng.random() >= network.loss:
                at = now + network.delay + rng.random() * network.jitter
                heapq.heappush(way, (at, len(way) + rng.getrandbits(30), resent, number, timestamp, marker, payload))

    due = {round(index / 30, 6): frame for index, frame in enumerate(frames)}
    asks: list[tuple[float, tuple[int, ...]]] = []
    for beat in range(int((len(frames) / 30 + 1.0) / BEAT)):
        now = beat * BEAT
        for at in sorted(at for at in due if at <= now):
            payloads = packetiser.packetise(due.pop(at), 1200)
            first = packets.add(payloads, round(at * 30) * STEP, now)
            numbers = history.advance(row, 0, first, len(payloads))[0].tolist()
            for index, (number, payload) in enumerate(zip(numbers, payloads, strict=True)):
                stamp = (round(at * 30) * STEP + 0xFFFFF000) & 0xFFFFFFFF
                put(now, False, number, stamp, index == len(payloads) - 1, payload)
        for when, sequences in [ask for ask in asks if ask[0] <= now]:
            asks.remove((when, sequences))
            nack = read(write(Nack(1, SSRC, sequences)))
            assert isinstance(nack, Nack)
            for again in history.answer(0, nack.sequences, now, 2 * network.delay):
                put(now, again.rtx, again.sequence, again.timestamp, again.marker, again.payload)
        while way and way[0][0] <= now:
            at, _, resent, number, timestamp, marker, payload = heapq.heappop(way)
            if resent:
                number, payload = unwrap_rtx(payload)
            assembler.feed(SSRC, number, timestamp, marker, payload, at)
        for event in assembler.take(now):
            if isinstance(event, Frame):
                outcome.frames.append(event)
            elif isinstance(event, Lost):
                outcome.lost.append((now, event))
            elif isinstance(event, Missing):
                outcome.asked += event.sequences
                asks.append((now + network.delay, event.sequences))
    return outcome
