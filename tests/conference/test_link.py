"""Signed links: what is signed is read again, what is not ours opens nothing."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.conference.link import LONGEST, BadLink, Link, challenge, read, sign
from bridge.signalling.auth import bearer

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
LINK = Link("board", "host", 1_000_000, "Zoé")


@given(
    st.builds(
        Link,
        st.text(min_size=1, max_size=64),
        st.sampled_from(["host", "guest"]),
        st.integers(1, 2**40),
        st.text(max_size=100),
    )
)
def test_what_is_signed_is_read_again(link: Link) -> None:
    token = sign(link, KEY)
    assert read(token, KEY, link.expires - 1) == link
    assert not set(token) - set(string.ascii_letters + string.digits + "-_.")
    with pytest.raises(BadLink) as error:
        read(token, KEY, link.expires)
    assert error.value.fault == "expired"


@given(st.integers(0, len(sign(LINK, KEY)) - 1), st.characters(codec="ascii"))
def test_one_changed_character_is_noticed(place: int, by: str) -> None:
    token = sign(LINK, KEY)
    changed = token[:place] + by + token[place + 1 :]
    try:
        found = read(changed, KEY, 0)
    except BadLink:
        return
    assert found == LINK  # the last character of a part has bits that say nothing


@given(st.text(max_size=2 * LONGEST) | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
def test_anything_else_is_refused(token: str) -> None:
    with pytest.raises(BadLink):
        read(token, KEY, 0)


def test_another_key_signs_another_bridges_links() -> None:
    with pytest.raises(BadLink):
        read(sign(LINK, OTHER), KEY, 0)


def test_a_short_key_signs_nothing() -> None:
    with pytest.raises(ValueError, match="32 are needed"):
        sign(LINK, b"secret")


@pytest.mark.parametrize(
    ("value", "token"),
    [
        ("Bearer abc.def", "abc.def"),
        ("bearer   abc.def ", "abc.def"),
        ("Bearer", ""),
        ("Bearer a b", ""),
        ('Digest username="Bearer x"', ""),
    ],
)
def test_a_bearer_token_is_found(value: str, token: str) -> None:
    assert bearer([("From", "x"), ("authorization", value)]) == token


def test_a_refusal_says_why() -> None:
    name, value = challenge("visiopont", "expired")
    assert name == "WWW-Authenticate"
    assert value.startswith('Bearer realm="visiopont", error="invalid_token", error_description="this link has expired')
