"""Mute flags, deafness, gains, and the speaking queue."""

from __future__ import annotations

import pytest

from bridge.conference.error import Refused
from bridge.conference.event import (
    Admitted,
    Announce,
    Deafened,
    EverybodyMuted,
    FloorGiven,
    GainsChanged,
    HandsChanged,
    Joined,
    Muted,
)
from bridge.conference.phrase import Phrase, Spoken
from bridge.conference.room import Room
from tests.conference.people import ANNE, BRUNO, CLAIRE, HOST, heard, held, join, key, room


def flags(here: Room, number: int) -> tuple[bool, bool]:
    """(by host, by self)"""
    person = here.participant(number)
    return person.muted_by_host, person.muted_by_self


def test_the_two_mutes_are_two_flags_and_both_are_spoken() -> None:
    here = held()
    here.mute(ANNE, by=ANNE, now=0.0)
    here.mute(ANNE, by=HOST, now=0.0)
    events = list(here.events())
    assert [event for event in events if isinstance(event, Muted)] == [
        Muted("salle", ANNE, by_host=False, by_self=True),
        Muted("salle", ANNE, by_host=True, by_self=True),
    ]
    assert heard(events, ANNE) == [Phrase.MUTED_BY_SELF, Phrase.MUTED_BY_HOST]


def test_who_opens_its_microphone_is_told_that_the_host_keeps_it_muted() -> None:
    here = held()
    here.mute(ANNE, by=ANNE, now=0.0)
    here.mute(ANNE, by=HOST, now=0.0)
    list(here.events())
    here.unmute(ANNE, by=ANNE, now=1.0)
    assert flags(here, ANNE) == (True, False)
    assert heard(list(here.events()), ANNE) == [Phrase.STILL_MUTED_BY_HOST]
    here.unmute(ANNE, by=ANNE, now=1.0)
    assert list(here.events()) == [Announce("salle", Spoken(Phrase.STILL_MUTED_BY_HOST), ANNE)], "told again, unchanged"
    here.unmute(ANNE, by=HOST, now=2.0)
    assert heard(list(here.events()), ANNE) == [Phrase.UNMUTED_BY_HOST]
    assert flags(here, ANNE) == (False, False)


def test_whom_the_host_releases_is_told_that_its_own_mute_is_on() -> None:
    here = held()
    here.mute(ANNE, by=ANNE, now=0.0)
    here.mute(ANNE, by=None, now=0.0)
    list(here.events())
    here.unmute(ANNE, by=HOST, now=1.0)
    assert flags(here, ANNE) == (False, True)
    assert heard(list(here.events()), ANNE) == [Phrase.STILL_MUTED_BY_SELF]


def test_a_host_who_was_muted_by_another_opens_both() -> None:
    here = held()
    here.mute(HOST, by=None, now=0.0)
    here.mute(HOST, by=HOST, now=0.0)
    list(here.events())
    key(here, HOST, "*6")
    assert flags(here, HOST) == (False, False)


def test_muting_the_muted_emits_nothing() -> None:
    here = held()
    here.mute(ANNE, by=ANNE, now=0.0)
    list(here.events())
    here.mute(ANNE, by=ANNE, now=1.0)
    assert not list(here.events())


def test_everybody_is_muted_but_the_hosts_and_guests_who_come_later_too() -> None:
    here = held()
    here.mute_all(by=HOST, now=0.0)
    events = list(here.events())
    assert EverybodyMuted("salle", True) in events
    assert heard(events, None) == [Phrase.EVERYBODY_MUTED]
    assert [flags(here, n)[0] for n in (HOST, ANNE, BRUNO)] == [False, True, True]
    events = join(here, CLAIRE)
    assert events[:2] == [Joined("salle", CLAIRE), Muted("salle", CLAIRE, by_host=True, by_self=False)]
    assert heard(events, CLAIRE) == [Phrase.MUTED_BY_HOST]
    join(here, 9, role="host")
    assert flags(here, 9) == (False, False)


def test_everybody_is_released_and_those_with_a_mute_of_their_own_are_told() -> None:
    here = held()
    here.mute_all(by=HOST, now=0.0)
    here.mute(ANNE, by=ANNE, now=0.0)
    list(here.events())
    here.unmute_all(by=HOST, now=1.0)
    events = list(here.events())
    assert heard(events, None) == [Phrase.EVERYBODY_UNMUTED]
    assert heard(events, ANNE) == [Phrase.STILL_MUTED_BY_SELF]
    assert heard(events, BRUNO) == []
    assert flags(here, ANNE) == (False, True)
    here.unmute_all(by=HOST, now=2.0)
    assert not list(here.events())


def test_guests_come_in_muted_where_the_room_says_so_and_open_it_themselves() -> None:
    here = room(mute_on_entry=True)
    join(here, HOST)
    events = join(here, ANNE)
    assert flags(here, HOST) == (False, False)
    assert events[:2] == [Joined("salle", ANNE), Muted("salle", ANNE, by_host=False, by_self=True)]
    assert heard(events, ANNE) == [Phrase.MUTED_BY_SELF]
    assert heard(key(here, ANNE, "*6"), ANNE) == [Phrase.UNMUTED_BY_SELF]


def test_who_waited_comes_in_muted_too() -> None:
    here = room(mute_on_entry=True, lobby="until-admitted")
    join(here, HOST, ANNE)
    here.admit(ANNE, by=HOST, now=1.0)
    assert list(here.events())[:2] == [Admitted("salle", ANNE), Muted("salle", ANNE, by_host=False, by_self=True)]


def test_deafness() -> None:
    here = held()
    here.deafen(ANNE, True, by=HOST, now=0.0)
    here.deafen(ANNE, True, by=ANNE, now=0.0)
    assert list(here.events()) == [Deafened("salle", ANNE, True)]
    assert here.participant(ANNE).deaf


def test_gains_go_in_steps_of_three_up_to_twelve_and_are_spoken() -> None:
    here = held()
    for _ in range(5):
        here.step_volume(ANNE, 1, by=ANNE, now=0.0)
    events = list(here.events())
    assert [event.volume for event in events if isinstance(event, GainsChanged)] == [3, 6, 9, 12]
    assert heard(events, ANNE) == [Phrase.VOLUME_UP] * 5
    here.step_voice(ANNE, -1, by=HOST, now=0.0)
    events = list(here.events())
    assert events[0] == GainsChanged("salle", ANNE, voice=-3, volume=12)
    assert heard(events, ANNE) == [Phrase.VOICE_DOWN]


def test_a_gain_out_of_range_is_refused() -> None:
    here = held()
    with pytest.raises(Refused) as error:
        here.set_voice(ANNE, 13, by=None, now=0.0)
    assert error.value.reason == "range"
    here.set_voice(ANNE, -12, by=None, now=0.0)
    assert list(here.events()) == [GainsChanged("salle", ANNE, voice=-12, volume=0)]


def test_one_queue_for_every_kind_of_participant_that_says_the_place() -> None:
    here = room()
    for number, kind in enumerate(("sip", "pstn", "web", "h323"), 1):
        join(here, number, kind=kind, role="guest", voice_prompts=kind != "web")
    assert [here.raise_hand(number, by=number, now=0.0) for number in (3, 2, 4, 1)] == [1, 2, 3, 4]
    events = list(here.events())
    assert [event.order for event in events if isinstance(event, HandsChanged)] == [
        (3,),
        (3, 2),
        (3, 2, 4),
        (3, 2, 4, 1),
    ]
    assert Announce("salle", Spoken(Phrase.HAND_RAISED, number=2), 2) in events
    assert not heard(events, 3), "the browser shows it"
    assert [person.hand for person in here.participants()] == [4, 2, 1, 3]


def test_raising_a_raised_hand_keeps_its_place() -> None:
    here = held()
    here.raise_hand(ANNE, by=ANNE, now=0.0)
    here.raise_hand(BRUNO, by=BRUNO, now=0.0)
    list(here.events())
    assert here.raise_hand(ANNE, by=ANNE, now=1.0) == 1
    assert not list(here.events())


def test_the_floor_goes_to_the_first_and_takes_the_hosts_mute_off() -> None:
    here = held()
    here.mute_all(by=HOST, now=0.0)
    here.raise_hand(BRUNO, by=BRUNO, now=0.0)
    here.raise_hand(ANNE, by=ANNE, now=0.0)
    list(here.events())
    assert here.give_floor(by=HOST, now=1.0) == BRUNO
    events = list(here.events())
    assert HandsChanged("salle", (ANNE,)) in events
    assert FloorGiven("salle", BRUNO) in events
    assert heard(events, BRUNO) == [Phrase.YOUR_TURN]
    assert Announce("salle", Spoken(Phrase.HAND_RAISED, number=1), ANNE) in events, "the next is to be ready"
    assert flags(here, BRUNO) == (False, False)


def test_who_gets_the_floor_under_its_own_mute_is_told() -> None:
    here = held()
    here.mute(ANNE, by=ANNE, now=0.0)
    here.mute(ANNE, by=HOST, now=0.0)
    list(here.events())
    here.give_floor(ANNE, by=HOST, now=1.0)
    assert heard(list(here.events()), ANNE) == [Phrase.YOUR_TURN, Phrase.STILL_MUTED_BY_SELF]


def test_the_floor_goes_to_nobody_when_no_hand_is_up() -> None:
    with pytest.raises(Refused) as error:
        held().give_floor(by=HOST, now=0.0)
    assert error.value.reason == "nobody"


def test_who_leaves_or_is_moved_is_out_of_the_queue() -> None:
    here = held()
    for number in (ANNE, BRUNO):
        here.raise_hand(number, by=number, now=0.0)
    list(here.events())
    here.leave(ANNE, 1.0)
    assert HandsChanged("salle", (BRUNO,)) in list(here.events())
    here.take_out(BRUNO, by=HOST, now=2.0)
    assert here.hands == ()


def test_who_waits_in_the_lobby_has_no_place_in_the_queue() -> None:
    here = room(lobby="until-admitted")
    join(here, HOST, ANNE)
    with pytest.raises(Refused) as error:
        here.raise_hand(ANNE, by=ANNE, now=0.0)
    assert error.value.reason == "lobby"
