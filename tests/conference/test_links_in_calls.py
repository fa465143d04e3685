"""What a signed link does in a call: role, no PIN, clear refusals; and how a browser's call is known."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.conference.link import Link, read, sign
from bridge.conference.participant import Participant
from bridge.conference.settings import RoomSettings
from bridge.signalling import event as sip
from tests.conference.browser import Browser
from tests.conference.house import House, Terminal

KEY = bytes(32)
WALL = 1_000_000.0
BOARD = RoomSettings(name="board", number="4000", host_pin="2468", guest_pin="1357")
HOST = sign(Link("board", "host", int(WALL) + 60, "Zoé"), KEY)
GUEST = sign(Link("board", "guest", int(WALL) + 60), KEY)
EXPIRED = sign(Link("board", "host", int(WALL)), KEY)
ELSEWHERE = sign(Link("annex", "host", int(WALL) + 60), KEY)


def house(**kw: Any) -> House:
    found = House(links=lambda token: read(token, KEY, WALL), **kw)
    found.focus.add_room(BOARD)
    return found


def people(found: House) -> list[Participant]:
    return [person for status in found.focus.rooms() for person in status.snapshot.participants]


@pytest.mark.parametrize(("token", "role"), [(HOST, "host"), (GUEST, "guest")])
@pytest.mark.parametrize("user", ["board", "4000"])
def test_a_link_gives_a_role_and_asks_for_no_pin(token: str, role: str, user: str) -> None:
    found = house()
    Browser(found, "192.0.2.11").dial(user, token=token)
    found.run(2)
    (person,) = people(found)
    assert (person.role, person.kind) == (role, "web")


def test_without_a_link_the_pin_is_asked_for() -> None:
    found = house()
    Browser(found, "192.0.2.11").dial("board")
    found.run(2)
    assert not people(found)


def test_a_terminal_may_bring_a_link_too() -> None:
    found = house()
    headers = (("Authorization", f"Bearer {HOST}"),)
    Terminal(found, "192.0.2.12").dial("board", headers=headers)
    found.run(2)
    (person,) = people(found)
    assert (person.role, person.kind, person.name) == ("host", "sip", "Zoé")


def test_whoever_says_a_name_has_that_one() -> None:
    found = house()
    Browser(found, "192.0.2.11").dial("board", token=HOST, from_display="Anna")
    found.run(2)
    assert people(found)[0].name == "Anna"


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (EXPIRED, "this link has expired: ask for a new one"),
        (ELSEWHERE, "this link is for another room: ask for one to this room"),
        (HOST[:-2], "this link is not one of ours, or not all of it was copied: ask for it again"),
    ],
)
def test_a_link_that_opens_nothing_here_is_refused_and_says_why(token: str, why: str) -> None:
    found = house()
    browser = Browser(found, "192.0.2.11")
    browser.dial("board", token=token)
    found.run(2)
    (over,) = browser.events(sip.CallEnded)
    assert (over.code, over.reason) == (401, why)
    assert any(b"WWW-Authenticate: Bearer" in data for _, data, _ in found.log)


def test_where_there_is_no_pin_for_guests_a_browser_is_asked_nothing() -> None:
    found = House()
    found.focus.add_room(RoomSettings(name="hall", host_pin="2468", entry="name", choose_language=True))
    Browser(found, "192.0.2.11").dial("hall")
    found.run(2)
    (person,) = people(found)
    assert person.role == "guest"


@pytest.mark.parametrize(("said", "language"), [("en", "en-CA"), ("fr-CA, en;q=0.5", "fr-CA"), ("de", "fr-CA")])
def test_a_browser_says_what_its_person_reads(said: str, language: str) -> None:
    found = house()
    Browser(found, "192.0.2.11").dial("board", token=GUEST, headers=(("Accept-Language", said),))
    Terminal(found, "192.0.2.12").dial("hall", headers=[("Accept-Language", "en")])
    found.run(2)
    spoken = {person.kind: person.language for person in people(found)}
    assert spoken == {"web": language, "sip": "fr-CA"}


def test_a_browsers_call_is_known_by_its_call_id_until_it_ends() -> None:
    found = house()
    browser = Browser(found, "192.0.2.11")
    browser.dial("board", token=GUEST)
    found.run(2)
    (person,) = people(found)
    call_id = browser.invite.call_id
    assert found.focus.attendance.called(call_id) == person.number
    browser.hangup()
    found.run(2)
    assert found.focus.attendance.called(call_id) is None


def test_a_telephones_call_id_is_no_key() -> None:
    found = House()
    Terminal(found, "192.0.2.12").dial("demo")
    found.run(2)
    call_ids = {
        line.split(b": ")[1].decode() for _, d, _ in found.log for line in d.split(b"\r\n") if b"Call-ID" in line
    }
    assert call_ids
    assert all(found.focus.attendance.called(call_id) is None for call_id in call_ids)


def test_a_page_that_was_loaded_anew_takes_its_place_again() -> None:
    """Replaces (RFC 3891): the same participant, known by the new Call-ID."""
    found = house()
    browser = Browser(found, "192.0.2.11")
    browser.dial("board", token=HOST)
    found.run(2)
    (before,) = people(found)
    old = browser.invite.call_id
    (answer,) = [d for _, d, f in found.log if f.remote == browser.flow.local and d.startswith(b"SIP/2.0 200")][-1:]
    to, own = (line.rpartition(b"tag=")[2].decode() for line in answer.split(b"\r\n") if line[:3] in (b"To:", b"Fro"))
    to, own = (to, own) if b"To" in answer.split(b"tag=" + to.encode())[0].split(b"\r\n")[-1] else (own, to)
    browser.reload()
    browser.dial("board", token=HOST, headers=(("Replaces", f"{old};to-tag={to};from-tag={own}"),))
    found.run(2)
    (after,) = people(found)
    assert after.number == before.number
    assert found.focus.attendance.called(old) is None
    assert found.focus.attendance.called(browser.invite.call_id) == after.number
