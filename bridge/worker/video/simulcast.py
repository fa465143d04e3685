"""One picture that its sender encodes several times at once (RFC 8853): which encoding is decoded, and when another is.

Layers are told apart by the RID header extension (RFC 8852), after which their SSRCs are known; another is taken up
where a keyframe of it begins, so that the picture goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..protocol_video import VideoLayer

GONE: Final = 1.0
"""Seconds without a packet after which a layer is not being sent: senders leave out what their path does not bear."""
WINDOW: Final = 1.0
"""Seconds over which the layers' rates are compared."""
ENOUGH: Final = 0.75
"""Of the height shown, that a layer must have: the eye forgives so much enlargement."""
ASK_AGAIN: Final = 0.5
"""Seconds between two requests for a keyframe of the layer that is wanted (RFC 5104 §4.3.1.2)."""
TOP: Final = 720
"""Height of the largest layer as long as nothing tells."""
MOST_SSRCS: Final = 4
"""A layer's: its own, that of its retransmissions, and those after a restart."""


@dataclass(slots=True)
class _Layer:
    spec: VideoLayer
    ssrc: int = 0
    heard: float = float("-inf")
    octets: int = 0
    rate: float = 0.0
    height: int = 0
    """As its last keyframe told."""


class Simulcast:
    """Of one stream. Times are seconds."""

    def __init__(self, layers: Sequence[VideoLayer]) -> None:
        self.specs = tuple(layers)
        self._layers = [_Layer(spec) for spec in layers]
        self._by_rid = {spec.rid: n for n, spec in enumerate(layers)}
        self._by_ssrc = {spec.ssrc: n for n, spec in enumerate(layers) if spec.ssrc}
        self.current = self.wanted = -1
        """Indices of the layer that is decoded, and of that which is to be; -1: none yet."""
        self._window = float("-inf")
        self._asked = float("-inf")

    def take(
        self, ssrc: int, rid: str, size: int, now: float, *, keyframe: bool, height: int = 0, repeated: bool = False
    ) -> bool:
        """A packet came: is it of the layer that is decoded? Arguments as of :meth:`note`."""
        n = self.note(ssrc, rid, size, now, keyframe=keyframe, height=height, repeated=repeated)
        return n >= 0 and n == self.current

    def note(
        self, ssrc: int, rid: str, size: int, now: float, *, keyframe: bool, height: int = 0, repeated: bool = False
    ) -> int:
        """A packet came; the index of its layer, -1: of none.

        Args:
            rid: of its header extension (repaired, where ``repeated``); "": it has none.
            size: octets of payload.
            keyframe: a keyframe begins with it.
            height: that it tells; 0: none.
            repeated: it is a retransmission (RFC 4588).
        """
        n = self._by_rid.get(rid, -1) if rid else self._by_ssrc.get(ssrc, -1)
        if n < 0:
            return -1
        layer = self._layers[n]
        if rid and self._by_ssrc.get(ssrc) != n:
            self._by_ssrc[ssrc] = n
            if len(self._by_ssrc) > MOST_SSRCS * len(self._layers):
                del self._by_ssrc[next(iter(self._by_ssrc))]
        layer.heard = now
        layer.octets += size
        if not repeated:
            layer.ssrc = ssrc
            layer.height = height or layer.height
        if keyframe and not repeated and (n == self.wanted or self.current < 0):
            self.current = n
        return n

    def show(self, height: int, now: float) -> None:
        """It is shown so high, 0 for not at all: choose the layer."""
        if now - self._window >= WINDOW:
            for layer in self._layers:
                layer.rate, layer.octets = layer.octets / max(now - self._window, WINDOW), 0
            self._window = now
        alive = [n for n, layer in enumerate(self._layers) if now - layer.heard < GONE]
        if not alive:
            return
        ranked = sorted(alive, key=self.height)
        wanted = next((n for n in ranked if self.height(n) >= ENOUGH * height), ranked[-1])
        if wanted != self.wanted:
            self.wanted, self._asked = wanted, float("-inf")

    def height(self, n: int) -> float:
        """As its keyframes or its description tell; before that by its place among the others' rates: each is half as
        high as the next, which is what senders do that are told nothing."""
        layer = self._layers[n]
        if layer.height or layer.spec.max_height:
            return float(layer.height or layer.spec.max_height)
        return float(TOP / 2 ** sum(other.rate > layer.rate for other in self._layers))

    def wants(self, now: float) -> int:
        """The SSRC whose sender is to be asked for a keyframe now, 0: none."""
        if self.wanted < 0 or self.wanted == self.current or now - self._asked < ASK_AGAIN:
            return 0
        self._asked = now
        return self._layers[self.wanted].ssrc

    @property
    def rid(self) -> str:
        """Of what is decoded."""
        return self.specs[self.current].rid if self.current >= 0 else ""

    def heard(self, n: int) -> float:
        """When a layer's last packet came."""
        return self._layers[n].heard

    def bits(self, n: int) -> float:
        """Bits a second of a layer, as last measured."""
        return 8 * self._layers[n].rate

    @property
    def gone(self) -> bool:
        """Nothing is decoded, or no longer what is wanted."""
        return self.current < 0 or self.current != self.wanted
