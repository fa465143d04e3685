"""Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760), both roles: SHA-256, SHA-512-256 where OpenSSL has it, and
MD5; ``qop=auth``. No ``auth-int`` (proxies rewrite bodies), no ``-sess``, no user hashes: no phone asks for them."""

from __future__ import annotations

import enum
import hashlib
import hmac
import random
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .message import Request, Response

Passwords = Callable[[str], str | None]
"""The password of a user name; None: no such user."""

_HASHES = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}
ALGORITHMS = tuple(name for name, hashed in _HASHES.items() if hashed in hashlib.algorithms_available)
"""What we can compute, strongest first."""
OFFERED = ("SHA-256", "MD5")
"""Our challenges, best first (RFC 8760 §2.4); a phone that knows only MD5 skips the first."""
NONCE_LIFETIME = 300.0
"""Seconds a nonce is good for. No RFC names a figure (RFC 7616 §5.4 weighs a round trip against replays, and those the
nonce count stops): long enough for a person who is asked for a password."""
MAX_NONCES = 10_000
"""Nonces in use whose counts are kept; only whoever knows a password can add one."""
COUNT_WINDOW = 64
"""Nonce counts behind the highest that may still come: requests overtake each other on UDP."""
MAX_LENGTH = 4_096
"""Characters of a header field value that is looked at; real ones have about 300."""
MAX_CALLS = 1_024
"""Call-IDs whose challenges a client remembers; the least recent is forgotten, and costs one more round trip."""
_SYSTEM = random.SystemRandom()
_SCHEME = re.compile(r"\s*digest\s+", re.IGNORECASE)
_PARAMETER = re.compile(
    r'[\s,]*([A-Za-z0-9\-.!%*_+`\'~]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(?=,|\Z)', re.DOTALL
)
_COUNT = re.compile(r"[0-9A-Fa-f]{8}\Z")


class BadCredentials(ValueError):
    """A digest header field is not as the grammar has it; 400 for whoever sent it."""


# ------------------------------------------------------------------------------------------------ grammar


def parse_digest(value: str) -> dict[str, str] | None:
    """The parameters of ``Digest a="b", c=d``: names in lower case, quotes taken off, backslashes kept, for the hashes
    run over what stands between the quotes (RFC 7616 §3.3, ``unq``). None: another scheme.

    Raises:
        BadCredentials
    """
    if len(value) > MAX_LENGTH:
        raise BadCredentials("too long")
    scheme = _SCHEME.match(value)
    if scheme is None:
        return None
    found: dict[str, str] = {}
    at = scheme.end()
    while value[at:].strip(" \t,"):
        match = _PARAMETER.match(value, at)
        if match is None:
            raise BadCredentials(f"no parameter: {value[at : at + 40]!r}")
        name = match[1].lower()
        if name in found:
            raise BadCredentials(f"{name} twice")
        found[name] = match[2] if match[2] is not None else match[3]
        at = match.end()
    return found


def unescape(raw: str) -> str:
    return re.sub(r"\\(.)", r"\1", raw, flags=re.DOTALL)


def escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def respond(
    algorithm: str,
    secret: tuple[str, str, str],
    request: tuple[str, str],
    nonce: str,
    *,
    qop: str = "",
    count: str = "",
    cnonce: str = "",
) -> str:
    """The ``response`` value: ``secret`` is (user, realm, password), ``request`` (method, URI). Without ``qop`` as
    RFC 2069 had it, which RFC 3261 §22.4 still wants known."""

    def h(text: str) -> str:
        # MD5 is what the phones have; it guards nothing else of ours.
        return hashlib.new(
            _HASHES[algorithm], text.encode("utf-8", "surrogateescape"), usedforsecurity=False
        ).hexdigest()

    first, second = h(":".join(secret)), h(":".join(request))
    middle = f"{nonce}:{count}:{cnonce}:{qop}" if qop else nonce
    return h(f"{first}:{middle}:{second}")


def _algorithm(parameters: Mapping[str, str]) -> str:
    """None named means MD5 (RFC 3261 §20.44 and RFC 7616 §3.3)."""
    return parameters.get("algorithm", "MD5").upper()


# ------------------------------------------------------------------------------------------------- client


@dataclass(slots=True)
class _Challenge:
    """One that we answered, and answer again while its nonce holds."""

    header: str
    """The header field of the answer."""
    realm: str
    nonce: str
    algorithm: str
    qop: str
    opaque: str | None


class Credentials:
    """A user's name and password for one provider or proxy. Not shared between users."""

    def __init__(self, user: str, password: str, *, realm: str | None = None, rng: random.Random = _SYSTEM) -> None:
        """``realm``: answer only that one (whoever challenges gets a hash to guess at); None: any."""
        self.user, self._password, self._realm, self._rng = user, password, realm, rng
        self._calls: OrderedDict[str, dict[tuple[str, str], _Challenge]] = OrderedDict()
        """Call-ID to (header, realm) to challenge: a call that passes two proxies answers both each time (§22.3)."""
        self._tried: OrderedDict[tuple[str, int], frozenset[tuple[str, str]]] = OrderedDict()
        """(Call-ID, CSeq) to the challenges that it was the answer to."""
        self._counts: OrderedDict[str, int] = OrderedDict()
        """Nonce to the count used last."""

    def __repr__(self) -> str:
        return f"<Credentials {self.user}>"

    def answer(self, response: Response, request: Request) -> bool:
        """Add to ``request`` the credentials that a 401 or 407 asks for. False: ``response`` rejects those that it was
        sent, or asks for what we don't have; ``request`` is not worth sending (RFC 3261 §22.2)."""
        fresh = self._strongest(response)
        if not fresh:
            return False
        tried = self._tried.get((response.call_id, response.cseq.number), frozenset())
        if any(key in tried and not stale for key, (_, stale) in fresh.items()):
            return False
        call = self._calls.setdefault(request.call_id, {})
        self._calls.move_to_end(request.call_id)
        call.update({key: challenge for key, (challenge, _) in fresh.items()})
        self._tried[(request.call_id, request.cseq.number)] = frozenset(fresh)
        for table in (self._calls, self._tried):
            if len(table) > MAX_CALLS:
                table.popitem(last=False)
        self.prepare(request)
        return True

    def prepare(self, request: Request) -> None:
        """Credentials ahead of the challenge: for the nonces that requests of this Call-ID were asked with before."""
        for challenge in self._calls.get(request.call_id, {}).values():
            self._put(request, challenge)

    def _strongest(self, response: Response) -> dict[tuple[str, str], tuple[_Challenge, bool]]:
        """By (header, realm): the best challenge that we can answer, and whether it says ``stale``."""
        asked, answered = (
            ("Proxy-Authenticate", "Proxy-Authorization")
            if response.status == 407
            else ("WWW-Authenticate", "Authorization")
        )
        best: dict[tuple[str, str], tuple[_Challenge, bool]] = {}
        for value in response.headers.raw(asked):
            try:
                found = self._challenge(value, answered)
            except BadCredentials:
                continue
            if found is None:
                continue
            key = (answered, found[0].realm)
            if key not in best or _rank(found[0]) < _rank(best[key][0]):
                best[key] = found
        return best

    def _challenge(self, value: str, header: str) -> tuple[_Challenge, bool] | None:
        parameters = parse_digest(value)
        if parameters is None or "realm" not in parameters or not parameters.get("nonce"):
            return None
        algorithm, realm = _algorithm(parameters), parameters["realm"]
        if algorithm not in ALGORITHMS or self._realm not in (None, unescape(realm)):
            return None
        offered = {word.strip().lower() for word in parameters.get("qop", "").split(",")} - {""}
        if offered and "auth" not in offered:
            return None
        challenge = _Challenge(
            header, realm, parameters["nonce"], algorithm, "auth" if offered else "", parameters.get("opaque")
        )
        return challenge, parameters.get("stale", "").lower() == "true"

    def _put(self, request: Request, challenge: _Challenge) -> None:
        user, uri = escape(self.user), str(request.uri)
        count = cnonce = ""
        if challenge.qop:
            count, cnonce = f"{self._count(challenge.nonce):08x}", f"{self._rng.getrandbits(64):016x}"
        response = respond(
            challenge.algorithm,
            (user, challenge.realm, self._password),
            (request.method, uri),
            challenge.nonce,
            qop=challenge.qop,
            count=count,
            cnonce=cnonce,
        )
        parts = [
            f'username="{user}"',
            f'realm="{challenge.realm}"',
            f'nonce="{challenge.nonce}"',
            f'uri="{uri}"',
            f'response="{response}"',
            f"algorithm={challenge.algorithm}",
        ]
        if challenge.qop:
            parts += [f'cnonce="{cnonce}"', f"qop={challenge.qop}", f"nc={count}"]
        if challenge.opaque is not None:
            parts.append(f'opaque="{challenge.opaque}"')
        _replace(request, challenge.header, challenge.realm, "Digest " + ", ".join(parts))

    def _count(self, nonce: str) -> int:
        count = self._counts[nonce] = self._counts.get(nonce, 0) + 1
        self._counts.move_to_end(nonce)
        if len(self._counts) > MAX_CALLS:
            self._counts.popitem(last=False)
        return count


def _rank(challenge: _Challenge) -> int:
    return ALGORITHMS.index(challenge.algorithm)


def _replace(request: Request, header: str, realm: str, value: str) -> None:
    """Put ``value`` in the place of what answered the same realm, or anew."""
    for old in request.headers.raw(header):
        parameters = parse_digest(old) or {}
        if parameters.get("realm") == realm:
            request.headers.replace(header, old, value)
            return
    request.headers.append(header, value)


# ------------------------------------------------------------------------------------------------- server

_BEARER = re.compile(r"bearer[ \t]+([A-Za-z0-9._~+/=-]+)[ \t]*\Z", re.IGNORECASE | re.ASCII)
"""RFC 6750 §2.1."""


def bearer(headers: Iterable[tuple[str, str]]) -> str:
    """The token of ``Authorization: Bearer`` (RFC 8898); "": there is none."""
    for name, value in headers:
        if name.lower() == "authorization" and (found := _BEARER.match(value.strip())):
            return found[1]
    return ""


class Verdict(enum.Enum):
    PROVED = "proved"
    MISSING = "missing"
    """No credentials for our realm: challenge."""
    STALE = "stale"
    """The password is right, the nonce is too old, used, or of a life before this one: challenge with ``stale``."""
    WRONG = "wrong"
    """Unknown user, or not that password."""


@dataclass(frozen=True, slots=True)
class Proof:
    verdict: Verdict
    user: str = ""
    """Who is claimed; trust it only if PROVED."""
    algorithm: str = ""
    """What the client chose."""


class Challenger:
    """Challenges and verifies. A nonce carries its time and number under a MAC, so that nothing is kept of challenges
    that nobody answers; of answered ones the counts are kept, to refuse replays (RFC 7616 §3.4)."""

    def __init__(
        self,
        realm: str,
        secret: bytes,
        *,
        algorithms: Sequence[str] = OFFERED,
        lifetime: float = NONCE_LIFETIME,
        max_nonces: int = MAX_NONCES,
    ) -> None:
        """``secret``: 32 bytes that nobody can guess. Raises ValueError for algorithms that can't be computed."""
        unknown = [name for name in algorithms if name not in ALGORITHMS]
        if unknown or not algorithms:
            raise ValueError(f"digest algorithms: of {', '.join(ALGORITHMS)}; not {', '.join(unknown) or 'none'}")
        self._realm, self._secret, self._algorithms = escape(realm), secret, tuple(algorithms)
        self._lifetime, self._max_nonces = lifetime, max_nonces
        self._made = 0
        self._used: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """Nonce to (highest count, the counts below it as bits)."""
        self._forgotten = -1.0
        """Nonces made up to then may have been used and forgotten: they are stale unless their counts are kept."""

    def challenges(self, now: float, *, stale: bool = False, plain: bool = False) -> list[tuple[str, str]]:
        """One WWW-Authenticate for each algorithm, best first; ``plain``: MD5 alone, if it is one of them."""
        nonce = self._nonce(now)
        tail = ", stale=true" if stale else ""
        return [
            ("WWW-Authenticate", f'Digest realm="{self._realm}", nonce="{nonce}", algorithm={name}, qop="auth"{tail}')
            for name in (("MD5",) if plain and "MD5" in self._algorithms else self._algorithms)
        ]

    def verify(self, request: Request, passwords: Passwords, now: float) -> Proof:
        """Who sent ``request``. The digest's URI need not be the Request-URI, which proxies change (RFC 3261 §22.4).

        Raises:
            BadCredentials
        """
        given = self._given(request)
        if given is None:
            return Proof(Verdict.MISSING)
        for name in ("username", "nonce", "uri", "response"):
            if name not in given:
                raise BadCredentials(f"no {name}")
        qop, count, cnonce = given.get("qop", "").lower(), given.get("nc", ""), given.get("cnonce", "")
        if qop and (qop != "auth" or not _COUNT.match(count) or not cnonce):
            raise BadCredentials("qop must be auth, with nc and cnonce")
        algorithm = _algorithm(given)
        if algorithm not in self._algorithms:
            raise BadCredentials(f"algorithm {algorithm[:20]!r} was not offered")
        user = unescape(given["username"])
        password = passwords(user)
        expected = respond(
            algorithm,
            # An unknown user costs the same time as a wrong password.
            (given["username"], self._realm, password if password is not None else self._secret.hex()),
            (request.method, given["uri"]),
            given["nonce"],
            qop=given.get("qop", ""),
            count=count,
            cnonce=cnonce,
        )
        right = hmac.compare_digest(expected.encode(), given["response"].lower().encode("utf-8", "surrogateescape"))
        if not right or password is None:
            return Proof(Verdict.WRONG, user, algorithm)
        # A client without qop counts nothing: its nonce is good for one request.
        if self._fresh(given["nonce"], now) and self._first(given["nonce"], int(count, 16) if qop else 1, now):
            return Proof(Verdict.PROVED, user, algorithm)
        return Proof(Verdict.STALE, user, algorithm)

    def _given(self, request: Request) -> dict[str, str] | None:
        """Our realm's credentials; a request may carry those of others (§22.3)."""
        for value in request.headers.raw("Authorization"):
            given = parse_digest(value)
            if given is not None and given.get("realm") == self._realm:
                return given
        return None

    # Nonces: 12 digits of milliseconds, 12 of a number, 32 of a MAC over both.

    def _nonce(self, now: float) -> str:
        self._made += 1
        stamp = f"{int(now * 1000) & 0xFFFFFFFFFFFF:012x}{self._made & 0xFFFFFFFFFFFF:012x}"
        return stamp + self._mac(stamp)

    def _mac(self, stamp: str) -> str:
        return hmac.digest(self._secret, stamp.encode("utf-8", "surrogateescape"), "sha256").hex()[:32]

    def _fresh(self, nonce: str, now: float) -> bool:
        stamp, mac = nonce[:24], nonce[24:]
        if not hmac.compare_digest(self._mac(stamp).encode(), mac.encode("utf-8", "surrogateescape")):
            return False
        made = _made_at(nonce)
        return -1.0 < now - made <= self._lifetime and (nonce in self._used or made > self._forgotten)

    def _first(self, nonce: str, count: int, now: float) -> bool:
        """Take ``count``; False: it was taken before, or is too far behind to know."""
        highest, seen = self._used.get(nonce, (0, 0))
        if count > highest:
            ahead = count - highest
            seen = (seen << ahead | 1) & ((1 << COUNT_WINDOW) - 1) if ahead < COUNT_WINDOW else 1
            highest = count
        else:
            bit = 1 << (highest - count) if highest - count < COUNT_WINDOW else 0
            if not bit or seen & bit:
                return False
            seen |= bit
        self._used[nonce] = (highest, seen)
        self._trim(now)
        return True

    def _trim(self, now: float) -> None:
        while self._used:
            oldest = next(iter(self._used))
            made = _made_at(oldest)
            if len(self._used) <= self._max_nonces and now - made <= self._lifetime:
                return
            del self._used[oldest]
            self._forgotten = max(self._forgotten, made)


def _made_at(nonce: str) -> float:
    """Of a nonce of ours, whose MAC was right."""
    return int(nonce[:12], 16) / 1000
