"""``visiopont link`` and ``check`` against a bridge that speaks HTTPS."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import httpx

from tests.server.process import ROOT, bridge
from tests.signalling.test_io import contexts

__all__ = ["contexts"]


def visiopont(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server.cli", *words],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "VISIOPONT_LANGUAGE": "en-CA", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_link_over_https(tmp_path: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    certificate = next(tmp_path.parent.glob("tls*/both.pem"))
    settings = tmp_path / "visiopont.toml"
    settings.write_text(f'[http]\ntls_certificate = "{certificate}"\n[room.conseil]\nguest_pin = "1357"\n')
    with bridge(tmp_path, "--config", str(settings)) as served:
        assert served.http.startswith("https://127.0.0.1:")
        words = ["link", "conseil", "--role", "host", "--hours", "1", "--name", "Zoé", "--server", served.http]
        said = visiopont(tmp_path, *words)
        assert said.returncode == 0, said.stderr
        (url,) = said.stdout.splitlines()
        assert url.startswith(f"{served.http}/r/conseil?t=")
        about = httpx.get(url.replace("?t=", "/about?t="), verify=contexts[1], timeout=5).json()
        assert (about["role"], about["name"], about["pin"]) == ("host", "Zoé", True)
        refused = visiopont(tmp_path, "link", "no room", "--server", served.http)
        assert refused.returncode == 1
        assert "there is no room" in refused.stderr
        checked = visiopont(tmp_path, "check", "--http", served.http.partition("//")[2])
        assert "the running bridge answers" in checked.stdout
        assert f"HTTPS: {certificate}" in checked.stdout
