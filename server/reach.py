"""How somebody is reached: a terminal that registered with us by its own flow, everybody else as RFC 3263 says."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from bridge.signalling.flow import Flow

from .control import Found
from .registry import Registry

Lookup = Callable[[str], Awaitable[Sequence[Flow]]]


class Reach:
    def __init__(self, registry: Registry, lookup: Lookup) -> None:
        """``lookup``: where the DNS says that a SIP URI is; raises :class:`bridge.resolve.Unresolved`."""
        self._registry, self._lookup = registry, lookup

    async def __call__(self, uri: str) -> Found:
        bindings = self._registry.bindings(uri, time.monotonic())
        if bindings:
            first = bindings[0]
            return Found(first.contact, (first.flow,))
        return Found(uri, tuple(await self._lookup(uri)))
