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
from typing import TypeAlias

from .grammar import TOKEN, CSeq, NameAddr, ParseError, Uri, Via, address, is_number, split

__all__ = [
    "MAX_HEADERS",
    "MAX_SIZE",
    "CSeq",
    "Headers",
    "MalformedMessage",
    "Message",
    "NameAddr",
    "ParseError",
    "Request",
    "Response",
    "Uri",
    "Via",
    "parse",
    "reason_phrase",
    "split",
]

MAX_HEADERS = 256
"""Header fields of a message: more is no phone's, and each costs time."""
MAX_SIZE = 65536
COMPACT = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "e": "Content-Encoding", "f": "From",
    "i": "Call-ID", "k": "Supported", "l": "Content-Length", "m": "Contact", "o": "Event", "r": "Refer-To",
    "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires",
}  # fmt: skip
"""§7.3.3, §20, RFC 6665, RFC 3515, RFC 4028."""
_FOLD = re.compile(r"\r?\n[ \t]+")
_MEDIA_TYPE = re.compile(r"[^\s/;]+\s*/\s*[^\s/;]+\s*(;.*)?\Z", re.DOTALL)
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


class MalformedMessage(ParseError):
    """Bytes that are no usable SIP message."""

    def __init__(self, reason: str, status: int = 400, request: Request | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        """What the sender is to be told: 400 or 505."""
        self.request = request
        """The request, if enough of it could be read for a response; None: nothing can be answered."""


def reason_phrase(status: int) -> str:
    return _REASONS.get(status, _REASONS.get(status // 100 * 100, "Unknown"))


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

    __slots__ = ("_via", "body", "headers")

    def __init__(self, headers: Headers, body: bytes) -> None:
        self.headers = headers
        self.body = body
        self._via: tuple[str, Via] | None = None
        """The top one as read, with its text."""

    @property
    def call_id(self) -> str:
        return self.headers["Call-ID"]

    @property
    def from_(self) -> NameAddr:
        return address(self.headers["From"])

    @property
    def to(self) -> NameAddr:
        return address(self.headers["To"])

    @property
    def cseq(self) -> CSeq:
        number, method = self.headers["CSeq"].split(None, 1)
        return CSeq(int(number), method.strip())

    @property
    def via(self) -> Via:
        """The top one."""
        text = self.headers["Via"]
        if self._via is None or self._via[0] is not text:
            self._via = text, Via.parse(split(text)[0])
        return self._via[1]

    @property
    def contacts(self) -> list[NameAddr]:
        """Raises nothing: a Contact that can't be read is left out; ``*`` is none."""
        found = []
        for value in self.headers.getlist("Contact"):
            try:
                found.append(address(value))
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
        if not colon or not TOKEN.match(name):
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
        method = parts[0] if TOKEN.match(parts[0]) else ""
        if not method or len(parts) < 2:
            raise MalformedMessage(f"no SIP: {start[:60]!r}")
    method, uri_text, version = parts[0], " ".join(parts[1:-1]), parts[-1]
    if not TOKEN.match(method):
        raise MalformedMessage(f"no method: {method[:40]!r}")
    uri_fault = ""
    if ">" in uri_text and "<" not in uri_text:
        # pyVoIP cuts our Contact (``<sip:...>;isfocus``) at its "<" alone, and so misspells its ACK and BYE.
        uri_text = uri_text.partition(">")[0]
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
        _ = message.via, message.from_, message.to
        for via in headers.getlist("Via")[1:]:
            Via.parse(via)
        number, method = headers["CSeq"].split(None, 1)
        if not (is_number(number, 1 << 31) and TOKEN.match(method.strip())):
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
        if value is not None and not is_number(value, limit):
            raise ParseError(f"{name} out of range")
    for value in headers.getlist("Contact"):
        if value != "*":
            contact = address(value)
            expires = contact.parameter("expires")
            if expires is not None and not is_number(expires, 1 << 32):
                raise ParseError("Contact's expires out of range")
    for name in ("Route", "Record-Route"):
        for value in headers.getlist(name):
            NameAddr.parse(value)
    kind = headers.get("Content-Type")
    if kind is not None and not _MEDIA_TYPE.match(kind):
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
    if not is_number(length, len(body) + 1):
        raise MalformedMessage("shorter than its Content-Length")
    return body[: int(length)]
