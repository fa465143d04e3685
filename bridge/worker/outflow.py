"""The last third of the beat: mix -> limit -> encode -> headers -> srtp -> send.

Whoever only listens hears what everybody else of his room, codec and packet time hears: that is encoded once and the
kernel gathers the same bytes behind each one's own header. Only talkers, and whoever is being spoken to in private,
have a mix and an encoding of their own.
"""

from __future__ import annotations

import ctypes
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.media import rtp
from bridge.media.codecs import EncoderSettings, FrameEncoder
from bridge.media.codecs.g711 import PCMA, PCMU
from bridge.media.codecs.g722 import G722Encoder
from bridge.media.codecs.l16 import MONO as L16
from bridge.media.codecs.opus import OpusEncoder
from bridge.media.noise import cn_payload
from bridge.media.srtp import SrtpTable
from bridge.media.wire import STRIDE, U8, U32, U64, Sender
from bridge.mixer.limit import Limiter
from bridge.mixer.mix import AudioMix

from .kind import CLOCK_RATE, SAMPLE_RATE, Kind
from .protocol import CodecSpec
from .table import NO_ADDRESS, StreamTable

Rows: TypeAlias = NDArray[np.intp]
Pcm: TypeAlias = NDArray[np.int16]

RATES = (8000, 16000, 48000)
BEAT_MS = 20
DUCK = 0.25
"""Gain of the room (-12 dB) under a prompt."""
QUIET_BEATS = 10
"""Beats of silence (200 ms) before comfort noise replaces packets."""
CN_EVERY = 25
"""Beats between comfort noise updates: half a second (RFC 3389 §4 leaves it open; lost ones must be made good)."""
CN_POWER = 32768.0**2 * 1e-7
"""-70 dBov: a quiet line, not a dead one."""

Group: TypeAlias = tuple[int, int, CodecSpec, int]
"""(room or :func:`_talker`, kind, codec, ptime): those who may share an encoding."""


@dataclass(slots=True)
class Plan:
    """Who is sent what, as long as nobody comes, goes or changes; one entry a sending row, sorted by socket."""

    generation: int
    rows: Rows
    of_rate: dict[int, Rows]
    """Indices into the plan of those who are sent each sampling rate, a group's together."""
    place: NDArray[np.intp]
    """Index into ``rooms`` of its rate; -1: hears no room."""
    group: NDArray[np.intp]
    odd: NDArray[np.bool_]
    """Packet time other than the beat's."""
    rooms: dict[int, Rows]
    groups: list[Group]
    group_place: NDArray[np.intp]
    secure: NDArray[np.bool_]
    any_secure: bool
    comfort: NDArray[np.bool_]
    any_comfort: bool
    gained: NDArray[np.bool_]
    """The volume of what it hears was changed."""
    ticks: U32
    """Timestamp steps a packet."""
    types: U8
    sockets: Rows
    heads: U64
    names: U64
    """Memory addresses of each one's RTP header and socket address."""
    short: bool
    """Somebody takes packets shorter than the beat: he is sent two at once."""


@dataclass(slots=True)
class Packets:
    """What goes out this beat: one entry a packet."""

    at: list[Rows] = field(default_factory=list)
    """Indices into the plan."""
    bodies: list[U64] = field(default_factory=list)
    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    keep: list[object] = field(default_factory=list)
    """What the addresses point into, until it is sent."""
    unsent: list[Rows] = field(default_factory=list)
    """Indices into the plan of packets that an encoder had no need to send (Opus DTX); their time passes all the
    same."""

    def add(self, at: Rows, body: U64, size: NDArray[np.int64] | int) -> None:
        if len(at):
            self.at.append(at)
            self.bodies.append(body)
            self.sizes.append(np.broadcast_to(np.asarray(size, np.int64), len(at)))

    def add_matrix(self, at: Rows, payload: U8) -> None:
        """Row i of ``payload`` (n, k) to ``at[i]``."""
        self.keep.append(payload)
        base = np.uint64(payload.ctypes.data)
        step = np.arange(len(at), dtype=np.uint64) * np.uint64(payload.strides[0])
        self.add(at, step + base, payload.shape[1])

    def add_bytes(self, at: Rows, payload: bytes) -> None:
        """The same bytes to all of ``at``; none: nothing is sent (DTX)."""
        if payload:
            array = np.frombuffer(payload, np.uint8)
            self.keep.append(array)
            self.add(at, np.full(len(at), array.ctypes.data, np.uint64), len(payload))
        else:
            self.unsent.append(at)


class Repacketiser:
    """PCM in beats in, PCM in packets of another length out.

    All of one packet time keep step, counted from beat 0, so that who turns from a listener into a talker, and so from
    one of these to another, is sent a packet neither late nor twice.
    """

    def __init__(self, samples: int, beat_samples: int) -> None:
        self._samples = samples
        self._beat_samples = beat_samples
        self.held: Pcm = np.zeros(0, np.int16)
        self.before: Pcm = self.held
        """What was held before the last beat."""
        self.fed = -1
        """The beat that was fed last."""

    def feed(self, pcm: Pcm, beat: int, other: Repacketiser | None) -> list[Pcm]:
        """One beat's PCM -> the packets that are full now.

        Args:
            other: what held this listener's sound until now, where this one did not.
        """
        if self.fed != beat - 1:
            self.held = self._take_over(beat, other)
        self.before, self.fed = self.held, beat
        whole = np.concatenate((self.held, pcm))
        count = len(whole) // self._samples
        self.held = whole[count * self._samples :]
        return [whole[i * self._samples : (i + 1) * self._samples] for i in range(count)]

    def _take_over(self, beat: int, other: Repacketiser | None) -> Pcm:
        due = beat * self._beat_samples % self._samples
        if other is not None:
            theirs = other.before if other.fed == beat else other.held
            if other.fed >= beat - 1 and len(theirs) == due:
                return theirs
        return np.zeros(due, np.int16)


@dataclass(slots=True)
class Made:
    """An encoder in use."""

    encoder: FrameEncoder
    used: int
    """Beat of its last packet."""
    adapted: int
    """Beat in which it was last told of loss."""


class Encoders:
    """Stateful encoders and repacketisers of groups and of talkers, dropped when they have not been used for long."""

    KEEP = 250
    """Beats (5 s): a talker's turn, or a room's pause."""
    ADAPT = 50
    """Beats between looks at the loss: its reports come every few seconds."""

    def __init__(self) -> None:
        self._made: dict[Group, Made] = {}
        self._packets: dict[Group, Repacketiser] = {}
        self.loss: dict[int, float] = {}
        """row -> fraction that its far end lost"""
        self.beat = 0

    def encode(self, key: Group, pcm: Pcm, rows: Rows) -> bytes:
        """One packet for ``rows``."""
        found = self._made.get(key)
        if found is None:
            _, kind, codec, _ = key
            settings = EncoderSettings(
                bitrate=codec.bitrate, max_rate=codec.max_rate, fec=codec.fec, dtx=codec.dtx, stereo=codec.stereo
            )
            made: FrameEncoder = OpusEncoder(settings) if kind == Kind.OPUS else G722Encoder(settings)
            found = self._made[key] = Made(made, self.beat, self.beat - self.ADAPT)
        found.used = self.beat
        if self.beat - found.adapted >= self.ADAPT:
            found.adapted = self.beat
            found.encoder.adapt(self._loss(rows), None)
        return found.encoder.encode(pcm)

    def _loss(self, rows: Rows) -> float:
        """What an encoding protects against: the loss that nine in ten of its listeners stay below."""
        if not self.loss:
            return 0.0
        losses = [self.loss.get(row, 0.0) for row in rows[:200].tolist()]  # a sample, so that a crowd costs no more
        return float(np.quantile(losses, 0.9))

    def packets(self, key: Group, other: Group, pcm: Pcm) -> list[Pcm]:
        """A beat's PCM in packets of the key's length; ``other``: see :meth:`Repacketiser.feed`."""
        _, kind, _, ptime = key
        found = self._packets.get(key)
        if found is None:
            rate = int(SAMPLE_RATE[kind])
            found = self._packets[key] = Repacketiser(rate * ptime // 1000, rate * BEAT_MS // 1000)
        return found.feed(pcm, self.beat, self._packets.get(other))

    def sweep(self) -> None:
        self._drop([key for key, made in self._made.items() if self.beat - made.used > self.KEEP])
        for key in [key for key, packets in self._packets.items() if self.beat - packets.fed > self.KEEP]:
            del self._packets[key]

    def forget(self, owner: int) -> None:
        """A room's index (or a talker's number, see :func:`_talker`) will be another's: what it held is nobody's."""
        self._drop([key for key in self._made if key[0] == owner])
        for key in [key for key in self._packets if key[0] == owner]:
            del self._packets[key]

    def _drop(self, keys: list[Group]) -> None:
        for key in keys:
            self._made.pop(key).encoder.close()


def _talker(row: int) -> int:
    """What stands for the room in the group of one who has an encoding of its own."""
    return -1 - row


class Outflow:
    """Owns the send path: everything from the mix's sums to the kernel."""

    def __init__(self, table: StreamTable, mix: AudioMix, srtp: SrtpTable, fds: list[int]) -> None:
        n = table.capacity
        self._table, self._mix, self._srtp, self._fds = table, mix, srtp, fds
        self._sender = Sender(2 * n)
        self._heads: U32 = np.zeros((n, 3), np.uint32)
        self._sealed: U8 = np.zeros((256, STRIDE + 128), np.uint8)
        self._room_limits = {rate: Limiter(64) for rate in RATES}
        self._row_limits = Limiter(n)
        self._quiet: NDArray[np.int32] = np.zeros(n, np.int32)
        self._encoders = Encoders()
        self._plan: Plan | None = None
        self._silence = {kind: _silence(kind) for kind in (Kind.PCMU, Kind.PCMA, Kind.L16_16, Kind.L16_48)}
        self._comfort: U8 = np.frombuffer(cn_payload(CN_POWER), np.uint8).copy()
        self._event_starts: dict[int, int] = {}
        self.overrides: dict[int, list[tuple[bool, int, bytes]]] = {}
        """row -> telephone-event packets of this beat instead of its audio: (marker, timestamp offset, payload)."""

    @property
    def dropped(self) -> int:
        """Packets that the kernel did not take."""
        return self._sender.dropped

    def heard_loss(self, row: int, fraction: float) -> None:
        """The far end of a row reports loss: its encodings follow."""
        self._encoders.loss[row] = fraction

    def forget(self, row: int) -> None:
        self._row_limits.clear(row)
        self._quiet[row] = 0
        self._encoders.loss.pop(row, None)
        self.overrides.pop(row, None)
        self._event_starts.pop(row, None)
        self._encoders.forget(_talker(row))

    def forget_room(self, room: int) -> None:
        """The index will be another room's."""
        self._encoders.forget(room)

    # ------------------------------------------------------------------------------------- one beat

    def run(self, spoken: dict[int, Pcm], now: float) -> int:
        """Send one beat to everybody; returns the packets sent.

        Args:
            spoken: {row: (samples,) at its sending rate}: what is said to it alone.
        """
        del now
        encoders, plan = self._encoders, self._current_plan()
        encoders.beat += 1
        if encoders.beat % 50 == 0:
            encoders.sweep()
        rows = plan.rows
        alone = self._mix.talks(rows) | plan.gained
        if spoken:
            alone |= np.isin(rows, np.fromiter(spoken, np.intp, len(spoken)))
        packets = Packets()
        silent = np.zeros(len(rows), np.bool_)
        for rate in RATES:
            mine = plan.of_rate[rate]
            if not mine.size:
                continue
            total, heard = self._mix.total(rate, plan.rooms[rate])
            apart = alone[mine]
            self._send_shared(plan, rate, mine[~apart], (total, heard), packets, silent)
            at = mine[apart]
            if at.size:
                silent[at] = self._send_alone(plan, rate, at, total, spoken, packets)
        return self._dispatch(plan, packets, silent)

    def _current_plan(self) -> Plan:
        if self._plan is None or self._plan.generation != self._table.generation:
            self._plan = self._make_plan()
        return self._plan

    def _make_plan(self) -> Plan:
        table = self._table
        rows = np.flatnonzero(table.live & (table.send_kind > 0) & (table.latch != NO_ADDRESS) & ~table.simulated)
        rows = rows[np.argsort(table.socket[rows], kind="stable")]
        rates = SAMPLE_RATE[table.send_kind[rows]]
        listening = (table.room[rows] > 0) & ~table.deaf[rows]
        rooms = {rate: np.unique(table.room[rows[listening & (rates == rate)]]).astype(np.intp) for rate in RATES}
        place = np.full(len(rows), -1, np.intp)
        for rate in RATES:
            at = np.flatnonzero(listening & (rates == rate))
            place[at] = np.searchsorted(rooms[rate], table.room[rows[at]])
        numbers: dict[Group, int] = {}
        group = np.empty(len(rows), np.intp)
        for n, row in enumerate(rows.tolist()):  # only when somebody came, went or changed
            spec = table.specs[int(table.stream[row])]
            assert spec.send is not None
            key = (
                int(table.room[row]) if listening[n] else 0,
                int(table.send_kind[row]),
                spec.send,
                int(table.ptime[row]),
            )
            group[n] = numbers.setdefault(key, len(numbers))
        groups = list(numbers)
        group_place = np.array(
            [np.searchsorted(rooms[int(SAMPLE_RATE[kind])], room) if room else -1 for room, kind, _, _ in groups],
            np.intp,
        )
        for rate in RATES:
            top = int(rooms[rate][-1]) + 1 if rooms[rate].size else 0
            if top > len(self._room_limits[rate].gain):
                self._room_limits[rate] = Limiter(2 * top)
        comfort = (table.cn_type[rows] >= 0) & (CLOCK_RATE[table.send_kind[rows]] == 8000)
        by_group = np.argsort(group, kind="stable")
        return Plan(
            generation=table.generation,
            rows=rows,
            of_rate={rate: by_group[rates[by_group] == rate] for rate in RATES},
            place=place,
            group=group,
            odd=table.ptime[rows] != BEAT_MS,
            rooms=rooms,
            groups=groups,
            group_place=group_place,
            secure=table.secure_out[rows],
            any_secure=bool(table.secure_out[rows].any()),
            comfort=comfort,
            any_comfort=bool(comfort.any()),
            gained=table.gain_out[rows] != 0,
            ticks=(table.ptime[rows] * (CLOCK_RATE[table.send_kind[rows]] // 1000)).astype(np.uint32),
            types=table.send_type[rows],
            sockets=table.socket[rows],
            heads=np.uint64(self._heads.ctypes.data) + rows.astype(np.uint64) * np.uint64(12),
            names=np.uint64(table.names.ctypes.data) + rows.astype(np.uint64) * np.uint64(32),
            short=bool((table.ptime[rows] < BEAT_MS).any()),
        )

    # ------------------------------------------------------------------------------------- encoding

    def _send_shared(
        self,
        plan: Plan,
        rate: int,
        at: Rows,
        mixed: tuple[NDArray[np.int32], NDArray[np.bool_]],
        packets: Packets,
        silent: NDArray[np.bool_],
    ) -> None:
        """One encoding for each group that has a listener."""
        if not at.size:
            return
        total, heard = mixed
        pcm: Pcm = np.zeros(total.shape, np.int16)
        loud = np.flatnonzero(heard)
        if loud.size:
            pcm[loud] = self._room_limits[rate].apply(plan.rooms[rate][loud], total[loud])
        numbers = plan.group[at]
        edges = [0, *((numbers[1:] != numbers[:-1]).nonzero()[0] + 1).tolist(), len(at)]
        coded: dict[int, U8] = {}
        nobody: Pcm = np.zeros(rate // 50, np.int16)
        for start, stop in itertools.pairwise(edges):  # over groups
            members = at[start:stop]
            number = int(numbers[start])
            _, kind, _, ptime = plan.groups[number]
            place = int(plan.group_place[number])
            quiet = place < 0 or not heard[place]
            if quiet:
                silent[members] = True
            if ptime == BEAT_MS and kind in self._silence:
                payload = self._silence[Kind(kind)]
                if not quiet:
                    if kind not in coded:
                        coded[kind] = _encode_rows(kind, pcm)
                        packets.keep.append(coded[kind])
                    payload = coded[kind][place]
                packets.add(members, np.full(len(members), payload.ctypes.data, np.uint64), len(payload))
                continue
            key = plan.groups[number]
            alone = (_talker(int(plan.rows[members[0]])), *key[1:])
            self._encode_stream(plan, key, alone, nobody if quiet else pcm[place], members, packets)

    def _encode_stream(self, plan: Plan, key: Group, other: Group, pcm: Pcm, members: Rows, packets: Packets) -> None:
        """Codecs with state, and packet times other than the beat's."""
        _, kind, _, ptime = key
        pieces = [pcm] if ptime == BEAT_MS else self._encoders.packets(key, other, pcm)
        for piece in pieces:
            if kind in (Kind.OPUS, Kind.G722):
                packets.add_bytes(members, self._encoders.encode(key, piece, plan.rows[members]))
            else:
                packets.add_bytes(members, _encode_rows(kind, piece[None])[0].tobytes())

    def _send_alone(
        self,
        plan: Plan,
        rate: int,
        at: Rows,
        total: NDArray[np.int32],
        spoken: dict[int, Pcm],
        packets: Packets,
    ) -> NDArray[np.bool_]:
        """Talkers hear everyone but themselves; who is spoken to hears that over the room.

        Returns:
            (n,) whose mix is silent, where somebody takes comfort noise instead.
        """
        table = self._table
        rows = plan.rows[at]
        place = plan.place[at]
        if place.min() >= 0:
            wide = total.take(place, axis=0)
            wide -= self._mix.own(rate, rows)
        else:
            wide = np.zeros((len(at), rate // 50), np.int32)
            hearing = np.flatnonzero(place >= 0)
            wide[hearing] = total[place[hearing]] - self._mix.own(rate, rows[hearing])
        for n, row in enumerate(rows.tolist()) if spoken else ():
            if row in spoken:
                wide[n] = wide[n] * DUCK + spoken[row][: wide.shape[1]]
        gained = np.flatnonzero(table.gain_out[rows] != 0)
        if gained.size:
            factor = 10 ** (table.gain_out[rows[gained]] / 20)
            wide[gained] = np.rint(wide[gained] * factor[:, None]).astype(np.int32)
        pcm = self._row_limits.apply(rows, wide)
        kinds = table.send_kind[rows]
        for kind in np.unique(kinds).tolist():
            which = np.flatnonzero((kinds == kind) & ~plan.odd[at])
            if which.size and kind in self._silence:
                packets.add_matrix(at[which], _encode_rows(kind, pcm[which]))
                kinds[which] = 0
        for n in np.flatnonzero(kinds).tolist():  # talkers whose codec keeps a state
            group = plan.groups[int(plan.group[at[n]])]
            key = (_talker(int(rows[n])), *group[1:])
            self._encode_stream(plan, key, group, pcm[n], at[n : n + 1], packets)
        if not plan.any_comfort:  # who else would ask
            return np.zeros(len(at), np.bool_)
        quiet: NDArray[np.bool_] = np.logical_not(pcm.any(axis=1))
        return quiet

    # ------------------------------------------------------------------------------------- sending

    def _dispatch(self, plan: Plan, packets: Packets, silent: NDArray[np.bool_]) -> int:
        """Headers, comfort noise, DTMF, SRTP, and out."""
        table = self._table
        rows = plan.rows
        if packets.at:
            at = np.concatenate(packets.at)
            bodies, sizes = np.concatenate(packets.bodies), np.concatenate(packets.sizes)
        else:
            at, bodies, sizes = np.zeros(0, np.intp), np.zeros(0, np.uint64), np.zeros(0, np.int64)
        types = plan.types[at]
        skipped: Rows = np.zeros(0, np.intp)
        if plan.any_comfort:
            at, bodies, sizes, types, skipped = self._soothe(plan, silent, (at, bodies, sizes, types))
        unsent = np.concatenate([skipped, *packets.unsent])
        passed = plan.ticks[at]
        if self.overrides:
            at, bodies, sizes, types, passed = self._sign(plan, packets, (at, bodies, sizes, types, passed))
        order = np.argsort(at, kind="stable")
        at, bodies, sizes, types, passed = at[order], bodies[order], sizes[order], types[order], passed[order]
        if not plan.short:
            sent = self._send(plan, at, bodies, sizes, types, passed)
        else:
            second = np.zeros(len(at), np.bool_)
            second[1:] = at[1:] == at[:-1]
            sent = 0
            for turn in (~second, second):  # a row's second packet (10 ms) goes in a call of its own
                if turn.any():
                    sent += self._send(plan, at[turn], bodies[turn], sizes[turn], types[turn], passed[turn])
        if unsent.size:  # silence has its time too, and ends with a marker (RFC 3551 §4.1)
            np.add.at(table.timestamp, rows[unsent], plan.ticks[unsent])
            table.marker[rows[unsent]] = True
        return sent

    def _soothe(
        self, plan: Plan, silent: NDArray[np.bool_], out: tuple[Rows, U64, NDArray[np.int64], U8]
    ) -> tuple[Rows, U64, NDArray[np.int64], U8, Rows]:
        """Comfort noise instead of silence for whoever takes it (RFC 3389)."""
        at, bodies, sizes, types = out
        rows = plan.rows
        quiet = np.where(silent, self._quiet[rows] + 1, 0)
        self._quiet[rows] = quiet
        resting = plan.comfort & ~plan.odd & (quiet > QUIET_BEATS)
        due = resting & ((quiet - QUIET_BEATS - 1) % CN_EVERY == 0)
        is_due, is_resting = due[at], resting[at]
        bodies = np.where(is_due, np.uint64(self._comfort.ctypes.data), bodies)
        sizes = np.where(is_due, 1, sizes)
        types = np.where(is_due, self._table.cn_type[rows[at]].astype(np.uint8), types)
        keep = is_due | ~is_resting
        return at[keep], bodies[keep], sizes[keep], types[keep], np.flatnonzero(resting & ~due)

    def _sign(
        self, plan: Plan, packets: Packets, out: tuple[Rows, U64, NDArray[np.int64], U8, U32]
    ) -> tuple[Rows, U64, NDArray[np.int64], U8, U32]:
        """Telephone events instead of audio (RFC 4733): rare, so one by one.

        An event has a packet each beat, whatever the packet time and though silence sends none; the timestamps run on
        by as much as the audio's would.
        """
        at, bodies, sizes, types, passed = out
        for row, events in self.overrides.items():
            who = np.flatnonzero(plan.rows == row)
            if not events or not who.size:
                continue
            marker, offset, payload = events[0]
            array = np.frombuffer(payload, np.uint8)
            packets.keep.append(array)
            stamp = int(self._table.timestamp[row])
            if marker or row not in self._event_starts:
                self._event_starts[row] = (stamp - offset) & 0xFFFFFFFF
            self._table.marker[row] = marker  # in the event's first packet only (RFC 4733 §2.3)
            audio = at == who[0]
            time = passed[audio].sum(dtype=np.uint32)
            at = np.append(at[~audio], who[0])
            bodies = np.append(bodies[~audio], np.uint64(array.ctypes.data))
            sizes = np.append(sizes[~audio], len(payload))
            types = np.append(types[~audio], self._table.event_type[row])
            passed = np.append(passed[~audio], time)
        return at, bodies, sizes, types, passed

    def _send(self, plan: Plan, at: Rows, bodies: U64, sizes: NDArray[np.int64], types: U8, passed: U32) -> int:
        table = self._table
        rows = plan.rows[at]
        stamps = table.timestamp[rows]
        for row in self.overrides:  # an event's timestamp is that of its beginning (RFC 4733 §2.2)
            stamps[rows == row] = self._event_starts.get(row, int(table.timestamp[row]))
        rtp.write_headers(self._heads, rows, types, table.marker[rows], table.sequence[rows], stamps, table.ssrc[rows])
        heads, octets = plan.heads[at], sizes
        head_sizes: NDArray[np.int64] | int = rtp.HEADER
        if plan.any_secure:
            heads, head_sizes, bodies, sizes = self._seal(rows, plan.secure[at], heads, bodies, sizes)
        sent = self._sender.send(self._fds, plan.sockets[at], plan.names[at], heads, head_sizes, bodies, sizes)
        # What nobody waits for comes after.
        table.marker[rows] = False
        table.timestamp[rows] += passed
        following = table.sequence[rows] + 1
        wrapped = following > 0xFFFF
        if wrapped.any():
            table.rollover[rows[wrapped]] += 1
            following &= 0xFFFF
        table.sequence[rows] = following
        table.sent[rows] += 1
        table.sent_octets[rows] += octets
        return sent

    def _seal(
        self, rows: Rows, secure: NDArray[np.bool_], heads: U64, bodies: U64, sizes: NDArray[np.int64]
    ) -> tuple[U64, NDArray[np.int64], U64, NDArray[np.int64]]:
        """SRTP: header and payload side by side in a buffer of their own, encrypted there."""
        which = np.flatnonzero(secure)
        while len(self._sealed) < len(which):
            self._sealed = np.zeros((2 * len(self._sealed), self._sealed.shape[1]), np.uint8)
        base = self._sealed.ctypes.data
        width = self._sealed.shape[1]
        lengths = (sizes[which] + rtp.HEADER).astype(np.int32)
        self._sealed[: len(which), :12] = self._heads.view(np.uint8).reshape(-1, 12)[rows[which]]
        targets = range(base + rtp.HEADER, base + rtp.HEADER + len(which) * width, width)
        deque(map(ctypes.memmove, targets, bodies[which].tolist(), sizes[which].tolist()), maxlen=0)
        addresses = np.uint64(base) + np.arange(len(which), dtype=np.uint64) * np.uint64(width)
        good = self._srtp.protect(rows[which], addresses, lengths)
        head_sizes = np.full(len(rows), rtp.HEADER, np.int64)
        heads, sizes = heads.copy(), sizes.copy()
        heads[which] = addresses
        head_sizes[which] = np.where(good, lengths, 0)
        sizes[which] = 0
        return heads, head_sizes, bodies, sizes


def _encode_rows(kind: int, pcm: Pcm) -> U8:
    codec = PCMU if kind == Kind.PCMU else PCMA if kind == Kind.PCMA else L16
    coded: U8 = codec.encode_rows(np.ascontiguousarray(pcm))
    return coded


def _silence(kind: Kind) -> U8:
    return np.ascontiguousarray(_encode_rows(kind, np.zeros((1, int(SAMPLE_RATE[kind]) // 50), np.int16))[0])
