"""Conference-info documents (RFC 4575): full ones, and partial ones with what changed.

A *user* is a URI; people who call from one URI are its *endpoints*. In a partial document a user that changed stands
whole, with ``state="full"``, and one that left with ``state="deleted"``: a subscriber needs no finer merging.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias
from xml.sax.saxutils import escape, quoteattr

from bridge.signalling.pictures import MAIN

from .participant import Participant
from .snapshot import RoomSnapshot

MEDIA_TYPE = "application/conference-info+xml"
NAMESPACE = "urn:ietf:params:xml:ns:conference-info"
SNAPSHOTS = 16
"""Snapshots whose facts are kept: those of the rooms that are being told of just now."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may contain (its §2.2), not even escaped."""

Endpoint: TypeAlias = tuple[int, str, str, str, bool, bool, str, str]
"""What is shown of a participant: number, name, role, state, muted, deaf, language, and of its picture the direction as
it sees it, empty where it has none."""
Pictures: TypeAlias = Mapping[int, str]
"""Participant -> the direction of its picture; nobody is in it who has none."""
VOICE = "0"
"""Label of the voice; that of the picture is the ``a=label`` of its m-line (RFC 4575 §5.8.2)."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the package shows of a room: no gains, no speaker, no hands."""

    title: str
    capacity: int
    count: int
    locked: bool
    pictures: bool
    """There are some in this room."""
    users: dict[str, tuple[Endpoint, ...]]
    """URI -> its endpoints, in the order they came."""


class _Recent:
    """Facts of the latest snapshots: a room's many subscribers are told of the same one, and to go through all its
    people again for each would cost the square of their number."""

    def __init__(self) -> None:
        self._facts: OrderedDict[int, tuple[RoomSnapshot, _Facts]] = OrderedDict()

    def of(self, snapshot: RoomSnapshot, pictures: Pictures | None) -> _Facts:
        key = id(snapshot)  # the snapshot is kept, so the number stays its own
        if key not in self._facts:
            self._facts[key] = (snapshot, _facts(snapshot, pictures))
            while len(self._facts) > SNAPSHOTS:
                self._facts.popitem(last=False)
        return self._facts[key][1]


_recent = _Recent()


class Watcher:
    """One subscription: what it was sent last, and its version counter (RFC 4575 §5.2)."""

    def __init__(self, entity: str) -> None:
        """``entity`` is the conference's URI, ``sip:demo@bridge.example``: that of the focus (``isfocus``)."""
        self._entity = entity
        self._version = 0
        self._sent: _Facts | None = None

    @property
    def version(self) -> int:
        """Of the last document; 0: none was made."""
        return self._version

    def full(self, snapshot: RoomSnapshot, pictures: Pictures | None = None) -> bytes:
        """The whole state: due after SUBSCRIBE and after each refresh. ``pictures``: None: the room has none."""
        facts = self._sent = _recent.of(snapshot, pictures)
        users = "".join(_user(uri, people) for uri, people in facts.users.items())
        body = _description(self._entity, facts) + _state(facts) + f'<users state="full">{users}</users>'
        return self._document("full", body)

    def partial(self, snapshot: RoomSnapshot, pictures: Pictures | None = None) -> bytes | None:
        """What changed since the last document; None: nothing that the package shows. The first is a full one."""
        before, facts = self._sent, _recent.of(snapshot, pictures)
        if before is None:
            return self.full(snapshot, pictures)
        self._sent = facts
        changed = [_user(uri, people) for uri, people in facts.users.items() if before.users.get(uri) != people]
        gone = [f'<user entity={_attribute(uri)} state="deleted"/>' for uri in before.users if uri not in facts.users]
        parts = [
            _description(self._entity, facts) * (_described(before) != _described(facts)),
            _state(facts) * ((before.count, before.locked) != (facts.count, facts.locked)),
            f'<users state="partial">{"".join(gone + changed)}</users>' * bool(gone or changed),
        ]
        return self._document("partial", "".join(parts)) if any(parts) else None

    def deleted(self) -> bytes:
        """The conference is over: ``state="deleted"``, the subscription's last document."""
        return self._document("deleted", "")

    def _document(self, state: str, body: str) -> bytes:
        self._version += 1
        entity = _attribute(self._entity)
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<conference-info xmlns="{NAMESPACE}" entity={entity} state="{state}" version="{self._version}">'
            f"{body}</conference-info>\n"
        ).encode()


def _facts(snapshot: RoomSnapshot, pictures: Pictures | None) -> _Facts:
    users: dict[str, list[Endpoint]] = {}
    for one in snapshot.participants:
        picture = (pictures or {}).get(one.number, "")
        shown = (one.number, one.name, one.role, one.state, one.muted, one.deaf, one.language, picture)
        users.setdefault(_uri(one), []).append(shown)
    return _Facts(
        title=snapshot.title,
        capacity=snapshot.capacity,
        count=sum(one.state == "in" for one in snapshot.participants),
        locked=snapshot.locked,
        pictures=pictures is not None,
        users={uri: tuple(people) for uri, people in users.items()},
    )


def _uri(one: Participant) -> str:
    """Who withholds the URI (RFC 3323) is still told from the others who do."""
    if not one.uri or one.uri.rstrip(">").lower().endswith("@anonymous.invalid"):
        return f"sip:anonymous{one.number}@anonymous.invalid"
    return one.uri


# The order of elements is the schema's.


def _described(facts: _Facts) -> tuple[str, int, bool]:
    return facts.title, facts.capacity, facts.pictures


def _description(entity: str, facts: _Facts) -> str:
    media = [(VOICE, "audio"), *([(MAIN, "video")] if facts.pictures else [])]
    available = "".join(
        f'<entry label="{label}"><type>{kind}</type><status>sendrecv</status></entry>' for label, kind in media
    )
    return (
        f"<conference-description><display-text>{_text(facts.title)}</display-text>"
        f"<conf-uris><entry><uri>{_text(entity)}</uri><purpose>participation</purpose></entry></conf-uris>"
        f"<maximum-user-count>{facts.capacity}</maximum-user-count>"
        f"<available-media>{available}</available-media>"
        "</conference-description>"
    )


def _state(facts: _Facts) -> str:
    return (
        f"<conference-state><user-count>{facts.count}</user-count><active>{_boolean(facts.count > 0)}</active>"
        f"<locked>{_boolean(facts.locked)}</locked></conference-state>"
    )


def _user(uri: str, people: tuple[Endpoint, ...]) -> str:
    name = people[0][1]
    roles = "".join(f"<entry>{role}</entry>" for role in sorted({one[2] for one in people}))
    languages = " ".join(dict.fromkeys(one[6] for one in people))
    return (
        f'<user entity={_attribute(uri)} state="full"><display-text>{_text(name)}</display-text>'
        f"<roles>{roles}</roles><languages>{languages}</languages>"
        + "".join(_endpoint(uri, one) for one in people)
        + "</user>"
    )


def _endpoint(uri: str, one: Endpoint) -> str:
    number, name, _, state, muted, deaf, _, picture = one
    if picture and state != "in":
        picture = "inactive"
    video = (
        f'<media id="2"><type>video</type><label>{MAIN}</label><status>{picture}</status></media>' if picture else ""
    )
    entity = f"{uri.partition('?')[0]};participant={number}"
    return (
        f'<endpoint entity={_attribute(entity)} state="full"><display-text>{_text(name)}</display-text>'
        f"<status>{_status(state, muted)}</status>"
        f'<media id="1"><type>audio</type><label>{VOICE}</label><status>{_media(state, muted, deaf)}</status></media>'
        f"{video}</endpoint>"
    )


def _status(state: str, muted: bool) -> str:
    """§5.7.3: both mutes are ours to carry out, so both are "via focus"."""
    if state == "lobby":
        return "pending"
    return "muted-via-focus" if muted else "connected"


def _media(state: str, muted: bool, deaf: bool) -> str:
    """§5.8.5, as the participant sees it: what it says is taken, what is said is given."""
    speaks, hears = state == "in" and not muted, state == "in" and not deaf
    return {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}.get(
        (speaks, hears), "inactive"
    )


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", text))
