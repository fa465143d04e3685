"""The beat: everything a worker does every 20 ms, for all streams of all rooms, spelt once and in order."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.media.dtmf import EventReceiver, EventSender, InbandDetector, tones
from bridge.media.jitter import JitterBuffer
from bridge.media.relay import Relay
from bridge.media.srtp import SrtpTable
from bridge.media.wire import Batch, PacketPool, Receiver
from bridge.mixer.gain import Agc
from bridge.mixer.level import mean_square
from bridge.mixer.mix import AudioMix
from bridge.mixer.mix import Voices as MixVoices
from bridge.mixer.speaker import SpeakerDetector

from . import protocol as say
from .bundle import Bundle
from .figures import PARTS, Figures
from .intake import Intake, Rings
from .kind import CLOCK_RATE, SAMPLE_RATE, Kind
from .outflow import RATES, Outflow
from .phase import Phase
from .player import CLIP_RATE, Clips, Players, Talkers
from .ports import open_ports
from .protocol import Address, Begin, Command, Event, SetRoom, SetStream
from .report import Reporter
from .table import StreamTable, TableFull
from .voice import Block, Voices

Pcm: TypeAlias = NDArray[np.int16]
F32: TypeAlias = NDArray[np.float32]

BEATS_A_SECOND = 50
RTCP_EVERY = 5
"""Beats between looks at the RTCP sockets: a tenth of a second is soon enough for reports."""
REPORT_FROM = 13
"""The beat of each second in which gathering the report begins."""
AHEAD_FROM = 0.0003
"""Seconds of receiving that are worth a wake-up of their own before the beat (some 300 packets)."""
AHEAD = 1.5
"""A beat's receiving begins so many times ahead as it lately took."""
TRIM_EVERY = 101
"""Beats (2 s) after which memory that only a stall needed goes back. Two or three sets of slots go round, a beat each:
their number must not divide this, or the same set would be in use each time, and never come to lie together."""
WATCHED_BEATS = 500
"""Beats whose durations are reported (10 s): the 99th percentile is then the fifth worst, not the worst."""
SILENT_AFTER = 5.0
"""Seconds without a packet between two :class:`~bridge.worker.protocol.Silent`."""
SAMPLES = {rate: rate // BEATS_A_SECOND for rate in RATES}


@dataclass(slots=True)
class Recording:
    """A name being recorded."""

    capture: int
    left: int
    """Beats."""
    parts: list[Pcm] = field(default_factory=list)
    heard: int = 0
    silence: int = 0


class Beat:
    """A media worker's whole state, and what it does with it."""

    def __init__(
        self, begin: Begin, emit: Callable[[Event], None], now: float, descriptors: Sequence[int] = ()
    ) -> None:
        """Args:
        descriptors: what came with ``begin``; ours to close.

        Raises:
            OSError: none of the ports can be bound.
        """
        self._emit = emit
        self._rng = np.random.default_rng(begin.seed or None)
        self._numbers, self._rtp, self._rtcp = open_ports(begin.host, begin.ports)
        ports = tuple(self._numbers)
        shared = len(begin.bundle_ports)
        self._numbers += begin.bundle_ports
        self._rtp += [socket.socket(fileno=fd) for fd in descriptors[:shared]]
        self._relays = [socket.socket(fileno=fd) for fd in descriptors[shared:]]
        self._fds = [s.fileno() for s in self._rtp]
        self._rtcp_fds = [s.fileno() for s in self._rtcp]
        self._index = {port: n for n, port in enumerate(self._numbers)}
        self._build(begin.capacity)
        relay = Relay(self._pool, self._relays[0].fileno()) if self._relays else None
        self._bundle = Bundle(self.table, self._pool, self._numbers, self._rtp, shared, relay, emit)
        self._beats = 0
        self._late = 0
        self._receiving = 0.0
        """Seconds that the last beat's receiving took, ahead and at the beat."""
        self._ahead = 0.0
        """Seconds of the next beat's that have been spent."""
        self._durations = np.zeros(WATCHED_BEATS)
        self._recordings: dict[int, Recording] = {}
        self._senders: dict[int, deque[EventSender]] = {}
        self._said_silent: NDArray[np.float64] = np.zeros(begin.capacity)
        self._started = now
        emit(say.Ready(version=say.VERSION, pid=os.getpid(), ports=ports))

    def _build(self, capacity: int) -> None:
        self.table = StreamTable(capacity, len(self._fds), self._rng)
        self._pool = PacketPool(8192 + 4 * capacity)
        self._media = Receiver(self._pool, 8192)
        self._control = Receiver(self._pool, 512)
        self._jitter = JitterBuffer(capacity)
        self._srtp = SrtpTable(capacity)
        self._events = EventReceiver(capacity)
        self._inband = InbandDetector(capacity)
        rings = Rings(
            self.table, self._pool, self._jitter, self._events, lambda row, digit: self._on_key(row, digit, "event")
        )
        self._intake = Intake(self.table, self._pool, self._srtp, rings, self._on_latched)
        self._voices = Voices(self.table, self._pool, rings.notes, self._jitter, self._rng)
        self._mix = AudioMix(capacity)
        self._out = Outflow(self.table, self._mix, self._srtp, self._fds)
        self._agc = Agc(capacity)
        self._agc_rooms: set[int] = set()
        self._speakers = SpeakerDetector(capacity)
        self._reporter = Reporter(
            self.table, self._jitter, self._srtp, (self._fds, self._rtcp_fds), self._rng, self._out.heard_loss
        )
        self._phase = Phase()
        self._figures = Figures(self.table, self._jitter, self._srtp, self._reporter, self._voices.levels.power)
        self._clips = Clips()
        self._players = Players(self._clips, self._on_said)
        self._talkers = Talkers(self._clips)
        self._room_numbers: dict[int, int] = {}

    # ------------------------------------------------------------------------------------- the beat

    def run(self, now: float, realtime: float, *, late: float) -> None:
        """One beat.

        Args:
            now, realtime: the same instant on the monotonic and the wall clock.
            late: seconds since it was due.
        """
        self._beats += 1
        self._late += late > 1 / BEATS_A_SECOND
        self._intake.media(self._bundle.sort(self._receive(now, realtime)), now)
        blocks = self._voices.run(now)
        private, rooms = self._players.read(SAMPLES)
        talkers = self._talkers.read(SAMPLES[CLIP_RATE])
        self._listen(blocks)
        self._mix.begin(self._mixable(blocks, rooms, talkers))
        self._sign()
        self._out.run(private, now)
        self._detect(talkers)
        self._watch_phase(now - late)
        self._slowly(now, realtime)
        self._durations[self._beats % len(self._durations)] = time.monotonic() - now + late

    @property
    def lead(self) -> float:
        """Seconds before the next beat is due at which :meth:`receive_ahead` is best called; 0: it isn't worth it."""
        return AHEAD * self._receiving if self._receiving > AHEAD_FROM and not self._ahead else 0.0

    def receive_ahead(self) -> None:
        """Take from the kernel what has come so far, so that at the beat there is little left to wait for.

        Kernel time stamps say when each packet came, so the beat sees no difference.
        """
        start = time.monotonic()
        self._media.gather(self._fds)
        self._ahead += time.monotonic() - start

    def _receive(self, now: float, realtime: float) -> Batch:
        start = time.monotonic()
        batch = self._media.receive(self._fds, now, realtime)
        spent = self._ahead + time.monotonic() - start
        # Down slowly: a beat that had less to receive says little of the next.
        self._receiving = max(spent, self._receiving - (self._receiving - spent) / 16)
        self._ahead = 0.0
        return batch

    def shift(self, due: float) -> float:
        """Seconds by which the next beat's instant moves, beyond the beat's length; see :mod:`.phase`."""
        seconds = self._phase.shift(due)
        if seconds:
            self._jitter.beat_moved(seconds)
        return seconds

    def _watch_phase(self, due: float) -> None:
        """How early those who speak are."""
        mixed = (self._voices.mixed & ~self.table.simulated).nonzero()[0]
        rows = mixed[self._speakers.speaking(mixed)]
        slacks = self._jitter.slack(rows)
        known = np.isfinite(slacks)
        self._phase.see(due, slacks[known], self._jitter.margin(rows[known]))

    def _slowly(self, now: float, realtime: float) -> None:
        """What need not happen every beat; spread so that no beat does it all."""
        if self._beats % RTCP_EVERY == 0:
            self._intake.control(self._control.receive(self._rtcp_fds, now, realtime))
        if self._intake.reports:
            self._reporter.read(self._intake.reports, now, realtime)
        if self._beats % RTCP_EVERY == 2:
            self._reporter.send(now, realtime)
        if self._beats % BEATS_A_SECOND == 7:
            self._watch(now)
        if self._beats % TRIM_EVERY == 31:
            for receiver in (self._media, self._control):
                receiver.rest()
            self._pool.trim()
        part = self._beats % BEATS_A_SECOND - REPORT_FROM
        if 0 <= part < PARTS:
            self._figures.gather(part)
        if part == PARTS - 1:
            self._report()

    def _mixable(self, blocks: list[Block], rooms: dict[int, Pcm], talkers: dict[int, Pcm]) -> list[MixVoices]:
        """Everything that is heard by others: voices, simulated talkers, announcements to a room."""
        table = self.table
        voices = []
        for block in blocks:
            at = np.flatnonzero(self._voices.mixed[block.rows])
            if not at.size:
                continue
            rows, pcm = (block.rows, block.pcm) if at.size == len(block.rows) else (block.rows[at], block.pcm[at])
            voices.append(MixVoices(block.rate, rows, table.room[rows], pcm, self._gain(rows, pcm)))
        if talkers:
            rows = np.fromiter((row for row in talkers if not table.muted[row]), np.intp)
            if rows.size:
                pcm = np.stack([talkers[row] for row in rows.tolist()])
                voices.append(MixVoices(CLIP_RATE, rows, table.room[rows], pcm, self._gain(rows, pcm)))
        if rooms:
            where = np.fromiter(rooms, np.int32)
            nobody = np.full(len(where), -1, np.intp)
            voices.append(MixVoices(CLIP_RATE, nobody, where, np.stack(list(rooms.values()))))
        return voices

    def _gain(self, rows: NDArray[np.intp], pcm: Pcm) -> F32 | None:
        """Linear gains: what the host set, and the automatic one where the room wants it."""
        table = self.table
        gain = table.gain_in[rows]
        steered = np.isin(table.room[rows], list(self._agc_rooms)) if self._agc_rooms else np.zeros(len(rows), np.bool_)
        if not steered.any() and not gain.any():
            return None
        linear = (10 ** (gain / 20)).astype(np.float32)
        if steered.any():
            at = np.flatnonzero(steered)
            linear[at] *= self._agc.update(rows[at], mean_square(pcm[at]), self._speakers.active(rows[at]))
        return linear

    def _detect(self, talkers: dict[int, Pcm]) -> None:
        """Name the rooms' speakers."""
        table = self.table
        power = self._voices.levels.power
        for row in np.flatnonzero(table.simulated).tolist():  # three in the demo
            pcm = talkers.get(row)
            power[row] = 0.0 if pcm is None else float(mean_square(pcm[None])[0])
        # Those in no room too: whoever was a room's speaker and went to the lobby is it no more.
        rows = np.flatnonzero(table.live)
        audible = (table.room[rows] > 0) & ~table.muted[rows] & (self._voices.mixed[rows] | table.simulated[rows])
        for room, row in self._speakers.update(rows, table.room[rows], power[rows], audible):
            number = self._room_numbers.get(room, 0)
            if number:
                self._emit(say.Speaking(room=number, stream=int(table.stream[row]) if row >= 0 else 0))

    def _listen(self, blocks: list[Block]) -> None:
        """Those whose samples somebody else wants: tones in the audio, names being recorded."""
        if not self._voices.forced.any():
            return
        table = self.table
        for block in blocks:
            if block.rate == 8000:
                at = np.flatnonzero(table.inband[block.rows])
                if at.size:
                    for row, digit in self._inband.receive(block.rows[at], block.pcm[at]):
                        self._on_key(row, digit, "tone")
            for n in np.flatnonzero(np.isin(block.rows, list(self._recordings))).tolist():
                self._record(int(block.rows[n]), block.pcm[n], block.rate)
        for row in [row for row, recording in self._recordings.items() if recording.left <= 0]:
            self._finish(row)

    def _record(self, row: int, pcm: Pcm, rate: int) -> None:
        recording = self._recordings[row]
        recording.left -= 1
        loud = float(mean_square(pcm[None])[0]) > 1.0e5  # -40 dBov: a voice into a telephone
        recording.heard += loud
        recording.silence = 0 if loud else recording.silence + 1
        if recording.heard:
            recording.parts.append(self._to_clip_rate(pcm, rate))
            if recording.silence > BEATS_A_SECOND:  # a second of silence ends it
                recording.left = 0

    @staticmethod
    def _to_clip_rate(pcm: Pcm, rate: int) -> Pcm:
        """Good enough for a name: repeat or average."""
        if rate == 8000:
            return np.repeat(pcm, 2)
        return pcm.reshape(-1, 3).mean(axis=1).astype(np.int16) if rate == 48000 else pcm

    def _finish(self, row: int) -> None:
        recording = self._recordings.pop(row)
        self._force(row)
        parts = recording.parts[: max(len(recording.parts) - recording.silence, 0)]
        pcm = np.concatenate(parts) if parts and recording.heard >= 5 else np.zeros(0, np.int16)
        self._clips.keep(recording.capture, pcm)
        self._emit(
            say.Captured(capture=recording.capture, stream=int(self.table.stream[row]), seconds=len(pcm) / CLIP_RATE)
        )

    def _force(self, row: int) -> None:
        self._voices.forced[row] = bool(self.table.inband[row]) or row in self._recordings

    def _sign(self) -> None:
        """Telephone events to be sent in this beat."""
        self._out.overrides.clear()
        for row in list(self._senders):
            waiting = self._senders[row]
            packets = waiting[0].packets()
            if packets is None:
                waiting.popleft()
                if not waiting:
                    del self._senders[row]
            elif packets:
                self._out.overrides[row] = packets

    # ------------------------------------------------------------------------------------- commands

    def obey(self, command: Command, now: float) -> None:
        """Carry out one command between two beats; what can't be done is told as Trouble."""
        try:
            self._obey(command, now)
        except (ValueError, TableFull, KeyError) as error:
            stream = getattr(command, "stream", 0)
            self._emit(say.Trouble(reason=str(error), stream=stream, room=getattr(command, "room", 0)))

    def _obey(self, command: Command, now: float) -> None:
        match command:
            case SetRoom():
                self._set_room(command)
            case say.DropRoom():
                index = self.table.drop_room(command.room)
                self._room_numbers.pop(index, None)
                self._agc_rooms.discard(index)
                self._players.forget(index, room=True)
                self._mix.forget_room(index)
                self._out.forget_room(index)
            case SetStream():
                self._set_stream(command, now)
            case say.DropStream():
                self._drop_stream(command.stream, now)
            case say.Say():
                self._say(command)
            case say.Hush():
                where = self.table.rooms.get(command.room) if command.room else self.table.rows.get(command.stream)
                if where is not None:
                    self._players.hush(where, room=bool(command.room))
            case say.Capture():
                row = self.table.rows[command.stream]
                left = int(command.seconds * BEATS_A_SECOND)
                self._recordings[row] = Recording(command.capture, left)
                self._force(row)
            case say.SendKeys():
                self._send_keys(command)
            case say.SetTalker():
                self._set_talker(command, now)
            case say.Datagrams():
                self._bundle.send(command)
            case _:
                raise ValueError(f"{type(command).__name__} is not for a running worker")

    def _set_room(self, spec: SetRoom) -> None:
        index = self.table.set_room(spec)
        self._room_numbers[index] = spec.room
        self._voices.selector.set_loudest(index, spec.loudest)
        (self._agc_rooms.add if spec.agc else self._agc_rooms.discard)(index)

    def _set_stream(self, spec: SetStream, now: float) -> None:
        table = self.table
        if spec.port not in self._index:
            raise ValueError(f"port {spec.port} is not ours")
        room = table.rooms[spec.room] if spec.room else 0
        row = table.rows.get(spec.stream, -1)
        fresh = row < 0
        if fresh:
            row = table.add(spec.stream, now)
            self._said_silent[row] = now
        before = int(table.main_kind[row])
        was = int(table.room[row])
        try:
            table.configure(row, spec, room, self._index[spec.port])
        except ValueError:
            if fresh:
                table.remove(spec.stream)
            raise
        if fresh:
            self._jitter.reset(row, int(CLOCK_RATE[table.main_kind[row]]))
        elif before != int(table.main_kind[row]):
            self._jitter.clock[row] = CLOCK_RATE[table.main_kind[row]]
        if was != room:
            self._mix.forget_row(row)
        if fresh or spec.send is not None:
            self._players.tune(row, int(SAMPLE_RATE[table.send_kind[row] or Kind.PCMU]))
        self._set_keys(row, spec)
        self._force(row)
        self._reporter.add(row, spec.cname, now, xr=spec.xr)

    def _set_keys(self, row: int, spec: SetStream) -> None:
        if spec.srtp_send is not None:
            index = spec.send_state.rtcp_index if spec.send_state else 0
            key = spec.srtp_send
            self._srtp.set_send(row, key.suite, key.material, rollover=key.rollover, rtcp_index=index)
        if spec.srtp_receive is not None:
            key = spec.srtp_receive
            self._srtp.set_receive(row, key.suite, key.material, rollover=key.rollover)
        if spec.srtp_send is None and spec.srtp_receive is None:
            self._srtp.drop(row)

    def _set_talker(self, command: say.SetTalker, now: float) -> None:
        table = self.table
        room = table.rooms[command.room]
        row = table.rows.get(command.stream, -1)
        if row < 0:
            row = table.add(command.stream, now)
        table.simulated[row] = True
        table.muted[row] = command.muted
        table.room[row] = room
        table.generation += 1
        self._talkers.set(row, int(table.room[row]), command.clips, command.turn, command.turns)

    def _drop_stream(self, stream: int, now: float) -> None:
        row = self.table.rows.get(stream, -1)
        if row < 0:
            return
        if not self.table.simulated[row]:
            self._reporter.goodbye(np.array([row]), now, time.time())
        self.table.remove(stream)
        self._jitter.reset(row, 8000)
        self._pool.give(self._jitter.take_freed())
        self._srtp.drop(row)
        self._voices.forget(row)
        self._out.forget(row)
        self._mix.forget_row(row)
        self._speakers.reset(row)
        self._agc.reset(row)
        self._reporter.forget(row)
        self._events.reset(row)
        self._inband.reset(row)
        self._players.forget(row, room=False)
        self._talkers.drop(row)
        self._recordings.pop(row, None)
        self._senders.pop(row, None)

    def _say(self, command: say.Say) -> None:
        table = self.table
        self._players.say(
            table.rooms[command.room] if command.room else table.rows[command.stream],
            (command.say, command.clips),
            room=bool(command.room),
            loop=command.loop,
            cut=command.interrupt,
        )

    def _send_keys(self, command: say.SendKeys) -> None:
        row = self.table.rows[command.stream]
        kind = self.table.send_kind[row] or Kind.PCMU
        event = self.table.specs[command.stream].send_event
        if event is not None:
            # What is still being sent goes first: its digits are part of a number too.
            self._senders.setdefault(row, deque()).append(
                EventSender(command.digits, event.clock_rate, int(CLOCK_RATE[kind]))
            )
            return
        rate = self._players.rates[row]
        self._players.play(row, tones(command.digits, rate))

    # ------------------------------------------------------------------------------------- events

    def _on_latched(self, row: int, address: tuple[str, int]) -> None:
        self._emit(say.Latched(stream=int(self.table.stream[row]), remote=Address(*address)))

    def _on_key(self, row: int, digit: str, source: str) -> None:
        if row in self._recordings:
            self._recordings[row].left = 0
        self._emit(say.Key(stream=int(self.table.stream[row]), digit=digit, source=source))

    def _on_said(self, number: int, error: str) -> None:
        self._emit(say.Said(say=number, error=error))

    def _watch(self, now: float) -> None:
        """Tell of streams from which nothing comes."""
        table = self.table
        silent = table.live & ~table.simulated & (now - table.last_heard >= SILENT_AFTER)
        silent &= now - self._said_silent >= SILENT_AFTER
        for row in np.flatnonzero(silent).tolist():
            self._said_silent[row] = now
            seconds = float(now - table.last_heard[row])
            self._emit(say.Silent(stream=int(table.stream[row]), seconds=seconds))

    def _report(self) -> None:
        beats = 1000 * np.sort(self._durations[: min(self._beats, len(self._durations))])
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._emit(
            say.Report(
                streams=self._figures.take(),
                beat_p50_ms=round(float(beats[len(beats) // 2]), 3),
                beat_p99_ms=round(float(beats[-1 - len(beats) // 100]), 3),
                beat_max_ms=round(float(beats[-1]), 3),
                beats_late=self._late,
                cpu_seconds=usage.ru_utime + usage.ru_stime,
                strangers=self._intake.counters.strangers,
                malformed=self._intake.counters.malformed + self._reporter.malformed + self._voices.bad,
                made=time.monotonic(),
            )
        )

    def lose(self, beats: int) -> None:
        """The process was held up for longer than can be made up for: time goes on without sound."""
        self._late += beats
        table = self.table
        rows = np.flatnonzero(table.live & (table.send_kind > 0))
        ticks = CLOCK_RATE[table.send_kind[rows]].astype(np.int64) // BEATS_A_SECOND * beats
        table.timestamp[rows] += (ticks & 0xFFFFFFFF).astype(np.uint32)

    def close(self) -> None:
        """Say goodbye to every stream (RTCP BYE), free everything."""
        rows = np.flatnonzero(self.table.live & ~self.table.simulated)
        self._reporter.goodbye(rows, time.monotonic(), time.time())
        self._clips.close()
        for sock in (*self._rtp, *self._rtcp, *self._relays):
            sock.close()
