"""Control's side of a video worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from bridge.media.video.payload import CLOCK_RATE

from ..client import FRESH, Numbers, Spare, Supervisor, resumed
from ..protocol import Address, Begin, Latched
from ..protocol_video import (
    DropVideoRoom,
    DropVideoStream,
    DropVoice,
    SetPainted,
    SetSpeaker,
    SetTile,
    SetVideoRoom,
    SetVideoStream,
    SetVoice,
    Snapshot,
    SnapshotDone,
    VideoCommand,
    VideoEvent,
    VideoReport,
    unpack_video_event,
)

VIDEO = "bridge.worker.video.process"
PACKETS_A_SECOND = 2000
"""Of a stream, at most: 20 Mbit/s."""
SKIP = 4096
"""Sequence numbers left out after a restart: more than a stream can have sent since a report :data:`FRESH` seconds old,
so that no SRTP packet index comes twice (RFC 3711 §9.1)."""


STARVED = 15.0
"""Seconds without a report after which a video worker is taken for hung. Where there is no time it is the first that
gets none (:data:`.process.NICE`), and another in its place would get none either, after a second of its imports."""


class VideoWorker(Supervisor[VideoCommand, VideoEvent]):
    """One video worker, whichever process it is at the moment."""

    patience = STARVED

    def __init__(
        self,
        number: int,
        begin: Begin,
        sink: Callable[[int, VideoEvent], None],
        spare: Spare,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Args:
        spare: of the module :data:`VIDEO`.
        descriptors: as a :class:`Supervisor`'s.
        """
        super().__init__(number, begin, sink, spare, descriptors)
        self._rooms: dict[int, SetVideoRoom] = {}
        self._streams: dict[int, SetVideoStream] = {}
        self._tiles: dict[int, SetTile] = {}
        self._painted: dict[int, SetPainted] = {}
        self._voices: dict[tuple[int, int], SetVoice] = {}
        self._speakers: dict[int, SetSpeaker] = {}
        self._latched: dict[int, Address] = {}
        self._reached: dict[int, Numbers] = {}
        self._snapshots: dict[int, Snapshot] = {}

    @property
    def streams(self) -> int:
        return len(self._streams) + len(self._tiles) + len(self._painted)

    def _unpack(self, body: bytes) -> VideoEvent:
        return unpack_video_event(body)

    def _numbers(self, stream: int) -> Numbers:
        known = self._reached.get(stream)
        if known is None:
            known = self._reached[stream] = Numbers.drawn(time.monotonic())
        return known

    def _remember(self, command: VideoCommand) -> VideoCommand:
        match command:
            case SetVideoStream():
                if command.send_state is None:
                    command = msgspec.structs.replace(command, send_state=self._numbers(command.stream).state)
                elif command.stream not in self._reached:
                    self._reached[command.stream] = Numbers(time.monotonic(), command.send_state, 0)
                before = self._streams.get(command.stream)
                if before is not None and (before.remote, before.port) != (command.remote, command.port):
                    self._latched.pop(command.stream, None)
                self._streams[command.stream] = command
            case SetTile():
                if command.send_state is None:
                    command = msgspec.structs.replace(command, send_state=self._numbers(command.stream).state)
                self._tiles[command.stream] = command
            case DropVideoStream():
                for table in (self._streams, self._tiles, self._painted, self._latched, self._reached):
                    table.pop(command.stream, None)
            case SetVideoRoom():
                self._rooms[command.room] = command
            case DropVideoRoom():
                self._rooms.pop(command.room, None)
                self._speakers.pop(command.room, None)
                for key in [key for key in self._voices if key[0] == command.room]:
                    del self._voices[key]
            case SetVoice():
                self._voices[command.room, command.participant] = command
            case DropVoice():
                self._voices.pop((command.room, command.participant), None)
            case SetPainted():
                self._painted[command.stream] = command
            case SetSpeaker():
                self._speakers[command.room] = command
            case Snapshot():
                self._snapshots[command.snapshot] = command
            case _:
                pass
        return command

    def _note(self, event: VideoEvent) -> None:
        match event:
            case Latched():
                self._latched[event.stream] = event.remote
            case VideoReport():
                for figures in event.streams:
                    if figures.stream in self._streams or figures.stream in self._tiles:
                        when = event.made or self._heard
                        self._reached[figures.stream] = Numbers(when, figures.send_state, figures.receive_rollover)
            case SnapshotDone():
                self._snapshots.pop(event.snapshot, None)
            case _:
                pass

    def _bereaved(self) -> None:
        for snapshot in list(self._snapshots.values()):  # whoever waits for it must not wait for ever
            self._hear(SnapshotDone(snapshot.snapshot, "the video worker was restarted"))

    def _known(self, now: float) -> Iterable[VideoCommand]:
        yield from self._rooms.values()
        yield from self._voices.values()
        for spec in self._streams.values():
            yield self._resumed(spec, now)
        for tile in self._tiles.values():
            yield resumed(tile, self._on(tile.stream, now))
        yield from self._painted.values()
        yield from self._speakers.values()

    def _resumed(self, spec: SetVideoStream, now: float) -> SetVideoStream:
        """A stream's description as of now: its true address, its numbers going on, its keys at their index."""
        latched = self._latched.get(spec.stream)
        if latched is not None:
            spec = msgspec.structs.replace(spec, remote=latched)
        return resumed(spec, self._on(spec.stream, now))

    def _on(self, stream: int, now: float) -> Numbers:
        """Where a stream goes on in a fresh process."""
        numbers = self._numbers(stream)
        # An old report says that we did not get round to reading: the worker sent on meanwhile.
        skip = SKIP + int(max(0.0, now - numbers.when - FRESH) * PACKETS_A_SECOND)
        numbers = self._reached[stream] = numbers.resumed(now, CLOCK_RATE, skip)
        return numbers
