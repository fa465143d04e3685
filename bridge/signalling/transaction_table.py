"""The four transaction machines (RFC 3261 §17, with RFC 6026's corrections), as tables.

Rules kept here:
* A timer runs only in states whose row knows it: entering another state stops the rest.
* A 2xx to INVITE ends no transaction: ``ACCEPTED`` (RFC 6026 §7) absorbs INVITEs sent again at the server and lets
  2xx of every fork through at the client.
* What a row doesn't know changes nothing and is dropped.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

T1 = 0.5
"""Seconds: round-trip time estimate (§17.1.1.1)."""
T2 = 4.0
"""Seconds: longest time between retransmissions (§17.1.2.2)."""
T4 = 5.0
"""Seconds that a message may stay in the network (§17.1.2.2)."""
TRYING_AFTER = 0.2
"""Seconds until an INVITE that nobody answered yet gets its 100 (§17.2.1)."""


class State(enum.StrEnum):
    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Cause(enum.StrEnum):
    REQUEST = "request again"
    ACK = "ACK"
    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "3xx-6xx"
    BROKEN = "transport error"
    TRYING = "200 ms"
    A = "Timer A"
    B = "Timer B"
    D = "Timer D"
    E = "Timer E"
    F = "Timer F"
    G = "Timer G"
    H = "Timer H"
    I = "Timer I"  # noqa: E741  the RFC's name
    J = "Timer J"
    K = "Timer K"
    L = "Timer L"
    M = "Timer M"
    C = "Timer C"
    """Ours: 64*T1 after a CANCEL (§9.1)."""


class Action(enum.StrEnum):
    SEND = "send"
    """Send what is kept: the request, or the last response."""
    PASS = "pass up"
    """Give the message to the transaction's user."""
    ACK = "send ACK"
    TRY = "send 100"
    GIVE_UP = "tell 408"
    BREAK = "tell 503"
    SLOW = "every T2"
    """Timer E goes on with T2 (§17.1.2.2)."""


@dataclass(frozen=True, slots=True)
class Step:
    state: State
    actions: tuple[Action, ...] = ()
    start: tuple[Cause, ...] = ()
    """Timers to start, or to start again."""
    stop: tuple[Cause, ...] = ()
    """Timers that the new state doesn't know; filled in by :func:`_table`."""


Table = Mapping[State, Mapping[Cause, Step]]

DURATION = {
    Cause.TRYING: TRYING_AFTER,
    Cause.B: 64 * T1,
    Cause.C: 64 * T1,
    Cause.D: 32.0,
    Cause.F: 64 * T1,
    Cause.H: 64 * T1,
    Cause.I: T4,
    Cause.J: 64 * T1,
    Cause.K: T4,
    Cause.L: 64 * T1,
    Cause.M: 64 * T1,
}
"""Seconds (§17's table 4, RFC 6026 §8.7). A, E and G double."""
DOUBLING = {Cause.A: 64 * T1, Cause.E: T2, Cause.G: T2}
"""Retransmissions: from T1, doubled up to this. Not over streams."""
LINGERING = frozenset({Cause.D, Cause.I, Cause.J, Cause.K})
"""Waiting for messages that come again: zero over streams."""


def _table(rows: dict[State, dict[Cause, Step]]) -> Table:
    timers = frozenset(DURATION) | frozenset(DOUBLING)
    done: dict[State, Mapping[Cause, Step]] = {}
    for state, row in rows.items():
        running = [cause for cause in row if cause in timers]
        done[state] = MappingProxyType(
            {
                cause: Step(
                    step.state,
                    step.actions,
                    step.start,
                    tuple(timer for timer in running if timer is not cause and timer not in rows.get(step.state, {})),
                )
                for cause, step in row.items()
            }
        )
    done[State.TERMINATED] = MappingProxyType({})
    return MappingProxyType(done)


S, C, A = State, Cause, Action

INVITE_CLIENT = _table(
    {
        S.CALLING: {
            C.A: Step(S.CALLING, (A.SEND,), (C.A,)),
            C.B: Step(S.TERMINATED, (A.GIVE_UP,)),
            C.PROVISIONAL: Step(S.PROCEEDING, (A.PASS,)),
            C.SUCCESS: Step(S.ACCEPTED, (A.PASS,), (C.M,)),
            C.FAILURE: Step(S.COMPLETED, (A.ACK, A.PASS), (C.D,)),
            C.BROKEN: Step(S.TERMINATED, (A.BREAK,)),
        },
        S.PROCEEDING: {
            C.PROVISIONAL: Step(S.PROCEEDING, (A.PASS,)),
            C.SUCCESS: Step(S.ACCEPTED, (A.PASS,), (C.M,)),
            C.FAILURE: Step(S.COMPLETED, (A.ACK, A.PASS), (C.D,)),
            C.C: Step(S.TERMINATED, (A.GIVE_UP,)),
            C.BROKEN: Step(S.TERMINATED, (A.BREAK,)),
        },
        S.COMPLETED: {
            C.FAILURE: Step(S.COMPLETED, (A.ACK,)),
            C.D: Step(S.TERMINATED),
            C.BROKEN: Step(S.TERMINATED),
        },
        S.ACCEPTED: {C.SUCCESS: Step(S.ACCEPTED, (A.PASS,)), C.M: Step(S.TERMINATED)},
    }
)
"""§17.1.1, figure 5 as RFC 6026 §8.4 has it."""

CLIENT = _table(
    {
        S.TRYING: {
            C.E: Step(S.TRYING, (A.SEND,), (C.E,)),
            C.F: Step(S.TERMINATED, (A.GIVE_UP,)),
            C.PROVISIONAL: Step(S.PROCEEDING, (A.SLOW, A.PASS)),
            C.SUCCESS: Step(S.COMPLETED, (A.PASS,), (C.K,)),
            C.FAILURE: Step(S.COMPLETED, (A.PASS,), (C.K,)),
            C.BROKEN: Step(S.TERMINATED, (A.BREAK,)),
        },
        S.PROCEEDING: {
            C.E: Step(S.PROCEEDING, (A.SEND,), (C.E,)),
            C.F: Step(S.TERMINATED, (A.GIVE_UP,)),
            C.PROVISIONAL: Step(S.PROCEEDING, (A.PASS,)),
            C.SUCCESS: Step(S.COMPLETED, (A.PASS,), (C.K,)),
            C.FAILURE: Step(S.COMPLETED, (A.PASS,), (C.K,)),
            C.BROKEN: Step(S.TERMINATED, (A.BREAK,)),
        },
        S.COMPLETED: {C.K: Step(S.TERMINATED), C.BROKEN: Step(S.TERMINATED)},
    }
)
"""§17.1.2, figure 6."""

INVITE_SERVER = _table(
    {
        S.PROCEEDING: {
            C.REQUEST: Step(S.PROCEEDING, (A.SEND,)),
            C.TRYING: Step(S.PROCEEDING, (A.TRY,)),
            C.PROVISIONAL: Step(S.PROCEEDING, (A.SEND,)),
            C.SUCCESS: Step(S.ACCEPTED, (A.SEND,), (C.L,)),
            C.FAILURE: Step(S.COMPLETED, (A.SEND,), (C.G, C.H)),
        },
        S.COMPLETED: {
            C.REQUEST: Step(S.COMPLETED, (A.SEND,)),
            C.ACK: Step(S.CONFIRMED, (), (C.I,)),
            C.G: Step(S.COMPLETED, (A.SEND,), (C.G,)),
            C.H: Step(S.TERMINATED),
        },
        S.CONFIRMED: {C.ACK: Step(S.CONFIRMED), C.REQUEST: Step(S.CONFIRMED), C.I: Step(S.TERMINATED)},
        S.ACCEPTED: {
            C.REQUEST: Step(S.ACCEPTED),
            C.SUCCESS: Step(S.ACCEPTED, (A.SEND,)),
            C.ACK: Step(S.ACCEPTED, (A.PASS,)),
            C.L: Step(S.TERMINATED),
        },
    }
)
"""§17.2.1, figure 7 as RFC 6026 §8.5 has it."""

SERVER = _table(
    {
        S.TRYING: {
            C.REQUEST: Step(S.TRYING),
            C.PROVISIONAL: Step(S.PROCEEDING, (A.SEND,)),
            C.SUCCESS: Step(S.COMPLETED, (A.SEND,), (C.J,)),
            C.FAILURE: Step(S.COMPLETED, (A.SEND,), (C.J,)),
        },
        S.PROCEEDING: {
            C.REQUEST: Step(S.PROCEEDING, (A.SEND,)),
            C.PROVISIONAL: Step(S.PROCEEDING, (A.SEND,)),
            C.SUCCESS: Step(S.COMPLETED, (A.SEND,), (C.J,)),
            C.FAILURE: Step(S.COMPLETED, (A.SEND,), (C.J,)),
        },
        S.COMPLETED: {C.REQUEST: Step(S.COMPLETED, (A.SEND,)), C.J: Step(S.TERMINATED)},
    }
)
"""§17.2.2, figure 8."""


def of_status(status: int) -> Cause:
    return Cause.PROVISIONAL if status < 200 else Cause.SUCCESS if status < 300 else Cause.FAILURE
