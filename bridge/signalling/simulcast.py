"""Several encodings of one picture that a sender offers at once (RFC 8853), named by RIDs (RFC 8851)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from .sdp import Line, MediaDescription, attribute

MAX_LAYERS = 4
"""Browsers send three."""
_RID = re.compile(r"([A-Za-z0-9_-]{1,16}) +send(?: +([!-~]{1,200}))? *", re.ASCII)
"""RFC 8851 §10; RFC 8852 §3 has no dash or underscore, but some have. 16 octets fit the header extension."""


@dataclass(frozen=True, slots=True)
class Layer:
    rid: str
    restrictions: str = ""
    """As they wrote them, without those on payload types."""
    max_width: int = 0
    max_height: int = 0
    """Of the restrictions; 0: none."""


def read(media: MediaDescription, payload_types: Collection[int]) -> tuple[Layer, ...]:
    """What they would send, in their order; empty: one stream.

    Of alternatives the first; what begins paused (``~``) counts. A RID that is bound to formats of which we do none is
    left out.

    Args:
        payload_types: those that we do.
    """
    known = {layer.rid: layer for value in media.all("rid") if (layer := _layer(value, payload_types))}
    wanted = re.search(r"\bsend[ \t]+([!-~]+)", media.first("simulcast") or "", re.ASCII)
    if wanted is None:
        return ()
    rids = (alternatives.split(",")[0].lstrip("~") for alternatives in wanted[1].split(";"))
    return tuple(known[rid] for rid in dict.fromkeys(rids) if rid in known)[:MAX_LAYERS]


def _layer(value: str, payload_types: Collection[int]) -> Layer | None:
    match = _RID.fullmatch(value)
    if match is None:
        return None
    pairs = [part.partition("=") for part in (match[2] or "").split(";") if part]
    told = {key.lower(): text for key, _, text in pairs}
    formats = told.get("pt")
    if formats is not None and not {str(number) for number in payload_types}.intersection(formats.split(",")):
        return None
    kept = ";".join(f"{key}{sign}{text}" for key, sign, text in pairs if key.lower() != "pt")
    return Layer(match[1], kept, _side(told.get("max-width")), _side(told.get("max-height")))


def lines(layers: Sequence[Layer]) -> Iterator[Line]:
    """That we take them."""
    for layer in layers:
        yield attribute("rid", f"{layer.rid} recv {layer.restrictions}".rstrip())
    if layers:
        yield attribute("simulcast", f"recv {';'.join(layer.rid for layer in layers)}")


def _side(text: str | None) -> int:
    return int(text) if text and len(text) < 6 and text.isascii() and text.isdigit() else 0
