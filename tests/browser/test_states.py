"""Every state of the page, in both languages, on a desk and on a telephone: reached, looked at by axe, photographed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import until
from .double import Double, person

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]
COMBINATIONS = [("fr", "desktop"), ("fr", "phone"), ("en", "desktop"), ("en", "phone")]
WORDS = {
    "fr": {
        "join": "Rejoindre la conférence",
        "allow": "Autoriser l'accès",
        "people": "Participants",
        "more": "Plus",
        "chat": "Messages",
        "leave": "Quitter la conférence",
        "devices": "Caméra, micro et son",
        "connection": "Qualité de la connexion",
        "share": "Partager l'écran",
        "continue": "Continuer",
        "close": "Fermer",
    },
    "en": {
        "join": "Join the conference",
        "allow": "Allow access",
        "people": "People",
        "more": "More",
        "chat": "Chat",
        "leave": "Leave the conference",
        "devices": "Camera, microphone and sound",
        "connection": "Connection quality",
        "share": "Share your screen",
        "continue": "Continue",
        "close": "Close",
    },
}
CROWD = [
    person("a", "Marie Tremblay", role="host", hand=None),
    person("b", "Olivier Gagné", hand=1),
    person("c", "Salle 4 – Québec (rez-de-chaussée)", kind="terminal"),
    person("d", "418 555-0187", kind="telephone", muted=True, video=False),
    person("e", "Anaïs Roy", muted_by_host=True, video=False),
    person("f", "Jean-Sébastien Létourneau-Beauchemin", hand=3),
]
QUALITY = {"type": "quality", "loss": 0.001, "jitter_ms": 4, "round_trip_ms": 38}
CHAT = [
    ("a", "Marie Tremblay", "Bonjour à tous! L'ordre du jour est ici : https://exemple.quebec/ordre-du-jour.pdf"),
    ("b", "Olivier Gagné", "Merci Marie."),
    ("b", "Olivier Gagné", "J'ai une question sur le point 3, quand ce sera le moment."),
    ("me", "Camille Fortin", "Parfait, on commence."),
]


@pytest.fixture(params=COMBINATIONS, ids=lambda pair: "-".join(pair))
def seen(request: pytest.FixtureRequest, visit: Callable[..., Any], look: Callable[..., None]) -> Any:
    """``(open, look, words, size)`` of one language and size."""
    language, size = request.param

    def open_page(url: str, **options: Any) -> Any:
        return visit(url, language=language, size=size, **options)

    def look_at(page: Any, name: str) -> None:
        look(page, f"{language}-{size}-{name}")

    return open_page, look_at, WORDS[language], size


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def enter(page: Any, words: dict[str, str], name: str = "Camille Fortin") -> None:
    page.locator("#name").fill(name)
    press(page, words["join"])
    page.locator(".toolbar").wait_for()


def test_before_the_call(seen: Any, stern: Any, double: Double) -> None:
    open_page, look, words, _ = seen
    page = open_page(f"{double.url}/r/demo", granted=False, browser=stern)
    page.get_by_role("button", name=words["allow"]).wait_for()
    look(page, "01-permission")
    press(page, words["allow"])
    page.locator(".cover h2").filter(has_not_text=words["allow"]).wait_for()
    until(page, "document.querySelector('.fold') && !document.querySelector('.fold').hidden")
    look(page, "02-refused")
    ready = open_page(f"{double.url}/r/demo")
    ready.locator(".preview video").wait_for()
    until(ready, "document.querySelector('.preview video').videoWidth > 0")
    until(ready, "document.querySelectorAll('.bars .lit').length > 3")
    look(ready, "03-ready")
    ready.locator(".fold").evaluate("(fold) => { fold.open = !fold.open; }")
    look(ready, "04-ready-folded")
    press(ready, words["join"])
    ready.locator("#name-error:not(:empty)").wait_for()
    look(ready, "05-name-missing")
    pin = open_page(f"{double.url}/r/pin")
    pin.locator("#pin").fill("9999")
    press(pin, words["continue"])
    pin.locator("#pin-error:not(:empty)").wait_for()
    look(pin, "06-pin-wrong")
    for name, url in [("07-no-room", "/r/nowhere"), ("08-link-expired", "/r/demo?t=expired")]:
        notice = open_page(f"{double.url}{url}")
        notice.locator(".notice h1").wait_for()
        look(notice, name)


def test_the_lobby(seen: Any, double: Double) -> None:
    open_page, look, words, _ = seen
    page = open_page(f"{double.url}/r/lobby")
    page.locator(".preview video").wait_for()
    page.locator("#name").fill("Camille Fortin")
    press(page, words["join"])
    page.locator(".waiting h1").wait_for()
    until(page, "document.querySelector('.waiting video').videoWidth > 0")
    look(page, "10-lobby")
    double.state(place="room")
    page.locator(".toolbar").wait_for()


def test_in_the_call(seen: Any, double: Double) -> None:
    open_page, look, words, size = seen
    page = open_page(f"{double.url}/r/demo")
    page.locator(".preview video").wait_for()
    enter(page, words)
    until(page, "document.querySelector('.stage video').videoWidth > 0")
    double.people(*CROWD)
    double.levels("a", a=-14, b=-41, c=-28)
    double.tell(QUALITY)
    page.locator(".quality.good").wait_for()
    page.locator(".caption:not(:empty)").wait_for()
    look(page, "20-call")
    press(page, words["chat"])
    look(page, "21-chat-empty")
    for identity, (author, name, text) in enumerate(CHAT, 100):
        said = {"type": "chat", "id": identity, "from": author, "name": name, "text": text}
        double.tell(said | {"at": f"2026-05-04T14:0{identity % 10}:00Z"})
    page.locator(".messages li").nth(3).wait_for()
    page.wait_for_timeout(100)
    look(page, "22-chat")
    press(page, words["close"])
    double.people(*CROWD, hand=2)
    if size == "phone":
        press(page, words["more"])
        look(page, "23-more")
        page.locator(".entry.narrow").first.click()
    else:
        page.locator(".tool", has_text=words["people"]).click()
    double.levels("a", a=-14, b=-41, c=-28)
    look(page, "24-people")
    press(page, words["close"])
    press(page, words["more"])
    look(page, "25-more")
    press(page, words["devices"])
    page.locator("dialog .bars .lit").first.wait_for()
    look(page, "26-devices")
    press(page, words["close"])
    press(page, words["more"])
    press(page, words["connection"])
    look(page, "27-connection")
    press(page, words["close"])
    double.people(*CROWD, hand=2, muted_by_host=True)
    double.state(locked=True, recording=True, presenting="b")
    page.locator(".flag.record").wait_for()
    look(page, "28-flags-and-news")


def test_what_a_host_does(seen: Any, double: Double) -> None:
    open_page, look, words, size = seen
    page = open_page(f"{double.url}/r/host")
    page.locator(".preview video").wait_for()
    enter(page, words)
    until(page, "document.querySelector('.stage video').videoWidth > 0")
    waiting = [person("w", "Noémie Desjardins", waiting=True), person("x", "Paul-André Côté", waiting=True)]
    double.people(*CROWD[1:], *waiting)
    double.levels("a", a=-14, b=-41, c=-28)
    page.wait_for_timeout(150)
    look(page, "30-somebody-waits")
    if size == "phone":
        press(page, words["more"])
        page.locator(".entry.narrow").first.click()
    else:
        page.locator(".tool", has_text=words["people"]).click()
    page.locator(".waiting-part li").first.wait_for()
    page.evaluate("document.querySelector('.toasts').replaceChildren()")
    look(page, "31-host-people")
    page.locator(".people .remove").first.click()
    look(page, "32-remove")
    page.keyboard.press("Escape")
    press(page, words["close"])
    press(page, words["leave"])
    look(page, "33-host-leaves")


def test_sharing_trouble_and_the_end(seen: Any, double: Double, bridge: Any) -> None:
    open_page, look, words, size = seen
    page = open_page(f"{double.url}/r/demo")
    page.locator(".preview video").wait_for()
    enter(page, words)
    until(page, "document.querySelector('.stage video').videoWidth > 0")
    double.people(*CROWD)
    double.levels("a", a=-14, b=-41, c=-28)
    if size == "desktop":
        press(page, words["share"])
        page.locator(".sharing:not([hidden])").wait_for()
        look(page, "40-sharing")
    page.evaluate("document.querySelector('.toasts').replaceChildren()")
    page.evaluate("document.querySelector('.trouble').hidden")
    bridge.evaluate("window.calls.forEach((call) => call.connection.close())")
    double.mute = True
    double.cut()
    page.locator(".trouble:not([hidden])").wait_for(timeout=20000)
    look(page, "41-reconnecting")
    press(page, words["leave"])
    page.locator(".notice h1").wait_for()
    look(page, "42-left")


@pytest.mark.parametrize("room", ["full", "declined", "media"])
def test_the_room_does_not_take_the_call(seen: Any, double: Double, room: str) -> None:
    open_page, look, words, _ = seen
    page = open_page(f"{double.url}/r/{room}")
    page.locator(".preview video").wait_for()
    page.locator("#name").fill("Camille Fortin")
    press(page, words["join"])
    page.locator(".notice:not(.waiting) h1").wait_for()
    look(page, f"50-{room}")


def test_the_room_is_ended(seen: Any, double: Double) -> None:
    open_page, look, words, _ = seen
    page = open_page(f"{double.url}/r/voice")
    page.locator(".bars .lit").first.wait_for(state="attached")
    look(page, "60-voice-only")
    enter(page, words)
    look(page, "61-voice-call")
    double.state(place="ended")
    page.locator(".notice h1").wait_for()
    look(page, "62-ended")


def test_the_connection_test(seen: Any, double: Double) -> None:
    open_page, look, _, _ = seen
    page = open_page(f"{double.url}/client/test.html?room=demo")
    look(page, "70-test")
    page.locator(".actions .primary").click()
    page.locator(".summary:is(.good, .fair, .bad)").wait_for(timeout=60000)
    look(page, "71-test-done")


def test_the_gallery(seen: Any, double: Double) -> None:
    open_page, look, words, _ = seen
    page = open_page(f"{double.url}/r/demo")
    page.locator(".preview video").wait_for()
    enter(page, words)
    until(page, "document.querySelector('.stage video').videoWidth > 0")
    double.people(*CROWD)
    page.keyboard.press("Alt+Shift+KeyG")
    shown = "[...document.querySelectorAll('.cell video')].filter((one) => one.videoWidth && !one.hidden).length"
    until(page, f"{shown} === 4")
    assert page.locator(".stage > video").is_hidden()
    double.levels("b", a=-14, b=-41, c=-28)
    page.locator(".cell.speaks", has_text="Olivier").wait_for()
    page.wait_for_timeout(300)
    look(page, "80-gallery")
    page.locator(".cell", has_text="Marie").locator(".pin").press("Enter")
    page.locator(".cell:first-child", has_text="Marie").wait_for()
    assert page.evaluate("document.activeElement.className").endswith("pin on")
    look(page, "81-gallery-pinned")
    double.state(presenting="b")
    page.locator(".cell.content").wait_for()
    crowd = [person(f"{number}", f"Personne {number}", video=number % 3 > 0) for number in range(30)]
    double.people(*CROWD, *crowd)
    page.locator(".pager").get_by_role("button").last.click()
    page.wait_for_timeout(600)
    look(page, "82-gallery-pages")
    press(page, words["more"])
    look(page, "83-gallery-more")
