"""A room's settings: what may be written, and what is said of what may not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.conference.house import House, NoSuchRoom
from bridge.conference.key import Action
from bridge.conference.placement import Placement
from bridge.conference.settings import RoomSettings


def test_a_name_is_enough() -> None:
    settings = RoomSettings.read("Demo", {})
    assert (settings.name, settings.number, settings.shown, settings.lobby) == ("demo", "", "demo", "off")


def test_a_section_of_the_settings_file_is_read() -> None:
    section = {
        "number": "101",
        "title": "Salle de l'Érable",
        "language": "en-CA",
        "host_pin": "1234",
        "guest_pin": "5678",
        "lobby": "until-host",
        "max_duration": 3600,
        "entry": "name",
        "keys": {"*8": "lock"},
    }
    settings = RoomSettings.read("erable", section)
    assert settings.shown == "Salle de l'Érable"
    assert settings.max_duration == 3600.0
    assert settings.table.action("*8") is Action.LOCK
    assert hash(settings) == hash(RoomSettings.read("erable", section))


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"pin": "1234"}, "no setting is called pin"),
        ({"number": "12a"}, "number '12a': write 1 to 64 digits"),
        ({"number": 101}, "write text, in quotes"),
        ({"title": "a\nb"}, "one line"),
        ({"title": "x" * 201}, "200 characters"),
        ({"language": "de"}, "fr-CA, en-CA"),
        ({"lobby": "always"}, "off, until-host, until-admitted"),
        ({"entry": "bell"}, "silent, tone, name"),
        ({"capacity": 0}, "from 1 to"),
        ({"capacity": True}, "whole number"),
        ({"capacity": 3.5}, "whole number"),
        ({"loudest": 65}, "from 1 to 64"),
        ({"max_duration": -1}, "seconds from 0"),
        ({"max_duration": float("nan")}, "seconds from 0"),
        ({"host_grace": "5"}, "seconds from 0"),
        ({"agc": 1}, "true or false"),
        ({"host_pin": "123"}, "4 to 16 digits"),
        ({"host_pin": "1234", "guest_pin": "1234"}, "must differ"),
        ({"lobby": "until-host"}, "set host_pin too"),
        ({"keys": {"*": "lock"}}, "begins"),
        ({"keys": {"*8": "dance"}}, "no action"),
        ({"keys": 5}, "write a table"),
        ({"keys": [1]}, "pairs"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_that_names_room_and_setting(section: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=r"^room salle: ") as error:
        RoomSettings.read("salle", section)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_pin_is_not_repeated_in_the_sentence() -> None:
    with pytest.raises(ValueError) as error:
        RoomSettings.read("salle", {"host_pin": "12x"})
    assert "12x" not in str(error.value)


@pytest.mark.parametrize("name", ["", "a b", "sip:x", "É", "a/b", "x" * 65])
def test_a_name_that_could_not_be_dialled_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        RoomSettings(name=name)


def test_changes_keep_the_rest_and_the_name() -> None:
    settings = RoomSettings.read("salle", {"capacity": 5})
    assert settings.changed({"max_duration": 60, "name": "salle"}) == RoomSettings(
        name="salle", capacity=5, max_duration=60.0
    )
    with pytest.raises(ValueError, match="does not change"):
        settings.changed({"name": "other"})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*RoomSettings.__dataclass_fields__, "other"]), _JSON, max_size=4))
def test_whatever_is_written_is_read_or_refused_with_one_exception(section: dict[str, Any]) -> None:
    try:
        settings = RoomSettings.read("salle", section)
    except ValueError:
        return
    assert settings.name == "salle"
    hash(settings)


@given(st.text("abAB019+._~-'éÉ %@", max_size=70) | st.text(max_size=70) | st.text("0123456789", max_size=70))
def test_whatever_a_stranger_dials_opens_a_room_or_there_is_no_such_room(user: str) -> None:
    template = RoomSettings(name="template")
    house = House(template, Placement({0: (16000,)}, 10), lambda worker, command: None, ad_hoc=True, limit=5)
    try:
        settings = house.dialled(user)
    except NoSuchRoom:
        return
    assert settings.name == user.lower()
