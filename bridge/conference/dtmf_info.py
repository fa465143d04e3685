"""DTMF in SIP INFO: the two forms that telephones send, standardised nowhere (RFC 6086 §1 mentions them)."""

from __future__ import annotations

import re

_SIGNAL = re.compile(rb"^\s*signal\s*=\s*([0-9]{1,2}|[*#a-d])\s*$", re.IGNORECASE | re.MULTILINE)
_DIGITS = "0123456789*#ABCD"


def info_digit(content_type: str, body: bytes) -> str:
    """The key that an INFO means; "" if none.

    ``application/dtmf-relay`` has lines ``Signal=5`` and ``Duration=160``, ``application/dtmf`` the bare key. Numbers
    10 to 15 stand for ``*``, ``#``, A to D, as the events of RFC 4733 do.
    """
    if content_type == "application/dtmf-relay":
        match = _SIGNAL.search(body[:256])
        text = match[1].decode("ascii").upper() if match else ""
    elif content_type == "application/dtmf":
        text = body[:8].decode("ascii", "replace").strip().upper()
    else:
        return ""
    if text.isascii() and text.isdigit() and len(text) <= 2 and int(text) < len(_DIGITS):
        return _DIGITS[int(text)]
    return text if len(text) == 1 and text in _DIGITS else ""
