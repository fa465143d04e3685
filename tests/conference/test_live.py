"""The socket of a page beside a call: what it is told, what it may want, and what it can't do to others."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.conference import live as live_module
from bridge.conference.chat import HISTORY
from bridge.conference.live import Close, Live
from bridge.conference.settings import RoomSettings
from bridge.signalling import event as sip
from bridge.worker import protocol as media
from tests.conference.browser import Browser
from tests.conference.house import House, Terminal


class Studio:
    """A house with pages."""

    def __init__(self, **kw: Any) -> None:
        self.house = House(**kw)
        self.recording: set[str] = set()
        self.live = Live(
            self.house.focus,
            say=lambda sentence, language: f"{language}: {sentence}",
            clock=lambda: "2026-11-25T12:00:00Z",
            recorded=lambda room: room in self.recording,
        )
        self.told = 0
        self.numbers = itertools.count(1)
        self.heard: dict[int, list[dict[str, Any]]] = {}
        self.closed: dict[int, Close] = {}

    def run(self, seconds: float = 0.5) -> None:
        end = self.house.now + seconds
        while self.house.now < end:
            self.house.run(min(0.05, end - self.house.now))
            self.settle()

    def settle(self) -> None:
        self.house._drain()
        for event in self.house.told[self.told :]:
            self.live.told(event, self.house.now)
        self.told = len(self.house.told)
        if (when := self.live.deadline()) is not None and when <= self.house.now:
            self.live.expire(self.house.now)
        for number, what in self.live.outgoing():
            if isinstance(what, Close):
                self.closed[number] = what
            else:
                self.heard[number].append(json.loads(what))

    def page(self) -> int:
        number = next(self.numbers)
        self.heard[number] = []
        self.live.came(number, self.house.now)
        return number

    def say(self, page: int, **message: Any) -> None:
        self.live.received(page, json.dumps(message), self.house.now)
        self.settle()

    def join(self, host: str, name: str, room: str = "demo", **kw: Any) -> tuple[Browser, int]:
        browser = Browser(self.house, host)
        browser.dial(room, from_display=name, **kw)
        self.run()
        page = self.page()
        self.say(page, type="hello", call=browser.invite.call_id, language="en")
        return browser, page

    def of(self, page: int, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard[page] if message["type"] == kind]

    def last(self, page: int, kind: str) -> dict[str, Any]:
        return self.of(page, kind)[-1]

    def host(self, page: int) -> int:
        """Make its person a host."""
        number: int = self.last(page, "welcome")["you"]
        room = self.last(page, "welcome")["room"]
        self.house.focus.tell(room, lambda r: r.set_role(number, "host", by=None, now=self.house.now), self.house.now)
        self.run()
        return number


def test_a_page_is_told_everything_when_it_comes() -> None:
    studio = Studio()
    _, page = studio.join("192.0.2.11", "Anna")
    welcome, state, roster = studio.heard[page]
    assert (welcome["type"], welcome["room"], welcome["role"], welcome["chat"]) == ("welcome", "demo", "guest", [])
    assert (state["type"], state["place"], state["locked"], state["recording"]) == ("state", "room", False, False)
    assert state["layouts"] == ["single", "strip", "grid", "side-by-side"]
    (me,) = roster["participants"]
    assert me == {
        "id": welcome["you"],
        "name": "Anna",
        "role": "guest",
        "kind": "browser",
        "muted": False,
        "muted_by_host": False,
        "hand": None,
        "video": False,
        "waiting": False,
        "you": True,
    }


def test_a_page_may_come_before_its_call() -> None:
    studio = Studio()
    browser = Browser(studio.house, "192.0.2.11")
    browser.dial("demo")
    studio.house._drain()
    page = studio.page()
    studio.say(page, type="hello", call=browser.invite.call_id)
    assert not studio.heard[page]
    studio.run()
    assert studio.of(page, "welcome")


def test_a_page_without_a_call_is_closed() -> None:
    studio = Studio()
    silent, guessing = studio.page(), studio.page()
    studio.say(guessing, type="hello", call="guessed")
    studio.run(2 * live_module.HELLO + 1)
    assert studio.closed[silent].code == studio.closed[guessing].code == 1008
    assert not studio.live._waiting
    assert not len(studio.live)


def test_a_telephones_call_id_opens_nothing() -> None:
    studio = Studio()
    Terminal(studio.house, "192.0.2.12").dial("demo")
    studio.run()
    page = studio.page()
    for _, data, _ in studio.house.log:
        call_id = next(line[9:].decode() for line in data.split(b"\r\n") if line.startswith(b"Call-ID: "))
        studio.say(page, type="hello", call=call_id)
    studio.run()
    assert not studio.of(page, "welcome")


def test_chat_goes_to_all_pages_and_to_who_comes_later() -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    _, bela = studio.join("192.0.2.12", "Béla")
    studio.say(anna, type="chat", text=" Bonjour\r\nà tous\x07 ")
    for page in (anna, bela):
        message = studio.last(page, "chat")
        assert (message["name"], message["text"]) == ("Anna", "Bonjour\nà tous")
        assert message["from"] == studio.last(anna, "welcome")["you"]
        assert message["at"] == "2026-11-25T12:00:00Z"
    _, late = studio.join("192.0.2.13", "Carl")
    assert [message["text"] for message in studio.last(late, "welcome")["chat"]] == ["Bonjour\nà tous"]


def test_a_terminals_message_is_in_the_chat_and_the_chat_goes_to_terminals() -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    terminal = Terminal(studio.house, "192.0.2.20")
    terminal.dial("demo", from_display="Salle 4")
    studio.run()
    terminal.endpoint.message(terminal.call, "text/plain", "Nous sommes là".encode(), studio.house.now)
    studio.run()
    assert (studio.last(anna, "chat")["name"], studio.last(anna, "chat")["text"]) == ("Salle 4", "Nous sommes là")
    studio.say(anna, type="chat", text="Bienvenue")
    studio.run()
    got = terminal.events(sip.MessageReceived)
    assert [event.body.decode() for event in got] == ["Anna: Bienvenue"]
    browsers = [
        data for _, data, flow in studio.house.log if data.startswith(b"MESSAGE") and flow.remote[0] == "192.0.2.11"
    ]
    assert not browsers  # those have their page


@pytest.mark.parametrize(("text", "code"), [("", "empty"), (" \n\t ", "empty"), ("x" * 2001, "too-long")])
def test_what_is_no_message_is_refused(text: str, code: str) -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    studio.say(anna, type="chat", text=text)
    assert studio.last(anna, "refused")["code"] == code
    assert studio.last(anna, "refused")["of"] == "chat"
    assert not studio.of(anna, "chat")


def test_the_speaking_queue_is_one_for_all_kinds() -> None:
    studio = Studio()
    terminal = Terminal(studio.house, "192.0.2.20")
    terminal.dial("demo", from_uri="tel:+14185550100")
    studio.run()
    _, anna = studio.join("192.0.2.11", "Anna")
    stream = min(studio.house.notes.streams)
    studio.house.press(stream, "*9")
    studio.run(5)
    studio.say(anna, type="hand", up=True)
    studio.run()
    places = {person["kind"]: person["hand"] for person in studio.last(anna, "roster")["participants"]}
    assert places == {"telephone": 1, "browser": 2}
    studio.say(anna, type="hand", up=False)
    studio.run()
    assert {p["kind"]: p["hand"] for p in studio.last(anna, "roster")["participants"]} == {
        "telephone": 1,
        "browser": None,
    }


def test_hosts_govern_and_guests_do_not() -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    _, bela = studio.join("192.0.2.12", "Béla")
    other = studio.last(bela, "welcome")["you"]
    commands: list[dict[str, Any]] = [
        {"type": "mute_other", "id": other, "muted": True},
        {"type": "mute_all"},
        {"type": "lock", "locked": True},
        {"type": "room_layout", "layout": "grid"},
        {"type": "remove", "id": other},
        {"type": "end"},
    ]
    for command in commands:
        studio.say(anna, **command)
        assert studio.last(anna, "refused") == {
            "type": "refused",
            "code": "forbidden",
            "message": "en-CA: only hosts may do that: ask one, or an operator",
            "of": command["type"],
        }
    studio.host(anna)
    assert studio.last(anna, "welcome")["role"] == "host"
    for command in commands[:4]:
        studio.say(anna, **command)
        studio.run()
    assert len(studio.of(anna, "refused")) == len(commands)
    assert studio.last(bela, "state")["locked"]
    assert studio.last(bela, "state")["room_layout"] == "grid"
    assert next(p for p in studio.last(bela, "roster")["participants"] if p["you"])["muted_by_host"]
    studio.say(anna, **commands[4])
    studio.run(3)
    assert studio.last(bela, "state")["place"] == "ended"
    studio.say(anna, **commands[5])
    studio.run(3)
    assert studio.last(anna, "state")["place"] == "ended"


def test_one_mutes_oneself_is_renamed_and_chooses_a_layout() -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    studio.say(anna, type="mute", muted=True)
    studio.say(anna, type="rename", name="Anna K.")
    studio.say(anna, type="layout", layout="grid")
    studio.run()
    (me,) = studio.last(anna, "roster")["participants"]
    assert (me["muted"], me["muted_by_host"], me["name"]) == (True, False, "Anna K.")
    assert studio.last(anna, "state")["layout"] == "grid"
    studio.say(anna, type="layout", layout="carousel")
    assert studio.of(anna, "refused")
    studio.say(anna, type="layout", layout=None)
    studio.run()
    assert studio.last(anna, "state")["layout"] is None


def test_the_lobby_sees_nothing_of_the_room_and_hosts_see_who_waits() -> None:
    studio = Studio()
    studio.house.focus.add_room(RoomSettings(name="board", lobby="until-admitted"))
    _, anna = studio.join("192.0.2.11", "Anna", "board")
    assert studio.last(anna, "state")["place"] == "lobby"
    studio.house.focus.tell("board", lambda r: r.admit_all(by=None, now=studio.house.now), studio.house.now)
    studio.run()
    assert studio.last(anna, "state")["place"] == "room"
    studio.host(anna)
    studio.say(anna, type="chat", text="between us")
    _, bela = studio.join("192.0.2.12", "Béla", "board")
    studio.run()
    assert studio.last(bela, "state")["place"] == "lobby"
    assert studio.last(bela, "welcome")["chat"] == []
    (seen,) = studio.last(bela, "roster")["participants"]
    assert (seen["you"], seen["waiting"]) == (True, True)
    studio.say(bela, type="chat", text="let me in")
    assert studio.last(bela, "refused")["code"] == "lobby"
    waiting = [person for person in studio.last(anna, "roster")["participants"] if person["waiting"]]
    assert [person["name"] for person in waiting] == ["Béla"]
    studio.say(anna, type="admit", id=waiting[0]["id"])
    studio.run()
    assert studio.last(bela, "state")["place"] == "room"
    assert [message["text"] for message in studio.last(bela, "welcome")["chat"]] == ["between us"]


def test_levels_come_once_a_second_and_leave_out_who_is_silent_or_muted() -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    _, bela = studio.join("192.0.2.12", "Béla")
    streams = sorted(studio.house.notes.streams)
    studio.house.heard(report({streams[0]: -20.4, streams[1]: -80.0}))
    before = len(studio.of(anna, "levels"))
    studio.run(3)
    assert len(studio.of(anna, "levels")) - before == 3
    you = studio.last(anna, "welcome")["you"]
    assert studio.last(bela, "levels")["levels"] == {str(you): -20}
    room = next(iter(studio.house.notes.rooms))
    studio.house.heard(media.Speaking(room=room, stream=streams[0]))
    studio.settle()
    assert studio.last(bela, "levels")["speaker"] == you
    studio.say(anna, type="mute", muted=True)
    studio.run(1.1)
    assert studio.last(bela, "levels")["levels"] == {}


def test_quality_is_of_the_last_two_seconds() -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    (stream,) = studio.house.notes.streams
    studio.house.heard(report({stream: -20.0}, received=100, lost=0))
    studio.run(2.1)
    studio.house.heard(report({stream: -20.0}, received=190, lost=10))
    studio.run(2.1)
    quality = studio.last(anna, "quality")
    assert (quality["loss"], quality["jitter_ms"], quality["round_trip_ms"]) == (0.1, 4.0, 30.0)


def report(levels: dict[int, float], received: int = 1, lost: int = 0) -> media.Report:
    state = media.SendState(0, 0, 0, 0)
    streams = tuple(
        media.StreamReport(n, received, lost, 0, 4.0, 20.0, level, 1, 0.0, 30.0, 0, 0, state, 0)
        for n, level in levels.items()
    )
    return media.Report(streams, 1.0, 1.0, 1.0, 0, 1.0, 0, 0)


def test_who_has_a_page_is_not_told_things_by_voice_meanwhile() -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    me = studio.last(anna, "welcome")["you"]
    assert not studio.house.focus.attendance.room(me).participant(me).voice_prompts  # type: ignore[union-attr]
    studio.live.gone(anna, studio.house.now)
    assert studio.house.focus.attendance.room(me).participant(me).voice_prompts  # type: ignore[union-attr]


def test_the_page_of_a_call_that_is_over_is_closed() -> None:
    studio = Studio()
    browser, anna = studio.join("192.0.2.11", "Anna")
    browser.hangup()
    studio.run()
    assert studio.last(anna, "state") == {"type": "state", "place": "ended"}
    assert studio.closed[anna].code == 1000
    assert not studio.live._scenes
    assert not studio.live._attending
    assert not studio.live._chats


def test_a_page_follows_its_call_to_another_room() -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    studio.house.focus.move(studio.last(anna, "welcome")["you"], "annex", studio.house.now)
    studio.run()
    assert studio.last(anna, "welcome")["room"] == "annex"
    assert [state["place"] for state in studio.of(anna, "state")] == ["room"]


def test_rosters_come_five_times_a_second_at_most_and_end_with_the_truth() -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    studio.run(1)
    before = len(studio.of(anna, "roster"))
    for turn in range(21):
        studio.say(anna, type="mute", muted=turn % 2 == 0)
        studio.run(0.05)
    studio.run(1)
    assert len(studio.of(anna, "roster")) - before <= 7
    assert studio.last(anna, "roster")["participants"][0]["muted"]


def test_a_recording_is_shown() -> None:
    studio = Studio()
    studio.recording.add("demo")
    _, anna = studio.join("192.0.2.11", "Anna")
    assert studio.last(anna, "state")["recording"]


# ------------------------------------------------------------------------------------------------ too much


def test_a_flood_is_told_once_and_then_closed() -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    _, bela = studio.join("192.0.2.12", "Béla")
    for _ in range(400):
        studio.live.received(anna, b'{"type":"hand","up":true}', studio.house.now)
    studio.settle()
    assert [refused["code"] for refused in studio.of(anna, "refused")] == ["slow-down"]
    assert studio.closed[anna].code == 1008
    assert bela not in studio.closed


def test_one_person_writes_ten_messages_at_once_and_then_one_a_second() -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    _, bela = studio.join("192.0.2.12", "Béla")
    for n in range(30):
        studio.say(anna, type="chat", text=str(n))
    assert len(studio.of(bela, "chat")) == 10
    assert studio.last(anna, "refused")["code"] == "slow-down"
    studio.run(3.1)
    studio.say(anna, type="chat", text="again")
    assert studio.last(bela, "chat")["text"] == "again"


def test_the_history_is_bounded() -> None:
    studio = Studio()
    _, anna = studio.join("192.0.2.11", "Anna")
    for _ in range(30):
        for n in range(10):
            studio.say(anna, type="chat", text=str(n))
        studio.house.now += 10
    assert len(studio.live._chats["demo"].last(1000)) == HISTORY


class Crowd:
    """One room for all examples: making one costs more than what is tried."""

    def __init__(self) -> None:
        self.studio = Studio()
        _, self.anna = self.studio.join("192.0.2.11", "Anna")
        _, self.bela = self.studio.join("192.0.2.12", "Béla")


CROWD: list[Crowd] = []

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TYPES = [
    *("hello", "chat", "hand", "mute", "layout", "rename", "language", "admit", "mute_other", "mute_all", "remove"),
    *("lock", "lower", "room_layout", "nonsense"),
]
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES)},
    optional={
        name: VALUES | st.integers(-1, 5) | st.booleans()
        for name in ("call", "text", "up", "muted", "layout", "name", "language", "id", "locked", "token")
    },
)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200) | MESSAGES.map(json.dumps) | st.just("[" * 10_000))
def test_anything_may_come(message: str | bytes) -> None:
    if not CROWD:
        CROWD.append(Crowd())
    studio, anna, bela = CROWD[0].studio, CROWD[0].anna, CROWD[0].bela
    before = len(studio.heard[anna]), len(studio.heard[bela])
    studio.live.received(anna, message, studio.house.now)
    studio.house.now += 0.5
    studio.settle()
    assert anna not in studio.closed
    assert bela not in studio.closed
    for page, since in zip((anna, bela), before, strict=True):
        assert all(isinstance(said["type"], str) for said in studio.heard[page][since:])
