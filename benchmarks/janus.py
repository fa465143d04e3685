"""Debian's Janus with its AudioBridge, fed by the same crowd over plain RTP: what another server costs, side by side.

Nothing but the AudioBridge and the Unix socket of its API is loaded; its configuration lies in a temporary directory.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

from .processes import family

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu/janus")


class JanusServer:
    """One Janus process with one room."""

    PLUGINS: ClassVar[tuple[str, ...]] = ("audiobridge",)
    MEDIA: ClassVar[str] = ""
    """A section of its configuration."""

    def __init__(self, ports: range, *, cpu: int = 0, rate: int = 8000) -> None:
        if not shutil.which("janus"):
            raise OSError("janus is not installed: apt-get install --no-install-recommends janus")
        self._folder = tempfile.TemporaryDirectory(prefix="janus-")
        folder = Path(self._folder.name)
        self._api = folder / "api.sock"
        self._configure(folder, ports)
        self._command = ["taskset", "-c", str(cpu), "nice", "-n", "-10", "janus", "-F", str(folder), "-d", "4"]
        self._log = (folder / "log").open("wb")
        self._number = 0
        self._start()
        self._session = self._ask({"janus": "create"})["data"]["id"]
        self.open_room(1, rate=rate)

    @property
    def pids(self) -> list[int]:
        return family(self._process.pid)

    def _start(self) -> None:
        """Some starts fail: it finds no transport where it has just found one."""
        for attempt in range(5):
            self._process = subprocess.Popen(self._command, stdout=self._log, stderr=subprocess.STDOUT)
            try:
                self._socket = self._connect()
            except OSError:
                self._process.kill()
                self._process.wait(5)
                self._api.unlink(missing_ok=True)
                if attempt == 4:
                    raise
                time.sleep(1.0)  # what made it fail is the machine's: it does not when there is time
            else:
                return

    def open_room(self, number: int, *, rate: int) -> int:
        """Make a room, or leave it as it is; returns its number."""
        room = {
            "request": "create",
            "room": number,
            "sampling_rate": rate,
            "allow_rtp_participants": True,
            "audiolevel_event": False,
        }
        self._ask({"janus": "message", "session_id": self._session, "handle_id": self._attach(), "body": room})
        return number

    def join(
        self, address: tuple[str, int], codec: str = "pcmu", payload_type: int = 0, *, room: int = 1
    ) -> tuple[str, int]:
        """Add a participant who is at ``address``; returns where it should send."""
        rtp: dict[str, Any] = {"ip": address[0], "port": address[1], "payload_type": payload_type}
        body = {"request": "join", "room": room, "codec": codec, "rtp": rtp}
        handle = self._attach()
        answer = self._ask(
            {"janus": "message", "session_id": self._session, "handle_id": handle, "body": body}, event=True
        )
        data = answer["plugindata"]["data"]
        if "rtp" not in data:
            raise OSError(f"Janus says {data}")
        return data["rtp"]["ip"], int(data["rtp"]["port"])

    def stop(self) -> None:
        self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._log.close()
        self._folder.cleanup()

    def _configure(self, folder: Path, ports: range) -> None:
        for kind in ("plugins", "transports", "events", "loggers"):
            (folder / kind).mkdir()
        for plugin in self.PLUGINS:
            name = f"libjanus_{plugin}.so"
            (folder / "plugins" / name).symlink_to(LIBRARIES / "plugins" / name)
        (folder / "transports" / "libjanus_pfunix.so").symlink_to(LIBRARIES / "transports" / "libjanus_pfunix.so")
        (folder / "janus.jcfg").write_text(
            "general: {\n"
            f'  configs_folder = "{folder}"\n  plugins_folder = "{folder}/plugins"\n'
            f'  transports_folder = "{folder}/transports"\n  events_folder = "{folder}/events"\n'
            f'  loggers_folder = "{folder}/loggers"\n  debug_level = 1\n  session_timeout = 0\n'
            '  interface = "127.0.0.1"\n'
            "}\nnat: {\n  ice_lite = true\n}\n" + self.MEDIA.format(ports=ports)
        )
        (folder / "janus.plugin.audiobridge.jcfg").write_text(
            f'general: {{\n  rtp_port_range = "{ports.start}-{ports.stop}"\n  local_ip = "127.0.0.1"\n}}\n'
        )
        (folder / "janus.transport.pfunix.jcfg").write_text(
            f'general: {{\n  enabled = true\n  json = "compact"\n  path = "{self._api}"\n'
            '  type = "SOCK_SEQPACKET"\n}\n'
            "admin: {\n  admin_enabled = false\n}\n"
        )

    def _connect(self) -> socket.socket:
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise OSError(f"janus ended: {(Path(self._folder.name) / 'log').read_text()[-3000:]}")
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                sock.connect(str(self._api))
            except OSError:
                sock.close()
                time.sleep(0.1)
                continue
            sock.settimeout(10)
            return sock
        raise OSError("janus opened no API")

    def _attach(self, plugin: str = "audiobridge") -> int:
        asked = {"janus": "attach", "session_id": self._session, "plugin": f"janus.plugin.{plugin}"}
        return int(self._ask(asked)["data"]["id"])

    def _ask(self, request: dict[str, Any], *, event: bool = False) -> dict[str, Any]:
        """One request and its answer; with ``event`` the one that follows the acknowledgement."""
        self._number += 1
        transaction = str(self._number)
        self._socket.sendall(json.dumps(request | {"transaction": transaction}).encode())
        for _ in range(10_000):
            answer = json.loads(self._socket.recv(1 << 16))
            if answer.get("transaction") != transaction or (event and answer["janus"] == "ack"):
                continue
            if answer["janus"] == "error":
                raise OSError(f"Janus says {answer['error']}")
            return dict(answer)
        raise OSError("Janus did not answer")
