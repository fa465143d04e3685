"""How somebody is reached: a terminal that registered with us by its own flow, everybody else as RFC 3263 says."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from urllib.parse import unquote

from bridge.resolve import Unresolved
from bridge.signalling.flow import Flow
from bridge.signalling.message import ParseError, Uri

from .control import Found
from .registry import Registry

Lookup = Callable[[str], Awaitable[Sequence[Flow]]]


class Reach:
    def __init__(
        self,
        registry: Registry,
        lookup: Lookup,
        *,
        ours: Callable[[Uri], bool] = lambda uri: True,
        accounts: Collection[str] = (),
    ) -> None:
        """``lookup``: where the DNS says that a SIP URI is; raises :class:`bridge.resolve.Unresolved`. ``ours``: the
        URI means us, so whoever it names is one of ``accounts``, a terminal that registers here, if anybody."""
        self._registry, self._lookup = registry, lookup
        self._ours, self._accounts = ours, accounts

    async def __call__(self, uri: str) -> Found:
        user = self._user(uri)
        if user:
            bindings = self._registry.bindings(uri, time.monotonic())
            if bindings:
                first = bindings[0]
                return Found(first.contact, (first.flow,))
            if user in self._accounts:  # else we would call ourselves, and open a room of that name
                raise Unresolved(f"{user} is not registered now: its terminal has to register here first")
        return Found(uri, tuple(await self._lookup(uri)))

    def _user(self, uri: str) -> str:
        """Of an address of ours; "": it is none."""
        try:
            parsed = Uri.parse(uri)
        except ParseError:
            return ""
        return unquote(parsed.user or "") if self._ours(parsed) else ""
