"""Phones whose keys come by DTLS (RFC 5763), without ICE and BUNDLE: a handshake for each m-line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.mixer.layout import Kind, lay_out

from .phones import Baresip, Linphone
from .picture import Clip, sources
from .ports import free_ports
from .process import until
from .server import Server

pytestmark = [pytest.mark.interop, pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with pictures, and a bundle port of its own."""
    first, bundle = free_ports(32), free_ports(2)
    more = f'[video]\nports = "{first}-{first + 31}"\n[webrtc]\nport = {bundle}'
    with Server(tmp_path_factory.mktemp("dtls"), more=more) as running:
        yield running


def test_phones_hear_each_other(server: Server, tmp_path: Path) -> None:
    room = server.open("keyed")
    with (
        Baresip(tmp_path, tone=450, user="dtls", codec="opus", encryption="dtls_srtp") as one,
        Baresip(tmp_path, tone=810, user="plain") as other,
        Linphone(tmp_path, tone=1350, encryption="dtls") as third,
    ):
        for phone in (one, other, third):
            phone.call(room)
        people = server.await_people("keyed", 3)
        assert sorted(person["media"]["secure"] for person in people) == [False, True, True]
        assert one.heard(2.0).heard((450, 810, 1350)) == {810, 1350}
        assert other.heard(2.0).heard((450, 810, 1350)) == {450, 1350}


def shown(phone: Baresip, clips: list[Clip]) -> list[int]:
    """Whose clips it sees, in a picture of whatever size a busy machine makes."""
    seen = phone.sees()
    return sorted(sources(seen, lay_out(*seen.size, Kind.GRID, 2).tiles, clips))


@pytest.mark.parametrize("mux", ["yes", "no"])
def test_phones_see_each_other(server: Server, tmp_path: Path, mux: str) -> None:
    """Without rtcp-mux there is no RTCP for them, and they ask for whole pictures by SIP INFO."""
    name = f"seen-{mux}"
    room = server.open(name, layout="grid")
    clips, settings = [Clip(1), Clip(2)], (f"rtcp_mux {mux}",)
    with (
        Baresip(
            tmp_path, tone=450, user="one", video="H264", clip=clips[0], encryption="dtls_srtp", settings=settings
        ) as one,
        Baresip(tmp_path, tone=810, user="two", video="VP8", clip=clips[1], settings=settings) as two,
    ):
        one.call(room)
        two.call(room)
        for phone in (one, two):
            until(lambda: shown(phone, clips) == [1, 2], f"both at {phone.user}", 20.0)  # noqa: B023
        media = [stream for person in server.people(name) for stream in person["media"]["video"]]
        assert sorted(stream["secure"] for stream in media) == [False, True]
