"""All settings: one TOML file, the environment, flags; every one optional.

Each section is frozen and stands beside its documentation: ``docs/configuration.md`` is generated from here
(:mod:`.reference`).
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from bridge.io import Listener

from .words import line, translated


class Section(BaseModel):
    """A frozen part of the settings; a key that nobody knows is an error, not a surprise."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Account(Section):
    """Somebody who may register and, where authentication is required, call."""

    user: str = Field(description="user part of the address of record")
    password: str = Field(description="digest password (RFC 8760)", repr=False)


class Provider(Section):
    """A SIP provider that we register with."""

    registrar: str = Field(description="its registrar, as in `sip:provider.example`")
    user: str = Field(
        description="our user there. Calls from there come for it: give a room that name or number, or put it among "
        "`[rooms] entries`"
    )
    password: str = Field(default="", description="our password there", repr=False)
    expires: int = Field(default=600, ge=60, description="seconds asked for")


class Sip(Section):
    """SIP signalling."""

    listen: tuple[str, ...] = Field(
        default=("udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"),
        description="listeners, as in `udp:127.0.0.1:5060`, `tcp:[::]:5060`, `tls:0.0.0.0:5061`",
    )
    address: str = Field(
        default="",
        description="the address we tell peers (Contact, SDP); empty: that of the listener, or the one that reaches "
        "the peer where a listener is on all; behind NAT: the public one",
    )
    domains: tuple[str, ...] = Field(default=(), description="domains that are ours besides our addresses")
    tls_certificate: str = Field(default="", description="PEM file: certificate chain (and key, unless `tls_key`)")
    tls_key: str = Field(default="", description="PEM file: private key")
    tls_authorities: str = Field(default="", description="PEM file of authorities for connections that we open")
    tls_verify: bool = Field(default=True, description="check the certificate of whom we call by TLS")
    realm: str = Field(default="visiopont", description="digest realm")
    require_authentication: bool = Field(default=False, description="callers must be one of `accounts`")
    accounts: tuple[Account, ...] = Field(default=(), description="who may register (`[[sip.accounts]]`)")
    providers: tuple[Provider, ...] = Field(default=(), description="where we register (`[[sip.providers]]`)")
    max_calls: int = Field(default=4000, ge=1, description="calls at once; the next one gets 503 with Retry-After")
    calls_per_second: int = Field(default=200, ge=1, description="new calls a second; likewise")
    session_expires: int = Field(default=1800, ge=90, description="session timer in seconds (RFC 4028)")

    @model_validator(mode="after")
    def _somebody(self) -> Sip:
        if self.require_authentication and not self.accounts:
            raise ValueError("require_authentication without accounts lets nobody call: add [[sip.accounts]]")
        return self

    @field_validator("accounts")
    @classmethod
    def _distinct(cls, value: tuple[Account, ...]) -> tuple[Account, ...]:
        users = [account.user for account in value]
        twice = sorted({user for user in users if users.count(user) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: there twice")
        return value

    @field_validator("listen")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            Listener.parse(text)
        return value


class Media(Section):
    """Sound."""

    host: str = Field(
        default="",
        description="address of the media sockets; empty: that of the SIP listeners if they share one, else all",
    )
    ports: str = Field(default="16000-16255", description="UDP port range; each pair serves many callers")
    workers: int = Field(default=1, ge=1, le=256, description="media processes, one a core")
    streams: int = Field(default=4096, ge=16, le=16384, description="streams that one worker holds")
    codecs: tuple[str, ...] = Field(
        default=("opus", "G722", "PCMU", "PCMA", "L16/48000", "L16/16000"), description="what we speak, best first"
    )
    srtp: Literal["off", "offered", "required"] = Field(
        default="offered", description="SDES (RFC 4568): accepted and offered, or demanded"
    )
    silence_timeout: float = Field(
        default=60.0, ge=5.0, description="seconds without a packet after which a call that is not on hold is ended"
    )
    loudest: int = Field(default=8, ge=1, le=64, description="voices mixed at once in a large room")
    agc: bool = Field(default=False, description="level everybody's voice")

    @field_validator("ports")
    @classmethod
    def _range(cls, value: str) -> str:
        parse_ports(value)
        return value


class Video(Section):
    """Pictures."""

    enabled: bool = Field(default=True, description="calls have pictures; without, no video process is started")
    ports: str = Field(default="17000-17255", description="UDP port range of its own; each pair serves many callers")
    workers: int = Field(default=1, ge=1, le=256, description="video processes, each with threads of its own")
    streams: int = Field(default=512, ge=8, le=16384, description="pictures that one process takes in and sends")
    codecs: tuple[str, ...] = Field(
        default=("H264", "VP8", "VP9", "H265", "H263-1998", "H263-2000", "H263", "H261"),
        description="what we take in, best first; VP9 and H265 are received only",
    )
    max_height: Literal[1080, 720, 360] = Field(
        default=720, description="lines of the largest picture that we take from anybody (16:9)"
    )
    max_bitrate: int = Field(
        default=2_000_000, ge=64_000, le=50_000_000, description="bit/s that we take from one picture at most"
    )
    send_bitrate: int = Field(
        default=0, ge=0, le=50_000_000, description="bit/s that one receiver is sent at most; 0: what its size needs"
    )
    presentation: bool = Field(
        default=True, description="a second picture for what is shown (`a=content:slides`), with BFCP"
    )
    bfcp_port: int = Field(
        default=5070, ge=0, le=65535, description="UDP and TCP port of floor control (RFC 8855); 0: any"
    )

    @field_validator("ports")
    @classmethod
    def _range(cls, value: str) -> str:
        parse_ports(value)
        return value


class Webrtc(Section):
    """Browsers."""

    enabled: bool = Field(default=True, description="browsers, and phones that key their media by DTLS, can call")
    port: int = Field(
        default=18000,
        ge=1024,
        le=65535,
        description="UDP port of browsers' sound and pictures, both on one; the second worker has the next, and so on",
    )
    address: str = Field(
        default="",
        description="what browsers are told to send to, where a NAT is between; empty: the address that they called",
    )
    tcp_port: int = Field(
        default=18000,
        ge=0,
        le=65535,
        description="TCP port for browsers whose networks let no UDP through; the second worker has the next, and so "
        "on; 443 passes most firewalls; 0: none",
    )
    tiles: int = Field(
        default=9,
        ge=0,
        le=16,
        description="others' pictures, each by itself as its sender made it, that a page may show at once; 0: none but "
        "the room's one",
    )
    turn: tuple[str, ...] = Field(
        default=(),
        description="relays for browsers whose networks let nothing else through, as in "
        "`turns:turn.example.org:443?transport=tcp`; `stun:` too",
    )
    turn_secret: str = Field(
        default="", description="what the relays share with us (coturn's `static-auth-secret`)", repr=False
    )

    @model_validator(mode="after")
    def _relays(self) -> Webrtc:
        for text in self.turn:
            if not text.startswith(("turn:", "turns:", "stun:", "stuns:")):
                raise ValueError(f"{text!r}: begin with turn:, turns: or stun:, as in turn:turn.example.org:3478")
        if not self.turn_secret and any(text.startswith("turn") for text in self.turn):
            raise ValueError("turn without turn_secret lets nobody in: set what coturn has as static-auth-secret")
        return self

    @field_validator("address")
    @classmethod
    def _numeric(cls, value: str) -> str:
        if value:
            ipaddress.ip_address(value)
        return value


class Rooms(Section):
    """Conference rooms."""

    ad_hoc: bool = Field(
        default=True,
        description="dialling a name, or keying a number at an entry, that is no room's opens one; off: such calls get "
        "404, and such numbers are said to be wrong",
    )
    language: Literal["fr-CA", "en-CA"] = Field(default="fr-CA", description="language of the prompts")
    prompts: tuple[str, ...] = Field(
        default=(),
        description="directories with better recordings, looked through before the built-in ones; Debian's "
        "asterisk-core-sounds-fr and -en are such: `/usr/share/asterisk/sounds`",
    )
    refer: Literal["nobody", "hosts", "participants"] = Field(
        default="hosts", description="who may have us call somebody into a room by REFER: it may cost money"
    )
    capacity: int = Field(default=3000, ge=2, description="participants in a room that does not say")
    limit: int = Field(default=2000, ge=1, description="rooms at once")
    entries: dict[str, Literal["", "fr-CA", "en-CA"]] = Field(
        default={"accueil": "fr-CA", "reception": "en-CA", "conference": ""},
        description="user parts that ask for a room number, and the language they speak; empty: the caller chooses",
    )


class Http(Section):
    """Browsers' page and sockets; HTTP API and metrics."""

    listen: str = Field(
        default="127.0.0.1:8080",
        description="address and port; empty: no HTTP. Browsers give camera and microphone to pages by HTTPS only, but "
        "for those of their own machine",
    )
    expose: bool = Field(
        default=False,
        description="let other machines use the API too, where `listen` is more than this one. There is no "
        "authentication yet: whoever reaches it governs every room. Pages and calls need it not",
    )
    tls_certificate: str = Field(
        default="", description="PEM file: certificate chain (and key, unless `tls_key`): HTTPS and WSS"
    )
    tls_key: str = Field(default="", description="PEM file: private key")
    public_url: str = Field(
        default="",
        description="what links begin with, as in `https://meet.example.org`; empty: what `listen` says. To be set "
        "where a proxy is in front, which is to pass `/r/`, `/client/` and `/sip` on, and nothing else",
    )
    origins: tuple[str, ...] = Field(
        default=(), description="other sites whose pages may call here, as in `https://intranet.example.org`"
    )

    @field_validator("listen")
    @classmethod
    def _readable(cls, value: str) -> str:
        if value:
            parse_address(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and not is_origin(value.rstrip("/")):
            raise ValueError(f"{value!r}: write scheme and host, as in https://meet.example.org")
        return value.rstrip("/")

    @field_validator("origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not is_origin(text):
                raise ValueError(f"{text!r}: write scheme and host, as in https://meet.example.org")
        return value


class Storage(Section):
    """What is kept."""

    data: Path = Field(default=Path("data"), description="directory for the database and recorded names")
    url: str = Field(default="", description="SQLAlchemy URL of the database; empty: SQLite in `data`", repr=False)


class Log(Section):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="the least that is logged")
    json_lines: bool = Field(default=False, description="one JSON object a line")


def parse_address(text: str) -> tuple[str, int]:
    """``127.0.0.1:8080`` or ``[::1]:8080`` as host and port; port 0 asks for any.

    Raises:
        ValueError: says how to write it.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r}: write an address and a port, as in 127.0.0.1:8080 or [::1]:8080")
    return host, int(port)


def is_origin(text: str) -> bool:
    """Scheme, host and perhaps a port, nothing more (RFC 6454 §6.1)."""
    return re.fullmatch(r"https?://(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?", text, re.ASCII) is not None


def is_loopback(host: str) -> bool:
    """Reaches nobody but this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_ports(text: str) -> range:
    """``16000-16255`` as a range.

    Raises:
        ValueError: says how to write it.
    """
    first, _, last = text.partition("-")
    if not (first.isdigit() and last.isdigit() and 1024 <= int(first) < int(last) <= 65535):
        raise ValueError(f"{text!r}: write two port numbers from 1024 to 65535, as in 16000-16255")
    return range(int(first), int(last) + 1)


class Settings(BaseSettings):
    """Everything; :func:`load` finds it. In the environment ``VISIOPONT_SIP__ADDRESS`` is ``[sip] address``."""

    model_config = SettingsConfigDict(env_prefix="VISIOPONT_", env_nested_delimiter="__", frozen=True, extra="forbid")

    sip: Sip = Sip()
    media: Media = Media()
    video: Video = Video()
    webrtc: Webrtc = Webrtc()
    rooms: Rooms = Rooms()
    http: Http = Http()
    storage: Storage = Storage()
    log: Log = Log()

    @model_validator(mode="after")
    def _apart(self) -> Settings:
        sound, pictures = parse_ports(self.media.ports), parse_ports(self.video.ports)
        if self.video.enabled and sound.start < pictures.stop and pictures.start < sound.stop:
            raise ValueError(
                f"[media] ports {self.media.ports} and [video] ports {self.video.ports} overlap: give each a range of "
                "its own"
            )
        for name, taken in (("media", sound), ("video", pictures)):
            if self.webrtc.enabled and not {*self.bundle_ports}.isdisjoint(taken):
                raise ValueError(f"[webrtc] port {self.webrtc.port} lies in [{name}] ports: give it one of its own")
        return self

    @property
    def bundle_ports(self) -> range:
        """Browsers' ports, one a media worker."""
        return range(self.webrtc.port, self.webrtc.port + self.media.workers)

    @property
    def bundle_tcp_ports(self) -> range:
        """Browsers' TCP ports, one a media worker; empty: none."""
        first = self.webrtc.tcp_port
        return range(first, first + self.media.workers if first else first)

    room: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="`[room.NAME]` sections: rooms that are there from the start"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load(file: Path | None, flags: dict[str, Any]) -> Settings:
    """Flags over environment over file over defaults.

    Args:
        file: the TOML file; None: ``visiopont.toml`` in the working directory, if it is there.
        flags: ``{"sip": {"listen": (...)}}``: what the command line says.

    Raises:
        pydantic.ValidationError: with every fault, not only the first.
        ValueError: the file is no TOML, or a list in the environment no JSON.
        FileNotFoundError: ``file`` was named and is not there.
    """
    if file is not None and not file.is_file():
        raise FileNotFoundError(f"{file}: there is no such settings file")
    found = file or Path("visiopont.toml")

    class Sources(Settings):
        model_config = SettingsConfigDict(toml_file=found)

    try:
        return Sources(**flags)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{found}: {error}") from None
    except SettingsError as error:
        names = ", ".join(_not_json(os.environ)) or str(error)
        example = """VISIOPONT_SIP__LISTEN='["udp:0.0.0.0:5060"]'"""
        raise ValueError(f"{names}: write lists as JSON there, as in {example}") from None


def _not_json(environment: Mapping[str, str]) -> Iterator[str]:
    """The variables for lists and tables that pydantic could not read."""
    for name, value in environment.items():
        prefix, _, key = name.upper().partition("_")
        *sections, last = key.lower().split("__")
        model = _model(sections)
        field = model.model_fields.get(last) if prefix == "VISIOPONT" and model is not None else None
        if field is not None and (not sections or get_origin(field.annotation) in (tuple, dict)):
            try:
                json.loads(value)
            except ValueError:
                yield name


def faults(error: ValidationError) -> Iterator[str]:
    """Every fault as a line that names the key and says, in the terminal's language, what to write."""
    for fault in error.errors():
        path = [str(part) for part in fault["loc"]]
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(path[-1], _keys(path[:-1]), 1)
            message = "there is no such key" + (f"; did you mean {near[0]!r}?" if near else "")
        yield line(_dotted(path), translated(message))


def _dotted(path: list[str]) -> str:
    """``[sip] listen``, as one finds it in the file."""
    return f"[{path[0]}] {'.'.join(path[1:])}".strip() if path else "settings"


def _keys(path: list[str]) -> list[str]:
    """The keys that a section has."""
    model = _model(path)
    return list(model.model_fields) if model is not None else []


def _model(path: list[str]) -> type[BaseModel] | None:
    """What describes a section."""
    model: Any = Settings
    for part in path:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is not None:
            model = field.annotation
        for inner in getattr(model, "__args__", ()):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None
