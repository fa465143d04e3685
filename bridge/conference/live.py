"""The rooms as pages beside calls see them: who is there, who speaks, what is written; and what their people want.

Sans-IO. A page names itself by the Call-ID of its call, which nobody else knows. It is told whole states, never
differences, so that one that was away for a while needs nothing but the next one.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from bridge.signalling.alarms import Alarms
from bridge.signalling.throttle import Bucket
from bridge.worker.protocol import StreamReport

from . import chat, live_message
from . import event as room_event
from .error import Forbidden, NoSuchParticipant, Refused, RoomError
from .focus_event import CallCame, CallOver, TextReceived, TilesChanged
from .house import NoSuchRoom
from .live_message import NotUnderstood
from .participant import Kind, Language, Participant
from .room import Room
from .settings import LAYOUTS
from .tiles import Gallery, Shown, TileWish

T = TypeVar("T")

HELLO = 10.0
"""Seconds for a page to say who it is, and as many again for its call, which goes another way, to be there."""
ROSTER = 0.2
"""Seconds between two rosters of a room, at least; a person sees no more than five changes a second."""
CROWD = 100
"""Participants from which rosters come more seldom: each page gets the whole, so it is their number squared."""
LEVELS, QUALITY = 1.0, 2.0
"""Seconds: workers report once a second; a number that changes faster than every two seconds is not read."""
SOFT = -60.0
"""dBov below which nobody is shown to speak: a quiet room."""
WELCOME = 50
"""Messages that a page is told when it comes."""
RATE, BURST = 20.0, 40.0
"""Messages a second of one page."""
TOO_MANY = 200
"""Messages beyond that rate for which a page is closed: it is broken, or means harm."""
WRITES, WRITE_BURST = 1.0, 10.0
"""Chat messages a second of one person, whatever it comes by: each goes to everybody in the room."""
FORWARDS, FORWARD_BURST = 50.0, 100.0
"""MESSAGE requests a second to terminals: each is a transaction, and a call's own signalling comes first."""

KINDS: Mapping[Kind, str] = {"web": "browser", "pstn": "telephone"}
"""What the page draws; the others are terminals."""
TALK = (room_event.Announce, room_event.Tone, room_event.Hangup)
"""What a room asks the focus to do: nothing that a page shows."""

Say: TypeAlias = Callable[[str, Language], str]
"""An English sentence in a language."""


class Focus(Protocol):
    """What is needed of :class:`.focus.Focus`."""

    @property
    def attendance(self) -> Attendance: ...

    def tell(self, room: str, command: Callable[[Room], T], now: float) -> T: ...


class Attendance(Protocol):
    """See :class:`.attendance.Attendance`."""

    def called(self, call_id: str) -> int | None: ...
    def calls(self, participant: int) -> bool: ...
    def room(self, participant: int) -> Room | None: ...
    def voice(self, participant: int) -> StreamReport | None: ...
    def shows(self, participant: int) -> bool: ...
    def tiles(self, participant: int) -> Mapping[str, Shown]: ...
    def watch(self, participant: int, gallery: Gallery) -> None: ...
    def write(self, participant: int, text: str, now: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class Close:
    """Close a page's socket (RFC 6455 §7.4.1 has the codes)."""

    code: int
    reason: str


@dataclass(slots=True, eq=False)
class Page:
    """One socket."""

    number: int
    bucket: Bucket
    language: Language = "fr-CA"
    call_id: str = ""
    """As it said; until its call is there it waits."""
    participant: int = 0
    room: str = ""
    """Where it was told that it is; "": nowhere yet, or no more."""
    inside: bool = False
    """Not in the lobby."""
    told: bytes = b""
    """Its last state."""
    excess: int = 0
    slow: bool = False
    """It was told to slow down."""
    received: int = 0
    lost: int = 0
    """Of its sound, when its quality was told last."""

    def __hash__(self) -> int:
        return self.number

    def wake(self, name: str, now: float) -> None:
        """For :class:`Alarms`; :class:`Live` looks itself."""


@dataclass(slots=True, eq=False)
class Scene:
    """A room in which somebody has a page."""

    name: str
    pages: dict[Page, None] = field(default_factory=dict)
    sent: float = float("-inf")
    """When its last roster was."""

    def __hash__(self) -> int:
        return id(self)

    def wake(self, name: str, now: float) -> None:
        """For :class:`Alarms`."""


class Live:
    def __init__(self, focus: Focus, *, say: Say, clock: Callable[[], str], recorded: Callable[[str], bool]) -> None:
        """
        Args:
            say: sentences of refusals in a page's language.
            clock: the time of day, as chat messages say it (ISO 8601).
            recorded: is that room being recorded?
        """
        self._focus, self._attendance = focus, focus.attendance
        self._say, self._clock, self._recorded = say, clock, recorded
        self._pages: dict[int, Page] = {}
        self._waiting: dict[str, dict[Page, None]] = {}
        """Pages whose calls are not there yet, by Call-ID."""
        self._attending: dict[int, dict[Page, None]] = {}
        self._scenes: dict[str, Scene] = {}
        self._chats: dict[str, chat.Chat] = {}
        self._writers: dict[int, Bucket] = {}
        self._forwards = Bucket(FORWARDS, FORWARD_BURST, 0.0)
        self._numbers = itertools.count(1)
        self._alarms: Alarms[Page | Scene] = Alarms()
        self._out: deque[tuple[int, bytes | Close]] = deque()
        self.unforwarded = 0
        """Chat messages that some terminal did not get, so far."""

    def __len__(self) -> int:
        return len(self._pages)

    # ---------------------------------------------------------------------------------- the sans-IO core

    def outgoing(self) -> Iterator[tuple[int, bytes | Close]]:
        """What goes to which page: JSON, or its end."""
        while self._out:
            yield self._out.popleft()

    def deadline(self) -> float | None:
        return self._alarms.deadline()

    def expire(self, now: float) -> None:
        for whose, name in self._alarms.due(now):
            if isinstance(whose, Page):
                if name == "hello":
                    self._close(whose, 1008, "no call of yours is here")
                else:
                    self._quality(whose, now)
            elif name == "levels":
                self._levels(whose, now)
            else:
                self._roster(whose, now)

    # ---------------------------------------------------------------------------------- pages

    def came(self, number: int, now: float) -> None:
        """A socket was opened; it has a number of its own."""
        page = self._pages[number] = Page(number, Bucket(RATE, BURST, now))
        self._alarms.set(page, "hello", now + HELLO)

    def gone(self, number: int, now: float) -> None:
        """It is closed, by whomever."""
        page = self._pages.pop(number, None)
        if page is None:
            return
        self._alarms.clear(page, "hello", "quality")
        _drop(self._waiting, page.call_id, page)
        self._leave_scene(page)
        if page.participant:
            _drop(self._attending, page.participant, page)
            self._by_voice(page.participant)

    def received(self, number: int, text: str | bytes, now: float) -> None:
        """What a page says; anything may come."""
        page = self._pages.get(number)
        if page is None:
            return
        if not page.bucket.take(now):
            page.excess += 1
            if page.excess > TOO_MANY:
                self._close(page, 1008, "too many messages")
            elif not page.slow:
                page.slow = True
                self._refuse(page, "slow-down", "that was too fast: wait a moment", "")
            return
        page.slow = False
        try:
            said = live_message.read(text)
        except NotUnderstood:
            self._refuse(page, "not-understood", "the bridge did not understand that: load the page anew", "")
            return
        self._understood(page, said, now)

    def _understood(self, page: Page, said: live_message.Spoken, now: float) -> None:
        if isinstance(said, live_message.Hello):
            self._hello(page, said, now)
        elif isinstance(said, live_message.Language):
            page.language = _spoken(said.language)
        elif not page.participant:
            self._refuse(page, "hello", "say hello first", _type(said))
        else:
            try:
                if isinstance(said, live_message.Chat):
                    self._write(page.participant, said.text, now)
                elif isinstance(said, live_message.Tiles):
                    self._attendance.watch(page.participant, _gallery(said))
                else:
                    self._command(page, said, now)
            except NoSuchRoom:
                self._refuse(page, "no-room", "you are in no room", _type(said))
            except RoomError as error:
                self._refuse(page, _code(error), str(error), _type(said))

    def _hello(self, page: Page, said: live_message.Hello, now: float) -> None:
        page.language = _spoken(said.language)
        if page.participant or page.call_id:
            return
        page.call_id = said.call
        participant = self._attendance.called(said.call)
        if participant is None:
            self._waiting.setdefault(said.call, {})[page] = None
            self._alarms.set(page, "hello", now + HELLO)
        else:
            self._bind(page, participant, now)

    def _bind(self, page: Page, participant: int, now: float) -> None:
        page.participant = participant
        self._attending.setdefault(participant, {})[page] = None
        self._alarms.clear(page, "hello")
        self._alarms.set(page, "quality", now + QUALITY)
        self._look(page, now)
        self._tiles(page)

    def _close(self, page: Page, code: int, reason: str) -> None:
        """:meth:`gone` follows."""
        self._out.append((page.number, Close(code, reason)))
        self.gone(page.number, 0.0)

    def _refuse(self, page: Page, code: str, sentence: str, of: str) -> None:
        said = self._say(sentence, page.language)
        self._send(page, {"type": "refused", "code": code, "message": said, "of": of})

    def _send(self, page: Page, message: Mapping[str, Any]) -> None:
        self._out.append((page.number, msgspec.json.encode(message)))

    def _by_voice(self, participant: int) -> None:
        """Whoever has no page is told things by voice again."""
        room = self._attendance.room(participant)
        if room is not None and participant not in self._attending:
            room.read_events(participant, False)

    # ---------------------------------------------------------------------------------- what they want

    def _command(self, page: Page, said: live_message.Command, now: float) -> None:
        me = page.participant
        room = self._attendance.room(me)
        if room is None:
            raise NoSuchRoom("")
        self._focus.tell(room.name, lambda room: carry_out(room, me, said, now), now)

    def _write(self, participant: int, text: str, now: float) -> None:
        """Raises RoomError, NoSuchRoom."""
        room = self._attendance.room(participant)
        if room is None:
            raise NoSuchRoom("")
        person = room.participant(participant)
        if person.state != "in":
            raise Refused("lobby", "you are in the lobby: what you write is read when you have been admitted")
        text = chat.readable(text)
        if not text:
            raise Refused("empty", "there is nothing in that message")
        if len(text) > chat.LONGEST:
            raise Refused("too-long", f"write at most {chat.LONGEST} characters at once")
        bucket = self._writers.setdefault(participant, Bucket(WRITES, WRITE_BURST, now))
        if not bucket.take(now):
            raise Refused("slow-down", "that was too fast: wait a moment")
        message = self._chat(room.name).add(participant, person.name, text)
        shown = msgspec.json.encode({"type": "chat", **_shown(message)})
        scene = self._scenes.get(room.name)
        for page in scene.pages if scene else ():
            if page.inside:
                self._out.append((page.number, shown))
        self._forward(room, message, now)

    def _chat(self, room: str) -> chat.Chat:
        found = self._chats.get(room)
        if found is None:
            found = self._chats[room] = chat.Chat(self._clock, lambda: next(self._numbers))
        return found

    def _forward(self, room: Room, message: chat.Message, now: float) -> None:
        """To terminals that take MESSAGE."""
        text = f"{message.name}: {message.text}"
        for person in room.participants():
            number = person.number
            if person.state == "in" and number != message.participant and number not in self._attending:
                if self._forwards.empty(now):
                    self.unforwarded += 1
                    return
                if self._attendance.write(number, text, now):
                    self._forwards.take(now)

    # ---------------------------------------------------------------------------------- what happens

    def told(self, event: object, now: float) -> None:
        """An event of the focus: what it changes is shown."""
        if isinstance(event, CallCame):
            for page in list(self._waiting.pop(event.call_id, ())):
                self._bind(page, event.participant, now)
        elif isinstance(event, CallOver):
            self._writers.pop(event.participant, None)
            for page in list(self._attending.get(event.participant, ())):
                self._look(page, now)
                self._close(page, 1000, "the call is over")
        elif isinstance(event, TextReceived):
            self._texted(event, now)
        elif isinstance(event, TilesChanged):
            for page in self._attending.get(event.participant, ()):
                self._tiles(page)
        elif not isinstance(event, TALK) and isinstance(room := getattr(event, "room", None), str):
            self._changed(room, event, now)

    def _texted(self, event: TextReceived, now: float) -> None:
        """MESSAGE of a terminal: who writes too much, or nothing, is not told; there is no way to say it."""
        try:
            self._write(event.participant, event.text[: chat.LONGEST], now)
        except (RoomError, NoSuchRoom):
            return

    def _changed(self, room: str, event: object, now: float) -> None:
        for page in list(self._attending.get(getattr(event, "participant", 0) or 0, ())):
            self._look(page, now)
            if isinstance(event, room_event.RoleChanged) and (found := self._attendance.room(page.participant)):
                self._welcome(page, found, found.participant(page.participant))
        if isinstance(event, room_event.Ended):
            self._chats.pop(room, None)
        scene = self._scenes.get(room)
        if scene is None:
            return
        if isinstance(event, room_event.SpeakerChanged):
            self._levels(scene, now)
        elif not self._alarms.is_set(scene, "roster"):
            crowd = max(1.0, len(scene.pages) / CROWD)
            self._alarms.set(scene, "roster", max(now, scene.sent + ROSTER * crowd))

    def _look(self, page: Page, now: float) -> None:
        """Where is its participant? Tell it, if that is news."""
        room = self._attendance.room(page.participant)
        if room is None:
            self._leave_scene(page)
            self._state(page, None)
            return
        person = room.participant(page.participant)
        inside = person.state == "in"
        if (room.name, inside) == (page.room, page.inside):
            return
        self._leave_scene(page)
        page.room, page.inside = room.name, inside
        room.read_events(page.participant, True)
        scene = self._scenes.get(room.name)
        if scene is None:
            scene = self._scenes[room.name] = Scene(room.name)
            self._alarms.set(scene, "levels", now + LEVELS)
        scene.pages[page] = None
        self._welcome(page, room, person)
        self._state(page, room)
        self._out.append((page.number, _roster_for(self._people(room), page, person.role == "host")))

    def _leave_scene(self, page: Page) -> None:
        scene, page.room, page.inside = self._scenes.get(page.room), "", False
        if scene is not None:
            scene.pages.pop(page, None)
            if not scene.pages:
                self._alarms.clear(scene, "levels", "roster")
                del self._scenes[scene.name]

    # ---------------------------------------------------------------------------------- what they are told

    def _welcome(self, page: Page, room: Room, person: Participant) -> None:
        """Again whenever it comes into a room, or from its lobby."""
        written: Sequence[chat.Message] = ()
        if person.state == "in" and room.name in self._chats:
            written = self._chats[room.name].last(WELCOME)
        self._send(
            page,
            {
                "type": "welcome",
                "you": person.number,
                "role": person.role,
                "room": room.name,
                "title": room.settings.shown,
                "locked": room.locked,
                "chat": [_shown(message) for message in written],
            },
        )

    def _state(self, page: Page, room: Room | None) -> None:
        """What concerns this page, where that is news."""
        state: dict[str, Any] = {"type": "state", "place": "ended" if page.told else "lobby"}
        if room is not None:
            own = room.look_of(page.participant)
            state = {
                "type": "state",
                "place": "room" if page.inside else "lobby",
                "role": room.participant(page.participant).role,
                "locked": room.locked,
                "layout": own.layout if own is not None else None,
                "room_layout": room.look.layout,
                "layouts": LAYOUTS,
                "presenting": room.presenter if page.inside else None,
                "recording": self._recorded(room.name),
            }
        encoded = msgspec.json.encode(state)
        if encoded != page.told:
            page.told = encoded
            self._out.append((page.number, encoded))

    def _tiles(self, page: Page) -> None:
        """What each of its tiles shows; nobody: 0, and why."""
        shown = self._attendance.tiles(page.participant)
        if not shown:
            return
        reasons = {mid: each.reason for mid, each in shown.items() if each.reason}
        shows = {mid: each.participant for mid, each in shown.items()}
        self._send(page, {"type": "tiles", "shows": shows, "reasons": reasons})

    def _roster(self, scene: Scene, now: float) -> None:
        """To all its pages."""
        scene.sent = now
        room = next((room for page in scene.pages if (room := self._attendance.room(page.participant))), None)
        if room is None or room.name != scene.name:
            return
        people = self._people(room)
        hosts = {person.number for person, _ in people if person.role == "host"}
        for page in list(scene.pages):
            if page.participant in room:
                self._state(page, room)
                self._out.append((page.number, _roster_for(people, page, page.participant in hosts)))

    def _people(self, room: Room) -> list[tuple[Participant, bytes]]:
        """Encoded once for everybody."""
        return [(person, self._entry(person)) for person in room.participants()]

    def _entry(self, person: Participant) -> bytes:
        """Without its end: ``you`` follows."""
        return msgspec.json.encode(
            {
                "id": person.number,
                "name": person.name,
                "role": person.role,
                "kind": KINDS.get(person.kind, "terminal"),
                "muted": person.muted,
                "muted_by_host": person.muted_by_host,
                "hand": person.hand or None,
                "video": self._attendance.shows(person.number),
                "waiting": person.state != "in",
            }
        )[:-1]

    def _levels(self, scene: Scene, now: float) -> None:
        """Once a second, news or not: a page hears by it that its socket still leads somewhere."""
        self._alarms.set(scene, "levels", now + LEVELS)
        room = next((room for page in scene.pages if (room := self._attendance.room(page.participant))), None)
        if room is None or room.name != scene.name:
            return
        levels = {}
        for person in room.participants():
            voice = self._attendance.voice(person.number) if person.state == "in" and not person.muted else None
            if voice is not None and voice.level_dbov > SOFT:
                levels[str(person.number)] = round(voice.level_dbov)
        encoded = msgspec.json.encode({"type": "levels", "speaker": room.speaker, "levels": levels})
        for page in scene.pages:
            if page.inside:
                self._out.append((page.number, encoded))

    def _quality(self, page: Page, now: float) -> None:
        self._alarms.set(page, "quality", now + QUALITY)
        voice = self._attendance.voice(page.participant)
        if voice is None:
            return
        received, lost = voice.received - page.received, max(0, voice.lost - page.lost)
        page.received, page.lost = voice.received, voice.lost
        loss = lost / (received + lost) if received > 0 else 0.0  # counters begin anew with a worker
        self._send(
            page,
            {
                "type": "quality",
                "loss": round(loss, 4),
                "loss_down": round(voice.remote_lost, 4),
                "jitter_ms": round(voice.jitter_ms, 1),
                "round_trip_ms": round(voice.round_trip_ms, 1),
            },
        )


def carry_out(room: Room, me: int, said: live_message.Command, now: float) -> None:
    """What the participant ``me`` wants of the room. Raises RoomError."""
    match said:
        case live_message.Hand(up):
            (room.raise_hand if up else room.lower_hand)(me, by=me, now=now)
        case live_message.Mute(muted):
            (room.mute if muted else room.unmute)(me, by=me, now=now)
        case live_message.Layout(layout):
            room.set_own_layout(me, layout, by=me, now=now)
        case live_message.Rename(name):
            room.rename(me, name, by=me, now=now)
        case live_message.Admit("all"):
            room.admit_all(by=me, now=now)
        case live_message.Admit(int(number)):
            room.admit(number, by=me, now=now)
        case live_message.MuteOther(number, muted):
            if number == me:
                raise Refused("self", "that is you: use your own microphone's button")
            (room.mute if muted else room.unmute)(number, by=me, now=now)
        case live_message.MuteAll(muted):
            (room.mute_all if muted else room.unmute_all)(by=me, now=now)
        case live_message.Remove(number):
            waits = number in room and room.participant(number).state == "lobby"
            (room.turn_away if waits else room.remove)(number, by=me, now=now)
        case live_message.Lock(locked):
            (room.lock if locked else room.unlock)(by=me, now=now)
        case live_message.Lower(number):
            room.lower_hand(number, by=me, now=now)
        case live_message.End():
            room.end(by=me, now=now)
        case live_message.RoomLayout(layout):
            room.set_layout(layout, by=me, now=now)


def _gallery(said: live_message.Tiles) -> Gallery:
    wishes = {tile.mid: TileWish(tile.participant, tile.height, tile.paused, tile.content) for tile in said.tiles}
    return Gallery(wishes, said.composed)


def _roster_for(people: Iterable[tuple[Participant, bytes]], page: Page, host: bool) -> bytes:
    """Hosts see who waits; others in the lobby see themselves alone."""
    entries = []
    for person, entry in people:
        you = person.number == page.participant
        if you or host or (page.inside and person.state == "in"):
            entries.append(entry + (b',"you":true}' if you else b',"you":false}'))
    return b'{"type":"roster","participants":[' + b",".join(entries) + b"]}"


def _shown(message: chat.Message) -> dict[str, Any]:
    return {
        "id": message.number,
        "from": message.participant,
        "name": message.name,
        "text": message.text,
        "at": message.at,
    }


def _code(error: RoomError) -> str:
    if isinstance(error, Refused):
        return error.reason
    return {Forbidden: "forbidden", NoSuchParticipant: "no-participant"}.get(type(error), "refused")


def _type(said: live_message.Spoken) -> str:
    return str(said.__struct_config__.tag)


def _spoken(language: str) -> Language:
    return "en-CA" if language.lower().startswith("en") else "fr-CA"


K = TypeVar("K")


def _drop(table: dict[K, dict[Page, None]], key: K, page: Page) -> None:
    pages = table.get(key)
    if pages is not None:
        pages.pop(page, None)
        if not pages:
            del table[key]
