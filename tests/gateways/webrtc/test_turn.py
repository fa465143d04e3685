"""Credentials that coturn's ``use-auth-secret`` takes."""

from __future__ import annotations

import base64
import hashlib
import hmac

from gateways.webrtc.turn import LIFETIME, credentials, ice_servers


def test_the_password_signs_the_end_and_the_user() -> None:
    made = credentials("north", "room:guest", 1_782_864_000.7)
    assert made.username == f"{1_782_864_000 + LIFETIME}:room:guest"
    expected = hmac.new(b"north", made.username.encode(), hashlib.sha1).digest()
    assert base64.b64decode(made.password) == expected
    assert made.password not in repr(made)


def test_a_known_pair() -> None:
    """``printf '1433895918:ninefingers' | openssl dgst -sha1 -hmac north -binary | base64``."""
    assert credentials("north", "ninefingers", 0, 1_433_895_918).password == "jy8hTxmOO7UtEKXqSkSlvakPVYA="


def test_servers_for_a_browser() -> None:
    servers = ice_servers(["stun:a", "turn:b?transport=udp", "turns:b"], "s", "u", 0)
    assert servers[0] == {"urls": ["stun:a"]}
    assert servers[1]["urls"] == ["turn:b?transport=udp", "turns:b"]
    assert set(servers[1]) == {"urls", "username", "credential"}
    assert ice_servers([], "s", "u", 0) == []
