"""Video formats in session descriptions: which of theirs we do, and what each side's ``fmtp`` says.

Limits are read and written as parameters only; what size and rate they come to is for whoever encodes.

===========  ===========  ==========================================================================================
H264         RFC 6184     configured by packetization-mode and profile, which stay as offered; levels by §8.2.2
VP8          RFC 7741     max-fr, max-fs
VP9, H265    RFC 9628,    received only
             RFC 7798
H263-1998,   RFC 4629     picture sizes with their minimum picture intervals
H263-2000
H263         RFC 4629 §8  likewise, payload type 34
H261         RFC 4587     likewise, payload type 31
===========  ===========  ==========================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from . import sdes
from .codec_list import DYNAMIC
from .sdp import MediaDescription, RtpMap

CLOCK_RATE = 90_000
SENT = ("H264", "VP8", "H263-1998", "H263-2000", "H263", "H261")
"""Those that we encode."""
NAMES = (*SENT[:2], "VP9", "H265", *SENT[2:])
FEEDBACK = ("nack", "nack pli", "ccm fir", "ccm tmmbr", "goog-remb", "transport-cc")
"""Of ``a=rtcp-fb``: what we do (RFC 4585 §4.2, RFC 5104 §7.1, and two of Google's drafts)."""

_SLOW = {10: 64, 9: 128, 11: 192, 12: 384, 13: 768}
"""MaxBR in kbit/s of the levels that hold less than any of our streams (H.264 table A-1), by level_idc."""
_PROFILES = (
    (66, 0x4F, 0x40, "constrained-baseline"),
    (77, 0x8F, 0x80, "constrained-baseline"),
    (88, 0xCF, 0xC0, "constrained-baseline"),
    (66, 0x4F, 0x00, "baseline"),
    (77, 0x8F, 0x00, "main"),
    (100, 0xFF, 0x00, "high"),
    (100, 0xFF, 0x0C, "constrained-high"),
)
"""RFC 6184 table 5: profile_idc, the bits of profile-iop that count, their values; those that we do."""
_IDS = {"constrained-baseline": "42e0", "high": "6400"}
"""profile_idc and profile-iop of those that we offer."""
_STATIC = {31: RtpMap(31, "H261", CLOCK_RATE), 34: RtpMap(34, "H263", CLOCK_RATE)}


@dataclass(frozen=True, slots=True)
class VideoCapabilities:
    """What we can do, whoever calls."""

    codecs: tuple[str, ...] = NAMES
    """Best first."""
    srtp: Literal["off", "offered", "required"] = "offered"
    suites: tuple[str, ...] = sdes.SUITES
    level: int = 31
    """level_idc of H.264 that holds the largest picture we take."""
    max_fs: int = 3600
    """Macroblocks of the largest picture we take."""
    max_fps: int = 30
    """Pictures a second at most."""
    max_bitrate: int = 2_000_000
    """bit/s that we take from one sender."""
    content: bool = True
    """A second stream, for what is shown (RFC 4796)."""

    @classmethod
    def of(cls, names: Sequence[str], srtp: Literal["off", "offered", "required"]) -> VideoCapabilities:
        """From the settings' words. Raises :class:`ValueError` for a codec that we don't know, and for none."""
        unknown = [name for name in names if name.upper() not in NAMES]
        if unknown or not names:
            raise ValueError(f"video codecs: {', '.join(unknown) or 'none'}; there are {', '.join(NAMES)}")
        return cls(tuple(dict.fromkeys(name.upper() for name in names)), srtp)

    @property
    def max_mbps(self) -> int:
        """Macroblocks a second."""
        return self.max_fs * self.max_fps

    def offered(self) -> tuple[VideoCodec, ...]:
        """What an offer lists. Without what we only receive: nobody is to choose that alone."""
        found: list[VideoCodec] = []
        for name in self.codecs:
            if name == "H264":
                # One packetization-mode is one format (RFC 6184 §8.2.2); old phones know mode 0 only.
                found += [VideoCodec(name, 1, "constrained-baseline"), VideoCodec(name, 0, "constrained-baseline")]
                found.append(VideoCodec(name, 1, "high"))
            elif name in SENT:
                found.append(VideoCodec(name))
        return tuple(found)

    def offered_to_browsers(self) -> tuple[VideoCodec, ...]:
        """Those that a browser must know (RFC 7742 §5), likewise."""
        return tuple(codec for codec in self.offered() if codec.name in ("H264", "VP8") and codec.profile != "high")


@dataclass(frozen=True, slots=True)
class VideoCodec:
    """A format as far as both sides must agree on it."""

    name: str
    """Upper case."""
    mode: int = 0
    """packetization-mode of H.264."""
    profile: str = ""
    """Of H.264."""

    @property
    def key(self) -> Hashable:
        return self

    @property
    def static(self) -> int | None:
        return next((number for number, rtpmap in _STATIC.items() if rtpmap.name == self.name), None)

    @property
    def usual(self) -> int:
        return DYNAMIC.start

    @property
    def sends(self) -> bool:
        """We encode it."""
        return self.name in SENT

    @property
    def repeats(self) -> bool:
        """We offer retransmissions of it; terminals old enough for the others know none."""
        return self.name in NAMES[:4]


@dataclass(frozen=True, slots=True)
class Retransmission:
    """A payload type of RFC 4588."""

    apt: int
    """What is repeated."""

    @property
    def key(self) -> Hashable:
        return self

    @property
    def static(self) -> None:
        return None

    @property
    def usual(self) -> int:
        return DYNAMIC.start


@dataclass(frozen=True, slots=True)
class VideoPayload:
    """One payload type of one direction, as negotiated."""

    name: str
    """H264 VP8 VP9 H265 H263-1998 H263-2000 H263 H261."""
    payload_type: int
    parameters: tuple[tuple[str, str], ...] = ()
    """Of ``a=fmtp``, keys in lower case. To send: the receiver's wishes, with the level that is in force in
    ``profile-level-id``. To receive: what the sender says of its stream."""
    rtx: int = 0
    """Payload type of its retransmissions (RFC 4588); 0: none."""
    feedback: tuple[str, ...] = ()
    """Of :data:`FEEDBACK`, what was agreed."""
    width: int = 0
    """The largest that the receiver wishes by ``a=imageattr`` (RFC 6236); 0: it doesn't say."""
    height: int = 0

    @property
    def fmtp(self) -> dict[str, str]:
        return dict(self.parameters)


@dataclass(frozen=True, slots=True)
class VideoEntry:
    """A payload type in a description that is a format of ours."""

    codec: VideoCodec
    number: int
    fmtp: Mapping[str, str]
    rtx: int = 0
    """Its retransmissions' payload type there."""
    feedback: tuple[str, ...] = ()


def entries(media: MediaDescription, capabilities: VideoCapabilities) -> tuple[VideoEntry, ...]:
    """Those of the m-line that we do, in its order, each format once."""
    rtpmaps = media.rtpmaps
    again = dict(_retransmissions(media, rtpmaps))
    told = _feedback(media)
    found: dict[VideoCodec, VideoEntry] = {}
    for number in media.payload_types:
        rtpmap = rtpmaps.get(number) or _STATIC.get(number)
        if rtpmap is None or rtpmap.clock_rate != CLOCK_RATE or rtpmap.name.upper() not in capabilities.codecs:
            continue
        fmtp = media.fmtp(number)
        codec = _recognised(rtpmap.name.upper(), fmtp)
        if codec is not None:
            feedback = tuple(
                what for what in FEEDBACK if what in told.get("*", ()) or what in told.get(str(number), ())
            )
            found.setdefault(codec, VideoEntry(codec, number, fmtp, again.get(number, 0), feedback))
    return tuple(found.values())


def _retransmissions(media: MediaDescription, rtpmaps: Mapping[int, RtpMap]) -> Iterator[tuple[int, int]]:
    """(what is repeated, the payload type that it is repeated under)"""
    for number in media.payload_types:
        if number in rtpmaps and rtpmaps[number].name.upper() == "RTX":
            apt = _number(media.fmtp(number).get("apt"))
            if apt in media.payload_types and apt != number:
                yield apt, number


def _feedback(media: MediaDescription) -> dict[str, set[str]]:
    told: dict[str, set[str]] = {}
    for number, what in media.rtcp_fb:
        # "ccm tmmbr smaxpr=120" is more than we need to know (RFC 5104 §7.1).
        words = " ".join(what.lower().split()[:2])
        told.setdefault(number, set()).add(words)
    return told


def all_formats(media: MediaDescription) -> bool:
    """They say what feedback they do once for all formats."""
    return any(number == "*" for number, _ in media.rtcp_fb)


def _recognised(name: str, fmtp: Mapping[str, str]) -> VideoCodec | None:
    """None for a variant that we can't decode."""
    if name == "H264":
        mode = fmtp.get("packetization-mode") or "0"
        profile = profile_of(fmtp.get("profile-level-id") or "42000a")
        return VideoCodec(name, int(mode), profile) if mode in ("0", "1") and profile else None
    if name == "VP9":
        # Profiles 1 to 3 have other colours or more bits (RFC 9628 §6).
        return VideoCodec(name) if fmtp.get("profile-id", "0") == "0" else None
    if name == "H265":
        # RFC 7798 §7.1: several streams in one session, or other than the Main profile.
        usual = fmtp.get("tx-mode", "SRST") == "SRST" and fmtp.get("profile-id", "1") == "1"
        return VideoCodec(name) if usual else None
    return VideoCodec(name)


def profile_of(profile_level_id: str) -> str:
    """Of RFC 6184 table 5; "" for one that we don't do, or for what is none."""
    if not re.fullmatch(r"[0-9A-Fa-f]{6}", profile_level_id, re.ASCII):
        return ""
    idc, constraints = bytes.fromhex(profile_level_id[:4])
    return next((name for i, mask, value, name in _PROFILES if i == idc and constraints & mask == value), "")


# -------------------------------------------------------------------------------------------------- levels


def level_of(profile_level_id: str) -> int:
    """level_idc, 9 for level 1b however it is written (H.264 A.3.1, A.3.2)."""
    idc, constraints, level = bytes.fromhex(profile_level_id)
    return 9 if idc in (66, 77, 88) and level == 11 and constraints & 0x10 else level


def with_level(profile_level_id: str, level: int) -> str:
    """The same profile at another level."""
    idc, constraints, _ = bytes.fromhex(profile_level_id)
    if idc in (66, 77, 88):
        constraints = constraints | 0x10 if level == 9 else constraints & ~0x10
        level = 11 if level == 9 else level
    return f"{idc:02x}{constraints:02x}{level:02x}"


def _rank(level: int) -> float:
    """1b lies between 1 and 1.1."""
    return 10.5 if level == 9 else float(level)


def asymmetric(fmtp: Mapping[str, str]) -> bool:
    return fmtp.get("level-asymmetry-allowed") == "1"


def answered_level(theirs: Mapping[str, str], capabilities: VideoCapabilities) -> int:
    """What we answer to an offer: our own level where both sides' may differ, else none above theirs (§8.2.2)."""
    if asymmetric(theirs):
        return capabilities.level
    return min(capabilities.level, level_of(theirs.get("profile-level-id") or "42000a"), key=_rank)


def sending(
    codec: VideoCodec, theirs: Mapping[str, str], capabilities: VideoCapabilities, *, offered: bool
) -> tuple[tuple[str, str], ...]:
    """Their parameters as they bind what we send.

    Args:
        offered: they made the offer: the lower level is then in force for both, unless the levels may differ.
    """
    found = dict(theirs)
    if codec.name == "H264":
        told = found.get("profile-level-id") or "42000a"
        level = level_of(told)
        if asymmetric(theirs):
            # RFC 6184 §8.1: profile-iop and level_idc of what it can receive, where that is more.
            more = found.get("max-recv-level", "")
            if re.fullmatch(r"[0-9A-Fa-f]{4}", more, re.ASCII):
                level = max(level, level_of(told[:2] + more), key=_rank)
        elif offered:
            level = answered_level(theirs, capabilities)
        found["profile-level-id"] = with_level(told, level)
    return tuple(found.items())


# -------------------------------------------------------------------------------------------------- our fmtp


def our_fmtp(codec: VideoCodec, capabilities: VideoCapabilities, theirs: Mapping[str, str] | None = None) -> str:
    """What we say of a format; ``theirs``: in the offer that we answer."""
    if codec.name == "H264":
        return ";".join(_our_h264(codec, capabilities, theirs))
    if codec.name in ("VP8", "VP9"):
        return f"max-fr={capabilities.max_fps};max-fs={capabilities.max_fs}"
    if codec.name in ("H263-1998", "H263-2000", "H263"):
        # Terminals that know 4CIF name it; the others might be confused by it.
        large = "CIF4=2;" if theirs is not None and "cif4" in theirs else ""
        return f"{large}CIF=1;QCIF=1"
    return "CIF=1;QCIF=1" if codec.name == "H261" else ""


def _our_h264(codec: VideoCodec, capabilities: VideoCapabilities, theirs: Mapping[str, str] | None) -> Iterator[str]:
    level = capabilities.level
    told = f"{_IDS.get(codec.profile, '4200')}00"
    if theirs is not None:
        # §8.2.2: the profile's very bytes; some compare them as text.
        told = theirs.get("profile-level-id") or "42000a"
        level = answered_level(theirs, capabilities)
    yield f"profile-level-id={with_level(told, level)}"
    yield f"packetization-mode={codec.mode}"
    if theirs is None or asymmetric(theirs):
        yield "level-asymmetry-allowed=1"
    if level != capabilities.level:
        yield f"max-mbps={capabilities.max_mbps}"
        yield f"max-fs={capabilities.max_fs}"
        if capabilities.max_bitrate // 1000 > _SLOW.get(level, capabilities.max_bitrate):
            yield f"max-br={capabilities.max_bitrate // 1000}"


def _number(text: str | None) -> int:
    return int(text) if text and len(text) < 10 and text.isascii() and text.isdigit() else 0
