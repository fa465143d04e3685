"""The middle of the beat: rings -> levels -> who is loud enough to be mixed -> decode of those only.

Nothing here is done for each participant but array work; what loops does so over the few who are mixed (at most K a
room) and whose codec keeps a state of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.media.codecs import CodecError, FrameDecoder
from bridge.media.codecs.g711 import PCMA, PCMU
from bridge.media.codecs.g722 import G722Decoder, G722Level
from bridge.media.codecs.l16 import MONO as L16
from bridge.media.codecs.opus import OpusDecoder, packet_ticks, packets_have_fec
from bridge.media.conceal import Concealer
from bridge.media.jitter import CONCEAL, NOTHING, PLAY, STRETCH, JitterBuffer, Popped
from bridge.media.noise import cn_power, comfort_noise
from bridge.media.timescale import OVERLAP, shrink
from bridge.media.wire import I32, STRIDE, U8, PacketPool
from bridge.mixer.level import mean_square, power_of
from bridge.mixer.select import Selector

from .intake import SlotNotes
from .kind import BYTES_PER_TICK, CLOCK_RATE, SAMPLE_RATE, Kind
from .plain import BLOCK, Plain
from .table import StreamTable

Rows: TypeAlias = NDArray[np.intp]
Pcm: TypeAlias = NDArray[np.int16]
F32: TypeAlias = NDArray[np.float32]

BEATS_A_SECOND = 50
ROUNDS = 6
"""Packets of one stream that a beat may take: two of 10 ms, and as many again where its ring is too deep."""
QUIET = 1000.0
"""Power ratio (30 dB) to the loudest of the last seconds below which a voice pauses: time is better left out there."""
FORGET = np.float32(0.995)
"""Fall of the loudest a beat: 1 dB a second, so that a sentence's end is measured by its beginning."""
KEEP = 500
"""Beats (10 s) that a decoder is kept after its stream was last mixed."""
STARTING = 0.005
"""Seconds over which a voice that joins the mix is faded in: its decoder begins in the middle of a wave."""
LONGEST = 6
"""Beats in the longest packet (120 ms, RFC 6716 §2.1.4)."""


@dataclass(slots=True)
class Pull:
    """What the rings gave for one round: one entry a row."""

    rows: Rows
    slots: I32
    verdicts: NDArray[np.uint8]
    following: I32
    shrink: NDArray[np.bool_]
    kinds: U8
    ticks: I32
    """Playing time in timestamp units."""


@dataclass(slots=True)
class Voice:
    """What is kept of a stream while it is mixed: its decoder, its past, and samples that no beat has had yet."""

    kind: int
    rate: int
    decoder: FrameDecoder | None
    concealer: Concealer | None
    carry: list[Pcm] = field(default_factory=list)
    carried: int = 0
    used: int = 0
    """The beat in which it was last mixed."""
    fresh: bool = True
    noise: float = 0.0
    """Comfort noise that it asked for (mean square)."""


@dataclass(slots=True)
class Block:
    """PCM of the streams that are decoded this beat, at one sampling rate."""

    rate: int
    rows: Rows
    pcm: Pcm
    """(n, rate / 50)"""


class Levels:
    """Mean square of every stream's last 20 ms, decoded or not."""

    def __init__(self, table: StreamTable, pool: PacketPool, notes: SlotNotes) -> None:
        self._table, self._pool, self._notes = table, pool, notes
        self.power: F32 = np.zeros(table.capacity, np.float32)
        self._g722 = G722Level(table.capacity)
        self._opus: dict[int, OpusDecoder] = {}
        self._turn = 0

    def forget(self, row: int) -> None:
        self.power[row] = 0
        self._g722.reset(row)
        decoder = self._opus.pop(row, None)
        if decoder is not None:
            decoder.close()

    def measure(self, pull: Pull, decoded: NDArray[np.bool_]) -> None:
        """Levels of one round's packets.

        Args:
            decoded: (rows,) streams whose level is taken from their PCM anyway.
        """
        self._turn += 1
        notes, play = self._notes, pull.verdicts == PLAY
        if not play.all():
            quiet = ~play & (pull.verdicts != CONCEAL) & (pull.verdicts != STRETCH)
            self.power[pull.rows[quiet]] = 0
        rest = play
        if notes.leveled:
            told = play & (notes.level[pull.slots] >= 0)
            self.power[pull.rows[told]] = power_of(-notes.level[pull.slots[told]].astype(np.float32))
            rest = play & ~told
        for kind in np.bincount(pull.kinds).nonzero()[0].tolist():  # one or two, as a rule
            self._measure_kind(pull, kind, rest & (pull.kinds == kind), decoded)

    def _measure_kind(self, pull: Pull, kind: int, which: NDArray[np.bool_], decoded: NDArray[np.bool_]) -> None:
        match kind:
            case Kind.PCMU | Kind.PCMA:
                law = PCMU if kind == Kind.PCMU else PCMA
                for at, payload in self._payloads(pull, which, 1):
                    self.power[pull.rows[at]] = law.power(payload)
            case Kind.G722:
                for at, payload in self._payloads(pull, which, 20):
                    self.power[pull.rows[at]] = self._g722.levels(pull.rows[at], payload)
            case Kind.L16_16 | Kind.L16_48:
                for at, payload in self._payloads(pull, which, 2):
                    even = payload[:, : 64 * (payload.shape[1] // 64)]
                    self.power[pull.rows[at]] = mean_square(L16.decode_rows(even))
            case Kind.OPUS:
                opus = (which & ~decoded[pull.rows]).nonzero()[0]
                if opus.size:
                    self._measure_opus(pull, opus)
            case _:  # comfort noise, keys
                self.power[pull.rows[which]] = 0

    def _measure_opus(self, pull: Pull, at: Rows) -> None:
        """Every second packet is decoded for its level: who begins to talk is noticed within 40 ms."""
        rows = pull.rows[at]
        at = at[(rows + self._turn) % 2 == 0]
        slots = pull.slots[at]
        addresses = (self._pool.addresses(slots) + self._notes.offset[slots].astype(np.uint64)).tolist()
        decoders = self._opus
        found = []
        for row, address, size in zip(pull.rows[at].tolist(), addresses, self._notes.size[slots].tolist(), strict=True):
            decoder = decoders.get(row)
            if decoder is None:
                decoder = decoders[row] = OpusDecoder(8000)
            try:
                count = decoder.decode_at(address, size)
            except CodecError:
                found.append(0.0)
                continue
            pcm = decoder.samples[:count].astype(np.float32)
            found.append(float(pcm @ pcm) / max(count, 1))
        self.power[pull.rows[at]] = found

    def _payloads(self, pull: Pull, which: NDArray[np.bool_], multiple: int) -> list[tuple[Rows, U8]]:
        """Payloads of equal size as matrices: [(indices into the pull, (n, size) bytes)]."""
        at = which.nonzero()[0]
        if not at.size:
            return []
        sizes = self._notes.size[pull.slots[at]]
        if multiple > 1:
            sizes = sizes // multiple * multiple
        groups = [(at, int(sizes[0]))] if (sizes == sizes[0]).all() else []
        if not groups:
            groups = [(at[sizes == size], int(size)) for size in np.unique(sizes)]
        return [(group, payloads(self._pool, self._notes, pull.slots[group], size)) for group, size in groups if size]


def payloads(pool: PacketPool, notes: SlotNotes, slots: I32, size: int) -> U8:
    """(n,) packets whose payloads have ``size`` bytes -> (n, size)."""
    offsets = notes.offset[slots]
    if (offsets == offsets[0]).all():  # as good as always: 12 bytes of header and no extension
        first = int(offsets[0])
        return pool.memory[slots, first : first + size]
    starts = slots.astype(np.int64) * STRIDE + offsets
    gathered: U8 = pool.flat[starts[:, None] + np.arange(size)]
    return gathered


class Voices:
    """Owns everything between the jitter rings and the mixer's blocks."""

    def __init__(
        self,
        table: StreamTable,
        pool: PacketPool,
        notes: SlotNotes,
        jitter: JitterBuffer,
        rng: np.random.Generator,
    ) -> None:
        n = table.capacity
        self._table, self._pool, self._notes, self._jitter = table, pool, notes, jitter
        self._rng = rng
        self.selector = Selector(n)
        self.levels = Levels(table, pool, notes)
        self._carry: I32 = np.zeros(n, np.int32)
        """(rows,) timestamp units taken from the ring and not yet played."""
        self._last_ticks: I32 = np.zeros(n, np.int32)
        self._voices: dict[int, Voice] = {}
        self._plain = Plain(n)
        self.forced: NDArray[np.bool_] = np.zeros(n, np.bool_)
        """(rows,) decode it even where nobody hears it (its name is being recorded, tones are looked for)."""
        self.mixed: NDArray[np.bool_] = np.zeros(n, np.bool_)
        """(rows,) in this beat's mix."""
        self._decoded: NDArray[np.bool_] = np.zeros(n, np.bool_)
        self._loudest: F32 = np.zeros(n, np.float32)
        """(rows,) mean square of the loudest packet of the last seconds."""
        self._silent: NDArray[np.bool_] = np.ones(n, np.bool_)
        """(rows,) not in the mix, or quiet enough for nobody to hear what is left out."""
        self._beat = 0
        self.bad = 0

    def forget(self, row: int) -> None:
        """The row's stream is gone, or begins anew."""
        self._drop_voice(row)
        self._carry[row] = self._last_ticks[row] = 0
        self._plain.forget(row)
        self.forced[row] = self.mixed[row] = self._decoded[row] = False
        self._loudest[row] = 0
        self.levels.forget(row)
        self.selector.reset(row)

    def _drop_voice(self, row: int) -> None:
        voice = self._voices.pop(row, None)
        if voice is not None and voice.decoder is not None:
            voice.decoder.close()

    # ------------------------------------------------------------------------------------- one beat

    def run(self, now: float) -> list[Block]:
        """One beat for all rows: the PCM of whoever is mixed or listened to, by sampling rate."""
        table = self._table
        self._beat += 1
        rows = np.flatnonzero(table.live & table.heard & ~table.simulated)
        level = self.levels.power
        self._loudest = np.maximum(level, self._loudest * FORGET)
        self._silent = ~self.mixed | (level * np.float32(QUIET) <= self._loudest)
        pulls = self._pull(rows, now)
        for pull in pulls:
            self.levels.measure(pull, self._decoded)
        rooms = table.room[rows]
        power = self.levels.power[rows]
        chosen = self.selector.choose(rows, rooms, power, (rooms > 0) & ~table.muted[rows])
        self.mixed[:] = False
        self.mixed[rows[chosen]] = True
        wanted = np.zeros(table.capacity, np.bool_)
        wanted[rows[chosen | self.forced[rows]]] = True
        self._decoded[:] = wanted
        blocks = self._decode(rows, pulls, wanted)
        self._measure_decoded(blocks)
        for pull in pulls:
            self._pool.give(pull.slots[pull.slots >= 0])
        freed = self._jitter.take_freed()
        if freed.size:
            self._pool.give(freed)
        if self._beat % BEATS_A_SECOND == 0:
            for row in [row for row, voice in self._voices.items() if self._beat - voice.used > KEEP]:
                self._drop_voice(row)
        return blocks

    def _pull(self, rows: Rows, now: float) -> list[Pull]:
        """Take from each ring what this beat plays: one packet of 20 ms as a rule, none in a longer one's later
        beats, two of 10 ms."""
        need = CLOCK_RATE[self._table.main_kind[rows]] // BEATS_A_SECOND
        pulls: list[Pull] = []
        missing = self._carry[rows] < need
        waiting, lacking = rows[missing], need[missing]
        for _ in range(ROUNDS):
            if not waiting.size:
                break
            pull = self._pull_once(waiting, lacking, now)
            pulls.append(pull)
            self._carry[waiting] += np.where(pull.shrink, 0, pull.ticks)
            missing = self._carry[waiting] < lacking
            waiting, lacking = waiting[missing], lacking[missing]
        self._carry[rows] = np.clip(self._carry[rows] - need, 0, LONGEST * need)
        return pulls

    def _pull_once(self, rows: Rows, need: I32, now: float) -> Pull:
        notes = self._notes
        popped: Popped = self._jitter.pop(rows, now, self._silent[rows])
        play = popped.verdicts == PLAY
        slots = popped.slots
        kinds = np.where(play, notes.kind[slots], self._table.main_kind[rows]).astype(np.uint8)
        ticks = np.where(play, notes.size[slots] // BYTES_PER_TICK[kinds], self._last_ticks[rows]).astype(np.int32)
        opus = np.flatnonzero(play & (kinds == Kind.OPUS))
        if opus.size:
            at = slots[opus]
            start = at.astype(np.int64) * STRIDE + notes.offset[at]
            ticks[opus] = packet_ticks(self._pool.flat, start, notes.size[at])
            self._jitter.recoverable[rows[opus]] |= packets_have_fec(self._pool.flat, start, notes.size[at])
        other = play & ((kinds == Kind.CN) | (kinds == Kind.EVENT))
        ticks[other] = need[other]
        if other.any():
            self._jitter.mark_pause(rows[other & (kinds == Kind.CN)])
        speech = play & ~other & (ticks > 0)
        self._last_ticks[rows[speech]] = ticks[speech]
        ticks[ticks <= 0] = need[ticks <= 0]
        # A stream may change its codec in mid-call; its clock is that of what it sends now.
        changed = speech & (kinds != self._table.main_kind[rows])
        if changed.any():
            turned = rows[changed]
            self._table.main_kind[turned] = kinds[changed]
            self._jitter.clock[turned] = CLOCK_RATE[kinds[changed]]
            self._jitter.recoverable[turned] = False
        return Pull(rows, slots, popped.verdicts, popped.following, popped.shrink & play, kinds, ticks)

    def _measure_decoded(self, blocks: list[Block]) -> None:
        """The levels of Opus streams that were decoded anyway; the others' were read from their packets."""
        for block in blocks:
            if block.rate == 48000:
                at = (self._table.main_kind[block.rows] == Kind.OPUS).nonzero()[0]
                self.levels.power[block.rows[at]] = mean_square(block.pcm[at])

    # ------------------------------------------------------------------------------------- decoding

    def _decode(self, rows: Rows, pulls: list[Pull], wanted: NDArray[np.bool_]) -> list[Block]:
        """PCM of the wanted rows: by the straight road where that is possible, one by one where not."""
        blocks: list[Block] = []
        alone = wanted.copy()
        if pulls:
            self._decode_plain(pulls, wanted, alone, blocks)
        mine: dict[int, list[tuple[Pull, int]]] = {}
        for pull in pulls:
            for n in alone[pull.rows].nonzero()[0].tolist():  # the few who are mixed
                mine.setdefault(int(pull.rows[n]), []).append((pull, n))
        found: dict[int, list[tuple[int, Pcm]]] = {}
        for row in rows[alone[rows]].tolist():
            parts = mine.get(row, [])
            voice = self._voice(row)
            voice.used = self._beat
            self._assemble(voice, parts)
            found.setdefault(voice.rate, []).append((row, self._take(voice)))
            concealing = any(pull.verdicts[n] in (CONCEAL, STRETCH) for pull, n in parts)
            self._plain.apart[row] = voice.carried > 0 or concealing or voice.noise > 0
        for rate, pieces in found.items():
            blocks.append(self._block(rate, pieces))
            if rate == 8000:
                self._plain.keep(blocks[-1].rows, blocks[-1].pcm, self._beat)
        return blocks

    def _decode_plain(
        self, pulls: list[Pull], wanted: NDArray[np.bool_], alone: NDArray[np.bool_], blocks: list[Block]
    ) -> None:
        """Whole packets of 20 ms of G.711, nothing carried, nothing lost; and silence, of which nothing is made.

        Args:
            alone: (rows,) cleared where a row is done with.
        """
        first = pulls[0]
        may = wanted[first.rows] & ~self._plain.apart[first.rows]
        alone[first.rows[may & (first.verdicts == NOTHING)]] = False
        may &= (first.verdicts == PLAY) & ~first.shrink & (self._notes.size[first.slots] == BLOCK)
        if len(pulls) > 1:
            more = np.zeros(self._table.capacity, np.bool_)
            for pull in pulls[1:]:
                more[pull.rows] = True
            may &= ~more[first.rows]
        for kind, law in ((Kind.PCMU, PCMU), (Kind.PCMA, PCMA)):
            at = (may & (first.kinds == kind)).nonzero()[0]
            if not at.size:
                continue
            rows = first.rows[at]
            pcm = law.decode_rows(payloads(self._pool, self._notes, first.slots[at], BLOCK))
            self._plain.travel(rows, pcm, self._beat)
            blocks.append(Block(8000, rows, pcm))
            alone[rows] = False

    def _smooth(self, voice: Voice, pcm: Pcm) -> Pcm:
        if voice.concealer is not None:
            pcm = voice.concealer.good(pcm)
        if voice.fresh:
            voice.fresh = False
            width = min(int(STARTING * voice.rate), len(pcm))
            pcm = pcm.copy()
            pcm[:width] = (pcm[:width] * np.linspace(0, 1, width)).astype(np.int16)
        return pcm

    def _voice(self, row: int) -> Voice:
        """The row's decoder, a new one where it has none or sends another codec now."""
        kind = int(self._table.main_kind[row])
        voice = self._voices.get(row)
        if voice is None or voice.kind != kind:
            self._drop_voice(row)
            voice = self._voices[row] = self._new_voice(kind)
        past = self._plain.left(row, self._beat)
        if past is not None and voice.rate == 8000 and voice.concealer is not None:
            voice.concealer.resume(past)
        if past is not None or self._beat - voice.used > 1:
            voice.fresh = past is None
            voice.carry.clear()
            voice.carried = 0
        return voice

    @staticmethod
    def _new_voice(kind: int) -> Voice:
        rate = int(SAMPLE_RATE[kind])
        decoder: FrameDecoder | None = None
        if kind == Kind.OPUS:
            decoder = OpusDecoder(rate)
        elif kind == Kind.G722:
            decoder = G722Decoder()
        return Voice(kind, rate, decoder, None if kind == Kind.OPUS else Concealer(rate))

    def _assemble(self, voice: Voice, parts: list[tuple[Pull, int]]) -> None:
        """Decode what this beat's pulls gave for one stream, behind what it still carries."""
        before: Pcm | None = None
        for pull, n in parts:
            pcm = self._part(voice, pull, n)
            if before is not None:  # two packets' time becomes one's
                both = np.concatenate((before, pcm))
                long = len(pcm) >= max(len(before), int(OVERLAP * voice.rate))
                pcm = shrink(both, voice.rate, len(before)) if long else pcm
            if pull.shrink[n]:
                before = pcm
                continue
            before = None
            voice.carry.append(pcm)
            voice.carried += len(pcm)

    def _part(self, voice: Voice, pull: Pull, n: int) -> Pcm:
        """Samples of one packet's time."""
        samples = int(pull.ticks[n]) * voice.rate // int(CLOCK_RATE[voice.kind])
        verdict = int(pull.verdicts[n])
        if verdict == PLAY:
            return self._samples(voice, int(pull.slots[n]), int(pull.kinds[n]), samples)
        if verdict == CONCEAL and voice.kind == Kind.OPUS and voice.decoder is not None and pull.following[n] >= 0:
            return voice.decoder.recover(self._payload(int(pull.following[n])), samples)
        if verdict in (CONCEAL, STRETCH):
            # Opus by its own means, though a late packet is not lost: by PESQ that beats repeating a wave beside it.
            source = voice.concealer or voice.decoder
            assert source is not None
            return source.conceal(samples)
        return comfort_noise(voice.noise, samples, self._rng)

    def _samples(self, voice: Voice, slot: int, kind: int, samples: int) -> Pcm:
        """One packet decoded; silence where it can't be."""
        data = self._payload(slot)
        if kind == Kind.CN:
            voice.noise = cn_power(data)
            return comfort_noise(voice.noise, samples, self._rng)
        voice.noise = 0.0
        if kind != voice.kind:
            return np.zeros(samples, np.int16)
        try:
            if voice.decoder is not None:
                pcm = voice.decoder.decode(data)
            else:
                codec = PCMU if kind == Kind.PCMU else PCMA if kind == Kind.PCMA else L16
                pcm = codec.decode_rows(np.frombuffer(data, np.uint8)[None])[0]
        except CodecError:
            self.bad += 1
            return np.zeros(samples, np.int16)
        return self._smooth(voice, pcm)

    def _payload(self, slot: int) -> bytes:
        start, size = int(self._notes.offset[slot]), int(self._notes.size[slot])
        return self._pool.memory[slot, start : start + size].tobytes()

    @staticmethod
    def _take(voice: Voice) -> Pcm:
        """A beat's worth of what the voice carries; silence for what is missing."""
        need = voice.rate // BEATS_A_SECOND
        if len(voice.carry) == 1 and voice.carried == need:
            whole = voice.carry.pop()
            voice.carried = 0
            return whole
        whole = np.concatenate([*voice.carry, np.zeros(max(need - voice.carried, 0), np.int16)])
        rest = whole[need : need * (LONGEST + 1)]
        voice.carry[:] = [rest] if len(rest) else []
        voice.carried = len(rest)
        return whole[:need]

    @staticmethod
    def _block(rate: int, found: list[tuple[int, Pcm]]) -> Block:
        rows = np.array([row for row, _ in found], np.intp)
        return Block(rate, rows, np.stack([pcm for _, pcm in found]))
