"""What WHIP and WHEP clients send: offers of the right kind, fragments, restarts."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.signalling.sdp import Direction, parse
from gateways.whip.description import (
    Credentials,
    Kind,
    Unfit,
    credentials,
    fragment_of,
    offered,
    read_fragment,
    refuses_pictures,
    restarted,
)
from tests.gateways.whip.offers import NAMES, offer

NEW = Credentials("newU", "newpasswordnewpassword12")
FRAGMENT = b"a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
CANDIDATE = b"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("kind", "said", "meant"),
    [
        ("whip", "sendonly", Direction.SENDONLY),
        ("whip", "sendrecv", Direction.SENDONLY),
        ("whep", "recvonly", Direction.RECVONLY),
        ("whep", "sendrecv", Direction.RECVONLY),
    ],
)
def test_an_offer_goes_in_one_direction(name: str, kind: Kind, said: str, meant: Direction) -> None:
    made = parse(offered(kind, offer(name, said)))
    assert {made.direction_of(media) for media in made.media} == {meant}
    before = parse(offer(name, said))
    assert [media.formats for media in made.media] == [media.formats for media in before.media]
    assert credentials(made) == credentials(before)


@pytest.mark.parametrize(("kind", "said"), [("whip", "recvonly"), ("whip", "inactive"), ("whep", "sendonly")])
def test_the_other_direction_is_said_to_be_wrong(kind: Kind, said: str) -> None:
    with pytest.raises(Unfit, match="use its /wh") as found:
        offered(kind, offer(direction=said))
    assert found.value.status == 400


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"v=0", b"v=1"), 400),
        ((b"a=ice-ufrag:", b"a=other:"), 406),
        ((b"a=ice-pwd:", b"a=ice-pwd:short\r\na=was:"), 406),
        ((b"UDP/TLS/RTP/SAVPF", b"RTP/AVP"), 406),
        ((b"m=audio", b"m=video"), 406),
        ((b"m=video", b"m=audio"), 406),
    ],
)
def test_what_cannot_be_an_offer_of_webrtc_is_refused(change: tuple[bytes, bytes], status: int) -> None:
    with pytest.raises(Unfit) as found:
        offered("whip", offer("aiortc").replace(*change))
    assert found.value.status == status


def test_a_second_picture_is_one_too_many_to_publish() -> None:
    two = offer("aiortc")
    picture = two[two.index(b"m=video") :]
    with pytest.raises(Unfit, match="at most one video"):
        offered("whip", two + picture.replace(b"a=mid:1", b"a=mid:2"))
    assert offered("whep", offer("aiortc", "recvonly") + picture.replace(b"a=mid:1", b"a=mid:2"))


def test_a_refused_picture_is_known() -> None:
    made = offer("aiortc")
    answer = made.replace(b"m=video 9", b"m=video 0").replace(parse_port(made), b"m=video 0")
    assert refuses_pictures(made, answer)
    assert not refuses_pictures(made, made)
    assert not refuses_pictures(made[: made.index(b"m=video")], made[: made.index(b"m=video")])


def parse_port(data: bytes) -> bytes:
    at = data.index(b"m=video")
    return data[at : data.index(b" ", at + 8)]


@given(st.binary(max_size=300) | st.integers(0, 2000).map(lambda at: offer("aiortc")[:at]))
def test_whatever_comes_is_taken_or_unfit(data: bytes) -> None:
    with contextlib.suppress(Unfit):
        assert parse(offered("whip", data)).media
    with contextlib.suppress(Unfit):
        read_fragment(data)


# --------------------------------------------------------------------------------------------- ICE sessions


def test_a_fragment_says_whose_candidates_it_has() -> None:
    found = read_fragment(FRAGMENT + CANDIDATE + b"a=end-of-candidates\r\n")
    assert found == Credentials("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert read_fragment(FRAGMENT.replace(b"\r\n", b"\n")) == found
    assert read_fragment(CANDIDATE) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"a=ice-ufrag:EsAw\r\n",
        b"a=ice-ufrag:x\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
        b"a=ice-ufrag:EsAw\r\n\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
        CANDIDATE * 501,
    ],
)
def test_what_is_no_fragment_is_refused(data: bytes) -> None:
    with pytest.raises(Unfit) as found:
        read_fragment(data)
    assert found.value.status == 400


@pytest.mark.parametrize("name", NAMES)
def test_a_restart_changes_credentials_and_nothing_else(name: str) -> None:
    before, after = parse(offer(name)), parse(restarted(offer(name), NEW))
    assert credentials(after) == NEW
    assert int(after.origin.version) == int(before.origin.version) + 1
    assert after.origin.session_id == before.origin.session_id
    for was, now in zip(before.media, after.media, strict=True):
        gone = ("ice-ufrag", "ice-pwd", "candidate", "end-of-candidates")
        assert [each for each in now.attributes if each[0] not in gone] == [
            each for each in was.attributes if each[0] not in gone
        ]
        assert not now.has("candidate")
    assert credentials(parse(restarted(restarted(offer(name), Credentials("olde", "o" * 24)), NEW))) == NEW


def test_our_fragment_reads_as_one() -> None:
    answer = offer("aiortc").replace(b"t=0 0\r\n", b"t=0 0\r\na=ice-lite\r\n")
    made = fragment_of(answer)
    assert made.startswith(b"a=ice-lite\r\na=ice-ufrag:")
    assert b"\r\na=mid:0\r\n" in made
    assert read_fragment(made) == credentials(parse(answer))
