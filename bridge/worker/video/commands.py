"""What control orders of a video worker, carried out between two beats."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from .. import protocol as say
from .. import protocol_video as show
from ..protocol_video import SetTile, SetVideoRoom, SetVideoStream
from ..table import NO_ADDRESS, TableFull
from .fanout import MOST_PAYLOAD
from .painted import Painted
from .room import Numbers, VideoRoom, key_of, look_of
from .table import MOST_FORMATS, check

if TYPE_CHECKING:
    from .beat import VideoBeat

BACK = 0.6
"""Seconds after which who came back from hold, or turned his camera off or on, gets a keyframe once more: baresip 1.0
loses packets at such a moment, or adds a keyframe to the frame that the hold cut short, and asks for nothing."""


ALIKE = (
    "bundle",
    "keyed",
    "fixed",
    "srtp_send",
    "srtp_receive",
    "mid",
    "extensions",
    "transport_cc",
    "remb",
    "send_state",
    "cname",
)
"""What a tile's description says as a stream's does."""


class Commands:
    """Changes the beat's state as told."""

    def __init__(self, beat: VideoBeat, slot: float) -> None:
        """Args:
        slot: seconds between two beats.
        """
        self._beat, self._slot = beat, slot
        self._numbers = Numbers()

    def obey(self, command: msgspec.Struct, now: float) -> None:
        """Carry out one command between two beats; what can't be done is told as Trouble."""
        try:
            self._obey(command, now)
        except (ValueError, TableFull, KeyError, OSError) as error:
            stream = getattr(command, "stream", 0)
            self._beat.emit(say.Trouble(reason=str(error), stream=stream, room=getattr(command, "room", 0)))

    def _obey(self, command: msgspec.Struct, now: float) -> None:
        match command:
            case SetVideoRoom():
                self._set_room(command, now)
            case show.DropVideoRoom():
                self._drop_room(command.room)
            case SetVideoStream():
                self._set_stream(command, now)
            case show.SetTile():
                self._set_tile(command, now)
            case show.DropVideoStream():
                self._drop_stream(command.stream, now)
            case show.SetVoice():
                self._room(command.room).voice(command.participant, command.name, muted=command.muted)
            case show.DropVoice():
                self._room(command.room).drop_voice(command.participant)
            case show.SetPainted():
                self._set_painted(command, now)
            case show.SetSpeaker():
                self._room(command.room).speaks(command.participant, now)
                self._beat.tiles.spoke(command.room, command.participant)
            case show.AskKeyframe():
                viewer = self._beat.viewer(self._beat.table.rows[command.stream])
                if viewer is not None and viewer.encoding is not None:
                    viewer.encoding.limiter.ask()
            case show.Snapshot():
                self._beat.snapshots.ask(command, self._room(command.room), now)
            case _:
                raise ValueError(f"{type(command).__name__} is not for a running video worker")

    def _room(self, number: int) -> VideoRoom:
        room = self._beat.rooms.get(number)
        if room is None:
            raise ValueError(f"there is no room {number}")
        return room

    def _set_room(self, spec: SetVideoRoom, now: float) -> None:
        logo = self._beat.snapshots.logo(spec.logo)
        room = self._beat.rooms.get(spec.room)
        if room is None:
            index = self._beat.table.add_room(spec.room)
            try:
                room = VideoRoom(spec, index, self._numbers, self._slot)
            except ValueError:
                self._beat.table.drop_room(spec.room)
                raise
            self._beat.rooms[spec.room] = room
        else:
            room.describe(spec)
            room.refresh_viewers(now)
        room.set_logo(logo)

    def _drop_room(self, number: int) -> None:
        self._beat.table.drop_room(number)
        self._beat.tiles.drop_room(number)
        room = self._beat.rooms.pop(number, None)
        if room is not None:
            for encoding in room.close():
                self._beat.fanout.history.encoding(encoding.number, None)

    def _set_stream(self, spec: SetVideoStream, now: float) -> None:
        table = self._beat.table
        if spec.port not in self._beat.index:
            raise ValueError(f"port {spec.port} is not ours")
        if not 200 <= spec.mtu <= MOST_PAYLOAD:
            raise ValueError(f"payloads of {spec.mtu} octets")
        index = 0
        if spec.room:
            room = self._room(spec.room)
            look_of(spec.look or room.spec.look, room.spec, spec.waiting)  # raises before anything has changed
            index = table.add_room(spec.room)
        row = table.rows.get(spec.stream, -1)
        before = table.specs.get(spec.stream)
        fresh = row < 0
        if fresh:
            row = table.add(spec.stream, now)
            self._beat.meet(row, now)
        if before is not None and (before.send, before.room) != (spec.send, spec.room):
            self._finish(row, now)
        try:
            table.configure(row, spec, index, self._beat.index[spec.port])
        except ValueError:
            if fresh:
                table.remove(spec.stream)
            raise
        if not fresh:
            self._beat.fanout.settle(np.array([row]), now)
        if fresh or before is None or _rtx(before) != _rtx(spec):
            self._beat.fanout.open(row, now, rtx=_rtx(spec))
        self._set_keys(row, spec)
        self._beat.relayed.set(row, spec, before)
        self._beat.simulcast_of(row, spec)
        self._beat.forwarding.describe_sender(row, spec)
        self._beat.tiles.dirty = True
        self._count_transport(row)
        self._beat.reporter.add(row, spec.cname, now, xr=False)
        if row in self._beat.sources:
            self._beat.sources[row].set_formats(spec.receive, nack=spec.nack)
        if before is not None and _directions(before) != _directions(spec):
            self._turn_round(row, before, now)
        if before is not None and (before.room, key_of(before)) != (spec.room, key_of(spec)):
            self._leave(self._beat.rooms.get(before.room), row, before)
        if spec.room:
            room = self._beat.rooms[spec.room]
            room.enter(row, spec, now)
            if table.latch[row] == NO_ADDRESS:
                room.viewers.pop(row, None)
            if row in room.viewers:
                self._beat.answers.viewers[row] = room.viewers[row]
            else:
                self._beat.answers.viewers.pop(row, None)

    def _set_tile(self, tile: SetTile, now: float) -> None:
        """A tile is a stream that only sends; its way is that of any other."""
        table = self._beat.table
        if tile.port not in self._beat.index:
            raise ValueError(f"port {tile.port} is not ours")
        if not tile.fixed:
            raise ValueError("a tile's address is known")
        if len(tile.formats) > MOST_FORMATS:
            raise ValueError(f"more than {MOST_FORMATS} formats")
        for each in tile.formats:
            check(each)
        spec = SetVideoStream(
            stream=tile.stream,
            room=tile.room,
            port=tile.port,
            remote=tile.remote,
            remote_rtcp=tile.remote_rtcp,
            rtcp_mux=tile.rtcp_mux,
            send=None,
            receive=(),
            **{name: getattr(tile, name) for name in ALIKE},
        )
        index = table.add_room(tile.room) if tile.room in self._beat.rooms else 0
        row = table.rows.get(tile.stream, -1)
        before = table.specs.get(tile.stream)
        if row >= 0 and not table.tile[row]:
            raise ValueError(f"stream {tile.stream} is no tile")
        if row < 0:
            row = table.add(tile.stream, now)
        try:
            table.configure(row, spec, index, self._beat.index[tile.port])
        except ValueError:
            if before is None:
                table.remove(tile.stream)
            raise
        table.tile[row] = True
        rtx = bool(tile.formats) and all(each.rtx_type for each in tile.formats)
        if before is None:
            self._beat.fanout.open(row, now, rtx=rtx)
        self._beat.forwarding.open(row, tile, fresh=before is None)
        self._set_keys(row, spec)
        self._beat.relayed.set(row, spec, before)
        self._count_transport(row)
        self._beat.reporter.add(row, spec.cname, now, xr=False)
        self._beat.tiles.set(row, tile)

    def _count_transport(self, row: int) -> None:
        self._beat.congestion.set(row, numbered=bool(self._beat.table.numbered[row]))

    def _finish(self, row: int, now: float) -> None:
        """What somebody is sent ends, or becomes something else: not in the middle of a frame."""
        viewer = self._beat.viewer(row)
        if viewer is not None and viewer.encoding is not None and row in viewer.encoding.rows:
            self._beat.fanout.finish(row, viewer.encoding, now)

    def _leave(self, room: VideoRoom | None, row: int, spec: SetVideoStream) -> None:
        if room is not None:
            room.leave(row, spec)
        self._beat.answers.viewers.pop(row, None)
        self._beat.unwatch(row)

    def _set_keys(self, row: int, spec: SetVideoStream) -> None:
        if spec.srtp_send is not None:
            index = spec.send_state.rtcp_index if spec.send_state else 0
            key = spec.srtp_send
            self._beat.srtp.set_send(row, key.suite, key.material, rollover=key.rollover, rtcp_index=index)
        if spec.srtp_receive is not None:
            key = spec.srtp_receive
            self._beat.srtp.set_receive(row, key.suite, key.material, rollover=key.rollover)
        if spec.srtp_send is None and spec.srtp_receive is None:
            self._beat.srtp.drop(row)

    def _set_painted(self, command: show.SetPainted, now: float) -> None:
        table, room = self._beat.table, self._room(command.room)
        row = table.rows.get(command.stream, -1)
        if row < 0:
            row = table.add(command.stream, now)
        table.simulated[row] = True
        table.room[row] = table.rooms[command.room]
        spec = SetVideoStream(
            stream=command.stream,
            room=command.room,
            port=0,
            remote=None,
            remote_rtcp=None,
            rtcp_mux=False,
            send=None,
            receive=(show.VideoFormat("VP8", 0),),
            participant=command.participant,
            name=command.name,
            muted=command.muted,
        )
        table.specs[command.stream] = spec
        if row not in self._beat.painted or self._beat.painted[row].name != command.name:
            self._beat.painted[row] = Painted(command.name, command.stream)
        room.enter(row, spec, now)

    def _drop_stream(self, stream: int, now: float) -> None:
        table = self._beat.table
        row = table.rows.get(stream, -1)
        if row < 0:
            return
        spec = table.specs[stream]
        self._beat.tiles.dirty = True
        if not table.tile[row]:
            self._leave(self._beat.rooms.get(spec.room), row, spec)
        if not table.simulated[row]:
            self._beat.reporter.goodbye(np.array([row]), now, time.time())
        table.remove(stream)
        self._beat.relayed.forget(row, spec)
        self._beat.forget(row)
        for other in self._beat.relayed.bundles.get(spec.bundle, [])[:1]:
            self._count_transport(other)

    def _turn_round(self, row: int, before: SetVideoStream, now: float) -> None:
        """One direction was opened or closed."""
        self._beat.back[row] = now + BACK
        if before.send is None and row in self._beat.sources:
            # From hold: an encoder that went on meanwhile, its packets unsent and uncounted, can't be told by numbers.
            self._beat.sources[row].renew()


def _directions(spec: SetVideoStream) -> tuple[bool, bool]:
    return spec.send is not None, bool(spec.receive)


def _rtx(spec: SetVideoStream) -> bool:
    return bool(spec.send and spec.send.rtx_type)
