"""What a browser loads before it calls: the page, its files, what is said of the room, the PIN, the links."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.conference.link import BadLink, read
from bridge.conference.settings import RoomSettings
from bridge.conference.tries import Tries
from server import page
from server.http import Access
from server.link import Links, read_key
from server.page import CLIENT, TYPES
from tests.server.browsers import KEY, Site, site

BOARD = RoomSettings(name="board", title="Conseil", host_pin="2468", guest_pin="1357", lobby="until-host")
Act = Callable[[Site, httpx.AsyncClient], Awaitable[Any]]


def during(act: Act, *rooms: RoomSettings, **kw: Any) -> Any:
    async def run() -> Any:
        async with site(*rooms, **kw) as found, httpx.AsyncClient(base_url=found.http, trust_env=False) as client:
            return await act(found, client)

    return asyncio.run(run())


def get(path: str, *rooms: RoomSettings, access: Access | None = None, **headers: str) -> httpx.Response:
    async def act(_: Site, client: httpx.AsyncClient) -> httpx.Response:
        return await client.get(path, headers=headers)

    found: httpx.Response = during(act, *rooms, access=access)
    return found


# ------------------------------------------------------------------------------------------------ files


def test_the_page_runs_its_own_scripts_alone_and_tells_nobody_its_address() -> None:
    answer = get("/r/demo?t=secret")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_files_are_asked_for_again_by_their_tag_and_come_packed() -> None:
    async def act(_: Site, client: httpx.AsyncClient) -> None:
        first = await client.get("/client/index.html", headers={"Accept-Encoding": "gzip"})
        assert first.headers["content-encoding"] == "gzip"
        assert first.headers["cache-control"] == "no-cache"
        plain = await client.get("/client/index.html", headers={"Accept-Encoding": "identity"})
        assert plain.text == first.text
        again = await client.get("/client/index.html", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")

    during(act)


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "../server/app.py",
        "%2e%2e/%2e%2e/pyproject.toml",
        "..%2f..%2fpyproject.toml",
        "/etc/passwd.json",
        "vendor/atkinson-hyperlegible-next.LICENSE",
        "index.html%00.js",
        "i18n",
        "",
        "a" * 5000 + ".js",
    ],
)
def test_nothing_else_is_served(name: str) -> None:
    assert get(f"/client/{name}").status_code == 404


def test_a_link_out_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    from server.page import Files, Said

    root, secret = tmp_path / "client", tmp_path / "secret.js"
    root.mkdir()
    secret.write_text("x")
    (root / "way-out.js").symlink_to(secret)
    assert Files(root)._read("way-out.js") is None
    with pytest.raises(Said):
        Files(root).answer("way-out.js", None)  # type: ignore[arg-type]


def test_other_peoples_files_are_those_that_were_taken_over() -> None:
    vendor = CLIENT / "vendor"
    rows = [line.split("|") for line in (vendor / "README.md").read_text().splitlines() if line.startswith("| `")]
    said = {row[1].strip(" `"): row[5].strip(" `") for row in rows}
    assert said == {
        path.name: sha256(path.read_bytes()).hexdigest() for path in vendor.glob("*.*") if path.suffix in TYPES
    }


# ------------------------------------------------------------------------------------------------ rooms


def test_relays_are_for_those_who_may_come_in() -> None:
    links = Links(bytes(32))
    servers = [{"urls": ["stun:a"]}, {"urls": ["turn:b"], "username": "1:x", "credential": "y"}]
    rooms = {"open": RoomSettings("open"), "board": RoomSettings("board", guest_pin="1234")}
    door = page.Door(rooms.__getitem__, links, Tries(), lambda host: host, lambda room: list(servers))
    token, _ = links.make("board", "guest", 1.0)
    assert door.about("open", "", "h")["ice_servers"] == servers
    assert door.about("board", "", "h")["ice_servers"] == servers[:1]
    assert door.about("board", token, "h")["ice_servers"] == servers


def test_connections_are_tested_in_a_room_that_nobody_else_knows() -> None:
    rooms = {"open": RoomSettings("open")}
    doors = [
        page.Door(rooms.__getitem__, Links(bytes(32)), Tries(), str, lambda room: [], ad_hoc=on) for on in (True, False)
    ]
    first, second = (doors[0].about("open", "", "h")["test"] for _ in range(2))
    assert first.startswith("sip:essai-")
    assert first.endswith("@h")
    assert first != second
    assert doors[1].about("open", "", "h")["test"] is None


def test_what_is_said_of_a_room() -> None:
    about = get("/r/Board/about", BOARD).json()
    test = about.pop("test")
    tiles = about.pop("tiles")
    assert 0 <= tiles <= 32
    assert test is None or test.startswith("sip:essai-")
    assert about == {
        "room": "board",
        "title": "Conseil",
        "sip": "sip:board@127.0.0.1",
        "socket": "/sip",
        "live": "/r/board/live",
        "pin": True,
        "host_pin": True,
        "lobby": True,
        "role": None,
        "language": "fr",
        "languages": ["fr", "en"],
        "ice_servers": [],
        "video": True,
        "present": True,
        "name": None,
    }


def test_a_link_says_role_and_name() -> None:
    token, _ = Links(KEY).make("board", "host", 1, "Zoé")
    about = get(f"/r/board/about?t={token}", BOARD).json()
    assert (about["role"], about["name"]) == ("host", "Zoé")


@pytest.mark.parametrize(
    ("room", "hours", "code", "french"),
    [
        ("board", 1e-9, "expired", "Ce lien a expiré\u00a0: demandez-en un nouveau."),
        ("annex", 1, "other-room", "Ce lien mène à une autre salle\u00a0: demandez-en un pour celle-ci."),
    ],
)
def test_a_link_that_opens_nothing_is_refused_in_words(room: str, hours: float, code: str, french: str) -> None:
    token, _ = Links(KEY).make(room, "host", hours)
    answer = get(f"/r/board/about?t={token}", BOARD, **{"Accept-Language": "fr-CA"})
    assert answer.status_code == 401
    assert answer.json() == {"detail": {"code": code, "message": french}}
    assert answer.headers["cache-control"] == "no-store"


def test_there_is_no_such_room() -> None:
    answer = get("/r/no%20room/about")
    assert answer.status_code == 404
    assert answer.json()["detail"]["code"] == "no-room"


# ------------------------------------------------------------------------------------------------- PINs


@pytest.mark.parametrize(("pin", "role"), [("2468", "host"), (" 1357 ", "guest")])
def test_the_right_pin_gives_a_token(pin: str, role: str) -> None:
    async def act(found: Site, client: httpx.AsyncClient) -> None:
        answer = await client.post("/r/board/pin", json={"pin": pin})
        assert answer.status_code == 200
        assert answer.json()["role"] == role
        link = found.links.read(answer.json()["token"], "board")
        assert link.role == role

    during(act, BOARD)


def test_a_room_without_pins_takes_none() -> None:
    async def act(_: Site, client: httpx.AsyncClient) -> None:
        for pin in ("", "0000"):
            assert (await client.post("/r/demo/pin", json={"pin": pin})).status_code == 403

    during(act)


def test_guessing_is_slowed_and_says_nothing_of_right_pins_meanwhile() -> None:
    async def act(_: Site, client: httpx.AsyncClient) -> None:
        codes = [(await client.post("/r/board/pin", json={"pin": f"{n:04}"})).status_code for n in range(100)]
        assert codes[0] == 403
        assert codes[-1] == 429
        answer = await client.post("/r/board/pin", json={"pin": "2468"})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0

    during(act, BOARD)


@pytest.mark.parametrize("body", [{}, {"pin": 7}, {"pin": "9" * 65}, {"pin": "1", "x": 1}, []])
def test_what_is_no_pin_is_not_understood(body: Any) -> None:
    async def act(_: Site, client: httpx.AsyncClient) -> int:
        return (await client.post("/r/board/pin", json=body)).status_code

    assert during(act, BOARD) == 422


# ------------------------------------------------------------------------------------------------- links


def test_the_api_makes_links() -> None:
    async def act(found: Site, client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/v1/rooms/4000/links", json={"role": "host", "hours": 2, "name": "Zoé"})
        assert answer.status_code == 201
        made = answer.json()
        assert made["room"] == "board"
        assert made["url"] == f"{found.http}/r/board?t={made['token']}"
        assert found.links.read(made["token"], "board").name == "Zoé"

    during(act, RoomSettings(name="board", number="4000"))


@pytest.mark.parametrize(
    "body", [{"role": "king"}, {"hours": 0}, {"hours": 1e9}, {"name": "x" * 101}, {"name": "a\nb"}]
)
def test_links_that_can_not_be(body: dict[str, Any]) -> None:
    async def act(_: Site, client: httpx.AsyncClient) -> int:
        return (await client.post("/api/v1/rooms/board/links", json=body)).status_code

    assert during(act, BOARD) == 422


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    key = read_key(tmp_path)
    assert read_key(tmp_path) == key
    assert len(key) == 32
    assert stat.S_IMODE((tmp_path / "link.key").stat().st_mode) == 0o600
    token, _ = Links(key).make("board", "guest", 1)
    with pytest.raises(BadLink):
        read(token, KEY, 0)


@pytest.mark.parametrize(
    ("content", "mode", "says"), [(b"x" * 32, 0o644, "others can read"), (b"short", 0o600, "no key")]
)
def test_a_key_that_is_none_or_no_secret_is_not_used(tmp_path: Path, content: bytes, mode: int, says: str) -> None:
    path = tmp_path / "link.key"
    path.write_bytes(content)
    os.chmod(path, mode)
    with pytest.raises(OSError, match=says):
        read_key(tmp_path)


# ------------------------------------------------------------------------------------------------ access


@pytest.mark.parametrize(
    ("path", "host", "access", "status"),
    [
        ("/r/demo/about", "meet.example.org", Access(local=False), 200),
        ("/api/v1/rooms", "meet.example.org", Access(local=False), 421),
        ("/api/v1/rooms", "127.0.0.1:1", Access(local=False), 200),
        ("/api/v1/rooms", "meet.example.org", Access(local=False, exposed=True), 200),
        ("/r/demo/about", "meet.example.org", Access(local=True, public="meet.example.org"), 200),
        ("/r/demo/about", "other.example.org", Access(local=True, public="meet.example.org"), 421),
        ("/api/v1/rooms", "meet.example.org", Access(local=True, public="meet.example.org"), 421),
        ("/metrics", "meet.example.org", Access(local=False), 421),
        ("/r/../api/v1/rooms", "meet.example.org", Access(local=False), 421),
        ("/r/%2e%2e/api/v1/rooms", "meet.example.org", Access(local=False), 404),
    ],
)
def test_people_in_calls_reach_the_page_and_operators_the_api(
    path: str, host: str, access: Access, status: int
) -> None:
    assert get(path, access=access, Host=host).status_code == status


def test_the_api_is_not_for_other_machines_behind_a_proxy() -> None:
    headers = {"X-Forwarded-For": "203.0.113.9"}
    assert get("/api/v1/rooms", access=Access(local=False), **headers).status_code == 403
    assert get("/r/demo/about", access=Access(local=False), **headers).status_code == 200
