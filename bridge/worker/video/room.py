"""A room's pictures: who is in it, what each viewer sees, which panes and encodings that makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bridge.media.video.swscale import Swscale
from bridge.media.video.text import mask
from bridge.mixer.canvas import U8, Planes
from bridge.mixer.choose import Chooser, Look, Scene, Shown
from bridge.mixer.compose import Composer, Picture
from bridge.mixer.layout import Fit, Kind, Place
from bridge.mixer.scale import NumpyScaler

from ..protocol_video import SetVideoRoom, SetVideoStream, VideoLook
from . import encoder
from .encoding import Encoding, Pane
from .load import Asked, Load
from .rung import Climber, Rung, ladder

Logo = tuple[Planes, U8]
PaneKey = tuple[object, ...]


def look_of(look: VideoLook, room: SetVideoRoom, waiting: str, *, slides: bool = True) -> Look:
    """What the chooser is told.

    Raises:
        ValueError: there is no such layout, or a place is none.
    """
    places = tuple(Place(p.x, p.y, p.w, p.h, Fit.LETTERBOX if p.letterbox else Fit.CROP) for p in look.places)
    pinned = tuple(who or None for who in look.pinned)
    return Look(
        Kind(look.kind), places, pinned, look.voices, room.title, bool(room.logo), waiting or room.waiting, slides
    )


@dataclass(slots=True)
class Viewer:
    """One stream that is sent to."""

    row: int
    spec: SetVideoStream
    look: Look
    climber: Climber
    encoding: Encoding | None = None
    """What he is sent."""
    coming: Encoding | None = None
    """What he is sent from its next keyframe on."""

    @property
    def who(self) -> int:
        return self.spec.participant or self.spec.stream


class Numbers:
    """Numbers of encodings, never used twice."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        self._last += 1
        return self._last


class VideoRoom:
    """One room. Pictures are named by participant; content by its stream's number below zero."""

    def __init__(self, spec: SetVideoRoom, index: int, numbers: Numbers, slot: float) -> None:
        self.spec = spec
        self._numbers = numbers
        self._slot = slot
        self._phase = index * 0.618 % 1.0
        """Of a frame's interval: rooms are painted one after the other, not all at once."""
        self.chooser = Chooser()
        self.viewers: dict[int, Viewer] = {}
        """By row."""
        self.streams: dict[int, tuple[int, SetVideoStream]] = {}
        """What they send: row and description, by key of the pictures."""
        self.panes: dict[PaneKey, Pane] = {}
        self.logo: Logo | None = None
        self.speaker = 0
        self._there: set[int] = set()
        self.asked: list[Asked] = []
        """Encodings that its viewers could take."""
        self.closed: list[Encoding] = []
        """Encodings that nobody watches any more, to be forgotten by whoever owns the history."""
        self.describe(spec)

    # ------------------------------------------------------------------------------------- who is there

    def describe(self, spec: SetVideoRoom) -> None:
        look = look_of(spec.look, spec, "")  # raises before anything has changed
        self.spec = spec
        self.chooser.set_look(look)
        self.chooser.reserve(spec.reserved or None)
        self._present()

    def _present(self) -> None:
        """Show the content of whoever presents, if it is there."""
        for key, (_, spec) in self.streams.items():
            if spec.content and self.spec.presenting and spec.participant == self.spec.presenting:
                self.chooser.present(key, owner=spec.participant, name=spec.name)
                return
        self.chooser.present(None)

    def enter(self, row: int, spec: SetVideoStream, now: float) -> None:
        """A stream is in the room, or is described again."""
        key = key_of(spec)
        if not spec.content:
            self._join(key, spec.name, spec.muted)
        if spec.receive:
            self.streams[key] = (row, spec)
        elif self.streams.pop(key, None) is not None and not spec.content:
            self.chooser.no_picture(key)
        if spec.send is not None:
            rungs = ladder(spec, self.spec)
            look = look_of(spec.look or self.spec.look, self.spec, spec.waiting)
            viewer = self.viewers.get(row)
            if viewer is None:
                self.viewers[row] = Viewer(row, spec, look, Climber(rungs, now))
            else:
                viewer.spec, viewer.look = spec, look
                viewer.climber.set_rungs(rungs, now)
        else:
            self._unview(row)
        self._present()

    def _join(self, key: int, name: str, muted: bool) -> None:
        self._there.add(key)
        self.chooser.join(key, name, muted=muted)
        self.chooser.mute(key, muted)

    def leave(self, row: int, spec: SetVideoStream) -> None:
        key = key_of(spec)
        if key in self.streams and self.streams[key][0] == row:  # another one of his may have come in its place
            del self.streams[key]
            if not spec.content:
                self.chooser.no_picture(key)
        self._unview(row)
        if not spec.content:
            self.drop_voice(key)
        self._present()

    def voice(self, who: int, name: str, *, muted: bool) -> None:
        self._join(who, name, muted)

    def drop_voice(self, who: int) -> None:
        """Somebody is gone, unless he has a stream here."""
        if who in self.streams or any(v.who == who and not v.spec.content for v in self.viewers.values()):
            return
        self._there.discard(who)
        self.chooser.leave(who)

    def set_logo(self, logo: Logo | None) -> None:
        if logo is self.logo:
            return
        self.logo = logo
        for pane in self.panes.values():
            pane.composer = self.composer(pane.composer.canvas.width, pane.composer.canvas.height)
            for encoding in pane.encodings.values():
                encoding.drawn = -1

    def refresh_viewers(self, now: float) -> None:
        """The room's description changed: so do looks and ladders."""
        for viewer in self.viewers.values():
            viewer.look = look_of(viewer.spec.look or self.spec.look, self.spec, viewer.spec.waiting)
            viewer.climber.set_rungs(ladder(viewer.spec, self.spec), now)

    def speaks(self, who: int, now: float) -> None:
        self.speaker = who
        self.chooser.speaks(who or None, now)

    # ------------------------------------------------------------------------------------- who sees what

    def plan(self, now: float, load: Load) -> None:
        """Put every viewer before the pane that shows what he is to see, in the encoding that he can take, and that the
        machine can make."""
        dual = {v.who for v in self.viewers.values() if v.spec.content}
        scenes: dict[tuple[Look, int | None], Scene] = {}
        used: set[int] = set()
        asked: set[tuple[PaneKey, encoder.Kind]] = set()
        for viewer in self.viewers.values():
            viewer.climber.step(now)
            found = self._scene(viewer, dual, scenes, now)
            kind = encoder.Kind.of(viewer.spec.send, viewer.spec.mtu, viewer.climber.rung) if viewer.spec.send else None
            if found is None or kind is None:
                self._turn_to(viewer, None)
                continue
            key, scene = found
            asked.add((key, kind))
            kind = replace(kind, rung=load.eased(kind.name, kind.rung))
            pane = self._pane(key, scene, kind.rung)
            encoding = pane.encodings.get(kind)
            if encoding is None:
                encoding = pane.encodings[kind] = Encoding(self._numbers.next(), kind, self._slot, self._phase)
            self._turn_to(viewer, encoding)
            used.add(encoding.number)
        self.asked = [(kind.name, kind.rung) for _, kind in asked]
        self._sweep(used)

    def _scene(
        self, viewer: Viewer, dual: set[int], scenes: dict[tuple[Look, int | None], Scene], now: float
    ) -> tuple[PaneKey, Scene] | None:
        """The key of what he sees, and what it is at the moment."""
        if viewer.spec.content:
            key = self._content(viewer)
            if key is None:
                return None
            return ("content", key), Scene(Kind.SINGLE, (Shown(key, ""),))
        look = viewer.look
        if viewer.who in dual:
            look = replace(look, slides=False)
        who: int | None = viewer.who
        own = self.chooser.scene(now, viewer=who, look=look)
        common = scenes.get((look, None))
        if common is None:
            common = scenes[look, None] = self.chooser.scene(now, look=look)
        if own is common or own == common:
            who, own = None, common
        # What is said to whoever waits is part of the scene only while it is shown.
        return (look if look.waiting == own.message else replace(look, waiting=own.message), who), own

    def _content(self, viewer: Viewer) -> int | None:
        for key, (_, spec) in self.streams.items():
            shown = spec.content and self.spec.presenting and spec.participant == self.spec.presenting
            if shown and spec.participant != viewer.spec.participant:
                return key
        return None

    def _pane(self, key: PaneKey, scene: Scene, rung: Rung) -> Pane:
        whole = (key, rung.width, rung.height)
        pane = self.panes.get(whole)
        if pane is None:
            pane = self.panes[whole] = Pane(self.composer(rung.width, rung.height), scene)
        pane.scene = scene
        return pane

    def composer(self, width: int, height: int) -> Composer:
        return Composer(width, height, scaler=Swscale(NumpyScaler()), lettering=mask, logo=self.logo)

    def _turn_to(self, viewer: Viewer, encoding: Encoding | None) -> None:
        """Send him another encoding from its next keyframe on; until then he goes on with the one he has."""
        now_on = viewer.coming or viewer.encoding
        if now_on is encoding:
            return
        if viewer.coming is not None:
            viewer.coming.joining.discard(viewer.row)
            viewer.coming = None
        if encoding is None:
            if viewer.encoding is not None:
                viewer.encoding.members.discard(viewer.row)
                viewer.encoding = None
        elif encoding is not viewer.encoding:
            viewer.coming = encoding
            encoding.joining.add(viewer.row)
            encoding.limiter.ask()

    def arrive(self, encoding: Encoding) -> list[Encoding]:
        """A keyframe of an encoding is there: who waited for it gets it. Returns encodings whose receivers changed."""
        changed = [encoding] if encoding.joining else []
        for row in encoding.joining:
            viewer = self.viewers.get(row)
            if viewer is None or viewer.coming is not encoding:
                continue
            if viewer.encoding is not None:
                viewer.encoding.members.discard(row)
                changed.append(viewer.encoding)
            viewer.encoding, viewer.coming = encoding, None
            encoding.members.add(row)
        encoding.joining.clear()
        return changed

    def _unview(self, row: int) -> None:
        viewer = self.viewers.pop(row, None)
        if viewer is None:
            return
        for encoding in (viewer.encoding, viewer.coming):
            if encoding is not None:
                encoding.members.discard(row)
                encoding.joining.discard(row)
                encoding.rows = encoding.rows[encoding.rows != row]

    def _sweep(self, used: set[int]) -> None:
        """Close what nobody watches. An encoding that somebody still waits in, until his new one begins, stays."""
        for key in list(self.panes):
            pane = self.panes[key]
            for kind, encoding in list(pane.encodings.items()):
                encoding.rows = encoding.rows[np.isin(encoding.rows, list(encoding.members))]
                if encoding.number not in used and not encoding.members and not encoding.joining:
                    self.closed.append(pane.encodings.pop(kind))
            if not pane.encodings and not pane.busy:
                del self.panes[key]

    def sources(self, now: float) -> set[int]:
        """Keys whose pictures are seen, or are about to be."""
        if not self.viewers:
            return set()
        found = {who for pane in self.panes.values() for who in pane.scene.sources()}
        if self.speaker in self.streams:
            found.add(self.speaker)
        return found

    def close(self) -> list[Encoding]:
        """Every encoding it had."""
        found = [each for pane in self.panes.values() for each in pane.encodings.values()]
        self.panes.clear()
        self.viewers.clear()
        return found


def key_of(spec: SetVideoStream) -> int:
    """The key of a stream's pictures."""
    return -spec.stream if spec.content else spec.participant or spec.stream


PictureOf = Callable[[int], Picture | None]


def pictures_for(keys: Iterable[int], picture: PictureOf) -> Mapping[int, Picture]:
    """The last pictures of some."""
    return {key: found for key in keys if (found := picture(key)) is not None}
