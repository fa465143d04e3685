"""The video worker's beat: packets in, pictures decoded, composed, encoded, packets out; spelt once and in order."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.media import rtp
from bridge.media.srtp import SrtpTable
from bridge.media.video.extension import find
from bridge.media.wire import VIDEO, PacketPool, Receiver
from bridge.mixer.compose import Picture

from .. import protocol as say
from ..intake import Intake, Packets
from ..ports import open_ports
from ..protocol import Address, Begin
from ..protocol_video import SetVideoStream
from ..report import Reporter
from .answers import Answers
from .commands import Commands
from .congestion import Congestion
from .crew import Crew
from .encoding import Encoding, Work
from .fanout import Fanout
from .figures import Figures
from .forwarding import Forwarding
from .keyframes import Keyframes
from .load import Asked, Load
from .painted import Painted
from .reception import Reception
from .relayed import Relayed
from .room import VideoRoom, Viewer, key_of, pictures_for
from .simulcast import Simulcast
from .snapshot import Snapshots
from .source import Source, Wants, begins_keyframe
from .table import RTX, VideoTable
from .tiles import Tiles

Rows: TypeAlias = NDArray[np.intp]

SLOT = 1 / 150
"""Seconds between two beats: the greatest step in which frames of 30, 25 and 15 a second all fall on beats."""
PLANNED = 0.1
"""Seconds after which it is looked anew who sees what: time alone changes scenes (a stalled sender, a rung up)."""
TOLD = 0.4
"""Seconds between two words to the room that an unwatched sender's pictures come: well below its stall time (2 s)."""
NEW = 2.0
"""Seconds in which a newcomer is decoded though nobody sees him yet, so that his tile appears with a picture in it."""
UNSEEN = 5.0
"""Seconds that somebody is decoded after he has left every picture: people come back into view."""
SILENT_AFTER = 5.0
"""Seconds without a packet between two :class:`~bridge.worker.protocol.Silent`."""
RTCP_EVERY = 3
"""Beats between looks at the RTCP sockets, 20 ms: a NACK must be answered while the packet is of use."""
FEEDBACK_EVERY = 15
"""Beats between two transport-wide feedbacks to a sender: 0.1 s, where libwebrtc has 0.05 to 0.25."""


class VideoBeat:
    """A video worker's whole state, and what it does with it."""

    def __init__(
        self,
        begin: Begin,
        emit: Callable[[msgspec.Struct], None],
        now: float,
        descriptors: Sequence[int] = (),
        *,
        threads: int | None = None,
    ) -> None:
        """Args:
        descriptors: what came with ``begin``; ours to close.

        Raises:
            OSError: none of the ports can be bound.
        """
        self.emit = emit
        self._rng = np.random.default_rng(begin.seed or None)
        self._numbers, self._rtp, self._rtcp = open_ports(begin.host, begin.ports, dscp=VIDEO)
        ports = tuple(self._numbers)
        shared = len(begin.bundle_ports)
        # Bundle ports are the audio process's to read: we only send there, and get by relay what is ours.
        self._read_fds = [s.fileno() for s in self._rtp]
        self._numbers += begin.bundle_ports
        self._rtp += [socket.socket(fileno=fd) for fd in descriptors[:shared]]
        self._relays = [socket.socket(fileno=fd) for fd in descriptors[shared:]]
        self._fds = [s.fileno() for s in self._rtp]
        self._rtcp_fds = [s.fileno() for s in self._rtcp]
        self.index = {port: n for n, port in enumerate(self._numbers)}
        n = begin.capacity
        self.table = VideoTable(n, len(self._fds), self._rng)
        self._pool = PacketPool(16384)
        self._media = Receiver(self._pool, 4096)
        self._control = Receiver(self._pool, 512)
        self.reception = Reception(n)
        self.srtp = SrtpTable(n, repeat=True)
        self._intake = Intake(self.table, self._pool, self.srtp, self._keep, self._on_latched)
        self.relayed = Relayed(self.table, self._pool, self._intake, [s.fileno() for s in self._relays], self._rng)
        self.fanout = Fanout(self.table, self.srtp, self._fds)
        self.answers = Answers(self.table, self.fanout)
        self.reporter = Reporter(
            self.table,
            self.reception,
            self.srtp,
            (self._fds, self._rtcp_fds),
            self._rng,
            self.answers.lost,
            self.answers.feedback,
        )
        self.answers.reply = self.reporter.send_one
        self.answers.round_trip = lambda row: float(self.reporter.round_trip[row])
        self.keyframes = Keyframes(self)
        self.forwarding = Forwarding(self, self._pool, n)
        self.tiles = Tiles(self, self.forwarding)
        self.crew = Crew(threads)
        self.rooms: dict[int, VideoRoom] = {}
        """By control's number."""
        self.sources: dict[int, Source] = {}
        """Of watched rows."""
        self.simulcasts: dict[int, Simulcast] = {}
        """Of rows that send several encodings at once."""
        self.painted: dict[int, Painted] = {}
        """Simulated participants, by row."""
        self._live: list[Encoding] = []
        """Encodings with packets to send, maybe."""
        self.work = Work()
        self.load = Load(now)
        self._figures = Figures(self)
        self.snapshots = Snapshots(self.crew, self.emit)
        self._commands = Commands(self, SLOT)
        self._decoded = 0
        """Frames of those who are no longer watched."""
        self._dirty = True
        self._planned = self._begun = now
        self._unseen: NDArray[np.float64] = np.full(n, np.inf)
        self.congestion = Congestion(self, self._pool, n)
        self.answers.told = lambda row, message: self.congestion.told(row, message, self._now)
        self.answers.sharing = self.sharing
        self.answers.forwarding, self.answers.tiles = self.forwarding, self.tiles
        self.reporter.sharing = self.sharing
        self._said_silent: NDArray[np.float64] = np.zeros(n)
        self._beats = 0
        self.back: dict[int, float] = {}
        """When rows get a keyframe once more."""
        self._second, self._used = now, 0.0
        emit(say.Ready(version=say.VERSION, pid=os.getpid(), ports=ports))

    # ------------------------------------------------------------------------------------------- the beat

    def run(self, now: float, realtime: float) -> None:
        """One beat.

        Args:
            now, realtime: the same instant on the monotonic and the wall clock.
        """
        begin, used = time.monotonic(), time.thread_time()
        self._beats += 1
        self._now = now
        self._intake.media(self._media.receive(self._read_fds, now, realtime), now)
        self.relayed.receive(now)
        if self._beats % RTCP_EVERY == 0:
            self._intake.control(self._control.receive(self._rtcp_fds, now, realtime))
        if self._intake.reports:
            self.answers.now = now
            self.reporter.read(self._intake.reports, now, realtime)
        self._watch_sources(now)
        if self.tiles.tiles or self.tiles.dirty:
            self.tiles.step(now)
            if self._beats % RTCP_EVERY == 1:
                self.forwarding.ask(now)
        self.crew.collect()
        if self._dirty or now - self._planned >= PLANNED:
            self._plan(now)
        self._paint(now)
        self.crew.collect()
        self._send(now)
        self._slowly(now, realtime)
        self._figures.lasted(time.monotonic() - begin)
        self._used += time.thread_time() - used

    def waits_for(self) -> list[int]:
        """File descriptors whose news should not wait for the next beat."""
        return [self.crew.fileno()]

    def idle(self) -> bool:
        """There is nobody to hear or to show anything: beats may be few."""
        return len(self.table.rows) <= len(self.painted) and not self.snapshots.waiting

    # ------------------------------------------------------------------------------------------- packets in

    def _keep(self, packets: Packets, now: float) -> NDArray[np.bool_]:
        """Count all, give the watched ones to their sources; slots are given back, the payloads are copied."""
        table, headers, none = self.table, packets.headers, np.zeros(len(packets.rows), np.bool_)
        rows, kinds = packets.rows, packets.kinds
        table.last_heard[rows] = table.arrived[rows] = now
        if headers.extended.any():
            self.congestion.came(packets)
        layers = np.zeros(len(rows), np.int64)
        if self.simulcasts and table.layered[rows].any():
            every = packets
            packets = self._layers(packets, layers, now)
            self.forwarding.take(every, layers, now)
            rows, kinds, headers = packets.rows, packets.kinds, packets.headers
        elif table.forwarded[rows].any():
            self.forwarding.take(packets, layers, now)
        own = kinds < RTX
        if own.all():
            main, part = rows, headers
            arrivals = packets.arrivals
        else:
            at = own.nonzero()[0]
            main, part, arrivals = rows[at], headers.rows(at), packets.arrivals[at]
        if main.size:
            if not table.heard[main].all():
                self._begin(np.unique(main[~table.heard[main]]), now)
            self.reception.add(main, part.sequence, part.timestamp, part.ssrc, arrivals)
            table.remote_ssrc[main] = part.ssrc
            table.last_sequence[main] = part.sequence
            table.heard[main] = True
        np.add.at(table.octets, rows, headers.size)
        if headers.extended.any():
            self._read_orientation(packets)
        seen = table.watched[rows]
        if not seen.all():
            self._note_unwatched(np.unique(main[~table.watched[main]]), now)
        self._feed(packets, seen.nonzero()[0])
        return none

    def _layers(self, packets: Packets, found: NDArray[np.int64], now: float) -> Packets:
        """Those packets that are of the layers that are decoded, or of streams without layers.

        Args:
            found: (n,) zeros; the layer of each is written there, -1: of none.
        """
        table, headers, memory = self.table, packets.headers, self._pool.memory
        at = table.layered[packets.rows].nonzero()[0]
        rows, again = packets.rows[at], packets.kinds[at] >= RTX
        identifiers = np.where(again, table.repaired_rid[rows], table.rid[rows])
        where, sizes = find(self._pool, packets.slots[at], identifiers, headers.offset[at])
        sizes = np.where(headers.extended[at], sizes, 0)
        keep = np.ones(len(packets.rows), np.bool_)
        for n, start, size in zip(at.tolist(), where.tolist(), sizes.tolist(), strict=True):  # as in _feed
            row, kind, offset = int(packets.rows[n]), int(packets.kinds[n]), int(headers.offset[n])
            rid = self._pool.flat[start : start + size].tobytes().decode("ascii", "replace")
            size = int(headers.size[n])
            payload = memory[packets.slots[n], offset : offset + size].tobytes()
            spec, layers = table.specs[int(table.stream[row])], self.simulcasts[row]
            key, height = (False, 0) if kind >= RTX else begins_keyframe(spec.receive[kind - 1], payload)
            ssrc = int(headers.ssrc[n])
            layer = layers.note(ssrc, rid, size, now, keyframe=key, height=height, repeated=kind >= RTX)
            found[n], keep[n] = layer, layer >= 0 and layer == layers.current
        kept = keep.nonzero()[0]
        return Packets(
            packets.rows[kept], packets.slots[kept], packets.kinds[kept], headers.rows(kept), packets.arrivals[kept]
        )

    def simulcast_of(self, row: int, spec: SetVideoStream) -> None:
        """A stream is described: it has layers, other ones, or none."""
        known = self.simulcasts.get(row)
        if not spec.layers:
            self.simulcasts.pop(row, None)
        elif known is None or known.specs != spec.layers:
            self.simulcasts[row] = Simulcast(spec.layers)

    def _choose_layers(self, now: float) -> None:
        """The layer that each simulcast is wanted in, by the largest tile that it is shown in."""
        heights: dict[int, int] = {}
        for room in self.rooms.values():
            keyed = {key: row for key, (row, _) in room.streams.items() if row in self.simulcasts}
            for pane in room.panes.values() if keyed else ():
                for tile, shown in pane.scene.tiles(pane.composer.canvas.width, pane.composer.canvas.height):
                    if shown is not None and shown.who in keyed:
                        row = keyed[shown.who]
                        heights[row] = max(heights.get(row, 0), tile.inner.h)
        for row, layers in self.simulcasts.items():
            source = self.sources.get(row)
            layers.show(heights.get(row, 0), now)
            ssrc = layers.wants(now) if source is not None or layers.current < 0 else 0
            if ssrc:
                self.keyframes.ask(row, ssrc, now)

    def _begin(self, rows: Rows, now: float) -> None:
        """The first packets of streams: with them comes a keyframe, which is not to be missed."""
        self._dirty = self.tiles.dirty = True
        self.table.since[rows] = now
        for row in rows.tolist():
            room = self._room_of(row)
            if room is not None and room.viewers:
                self._start(row)
                self._unseen[row] = now - UNSEEN  # no longer than it is new, unless somebody sees it

    def _feed(self, packets: Packets, at: Rows) -> None:
        """One by one: frames are put together from them, which no array does for us."""
        headers, memory = packets.headers, self._pool.memory
        columns = (
            packets.rows[at],
            packets.kinds[at],
            packets.slots[at],
            headers.offset[at],
            headers.size[at],
            headers.ssrc[at],
            headers.sequence[at],
            headers.timestamp[at],
            headers.marker[at],
            packets.arrivals[at],
        )
        for row, kind, slot, offset, size, ssrc, sequence, timestamp, marker, came in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            source = self.sources[row]
            payload = memory[slot, offset : offset + size].tobytes()
            if kind < RTX:
                source.feed(kind, ssrc, sequence, timestamp, marker, payload, came)
            else:
                source.feed_again(kind - RTX, timestamp, marker, payload, came)

    def _read_orientation(self, packets: Packets) -> None:
        """Coordination of video orientation (3GPP TS 26.114 §7.4.5): the last two bits are quarter turns."""
        identifiers = self.table.orientation[packets.rows]
        at = (packets.headers.extended & (identifiers > 0)).nonzero()[0]
        if at.size:
            value = rtp.audio_levels(self._pool, packets.slots[at], identifiers[at], packets.headers.offset[at])
            told = value >= 0
            self.table.turn[packets.rows[at[told]]] = 90 * (value[told] & 3)

    def _note_unwatched(self, rows: Rows, now: float) -> None:
        """Pictures come of somebody whom nobody sees."""
        for row in rows[now - self.table.pictured[rows] >= TOLD].tolist():
            self.table.pictured[row] = now
            room, spec = self._room_of(row), self.table.specs[int(self.table.stream[row])]
            if room is not None and not spec.content:
                room.chooser.picture(key_of(spec), now)

    def _watch_sources(self, now: float) -> None:
        """Frames to the decoders, requests to the senders; over those who are seen: some dozens a room at most."""
        for row, source in self.sources.items():
            wants = source.take(now, int(self.table.turn[row]), float(self.reporter.round_trip[row]))
            if wants.keyframe or wants.missing:
                self._ask(row, wants, now)

    def _ask(self, row: int, wants: Wants, now: float) -> None:
        table = self.table
        spec = table.specs[int(table.stream[row])]
        ours, theirs = int(table.ssrc[row]), int(table.remote_ssrc[row])
        if not table.heard[row]:
            return
        if wants.missing and spec.nack:
            self.reporter.send_one(row, self.answers.nack(ours, wants.ssrc, wants.missing))
        if wants.keyframe:
            self.keyframes.ask(row, theirs, now)

    # ------------------------------------------------------------------------------------------- pictures

    def picture(self, room: VideoRoom, key: int) -> Picture | None:
        """The last picture of one of a room's sources."""
        found = room.streams.get(key)
        if found is not None:
            row = found[0]
            painted = self.painted.get(row)
            if painted is not None:
                return painted.picture
            source = self.sources.get(row)
            return source.picture if source else None
        return None

    def paint(self, room: VideoRoom, key: int, now: float) -> None:
        """A simulated participant's picture of now."""
        found = room.streams.get(key)
        painted = self.painted.get(found[0]) if found else None
        if painted is not None:
            painted.speaking = room.speaker == key
            painted.paint(now)

    def _plan(self, now: float) -> None:
        """Who sees what, and who therefore is decoded."""
        self._dirty, self._planned = False, now
        table = self.table
        seen: set[int] = set()
        self._live = []
        for room in self.rooms.values():
            for key, (row, _) in room.streams.items():
                if row in self.painted:
                    room.chooser.picture(key, now)
            room.plan(now, self.load)
            for encoding in room.closed:
                self.fanout.history.encoding(encoding.number, None)
            room.closed.clear()
            for pane in room.panes.values():
                self._live += pane.encodings.values()
            keys = room.sources(now) | self.snapshots.sources(room, now)
            seen |= {room.streams[key][0] for key in keys if key in room.streams}
        new = (now - table.since < NEW) & table.heard & table.live & (table.pictured == 0)
        watching = {row for room in self.rooms.values() if room.viewers for row, _ in room.streams.values()}
        self._watch(seen, watching.intersection(new.nonzero()[0].tolist()), now)

    def _watch(self, seen: set[int], new: set[int], now: float) -> None:
        for row in seen | new:
            self._unseen[row] = np.inf if row in seen else now - UNSEEN
            self._start(row)
        for row in [row for row in self.sources if row not in seen and row not in new]:
            if not np.isfinite(self._unseen[row]):
                self._unseen[row] = now
            elif now - self._unseen[row] > UNSEEN:
                self.unwatch(row)

    def _start(self, row: int) -> None:
        """Decode a stream from now on."""
        if row in self.sources or row in self.painted:
            return
        spec = self.table.specs[int(self.table.stream[row])]
        self.sources[row] = Source(self.crew, spec.receive, nack=spec.nack, pictured=partial(self._pictured, row))
        self.table.watched[row] = True
        self.congestion.renew(row)

    def unwatch(self, row: int) -> None:
        source = self.sources.pop(row, None)
        self._decoded += source.decoded if source else 0
        self.table.watched[row] = False
        self._unseen[row] = np.inf
        self.congestion.renew(row)

    def _pictured(self, row: int) -> None:
        """A new picture was decoded."""
        room = self._room_of(row)
        if room is None or not self.table.live[row]:
            return
        spec = self.table.specs[int(self.table.stream[row])]
        if not spec.content:
            if self.table.pictured[row] == 0:
                self._dirty = True
            self.table.pictured[row] = self._now
            room.chooser.picture(key_of(spec), self._now)

    def _paint(self, now: float) -> None:
        """Panes whose next frame is due."""
        for room in self.rooms.values():
            for pane in room.panes.values():
                due = pane.due(now)
                if not due:
                    continue
                keys = pane.scene.sources()
                for key in keys:
                    self.paint(room, key, now)
                pictures = pictures_for(keys, partial(self.picture, room))
                pane.run(
                    self.crew,
                    self.work,
                    pictures,
                    due,
                    now,
                    partial(self._drawn, room),
                )

    def _drawn(self, room: VideoRoom, encoding: Encoding, keyframe: bool) -> None:
        """A frame is encoded; a keyframe lets in who waits."""
        if keyframe and encoding.joining:
            if not encoding.members:
                self.fanout.history.encoding(encoding.number, encoding.packets)
            for changed in room.arrive(encoding):
                self._seat(changed)

    def _seat(self, encoding: Encoding) -> None:
        table = self.table
        rows = np.array(sorted(encoding.members), np.intp)
        encoding.rows = rows[np.argsort(table.socket[rows], kind="stable")]
        if len(rows):
            self.fanout.history.limit(rows, float(encoding.kind.rung.bits))

    # ------------------------------------------------------------------------------------------- packets out

    def _send(self, now: float) -> None:
        for encoding in self._live:
            if encoding.pacer.waiting and len(encoding.rows):
                self.fanout.send(encoding, now)

    def _slowly(self, now: float, realtime: float) -> None:
        if self._beats % 15 == 2:
            rows = (self.table.live & ~self.table.simulated).nonzero()[0]
            self.fanout.settle(rows, now)
            self.reporter.send(now, realtime)
            self._greet_again(now)
        if self.simulcasts and self._beats % FEEDBACK_EVERY == 9:
            self._choose_layers(now)
        if self._beats % FEEDBACK_EVERY == 3:
            self.congestion.tell()
        if self.snapshots.waiting and self._beats % 15 == 7:
            self.snapshots.step(now, self)
        if now - self._second >= 1.0:
            self.tiles.busy(self._used / max(now - self._second, 0.001), now)
            self._used, self._second = 0.0, now
            self._tell_silent(now)
            self.congestion.moderate(now)
            rows = (self.table.live & ~self.table.simulated).nonzero()[0]
            self.fanout.settle(rows, now)
            report = self._figures.report(now)
            self._dirty |= self.load.second(self.asked, self._figures.late, report.load, now)
            self.emit(report)

    def _greet_again(self, now: float) -> None:
        for row in [row for row, at in self.back.items() if now >= at]:
            del self.back[row]
            viewer = self.viewer(row)
            if viewer is not None and viewer.encoding is not None:
                viewer.encoding.limiter.ask()

    def _tell_silent(self, now: float) -> None:
        table = self.table
        silent = table.live & ~table.simulated & ~table.tile & (now - table.last_heard >= SILENT_AFTER)
        silent &= now - self._said_silent >= SILENT_AFTER
        for row in np.flatnonzero(silent).tolist():
            self._said_silent[row] = now
            self.emit(say.Silent(stream=int(table.stream[row]), seconds=float(now - table.last_heard[row])))

    # ------------------------------------------------------------------------------------------- commands, events

    def obey(self, command: msgspec.Struct, now: float) -> None:
        """Carry out one command between two beats; what can't be done is told as Trouble."""
        self._now = now
        self._commands.obey(command, now)
        self._dirty = True

    def meet(self, row: int, now: float) -> None:
        """A row is another stream's."""
        self._said_silent[row] = now
        self.reception.forget(row)

    def forget(self, row: int) -> None:
        """A row's stream is gone."""
        self.back.pop(row, None)
        self.unwatch(row)
        self.painted.pop(row, None)
        self.srtp.drop(row)
        self.reception.forget(row)
        self.reporter.forget(row)
        self.congestion.forget(row)
        self.simulcasts.pop(row, None)
        self.keyframes.forget(row)
        self.forwarding.forget(row)
        if self.table.tile[row]:
            self.forwarding.close(row)
            self.tiles.drop(row)

    def _on_latched(self, row: int, address: tuple[str, int]) -> None:
        stream = int(self.table.stream[row])
        self.emit(say.Latched(stream=stream, remote=Address(*address)))
        spec = self.table.specs[stream]
        room = self.rooms.get(spec.room)
        if room is not None and spec.send is not None:
            room.enter(row, spec, self._now)
            self.answers.viewers[row] = room.viewers[row]
            encoding = room.viewers[row].encoding
            if encoding is not None:
                encoding.limiter.ask()  # what was sent elsewhere, he has not
        self._dirty = True

    def sharing(self, row: int) -> list[int]:
        """The rows that share a row's transport, itself among them."""
        spec = self.table.specs.get(int(self.table.stream[row]))
        return self.relayed.bundles.get(spec.bundle, [row]) if spec is not None and spec.bundle else [row]

    def viewers_of(self, row: int) -> list[Viewer]:
        """Who is sent composed pictures over a row's transport."""
        return [viewer for each in self.sharing(row) if (viewer := self.viewer(each)) is not None]

    def draw(self, below: int) -> int:
        """A random number."""
        return int(self._rng.integers(below))

    def viewer(self, row: int) -> Viewer | None:
        """Who is sent to at a row."""
        return self.answers.viewers.get(row)

    def _room_of(self, row: int) -> VideoRoom | None:
        spec = self.table.specs.get(int(self.table.stream[row]))
        return self.rooms.get(spec.room) if spec else None

    @property
    def asked(self) -> list[Asked]:
        """Encodings that are watched, as their receivers could take them."""
        return [each for room in self.rooms.values() for each in room.asked]

    @property
    def decoded(self) -> int:
        """Frames, since the start."""
        return self._decoded + sum(source.decoded for source in self.sources.values())

    @property
    def strangers(self) -> int:
        return self._intake.counters.strangers

    @property
    def malformed(self) -> int:
        return self._intake.counters.malformed + self.reporter.malformed

    def rollovers(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(n,) rollover counters received, SRTCP indices sent."""
        return self.srtp.rollover(rows), self.srtp.send_state(rows)[1]

    def close(self) -> None:
        """Say goodbye to every stream (RTCP BYE), free everything."""
        rows = np.flatnonzero(self.table.live & ~self.table.simulated)
        self.reporter.goodbye(rows, time.monotonic(), time.time())
        self.crew.close()
        for sock in (*self._rtp, *self._rtcp, *self._relays):
            sock.close()
