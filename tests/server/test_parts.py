"""The small parts: the event feed, logs, routes, what is printed, the terminal view."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any, cast

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bridge.conference.event import LockChanged, SettingsChanged
from bridge.conference.settings import RoomSettings
from bridge.io import Listener
from bridge.signalling.event import Malformed, Rejected
from bridge.signalling.flow import Flow, Transport
from gateways.webrtc.focus import FocusGateway
from gateways.webrtc.identity import Identity
from server import feed as feed_module
from server import guide, log, route
from server.app import renew
from server.feed import Feed
from server.journal import REJECTIONS, Journal
from server.log import LONGEST, Sampler, bounded
from server.settings import Log
from server.top import picture

# -------------------------------------------------------------------------------------------------- feed


def test_a_listener_that_does_not_read_loses_events_and_is_told_how_many() -> None:
    async def run() -> list[bytes]:
        feed = Feed()
        listener = feed.listen()
        for _ in range(feed_module.WAITING + 7):
            feed.tell(LockChanged("demo", True))
        stream = listener.messages()
        for _ in range(feed_module.WAITING + 1):
            await anext(stream)
        feed.tell(LockChanged("demo", False))
        feed.close()
        return [message async for message in stream]

    lost, last = asyncio.run(run())
    assert b'"events":7' in lost
    assert b'"locked":false' in last


def test_events_carry_no_pin() -> None:
    settings = RoomSettings("demo", host_pin="8642", guest_pin="9753")
    text = json.dumps(feed_module.described(SettingsChanged("demo", settings)))
    assert '"name": "demo"' in text
    assert "8642" not in text
    assert "9753" not in text


def test_an_idle_stream_is_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "BEAT", 0.01)

    async def run() -> list[bytes]:
        stream = Feed().listen().messages()
        return [await anext(stream), await anext(stream)]

    assert asyncio.run(run())[1].startswith(b":")


# --------------------------------------------------------------------------------------------------- log


@given(st.text())
def test_no_logged_value_is_long_or_forges_a_line(text: str) -> None:
    value = bounded(None, "info", {"event": text})["event"]
    assert len(value) <= 4 * (LONGEST + 1)
    assert value.isprintable() or not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value)
    assert "\n" not in value


def test_a_flood_of_one_kind_is_sampled_and_counted() -> None:
    now = 0.0
    sampler = Sampler(3, 10.0, clock=lambda: now)
    assert [sampler.let("a") for _ in range(5)] == [0, 0, 0, None, None]
    assert sampler.let("b") == 0
    now = 11.0
    assert sampler.let("a") == 2
    assert sampler.let("a") == 0


@pytest.fixture
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # A logger that is kept would write to this test's standard error for good.
    configure = structlog.configure
    monkeypatch.setattr(structlog, "configure", lambda **k: configure(**k | {"cache_logger_on_first_use": False}))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_as_it_was")
def test_a_scanner_does_not_fill_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(Log(json_lines=True))
    journal = Journal()
    flow = Flow(Transport.UDP, ("192.0.2.1", 5060), ("192.0.2.9", 5060))
    for n in range(1000):
        journal.refused(Rejected(flow, "REGISTER", 404, "Not Found"))
        journal.refused(Rejected(flow, f"SCAN{n}-" + "x" * 1000, 405, "no"))
        journal.refused(Malformed(flow, "\x1b[31mred\r\nforged"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 * REJECTIONS
    assert all(len(line) < 1000 for line in lines)
    for n in range(1000):
        journal.refused(Rejected(flow, f"M{n}", 405, "no"))
    assert capsys.readouterr().err == ""
    assert all(json.loads(line)["level"] == "info" for line in lines)


@pytest.mark.usefixtures("_as_it_was")
def test_a_challenge_is_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(Log())
    flow = Flow(Transport.UDP, ("192.0.2.1", 5060), ("192.0.2.9", 5060))
    Journal().refused(Rejected(flow, "REGISTER", 401, "Unauthorized"))
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("_as_it_was")
def test_the_libraries_log_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(Log(json_lines=True))
    logging.getLogger("uvicorn.error").warning("odd %s", "thing")
    logging.getLogger("uvicorn.error").info("chatter")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["odd thing"]


# ------------------------------------------------------------------------------------------------ routes


def test_a_peer_on_this_machine_is_told_loopback() -> None:
    assert route.Routes()("127.0.0.5") == "127.0.0.1"


def test_the_setting_wins_for_its_family() -> None:
    routes = route.Routes("203.0.113.9")
    assert routes("127.0.0.1") == "203.0.113.9"
    assert routes("::1") == "::1"


def test_routes_are_remembered_for_a_while_and_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(remote: str) -> str:
        asked.append(remote)
        return "192.0.2.1"

    now = 0.0
    monkeypatch.setattr(route, "source_address", ask)
    routes = route.Routes(clock=lambda: now)
    for _ in range(3):
        routes("198.51.100.1")
    assert asked == ["198.51.100.1"]
    now = route.FRESH + 1
    routes("198.51.100.1")
    assert len(asked) == 2
    for n in range(3 * route.REMEMBERED):
        routes(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    assert len(routes._known) <= route.REMEMBERED


def test_an_address_without_a_way_there_is_no_error() -> None:
    assert route.source_address("not an address") == "127.0.0.1"


def test_our_addresses_have_loopback() -> None:
    assert {"127.0.0.1", "::1", "localhost"} <= route.own_addresses()


# ------------------------------------------------------------------------------------------------- guide


def test_what_to_dial_names_an_address_that_others_reach_first() -> None:
    listeners = [Listener.parse(text) for text in ("tcp:0.0.0.0:5060", "udp:0.0.0.0:5060", "tls:0.0.0.0:5061")]
    assert guide.addresses("demo", listeners, lambda six: "192.0.2.7") == [
        "sip:demo@192.0.2.7",
        "sip:demo@127.0.0.1",
        "sip:demo@192.0.2.7;transport=tcp",
        "sip:demo@127.0.0.1;transport=tcp",
        "sip:demo@192.0.2.7;transport=tls",
        "sip:demo@127.0.0.1;transport=tls",
    ]


def test_what_to_dial_has_ports_and_brackets_where_they_are_needed() -> None:
    assert guide.uri("demo", "::1", Listener.parse("udp:[::1]:5070")) == "sip:demo@[::1]:5070"


@pytest.mark.parametrize("demo", [True, False])
def test_the_guide_speaks_french_and_english(demo: bool) -> None:
    text = guide.text("1", [Listener.parse("udp:127.0.0.1:5062")], str, "demo", "http://127.0.0.1:9", demo=demo)
    assert "Composez    sip:demo@127.0.0.1:5062" in text
    assert "Dial        sip:demo@127.0.0.1:5062" in text
    assert "top --server http://127.0.0.1:9" in text


# --------------------------------------------------------------------------------------------------- top


def status(rooms: int, people: int) -> dict[str, Any]:
    media = {
        "codec": "OPUS/48000",
        "secure": True,
        "on_hold": False,
        "level_dbov": -20.0,
        "received": 990,
        "lost": 10,
        "jitter_ms": 1.5,
        "delay_ms": 20.0,
        "round_trip_ms": 30.0,
    }
    person = {
        "name": "[bold]Ann[/]",
        "state": "in",
        "speaking": False,
        "muted_by_host": False,
        "muted_by_self": True,
        "deaf": False,
        "help_wanted": False,
        "hand": 0,
        "media": media,
    }
    others = [dict(person, name=f"P{n}") for n in range(people - 2)]
    crowd = [person, *others, dict(person, name="Loud", speaking=True)]
    room = {"number": "", "locked": False, "on": True, "participants": crowd}
    worker = dict.fromkeys(("number", "pid", "streams", "beats_late", "restarts"), 1) | {
        "failed": False,
        "cpu": 0.5,
        "beat_p50_ms": 1.0,
        "beat_p99_ms": 2.0,
        "beat_max_ms": 3.0,
    }
    head = {"version": "1", "uptime": 3725, "calls": 4, "ready": True, "registrations": 0}
    return head | {"workers": [worker], "rooms": [dict(room, name=f"room{n}") for n in range(rooms)]}


def drawn(now: dict[str, Any], lines: int = 24) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=100, height=lines).print(picture(now, lines))
    return text.getvalue().splitlines()


def test_top_shows_loss_level_and_marks() -> None:
    text = "\n".join(drawn(status(1, 3)))
    assert "up 1:02:05" in text
    assert "1.0 %" in text
    assert "██████··" in text
    assert "muted, SRTP" in text
    assert "[bold]Ann[/]" in text, "a caller's name is no markup"


def test_top_shows_who_wants_help_first() -> None:
    now = status(1, 3000)
    now["rooms"][0]["participants"][1500] |= {"name": "Lost", "help_wanted": True}
    (line,) = (line for line in drawn(now) if "Lost" in line)
    assert "wants help" in line


@pytest.mark.parametrize(("rooms", "people"), [(1, 3000), (300, 4), (3, 50)])
def test_top_fits_its_window_and_shows_who_speaks(rooms: int, people: int) -> None:
    lines = drawn(status(rooms, people))
    assert len(lines) <= 26
    assert any("Loud" in line for line in lines)
    assert any("more" in line for line in lines)


@pytest.mark.parametrize("spoken", ["fr-CA", "en-CA"])
@pytest.mark.parametrize("width", [80, 120])
def test_top_keeps_its_figures_where_there_is_not_room_for_every_word(
    monkeypatch: pytest.MonkeyPatch, spoken: str, width: int
) -> None:
    monkeypatch.setenv("VISIOPONT_LANGUAGE", spoken)
    now = status(1, 3)
    now["workers"][0] |= {"pid": 1234567, "streams": 3000, "beat_max_ms": 123.45, "restarts": 9}
    one = now["rooms"][0]["participants"][0]
    one |= {"name": "Comité exécutif de la Ville de Trois-Rivières", "muted_by_host": True, "hand": 2}
    one["media"] = one["media"] | {"lost": 400, "on_hold": True, "delay_ms": 241.0, "jitter_ms": 12.5}
    text = io.StringIO()
    Console(file=text, width=width, height=24).print(picture(now, 24))
    lines = text.getvalue().replace(",", ".").splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == 9
    worker = next(line for line in lines if "1234567" in line)
    assert worker.split() == ["1", "1234567", "3000", "1.00", "2.00", "123.45", "1", "50", "%", "9"]
    row = next(line for line in lines if "Comité" in line)
    for figure in ("██████··", "OPUS", "28.8 %", "12.5", "241", "30"):
        assert figure in row
    assert "…" in row


# ------------------------------------------------------------------------------------------- certificates


def test_browsers_calls_have_another_certificate_each_day() -> None:
    given: list[Identity] = []
    waited: list[float] = []

    class Gateway:
        def renew(self, identity: Identity) -> None:
            given.append(identity)

    async def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(renew(cast(FocusGateway, Gateway()), wait))
    assert waited == [86_400.0] * 3
    assert len({identity.fingerprint for identity in given}) == 2
