"""Requests for a keyframe in SIP INFO (RFC 5168)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.signalling.media_control import (
    MAX_SIZE,
    MediaControl,
    MediaControlError,
    build_media_control,
    parse_media_control,
)

REQUEST = b"""<?xml version="1.0" encoding="utf-8" ?>
<media_control>
  <!-- as terminals send it -->
  <vc_primitive>
    <to_encoder>
      <picture_fast_update>
      </picture_fast_update>
    </to_encoder>
  </vc_primitive>
</media_control>
"""


def test_a_request_as_terminals_send_it() -> None:
    assert parse_media_control(REQUEST) == MediaControl(fast_update=True)


def test_a_namespace_or_a_drafts_name_is_no_hindrance() -> None:
    text = REQUEST.replace(b"<media_control>", b'<media_control xmlns="urn:x">')
    assert parse_media_control(text).fast_update
    assert parse_media_control(REQUEST.replace(b"picture_fast", b"video_picture_fast")).fast_update
    assert not parse_media_control(REQUEST.replace(b"picture_fast_update", b"picture_freeze")).fast_update


@pytest.mark.parametrize(
    "control",
    [
        MediaControl(True),
        MediaControl(True, ("10", "éà <&>")),
        MediaControl(error="non reconnu"),
        MediaControl(),
    ],
)
def test_there_and_back(control: MediaControl) -> None:
    assert parse_media_control(build_media_control(control)) == control


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<media_control>",
        b"<other/>",
        b"\xff\xfe<\0a\0/\0>\0",
        b'<!DOCTYPE x [<!ENTITY a "b">]><media_control>&a;</media_control>',
        '<?xml version="1.0" encoding="utf-16"?><media_control/>'.encode("utf-16"),
        b"<media_control>&a;</media_control>",
        b"<media_control>" + b" " * MAX_SIZE + b"</media_control>",
        b"<a>" * 1000,
    ],
)
def test_what_is_refused(body: bytes) -> None:
    with pytest.raises(MediaControlError):
        parse_media_control(body)


@given(st.binary(max_size=200))
def test_junk_raises_one_exception_at_most(body: bytes) -> None:
    for text in (body, REQUEST[:100] + body, REQUEST.replace(b"picture", body)):
        try:
            parse_media_control(text)
        except MediaControlError:
            continue
