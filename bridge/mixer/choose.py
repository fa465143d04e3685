"""Who is in which tile, over time: the room's people in, scenes out. No pixel, no clock.

Pictures keep their places: who comes takes a free tile, who goes leaves his to the last, who speaks takes the tile of
whom he drives out. The large tile changes when a voice lasts, not when somebody coughs. Everybody looks at the same
scene, so that it is encoded once, except the one who speaks, to whom the previous speaker is shown, and who asked for
another layout.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from .layout import Kind, Layout, Place, Tile, capacity, lay_out

STEADY = 0.8
"""Seconds somebody must be the speaker before he is shown large: "yes, go on" is over by then."""
HOLD = 2.0
"""Seconds a large picture stays: eyes need about two to find their way in a new one."""
STALL = 2.0
"""Seconds without a picture after which the last one is a lie: encoders that skip still pictures send one a second."""
GONE = 30.0
"""Seconds after which whoever sends no picture is not shown at all."""
SETTLE = 0.5
"""Seconds between changes of who is there: ten who come at once move the tiles twice, not ten times."""
TICK = 0.1
"""Seconds in which time alone is not looked at."""
LOOKS = 16
"""Layouts of one room whose seating is remembered."""


class Showing(StrEnum):
    """What a tile shows of somebody."""

    PICTURE = "picture"
    """The last picture there is."""
    STALLED = "stalled"
    """Grey with the name: no picture for :data:`STALL`."""
    NAME = "name"
    """The name: whoever sends no picture at all."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the room, or one participant, wants to see."""

    kind: Kind = Kind.STRIP
    """Content has the large tile whatever this is."""
    places: tuple[Place, ...] = ()
    """For :attr:`Kind.FIXED`."""
    pinned: tuple[int | None, ...] = ()
    """For :attr:`Kind.FIXED`: who has each place; nothing: whoever speaks of those without one."""
    voices: bool = False
    """Callers without pictures have tiles with their names."""
    title: str = ""
    logo: bool = False
    waiting: str = ""
    """Said to whoever is alone, in his language."""
    slides: bool = True
    """Content is shown in it; not to whoever has it in a second picture."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is in a tile."""

    who: int
    """Key of the pictures."""
    name: str
    showing: Showing = Showing.PICTURE
    speaking: bool = False
    """Framed."""
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a composed picture depends on, but the pictures and its size; equal scenes are one encoding."""

    kind: Kind
    people: tuple[Shown | None, ...] = ()
    """Nothing where a place that the host has drawn is empty."""
    slides: Shown | None = None
    reserved: Shown | None = None
    places: tuple[Place, ...] = ()
    title: str = ""
    logo: bool = False
    message: str = ""

    def layout(self, width: int, height: int) -> Layout:
        """Its geometry on a canvas.

        Raises:
            ValueError: a canvas of no sensible or of odd size.
        """
        return lay_out(
            width,
            height,
            self.kind,
            len(self.people),
            slides=self.slides is not None,
            reserved=self.reserved is not None,
            titled=bool(self.title) or self.logo,
            places=self.places,
        )

    def tiles(self, width: int, height: int) -> tuple[tuple[Tile, Shown | None], ...]:
        """The tiles and what is in each; people beyond :func:`capacity` have none."""
        tiles = self.layout(width, height).tiles
        rest = [one for one in (self.slides, self.reserved) if one]
        shown = [*self.people[: len(tiles) - len(rest)], *rest]
        return tuple(zip(tiles, shown, strict=True))

    def sources(self) -> tuple[int, ...]:
        """Whose pictures are needed; nobody else's need be decoded."""
        everybody = (*self.people, self.slides, self.reserved)
        return tuple(one.who for one in everybody if one and one.showing is Showing.PICTURE)


@dataclass(slots=True)
class _Person:
    name: str
    muted: bool = False
    pictured: float | None = None
    """When his last picture came; nothing before the first."""
    left: bool = False
    showing: Showing = Showing.NAME
    """As of the last tick."""


@dataclass(slots=True)
class _Seating:
    """Who sits where in one layout."""

    seats: list[int] = field(default_factory=list)

    def seat(self, wanted: list[int]) -> list[int]:
        """Those who stay keep their seats, who comes takes a free one, and the last move into what is left free."""
        coming = [who for who in wanted if who not in self.seats]
        seats: list[int | None] = [who if who in wanted else None for who in self.seats]
        for i, who in enumerate(seats):
            if who is None and coming:
                seats[i] = coming.pop(0)
        while None in seats:
            last = seats.pop()
            if last is not None:
                seats[seats.index(None)] = last
        self.seats = [who for who in seats if who is not None] + coming
        return list(self.seats)


class Chooser:
    """The people of one room and what is shown of them. Every ``now`` is monotonic seconds and never goes back."""

    def __init__(self, look: Look | None = None) -> None:
        self.look = look or Look()
        """The room's, for whoever has none of his own."""
        self._people: dict[int, _Person] = {}
        """In the order in which they came."""
        self._spoken: list[int] = []
        """Who had the large picture, the latest first."""
        self._speaker: int | None = None
        self._speaker_since = self._large_since = self._settled = self._checked = float("-inf")
        self._reserved: int | None = None
        self._slides: tuple[int, int | None, str] | None = None
        self._there: list[int] = []
        """Who counts, since the last change."""
        self._seatings: OrderedDict[Look, _Seating] = OrderedDict()
        self._scenes: dict[tuple[Look, int | None], Scene] = {}
        self._fronts: dict[Look, tuple[int | None, ...]] = {}
        self._stale = True

    # ------------------------------------------------------------------------------------- what happens

    def join(self, who: int, name: str, *, muted: bool = False) -> None:
        """Somebody is there; again to change his name. He is shown from his first picture on."""
        person = self._people.get(who)
        if person is None:
            self._people[who] = _Person(name, muted)
        else:
            person.name, person.muted, person.left = name, muted, False
        self._stale = True

    def leave(self, who: int) -> None:
        if who in self._people:
            self._people[who].left = True
            self._stale = True

    def mute(self, who: int, muted: bool) -> None:
        if who in self._people and self._people[who].muted != muted:
            self._people[who].muted = muted
            self._stale = True

    def picture(self, who: int, now: float) -> None:
        """A whole new picture of his was decoded, or would have been if anybody had looked."""
        person = self._people.get(who)
        if person is not None:
            self._stale |= person.showing is not Showing.PICTURE
            person.pictured = now

    def no_picture(self, who: int) -> None:
        """His camera is off, or the call has no video any more."""
        person = self._people.get(who)
        if person is not None and person.pictured is not None:
            person.pictured = None
            self._stale = True

    def speaks(self, who: int | None, now: float) -> None:
        """The active speaker, as the mixer has it."""
        if who != self._speaker:
            self._speaker, self._speaker_since, self._stale = who, now, True

    def reserve(self, who: int | None) -> None:
        """Whoever stays in view whoever speaks."""
        if who != self._reserved:
            self._reserved, self._stale = who, True

    def present(self, key: int | None, *, owner: int | None = None, name: str = "") -> None:
        """Content: the key of its pictures, and who shows it (he himself sees the people). Nothing ends it."""
        self._slides = None if key is None else (key, owner, name)
        self._stale = True

    def set_look(self, look: Look) -> None:
        if look != self.look:
            self.look, self._stale = look, True

    # ------------------------------------------------------------------------------------- what is seen

    def scene(self, now: float, *, viewer: int | None = None, look: Look | None = None) -> Scene:
        """What a viewer sees; nobody in particular: a recording, a snapshot."""
        look = look or self.look
        if self._stale or now >= self._checked + TICK:
            self._refresh(now)
        if viewer is not None and viewer not in self._apart(look):
            viewer = None
        key = (look, viewer)
        scene = self._scenes.get(key)
        if scene is None:
            scene = self._scenes[key] = self._compose(look, viewer)
        return scene

    def _apart(self, look: Look) -> tuple[int | None, ...]:
        """Who sees something of his own: who would see himself large, and who presents."""
        found = self._fronts.get(look)
        if found is None:
            owner = self._slides[1] if self._slides else None
            found = self._fronts[look] = (owner, *self._ranked(look)[:2])
        return found

    def _refresh(self, now: float) -> None:
        self._checked, self._stale = now, False
        for person in self._people.values():
            age = float("inf") if person.pictured is None else now - person.pictured
            person.showing = Showing.PICTURE if age < STALL else Showing.STALLED if age < GONE else Showing.NAME
        there = [who for who, person in self._people.items() if not person.left]
        if there != self._there or any(p.left for p in self._people.values()):
            if now >= self._settled + SETTLE:
                self._settled, self._there = now, there
                for who in [who for who, person in self._people.items() if person.left]:
                    del self._people[who]
                self._spoken = [who for who in self._spoken if who in self._people]
            else:
                self._stale = True
        self._take_turns(now)
        self._scenes.clear()
        self._fronts.clear()

    def _take_turns(self, now: float) -> None:
        """The large picture goes to a speaker who lasts, once the one before was seen long enough."""
        who = self._speaker
        if who not in self._there or who == self._reserved or (self._spoken and self._spoken[0] == who):
            return
        assert who is not None
        if self._people[who].showing is Showing.NAME and not self.look.voices:
            return
        steady = now >= self._speaker_since + STEADY and now >= self._large_since + HOLD
        if steady or not self._spoken:
            if who in self._spoken:
                self._spoken.remove(who)
            self._spoken.insert(0, who)
            self._large_since = now

    def _ranked(self, look: Look, without: int | None = None) -> list[int]:
        """Who may be shown: the latest speaker first, then in the order in which they came."""
        there = set(self._there) - {self._reserved, without}
        order = [who for who in dict.fromkeys((*self._spoken, *self._there)) if who in there]
        pictures = [who for who in order if self._people[who].showing is not Showing.NAME]
        if look.voices or not pictures:
            return order
        return pictures

    def _compose(self, look: Look, viewer: int | None) -> Scene:
        reserved = self._reserved if self._reserved in self._there else None
        if reserved is not None and self._people[reserved].showing is Showing.NAME:
            reserved = None
        slides = self._slides if look.slides else None
        if slides and viewer is not None and slides[1] == viewer:
            slides = None
        kind: Kind = look.kind
        if kind in (Kind.PRESENTATION, Kind.WAITING):
            kind = Kind.STRIP
        if slides:
            kind = Kind.PRESENTATION
        elif len(self._there) <= 1:
            kind = Kind.WAITING
        people = self._alone() if kind is Kind.WAITING else self._seated(look, kind, viewer)
        return Scene(
            kind=kind,
            people=tuple(None if who is None else self._shown(who) for who in people),
            slides=Shown(slides[0], slides[2]) if slides else None,
            reserved=None if reserved is None else self._shown(reserved),
            places=look.places if kind is Kind.FIXED else (),
            title=look.title,
            logo=look.logo,
            message=look.waiting if kind is Kind.WAITING else "",
        )

    def _alone(self) -> Sequence[int | None]:
        return [who for who in self._there if who != self._reserved and self._people[who].showing is not Showing.NAME]

    def _seated(self, look: Look, kind: Kind, viewer: int | None) -> Sequence[int | None]:
        ranked = self._ranked(look)
        most = capacity(kind, len(look.places))
        if kind is Kind.GRID and viewer is not None and ranked == [viewer]:
            return [viewer, *self._ranked(look, viewer)][:most]  # those without a picture are better than none
        if kind in (Kind.GRID, Kind.PRESENTATION):
            return self._seating(look, kind).seat(ranked[:most])
        if kind is Kind.FIXED:
            return self._pinned(look, ranked, most)
        others = self._ranked(look, viewer)
        if kind is Kind.SIDE_BY_SIDE:
            if viewer is None or viewer not in ranked[:most]:
                return self._seating(look, kind).seat(ranked[:most])
            common = self._seating(look, kind).seat(ranked[:most])
            stay = [who for who in common if who != viewer]
            free = [who for who in others if who not in stay]
            return [free[0] if who == viewer and free else who for who in common if who != viewer or free]
        large, own = (ranked[0] if ranked else None), (others[0] if others else None)
        if large is None:
            return []
        strip: list[int | None] = []
        if kind is Kind.STRIP:
            strip = list(self._seating(look, kind).seat([who for who in ranked[:most] if who != large]))
        if viewer == large and own is not None:
            # He takes the seat of the one whom he sees large instead.
            strip = [viewer if who == own else who for who in strip]
            large = own
        return [large, *strip]

    def _pinned(self, look: Look, ranked: list[int], most: int) -> Sequence[int | None]:
        pinned: list[int | None] = [who if who in self._there else None for who in look.pinned[:most]]
        pinned += [None] * (most - len(pinned))
        free = [i for i in range(most) if i >= len(look.pinned) or look.pinned[i] is None]
        rest = [who for who in ranked if who not in pinned]
        seated: list[int | None] = list(self._seating(look, look.kind).seat(rest[: len(free)]))
        for i, who in zip(free, seated, strict=False):
            pinned[i] = who
        return pinned

    def _seating(self, look: Look, kind: Kind) -> _Seating:
        key = Look(kind, look.places, look.pinned, look.voices)
        seating = self._seatings.setdefault(key, _Seating())
        self._seatings.move_to_end(key)
        if len(self._seatings) > LOOKS:
            self._seatings.popitem(last=False)
        return seating

    def _shown(self, who: int) -> Shown:
        person = self._people[who]
        return Shown(who, person.name, person.showing, who == self._speaker, person.muted)
