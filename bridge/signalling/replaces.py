"""Replaces (RFC 3891): an INVITE that takes the place of a call."""

from __future__ import annotations

from dataclasses import dataclass

from .dialog import DialogId
from .message import Request
from .session import Session
from .session_table import OVER, State
from .stack import Stack


@dataclass(frozen=True, slots=True)
class Replacement:
    """``code`` 0: ``call`` (None: no Replaces) is to be replaced; else the INVITE gets this error."""

    code: int = 0
    call: int | None = None
    early_only: bool = False


def replacement(stack: Stack, request: Request) -> Replacement:
    """§3: 400 for two or unreadable ones, 481 without match, 603 for a call that is over, 486 for ``early-only`` and a
    call that is up."""
    values = request.headers.getlist("Replaces")
    if not values:
        return Replacement()
    call_id, *parameters = (part.strip() for part in values[0].split(";"))
    given: dict[str, str] = {}
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        given[name.strip().lower()] = value.strip()
    if len(values) > 1 or not call_id or not given.get("to-tag") or not given.get("from-tag"):
        return Replacement(400)
    user = stack.dialogs.get(DialogId(call_id, given["to-tag"], given["from-tag"]))
    if user is None and given["from-tag"] == "0":
        # A peer of RFC 2543 without a tag.
        user = stack.dialogs.get(DialogId(call_id, given["to-tag"], ""))
    if not isinstance(user, Session):
        return Replacement(481)
    early_only = "early-only" in given
    if user.state in OVER:
        return Replacement(603)
    if user.state is State.INCOMING:
        # Only whoever sent an INVITE may be replaced early (§3): this one was sent to us.
        return Replacement(481)
    if early_only and user.state is not State.EARLY:
        return Replacement(486)
    return Replacement(0, user.call, early_only)
