"""The network goes away and comes back: browser and bridge in a namespace of their own, whose link is set down."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..interop.ports import free_ports
from ..server.process import Bridge, bridge
from .conftest import CHROMIUM, FLAGS, until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="namespaces need root and iproute2"),
]
WHOLE = 3.0
"""Seconds after the network's return in which sound has to come again."""
COUNTED = """
const Connection = RTCPeerConnection;
window.connections = [];
window.RTCPeerConnection = class extends Connection {
  constructor(...given) { super(...given); connections.push(this); }
};
window.packets = async () => {
  let found = 0;
  for (const report of (await connections.at(-1).getStats()).values())
    if (report.type === "inbound-rtp" && report.kind === "audio") found = report.packetsReceived;
  return found;
};
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[str]:
    name = f"visiopont-{os.getpid()}"
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no namespace can be made here: {error.stderr.decode()}")
    ip("-n", name, "link", "set", "lo", "up")
    yield name
    ip("netns", "delete", name)


def inside(namespace: str, directory: Path, program: str) -> str:
    """A command that runs ``program`` there."""
    script = directory / Path(program).name
    script.write_text(f'#!/bin/sh\nexec ip netns exec {namespace} {program} "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def served(namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    monkeypatch.setattr(sys, "executable", inside(namespace, tmp_path, sys.executable))
    monkeypatch.setenv("VISIOPONT_WEBRTC__PORT", str(free_ports(2)))
    with bridge(tmp_path, command="demo") as running:
        yield running


@pytest.fixture
def page(playwright: Any, namespace: str, tmp_path: Path, served: Bridge) -> Iterator[Any]:
    flags = [*FLAGS, "--use-fake-ui-for-media-stream", "--allow-loopback-in-peer-connection"]
    browser = playwright.chromium.launch(executable_path=inside(namespace, tmp_path, CHROMIUM), args=flags)
    context = browser.new_context(locale="fr-CA", permissions=["camera", "microphone"])
    context.add_init_script(COUNTED)
    page = context.new_page()
    page.goto(f"{served.http}/r/demo")
    page.locator("#name").fill("Anna")
    page.get_by_role("button", name="Rejoindre la conférence").click()
    page.locator(".toolbar").wait_for()
    until(page, "packets().then((count) => count > 100)")
    yield page
    browser.close()


@pytest.mark.parametrize("seconds", [5.0, 20.0])
def test_the_page_comes_back_into_the_same_call(page: Any, namespace: str, seconds: float) -> None:
    ip("-n", namespace, "link", "set", "lo", "down")
    went = time.monotonic()
    page.locator(".trouble:not([hidden])").wait_for(timeout=8000)
    page.wait_for_timeout(max(0.0, 1000 * (went + seconds - time.monotonic())))
    before = page.evaluate("packets()")
    ip("-n", namespace, "link", "set", "lo", "up")
    until(page, f"packets().then((count) => count > {before} + 10)", WHOLE)
    page.locator(".trouble").wait_for(state="hidden", timeout=5000)
    assert page.evaluate("connections.length") == 1, "the call is the same"
    page.keyboard.press("Alt+Shift+KeyH")
    page.get_by_role("button", name="1re dans la file").wait_for()
