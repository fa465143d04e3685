"""Real phones, each a process of its own that is told what to do and records what it hears."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from av.error import FFmpegError

from . import picture, spectrum
from .ports import free_ports
from .process import Process, need, until

ACCOUNT, PASSWORD = "account", "secret"
"""At the server's registrar."""
SCENARIOS = Path(__file__).parent / "sipp"
CODECS = {
    "PCMU": "PCMU/8000/1",
    "PCMA": "PCMA/8000/1",
    "G722": "G722/16000/1",
    "opus": "opus/48000/2",
    "opus, mono": "opus/48000/1",
    "L16/16000": "L16/16000/1",
    "L16/48000": "L16/48000/1",
}
"""As baresip writes them (Opus is mono to it if it is set so); ours: as in the settings."""
CAMERA_BITS = 1_500_000
"""bit/s of a picture that a phone sends."""


class Phone:
    """What all of them have in common."""

    process: Process

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"--- {self.process.log}\n{self.process.text[-1500:]}")
        self.process.stop()

    def vanish(self) -> None:
        """Die without a BYE."""
        self.process.kill()


class Baresip(Phone):
    """baresip 1.0.0, told over ctrl_tcp. It sends a tone, and records what it hears with sndfile."""

    def __init__(
        self,
        directory: Path,
        *,
        tone: int,
        codec: str = "PCMU",
        user: str = "",
        transport: Literal["udp", "tcp", "tls"] = "udp",
        encryption: Literal["", "srtp", "srtp-mand", "dtls_srtp"] = "",
        certificate: Path | None = None,
        auto_answer: bool = False,
        registrar: str = "",
        video: Literal["", "H264", "VP8", "VP9"] = "",
        clip: picture.Clip | None = None,
        played: Path | None = None,
        settings: Sequence[str] = (),
        filters: Sequence[str] = (),
    ) -> None:
        """
        Args:
            video: what it sends and takes in.
            clip: what it shows over and over.
            played: a WAV of the codec's rate and channels that it sends instead of the tone; at its end it hangs up.
            settings: lines of its configuration that go before ours; it takes the first.
            filters: modules that hear before the recorder what it has decoded.
        """
        need("baresip", "baresip-core")
        self.tone, self.user = tone, user or f"t{tone}"
        self._directory = directory / self.user
        self._directory.mkdir()
        self.clip = clip
        self._pictures = itertools.count()
        # It takes the port above as well, for TLS.
        self.port = free_ports(4)
        self._control_port, media = self.port + 2, free_ports(16)
        # aufile wants the codec's rate and channels (baresip's resampler would mute much); at its end baresip hangs up.
        _, rate, channels = CODECS[codec].split("/")
        if played is None:
            played = self._directory / "tone.wav"
            spectrum.write_tone(played, tone, 60.0, rate=int(rate), channels=int(channels))
        self.uri = f"sip:{self.user}@127.0.0.1:{self.port}"
        modules = [
            "opus",
            "g722",
            "g711",
            "l16",
            "sndfile",
            "aufile",
            "aubridge",
            *([encryption.removesuffix("-mand")] if encryption else []),
        ]
        # What comes in passes them backwards.
        modules[modules.index("sndfile") + 1 : modules.index("sndfile") + 1] = filters
        config = [
            *settings,
            *(["opus_stereo no", "opus_sprop_stereo no"] if codec == "opus, mono" else []),
            f"sip_listen 127.0.0.1:{self.port}",
            *([f"sip_certificate {certificate}"] if certificate else []),
            *(
                "call_local_timeout 60",
                "call_max_calls 4",
                "ringback_disabled yes",
                "menu_bell no",
                "statmode_default off",
            ),
            *(f"audio_source aufile,{played}", "audio_player aubridge,nil", "audio_alert aubridge,nil"),
            *("audio_level yes", "audio_buffer 20-160"),
            *("ausrc_format s16", "auplay_format s16", "auenc_format s16", "audec_format s16"),
            *(f"rtp_ports {media}-{media + 15}", "rtcp_mux no", "jitter_buffer_delay 1-10", "opus_bitrate 28000"),
            *(f"snd_path {self._directory}", "module_path /usr/lib/baresip/modules"),
            *(self._camera(clip) if video and clip else ()),
            *(f"module {module}.so" for module in modules),
            *("module_tmp uuid.so", "module_tmp account.so", "module_app menu.so", "module_app ctrl_tcp.so"),
            *("module_app debug_cmd.so", f"ctrl_tcp_listen 127.0.0.1:{self._control_port}"),
        ]
        account = [
            f"<sip:{self.user}@{registrar or f'127.0.0.1:{self.port}'};transport={transport}>",
            f"regint={300 if registrar else 0}",
            f"audio_codecs={CODECS[codec]}",
            *([f"video_codecs={video}"] if video else []),
            *([f"mediaenc={encryption}"] if encryption else []),
            *(["answermode=auto"] if auto_answer else []),
        ]
        for name, lines in (("config", config), ("accounts", [";".join(account)]), ("contacts", [])):
            (self._directory / name).write_text("\n".join([*lines, ""]))

    def _camera(self, clip: picture.Clip) -> Iterator[str]:
        """Of its configuration. In 1.0.0 what fakevideo displays goes nowhere, but snapshot.so sees it."""
        need("ffmpeg", "ffmpeg baresip-ffmpeg")
        played = clip.write(self._directory / "clip.mp4")
        yield from (f"video_source avformat,{played}", "video_display fakevideo,nil", "videnc_format yuv420p")
        yield from (f"video_size {clip.width}x{clip.height}", f"video_fps {picture.RATE}", "video_fullscreen no")
        yield from (f"video_bitrate {CAMERA_BITS}", "avcodec_h264enc libx264", "avcodec_h264dec h264")
        for module in ("avcodec", "vp8", "vp9", "avformat", "fakevideo", "snapshot"):
            yield f"module {module}.so"

    def __enter__(self) -> Self:
        command = ["baresip", "-4", "-n", "127.0.0.1", "-s", "-f", str(self._directory)]
        self.process = Process(command, self._directory / "log")
        self.process.expect("baresip is ready")
        self._control = _Control(self._control_port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._control.close()
        super().__exit__(kind, error, trace)

    def dial(self, uri: str) -> None:
        # It adds the transport of its account.
        self.ask("dial", uri)

    def call(self, uri: str) -> None:
        """Dial, and wait until it is answered."""
        self.dial(uri)
        self.await_event("CALL_ESTABLISHED")

    def hangup(self) -> None:
        self.ask("hangup")

    def hold(self) -> None:
        self.ask("hold")

    def resume(self) -> None:
        self.ask("resume")

    def mute(self) -> None:
        """Or no longer."""
        self.ask("mute")

    def transfer(self, uri: str) -> None:
        """Blind, by REFER."""
        self.ask("transfer", uri)

    def press(self, keys: str) -> None:
        """RFC 4733; a tenth of a second each, and a pause."""
        for key in keys:
            self.ask("sndcode", key)
            time.sleep(0.15)
            # "sndcode" alone ends the tone.
            self.ask("sndcode", "\x04")
            time.sleep(0.15)

    def ask(self, command: str, parameters: str = "") -> str:
        return self._control.ask(command, parameters)

    def await_event(self, kind: str, seconds: float = 10.0) -> dict[str, Any]:
        """The next such event that was not yet asked for."""
        with self._noted():
            return self._control.await_event(kind, seconds)

    def saw(self, kind: str) -> bool:
        """Such an event has come (it stays to be awaited)."""
        return self._control.saw(kind)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            error.add_note(f"--- {self.process.log}\n{self.process.text[-4000:]}")
            raise

    def show(self, direction: Literal["sendrecv", "recvonly", "sendonly", "inactive"]) -> None:
        """Turn the camera or the screen off or on (re-INVITE)."""
        self.ask("video_dir", direction)

    def sees(self) -> picture.Seen:
        """The next picture that comes in."""
        path = self._directory / f"seen{next(self._pictures)}.png"
        self.ask("snapshot_recv", str(path))

        def whole() -> picture.Seen | None:
            with contextlib.suppress(FFmpegError, OSError):
                return picture.Seen.read(path)
            return None

        with self._noted():
            return until(whole, f"a picture at {self.user}")

    def recorded(self) -> spectrum.Sound:
        """All that came in in the call that was recorded last."""
        return spectrum.read(until(self._recording, f"a recording of {self.user}"))

    def _recording(self) -> Path | None:
        found = sorted(self._directory.glob("dump-*-dec.wav"), key=lambda path: path.stat().st_mtime_ns)
        return found[-1] if found else None

    def heard(self, seconds: float, limit: float = 15.0) -> spectrum.Sound:
        """The next ``seconds`` that come in, from now on."""
        path = until(self._recording, f"a recording of {self.user}")
        start = spectrum.size(path)

        def enough() -> spectrum.Sound | None:
            newest = self._recording()
            assert newest is not None
            sound = spectrum.read(newest, start=start if newest == path else 0)
            return sound if sound.seconds >= seconds else None

        with self._noted():
            return until(enough, f"{seconds:g} s of sound at {self.user}", limit + seconds)

    def listen(self, seconds: float) -> spectrum.Sound:
        """What comes in in ``seconds`` by the clock: less than that, or nothing, if packets stay away."""
        path = until(self._recording, f"a recording of {self.user}")
        start = spectrum.size(path)
        time.sleep(seconds)
        newest = self._recording()
        assert newest is not None
        return spectrum.read(newest, start=start if newest == path else 0)


class _Control:
    """ctrl_tcp: netstrings of JSON, answers and events mixed."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5)
        self._buffer, self._events = b"", list[dict[str, Any]]()
        self._answers: list[dict[str, Any]] = []

    def close(self) -> None:
        self._socket.close()

    def ask(self, command: str, parameters: str) -> str:
        body = json.dumps({"command": command, "params": parameters, "token": command}).encode()
        self._socket.sendall(b"%d:%s," % (len(body), body))
        until(lambda: self._read() or self._answers, f"baresip's answer to {command}", 5.0)
        answer = self._answers.pop(0)
        return str(answer.get("data", ""))

    def await_event(self, kind: str, seconds: float) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            self._read()
            event = next((event for event in self._events if event.get("type") == kind), None)
            if event is not None:
                self._events.remove(event)
            return event

        event = until(found, f"{kind}; there were {[event.get('type') for event in self._events]}", seconds)
        assert event is not None
        return event

    def saw(self, kind: str) -> bool:
        self._read()
        return any(event.get("type") == kind for event in self._events)

    def _read(self) -> None:
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while data := self._socket.recv(65536):
                self._buffer += data
        self._socket.setblocking(True)
        while b":" in self._buffer:
            length, _, rest = self._buffer.partition(b":")
            if len(rest) <= int(length):
                return
            message = json.loads(rest[: int(length)].decode("utf-8", "replace"), strict=False)
            (self._answers if message.get("response") else self._events).append(message)
            self._buffer = rest[int(length) + 1 :]


class Linphone(Phone):
    """linphonec 5.1, told by its standard input. It plays a WAV and records another."""

    def __init__(
        self,
        directory: Path,
        *,
        tone: int,
        encryption: Literal["none", "srtp", "dtls"] = "none",
        seconds: float = 60.0,
        camera: bool = False,
    ) -> None:
        """``camera``: it sends VP8 of a still picture (it has no display, so it takes none in)."""
        need("linphonec", "linphone-cli")
        self.tone, self._camera = tone, camera
        self._directory = directory / f"linphone{tone}"
        # It wants this to be there.
        (self._directory / "home/.local/share/linphone").mkdir(parents=True)
        self.port, media, video = free_ports(2), free_ports(4), free_ports(4)
        self._played = spectrum.write_tone(self._directory / "played.wav", tone, seconds)
        self._heard = self._directory / "heard.wav"
        sections = {
            "sip": {
                "sip_port": self.port,
                "sip_tcp_port": 0,
                "sip_tls_port": 0,
                "media_encryption": encryption,
                "default_proxy": -1,
                "guess_hostname": 0,
                "contact": f'"lp" <sip:lp@127.0.0.1:{self.port}>',
                # Without these it looks for the Internet first, and for IPv6.
                "register_only_when_network_is_up": 0,
                "auto_net_state_mon": 0,
                "ping_with_options": 0,
                "use_ipv6": 0,
                "ipv6_migration_done": 1,
                "bind_address": "127.0.0.1",
            },
            "rtp": {"bind_address": "127.0.0.1", "audio_rtp_port": media},
            "net": {"mtu": 1300, "dns_srv_enabled": 0, "dns_search_enabled": 0},
            "sound": {"echocancellation": 0},
            "video": {"capture": 0, "display": 0},
        }
        if camera:
            sections["rtp"]["video_rtp_port"] = video
            sections["video"] = {
                "capture": 1,
                "display": 0,
                "automatically_initiate": 1,
                "automatically_accept": 1,
                "size": "qvga",
                "device": "StaticImage: Static picture",
            }
        lines = [
            line
            for name, section in sections.items()
            for line in (f"[{name}]", *(f"{key}={value}" for key, value in section.items()))
        ]
        (self._directory / "rc").write_text("\n".join([*lines, ""]))

    def __enter__(self) -> Self:
        command = ["linphonec", *(["-C"] if self._camera else []), "-b", "/dev/null", "-c", str(self._directory / "rc")]
        home = {"HOME": str(self._directory / "home")}
        self.process = Process(command, self._directory / "log", env=home, stdin=True)
        self.process.expect("linphonec>")
        for line in ("soundcard use files", f"play {self._played}", f"record {self._heard}"):
            self.process.write(line)
            time.sleep(0.3)
        return self

    def call(self, uri: str) -> None:
        self.process.write(f"call {uri}")
        self.process.expect("connected", 15.0)

    def press(self, keys: str) -> None:
        for key in keys:
            self.process.write(key)
            time.sleep(0.5)

    def pause(self) -> None:
        """Hold."""
        self.process.write("pause")
        self.process.expect("paused")

    def resume(self) -> None:
        self.process.write("resume")
        self.process.expect("Resuming")

    def hangup(self) -> spectrum.Sound:
        """The whole of what it heard: its recording reaches the disk when the call is over."""
        self.process.write("terminate")
        self.process.expect("ended")
        self.process.write("quit")
        self.process.wait()
        return spectrum.read(self._heard)


class PyVoip(Phone):
    """pyVoIP 1.6.8 in a process of its own (:mod:`.pyvoip_phone`): registers, calls, sends a tone, records."""

    def __init__(self, directory: Path, *, tone: int, registrar_port: int, number: str, seconds: float) -> None:
        self.tone = tone
        self._heard = directory / f"pyvoip{tone}.wav"
        self._log = directory / f"pyvoip{tone}.log"
        media = free_ports(12)
        self._command = [
            *(sys.executable, "-W", "ignore", str(Path(__file__).with_name("pyvoip_phone.py"))),
            *(str(registrar_port), str(free_ports(2)), str(media), str(media + 10)),
            *(ACCOUNT, number, str(tone), str(seconds), str(self._heard)),
        ]

    def __enter__(self) -> Self:
        self.process = Process(self._command, self._log)
        return self

    def await_answer(self) -> None:
        self.process.expect("answered", 15.0)

    def heard(self) -> spectrum.Sound:
        """Its whole call, once that is over."""
        self.process.expect("recorded", 40.0)
        return spectrum.read(self._heard)


class Sipp(Phone):
    """sipp 3.6.1 with a scenario of tests/interop/sipp; success is exit status 0."""

    def __init__(
        self,
        directory: Path,
        scenario: str,
        port: int,
        *,
        service: str = "demo",
        transport: Literal["udp", "tcp"] = "udp",
        calls: int = 1,
        rate: float = 10.0,
        tone: int = 0,
        limit: float = 60.0,
    ) -> None:
        need("sipp", "sip-tester")
        name = f"sipp-{Path(scenario).stem}-{free_ports(2)}"
        self._log, self._limit = directory / f"{name}.log", limit
        self._directory = directory
        media = free_ports(4)
        if tone:
            # The scenario's rtp_stream takes no keyword, so the name is fixed: one a directory.
            spectrum.write_ulaw(directory / "tone.ul", tone, 10.0)
        self._command = [
            *("sipp", f"127.0.0.1:{port}", "-sf", str(SCENARIOS / scenario), "-s", service),
            *("-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", str(free_ports(2)), "-mp", str(media)),
            *("-t", {"udp": "u1", "tcp": "t1"}[transport], "-nostdin", "-trace_err", "-error_file", f"{name}.err"),
            *("-m", str(calls), "-r", f"{rate:g}", "-timeout", f"{limit:g}s"),
        ]
        self._errors = directory / f"{name}.err"

    def __enter__(self) -> Self:
        self.process = Process(self._command, self._log, limit=self._limit + 5, cwd=self._directory)
        return self

    def finish(self) -> None:
        """Wait for the end of the scenario, and see that all went as it says."""
        status = self.process.wait(self._limit)
        errors = self._errors.read_text("utf-8", "replace") if self._errors.exists() else ""
        assert status == 0, f"sipp ended with {status}\n{errors[:3000]}\n{self.process.text[-1500:]}"
