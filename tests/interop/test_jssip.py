"""JsSIP itself, in Chromium, against a real bridge: signalling, and coming back by another connection."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server.process import Bridge, bridge

playwright = pytest.importorskip("playwright.sync_api")
SOON = 5.0
CHROMIUM = shutil.which("chromium") or ""
FLAGS = [
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]
pytestmark = [pytest.mark.interop, pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")]

AGENT = """
async ({socket, uri, more}) => {
  const {JsSIP} = globalThis;
  globalThis.seen = [];
  globalThis.agent = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(socket)], uri, register: false,
    connection_recovery_min_interval: 1, connection_recovery_max_interval: 1, ...more,
  });
  for (const event of ["connected", "disconnected", "registered", "unregistered", "registrationFailed"])
    agent.on(event, (e) => seen.push(event === "registrationFailed" ? `${event} ${e.response?.status_code}` : event));
  agent.start();
}
"""
CALL = """
({target, headers}) => {
  globalThis.ended = null;
  globalThis.call = agent.call(target, {
    mediaConstraints: {audio: true, video: false}, extraHeaders: headers ?? [], fromDisplayName: "Anna",
    pcConfig: {iceServers: []},
    eventHandlers: {
      icecandidate: ({ready}) => ready(),
      accepted: () => seen.push("accepted"),
      confirmed: () => seen.push("confirmed"),
      failed: ({message, cause}) => {
        seen.push("failed");
        ended = [message?.status_code ?? 0, message?.reason_phrase ?? cause];
      },
      ended: (e) => { seen.push("ended"); ended = [0, e.originator]; },
    },
  });
}
"""


@contextmanager
def chromium(served: Bridge, uri: str = "sip:guest@127.0.0.1", **more: Any) -> Iterator[Any]:
    """A page with JsSIP's user agent, connected."""
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_page()
        page.goto(served.http + "/metrics")  # any page of the same origin, without a policy and scripts of its own
        page.add_script_tag(url="/client/vendor/jssip.min.js")
        socket = served.http.replace("http", "ws", 1) + "/sip"
        page.evaluate(AGENT, {"socket": socket, "uri": uri, "more": more})
        page.wait_for_function("seen.includes('connected')", timeout=10_000)
        try:
            yield page
        finally:
            browser.close()


def people(served: Bridge, count: int, room: str = "demo") -> list[dict[str, Any]]:
    """As soon as there are so many: the API's picture of the rooms may be a moment old."""
    until = time.monotonic() + SOON
    while True:
        rooms = served.get("/api/v1/rooms")["rooms"]
        found = [person for each in rooms if each["name"] == room for person in each["participants"]]
        if len(found) == count or time.monotonic() > until:
            assert len(found) == count
            return found
        time.sleep(0.1)


def has(page: Any, event: str, times: int = 1) -> None:
    page.wait_for_function(f"seen.filter((e) => e === '{event}').length >= {times}", timeout=15_000)


def test_options_and_a_call_that_both_sides_can_end(tmp_path: Path) -> None:
    with bridge(tmp_path) as served, chromium(served) as page:
        options = """
        new Promise((done) => agent.sendOptions("sip:demo@127.0.0.1", null, {eventHandlers: {
          succeeded: ({response}) => done(response.getHeader("Allow")), failed: (e) => done(`${e.cause}`)}}))
        """
        assert "INVITE" in page.evaluate(options)
        page.evaluate(CALL, {"target": "sip:demo@127.0.0.1"})
        has(page, "confirmed")
        (person,) = people(served, 1)
        assert (person["kind"], person["name"]) == ("web", "Anna")
        page.evaluate("call.terminate()")
        has(page, "ended")
        people(served, 0)
        page.evaluate(CALL, {"target": "sip:demo@127.0.0.1"})
        has(page, "confirmed", 2)
        (person,) = people(served, 1)
        assert served.post(f"/api/v1/rooms/demo/participants/{person['number']}/remove").status_code == 200
        has(page, "ended", 2)
        assert page.evaluate("ended") == [0, "remote"]


def test_a_link_gives_its_role_and_an_old_one_a_reason(tmp_path: Path) -> None:
    with bridge(tmp_path) as served, chromium(served) as page:
        made = served.post("/api/v1/rooms/demo/links", {"role": "host"}).json()
        headers = [f"Authorization: Bearer {made['token']}"]
        page.evaluate(CALL, {"target": "sip:demo@127.0.0.1", "headers": headers})
        has(page, "confirmed")
        assert people(served, 1)[0]["role"] == "host"
        page.evaluate(CALL, {"target": "sip:annex@127.0.0.1", "headers": headers})
        has(page, "failed")
        assert page.evaluate("ended") == [401, "this link is for another room: ask for one to this room"]


def test_it_comes_back_by_another_connection_in_the_same_call(tmp_path: Path) -> None:
    with bridge(tmp_path) as served, chromium(served) as page:
        page.evaluate(CALL, {"target": "sip:demo@127.0.0.1"})
        has(page, "confirmed")
        (before,) = people(served, 1)
        page.evaluate("agent.transport.socket._ws.close()")
        has(page, "disconnected")
        has(page, "connected", 2)
        page.evaluate("""new Promise((done) => call.renegotiate({rtcOfferConstraints: {iceRestart: true}}, done))""")
        (after,) = people(served, 1)
        assert after["number"] == before["number"]
        assert served.post(f"/api/v1/rooms/demo/participants/{after['number']}/remove").status_code == 200
        has(page, "ended")
        assert page.evaluate("ended") == [0, "remote"]


def test_a_page_that_was_loaded_anew_replaces_its_old_call(tmp_path: Path) -> None:
    with bridge(tmp_path) as served, chromium(served) as page:
        page.evaluate(CALL, {"target": "sip:demo@127.0.0.1"})
        has(page, "confirmed")
        (before,) = people(served, 1)
        dialog = page.evaluate("[call._dialog.id.call_id, call._dialog.id.remote_tag, call._dialog.id.local_tag]")
        replaces = "Replaces: {};to-tag={};from-tag={}".format(*dialog)
        page.evaluate(CALL, {"target": "sip:demo@127.0.0.1", "headers": [replaces]})
        has(page, "confirmed", 2)
        (after,) = people(served, 1)
        assert after["number"] == before["number"]


def test_it_registers_and_is_called(tmp_path: Path) -> None:
    settings = tmp_path / "visiopont.toml"
    settings.write_text('[sip]\ndomains = ["sip.example"]\n[[sip.accounts]]\nuser = "anna"\npassword = "secret"\n')
    with (
        bridge(tmp_path, "--config", str(settings)) as served,
        chromium(served, "sip:anna@sip.example", register=True, password="secret") as page,
    ):
        has(page, "registered")
        page.evaluate(
            """agent.on("newRTCSession", ({originator, session}) => {
              if (originator === "remote") session.answer({mediaConstraints: {audio: true, video: false}});
              session.on("confirmed", () => seen.push("taken"));
            })"""
        )
        assert served.post("/api/v1/rooms/demo/calls", {"uri": "sip:anna@sip.example"}).status_code == 202
        has(page, "taken")
        page.evaluate("agent.unregister()")
        has(page, "unregistered")
