"""How much of a voice comes through: PESQ of real speech, sent through a worker's whole beat over real sockets.

Each case is a room with one talker and one listener; all cases of a run talk at the same time. The beat is driven in
virtual time; another server is given the same packets in real time, and so are phones that call each other. What the
network does to the talker's packets is drawn before: seeded, and the same for every server under test.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bridge.media.clip import load_clip, resample
from bridge.media.codecs import CodecError, EncoderSettings, by_name
from bridge.media.codecs.g722 import G722Encoder
from bridge.media.codecs.opus import DEFAULT_BITRATE, OpusEncoder
from bridge.media.wire import Batch, Receiver
from bridge.worker.beat import Beat
from bridge.worker.protocol import Begin, Event, Ready, SetRoom

from . import quality_phones
from .janus import JanusServer
from .sounds import CLOCKS, RATES, RECORDINGS, TYPES
from .worker import Phone

Pcm = NDArray[np.int16]

CODECS = ("PCMU", "PCMA", "G722", "OPUS", "L16")
WIDE = {"G722", "OPUS", "L16"}
LEAD, TAIL = 0.5, 1.0
"""Seconds of silence before and behind a sentence."""
LENGTH = 7.0
TAKES = 3
"""Sentences in each language: G.722 coded twice loses 0.06 to 0.11, by the sentence."""
JITTER = 0.030
PHONE_BITRATE = 32000
"""bit/s of Opus that a phone sends."""
PUNCTUAL = 0.005
"""Seconds: a run in real time whose packets were later than this says more of the machine than of the server."""
SETTLE = 1.0
"""Seconds between the call's beginning and the talker's first packet."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to packets on the talker's way."""

    name: str
    loss: float = 0.0
    burst: float = 1.0
    """Mean length of a loss, in packets."""
    jitter: float = 0.0
    """Seconds: each packet is late by anything up to it."""

    def arrivals(self, packets: int, rng: np.random.Generator) -> list[tuple[float, int]]:
        """(seconds, packet) of those that arrive, by time."""
        lost, found = False, []
        leave = 1 / self.burst
        enter = self.loss * leave / max(1 - self.loss, 1e-9)
        for n in range(packets):
            lost = rng.random() >= leave if lost else rng.random() < enter
            if not lost:
                found.append((n * 0.020 + float(rng.uniform(0, self.jitter) if self.jitter else 0), n))
        return sorted(found)

    def on(self, sentence: str, packets: int, seed: int = 1) -> list[tuple[float, int]]:
        """What is drawn for a sentence: the same for every codec and server."""
        return self.arrivals(packets, np.random.default_rng([seed, WEATHERS.index(self), *sentence.encode()]))


WEATHERS = (
    Weather("clean"),
    Weather("1 % loss", 0.01),
    Weather("5 % loss", 0.05),
    Weather("10 % loss", 0.10),
    Weather("5 % in bursts of 3, 30 ms jitter", 0.05, 3.0, JITTER),
)


@dataclass(slots=True)
class Case:
    """One talker and one listener."""

    sentence: str
    talks: str
    hears: str
    weather: Weather
    payloads: list[bytes]
    talker: socket.socket = field(default_factory=lambda: _socket())
    listener: socket.socket = field(default_factory=lambda: _socket())
    target: tuple[str, int] = ("", 0)
    listens_to: tuple[str, int] = ("", 0)
    """Where the server expects the talker's and the listener's packets."""
    heard: dict[int, tuple[float, bytes]] = field(default_factory=dict)
    """RTP sequence -> (seconds since the talker began, payload)"""

    @property
    def rate(self) -> int:
        """At which it can be judged: 16 kHz where both codecs are wide."""
        return 16000 if {self.talks, self.hears} <= WIDE else 8000

    def close(self) -> None:
        self.talker.close()
        self.listener.close()


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


# ---------------------------------------------------------------------------------------------- sound


def sentences() -> dict[str, Pcm]:
    """Speech at 16 kHz of :data:`LENGTH` and up to five seconds more, French and English.

    Raises:
        OSError: the recordings are not installed.
    """
    found = {}
    for folder, language in zip(RECORDINGS, ("fr", "en"), strict=True):
        files = sorted(path for path in folder.glob("*.g722") if 24_000 < path.stat().st_size < 60_000)
        if not files:
            raise OSError("no recordings: apt-get install asterisk-core-sounds-fr-g722 asterisk-core-sounds-en-g722")
        chosen = iter(files[3::7])
        for take in range(TAKES):
            parts: list[Pcm] = [np.zeros(int(LEAD * 16000), np.int16)]
            while sum(map(len, parts)) <= (LENGTH - 1) * 16000:
                parts += [load_clip(next(chosen)), np.zeros(4000, np.int16)]
            parts.append(np.zeros(int(TAIL * 16000), np.int16))
            whole = np.concatenate(parts)
            found[f"{language} {take + 1}"] = whole[: len(whole) // 320 * 320]
    return found


def encode(pcm: Pcm, codec: str, loss: float = 0.0, bitrate: int = PHONE_BITRATE) -> list[bytes]:
    """16 kHz speech -> payloads of 20 ms; Opus protects itself against ``loss``, as a phone that heard of it would."""
    at_rate = resample(pcm, 16000, RATES[codec])
    blocks = at_rate[: len(at_rate) // (RATES[codec] // 50) * (RATES[codec] // 50)].reshape(-1, RATES[codec] // 50)
    rows = by_name(codec, CLOCKS[codec]).rows
    if rows is not None:
        return [row.tobytes() for row in rows.encode_rows(np.ascontiguousarray(blocks))]
    encoder = OpusEncoder(EncoderSettings(bitrate=bitrate, fec=loss > 0)) if codec == "OPUS" else G722Encoder()
    encoder.adapt(loss, None)
    return [encoder.encode(block) for block in blocks]


def decode(payloads: list[bytes], codec: str, rate: int) -> Pcm:
    """Payloads in order -> sound at ``rate``; an empty one is 20 ms of nothing."""
    form = by_name(codec, CLOCKS[codec])
    silence = np.zeros(RATES[codec] // 50, np.int16)
    parts: list[Pcm] = []
    decoder = form.decoder(RATES[codec]) if form.decoder is not None else None
    for payload in payloads:
        try:
            if not payload:
                parts.append(silence)
            elif decoder is not None:
                parts.append(decoder.decode(payload))
            else:
                assert form.rows is not None
                parts.append(form.rows.decode_rows(np.frombuffer(payload, np.uint8)[None])[0])
        except CodecError:
            parts.append(silence)
    return resample(np.concatenate(parts), RATES[codec], rate)


def score(reference: Pcm, heard: Pcm, rate: int) -> float:
    """PESQ (P.862, at 16 kHz P.862.2) as MOS-LQO; 1.0 where nothing was heard."""
    from pesq import NoUtterancesError, pesq

    if not heard.any():
        return 1.0
    try:
        return float(pesq(rate, reference, heard, "wb" if rate == 16000 else "nb"))
    except NoUtterancesError:
        return 1.0


def own_score(pcm: Pcm, case: Case) -> float:
    """What the codecs alone leave of the sentence: no network, no bridge, one after the other."""
    middle = decode(encode(pcm, case.talks), case.talks, 16000)
    if case.hears != case.talks:
        middle = decode(encode(middle, case.hears, bitrate=DEFAULT_BITRATE), case.hears, 16000)
    return score(resample(pcm, 16000, case.rate), resample(middle, 16000, case.rate), case.rate)


# ---------------------------------------------------------------------------------------------- a run


def _events(cases: list[Case]) -> list[tuple[float, int, int]]:
    """Everybody talks at once: (seconds, case, packet), a listener's packets numbered from -1 down."""
    events: list[tuple[float, int, int]] = []
    for number, case in enumerate(cases):
        offset = number % 20 / 1000
        events += [(when + offset, number, n) for when, n in case.weather.on(case.sentence, len(case.payloads))]
        # The listener's line is open, as a phone's is; what it sends before the talker begins makes it known.
        events += [(n * 0.020 - SETTLE + offset, number, -1 - n) for n in range(len(case.payloads) + 50)]
    return sorted(events)


def _silence() -> dict[str, bytes]:
    return {codec: encode(np.zeros(640, np.int16), codec)[1] for codec in CODECS}


def _send(cases: list[Case], silence: dict[str, bytes], event: tuple[float, int, int]) -> bytes:
    _, number, n = event
    case = cases[number]
    if n >= 0:
        packet = _packet(case.talks, number, n, case.payloads[n])
        case.talker.sendto(packet, case.target)
    else:
        packet = _packet(case.hears, 0x10000 + number, -1 - n, silence[case.hears])
        case.listener.sendto(packet, case.listens_to)
    return packet


def play(cases: list[Case]) -> float:
    """In real time; what each listener is sent is kept in his case.

    Returns:
        Seconds by which one packet in a hundred was sent too late: the machine's fault, not the server's.
    """
    events, silence = _events(cases), _silence()
    listeners = {case.listener.fileno(): case for case in cases}
    poll = select.epoll()
    for fd in listeners:
        poll.register(fd, select.EPOLLIN)
    start = time.monotonic() + SETTLE
    end = start + events[-1][0] + TAIL
    at, late = 0, [0.0]
    while (now := time.monotonic()) < end:
        while at < len(events) and start + events[at][0] <= now:
            _send(cases, silence, events[at])
            late.append(time.monotonic() - start - events[at][0])
            at += 1
        due = start + events[at][0] if at < len(events) else end
        for fd, _ in poll.poll(max(min(due - time.monotonic(), 0.02), 0)):
            case = listeners[fd]
            _listen(case, time.monotonic() - start)
    poll.close()
    return float(np.quantile(late, 0.99))


def _packet(codec: str, source: int, n: int, payload: bytes) -> bytes:
    ticks = CLOCKS[codec] // 50
    head = 0x80000000 | TYPES[codec] << 16 | (n == 0) << 23 | n
    words = (head, n * ticks & 0xFFFFFFFF, 0x10000 + source)
    return b"".join(word.to_bytes(4, "big") for word in words) + payload


def _listen(case: Case, now: float) -> None:
    for _ in range(64):
        try:
            data = case.listener.recv(4096)
        except BlockingIOError:
            return
        if len(data) > 12 and data[1] & 0x7F == TYPES[case.hears]:
            sequence = int.from_bytes(data[2:4], "big")
            case.heard[sequence] = (now, data[12:])


def heard(case: Case, length: int) -> Pcm:
    """What the listener heard, from just before the talker began, at the case's rate."""
    if not any(when > 0 for when, _ in case.heard.values()):
        return np.zeros(length, np.int16)
    first = min(case.heard, key=lambda sequence: case.heard[sequence][0])
    order = sorted(case.heard, key=lambda sequence: (sequence - first) & 0xFFFF)
    whole = decode([case.heard[sequence][1] for sequence in order], case.hears, case.rate)
    began = sum(case.heard[sequence][0] < 0 for sequence in order) * case.rate // 50
    part = whole[began : began + length + case.rate // 2]
    return np.concatenate((part, np.zeros(max(length - len(part), 0), np.int16)))


class TimedReceiver(Receiver):
    """Says of each packet that it came when the weather brought it, whenever the beat that takes it in runs."""

    due: dict[tuple[int, int], float]
    """(SSRC, sequence) -> seconds"""

    def receive(self, fds: list[int], now: float, realtime: float, *, per_socket: int = 4096) -> Batch:
        batch = super().receive(fds, now, realtime, per_socket=per_socket)
        words = self._pool.words[batch.slots, :3].byteswap().tolist()
        batch.arrivals[:] = [self.due.get((ssrc, first & 0xFFFF), now) for first, _, ssrc in words]
        return batch


def through_worker(cases: list[Case], port: int) -> None:
    """A worker's beat, driven in virtual time: nothing depends on the machine's other business."""
    events: list[Event] = []
    beat = Beat(Begin("127.0.0.1", tuple(range(port, port + 32, 2)), 2 * len(cases) + 16, seed=1), events.append, 0.0)
    receiver = TimedReceiver(beat._pool)
    receiver.due = {}
    beat._media = receiver
    ready = events[0]
    assert isinstance(ready, Ready)
    try:
        phones: list[Phone] = []
        for number, case in enumerate(cases):
            beat.obey(SetRoom(number + 1), 0.0)
            for codec, sock in ((case.talks, case.talker), (case.hears, case.listener)):
                phone = Phone(number + 1, sock.getsockname(), ready.ports[len(phones) % len(ready.ports)], codec)
                beat.obey(phone.spec(len(phones) + 1), 0.0)
                phones.append(phone)
            case.target, case.listens_to = (("127.0.0.1", phone.port) for phone in phones[-2:])
        _run(beat, cases, receiver.due)
    finally:
        beat.close()


def _run(beat: Beat, cases: list[Case], due: dict[tuple[int, int], float]) -> None:
    events, silence = _events(cases), _silence()
    start, at = 10.0, 0
    for n in range(int((events[-1][0] + SETTLE + TAIL) * 50)):
        now = start - SETTLE + n * 0.020 + 0.0005  # never at the very moment a packet comes
        while at < len(events) and start + events[at][0] <= now:
            packet = _send(cases, silence, events[at])
            due[int.from_bytes(packet[8:12], "big"), int.from_bytes(packet[2:4], "big")] = start + events[at][0]
            at += 1
        beat.run(now, 1.7e9 + now, late=0.0)
        for case in cases:
            _listen(case, now - start)


@contextlib.contextmanager
def _urgent() -> Iterator[None]:
    """Before the machine's other work, where that is allowed: what is real time here, and what it starts."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def through_janus(cases: list[Case], port: int) -> bool:
    """Real time, so the machine must be quiet; returns whether it was."""
    names = {"PCMU": "pcmu", "PCMA": "pcma", "OPUS": "opus"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(_urgent())
        server = JanusServer(range(port, port + 4 * len(cases) + 16), cpu=1)
        stack.callback(server.stop)
        for number, case in enumerate(cases):
            room = server.open_room(number + 2, rate=48000 if "OPUS" in (case.talks, case.hears) else 8000)
            case.target = server.join(case.talker.getsockname(), names[case.talks], TYPES[case.talks], room=room)
            case.listens_to = server.join(case.listener.getsockname(), names[case.hears], TYPES[case.hears], room=room)
        return play(cases) < PUNCTUAL


# ---------------------------------------------------------------------------------------------- the tables


Marks = dict[tuple[str, str, str], float]
"""(talker's codec, listener's codec, weather) -> mean over the sentences"""


@dataclass(slots=True)
class Line:
    """A pair of codecs: its own score, and one a weather, through each server and from phone to phone."""

    talks: str
    hears: str
    own: float
    bridge: dict[str, float]
    janus: dict[str, float]
    phones: dict[str, float]


def _cases(spoken: dict[str, Pcm], pairs: list[tuple[str, str]]) -> list[Case]:
    """Every codec in every weather; every pair of codecs in fair weather."""
    return [
        Case(name, talks, hears, weather, encode(pcm, talks, weather.loss))
        for talks, hears in pairs
        for weather in (WEATHERS if talks == hears else WEATHERS[:1])
        for name, pcm in spoken.items()
    ]


def _judge(spoken: dict[str, Pcm], cases: list[Case]) -> Marks:
    """The cases are closed."""
    scores: dict[tuple[str, str, str], list[float]] = {}
    for case in cases:
        reference = resample(spoken[case.sentence], 16000, case.rate)
        mark = score(reference, heard(case, len(reference)), case.rate)
        scores.setdefault((case.talks, case.hears, case.weather.name), []).append(mark)
        case.close()
    return {key: float(np.mean(marks)) for key, marks in scores.items()}


def _from_janus(spoken: dict[str, Pcm], port: int) -> Marks:
    """Nothing if the machine was too busy, three times for one of the takes."""
    found: list[Marks] = []
    for take in range(TAKES):
        few = dict(list(spoken.items())[take::TAKES])
        for _ in range(3):
            cases = _cases(few, [(codec, codec) for codec in ("PCMU", "PCMA", "OPUS")])
            if quiet := through_janus(cases, port):
                found.append(_judge(few, cases))
                break
            for case in cases:
                case.close()
        if not quiet:
            return {}
    return {key: float(np.mean([marks[key] for marks in found])) for key in found[0]}


def _from_phones(spoken: dict[str, Pcm]) -> Marks:
    found: Marks = {}
    for codec in quality_phones.CODECS:
        rate = 16000 if codec in WIDE else 8000
        calls = [
            quality_phones.Spoken(
                pcm=pcm,
                codec=codec,
                fate={n: when - n * 0.020 for when, n in weather.on(name, len(pcm) // 320)},
                loss=weather.loss,
                bitrate=PHONE_BITRATE,
            )
            for weather in WEATHERS
            for name, pcm in spoken.items()
        ]
        marks = [
            score(resample(call.pcm, 16000, rate), sound, rate)
            for call, sound in zip(calls, quality_phones.heard(calls, rate), strict=True)
        ]
        for weather, mean in zip(WEATHERS, np.reshape(marks, (len(WEATHERS), -1)).mean(1), strict=True):
            found[codec, codec, weather.name] = float(mean)
    return found


def measure(port: int, *, with_janus: bool = True, with_phones: bool = True) -> list[Line]:
    """Every codec in every weather; every pair of codecs in fair weather. Means over the sentences."""
    spoken = sentences()
    pairs = [(codec, codec) for codec in CODECS] + [(a, b) for a in CODECS for b in CODECS if a != b]
    cases = _cases(spoken, pairs)
    own = {
        (case.talks, case.hears): float(np.mean([own_score(pcm, case) for pcm in spoken.values()]))
        for case in cases
        if case.weather is WEATHERS[0] and case.sentence == next(iter(spoken))
    }
    through_worker(cases, port)
    bridge = _judge(spoken, cases)
    janus = _from_janus(spoken, port + 100) if with_janus else {}
    phones = _from_phones(spoken) if with_phones else {}

    def along(marks: Marks, a: str, b: str) -> dict[str, float]:
        return {weather.name: marks[a, b, weather.name] for weather in WEATHERS if (a, b, weather.name) in marks}

    return [Line(a, b, own[a, b], along(bridge, a, b), along(janus, a, b), along(phones, a, b)) for a, b in pairs]


def report(lines: list[Line]) -> str:
    """The tables of docs/quality.md."""
    names = [weather.name for weather in WEATHERS]
    out = [
        "| codec | between the phones | the codec alone | " + " | ".join(names) + " |",
        "|---" * (len(names) + 3) + "|",
    ]
    for line in lines:
        if line.talks != line.hears:
            continue
        for server, scores in (
            ("Visiopont", line.bridge),
            ("Janus AudioBridge", line.janus),
            ("nothing: baresip to baresip", line.phones),
        ):
            if scores:
                cells = " | ".join(f"{scores[name]:.2f}" for name in names)
                # The phone's own Opus encoder is not the one whose score this is.
                own = "" if line.talks == "OPUS" and scores is line.phones else f"{line.own:.2f}"
                out.append(f"| {line.talks} | {server} | {own} | {cells} |")
    out += [
        "",
        "| the talker sends | the listener hears | both codecs alone | through Visiopont |",
        "|---|---|---|---|",
    ]
    out += [
        f"| {line.talks} | {line.hears} | {line.own:.2f} | {line.bridge[names[0]]:.2f} |"
        for line in lines
        if line.talks != line.hears
    ]
    return "\n".join(out)


def worst(lines: list[Line]) -> float:
    """The most that a clean path takes away."""
    return max(line.own - line.bridge[WEATHERS[0].name] for line in lines)
