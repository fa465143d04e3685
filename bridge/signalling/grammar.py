"""The parts of SIP messages by the grammar (RFC 3261 §25): URIs, addresses, Via, CSeq. Text in, frozen values out.

Every ``parse`` raises :class:`ParseError` and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

KEPT_ADDRESSES = 2048
"""From, To and Contact values kept as read: all messages of a call have the same ones."""
KEPT_LENGTH = 300
"""Characters of such a value; longer ones are read each time, so that what is kept stays small."""
LONGEST_NUMBER = 40
"""Digits: 2**32 has ten, and zeros may stand before them (§25.1)."""
TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+\Z")
_NO_URI = re.compile(r'[ <>"\t\r\n]')
_HOP = re.compile(r"\s*SIP\s*/\s*\d+\.\d+\s*/\s*([A-Za-z0-9\-.!%*_+`'~]+)\s+(.+)\Z", re.IGNORECASE | re.DOTALL)
_COLON = re.compile(r"\s*:\s*")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-_.]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]+\])\Z")


class ParseError(ValueError):
    """A part of a message is not as the grammar has it."""


def is_number(text: str, limit: int) -> bool:
    """Plain digits that say less than ``limit``. Python reads no number of thousands of digits: :class:`int` raises."""
    return len(text) <= LONGEST_NUMBER and text.isascii() and text.isdigit() and int(text) < limit


def split(value: str, separator: str = ",") -> list[str]:
    """Cut at separators that stand outside quotes and angle brackets."""
    if separator not in value:
        return [value.strip()] if value.strip() else []
    if '"' not in value and "<" not in value:
        return [part for part in map(str.strip, value.split(separator)) if part]
    parts, start, quoted, angle, skip = [], 0, False, False, False
    for n, char in enumerate(value):
        if skip:
            skip = False
        elif quoted:
            skip = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char == "<":
            angle = True
        elif char == ">":
            angle = False
        elif char == separator and not angle:
            parts.append(value[start:n])
            start = n + 1
    parts.append(value[start:])
    return [part for part in map(str.strip, parts) if part]


def parameters_of(text: str) -> tuple[tuple[str, str | None], ...]:
    """``;a=1;b`` as pairs, names in lower case, quotes taken off."""
    if not text:
        return ()
    found: list[tuple[str, str | None]] = []
    for part in split(text, ";"):
        name, equals, value = part.partition("=")
        name, value = name.strip().lower(), value.strip()
        if not TOKEN.match(name):
            raise ParseError(f"no parameter name: {name[:40]!r}")
        if value.startswith('"'):
            value = _unquote(value)
        found.append((name, value if equals else None))
    return tuple(found)


def _unquote(text: str) -> str:
    if len(text) < 2 or not text.endswith('"'):
        raise ParseError("a quote that does not end")
    return re.sub(r"\\(.)", r"\1", text[1:-1])


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI (§19.1.1): sip, sips and tel in their parts; of any other only the scheme, the rest in ``host``."""

    scheme: str
    user: str | None
    host: str
    port: int | None = None
    parameters: tuple[tuple[str, str | None], ...] = ()
    headers: str = ""
    """Behind ``?``, as it stands."""
    text: str = field(default="", compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Raises :class:`ParseError`."""
        match = _SCHEME.match(text)
        if match is None or _NO_URI.search(text):
            raise ParseError(f"no URI: {text[:60]!r}")
        scheme, rest = match[1].lower(), text[match.end() :]
        if scheme == "tel":
            number, _, parameters = rest.partition(";")
            return cls(scheme, number, "", None, parameters_of(parameters), "", text)
        if scheme not in ("sip", "sips"):
            return cls(scheme, None, rest, text=text)
        # A user may hold ; ? / so the last @ before anything else decides (§25.1).
        user: str | None = None
        if "@" in rest:
            user, _, rest = rest.rpartition("@")
            user = user.partition(":")[0] if ":" in user else user
            if not user:
                raise ParseError("an empty user")
        rest, _, headers = rest.partition("?")
        hostport, _, parameters = rest.partition(";")
        host, port = _host_port(hostport)
        return cls(scheme, user, host, port, parameters_of(parameters), headers, text)

    def parameter(self, name: str) -> str | None:
        """A parameter's value, "" if it has none, None if it is not there."""
        return next((value or "" for key, value in self.parameters if key == name), None)

    def __str__(self) -> str:
        return self.text or self._built()

    def _built(self) -> str:
        at = f"{self.user}@" if self.user is not None and self.scheme != "tel" else self.user or ""
        port = f":{self.port}" if self.port is not None else ""
        parameters = "".join(f";{name}" + (f"={value}" if value is not None else "") for name, value in self.parameters)
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{at}{self.host}{port}{parameters}{headers}"


def _host_port(text: str) -> tuple[str, int | None]:
    text = text.strip()
    host, colon, port = (text, "", "") if text.endswith("]") else text.rpartition(":")
    if not colon:
        host, port = text, ""
    host, port = host.strip(), port.strip()
    if not _HOST.match(host) or (colon and not is_number(port, 1 << 16)):
        raise ParseError(f"no host and port: {text[:60]!r}")
    return host, int(port) if port else None


@dataclass(frozen=True, slots=True)
class NameAddr:
    """From, To, Contact and their like (§20.10)."""

    uri: Uri
    display: str = ""
    parameters: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Raises :class:`ParseError`."""
        text = text.strip()
        display, rest = "", text
        if text.startswith('"'):
            end = _end_of_quote(text)
            display, rest = _unquote(text[:end]), text[end:].lstrip()
            if not rest.startswith("<"):
                raise ParseError("a display name without <URI>")
        if "<" in rest:
            before, _, rest = rest.partition("<")
            display = display or " ".join(before.split())
            if any(not TOKEN.match(word) for word in before.split()):
                raise ParseError(f"a display name that must be quoted: {before[:40]!r}")
            inside, closed, after = rest.partition(">")
            after = after.strip()
            if not closed or (after and not after.startswith(";")):
                raise ParseError("angle brackets that do not match")
            return cls(Uri.parse(inside), display, parameters_of(after))
        # Without brackets parameters are the header field's, not the URI's (§20).
        inside, _, after = rest.partition(";")
        if "?" in inside or "," in inside:
            raise ParseError("a URI with ? or , needs angle brackets")
        return cls(Uri.parse(inside.strip()), "", parameters_of(after))

    def parameter(self, name: str) -> str | None:
        return next((value or "" for key, value in self.parameters if key == name), None)

    @property
    def tag(self) -> str | None:
        return self.parameter("tag") or None

    @property
    def quality(self) -> float:
        """The ``q`` of a Contact, 1.0 if there is none (§8.1.3.4)."""
        try:
            return min(max(float(self.parameter("q") or 1.0), 0.0), 1.0)
        except ValueError:
            return 0.0


_kept = lru_cache(maxsize=KEPT_ADDRESSES)(NameAddr.parse)


def address(text: str) -> NameAddr:
    """:meth:`NameAddr.parse`, once for what comes again. Raises :class:`ParseError`."""
    return _kept(text) if len(text) <= KEPT_LENGTH else NameAddr.parse(text)


def _end_of_quote(text: str) -> int:
    skip = False
    for n in range(1, len(text)):
        if skip:
            skip = False
        elif text[n] == "\\":
            skip = True
        elif text[n] == '"':
            return n + 1
    raise ParseError("a quote that does not end")


@dataclass(frozen=True, slots=True)
class Via:
    """One hop (§20.42). Any version passes: whoever speaks another is to be told 505 on this way."""

    transport: str
    host: str
    port: int | None
    parameters: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Via:
        """Raises :class:`ParseError`."""
        protocol, _, parameters = text.partition(";")
        match = _HOP.match(protocol)
        if match is None:
            raise ParseError(f"no Via: {text[:60]!r}")
        place = match[2].strip()
        host, port = _host_port(place if place.startswith("[") else _COLON.sub(":", place))
        return cls(match[1].upper(), host, port, parameters_of(parameters))

    def parameter(self, name: str) -> str | None:
        return next((value or "" for key, value in self.parameters if key == name), None)

    @property
    def branch(self) -> str:
        return self.parameter("branch") or ""

    def __str__(self) -> str:
        port = f":{self.port}" if self.port is not None else ""
        parameters = "".join(f";{name}" + (f"={value}" if value is not None else "") for name, value in self.parameters)
        return f"SIP/2.0/{self.transport} {self.host}{port}{parameters}"


@dataclass(frozen=True, slots=True)
class CSeq:
    number: int
    method: str
