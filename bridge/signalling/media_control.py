"""Requests for a keyframe in SIP INFO (RFC 5168), for terminals without RTCP feedback."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Final

CONTENT_TYPE: Final = "application/media_control+xml"
_DECLARATION = re.compile("<!(?!--)")
MAX_SIZE: Final = 4096
"""Octets of a body that is read; a request has 200."""


class MediaControlError(ValueError):
    """What came is no media control document."""


@dataclass(frozen=True, slots=True)
class MediaControl:
    fast_update: bool = False
    """``picture_fast_update``: a keyframe is asked for."""
    streams: tuple[str, ...] = ()
    """``stream_id``: the ``a=label`` (RFC 4574) of the streams meant; empty: all of the call's video."""
    error: str = ""
    """``general_error`` in an answer: why the request wasn't understood."""


def parse_media_control(body: bytes) -> MediaControl:
    """Read a document. Drafts before the RFC ask for parts of the picture: that is a request like the other.

    Raises:
        MediaControlError: no such document, or one with declarations that nobody needs (entities).
    """
    if len(body) > MAX_SIZE:
        raise MediaControlError("too long")
    try:
        text = body.decode()  # not as the document says: another encoding could hide a declaration
        if _DECLARATION.search(text):  # no DOCTYPE, so no entity that grows
            raise MediaControlError("declarations are not taken")
        root = ElementTree.fromstring(text.strip())
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise MediaControlError("no XML") from error
    if _name(root) != "media_control":
        raise MediaControlError("no media_control")
    update = False
    streams: list[str] = []
    trouble = ""
    for element in root.iter():
        name, content = _name(element), (element.text or "").strip()
        if name == "to_encoder":
            update = update or any("fast_update" in _name(child) for child in element)
        elif name == "stream_id" and content:
            streams.append(content)
        elif name == "general_error":
            trouble = content
    return MediaControl(update, tuple(streams), trouble)


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def build_media_control(control: MediaControl) -> bytes:
    """Write a document."""
    root = ElementTree.Element("media_control")
    if control.fast_update:
        primitive = ElementTree.SubElement(root, "vc_primitive")
        ElementTree.SubElement(ElementTree.SubElement(primitive, "to_encoder"), "picture_fast_update")
        for stream in control.streams:
            ElementTree.SubElement(primitive, "stream_id").text = stream
    if control.error:
        ElementTree.SubElement(root, "general_error").text = control.error
    text: str = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>{text}'.encode()
