"""The adaptive jitter buffer: a ring of packets for every stream, all streams in one pass.

Nothing is buffered beforehand. A packet is played at the first beat after it came, so on a clean network the buffer
adds nothing but the wait for the beat. Where packets come too late the buffer runs dry, the gap is concealed without
moving on (*stretch*), and from then on there is that much more slack; where for a while even the latest packet waited
longer than a packet's time, one packet is taken out (*shrink*), in silence if there is any. After a pause in which
nothing was sent, the first packet is held for as long as the jitter of the last seconds demands. A stream that has lost
a packet, and whose packets carry the one before them (in-band FEC), is a packet deeper for the next minute. There is no
estimate of the talker's clock: a clock that drifts is jitter that never comes back, and the same two moves follow it.

Rows are streams; sequence numbers are extended to 64 bits (RFC 3550 A.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .wire import F64, I32, U32

Rows: TypeAlias = NDArray[np.intp]
Bools: TypeAlias = NDArray[np.bool_]

DEPTH = 64
"""Packets a ring holds: 640 ms of 10 ms packets, more than the longest delay we add and a burst behind it."""
MAX_DROPOUT = 3000
MAX_MISORDER = 100
"""RFC 3550 A.1: sequence steps beyond these are another beginning, believed when the next packet confirms it."""
MAX_DELAY = 0.250
"""Seconds: beyond this a conversation breaks down (ITU-T G.114 §3 wants 150 ms mouth to ear), so we'd rather lose."""
MARGIN = 0.004
MARGIN_STEADY = 0.001
"""Seconds of slack left after a shrink: half of the spread of the last seconds' transit times, but no more and no less
than these. What was seen is in the slack already; this is for what was not. Were it always the larger, a fifth of all
streams on a clean network would stay a packet's time deeper than they need to be."""
SLACK_WINDOW = 2.0
"""Seconds of half a window for the least slack: the buffer shrinks after two to four calm seconds."""
SPREAD_WINDOW = 4.0
"""Seconds of half a window for the jitter that a pause's first packet is held for."""
EXCESS = 0.060
"""Slack (seconds) from which on shrinking no longer waits for silence: people begin to talk into each other."""
FEC_MEMORY = 60.0
"""Seconds after a loss for which the packet behind a lost one, which tells what it was (RFC 6716 §2.1.7), is waited
for. The waiting begins and ends with a step in time, and one in a sentence costs 0.1 to 0.25 MOS (PESQ), as much as two
or three losses that are filled: so there is one in a minute at most."""
PAUSE_SILENT = 0.1
PAUSE_EXCESS = 0.2
PAUSE_TALKING = 0.4
"""Seconds between two shrinks: in silence, while far too deep, otherwise. Each is inaudible; a volley is not."""
DRY_BEATS = 5
"""Beats of concealment (100 ms) before a stream that sends nothing counts as silent (G.711 App. I fades by 60 ms)."""

NOTHING = 0
PLAY = 1
CONCEAL = 2
"""The packet is lost: fill its time, and move on."""
STRETCH = 3
"""The packet is late: fill a packet's time, and wait for it."""


@dataclass(slots=True)
class Popped:
    """What the rings gave: one entry a row asked for."""

    slots: I32
    """Pool slot to play (PLAY), now the caller's; -1 otherwise."""
    verdicts: NDArray[np.uint8]
    following: I32
    """CONCEAL: the packet after the lost one if it is here (it stays the ring's), else -1."""
    shrink: Bools
    """PLAY: the buffer is too deep; pop this row once more and make one packet's time of two."""


class JitterBuffer:
    """Rings and statistics of ``capacity`` streams."""

    def __init__(self, capacity: int) -> None:
        def column(dtype: type, fill: float = 0) -> NDArray[np.generic]:
            return np.full(capacity, fill, dtype)

        self._slots: I32 = np.full((capacity, DEPTH), -1, np.int32)
        self._numbers: NDArray[np.int64] = np.full((capacity, DEPTH), -1, np.int64)
        self._arrivals: F64 = np.zeros((capacity, DEPTH), np.float64)
        self._transits: F64 = np.zeros((capacity, DEPTH), np.float64)
        self.clock: F64 = np.full(capacity, 8000.0)
        self._started: Bools = np.zeros(capacity, np.bool_)
        self._ssrc: U32 = np.zeros(capacity, np.uint32)
        self._next: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self.highest: NDArray[np.int64] = np.zeros(capacity, np.int64)
        """(rows,) extended highest sequence number received, counted from 65536 up."""
        self.first: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self._bad: NDArray[np.int64] = np.full(capacity, -1, np.int64)
        self.held: I32 = np.zeros(capacity, np.int32)
        self._last_timestamp: U32 = np.zeros(capacity, np.uint32)
        self._last_arrival: F64 = np.zeros(capacity)
        self._last_sequence: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self.packet_time: F64 = np.full(capacity, 0.020)
        """(rows,) seconds in a packet, learnt from timestamps."""
        self._transit: F64 = np.zeros(capacity)
        self._transit_low: F64 = np.zeros((2, capacity))
        self._transit_high: F64 = np.zeros((2, capacity))
        self._transit_since: F64 = np.zeros(capacity)
        self._slack: F64 = np.full((2, capacity), np.inf)
        self._slack_since: F64 = np.zeros(capacity)
        self._shrunk: F64 = np.zeros(capacity)
        self._dry: I32 = np.zeros(capacity, np.int32)
        self._paused: Bools = np.zeros(capacity, np.bool_)
        self._owed: Bools = np.zeros(capacity, np.bool_)
        self._late_at: F64 = np.zeros(capacity)
        self._fec_until: F64 = np.zeros(capacity)
        """(rows,) until when a packet more is kept in hold where packets carry FEC."""
        self.jitter: F64 = np.zeros(capacity)
        """(rows,) interarrival jitter in seconds (RFC 3550 A.8)."""
        self.received: NDArray[np.int64] = np.zeros(capacity, np.int64)
        """(rows,) packets that came, in time or late."""
        self.late: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self.duplicate: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self.concealed: NDArray[np.int64] = np.zeros(capacity, np.int64)
        """(rows,) packets' times filled: lost ones and stretches."""
        self.recoverable: Bools = np.zeros(capacity, np.bool_)
        """(rows,) a lost packet may be recovered from the one behind it (in-band FEC)."""
        self.delay: F64 = np.zeros(capacity)
        """(rows,) seconds that the last packet played had waited."""
        self._freed: list[I32] = []

    def reset(self, row: int, clock_rate: int) -> None:
        """A new stream in ``row``: empty ring, all counters zero. Its old packets are in :meth:`take_freed`."""
        self._flush(np.array([row]))
        for name, column in vars(self).items():
            if isinstance(column, np.ndarray) and column.ndim == 1 and name != "clock":
                column[row] = 0
        self._bad[row] = -1
        self.packet_time[row] = 0.020
        self._slack[:, row] = np.inf
        self.clock[row] = clock_rate

    def expected(self, rows: Rows) -> NDArray[np.int64]:
        """(n,) packets that should have come so far (RFC 3550 A.3)."""
        count: NDArray[np.int64] = np.where(self._started[rows], self.highest[rows] - self.first[rows] + 1, 0)
        return count

    def take_freed(self) -> I32:
        """Slots that the rings let go of by themselves since the last call."""
        if not self._freed:
            return np.zeros(0, np.int32)
        freed = np.concatenate(self._freed)
        self._freed.clear()
        return freed

    def _flush(self, rows: Rows) -> None:
        slots = self._slots[rows]
        self._freed.append(slots[slots >= 0])
        self._slots[rows] = -1
        self._numbers[rows] = -1
        self.held[rows] = 0

    # -------------------------------------------------------------------------------------- in

    def insert(
        self,
        rows: Rows,
        sequences: NDArray[np.int32],
        timestamps: U32,
        ssrcs: U32,
        arrivals: F64,
        slots: I32,
        untimed: Bools | None = None,
    ) -> Bools:
        """Put packets into their rings, in the order given; a row may occur many times.

        Args:
            rows, sequences, timestamps, ssrcs: (n,) RTP header fields of authentic packets.
            arrivals: (n,) seconds.
            untimed: (n,) whose timestamp is not that of its sending (telephone events, RFC 4733 §2.2): it says nothing
                of the network.

        Returns:
            (n,) whether the ring keeps the packet; the slots of the others stay the caller's.
        """
        accepted = np.zeros(len(rows), np.bool_)
        if not len(rows):
            return accepted
        turns = turns_of(rows)
        for turn in range(int(turns.max()) + 1):
            at = np.flatnonzero(turns == turn) if turn or turns.any() else slice(None)
            accepted[at] = self._insert_unique(
                rows[at],
                sequences[at].astype(np.int64),
                timestamps[at],
                ssrcs[at],
                arrivals[at],
                slots[at],
                None if untimed is None else untimed[at],
            )
        return accepted

    def _insert_unique(
        self,
        rows: Rows,
        sequences: NDArray[np.int64],
        timestamps: U32,
        ssrcs: U32,
        arrivals: F64,
        slots: I32,
        untimed: Bools | None,
    ) -> Bools:
        highest = self.highest[rows]
        step = ((sequences - highest + 32768) & 0xFFFF) - 32768
        numbers = highest + step
        fresh = (self._ssrc[rows] != ssrcs) | ~self._started[rows]
        odd = fresh | (step > MAX_DROPOUT) | (step < -MAX_MISORDER)
        jump: Bools = np.zeros(len(rows), np.bool_)
        if odd.any():
            jump = self._begin_anew(rows, sequences, ssrcs, timestamps, arrivals, (fresh, odd))
            numbers[fresh] = sequences[fresh] + 65536
        ahead = numbers - self._next[rows]
        far = (ahead >= DEPTH) & ~jump
        if far.any():  # a gap longer than the ring: what is in it is history
            self._flush(rows[far])
            self._next[rows[far]] = numbers[far]
        late = (ahead < 0) & ~jump
        place = rows * DEPTH + (numbers & (DEPTH - 1))
        twin = (self._numbers.reshape(-1)[place] == numbers) & ~(late | jump)
        refused = jump | late | twin
        good: Bools = ~refused
        if refused.any():
            self._count_late(rows[late], arrivals[late])
            # Late is not lost (RFC 3550 §6.4.1); what was sent before the stream's first packet was never expected.
            self.received[rows[late & (numbers >= self.first[rows])]] += 1
            self.duplicate[rows[twin]] += 1
            rows, numbers, place, timestamps = rows[good], numbers[good], place[good], timestamps[good]
            arrivals, slots = arrivals[good], slots[good]
            untimed = None if untimed is None else untimed[good]
        if untimed is None:
            self._time(rows, numbers, timestamps, arrivals)
        else:
            timed = ~untimed
            self._time(rows[timed], numbers[timed], timestamps[timed], arrivals[timed])
        self._slots.reshape(-1)[place] = slots
        self._numbers.reshape(-1)[place] = numbers
        self._arrivals.reshape(-1)[place] = arrivals
        self._transits.reshape(-1)[place] = self._transit[rows]
        self.held[rows] += 1
        self.received[rows] += 1
        self.highest[rows] = np.maximum(self.highest[rows], numbers)
        return good

    def _begin_anew(
        self,
        rows: Rows,
        sequences: NDArray[np.int64],
        ssrcs: U32,
        timestamps: U32,
        arrivals: F64,
        which: tuple[Bools, Bools],
    ) -> Bools:
        """New sources begin; a jump of the sequence is believed when the next packet goes on from it (A.1).

        Args:
            which: (n,) fresh, to which the jumps that are believed are added, in place; (n,) fresh or a jump.

        Returns:
            (n,) jumps that are not believed.
        """
        fresh, odd = which
        jump: Bools = odd & ~fresh
        again = jump & (self._bad[rows] == sequences)
        self._bad[rows[jump]] = (sequences[jump] + 1) % 65536
        fresh |= again
        jump &= ~again
        if fresh.any():
            self._begin(rows[fresh], sequences[fresh], ssrcs[fresh], timestamps[fresh], arrivals[fresh])
        return jump

    def _begin(self, rows: Rows, sequences: NDArray[np.int64], ssrcs: U32, timestamps: U32, arrivals: F64) -> None:
        self._flush(rows)
        numbers = sequences + 65536
        self._started[rows] = True
        self._ssrc[rows] = ssrcs
        self._next[rows] = self.highest[rows] = self.first[rows] = numbers
        self.received[rows] = 0
        self._bad[rows] = -1
        self._last_sequence[rows] = numbers - 1
        self._last_timestamp[rows] = timestamps
        self._last_arrival[rows] = arrivals
        self._transit[rows] = 0
        self._transit_low[:, rows] = 0
        self._transit_high[:, rows] = 0
        self._transit_since[rows] = arrivals
        self._slack[:, rows] = np.inf
        self._slack_since[rows] = arrivals
        self._dry[rows] = 0
        self._paused[rows] = False
        self._owed[rows] = False

    def _count_late(self, rows: Rows, arrivals: F64) -> None:
        """A little more delay would have saved it: owe the ring one stretch, but not for each packet of a volley."""
        self.late[rows] += 1
        owed = arrivals - self._late_at[rows] > PAUSE_EXCESS
        self._owed[rows[owed]] = True
        self._late_at[rows] = arrivals

    def _time(self, rows: Rows, numbers: NDArray[np.int64], timestamps: U32, arrivals: F64) -> None:
        """Interarrival jitter (A.8), the spread of transit times, and the packets' length."""
        ticks = (timestamps - self._last_timestamp[rows]).view(np.int32)
        media = ticks / self.clock[rows]
        late = (arrivals - self._last_arrival[rows]) - media
        size = np.abs(late)
        wild = size >= 5.0  # a jump of the timestamp says nothing of the network
        if wild.any():
            late[wild] = size[wild] = 0.0
        jitter = self.jitter[rows]
        self.jitter[rows] = jitter + (size - jitter) / 16
        transit = self._transit[rows] + late
        old = arrivals - self._transit_since[rows] > SPREAD_WINDOW
        if old.any():
            turn = rows[old]
            for window, now in ((self._transit_low, transit), (self._transit_high, transit)):
                window[1, turn] = window[0, turn]
                window[0, turn] = now[old]
            self._transit_since[turn] = arrivals[old]
        self._transit[rows] = transit
        self._transit_low[0, rows] = np.minimum(self._transit_low[0, rows], transit)
        self._transit_high[0, rows] = np.maximum(self._transit_high[0, rows], transit)
        changed = media != self.packet_time[rows]
        if changed.any():
            neighbour = changed & (numbers == self._last_sequence[rows] + 1) & (media > 0) & (media <= 0.120)
            self.packet_time[rows[neighbour]] = media[neighbour]
        self._last_sequence[rows] = numbers
        self._last_timestamp[rows] = timestamps
        self._last_arrival[rows] = arrivals

    # -------------------------------------------------------------------------------------- out

    def pop(self, rows: Rows, now: float, silent: Bools) -> Popped:
        """Take one packet's time from each of ``rows`` (each at most once a call).

        Args:
            silent: (n,) nobody would hear if a packet were left out now.
        """
        n = len(rows)
        slots = np.full(n, -1, np.int32)
        verdicts = np.zeros(n, np.uint8)
        following = np.full(n, -1, np.int32)
        shrink = np.zeros(n, np.bool_)
        over = self.held[rows] * self.packet_time[rows] > MAX_DELAY + self.packet_time[rows]
        if over.any():
            self._shed(rows[over])
        number = self._next[rows]
        here = self._started[rows] & (self._numbers[rows, number % DEPTH] == number)
        behind = ~here & (self._dry[rows] > 0) & (self.held[rows] > 0)
        if behind.any():
            self._catch_up(rows[behind], now)
            number = self._next[rows]
            here = self._started[rows] & (self._numbers[rows, number % DEPTH] == number)
        place = number % DEPTH
        waited = now - self._arrivals[rows, place]
        hold = here & self._paused[rows]
        if hold.any():
            at = hold.nonzero()[0]
            hold[at] = waited[at] + 1e-3 < self._hold(rows[at], place[at], now)
        owed = self._owed[rows] & self._started[rows] & (self.held[rows] > 0) & ~self._paused[rows]
        play = here & ~hold & ~owed
        self._play(rows, place, play, waited, slots, now)
        verdicts[play] = PLAY
        if owed.any():
            self._owed[rows[owed]] = False
            verdicts[owed] = STRETCH
            self.concealed[rows[owed]] += 1
        rest = np.flatnonzero(~here & ~owed & self._started[rows])
        if rest.size:
            self._miss(rows, rest, number, verdicts, following, now)
        at = np.flatnonzero(play)
        shrink[at] = self._too_deep(rows[at], waited[at], now, silent[at])
        return Popped(slots, verdicts, following, shrink)

    def _shed(self, rows: Rows) -> None:
        """After a stall of the network more came at once than may ever wait: the oldest is given up."""
        numbers = self._numbers[rows]
        none = np.iinfo(np.int64).max
        ordered = np.sort(np.where(numbers >= 0, numbers, none), axis=1)
        keep = np.maximum((MAX_DELAY / self.packet_time[rows]).astype(np.intp), 1)
        oldest = ordered[np.arange(len(rows)), np.maximum(self.held[rows] - keep, 0)]
        gone = (numbers >= 0) & (numbers < oldest[:, None])
        who, place = np.nonzero(gone)
        self._freed.append(self._slots[rows[who], place])
        self._slots[rows[who], place] = -1
        self._numbers[rows[who], place] = -1
        count = gone.sum(axis=1)
        self.held[rows] -= count.astype(np.int32)
        self.late[rows] += count
        self._next[rows] = np.maximum(self._next[rows], oldest)

    def _catch_up(self, rows: Rows, now: float) -> None:
        """What was waited for is lost, as a later packet shows. The waiting has filled its time already."""
        numbers = self._numbers[rows]
        missing = np.where(numbers >= 0, numbers, np.iinfo(np.int64).max).min(axis=1) - self._next[rows]
        # Where the packet behind a lost one tells what it was, the last of a gap is still to be played: if the waiting
        # was for that too, the buffer is a packet deeper from now on, and so is ready for every single loss to come.
        told = self.recoverable[rows] & ~self._paused[rows]
        self._next[rows] += np.where(self._paused[rows], missing, np.minimum(missing - told, self._dry[rows]))
        self._dry[rows] = 0
        self._fec_until[rows] = now + FEC_MEMORY

    def _hold(self, rows: Rows, place: NDArray[np.int64], now: float) -> F64:
        """(n,) seconds that a pause's first packet waits: until it is as late as the latest of the last seconds."""
        high = np.maximum(self._transit_high[0, rows], self._transit_high[1, rows])
        held: F64 = np.minimum(high - self._transits[rows, place], np.minimum(self._spread(rows), MAX_DELAY))
        return held + self._for_fec(rows, now)

    def _for_fec(self, rows: Rows, now: float) -> F64:
        """(n,) seconds that packets are kept for the sake of those behind them."""
        kept: F64 = np.where(self.recoverable[rows] & (now < self._fec_until[rows]), self.packet_time[rows], 0.0)
        return kept

    def _spread(self, rows: Rows) -> F64:
        """(n,) seconds between the quickest and the slowest packet of the last seconds."""
        low = np.minimum(self._transit_low[0, rows], self._transit_low[1, rows])
        high = np.maximum(self._transit_high[0, rows], self._transit_high[1, rows])
        spread: F64 = high - low
        return spread

    def _play(self, rows: Rows, place: NDArray[np.int64], play: Bools, waited: F64, slots: I32, now: float) -> None:
        every = bool(play.all())
        played, at = (rows, place) if every else (rows[play], place[play])
        slots[play] = self._slots[played, at]
        self._slots[played, at] = -1
        self._numbers[played, at] = -1
        self.held[played] -= 1
        self._next[played] += 1
        self._dry[played] = 0
        self.delay[played] = waited if every else waited[play]
        resumed = self._paused[played]
        if resumed.any():  # how long packets waited before the pause says nothing of now
            again = played[resumed]
            self._paused[again] = False
            self._slack[:, again] = np.inf
            self._slack_since[again] = now

    def _miss(
        self,
        rows: Rows,
        rest: Rows,
        number: NDArray[np.int64],
        verdicts: NDArray[np.uint8],
        following: I32,
        now: float,
    ) -> None:
        """The packet that is due is not there."""
        some = self.held[rows[rest]] > 0
        lost = rest[some]  # later ones are: it is lost
        if lost.size:
            who = rows[lost]
            after = number[lost] + 1
            beside = self._numbers[who, after % DEPTH] == after
            following[lost[beside]] = self._slots[who[beside], after[beside] % DEPTH]
            verdicts[lost] = CONCEAL
            self._next[who] += 1
            self.concealed[who] += 1
            self._fec_until[who] = now + FEC_MEMORY
        dry = rest[~some]
        if dry.size:
            who = rows[dry]
            self._dry[who] += 1
            talking = (self._dry[who] <= DRY_BEATS) & ~self._paused[who]
            verdicts[dry[talking]] = STRETCH
            self.concealed[who[talking]] += 1
            self._paused[who[self._dry[who] >= DRY_BEATS]] = True

    def _too_deep(self, rows: Rows, waited: F64, now: float, silent: Bools) -> Bools:
        """Where the least slack of the last seconds is more than a packet's time."""
        old = now - self._slack_since[rows] > SLACK_WINDOW
        if old.any():
            turn = rows[old]
            self._slack[1, turn] = self._slack[0, turn]
            self._slack[0, turn] = np.inf
            self._slack_since[turn] = now
        self._slack[0, rows] = np.minimum(self._slack[0, rows], waited)
        slack = self.slack(rows)
        enough = slack > self.packet_time[rows] + MARGIN_STEADY
        if enough.any():
            at = enough.nonzero()[0]
            who = rows[at]
            enough[at] = slack[at] > self.packet_time[who] + self.margin(who) + self._for_fec(who, now)
        if not enough.any():
            return np.zeros(len(rows), np.bool_)
        known = np.isfinite(self._slack[1, rows]) | (slack > MAX_DELAY)
        since = now - self._shrunk[rows]
        # Seen to be too deep when half a window began: its first half is left for silence to come.
        ripe = silent | (slack > EXCESS) | (now - self._slack_since[rows] >= SLACK_WINDOW / 2)
        pause = np.where(silent, PAUSE_SILENT, np.where(slack > EXCESS, PAUSE_EXCESS, PAUSE_TALKING))
        deep = enough & known & ripe & (since >= pause) & (self.held[rows] > 0)
        deep &= self._numbers[rows, self._next[rows] % DEPTH] == self._next[rows]
        turn = rows[deep]
        self._shrunk[turn] = now
        self._slack[:, turn] -= self.packet_time[turn]
        result: Bools = deep
        return result

    def slack(self, rows: Rows) -> F64:
        """(n,) seconds that the latest packet of the last seconds waited; infinite where nothing was played."""
        least: F64 = np.minimum(self._slack[0, rows], self._slack[1, rows])
        return least

    def margin(self, rows: Rows) -> F64:
        """(n,) seconds of slack that are better kept."""
        kept: F64 = np.clip(self._spread(rows) / 2, MARGIN_STEADY, MARGIN)
        return kept

    def beat_moved(self, seconds: float) -> None:
        """Beats come by so much later than they did: what was measured against them holds for the new ones."""
        self._slack += seconds

    def mark_pause(self, rows: Rows) -> None:
        """What was just played says that the talker pauses (comfort noise, DTX): running dry is no loss now."""
        self._paused[rows] = True


def turns_of(rows: Rows) -> NDArray[np.intp]:
    """(n,) how many times each entry's row occurred before it."""
    turns = np.zeros(len(rows), np.intp)
    if len(rows) < 2 or np.bincount(rows).max() <= 1:
        return turns
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    index = np.arange(len(rows))
    turns[order] = index - np.repeat(index[starts], np.diff(np.append(starts, len(rows))))
    return turns
