"""SRTP and SRTCP (RFC 3711, RFC 7714) of many rows at once, in place, over libsrtp.

A row has one session a direction. libsrtp's functions are called straight on packet memory: no bytes object is made,
and the loop over a batch runs in ``map``. The keys come from SDES (RFC 4568).

**Never use an index twice.** Sending two packets with one (key, SSRC, index) tells an eavesdropper their difference
(AES-CM) or the authentication key itself (AES-GCM, RFC 7714 §8.1). A sender that resumes after its process died knows
only where it stood at its last report, so its caller moves ahead with :func:`skip_ahead` by more packets than it can
have sent since (two reports' worth), and likewise for the SRTCP index. libsrtp refuses to go back within one session,
but a new session can't know what the dead one sent.

**What a resumed receiver forgets** is which packets the dead one saw: a recorded packet from before the restart is
taken as the first one if it is replayed before the far end's next true packet. From then on replay protection is
whole.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pylibsrtp import Error as LibraryError
from pylibsrtp import Policy, _binding

from .wire import I32, U32, U64

_ffi: Any = _binding.ffi
_lib: Any = _binding.lib
# The binding has no prototype for these two, but the library inside (or behind) it exports them.
_exports = ctypes.CDLL(_binding.__file__)
_exports.srtp_set_stream_roc.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32]
_exports.srtp_get_stream_roc.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)]

OK: Final = 0
REPLAYED: Final = (9, 10)
"""srtp_err_status_replay_fail, srtp_err_status_replay_old."""
SPARE = 64
"""Bytes behind every packet that ``protect`` may write to (it needs at most 20: SRTCP index and GCM tag)."""
SSRCS = 16
"""SSRCs one row's session remembers; the one first seen goes first. A peer that changes its SSRC without end can't
make the session grow; only one that did so 16 times under one key loses the replay window of its oldest."""
_CHUNK = 1024
_RTCP_STEPS = 4096
"""Dummies protected a call to move resumed SRTCP indices ahead: about 4 ms of a 20 ms beat."""
_SMALLEST = {False: 12, True: 8}
_Flags = NDArray[np.bool_]
_Rows = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Suite:
    """A crypto suite of the SDP Security Descriptions registry (RFC 4568 §6.2, RFC 7714 §14.2)."""

    name: str
    key: int
    """Bytes of master key."""
    salt: int
    """Bytes of master salt."""
    tag: int
    """Bytes added to an RTP packet."""
    profile: int

    @property
    def material(self) -> int:
        """Bytes of key and salt together, as in ``inline:``."""
        return self.key + self.salt


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite("AES_CM_128_HMAC_SHA1_80", 16, 14, 10, Policy.SRTP_PROFILE_AES128_CM_SHA1_80),
        Suite("AES_CM_128_HMAC_SHA1_32", 16, 14, 4, Policy.SRTP_PROFILE_AES128_CM_SHA1_32),
        Suite("AEAD_AES_128_GCM", 16, 12, 16, Policy.SRTP_PROFILE_AEAD_AES_128_GCM),
        Suite("AEAD_AES_256_GCM", 32, 12, 16, Policy.SRTP_PROFILE_AEAD_AES_256_GCM),
    )
}


def skip_ahead(sequence: int, rollover: int, packets: int) -> tuple[int, int]:
    """Sequence number and rollover counter ``packets`` further on: where a resumed sender begins."""
    index = (rollover << 16) + (sequence & 0xFFFF) + packets
    return index & 0xFFFF, (index >> 16) & 0xFFFFFFFF


def _free(holder: Any) -> None:
    _lib.srtp_dealloc(holder[0])


def _policy(suite: Suite, material: bytes, kind: int, ssrc: int = 0, *, repeat: bool = False) -> Policy:
    policy = Policy(key=material, ssrc_type=kind, ssrc_value=ssrc, srtp_profile=suite.profile)
    policy.allow_repeat_tx = repeat
    return policy


@dataclass(slots=True)
class _Session:
    """One libsrtp session: the key's template, and a stream for each SSRC seen."""

    suite: Suite
    material: bytes
    handle: Any
    """``srtp_t``, as the library's functions take it."""
    holder: Any
    """Owns the handle; the session ends with it."""
    repeat: bool = False
    """A packet may be sent again as it was."""
    ssrcs: deque[int] = field(default_factory=deque)
    """Streams in the session, oldest first."""

    @classmethod
    def open(cls, suite: Suite, material: bytes, kind: int, *, repeat: bool = False) -> _Session:
        holder = _ffi.new("srtp_t *")
        policy = _policy(suite, material, kind, repeat=repeat)  # owns the key's memory: it must live through the call
        status = _lib.srtp_create(holder, policy._policy)
        if status != OK:
            raise LibraryError(f"srtp_create: {status}")
        return cls(suite, material, holder[0], _ffi.gc(holder, _free), repeat)

    def close(self) -> None:
        _ffi.release(self.holder)

    @property
    def pointer(self) -> int:
        return int(_ffi.cast("uintptr_t", self.handle))

    def note(self, ssrc: int) -> None:
        """The library made a stream for ``ssrc`` (it does so for packets that prove the key); drop the oldest."""
        if ssrc in self.ssrcs:
            return
        self.ssrcs.append(ssrc)
        if len(self.ssrcs) > SSRCS:
            self.forget(self.ssrcs[0])

    def forget(self, ssrc: int) -> None:
        self.ssrcs.remove(ssrc)
        _lib.srtp_remove_stream(self.handle, int.from_bytes(ssrc.to_bytes(4, "big"), _ORDER))

    def set_rollover(self, ssrc: int, rollover: int) -> None:
        """Say which rollover counter the next packet of ``ssrc`` has; its stream is made if there is none."""
        if _exports.srtp_set_stream_roc(self.pointer, ssrc, rollover) != OK:
            policy = _policy(self.suite, self.material, Policy.SSRC_SPECIFIC, ssrc, repeat=self.repeat)
            if _lib.srtp_add_stream(self.handle, policy._policy) == OK:
                self.note(ssrc)
                _exports.srtp_set_stream_roc(self.pointer, ssrc, rollover)

    def rollover(self, ssrc: int) -> int:
        value = ctypes.c_uint32(0)
        _exports.srtp_get_stream_roc(self.pointer, ssrc, ctypes.byref(value))
        return value.value


_ORDER: Final = "little" if np.little_endian else "big"
_Call = Callable[[Any, Any, Any], int]


class _Direction:
    """The sessions of one direction, a row each, and the loop over a batch."""

    def __init__(self, rows: int, kind: int, *, repeat: bool = False) -> None:
        self._kind = kind
        self._repeat = repeat
        empty = _ffi.new("srtp_t *")
        if _lib.srtp_create(empty, _ffi.NULL) != OK:
            raise LibraryError("srtp_create")
        self._none = _ffi.gc(empty, _free)
        """A session without any key: every packet of a row without keys fails in it."""
        self.handles: list[Any] = [self._none[0]] * rows
        self.sessions: list[_Session | None] = [None] * rows
        self.previous: list[_Session | None] = [None] * rows
        """The session before a re-keying, until the new key is seen in use."""
        self.pending = np.zeros(rows, np.int64)
        """Rollover counter of an unsettled row's next packet."""
        self.unsettled: _Flags = np.zeros(rows, np.bool_)
        """No packet went through the row's session yet."""
        self.ssrc: U32 = np.zeros(rows, np.uint32)
        """SSRC of the row's last good RTP packet."""
        self.any_ssrc: U32 = np.zeros(rows, np.uint32)
        """SSRC of its last good packet, RTP or RTCP."""
        self._lengths: I32 = np.zeros(_CHUNK, np.int32)
        base = _ffi.cast("int *", self._lengths.ctypes.data)
        self._length_pointers = [base + i for i in range(_CHUNK)]

    def set(self, row: int, suite: str, material: bytes, rollover: int) -> bool:
        """Give a row its key; False when it has that key already (nothing changes then)."""
        known = SUITES.get(suite)
        if known is None:
            raise ValueError(f"{suite!r} is none of the crypto suites {', '.join(SUITES)}")
        if len(material) != known.material:
            raise ValueError(f"{suite} takes {known.material} bytes of key and salt, not {len(material)}")
        if not 0 <= rollover < 1 << 32:
            raise ValueError(f"{rollover} is no rollover counter")
        old = self.sessions[row]
        if old is not None and old.suite is known and old.material == material:
            return False
        session = _Session.open(known, material, self._kind, repeat=self._repeat)
        if old is not None:
            # A new master key goes on with the old one's rollover counter (RFC 3711 §3.3.1).
            rollover = rollover or self.rollover(row)
            self.discard_previous(row)
            self.previous[row] = old
        self.sessions[row] = session
        self.handles[row] = session.handle
        self.pending[row] = rollover
        self.unsettled[row] = True
        return True

    def discard_previous(self, row: int) -> None:
        old, self.previous[row] = self.previous[row], None
        if old is not None:
            old.close()

    def drop(self, row: int) -> None:
        self.discard_previous(row)
        session, self.sessions[row] = self.sessions[row], None
        self.handles[row] = self._none[0]
        self.unsettled[row] = False
        self.ssrc[row] = self.any_ssrc[row] = 0
        self.pending[row] = 0
        if session is not None:
            session.close()

    def rollover(self, row: int) -> int:
        session = self.sessions[row]
        if session is None or self.unsettled[row]:
            return int(self.pending[row])
        return session.rollover(int(self.ssrc[row]))

    def run(self, call: _Call, rows: list[int], addresses: U64, lengths: I32) -> I32:
        """Call the library on up to ``_CHUNK`` packets; their status codes. ``lengths`` change in place."""
        n = len(rows)
        pointers = _ffi.unpack(_ffi.cast("void **", addresses.ctypes.data), n)
        handles = self.handles
        scratch = self._lengths
        scratch[:n] = lengths
        status = np.fromiter(map(call, [handles[row] for row in rows], pointers, self._length_pointers), np.int32, n)
        lengths[:] = scratch[:n]
        return status

    def one(self, call: _Call, session: _Session, address: int, length: int) -> tuple[int, int]:
        """Status and new length of a single packet in a given session."""
        self._lengths[0] = length
        status = call(session.handle, _ffi.cast("void *", address), self._length_pointers[0])
        return int(status), int(self._lengths[0])

    def note(self, rows: _Rows, ssrcs: U32, *, rtcp: bool) -> None:
        """Remember which SSRCs good packets had, and keep the sessions from growing."""
        for i in np.flatnonzero(self.any_ssrc[rows] != ssrcs).tolist():
            session = self.sessions[int(rows[i])]
            if session is not None:
                session.note(int(ssrcs[i]))
        self.any_ssrc[rows] = ssrcs
        if not rtcp:
            self.ssrc[rows] = ssrcs


def _words(addresses: U64, offset: int) -> U32:
    """(n,) the big-endian 32-bit words at ``offset`` of packets anywhere in memory."""
    if not len(addresses):
        return np.zeros(0, np.uint32)
    low = int(addresses.min())
    # One view from the first packet to the last; only the words asked for are touched.
    span = int(addresses.max()) - low + offset + 4
    memory = np.frombuffer(_ffi.buffer(_ffi.cast("char *", low), span), np.uint8)
    at = (addresses - np.uint64(low)).astype(np.int64) + offset
    return np.ascontiguousarray(memory[at[:, None] + np.arange(4)]).view(">u4")[:, 0].astype(np.uint32)


class SrtpTable:
    """Sessions of ``rows`` rows, both directions.

    Packets are named by row, memory address and length; all three arrays have one entry a packet, any number of
    packets a row, in the order they came. Every buffer has :data:`SPARE` bytes behind its packet. What fails is False
    in the mask and counted in :attr:`forged` or :attr:`replayed`; its memory may be garbage. Nothing raises.
    """

    def __init__(self, rows: int, *, repeat: bool = False) -> None:
        """Args:
        repeat: a packet may be protected again as it was (a NACK without RTX asks for that): same text, same key
            stream, so nothing is given away.
        """
        self._send = _Direction(rows, Policy.SSRC_ANY_OUTBOUND, repeat=repeat)
        self._receive = _Direction(rows, Policy.SSRC_ANY_INBOUND)
        self._rtcp_index = np.zeros(rows, np.int64)
        self._rtcp_behind = np.zeros(rows, np.int64)
        self.forged = np.zeros(rows, np.int64)
        """(rows,) received packets that were malformed or not authentic, or came without a key being set."""
        self.replayed = np.zeros(rows, np.int64)
        """(rows,) received packets that had been received before, or are too old to tell."""

    # ------------------------------------------------------------------------------------------------ keys

    def set_send(self, row: int, suite: str, material: bytes, *, rollover: int = 0, rtcp_index: int = 0) -> bool:
        """Give a row the key it sends with. With the key it has already nothing changes.

        Args:
            material: master key followed by master salt.
            rollover: rollover counter of the next packet (see :func:`skip_ahead`); kept from the old key when 0.
            rtcp_index: SRTCP index that was used last, plus what may have been sent since.

        Returns:
            Whether the key is new.

        Raises:
            ValueError: unknown suite, wrong size of ``material``, or a rollover counter out of range.
        """
        if not self._send.set(row, suite, material, rollover):
            return False
        self._send.discard_previous(row)
        self._rtcp_index[row] = self._rtcp_behind[row] = rtcp_index
        return True

    def set_receive(self, row: int, suite: str, material: bytes, *, rollover: int = 0) -> bool:
        """Give a row the key it receives with. With the key it has already nothing changes.

        After a change the old key still opens packets until the new one is seen in use (RFC 4568 §7.1.4: who answers
        a re-keying offer may get packets under either). ``rollover`` may be one off: the first packet is tried with
        its neighbours and with 0 (a new SSRC) too, for the counter may have moved since it was reported.

        Raises:
            ValueError: as in :meth:`set_send`.
        """
        return self._receive.set(row, suite, material, rollover)

    def drop(self, row: int) -> None:
        """Forget the keys and counts of a row, both directions."""
        self._send.drop(row)
        self._receive.drop(row)
        self._rtcp_index[row] = self._rtcp_behind[row] = 0
        self.forged[row] = self.replayed[row] = 0

    # --------------------------------------------------------------------------------------------- packets

    def protect(self, rows: _Rows, addresses: U64, lengths: I32) -> _Flags:
        """Encrypt RTP packets in place; (n,) bool: which may be sent. ``lengths`` (int32) grow in place.

        What is False must not be sent: it is still in the clear (its row has no key, or its index was used).
        """
        first = self._send.unsettled[rows]
        if first.any():
            for i in np.flatnonzero(first).tolist():
                self._settle_send(int(rows[i]), addresses[i : i + 1])
        return self._batch(self._send, _lib.srtp_protect, rows, addresses, lengths, rtcp=False)

    def protect_rtcp(self, rows: _Rows, addresses: U64, lengths: I32) -> _Flags:
        """Encrypt RTCP compounds in place. A resumed row's first ones may be False while its index catches up."""
        behind = self._rtcp_behind[rows] > 0
        if behind.any():
            self._catch_up(rows[behind], addresses[behind])
            behind = self._rtcp_behind[rows] > 0
        keep = np.flatnonzero(~behind)
        ok: _Flags = np.zeros(len(rows), np.bool_)
        grown = lengths[keep]
        ok[keep] = self._batch(self._send, _lib.srtp_protect_rtcp, rows[keep], addresses[keep], grown, rtcp=True)
        lengths[keep] = grown
        np.add.at(self._rtcp_index, rows[ok], 1)
        return ok

    def unprotect(self, rows: _Rows, addresses: U64, lengths: I32) -> _Flags:
        """Check and decrypt RTP packets in place; (n,) bool: which are good. ``lengths`` (int32) shrink in place."""
        return self._open(_lib.srtp_unprotect, rows, addresses, lengths, rtcp=False)

    def unprotect_rtcp(self, rows: _Rows, addresses: U64, lengths: I32) -> _Flags:
        """Check and decrypt RTCP compounds in place, likewise."""
        return self._open(_lib.srtp_unprotect_rtcp, rows, addresses, lengths, rtcp=True)

    # ---------------------------------------------------------------------------------------------- state

    def rollover(self, rows: _Rows) -> NDArray[np.int64]:
        """(n,) rollover counters of what the rows received last (only authentic packets move them)."""
        return np.array([self._receive.rollover(row) for row in rows.tolist()], np.int64)

    def send_state(self, rows: _Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(n,) rollover counters of what the rows sent last, and (n,) SRTCP indices they used last."""
        return (
            np.array([self._send.rollover(row) for row in rows.tolist()], np.int64),
            self._rtcp_index[rows],
        )

    # --------------------------------------------------------------------------------------------- inside

    def _batch(self, half: _Direction, call: _Call, rows: _Rows, addresses: U64, lengths: I32, *, rtcp: bool) -> _Flags:
        addresses = np.ascontiguousarray(addresses, np.uint64)
        listed = rows.tolist()
        status: I32 = np.empty(len(listed), np.int32)
        for start in range(0, len(listed), _CHUNK):
            part = slice(start, start + _CHUNK)
            status[part] = half.run(call, listed[part], addresses[part], lengths[part])
        ok: _Flags = status == OK
        if half is self._receive and not ok.all():
            np.add.at(self.replayed, rows[np.isin(status, REPLAYED)], 1)
            np.add.at(self.forged, rows[~ok & ~np.isin(status, REPLAYED)], 1)
        half.note(rows[ok], _words(addresses[ok], 4 if rtcp else 8), rtcp=rtcp)
        return ok

    def _open(self, call: _Call, rows: _Rows, addresses: U64, lengths: I32, *, rtcp: bool) -> _Flags:
        half = self._receive
        whole = lengths >= _SMALLEST[rtcp]
        first = half.unsettled[rows] & whole
        if rtcp and first.any():  # it needs no rollover counter: only who is new, or has two keys, is looked at alone
            known = (first & (half.any_ssrc[rows] != 0)).nonzero()[0]
            first[[i for i in known.tolist() if half.previous[int(rows[i])] is None]] = False
        ok: _Flags = np.zeros(len(rows), np.bool_)
        for i in np.flatnonzero(first).tolist():
            ok[i], lengths[i] = self._first(call, int(rows[i]), int(addresses[i]), int(lengths[i]), rtcp=rtcp)
        np.add.at(self.forged, rows[~whole], 1)
        rest = np.flatnonzero(whole & ~first)
        if len(rest) == len(rows):
            return self._batch(half, call, rows, addresses, lengths, rtcp=rtcp)
        shrunk = lengths[rest]
        ok[rest] = self._batch(half, call, rows[rest], addresses[rest], shrunk, rtcp=rtcp)
        lengths[rest] = shrunk
        return ok

    def _first(self, call: _Call, row: int, address: int, length: int, *, rtcp: bool) -> tuple[bool, int]:
        """Open a packet of a row whose session has not opened one yet: try what may be true, one after the other.

        A failed try may spoil the packet (GCM decrypts before it checks), so each begins with a copy.
        """
        half = self._receive
        session = half.sessions[row]
        if session is None or not half.unsettled[row]:  # an earlier packet of this batch settled it
            one = np.array([length], np.int32)
            ok = self._batch(half, call, np.array([row]), np.array([address], np.uint64), one, rtcp=rtcp)
            return bool(ok[0]), int(one[0])
        memory = _ffi.buffer(_ffi.cast("char *", address), length)
        copy = memory[:]
        at = 4 if rtcp else 8
        ssrc = int.from_bytes(copy[at : at + 4], "big")
        made = ssrc not in session.ssrcs
        status = -1
        for rollover in (0,) if rtcp else self._guesses(row):
            if not rtcp:
                session.set_rollover(ssrc, rollover)
            status, size = half.one(call, session, address, length)
            if status == OK or status in REPLAYED:
                break
            memory[:] = copy
        if status == OK:
            half.note(np.array([row]), np.array([ssrc], np.uint32), rtcp=rtcp)
            if not rtcp:
                half.unsettled[row] = False
                half.discard_previous(row)
            return True, size
        if made and ssrc in session.ssrcs:
            session.forget(ssrc)
        old = half.previous[row]
        if old is not None:
            status, size = half.one(call, old, address, length)
            if status == OK:
                old.note(ssrc)
                return True, size
        (self.replayed if status in REPLAYED else self.forged)[row] += 1
        return False, length

    def _guesses(self, row: int) -> tuple[int, ...]:
        told = int(self._receive.pending[row])
        # 0 comes last: it also takes a wrong guess back from the stream.
        return (*dict.fromkeys(guess for guess in (told, told + 1, told - 1) if guess > 0), 0)

    def _settle_send(self, row: int, address: U64) -> None:
        half = self._send
        session = half.sessions[row]
        if session is None or not half.unsettled[row]:
            return
        half.unsettled[row] = False
        if half.pending[row]:
            session.set_rollover(int(_words(address, 8)[0]), int(half.pending[row]))

    def _catch_up(self, rows: _Rows, addresses: U64) -> None:
        """Move resumed rows' SRTCP indices ahead, within a budget: the library has no call to set them."""
        dummy = np.zeros(8 + SPARE, np.uint8)
        budget = _RTCP_STEPS
        for row, ssrc in zip(rows.tolist(), _words(addresses, 4).tolist(), strict=True):
            session = self._send.sessions[row]
            if session is None:
                continue
            steps = min(int(self._rtcp_behind[row]), budget)
            for _ in range(steps):
                dummy[:8] = np.frombuffer(b"\x80\xc9\0\x01" + int(ssrc).to_bytes(4, "big"), np.uint8)
                self._send.one(_lib.srtp_protect_rtcp, session, dummy.ctypes.data, 8)
            self._rtcp_behind[row] -= steps
            budget -= steps
            if not budget:
                break
