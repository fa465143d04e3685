"""The page in a room of a real bridge, from a network that lets no UDP through."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..interop.ports import free_ports
from ..server.process import bridge
from .conftest import until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]
JOIN = "Rejoindre la conférence"
WITHOUT_UDP = """(() => {
  const take = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    window.peer = this;
    const sdp = description.sdp.replace(/^a=candidate:\\S+ \\d+ udp .*\\r\\n/gim, "");
    return take.call(this, { type: description.type, sdp });
  };
  window.received = async () => {
    const all = [...(await peer.getStats()).values()];
    const pair = all.find((s) => s.type === "candidate-pair" && s.nominated && s.state === "succeeded");
    const kinds = all.filter((s) => s.type === "inbound-rtp").map((s) => [s.kind, s.packetsReceived]);
    return { by: all.find((s) => s.id === pair?.localCandidateId)?.protocol, ...Object.fromEntries(kinds) };
  };
})()"""


def test_sound_and_pictures_come_by_tcp_and_again_when_the_relay_has_died(chromium: Any, tmp_path: Path) -> None:
    first = free_ports(64)
    environment = {"VISIOPONT_WEBRTC__PORT": str(first + 60), "VISIOPONT_WEBRTC__TCP_PORT": str(first + 60)}
    ports = ["--media-ports", f"{first}-{first + 15}", "--video-ports", f"{first + 16}-{first + 47}"]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with bridge(tmp_path, *ports, command="demo") as running:
            context = chromium.new_context(locale="fr-CA", permissions=["camera", "microphone"])
            context.add_init_script(WITHOUT_UDP)
            page = context.new_page()
            page.goto(f"{running.http}/r/demo")
            page.locator("#name").fill("Camille Fortin")
            page.get_by_role("button", name=JOIN).click()
            until(page, "window.peer && window.received().then((s) => s.by === 'tcp' && s.audio > 50 && s.video > 50)")
            metrics = httpx.get(running.http + "/metrics", timeout=5).text
            assert "visiopont_tcp_connections 1.0" in metrics
            found = re.search(r"^visiopont_tcp_sent_packets_total (\S+)", metrics, re.MULTILINE)
            assert found is not None
            assert float(found[1]) > 20
            for name in os.listdir("/proc"):
                if name.isdigit() and str(running.process.pid) == _parent(name) and b"tcp_relay" in _line(name):
                    os.kill(int(name), signal.SIGKILL)
            before = page.evaluate("window.received()")
            until(page, f"window.received().then((s) => s.by === 'tcp' && s.audio > {before['audio'] + 50})", 20)
            assert "visiopont_tcp_relay_restarts_total 1.0" in httpx.get(running.http + "/metrics", timeout=5).text
            context.close()
            assert running.end() == 0


def _parent(process: str) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()[1]
    except OSError:
        return ""


def _line(process: str) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""
