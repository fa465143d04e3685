"""Conference-info documents: well-formed, of RFC 4575's structure, and a subscriber who merges them is right."""

from __future__ import annotations

import copy
from typing import Any
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from bridge.conference.info import NAMESPACE, Watcher
from bridge.conference.room import Room
from tests.conference.people import ANNE, BRUNO, CLAIRE, HOST, held, join, room

FOCUS = "sip:salle@bridge.example.ca"

# The schema of RFC 4575: each element's children in their order, as far as we use them, and its attributes.
CHILDREN: dict[str, list[str]] = {
    "conference-info": ["conference-description", "host-info", "conference-state", "users"],
    "conference-description": [
        "display-text",
        "subject",
        "free-text",
        "keywords",
        "conf-uris",
        "service-uris",
        "maximum-user-count",
        "available-media",
    ],
    "conf-uris": ["entry"],
    "available-media": ["entry"],
    "conference-state": ["user-count", "active", "locked"],
    "users": ["user"],
    "user": ["display-text", "associated-aors", "roles", "languages", "cascaded-focus", "endpoint"],
    "roles": ["entry"],
    "endpoint": ["display-text", "referred", "status", "joining-method", "joining-info", "media", "call-info"],
    "media": ["display-text", "type", "label", "src-id", "status"],
    "entry": ["uri", "display-text", "purpose", "type", "status"],
}
ATTRIBUTES: dict[str, set[str]] = {
    "conference-info": {"entity", "state", "version"},
    "users": {"state"},
    "user": {"entity", "state"},
    "endpoint": {"entity", "state"},
    "media": {"id"},
    "entry": {"label"},
}
ENDPOINT_STATUS = {
    "pending",
    "dialing-out",
    "dialing-in",
    "alerting",
    "on-hold",
    "connected",
    "muted-via-focus",
    "disconnecting",
    "disconnected",
}


def name(element: ET.Element) -> str:
    assert element.tag.startswith(f"{{{NAMESPACE}}}")
    return element.tag.removeprefix(f"{{{NAMESPACE}}}")


def check(element: ET.Element) -> None:
    """Structure as the schema has it."""
    mine = name(element)
    assert set(element.attrib) <= ATTRIBUTES.get(mine, set()), mine
    if "state" in element.attrib:
        assert element.attrib["state"] in ("full", "partial", "deleted")
    order = [CHILDREN[mine].index(name(child)) for child in element] if len(element) else []
    assert order == sorted(order), f"children of {mine} out of order"
    repeated = {"user", "entry", "endpoint", "media"}
    single = [name(child) for child in element if name(child) not in repeated]
    assert len(single) == len(set(single))
    for child in element:
        check(child)


def parse(document: bytes | None) -> ET.Element:
    assert document is not None
    root = ET.fromstring(document)
    assert name(root) == "conference-info"
    check(root)
    return root


def find(root: ET.Element, path: str) -> list[ET.Element]:
    return root.findall("/".join(f"{{{NAMESPACE}}}{step}" for step in path.split("/")))


def text(root: ET.Element, path: str) -> list[str]:
    return [element.text or "" for element in find(root, path)]


def test_a_full_document_shows_room_and_people() -> None:
    here = held(title="Salle A", capacity=20)
    here.mute(ANNE, by=HOST, now=0.0)
    here.deafen(BRUNO, True, by=BRUNO, now=0.0)
    here.lock(by=HOST, now=0.0)
    root = parse(Watcher(FOCUS).full(here.snapshot()))
    assert root.attrib == {"entity": FOCUS, "state": "full", "version": "1"}
    assert text(root, "conference-description/display-text") == ["Salle A"]
    assert text(root, "conference-description/conf-uris/entry/uri") == [FOCUS]
    assert text(root, "conference-description/maximum-user-count") == ["20"]
    assert text(root, "conference-description/available-media/entry/type") == ["audio"]
    assert text(root, "conference-state/user-count") == ["3"]
    assert text(root, "conference-state/active") == ["true"]
    assert text(root, "conference-state/locked") == ["true"]
    assert [user.attrib["entity"] for user in find(root, "users/user")] == [f"sip:{n}@example.ca" for n in (1, 2, 3)]
    assert text(root, "users/user/display-text") == ["Hélène", "Anne", "Bruno"]
    assert text(root, "users/user/roles/entry") == ["host", "guest", "guest"]
    assert text(root, "users/user/endpoint/status") == ["connected", "muted-via-focus", "connected"]
    assert text(root, "users/user/endpoint/media/status") == ["sendrecv", "recvonly", "sendonly"]
    assert set(text(root, "users/user/endpoint/status")) <= ENDPOINT_STATUS


def test_an_empty_room_is_a_document_too() -> None:
    root = parse(Watcher(FOCUS).full(room().snapshot()))
    assert text(root, "conference-state/user-count") == ["0"]
    assert text(root, "conference-state/active") == ["false"]
    assert find(root, "users")[0].attrib["state"] == "full"


def test_who_waits_is_pending_and_does_not_count() -> None:
    here = room(lobby="until-admitted")
    join(here, HOST, ANNE)
    root = parse(Watcher(FOCUS).full(here.snapshot()))
    assert text(root, "conference-state/user-count") == ["1"]
    assert text(root, "users/user/endpoint/status") == ["connected", "pending"]
    assert text(root, "users/user/endpoint/media/status") == ["sendrecv", "inactive"]


def test_a_partial_document_has_what_changed_and_nothing_else() -> None:
    here = held()
    watcher = Watcher(FOCUS)
    watcher.full(here.snapshot())
    here.mute(ANNE, by=ANNE, now=0.0)
    root = parse(watcher.partial(here.snapshot()))
    assert (root.attrib["state"], root.attrib["version"]) == ("partial", "2")
    assert [name(child) for child in root] == ["users"]
    (user,) = find(root, "users/user")
    assert (user.attrib["entity"], user.attrib["state"]) == ("sip:2@example.ca", "full")
    here.leave(ANNE, 1.0)
    root = parse(watcher.partial(here.snapshot()))
    assert root.attrib["version"] == "3"
    (user,) = find(root, "users/user")
    assert user.attrib == {"entity": "sip:2@example.ca", "state": "deleted"}
    assert len(user) == 0
    assert watcher.partial(here.snapshot()) is None, "told once"
    assert text(root, "conference-state/user-count") == ["2"]


def test_what_the_package_does_not_show_makes_no_document() -> None:
    here = held()
    watcher = Watcher(FOCUS)
    watcher.full(here.snapshot())
    here.raise_hand(ANNE, by=ANNE, now=0.0)
    here.speaking(BRUNO, 0.0)
    here.set_volume(ANNE, 3, by=ANNE, now=0.0)
    assert watcher.partial(here.snapshot()) is None
    assert watcher.version == 1


def test_the_first_partial_document_is_a_full_one() -> None:
    assert parse(Watcher(FOCUS).partial(held().snapshot())).attrib["state"] == "full"


def test_each_subscription_counts_its_own_versions() -> None:
    here = held()
    one, other = Watcher(FOCUS), Watcher(FOCUS)
    one.full(here.snapshot())
    assert parse(one.full(here.snapshot())).attrib["version"] == "2"
    assert parse(other.full(here.snapshot())).attrib["version"] == "1"


def test_the_end_is_a_deleted_conference() -> None:
    watcher = Watcher(FOCUS)
    watcher.full(held().snapshot())
    assert parse(watcher.deleted()).attrib == {"entity": FOCUS, "state": "deleted", "version": "2"}


def test_two_calls_from_one_uri_are_two_endpoints_of_one_user() -> None:
    here = room()
    join(here, ANNE, BRUNO, uri="sip:salle-4@example.ca")
    root = parse(Watcher(FOCUS).full(here.snapshot()))
    assert len(find(root, "users/user")) == 1
    entities = [endpoint.attrib["entity"] for endpoint in find(root, "users/user/endpoint")]
    assert len(set(entities)) == 2
    assert text(root, "users/user/endpoint/display-text") == ["Anne", "Bruno"]


def test_anonymous_callers_are_told_apart() -> None:
    here = room()
    join(here, ANNE, BRUNO, uri="sip:anonymous@anonymous.invalid")
    join(here, CLAIRE, uri="")
    root = parse(Watcher(FOCUS).full(here.snapshot()))
    assert len({user.attrib["entity"] for user in find(root, "users/user")}) == 3


@given(st.text(max_size=30), st.text(max_size=30), st.text(st.characters(codec="utf-8"), max_size=20))
def test_whatever_strangers_call_themselves_the_document_is_well_formed(who: str, uri: str, entity: str) -> None:
    here = room()
    join(here, ANNE, name=who, uri=uri)
    root = parse(Watcher(entity).full(here.snapshot()))
    assert len(find(root, "users/user")) == 1


def test_markup_in_a_name_stays_text() -> None:
    here = room()
    join(here, ANNE, name='</display-text><x a="1">&amp;', uri='sip:a"><b@x')
    root = parse(Watcher('sip:"&<@x').full(here.snapshot()))
    assert text(root, "users/user/display-text") == ['</display-text><x a="1">&amp;']
    assert find(root, "users/user")[0].attrib["entity"] == 'sip:a"><b@x'
    assert root.attrib["entity"] == 'sip:"&<@x'


def merged(state: ET.Element | None, document: ET.Element) -> ET.Element:
    """What a subscriber knows after a document (the rules of RFC 4575 for partial notifications)."""
    if document.attrib["state"] == "full":
        return document
    assert state is not None
    result = copy.deepcopy(state)
    for part in document:
        if name(part) != "users":
            old = find(result, name(part))[0]
            result[list(result).index(old)] = part
            continue
        users = find(result, "users")[0]
        for user in part:
            for old in [old for old in users if old.attrib["entity"] == user.attrib["entity"]]:
                users.remove(old)
            if user.attrib["state"] != "deleted":
                users.append(user)
    return result


def facts(root: ET.Element) -> Any:
    users = {user.attrib["entity"]: ET.tostring(user) for user in find(root, "users/user")}
    return [ET.tostring(part) for part in root if name(part) != "users"], users


STEPS = {
    "come": lambda here, n: join(here, n, uri=f"sip:{n % 3}@x") if n not in here and not here.ended else None,
    "go": lambda here, n: here.leave(n, 0.0),
    "mute": lambda here, n: here.mute(n, by=None, now=0.0) if n in here else None,
    "unmute": lambda here, n: here.unmute(n, by=None, now=0.0) if n in here else None,
    "host": lambda here, n: here.set_role(n, "host", by=None, now=0.0) if n in here else None,
    "rename": lambda here, n: here.rename(n, f"x{n}", by=None, now=0.0) if n in here else None,
    "lock": lambda here, n: here.lock(by=None, now=0.0) if not here.ended else None,
    "retitle": lambda here, n: here.change_settings({"title": f"t{n}"}, by=None, now=0.0) if not here.ended else None,
}


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(10, 16), st.booleans()), max_size=40))
def test_a_subscriber_who_merges_partial_documents_knows_what_a_full_one_says(
    steps: list[tuple[str, int, bool]],
) -> None:
    here: Room = room(lobby="until-admitted")
    watcher = Watcher(FOCUS)
    known = parse(watcher.full(here.snapshot()))
    for step, number, told in steps:
        if step == "come" and here.locked:
            continue
        STEPS[step](here, number)
        if told and (document := watcher.partial(here.snapshot())) is not None:
            known = merged(known, parse(document))
    if (document := watcher.partial(here.snapshot())) is not None:
        known = merged(known, parse(document))
    assert facts(known) == facts(parse(Watcher(FOCUS).full(here.snapshot())))


def test_pictures_are_media_of_their_own() -> None:
    here = held()
    watcher = Watcher(FOCUS)
    root = parse(watcher.full(here.snapshot(), {ANNE: "sendrecv", BRUNO: "recvonly"}))
    assert text(root, "conference-description/available-media/entry/type") == ["audio", "video"]
    labels = [entry.attrib["label"] for entry in find(root, "conference-description/available-media/entry")]
    people = find(root, "users/user")
    both = ["audio", "video"]
    assert [text(person, "endpoint/media/type") for person in people] == [["audio"], both, both]
    assert text(people[1], "endpoint/media/label") == labels
    assert text(people[1], "endpoint/media/status") == ["sendrecv", "sendrecv"]
    assert text(people[2], "endpoint/media/status") == ["sendrecv", "recvonly"]


def test_a_camera_that_goes_off_is_news_of_that_participant_only() -> None:
    here = held()
    watcher = Watcher(FOCUS)
    watcher.full(here.snapshot(), {ANNE: "sendrecv"})
    assert watcher.partial(here.snapshot(), {ANNE: "sendrecv"}) is None
    root = parse(watcher.partial(here.snapshot(), {}))
    assert [user.attrib["entity"] for user in find(root, "users/user")] == [f"sip:{ANNE}@example.ca"]
    assert text(root, "users/user/endpoint/media/type") == ["audio"]
    assert not find(root, "conference-description")


def test_a_room_that_gets_pictures_is_described_again() -> None:
    here = held()
    watcher = Watcher(FOCUS)
    watcher.full(here.snapshot())
    root = parse(watcher.partial(here.snapshot(), {}))
    assert text(root, "conference-description/available-media/entry/type") == ["audio", "video"]
    assert not find(root, "users/user")


def test_who_waits_in_the_lobby_has_no_picture_yet() -> None:
    here = room(lobby="until-admitted")
    join(here, HOST, ANNE)
    root = parse(Watcher(FOCUS).full(here.snapshot(), {ANNE: "sendrecv"}))
    assert text(root, "users/user/endpoint/media/status")[-1] == "inactive"
