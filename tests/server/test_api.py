"""The HTTP API over the real focus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.conference.focus_event import CallOver
from bridge.signalling import event as sip
from bridge.signalling.video_codec import VideoCapabilities
from bridge.worker.protocol_video import Snapshot, SnapshotDone
from server import feed as feed_module
from server.api import PARTICIPANT_COMMANDS, ROOM_COMMANDS
from server.control import Control
from server.http import BODY, Access, Guard
from tests.conference.house import House, Terminal
from tests.server.control import occupied, served

Act = Callable[[Control, httpx.AsyncClient], Awaitable[Any]]


def during(house: House, act: Act) -> Any:
    async def run() -> Any:
        async with served(house) as (bridge, client):
            return await act(bridge, client)

    return asyncio.run(run())


def post(house: House, path: str, body: object = None) -> httpx.Response:
    async def act(_bridge: Control, client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/api/v1" + path, json=body)

    answer: httpx.Response = during(house, act)
    return answer


def get(house: House, path: str) -> Any:
    async def act(_bridge: Control, client: httpx.AsyncClient) -> httpx.Response:
        return await client.get(path)

    return during(house, act)


def person(house: House, n: int = 0) -> Any:
    return house.focus.rooms()[0].snapshot.participants[n]


def problem(answer: httpx.Response) -> str:
    """The detail of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    return str(body["detail"])


def test_rooms_show_who_is_in_them_and_how_they_are_heard() -> None:
    rooms = get(occupied("Alice", "Bob"), "/api/v1/rooms").json()["rooms"]
    assert [room["name"] for room in rooms] == ["demo"]
    people = {person["name"]: person for person in rooms[0]["participants"]}
    assert set(people) == {"Alice", "Bob"}
    assert people["Alice"]["media"]["codec"] == "PCMU/8000"
    assert not people["Alice"]["muted_by_host"]


def test_status_has_workers_and_rooms() -> None:
    status = get(occupied("Alice"), "/api/v1/status").json()
    assert status["workers"][0]["pid"] == 4711
    assert len(status["rooms"][0]["participants"]) == 1
    assert status["calls"] == 1


def test_operators_mute_by_the_hosts_flag() -> None:
    house = occupied("Alice")
    number = person(house).number
    assert post(house, f"/rooms/demo/participants/{number}/mute").status_code == 200
    assert person(house).muted_by_host
    assert post(house, f"/rooms/demo/participants/{number}/unmute").status_code == 200
    assert not person(house).muted


@pytest.mark.parametrize("of_all", [False, True])
def test_a_wish_for_help_is_shown_until_an_operator_answers_it(of_all: bool) -> None:
    house = occupied("Alice", "Bob")
    number = person(house).number
    house.focus.tell("demo", lambda room: room.help(number, now=1.0), 1.0)

    def shown() -> list[bool]:
        return [each["help_wanted"] for each in get(house, "/api/v1/rooms/demo").json()["participants"]]

    assert shown() == [True, False]
    assert post(house, f"/rooms/demo{'' if of_all else f'/participants/{number}'}/answer-help").status_code == 200
    assert shown() == [False, False]


@pytest.mark.parametrize("command", sorted(set(PARTICIPANT_COMMANDS) - {"admit", "turn-away"}))
def test_every_command_on_somebody_in_the_room_is_carried_out(command: str) -> None:
    house = occupied("Alice", "Bob")
    assert post(house, f"/rooms/demo/participants/{person(house).number}/{command}").status_code in (200, 409)


@pytest.mark.parametrize("command", sorted(ROOM_COMMANDS))
def test_every_command_on_a_room_is_carried_out(command: str) -> None:
    assert post(occupied("Alice", "Bob"), f"/rooms/demo/{command}").status_code == 200


def test_gain_name_and_role_are_set() -> None:
    house = occupied("Alice")
    at = f"/rooms/demo/participants/{person(house).number}"
    assert post(house, at + "/gain", {"voice": -6, "volume": 3}).status_code == 200
    assert post(house, at + "/rename", {"name": "Alice B."}).status_code == 200
    assert post(house, at + "/role", {"role": "host"}).status_code == 200
    now = person(house)
    assert (now.voice, now.volume, now.name, now.role) == (-6, 3, "Alice B.", "host")
    assert "12" in problem(post(house, at + "/gain", {"voice": 99}))


def test_somebody_is_moved_to_another_room_without_redialling() -> None:
    house = occupied("Alice", "Bob")
    number = person(house).number
    assert post(house, f"/rooms/demo/participants/{number}/move", {"room": "other"}).status_code == 200
    rooms = {status.snapshot.name: len(status.snapshot.participants) for status in house.focus.rooms()}
    assert rooms == {"demo": 1, "other": 1}


def test_somebody_who_is_in_another_room_is_not_moved() -> None:
    house = occupied("Alice")
    assert "77" in problem(post(house, "/rooms/demo/participants/77/move", {"room": "other"}))


def test_rooms_are_opened_and_closed() -> None:
    async def act(_bridge: Control, client: httpx.AsyncClient) -> list[int]:
        said = [
            await client.post("/api/v1/rooms", json={"name": "conseil", "number": "4001", "host_pin": "8642"}),
            await client.post("/api/v1/rooms", json={"name": "conseil"}),
            await client.get("/api/v1/rooms/conseil"),
            await client.delete("/api/v1/rooms/conseil"),
            await client.get("/api/v1/rooms/conseil"),
            await client.delete("/api/v1/rooms/conseil"),
        ]
        assert said[2].json()["number"] == "4001"
        assert "host_pin" not in said[2].json()
        return [answer.status_code for answer in said]

    assert during(House(), act) == [201, 409, 200, 204, 404, 404]


def test_the_number_of_rooms_is_bounded() -> None:
    async def act(_bridge: Control, client: httpx.AsyncClient) -> list[int]:
        return [(await client.post("/api/v1/rooms", json={"name": f"r{n}"})).status_code for n in range(7)]

    assert during(House(), act) == [201] * 5 + [409] * 2


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/rooms/nix/lock", None, 404, "nix"),
        ("/rooms/demo/lok", None, 404, "use one of lock"),
        ("/rooms/demo/participants/99/mute", None, 404, "99"),
        ("/rooms/demo/participants/1/mutter", None, 404, "use one of mute"),
        ("/rooms/demo/participants/x/mute", None, 422, "number"),
        ("/rooms/demo/calls", {"uri": "nonsense"}, 422, "sip:alice@192.0.2.7"),
        ("/rooms/demo/calls", {"url": "sip:a@b"}, 422, "uri"),
        ("/rooms", {"name": "x", "numbr": "1"}, 422, "numbr"),
        ("/rooms", {}, 422, "name"),
        ("/nix", None, 404, "/api/docs"),
    ],
)
def test_errors_say_what_to_do(path: str, body: object, status: int, says: str) -> None:
    answer = post(occupied("Alice"), path, body)
    assert answer.status_code == status
    assert says in problem(answer)


def test_a_bug_is_a_problem_document_too() -> None:
    async def act(bridge: Control, client: httpx.AsyncClient) -> httpx.Response:
        bridge.registrations = None  # type: ignore[assignment,method-assign]
        client._transport.raise_app_exceptions = False  # type: ignore[attr-defined]
        return await client.get("/api/v1/registrations")

    assert "bug" in problem(during(House(), act))


def test_dialling_out_asks_for_the_address_and_tells_when_there_is_none() -> None:
    house = occupied("Alice")

    async def act(bridge: Control, client: httpx.AsyncClient) -> list[object]:
        told: list[object] = []
        bridge.journal.tell = told.append  # type: ignore[method-assign,assignment]
        answer = await client.post("/api/v1/rooms/demo/calls", json={"uri": "sip:carol@nowhere.example"})
        assert answer.status_code == 202
        assert answer.json()["participant"] > 1
        for _ in range(10):
            await asyncio.sleep(0)
        return told

    over = [event for event in during(house, act) if isinstance(event, CallOver)]
    assert [event.reason for event in over] == ["no name server"]


def test_a_stopping_bridge_is_not_ready_and_dials_nobody() -> None:
    async def act(bridge: Control, client: httpx.AsyncClient) -> tuple[int, int]:
        bridge.drain()
        ready = await client.get("/ready")
        dialled = await client.post("/api/v1/rooms/demo/calls", json={"uri": "sip:a@192.0.2.3"})
        return ready.status_code, dialled.status_code

    assert during(occupied("Alice"), act) == (503, 409)


def test_the_page_for_people_lists_every_request_and_loads_nothing_from_elsewhere() -> None:
    page = get(House(), "/api/docs").text
    assert "POST /api/v1/rooms/{name}/participants/{number}/gain" in page
    assert "voice, volume" in page
    assert "<script" not in page
    assert "https://" not in page


def test_a_bridge_without_workers_says_so_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.control.CHECK", 0.0)

    async def act(bridge: Control, client: httpx.AsyncClient) -> int:
        for worker in bridge.workers.values():
            worker.failed = True
        watching = asyncio.create_task(bridge.watch())
        await asyncio.wait_for(bridge.broken.wait(), 5)
        watching.cancel()
        return (await client.get("/ready")).status_code

    assert during(House(), act) == 503


# ------------------------------------------------------------------------------------------------ events


def test_events_are_streamed_and_the_stream_ends_with_the_feed() -> None:
    house = occupied("Alice")

    async def act(bridge: Control, client: httpx.AsyncClient) -> list[str]:
        async def listen() -> list[str]:
            answer = await client.get("/api/v1/events")
            return answer.text.split("\n\n")

        listening = asyncio.create_task(listen())
        for _ in range(1000):
            await asyncio.sleep(0)
            if len(bridge.feed):
                break
        await client.post("/api/v1/rooms/demo/lock")
        bridge.feed.close()
        messages = await listening
        assert not len(bridge.feed)
        return messages

    messages = during(house, act)
    data = [json.loads(m.partition("data: ")[2]) for m in messages if "data: " in m]
    assert {"event": "LockChanged", "room": "demo", "locked": True} in data


def test_listeners_are_bounded() -> None:
    async def act(bridge: Control, client: httpx.AsyncClient) -> httpx.Response:
        for _ in range(feed_module.LISTENERS):
            bridge.feed.listen()
        return await client.get("/api/v1/events")

    answer = during(House(), act)
    assert answer.status_code == 503
    assert "64" in problem(answer)


# ----------------------------------------------------------------------------------------------- metrics


def test_metrics_count_what_is_there_and_what_was_refused() -> None:
    from bridge.signalling.event import Malformed, Rejected
    from bridge.signalling.flow import Flow, Transport

    flow = Flow(Transport.UDP, ("192.0.2.1", 5060), ("192.0.2.9", 5060))

    async def act(bridge: Control, client: httpx.AsyncClient) -> str:
        for n in range(100):
            bridge.deliver(Rejected(flow, f"SCAN{n}", 405, "no"))
        bridge.deliver(Rejected(flow, "REGISTER", 401, "no"))
        bridge.deliver(Malformed(flow, "no"))
        for _ in range(10):
            if not bridge.focus.tries.refuse("192.0.2.9", "sip:guesser@192.0.2.9", 0.0):
                bridge.focus.tries.failed("192.0.2.9", "sip:guesser@192.0.2.9", 0.0)
        return (await client.get("/metrics")).text

    text = during(occupied("Alice", "Bob"), act)
    assert 'visiopont_sip_rejections_total{code="405",method="other"} 100.0' in text
    assert 'visiopont_sip_rejections_total{code="401",method="REGISTER"} 1.0' in text
    assert "SCAN" not in text
    assert "visiopont_sip_malformed_total 1.0" in text
    assert "visiopont_participants 2.0" in text
    assert 'visiopont_worker_streams{worker="1"} 2.0' in text
    assert "visiopont_pins_wrong_total 9.0" in text
    assert "visiopont_pins_refused_total 1.0" in text


# ------------------------------------------------------------------------------------------------- guard


def guarded(headers: dict[str, str], *, local: bool = True) -> int:
    async def inner(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> int:
        transport = httpx.ASGITransport(app=Guard(inner, Access(local=local, exposed=not local)))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            return (await client.post("/api/v1/rooms/demo/lock", headers=headers)).status_code

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8080"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "[::1]"}, 200),
        ({"Host": "rebound.example:8080"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:8080"}, 200),
        ({"Content-Length": str(BODY + 1)}, 413),
    ],
)
def test_what_other_pages_send_behind_an_operators_back_is_kept_out(headers: dict[str, str], status: int) -> None:
    assert guarded(headers) == status


def test_an_exposed_api_answers_to_its_names() -> None:
    assert guarded({"Host": "bridge.example"}, local=False) == 200


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/rooms/nix/lock", None, "la salle «\u00a0nix\u00a0» n'est pas ouverte"),
        ("/rooms/demo/lok", None, "Une salle ne connaît pas"),
        ("/rooms/demo/participants/99/mute", None, "le participant 99 n'est pas dans la salle demo"),
        ("/rooms/demo/participants/1/gain", {"voice": 99}, "voice\u00a0: écrivez au plus 12"),
        ("/rooms", {"name": "x", "numbr": "1"}, "salle x\u00a0: aucun réglage ne s'appelle numbr"),
        ("/nix", None, "ne fait pas partie de l'API"),
    ],
)
def test_errors_are_in_the_language_that_the_request_prefers(path: str, body: object, says: str) -> None:
    async def act(_bridge: Control, client: httpx.AsyncClient) -> list[httpx.Response]:
        asked = [{"Accept-Language": header} for header in ("fr-CA,fr;q=0.9,en;q=0.5", "en-CA")]
        return [await client.post(f"/api/v1{path}", json=body, headers=headers) for headers in asked]

    spoken, english = during(occupied("Alice"), act)
    assert says in spoken.json()["detail"]
    assert spoken.headers["content-language"] == "fr-CA"
    assert says not in english.json()["detail"]
    assert english.headers["content-language"] == "en-CA"
    assert spoken.status_code == english.status_code


def test_a_terminal_is_asked_to_call_somebody_else() -> None:
    house = occupied("Alice")
    number = person(house).number
    assert post(house, f"/rooms/demo/participants/{number}/transfer", {"uri": "sip:bob@192.0.2.99"}).status_code == 202
    house.run(1)
    [refer] = [event for terminal in house.terminals.values() for event in terminal.events(sip.ReferReceived)]
    assert refer.refer_to == "sip:bob@192.0.2.99"
    assert post(house, "/rooms/demo/participants/99/transfer", {"uri": "sip:bob@192.0.2.99"}).status_code == 404


@pytest.mark.parametrize("uri", ["bob", "tel:+14185550100", "sip:bob@192.0.2.99\r\nX: y"])
def test_nobody_is_sent_to_what_is_no_address(uri: str) -> None:
    house = occupied("Alice")
    answer = post(house, f"/rooms/demo/participants/{person(house).number}/transfer", {"uri": uri})
    assert answer.status_code == 422
    house.run(1)
    assert not [event for terminal in house.terminals.values() for event in terminal.events(sip.ReferReceived)]


def test_the_layout_is_chosen_for_all_and_for_one() -> None:
    house = occupied("Alice")
    number = person(house).number
    assert post(house, "/rooms/demo/layout", {"layout": "grid"}).status_code == 200
    assert post(house, f"/rooms/demo/participants/{number}/layout", {"layout": "single"}).status_code == 200
    assert post(house, f"/rooms/demo/participants/{number}/pin").status_code == 200
    room = get(house, "/api/v1/rooms/demo").json()
    assert (room["layout"], room["pinned"], room["presenter"]) == ("grid", number, None)
    drawn = {"layout": "fixed", "places": [{"x": 0, "y": 0, "w": 0.5, "h": 1, "participant": number}]}
    assert post(house, "/rooms/demo/layout", drawn).status_code == 200
    drawn["places"] = [{"x": 0.9, "y": 0, "w": 0.5, "h": 1}]
    answer = post(house, "/rooms/demo/layout", drawn)
    assert answer.status_code == 422
    assert "parts from 0 to 1" in problem(answer)
    assert post(house, f"/rooms/demo/participants/{number}/present").status_code == 200
    assert get(house, "/api/v1/rooms/demo").json()["presenter"] == number


def test_a_rooms_picture_is_a_png_file() -> None:
    house = House(video=1)
    phone = Terminal(house, "192.0.2.11", video=VideoCapabilities())
    phone.dial("demo")
    house.run(2)

    async def act(bridge: Control, client: httpx.AsyncClient) -> httpx.Response:
        asked = asyncio.create_task(client.get("/api/v1/rooms/demo/snapshot"))
        while not house.screen.of(Snapshot):  # noqa: ASYNC110 the notes are no asyncio thing
            await asyncio.sleep(0)
        [wanted] = house.screen.of(Snapshot)
        Path(wanted.path).write_bytes(b"\x89PNG...")  # noqa: ASYNC240
        bridge.watched(0, SnapshotDone(snapshot=wanted.snapshot))
        return await asked

    answer = during(house, act)
    assert (answer.headers["content-type"], answer.content) == ("image/png", b"\x89PNG...")
    [wanted] = house.screen.of(Snapshot)
    assert not Path(wanted.path).parent.exists()


def test_a_room_without_a_picture_has_none_to_give() -> None:
    answer = get(occupied("Alice"), "/api/v1/rooms/demo/snapshot")
    assert answer.status_code == 409
    assert "no picture" in problem(answer)
    assert get(occupied("Alice"), "/api/v1/rooms/nowhere/snapshot").status_code == 404
