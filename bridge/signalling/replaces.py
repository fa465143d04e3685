"""Replaces (RFC 3891): an INVITE that takes the place of a call."""

from __future__ import annotations

from dataclasses import dataclass

from .dialog import DialogId
from .message import Request
from .session import Session
from .session_table import OVER, State
from .stack import Refused, Stack


@dataclass(frozen=True, slots=True)
class Replacement:
    """``call`` is to be replaced; None: the INVITE has no Replaces."""

    call: int | None = None
    early_only: bool = False


def replacement(stack: Stack, request: Request) -> Replacement:
    """§3. Raises :class:`~.stack.Refused`: 400 for two or unreadable ones, 481 without match, 603 for a call that is
    over, 486 for ``early-only`` and a call that is up."""
    values = request.headers.getlist("Replaces")
    if not values:
        return Replacement()
    call_id, *parameters = (part.strip() for part in values[0].split(";"))
    given: dict[str, str] = {}
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        given[name.strip().lower()] = value.strip()
    if len(values) > 1 or not call_id or not given.get("to-tag") or not given.get("from-tag"):
        raise Refused(400, "Replaces")
    user = stack.dialogs.get(DialogId(call_id, given["to-tag"], given["from-tag"]))
    if user is None and given["from-tag"] == "0":
        # A peer of RFC 2543 without a tag.
        user = stack.dialogs.get(DialogId(call_id, given["to-tag"], ""))
    if not isinstance(user, Session):
        raise Refused(481)
    early_only = "early-only" in given
    if user.state in OVER:
        raise Refused(603)
    if user.state is State.INCOMING:
        # Only whoever sent an INVITE may be replaced early (§3): this one was sent to us.
        raise Refused(481)
    if early_only and user.state is not State.EARLY:
        raise Refused(486)
    return Replacement(user.call, early_only)
