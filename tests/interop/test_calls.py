"""What happens in a call: keys, hold, phones that vanish, PINs, calls out, transfers."""

from __future__ import annotations

from pathlib import Path

import pytest

from .phones import Baresip, Linphone, Sipp
from .process import until
from .server import SILENCE, Server, settle

pytestmark = pytest.mark.interop
A, B, C = 450, 810, 1130
"""Hz: see test_rooms.py."""


def muted(server: Server, room: str) -> dict[str, bool]:
    return {person["name"]: person["muted_by_self"] for person in server.people(room)}


def on_hold(server: Server, room: str) -> dict[str, bool]:
    return {person["name"]: person["media"]["on_hold"] for person in server.people(room)}


def test_star_six_mutes_and_opens(server: Server, tmp_path: Path) -> None:
    room = server.open("keys")
    with (
        Baresip(tmp_path, tone=A, codec="opus", user="alice") as alice,
        Baresip(tmp_path, tone=B, codec="PCMU", user="bob") as bob,
        Linphone(tmp_path, tone=C) as linphone,
        Sipp(tmp_path, "keys.xml", server.port, service="keys") as sipp,
    ):
        for phone in (alice, bob, linphone):
            phone.call(room)
        # Events at 8000 Hz beside Opus, at 48000 Hz, and beside G.711 from a phone that sends nothing else.
        alice.press("*6")
        linphone.press("*6")
        until(lambda: muted(server, "keys") == {"alice": True, "bob": False, "lp": True, "sipp": True}, "three muted")
        sipp.finish()
        assert bob.listen(1.0).heard((A, B, C)) == set()
        alice.press("*6")
        until(lambda: not muted(server, "keys")["alice"], "alice open again")
        settle()
        assert bob.heard(1.0).heard((A, B, C)) == {A}
        linphone.hangup()
        for phone in (alice, bob):
            phone.hangup()
        server.await_people("keys", 0)


def test_hold_and_resume(server: Server, tmp_path: Path) -> None:
    room = server.open("hold")
    with (
        Baresip(tmp_path, tone=A, user="alice") as alice,
        Linphone(tmp_path, tone=B) as linphone,
        Baresip(tmp_path, tone=C, user="carol") as carol,
    ):
        for phone in (alice, linphone, carol):
            phone.call(room)
        settle()
        assert carol.heard(0.5).heard((A, B, C)) == {A, B}
        alice.hold()
        linphone.pause()
        until(lambda: on_hold(server, "hold") == {"alice": True, "lp": True, "carol": False}, "two on hold")
        settle()
        assert carol.listen(1.0).heard((A, B, C)) == set()
        assert alice.listen(1.0).heard((A, B, C)) == set()
        alice.resume()
        linphone.resume()
        until(lambda: not any(on_hold(server, "hold").values()), "both back")
        settle()
        assert carol.heard(1.0).heard((A, B, C)) == {A, B}
        # Not asked of alice: baresip records no more after a hold.
        assert linphone.hangup().last(1.0).heard((A, B, C)) == {A, C}
        alice.hangup()
        carol.hangup()
        server.await_people("hold", 0)


def test_who_vanishes_without_bye_is_cleared_and_the_others_talk_on(server: Server, tmp_path: Path) -> None:
    room = server.open("vanish")
    with (
        Baresip(tmp_path, tone=A, user="alice") as alice,
        Baresip(tmp_path, tone=B, user="bob") as bob,
        Baresip(tmp_path, tone=C, user="carol") as carol,
    ):
        for phone in (alice, bob, carol):
            phone.call(room)
        server.await_people("vanish", 3)
        alice.vanish()
        # Silence is looked at every 5 s.
        left = server.await_people("vanish", 2, SILENCE + 8.0)
        assert {person["name"] for person in left} == {"bob", "carol"}
        assert bob.heard(0.5).heard((A, B, C)) == {C}
        bob.hangup()
        carol.hangup()
        server.await_people("vanish", 0)


def test_three_wrong_pins_end_the_call_and_the_right_one_opens(server: Server, tmp_path: Path) -> None:
    room = server.open("pin", guest_pin="1234", language="en-CA")
    with Baresip(tmp_path, tone=A, user="alice") as alice, Baresip(tmp_path, tone=B, user="bob") as bob:
        alice.call(room)
        bob.call(room)
        for _ in range(3):
            settle(1.0)
            alice.press("9999#")
        bob.press("1234#")
        server.await_people("pin", 1)
        assert server.people("pin")[0]["name"] == "bob"
        # It is told why first.
        alice.await_event("CALL_CLOSED", 15.0)
        assert len(server.people("pin")) == 1
        bob.hangup()
        server.await_people("pin", 0)


def test_calls_out_reach_phones_by_every_transport(server: Server, tmp_path: Path) -> None:
    room = server.open("out")
    with (
        Baresip(tmp_path, tone=A, codec="opus", user="alice") as alice,
        Baresip(tmp_path, tone=B, codec="PCMA", user="bob", auto_answer=True, encryption="srtp") as bob,
        Baresip(tmp_path, tone=C, codec="G722", user="carol", auto_answer=True, transport="tcp") as carol,
    ):
        alice.call(room)
        server.post("/rooms/out/calls", uri=bob.uri)
        server.post("/rooms/out/calls", uri=f"{carol.uri};transport=tcp")
        people = server.await_people("out", 3)
        assert {person["name"]: person["media"]["secure"] for person in people} == {
            "alice": False,
            "bob": True,
            "carol": False,
        }
        settle()
        for phone, others in ((alice, {B, C}), (bob, {A, C}), (carol, {A, B})):
            assert phone.heard(0.5).heard((A, B, C)) == others
        # Nobody is there: 404, and the room goes on.
        server.post("/rooms/out/calls", uri=bob.uri.replace("bob", "nobody"))
        server.api.post("/rooms/out/end")
        for phone in (alice, bob, carol):
            phone.await_event("CALL_CLOSED")


def test_a_host_transfers_itself_away_and_another_takes_its_place(server: Server, tmp_path: Path) -> None:
    room = server.open("refer", host_pin="4321")
    with (
        Baresip(tmp_path, tone=A, user="alice") as alice,
        Baresip(tmp_path, tone=B, user="bob", auto_answer=True) as bob,
        Baresip(tmp_path, tone=C, user="carol") as carol,
    ):
        for phone, keys in ((alice, "4321#"), (carol, "#")):
            phone.call(room)
            settle(1.0)
            phone.press(keys)
        server.await_people("refer", 2)
        alice.transfer(bob.uri)
        bob.await_event("CALL_ESTABLISHED")
        # The NOTIFY with 200 tells alice's phone that it may go.
        alice.await_event("CALL_CLOSED")
        until(lambda: {p["name"] for p in server.people("refer")} == {"bob", "carol"}, "bob in alice's place")
        # The guests are told that the host has left.
        settle(4.0)
        assert carol.heard(0.5).heard((A, B, C)) == {B}
        bob.hangup()
        carol.hangup()
        server.await_people("refer", 0)


def test_re_offers_of_every_kind(server: Server, tmp_path: Path) -> None:
    server.open("offers")
    with Sipp(tmp_path, "offers.xml", server.port, service="offers") as udp:
        udp.finish()
    server.await_people("offers", 0)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_late_offers_and_keys_by_info(server: Server, tmp_path: Path, transport: str) -> None:
    name = f"late-{transport}"
    server.open(name)
    with Sipp(tmp_path, "late.xml", server.port, service=name, transport=transport) as sipp:  # type: ignore[arg-type]
        until(lambda: muted(server, name) == {"sipp": True}, "muted by INFO")
        sipp.finish()
    server.await_people(name, 0)


def test_a_hundred_calls_at_once(server: Server, tmp_path: Path) -> None:
    server.open("crowd")
    with Sipp(tmp_path, "short.xml", server.port, service="crowd", calls=150, rate=75.0) as sipp:
        sipp.finish()
    server.await_people("crowd", 0)
