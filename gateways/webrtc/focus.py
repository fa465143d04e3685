"""The gateway as the focus wants it: what it tells is in the conference's words."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.conference.transport_event import Broken, Keyed, Reached, TransportEvent, Unreachable
from bridge.worker.protocol import Address

from .event import Connected, ConsentLost, Failed, Keys, Moved
from .gateway import Gateway


class FocusGateway(Gateway):
    """A :class:`bridge.conference.transports.Gateway`."""

    def told(self) -> Iterator[TransportEvent]:
        """Drain it. That the peer closed its end is no news: a BYE follows, or the silence ends the call."""
        for event in self.events():
            match event:
                case Connected(id, remote) | Moved(id, remote):
                    yield Reached(id, Address(*remote.remote))
                case Keys(id, send, receive, remote):
                    # A browser's media begins with its keys, a beat or two before it nominates the pair.
                    yield Reached(id, Address(*remote.remote))
                    yield Keyed(id, send, receive)
                case ConsentLost(id):
                    yield Unreachable(id)
                case Failed(id, reason):
                    yield Broken(id, reason)
                case _:
                    pass
