"""What the page does, its own signalling included: what it sends, what it makes of refusals, cuts and reloads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import until
from .double import Double, person

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]
JOIN = "Rejoindre la conférence"
PICTURE = "document.querySelector('.stage video').videoWidth"


@pytest.fixture
def enter(visit: Callable[..., Any], double: Double) -> Callable[..., Any]:
    """A page in a room, pictures there."""

    def come(room: str = "demo", query: str = "", **options: Any) -> Any:
        page = visit(f"{double.url}/r/{room}{query}", **options)
        page.locator(".preview video").wait_for()
        page.locator("#name").fill("Camille Fortin")
        page.get_by_role("button", name=JOIN).click()
        page.locator(".toolbar").wait_for()
        until(page, PICTURE)
        until(page, "document.querySelector('.room-top')")
        return page

    return come


def heard(double: Double, kind: str) -> list[dict[str, Any]]:
    return [message for message in double.heard if message["type"] == kind]


def eventually(page: Any, condition: Callable[[], Any], what: str, seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not yet: {what}"
        page.wait_for_timeout(50)
    return found


def test_sound_and_picture_go_both_ways(enter: Any, double: Double, bridge: Any) -> None:
    page = enter(query="?t=signed")
    assert bridge.evaluate("window.calls[0].token") == "Bearer signed"
    assert bridge.evaluate("window.calls[0].name") == "Camille Fortin"
    hello = heard(double, "hello")[0]
    assert (hello["call"], hello["token"]) == (bridge.evaluate("window.calls[0].id"), "signed")
    until(bridge, "window.received(0).then((found) => found['0'] > 20 && found['1'] > 5)")
    page.evaluate(
        """() => {
          const context = new AudioContext(), analyser = context.createAnalyser();
          analyser.fftSize = 8192;
          context.createMediaStreamSource(document.querySelector("audio").srcObject).connect(analyser);
          window.loudest = () => {
            const bins = new Float32Array(analyser.frequencyBinCount);
            analyser.getFloatFrequencyData(bins);
            return bins.indexOf(Math.max(...bins)) * context.sampleRate / analyser.fftSize;
          };
        }"""
    )
    until(page, "Math.abs(window.loudest() - 700) < 12")
    seen = """() => {
      const canvas = new OffscreenCanvas(8, 8), pen = canvas.getContext("2d");
      const video = document.querySelector(".stage video");
      pen.drawImage(video, 0, 0, video.videoWidth / 40, video.videoHeight / 40, 0, 0, 8, 8);
      return [...pen.getImageData(4, 4, 1, 1).data];
    }"""
    _, green, blue, _ = page.evaluate(seen)
    assert green > 140
    assert blue < 90


def test_mute_stops_the_voice_and_is_told(enter: Any, double: Double) -> None:
    page = enter()
    eventually(page, lambda: heard(double, "mute"), "the state at the beginning")
    page.get_by_role("button", name="Couper le micro", exact=True).click()
    eventually(page, lambda: heard(double, "mute")[-1]["muted"], "muted")
    page.get_by_role("button", name="Ouvrir le micro", exact=True).click()
    eventually(page, lambda: not heard(double, "mute")[-1]["muted"], "unmuted")
    double.people(muted_by_host=True)
    page.get_by_role("button", name="Votre micro est ouvert, mais l'hôte le garde coupé").wait_for()


def test_a_camera_that_is_closed_is_told_by_the_direction(enter: Any, bridge: Any) -> None:
    page = enter()
    page.get_by_role("button", name="Fermer la caméra", exact=True).click()
    until(bridge, "window.direction(0, '1') === 'sendonly'")
    page.get_by_role("button", name="Ouvrir la caméra", exact=True).click()
    until(bridge, "window.direction(0, '1') === 'sendrecv'")
    assert not bridge.evaluate("window.calls[0].ended")


def test_a_shared_screen_is_content_and_is_given_back(enter: Any, bridge: Any) -> None:
    page = enter()
    for _ in range(2):
        page.get_by_role("button", name="Partager l'écran").click()
        until(bridge, "window.received(0).then((found) => found['2'] > 2)")
        offer = bridge.evaluate("window.calls[0].offers.at(-1)")
        sections = offer.split("m=")
        assert "a=content:slides" in sections[3]
        assert "a=content:slides" not in "".join(sections[:3])
        page.locator(".sharing").get_by_role("button").click()
        until(bridge, "window.direction(0, '2') === 'inactive'")
    assert len(sections) == 4, "the m-line is used again"
    assert not bridge.evaluate("window.calls[0].ended")


def test_a_refused_share_leaves_the_call(enter: Any, bridge: Any) -> None:
    page = enter()
    bridge.evaluate("window.refusing = 403")
    page.get_by_role("button", name="Partager l'écran").click()
    page.get_by_text("n'accepte pas votre écran").first.wait_for()
    bridge.evaluate("window.refusing = 0")
    assert page.locator(".sharing").is_hidden()
    assert not bridge.evaluate("window.calls[0].ended")


def test_chat_and_hand(enter: Any, double: Double) -> None:
    page = enter()
    page.keyboard.press("Alt+Shift+KeyC")
    page.keyboard.type("Bonjour <b>tous</b>")
    page.keyboard.press("Enter")
    page.locator(".messages .text", has_text="Bonjour <b>tous</b>").wait_for()
    page.keyboard.press("Escape")
    said = {"type": "chat", "id": 900, "from": "b", "name": "Olivier", "at": "2026-05-04T14:05:00Z"}
    double.people(person("b", "Olivier"))
    double.tell(said | {"text": "Allô"})
    page.get_by_role("button", name="Messages, 1 non lu").wait_for()
    assert "Olivier\u00a0: Allô" in page.locator("#polite").inner_text()
    page.keyboard.press("Alt+Shift+KeyH")
    page.get_by_role("button", name="2e dans la file").wait_for()
    assert heard(double, "hand")[-1]["up"] is True


def test_a_host_admits_locks_and_ends(enter: Any, double: Double) -> None:
    page = enter("host")
    double.people(person("w", "Noémie", waiting=True), person("b", "Olivier"))
    page.get_by_role("button", name="Participants, 2 participants, 1 personne attend").click()
    page.get_by_role("button", name="Admettre Noémie").click()
    page.get_by_role("button", name="Couper le micro de Olivier").click()
    page.get_by_role("button", name="Verrouiller", exact=True).click()
    page.get_by_role("button", name="Déverrouiller", exact=True).wait_for()
    assert heard(double, "admit")[-1]["id"] == "w"
    assert heard(double, "mute_other")[-1] == {"type": "mute_other", "id": "b", "muted": True}
    page.get_by_role("button", name="Quitter la conférence").click()
    page.get_by_role("button", name="Mettre fin pour tout le monde").click()
    page.get_by_role("heading", name="La conférence est terminée").wait_for()
    assert heard(double, "end")


def test_a_reload_goes_straight_back(enter: Any, bridge: Any) -> None:
    page = enter()
    page.reload()
    page.locator(".toolbar").wait_for()
    until(page, PICTURE)
    until(bridge, "window.calls.length === 2 && window.calls[0].ended && !window.calls[1].ended")


def test_leaving_tells_the_bridge_and_lets_one_back(enter: Any, bridge: Any) -> None:
    page = enter()
    page.get_by_role("button", name="Quitter la conférence").click()
    page.get_by_role("heading", name="Vous avez quitté la conférence").wait_for()
    until(bridge, "window.calls[0].ended")
    page.get_by_role("button", name="Rejoindre de nouveau").click()
    page.get_by_role("button", name=JOIN).wait_for()
    assert page.locator("#name").input_value() == "Camille Fortin"


def test_cut_sockets_come_back_in_the_same_call(enter: Any, double: Double, bridge: Any) -> None:
    page = enter()
    hellos = double.hellos
    double.cut()
    began = time.monotonic()
    eventually(page, lambda: double.hellos > hellos, "the room's socket", 3.0)
    page.get_by_role("button", name="Fermer la caméra", exact=True).click()
    until(bridge, "window.direction(0, '1') === 'sendonly'", 3.0 - (time.monotonic() - began) + 3.0)
    assert bridge.evaluate("window.calls.length") == 1
    assert page.locator(".toolbar").is_visible()


def test_a_call_whose_media_die_is_placed_again(enter: Any, bridge: Any) -> None:
    page = enter()
    bridge.evaluate("window.calls[0].connection.close()")
    page.locator(".trouble:not([hidden])").wait_for(timeout=30000)
    until(bridge, "window.calls.length >= 2 && !window.calls.at(-1).ended", 40.0)
    page.locator(".trouble").wait_for(state="hidden")
    assert page.locator(".toolbar").is_visible()


def test_who_refuses_the_microphone_listens(visit: Any, stern: Any, double: Double, bridge: Any) -> None:
    page = visit(f"{double.url}/r/demo", granted=False, browser=stern)
    page.get_by_role("button", name="Continuer sans").click()
    page.locator("#name").fill("Camille")
    page.keyboard.press("Enter")
    page.locator(".toolbar").wait_for()
    offer = bridge.evaluate("window.calls[0].offers[0]")
    assert offer.count("a=recvonly") == 2
    page.get_by_role("button", name="Ouvrir le micro", exact=True).click()
    page.get_by_text("Le navigateur bloque votre micro.").first.wait_for()


def test_the_language_is_changed_and_remembered(visit: Any, double: Double) -> None:
    page = visit(f"{double.url}/r/demo")
    page.get_by_role("button", name="English").click()
    page.get_by_role("button", name="Join the conference").wait_for()
    assert page.evaluate("document.documentElement.lang") == "en-CA"
    page.reload()
    page.get_by_role("button", name="Join the conference").wait_for()


def test_the_keyboard_is_enough(visit: Any, double: Double) -> None:
    page = visit(f"{double.url}/r/demo")
    page.locator(".preview video").wait_for()
    focus = "document.activeElement.textContent || document.activeElement.id"
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(focus))
        if reached[-1] == "name":
            page.keyboard.type("Camille")
        if reached[-1] == JOIN:
            break
    page.keyboard.press("Enter")
    page.locator(".toolbar").wait_for()
    assert page.evaluate("document.activeElement.tagName") == "H1"
    page.get_by_role("button", name="Plus", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "Plus d'options"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "Plus"


def test_the_right_code_opens(visit: Any, double: Double) -> None:
    page = visit(f"{double.url}/r/pin")
    page.locator("#pin").fill("1234")
    page.keyboard.press("Enter")
    page.locator("#name").wait_for()
    page.reload()
    page.locator("#name").wait_for()
