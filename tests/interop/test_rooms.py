"""Phones in rooms: every one hears the others and not itself."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from .phones import Baresip, Linphone, PyVoip, Sipp
from .server import SILENCE, Server, settle

pytestmark = pytest.mark.interop
TONES = (450, 810, 1130, 1710)
"""Hz: none is a harmonic, sum or difference of others, nor near a DTMF tone."""


def hear_each_other(phones: list[Baresip]) -> None:
    """Each the others' tones and not its own; one after another, all the while all talk."""
    settle()
    tones = tuple(phone.tone for phone in phones)
    heard = {phone.tone: phone.heard(1.0).heard(tones) for phone in phones}
    assert heard == {tone: set(tones) - {tone} for tone in tones}


@pytest.mark.parametrize(
    "codecs",
    [
        ("PCMU",) * 3,
        ("PCMA",) * 3,
        ("G722",) * 3,
        ("opus",) * 3,
        ("L16/16000", "L16/48000", "L16/16000", "L16/48000"),
        ("PCMU", "PCMA", "G722", "opus"),
    ],
    ids=["PCMU", "PCMA", "G722", "opus", "L16", "mixed"],
)
def test_everyone_hears_the_others_and_not_itself(server: Server, tmp_path: Path, codecs: tuple[str, ...]) -> None:
    name = f"codecs-{'-'.join(codecs).lower().replace('/', '')}"
    room = server.open(name)
    with ExitStack() as stack:
        phones = [
            stack.enter_context(Baresip(tmp_path, tone=tone, codec=codec))
            for tone, codec in zip(TONES, codecs, strict=False)
        ]
        for phone in phones:
            phone.dial(room)
        for phone in phones:
            phone.await_event("CALL_ESTABLISHED")
        hear_each_other(phones)
        for phone in phones:
            phone.hangup()
        server.await_people(name, 0)


def test_every_transport_with_and_without_srtp(server: Server, tmp_path: Path) -> None:
    server.open("transports")
    with ExitStack() as stack:
        phones = [
            stack.enter_context(phone)
            for phone in (
                Baresip(tmp_path, tone=TONES[0], codec="PCMU", transport="udp", encryption="srtp-mand"),
                Baresip(tmp_path, tone=TONES[1], codec="opus", transport="tcp", encryption="srtp"),
                Baresip(tmp_path, tone=TONES[2], codec="G722", transport="tls", encryption="srtp-mand",
                        certificate=server.certificate),
                Baresip(tmp_path, tone=TONES[3], codec="PCMA", transport="tcp"),
            )
        ]  # fmt: skip
        for phone, transport in zip(phones, ("udp", "tcp", "tls", "tcp"), strict=True):
            phone.call(server.uri("transports", transport))
        hear_each_other(phones)
        for phone in phones:
            phone.hangup()
        server.await_people("transports", 0)


def test_phones_of_four_makers_in_one_room(server: Server, tmp_path: Path) -> None:
    room = server.open("makers")
    with (
        Baresip(tmp_path, tone=TONES[0], codec="opus") as baresip,
        Linphone(tmp_path, tone=TONES[1], encryption="srtp") as linphone,
        PyVoip(tmp_path, tone=TONES[2], registrar_port=server.port, number="makers", seconds=5.0) as pyvoip,
        Sipp(tmp_path, "talk.xml", server.port, service="makers", tone=TONES[3]) as sipp,
    ):
        baresip.call(room)
        linphone.call(room)
        pyvoip.await_answer()
        server.await_people("makers", 4)
        settle()
        assert baresip.heard(1.0).heard(TONES) == set(TONES) - {TONES[0]}
        # These two record from the beginning to the end of their calls.
        assert linphone.hangup().heard(TONES) == set(TONES) - {TONES[1]}
        assert pyvoip.heard().heard(TONES) == set(TONES) - {TONES[2]}
        sipp.finish()
        baresip.hangup()
        # pyVoIP makes a Request-URI for its BYE of our Contact that is none, so it goes as one that vanished.
        server.await_people("makers", 0, SILENCE + 10.0)
