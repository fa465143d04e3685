"""The INVITE session's states and what moves them, both roles (RFC 3261 §13-15), as tables.

Rules kept here:
* A final answer is given once. A CANCEL that comes after it changes nothing (§9.2).
* Whoever answered sends no BYE before the ACK came or can't come any more (§15).
* No CANCEL before a provisional response (§9.1): ``LEAVING`` waits for one.
* A 2xx that crosses our CANCEL is acknowledged and hung up with BYE (§9.1, §13.2.2.4).
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    INCOMING = "incoming"
    """UAS: an INVITE waits for our final answer."""
    ANSWERED = "answered"
    """UAS: 2xx sent again and again until the ACK."""
    CALLING = "calling"
    """UAC: INVITE sent, nothing heard."""
    EARLY = "early"
    """UAC: a provisional response came."""
    UNACKNOWLEDGED = "unacknowledged"
    """UAC: 2xx with an offer came, the ACK waits for our answer."""
    CONFIRMED = "confirmed"
    """Both: the call is up."""
    LEAVING = "leaving"
    """UAC: to be cancelled as soon as a provisional response lets us. Over for the conference."""
    CANCELLING = "cancelling"
    """UAC: CANCEL sent, the final response is awaited. Over for the conference."""
    ENDING = "ending"
    """Both: BYE sent, or waiting for the ACK that allows it. Over for the conference."""
    ENDED = "ended"


class Cause(enum.Enum):
    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    SUCCESS_WITH_OFFER = "2xx with offer"
    FAILURE = "3xx-6xx"
    """Also a timeout and a broken transport."""
    ACK = "ACK"
    NO_ACK = "no ACK in 64*T1"
    CANCEL = "CANCEL"
    BYE = "BYE"
    HANGUP = "hang up"
    """Our own wish, or a session timer's."""
    DONE = "BYE concluded"


class WrongState(Exception):
    """A command that the call's state doesn't allow: the caller's error, nothing was sent."""


S, C = State, Cause

UAS: dict[State, dict[Cause, State]] = {
    S.INCOMING: {
        C.PROVISIONAL: S.INCOMING,
        C.SUCCESS: S.ANSWERED,
        C.FAILURE: S.ENDED,
        C.CANCEL: S.ENDED,
        C.HANGUP: S.ENDED,
        C.BYE: S.ENDED,
    },
    S.ANSWERED: {C.ACK: S.CONFIRMED, C.NO_ACK: S.ENDING, C.CANCEL: S.ANSWERED, C.BYE: S.ENDED, C.HANGUP: S.ENDING},
    S.CONFIRMED: {C.ACK: S.CONFIRMED, C.NO_ACK: S.ENDING, C.CANCEL: S.CONFIRMED, C.BYE: S.ENDED, C.HANGUP: S.ENDING},
    S.ENDING: {
        C.ACK: S.ENDING,
        C.NO_ACK: S.ENDING,
        C.CANCEL: S.ENDING,
        C.BYE: S.ENDED,
        C.HANGUP: S.ENDING,
        C.DONE: S.ENDED,
    },
}

UAC: dict[State, dict[Cause, State]] = {
    S.CALLING: {
        C.PROVISIONAL: S.EARLY,
        C.SUCCESS: S.CONFIRMED,
        C.SUCCESS_WITH_OFFER: S.UNACKNOWLEDGED,
        C.FAILURE: S.ENDED,
        C.HANGUP: S.LEAVING,
    },
    S.EARLY: {
        C.PROVISIONAL: S.EARLY,
        C.SUCCESS: S.CONFIRMED,
        C.SUCCESS_WITH_OFFER: S.UNACKNOWLEDGED,
        C.FAILURE: S.ENDED,
        C.HANGUP: S.CANCELLING,
        C.BYE: S.ENDED,
    },
    S.LEAVING: {
        C.PROVISIONAL: S.CANCELLING,
        C.SUCCESS: S.ENDING,
        C.SUCCESS_WITH_OFFER: S.ENDING,
        C.FAILURE: S.ENDED,
        C.HANGUP: S.LEAVING,
    },
    S.CANCELLING: {
        C.PROVISIONAL: S.CANCELLING,
        C.SUCCESS: S.ENDING,
        C.SUCCESS_WITH_OFFER: S.ENDING,
        C.FAILURE: S.ENDED,
        C.BYE: S.CANCELLING,
        C.HANGUP: S.CANCELLING,
    },
    S.UNACKNOWLEDGED: {C.ACK: S.CONFIRMED, C.BYE: S.ENDED, C.HANGUP: S.ENDING},
    S.CONFIRMED: {C.ACK: S.CONFIRMED, C.NO_ACK: S.ENDING, C.BYE: S.ENDED, C.HANGUP: S.ENDING},
    S.ENDING: {
        C.ACK: S.ENDING,
        C.NO_ACK: S.ENDING,
        C.BYE: S.ENDED,
        C.HANGUP: S.ENDING,
        C.DONE: S.ENDED,
    },
}

OVER = frozenset({S.LEAVING, S.CANCELLING, S.ENDING, S.ENDED})
"""The conference has been told CallEnded."""


def next_state(table: dict[State, dict[Cause, State]], state: State, cause: Cause) -> State:
    """Where ``cause`` leads. Raises :class:`WrongState` if it leads nowhere."""
    try:
        return table[state][cause]
    except KeyError:
        raise WrongState(f"{cause.value} in state {state.value}") from None
