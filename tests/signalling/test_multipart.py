"""Session descriptions among other parts of a body (RFC 5621)."""

from __future__ import annotations

import pytest

from bridge.signalling.event import AnswerReceived, IncomingCall
from bridge.signalling.multipart import unwrap
from tests.signalling.network import Network, Phone
from tests.signalling.scenario import ANSWER, OFFER, A, B, answering, request, tag_of

MIXED = (("Content-Type", 'multipart/mixed; boundary="b+1"'),)
ISUP = (
    b"Content-Type: application/isup; version=itu-t92+\r\nContent-Disposition: signal;handling=optional\r\n\r\n"
    b"\x01\0\r\n-"
)
DESCRIPTION = b"Content-Type: application/sdp\r\n\r\n" + OFFER.rstrip(b"\r\n")


def mixed(*parts: bytes) -> bytes:
    return b"a preamble\r\n" + b"".join(b"--b+1\r\n" + part + b"\r\n" for part in parts) + b"--b+1--\r\nan epilogue"


@pytest.mark.parametrize(
    "body",
    [
        mixed(ISUP, DESCRIPTION),
        mixed(DESCRIPTION, ISUP),
        mixed(
            b"content-type:\r\n application/SDP; charset=utf-8\r\ncontent-disposition: session ;handling=required"
            b"\r\n\r\n" + OFFER.rstrip(b"\r\n")
        ),
        mixed(DESCRIPTION.replace(b"\r\n\r\n", b"\r\nContent-Disposition: early-session\r\n\r\nx"), DESCRIPTION),
    ],
)
def test_the_session_description_is_found(calm: Network, body: bytes) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    phone.send(request("INVITE", headers=MIXED, body=body), B)
    calm.run(0.2)
    assert phone.responses("INVITE") == [200]
    assert (calm.the(bob, IncomingCall).offer or b"").rstrip(b"\r\n") == OFFER.rstrip(b"\r\n")
    phone.send(request("ACK", to_tag=tag_of(phone)), B)
    phone.send(request("BYE", 2, to_tag=tag_of(phone)), B)


def test_an_answer_is_found_in_an_ack_too(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    phone.send(request("INVITE"), B)
    calm.run(0.2)
    phone.send(request("ACK", to_tag=tag_of(phone), headers=MIXED, body=mixed(ISUP, DESCRIPTION)), B)
    calm.run(0.2)
    assert calm.the(bob, AnswerReceived).body.rstrip(b"\r\n") == OFFER.rstrip(b"\r\n")
    phone.send(request("BYE", 2, to_tag=tag_of(phone)), B)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (MIXED, mixed(ISUP)),
        (MIXED, mixed(ISUP.replace(b"optional", b"required"), DESCRIPTION)),
        (MIXED, mixed(b"Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0wDQo=")),
        (MIXED, b""),
        (MIXED, b"--b+1"),
        ((("Content-Type", "multipart/mixed"),), mixed(DESCRIPTION)),
        ((("Content-Type", "multipart/signed; boundary=b+1"),), mixed(DESCRIPTION)),
    ],
)
def test_what_cannot_be_taken_is_refused(calm: Network, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob, ANSWER)
    phone.send(request("INVITE", headers=headers, body=body), B)
    calm.run(0.2)
    assert phone.responses("INVITE") == ([415] if body else [200])
    if not body:
        phone.send(request("ACK", to_tag=tag_of(phone)), B)
        phone.send(request("BYE", 2, to_tag=tag_of(phone)), B)


def test_other_methods_keep_their_bodies() -> None:
    message = request("MESSAGE", headers=MIXED, body=mixed(DESCRIPTION))
    unwrap(message)
    assert message.body == mixed(DESCRIPTION)
