from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401  pytest would import it at the end, and Python 3.11 can't from under Playwright's greenlet
import pytest

from ..interop.ports import free_ports
from .double import CLIENT, Double

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required"]
FLAGS += ["--disable-features=WebRtcHideLocalIpsWithMdns"]
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
PATIENCE = 20000
"""Milliseconds that a page has for anything."""


def until(page: Any, expression: str, seconds: float = 10.0) -> Any:
    """What JavaScript makes of ``expression`` once that is true.

    Playwright's own waiting needs ``eval``, which the page's policy forbids.
    """
    end = time.monotonic() + seconds
    while not (found := page.evaluate(expression)):
        if time.monotonic() > end:
            pytest.fail(f"after {seconds:g} s: not yet {expression}")
        page.wait_for_timeout(50)
    return found


def _missing(reason: str) -> None:
    """Skip; in CI, where it has to be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    if shutil.which(CHROMIUM) is None:
        _missing("chromium is missing: apt-get install --no-install-recommends chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is missing: pip install playwright")
    if not (CLIENT / "vendor" / "jssip.min.js").exists():
        _missing("web/client/vendor/jssip.min.js is missing")
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def chromium(playwright: Any) -> Iterator[Any]:
    """Says yes to every question for a camera, a microphone or the screen."""
    flags = [*FLAGS, "--use-fake-ui-for-media-stream"]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def stern(playwright: Any) -> Iterator[Any]:
    """Says no."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def running_double() -> Iterator[Double]:
    with Double(free_ports(2)) as double:
        yield double


@pytest.fixture(scope="module")
def bridge(chromium: Any, running_double: Double) -> Iterator[Any]:
    """The page that answers calls."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{running_double.url}/bridge/bridge.html")
    until(page, "window.ready")
    yield page
    context.close()


@pytest.fixture
def double(running_double: Double, bridge: Any) -> Double:
    running_double.reset()
    bridge.evaluate("window.reset()")
    return running_double


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages as ``visit(url, language="fr", size="desktop", granted=True, browser=…)``; what a page logs as an
    error, refused by its policy for instance, fails the test."""
    contexts: list[Any] = []
    errors: list[str] = []

    def open_page(
        url: str, *, language: str = "fr", size: str = "desktop", granted: bool = True, browser: Any = None
    ) -> Any:
        width, height = SIZES[size]
        context = (browser or chromium).new_context(
            locale=f"{language}-CA",
            viewport={"width": width, "height": height},
            device_scale_factor=1,
            has_touch=size == "phone",
            is_mobile=size == "phone",
            permissions=["camera", "microphone"] if granted else [],
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda message: (
                message.type == "error" and "Failed to load" not in message.text and errors.append(message.text)
            ),
        )
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture(scope="module")
def axe() -> str:
    return (Path(__file__).parent / "vendor" / "axe.min.js").read_text("utf-8")


@pytest.fixture
def look(axe: str, tmp_path: Path) -> Callable[..., None]:
    """``look(page, "name")``: a screenshot, into ``VISIOPONT_SCREENSHOTS`` if that is set; axe finds nothing."""
    place = Path(os.environ.get("VISIOPONT_SCREENSHOTS") or tmp_path)
    place.mkdir(parents=True, exist_ok=True)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

    def look_at(page: Any, name: str) -> None:
        page.screenshot(path=place / f"{name}.png")
        page.evaluate(axe)
        found = page.evaluate("(values) => axe.run(document, {runOnly: {type: 'tag', values}})", tags)
        said = [
            f"{one['id']} ({one['impact']}): {node['target']} {node['html'][:160]} {node['failureSummary'][:300]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]
        assert not said, f"{name}:\n" + "\n".join(said)
        width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], f"{name} is wider than the window: {width}"

    return look_at
