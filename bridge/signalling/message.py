"""SIP messages (RFC 3261 §7, §25): parsed once into start line, header fields and body, typed views made on access.

:func:`parse` is the one door for bytes from the network. It raises :class:`MalformedMessage` and nothing else, with as
much of the message as could be read, so that the sender can be told 400. Folded lines, compact names, white space
around colons and quoted commas are all as the grammar has them.

sipmessage (PyPI) was tried for this: it rejects folded header fields and any Request-URI that is not sip, sips or tel
(which must be 416), checks no Content-Length, and raises shared exception instances whose tracebacks grow. Guarding
all of that came to more code than the parts of the grammar that a user agent reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

MAX_HEADERS = 256
"""Header fields of a message: more is no phone's, and each costs time."""
MAX_SIZE = 65536
COMPACT = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "e": "Content-Encoding", "f": "From",
    "i": "Call-ID", "k": "Supported", "l": "Content-Length", "m": "Contact", "o": "Event", "r": "Refer-To",
    "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires",
}  # fmt: skip
"""§7.3.3, §20, RFC 6665, RFC 3515, RFC 4028."""
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+\Z")
_FOLD = re.compile(r"\r?\n[ \t]+")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-_.]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]+\])\Z")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_ONCE = ("from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type", "expires")
_REASONS = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
    200: "OK", 202: "Accepted", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily",
    305: "Use Proxy", 380: "Alternative Service", 400: "Bad Request", 401: "Unauthorized", 402: "Payment Required",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone", 413: "Request Entity Too Large",
    414: "Request-URI Too Long", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension",
    421: "Extension Required", 422: "Session Interval Too Small", 423: "Interval Too Brief",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected",
    483: "Too Many Hops", 484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated",
    488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending", 493: "Undecipherable",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large", 600: "Busy Everywhere",
    603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip


class ParseError(ValueError):
    """A part of a message is not as the grammar has it."""


class MalformedMessage(ParseError):
    """Bytes that are no usable SIP message."""

    def __init__(self, reason: str, status: int = 400, request: Request | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        """What the sender is to be told: 400 or 505."""
        self.request = request
        """The request, if enough of it could be read for a response; None: nothing can be answered."""


# ------------------------------------------------------------------------------------------------ parts


def reason_phrase(status: int) -> str:
    return _REASONS.get(status, _REASONS.get(status // 100 * 100, "Unknown"))


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


def _parameters(text: str) -> tuple[tuple[str, str | None], ...]:
    """``;a=1;b`` as pairs, names in lower case, quotes taken off."""
    found: list[tuple[str, str | None]] = []
    for part in split(text, ";"):
        name, equals, value = part.partition("=")
        name, value = name.strip().lower(), value.strip()
        if not _TOKEN.match(name):
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
        if match is None or any(char in text for char in ' <>"\t\r\n'):
            raise ParseError(f"no URI: {text[:60]!r}")
        scheme, rest = match[1].lower(), text[match.end() :]
        if scheme == "tel":
            number, _, parameters = rest.partition(";")
            return cls(scheme, number, "", None, _parameters(parameters), "", text)
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
        return cls(scheme, user, host, port, _parameters(parameters), headers, text)

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
    if not _HOST.match(host) or (colon and not (port.isascii() and port.isdigit() and int(port) < 65536)):
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
            if any(not _TOKEN.match(word) for word in before.split()):
                raise ParseError(f"a display name that must be quoted: {before[:40]!r}")
            inside, closed, after = rest.partition(">")
            after = after.strip()
            if not closed or (after and not after.startswith(";")):
                raise ParseError("angle brackets that do not match")
            return cls(Uri.parse(inside), display, _parameters(after))
        # Without brackets parameters are the header field's, not the URI's (§20).
        inside, _, after = rest.partition(";")
        if "?" in inside or "," in inside:
            raise ParseError("a URI with ? or , needs angle brackets")
        return cls(Uri.parse(inside.strip()), "", _parameters(after))

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
        match = re.match(
            r"\s*SIP\s*/\s*\d+\.\d+\s*/\s*([A-Za-z0-9\-.!%*_+`'~]+)\s+(.+)\Z", protocol, re.IGNORECASE | re.DOTALL
        )
        if match is None:
            raise ParseError(f"no Via: {text[:60]!r}")
        host, port = _host_port(
            re.sub(r"\s*:\s*", ":", match[2].strip()) if not match[2].strip().startswith("[") else match[2]
        )
        return cls(match[1].upper(), host, port, _parameters(parameters))

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


# ---------------------------------------------------------------------------------------------- headers


class Headers:
    """Header fields in their order, names in any case, compact names by their long ones."""

    __slots__ = ("_fields", "_lows")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = [(COMPACT.get(name.lower(), name) if len(name) == 1 else name, value) for name, value in fields]
        self._lows = [name.lower() for name, _ in self._fields]

    def get(self, name: str) -> str | None:
        """The first field's value."""
        low = name.lower()
        return self._fields[self._lows.index(low)][1] if low in self._lows else None

    def getlist(self, name: str) -> list[str]:
        """All values: fields that may be lists (§7.3.1) are cut at their commas."""
        return [part for value in self.raw(name) for part in split(value)]

    def raw(self, name: str) -> list[str]:
        """The fields' values as they stand."""
        low = name.lower()
        if low not in self._lows:
            return []
        return [field[1] for key, field in zip(self._lows, self._fields, strict=True) if key == low]

    def count(self, name: str) -> int:
        """Fields of that name."""
        return self._lows.count(name.lower())

    def items(self) -> list[tuple[str, str]]:
        return list(self._fields)

    def replace_first(self, name: str, value: str) -> None:
        low = name.lower()
        if low in self._lows:
            n = self._lows.index(low)
            self._fields[n] = (self._fields[n][0], value)

    def append(self, name: str, value: str) -> None:
        self._fields.append((name, value))
        self._lows.append(name.lower())

    def prepend(self, name: str, value: str) -> None:
        self._fields.insert(0, (name, value))
        self._lows.insert(0, name.lower())

    def replace(self, name: str, old: str, value: str) -> None:
        """The field whose value stands there as ``old``."""
        low = name.lower()
        for n, (key, (_, found)) in enumerate(zip(self._lows, self._fields, strict=True)):
            if key == low and found == old:
                self._fields[n] = (name, value)
                return

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._lows

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    __hash__ = None  # type: ignore[assignment]


class _Message:
    """What requests and responses have in common. The parser has looked at all mandatory fields once."""

    __slots__ = ("_addresses", "body", "headers")

    def __init__(self, headers: Headers, body: bytes) -> None:
        self.headers = headers
        self.body = body
        self._addresses: dict[str, NameAddr] = {}
        """What was read once, by its text."""

    def _address(self, name: str) -> NameAddr:
        text = self.headers[name]
        found = self._addresses.get(text)
        if found is None:
            found = self._addresses[text] = NameAddr.parse(text)
        return found

    @property
    def call_id(self) -> str:
        return self.headers["Call-ID"]

    @property
    def from_(self) -> NameAddr:
        return self._address("From")

    @property
    def to(self) -> NameAddr:
        return self._address("To")

    @property
    def cseq(self) -> CSeq:
        number, method = self.headers["CSeq"].split(None, 1)
        return CSeq(int(number), method.strip())

    @property
    def via(self) -> Via:
        """The top one."""
        return Via.parse(split(self.headers["Via"])[0])

    @property
    def contacts(self) -> list[NameAddr]:
        """Raises nothing: a Contact that can't be read is left out; ``*`` is none."""
        found = []
        for value in self.headers.getlist("Contact"):
            try:
                found.append(NameAddr.parse(value))
            except ParseError:
                continue
        return found

    @property
    def record_route(self) -> list[str]:
        return self.headers.getlist("Record-Route")

    @property
    def route(self) -> list[str]:
        return self.headers.getlist("Route")

    @property
    def require(self) -> list[str]:
        return self.headers.getlist("Require")

    @property
    def supported(self) -> list[str]:
        return self.headers.getlist("Supported")

    @property
    def content_type(self) -> str:
        """Type and subtype, without parameters; "" if there is none."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].replace(" ", "").lower()

    def _encoded(self, start: str, via: str = "") -> bytes:
        lines = [
            start,
            *([f"Via: {via}"] if via else []),
            *(f"{name}: {value}" for name, value in self.headers if name.lower() != "content-length"),
        ]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


class Request(_Message):
    """A request (§7.1)."""

    __slots__ = ("method", "uri")

    def __init__(self, method: str, uri: Uri, headers: Headers, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri = uri

    @classmethod
    def build(cls, method: str, uri: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> Request:
        """A request of ours. Raises :class:`ParseError` if the URI is none, or a value would break the line."""
        return cls(method, Uri.parse(uri), Headers(_safe(headers)), body)

    def __bytes__(self) -> bytes:
        return self.sent_via("")

    def sent_via(self, via: str) -> bytes:
        """The message with ``via`` on top of its header: as it goes onto the wire."""
        return self._encoded(f"{self.method} {self.uri} SIP/2.0", via)

    def __repr__(self) -> str:
        return f"<{self.method} {self.uri}>"


class Response(_Message):
    """A response (§7.2)."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason

    @classmethod
    def answering(
        cls,
        request: Request,
        status: int,
        reason: str = "",
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        tag: str = "",
    ) -> Response:
        """A response with what §8.2.6.2 takes from the request: Via, From, To (with our tag), Call-ID, CSeq.

        A request that lacks one of them gets a response that lacks it too. Raises :class:`ParseError` if a value would
        break the line.
        """
        fields = [("Via", value) for value in request.headers.raw("Via")]
        for name in ("From", "To", "Call-ID", "CSeq"):
            value = request.headers.get(name)
            if value is None:
                continue
            if (
                name == "To"
                and tag
                and status > 100
                and ";tag=" not in value.rpartition(">")[2].lower().replace(" ", "")
            ):
                value = f"{value};tag={tag}"
            fields.append((name, value))
        if status < 300:  # §12.1.1: what makes or confirms a dialog carries the route
            fields += [("Record-Route", value) for value in request.headers.raw("Record-Route")]
        fields += _safe([("the reason", reason), *headers])[1:]
        return cls(status, reason or reason_phrase(status), Headers(fields), body)

    def __bytes__(self) -> bytes:
        return self._encoded(f"SIP/2.0 {self.status} {self.reason}")

    def __repr__(self) -> str:
        return f"<{self.status} {self.reason}>"


Message: TypeAlias = Request | Response


def _safe(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    fields = list(headers)
    for name, value in fields:
        if "\r" in value or "\n" in value:
            raise ParseError(f"{name} would break the line")
    return fields


# ------------------------------------------------------------------------------------------------ parse


def parse(data: bytes) -> Message:
    """One whole message; bytes behind Content-Length are dropped (§18.3).

    Raises:
        MalformedMessage: with the status to answer, and the request if it can be answered.
    """
    if len(data) > MAX_SIZE:
        raise MalformedMessage("larger than 64 kB", 513)
    head, gap, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not gap:
        head, gap, body = data.lstrip(b"\r\n").partition(b"\n\n")
    text = head.decode("utf-8", "surrogateescape")
    start, _, rest = text.partition("\n")
    fields, fault = _fields(rest)
    headers = Headers(fields)
    start = start.rstrip("\r")
    if start.startswith("SIP/"):
        return _response(start, headers, body, fault)
    return _request(start, headers, body, fault)


def _fields(text: str) -> tuple[list[tuple[str, str]], str]:
    """Header fields, unfolded; and the first fault."""
    fields: list[tuple[str, str]] = []
    fault = ""
    for line in _FOLD.sub(" ", text).split("\n"):
        line = line.rstrip("\r")
        if not line:
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not _TOKEN.match(name):
            fault = fault or f"no header field: {line[:40]!r}"
            continue
        if "\r" in value:
            fault = fault or f"a CR inside {name[:40]}"
            continue
        fields.append((name, value.strip()))
        if len(fields) > MAX_HEADERS:
            return fields, "too many header fields"
    return fields, fault


def _response(start: str, headers: Headers, body: bytes, fault: str) -> Response:
    version, _, rest = start.partition(" ")
    code, _, reason = rest.partition(" ")
    if version.upper() != "SIP/2.0" or not (
        len(code) == 3 and code.isascii() and code.isdigit() and "100" <= code < "700"
    ):
        raise MalformedMessage(f"no status line: {start[:60]!r}")
    response = Response(int(code), reason, headers, body)
    fault = fault or _fault(response)
    if fault:
        raise MalformedMessage(fault)
    response.body = _cut(headers, body)
    return response


def _request(start: str, headers: Headers, body: bytes, fault: str) -> Request:
    parts = start.split(" ")
    if len(parts) < 3 or not parts[-1].upper().startswith("SIP/"):
        # Not even a request line; still, if the rest can be read the sender can be told (RFC 4475 §3.1.2.?).
        method = parts[0] if _TOKEN.match(parts[0]) else ""
        if not method or len(parts) < 2:
            raise MalformedMessage(f"no SIP: {start[:60]!r}")
    method, uri_text, version = parts[0], " ".join(parts[1:-1]), parts[-1]
    if not _TOKEN.match(method):
        raise MalformedMessage(f"no method: {method[:40]!r}")
    uri_fault = ""
    try:
        uri = Uri.parse(uri_text)
    except ParseError as error:
        uri, uri_fault = Uri("", None, uri_text[:200]), f"Request-URI: {error}"
    request = Request(method, uri, headers, body)
    unanswerable = _unanswerable(request)
    if unanswerable:
        raise MalformedMessage(unanswerable)
    if version.upper() != "SIP/2.0":
        bad = 505 if re.match(r"SIP/\d+\.\d+\Z", version, re.IGNORECASE) else 400
        raise MalformedMessage(f"version {version[:20]!r}", bad, request)
    fault = fault or uri_fault or _fault(request)
    if not fault and request.cseq.method != method:
        fault = "CSeq names another method"
    if not fault:
        try:
            request.body = _cut(headers, body)
        except ParseError as error:
            fault = str(error)
    if fault:
        raise MalformedMessage(fault, 400, request)
    return request


def _unanswerable(request: Request) -> str:
    """Why no response could be routed or matched; "" if one can."""
    try:
        request.via  # noqa: B018
    except (ParseError, KeyError, IndexError):
        return "no Via that can be read"
    missing = [name for name in ("From", "To", "Call-ID", "CSeq") if name not in request.headers]
    return f"no {missing[0]}" if missing and request.method == "ACK" else ""


def _fault(message: Message) -> str:
    """What is wrong with the mandatory header fields; "" if nothing."""
    headers = message.headers
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        if name not in headers:
            return f"no {name}"
    for name in _ONCE:
        if headers.count(name) > 1:
            return f"more than one {name}"
    try:
        for via in headers.getlist("Via"):
            Via.parse(via)
        NameAddr.parse(headers["From"])
        NameAddr.parse(headers["To"])
        number, method = headers["CSeq"].split(None, 1)
        if not (number.isascii() and number.isdigit() and int(number) < 1 << 31 and _TOKEN.match(method.strip())):
            return "CSeq out of range"
        if isinstance(message, Request):
            _check_request(message)
    except (ParseError, ValueError) as error:
        return str(error) or "CSeq"
    if not headers["Call-ID"] or " " in headers["Call-ID"]:
        return "Call-ID"
    return ""


def _check_request(request: Request) -> None:
    headers = request.headers
    for name, limit in (("Max-Forwards", 256), ("Expires", 1 << 32)):
        value = headers.get(name)
        if value is not None and not (value.isascii() and value.isdigit() and int(value) < limit):
            raise ParseError(f"{name} out of range")
    for value in headers.getlist("Contact"):
        if value != "*":
            contact = NameAddr.parse(value)
            expires = contact.parameter("expires")
            if expires is not None and not (expires.isascii() and expires.isdigit() and int(expires) < 1 << 32):
                raise ParseError("Contact's expires out of range")
    for name in ("Route", "Record-Route"):
        for value in headers.getlist(name):
            NameAddr.parse(value)
    kind = headers.get("Content-Type")
    if kind is not None and not re.match(r"[^\s/;]+\s*/\s*[^\s/;]+\s*(;.*)?\Z", kind, re.DOTALL):
        raise ParseError("Content-Type")
    date = headers.get("Date")
    if date is not None and not date.rstrip().endswith("GMT"):
        raise ParseError("Date must be in GMT")


def _cut(headers: Headers, body: bytes) -> bytes:
    length = headers.get("Content-Length")
    if length is None:
        return body
    if not (length.isascii() and length.isdigit()):
        raise MalformedMessage("Content-Length is no number")
    if int(length) > len(body):
        raise MalformedMessage("shorter than its Content-Length")
    return body[: int(length)]
