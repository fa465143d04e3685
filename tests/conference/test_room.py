"""Comings and goings, the lobby, the lock, the end."""

from __future__ import annotations

import pytest

from bridge.conference.error import Forbidden, NoSuchParticipant, Refused
from bridge.conference.event import (
    Admitted,
    Announce,
    Ended,
    Hangup,
    HelpAnswered,
    HelpWanted,
    Joined,
    Left,
    LockChanged,
    Muted,
    Renamed,
    RoleChanged,
    SettingsChanged,
    SpeakerChanged,
    Tone,
    Waiting,
)
from bridge.conference.phrase import Phrase, Spoken
from tests.conference.people import ANNE, BRUNO, CLAIRE, HOST, heard, held, join, key, room


def test_who_joins_an_open_room_is_in_and_told_that_nobody_else_is() -> None:
    here = room(announce_alone=True)
    events = join(here, ANNE)
    assert events == [Joined("salle", ANNE), Announce("salle", Spoken(Phrase.YOU_ARE_ALONE), ANNE)]
    assert here.participant(ANNE).state == "in"


def test_newcomers_are_told_how_many_are_there_themselves_included() -> None:
    here = room(announce_people=True)
    join(here, ANNE)
    assert Announce("salle", Spoken(Phrase.PEOPLE_IN_ROOM, number=2), BRUNO) in join(here, BRUNO)


def test_a_coming_and_a_going_are_told_by_tones() -> None:
    here = room(entry="tone")
    assert not [event for event in join(here, ANNE) if isinstance(event, Tone)], "nobody else could hear it"
    assert Tone("salle", "join") in join(here, BRUNO)
    here.leave(BRUNO, 1.0)
    assert Tone("salle", "leave") in list(here.events())


def test_a_coming_and_a_going_are_told_by_recorded_names() -> None:
    here = room(entry="name")
    join(here, ANNE)
    events = join(here, BRUNO, recorded_name="capture:7")
    assert Announce("salle", Spoken(Phrase.HAS_JOINED, names=("capture:7",)), None) in events
    events = join(here, CLAIRE)
    assert Announce("salle", Spoken(Phrase.HAS_JOINED), None) in events, "without a name too"
    here.leave(BRUNO, 1.0)
    assert Announce("salle", Spoken(Phrase.HAS_LEFT, names=("capture:7",)), None) in list(here.events())


def test_a_silent_room_tells_nothing_of_comings_and_goings() -> None:
    here = held()
    events = join(here, CLAIRE)
    here.leave(CLAIRE, 1.0)
    assert not [event for event in [*events, *here.events()] if isinstance(event, Tone | Announce)]


def test_who_remains_alone_is_told() -> None:
    here = room(announce_alone=True)
    join(here, ANNE, BRUNO)
    here.leave(BRUNO, 1.0)
    assert heard(list(here.events()), ANNE) == [Phrase.YOU_ARE_ALONE]


def test_the_number_of_somebody_who_is_there_is_refused() -> None:
    here = held()
    with pytest.raises(Refused) as error:
        join(here, ANNE)
    assert error.value.reason == "present"


def test_a_full_room_refuses_and_says_so() -> None:
    here = room(capacity=2)
    join(here, ANNE, BRUNO)
    with pytest.raises(Refused) as error:
        join(here, CLAIRE)
    assert (error.value.reason, error.value.phrase) == ("full", Phrase.ROOM_FULL)
    here.leave(ANNE, 1.0)
    assert Joined("salle", CLAIRE) in join(here, CLAIRE)


def test_a_locked_room_refuses_guests_and_takes_hosts_and_the_invited() -> None:
    here = held()
    here.lock(by=HOST, now=0.0)
    events = list(here.events())
    assert events[0] == LockChanged("salle", True)
    assert heard(events, None) == [Phrase.ROOM_NOW_LOCKED]
    with pytest.raises(Refused) as error:
        join(here, CLAIRE)
    assert (error.value.reason, error.value.phrase) == ("locked", Phrase.ROOM_LOCKED)
    assert Joined("salle", CLAIRE) in join(here, CLAIRE, role="host")
    assert Joined("salle", 9) in join(here, 9, invited=True)
    here.unlock(by=None, now=0.0)
    assert Joined("salle", 10) in join(here, 10)


def test_locking_a_locked_room_emits_nothing() -> None:
    here = held()
    here.lock(by=HOST, now=0.0)
    list(here.events())
    here.lock(by=None, now=1.0)
    assert not list(here.events())


def test_guests_wait_until_the_host_comes_and_those_who_come_later_do_not() -> None:
    here = room(lobby="until-host", host_pin="1234")
    events = join(here, ANNE, BRUNO)
    assert events == [
        Waiting("salle", ANNE),
        Announce("salle", Spoken(Phrase.WAIT_FOR_HOST), ANNE),
        Waiting("salle", BRUNO),
        Announce("salle", Spoken(Phrase.WAIT_FOR_HOST), BRUNO),
    ]
    events = join(here, HOST)
    assert [event for event in events if isinstance(event, Admitted)] == [
        Admitted("salle", ANNE),
        Admitted("salle", BRUNO),
    ]
    assert Joined("salle", CLAIRE) in join(here, CLAIRE)
    here.leave(HOST, 1.0)
    assert here.join(9, 2.0, kind="sip", name="x") == "in", "the conference has begun"


def test_a_guest_who_is_made_host_ends_the_waiting() -> None:
    here = room(lobby="until-host", host_pin="1234")
    join(here, ANNE, BRUNO)
    here.set_role(BRUNO, "host", by=None, now=1.0)
    events = list(here.events())
    assert RoleChanged("salle", BRUNO, "host") in events
    assert {event.participant for event in events if isinstance(event, Admitted)} == {ANNE, BRUNO}
    assert Phrase.YOU_ARE_HOST in heard(events, BRUNO)


def test_guests_wait_until_admitted_and_hosts_are_told_of_each() -> None:
    here = room(lobby="until-admitted")
    join(here, HOST)
    events = join(here, ANNE)
    assert Waiting("salle", ANNE) in events
    assert heard(events, ANNE) == [Phrase.WAIT_TO_BE_ADMITTED]
    assert heard(events, HOST) == [Phrase.SOMEBODY_WAITS]
    join(here, BRUNO, CLAIRE)
    here.admit(BRUNO, by=HOST, now=1.0)
    assert list(here.events()) == [Admitted("salle", BRUNO)]
    assert here.admit_all(by=HOST, now=1.0) == 2
    assert list(here.events()) == [Admitted("salle", ANNE), Admitted("salle", CLAIRE)]


def test_who_is_turned_away_is_told_and_hung_up() -> None:
    here = room(lobby="until-admitted")
    join(here, HOST, ANNE)
    was = here.participant(ANNE)
    here.turn_away(ANNE, by=HOST, now=1.0)
    assert list(here.events()) == [
        Left("salle", ANNE, "turned-away", was),
        Hangup("salle", ANNE, "turned-away", Spoken(Phrase.GOODBYE)),
    ]
    with pytest.raises(Refused):
        here.turn_away(HOST, by=None, now=1.0)


def test_an_invited_guest_does_not_wait() -> None:
    here = room(lobby="until-admitted")
    assert Joined("salle", ANNE) in join(here, ANNE, invited=True)


def test_opening_the_lobby_lets_everybody_in() -> None:
    here = room(lobby="until-admitted")
    join(here, HOST, ANNE)
    here.change_settings({"lobby": "off"}, by=None, now=1.0)
    events = list(here.events())
    assert isinstance(events[0], SettingsChanged)
    assert Admitted("salle", ANNE) in events


@pytest.mark.parametrize("reason", ["hung-up", "lost"])
def test_who_hangs_up_is_not_hung_up(reason: str) -> None:
    here = held()
    was = here.participant(ANNE)
    here.leave(ANNE, 1.0, reason=reason)  # type: ignore[arg-type]
    assert list(here.events()) == [Left("salle", ANNE, reason, was)]  # type: ignore[arg-type]
    here.leave(ANNE, 2.0)
    assert not list(here.events()), "once is enough"


def test_who_is_removed_is_told_and_hung_up() -> None:
    here = held()
    here.remove(ANNE, by=HOST, now=1.0)
    left, hangup = here.events()
    assert isinstance(left, Left)
    assert left.reason == "removed"
    assert hangup == Hangup("salle", ANNE, "removed", Spoken(Phrase.YOU_WERE_REMOVED))
    with pytest.raises(NoSuchParticipant):
        here.participant(ANNE)


def test_who_is_moved_keeps_its_own_sound_and_its_call() -> None:
    here, there = room(), room()
    join(here, HOST, BRUNO)
    join(here, ANNE, recorded_name="capture:3")
    here.mute(ANNE, by=ANNE, now=0.0)
    here.mute(ANNE, by=HOST, now=0.0)
    here.set_volume(ANNE, 6, by=ANNE, now=0.0)
    list(here.events())
    was = here.take_out(ANNE, by=HOST, now=1.0)
    assert list(here.events()) == [Left("salle", ANNE, "moved", was)]
    events = join(there, ANNE, invited=True, moved_from=was)
    moved = there.participant(ANNE)
    assert (moved.volume, moved.recorded_name) == (6, "capture:3")
    assert (moved.muted_by_self, moved.muted_by_host) == (True, False), "the other room's host said nothing yet"
    assert Muted("salle", ANNE, by_host=False, by_self=True) in events
    assert heard(events, ANNE)[0] is Phrase.YOU_WERE_MOVED


def test_a_room_ends_when_the_last_one_leaves() -> None:
    here = room()
    join(here, ANNE)
    here.leave(ANNE, 1.0)
    assert list(here.events())[-1] == Ended("salle", "empty")
    assert here.ended
    with pytest.raises(Refused) as error:
        join(here, ANNE)
    assert error.value.reason == "ended"


def test_a_host_ends_the_conference_for_all() -> None:
    here = held()
    join(here, CLAIRE, voice_prompts=False)
    here.raise_hand(ANNE, by=ANNE, now=0.0)
    here.speaking(BRUNO, 0.0)
    list(here.events())
    here.end(by=HOST, now=1.0)
    events = list(here.events())
    assert events[-1] == Ended("salle", "by-host")
    assert [event.participant for event in events if isinstance(event, Left)] == [HOST, ANNE, BRUNO, CLAIRE]
    spoken = {event.participant: event.spoken for event in events if isinstance(event, Hangup)}
    assert spoken[ANNE] == Spoken(Phrase.CONFERENCE_ENDED)
    assert spoken[CLAIRE] is None, "a browser is not spoken to"
    assert (len(here), here.hands, here.speaker) == (0, (), None)
    assert here.deadline() is None
    here.leave(ANNE, 2.0)
    here.expire(1e9)
    assert not list(here.events())


def test_the_end_is_announced_ten_five_and_one_minutes_before() -> None:
    here = room(max_duration=900.0)
    join(here, HOST, ANNE, now=100.0)
    said = []
    while (when := here.deadline()) is not None:
        here.expire(when - 0.001)
        assert not list(here.events()), "not before it is due"
        here.expire(when)
        for event in here.events():
            if isinstance(event, Announce):
                assert event.to is None
                said.append((when - 100.0, event.spoken.number))
            elif isinstance(event, Ended):
                assert (event.reason, when) == ("duration", 1000.0)
    assert said == [(300.0, 10), (600.0, 5), (840.0, 1)]
    assert here.ended


def test_the_duration_counts_from_the_first_who_comes_in() -> None:
    here = room(max_duration=60.0, lobby="until-host", host_pin="1234")
    assert here.deadline() is None
    join(here, ANNE, now=10.0)
    assert here.deadline() is None, "who waits has no conference yet"
    join(here, HOST, now=50.0)
    assert here.deadline() == 110.0
    assert here.snapshot().ends == 110.0


def test_a_driver_that_slept_is_told_the_latest_warning_only() -> None:
    here = room(max_duration=900.0)
    join(here, ANNE)
    here.expire(650.0)
    (event,) = here.events()
    assert isinstance(event, Announce)
    assert event.spoken == Spoken(Phrase.MINUTES_LEFT, number=5)


def test_the_conference_is_made_longer_while_it_runs() -> None:
    here = room(max_duration=60.0)
    join(here, ANNE)
    here.change_settings({"max_duration": 660}, by=None, now=30.0)
    assert here.deadline() == 60.0, "ten minutes left"
    here.change_settings({"max_duration": 0}, by=None, now=31.0)
    assert here.deadline() is None


def test_the_conference_ends_with_its_last_host() -> None:
    here = held(ends_with_host=True)
    here.leave(HOST, 1.0)
    events = list(here.events())
    assert heard(events, None) == [Phrase.HOST_HAS_LEFT]
    assert events[-1] == Ended("salle", "host-left")


def test_a_host_who_comes_back_in_time_saves_the_conference() -> None:
    here = held(ends_with_host=True, host_grace=120.0)
    here.leave(HOST, 1.0)
    list(here.events())
    assert here.deadline() == 61.0, "a minute before"
    here.expire(61.0)
    assert heard(list(here.events()), None) == [Phrase.MINUTES_LEFT]
    assert here.deadline() == 121.0
    join(here, HOST, now=100.0)
    assert here.deadline() is None
    here.leave(HOST, 200.0)
    here.expire(320.0)
    assert list(here.events())[-1] == Ended("salle", "host-left")


def test_a_host_who_comes_back_at_once_spares_everybody_the_warning() -> None:
    here = held(ends_with_host=True, host_grace=120.0)
    here.leave(HOST, 1.0)
    join(here, HOST, now=2.0)
    assert here.deadline() is None
    here.expire(61.0)
    assert not list(here.events())


def test_one_of_two_hosts_may_leave() -> None:
    here = held(ends_with_host=True)
    here.set_role(ANNE, "host", by=HOST, now=0.0)
    list(here.events())
    here.leave(HOST, 1.0)
    assert not heard(list(here.events()), None)
    assert not here.ended
    with pytest.raises(Refused) as error:
        here.set_role(ANNE, "guest", by=None, now=1.0)
    assert error.value.reason == "last-host"


def test_a_room_goes_on_without_host_unless_it_says_otherwise() -> None:
    here = held()
    here.leave(HOST, 1.0)
    assert heard(list(here.events()), None) == [Phrase.HOST_HAS_LEFT]
    assert not here.ended


def test_roll_call_says_number_and_names_to_who_asks() -> None:
    here = room()
    join(here, HOST)
    join(here, ANNE, recorded_name="capture:1")
    join(here, BRUNO, recorded_name="capture:2")
    here.roll_call(by=BRUNO, now=1.0)
    assert list(here.events()) == [
        Announce("salle", Spoken(Phrase.PEOPLE_IN_ROOM, number=3), BRUNO),
        Announce("salle", Spoken(Phrase.ROLL_CALL, names=("capture:1", "capture:2")), BRUNO),
    ]
    here.roll_call(by=None, now=1.0)
    assert heard(list(here.events()), None) == [Phrase.PEOPLE_IN_ROOM, Phrase.ROLL_CALL]


def test_help_calls_an_operator_and_is_told_to_hosts_and_who_asked() -> None:
    here = held()
    here.help(ANNE, now=1.0)
    assert list(here.events()) == [
        HelpWanted("salle", ANNE),
        Announce("salle", Spoken(Phrase.HELP_WANTED), HOST),
        Announce("salle", Spoken(Phrase.HELP_COMES), ANNE),
    ]
    assert here.participant(ANNE).help_wanted
    here.help(ANNE, now=2.0)
    assert list(here.events()) == [Announce("salle", Spoken(Phrase.HELP_COMES), ANNE)], "once is enough"


def test_help_is_wanted_until_it_is_answered() -> None:
    here = held()
    here.help(ANNE, now=1.0)
    here.help(BRUNO, now=1.0)
    list(here.events())
    assert here.answer_help(ANNE, by=None, now=2.0) == 1
    answered = Announce("salle", Spoken(Phrase.HELP_ANSWERED), ANNE)
    assert list(here.events()) == [HelpAnswered("salle", ANNE, None), answered]
    assert [person.help_wanted for person in here.participants()] == [False, False, True]
    assert here.answer_help(ANNE, by=None, now=2.0) == 0
    assert not list(here.events())


def test_a_host_answers_all_who_wanted_help_but_himself() -> None:
    here = held()
    for number in (HOST, ANNE, BRUNO):
        here.help(number, now=1.0)
    assert heard(list(here.events()), HOST) == [Phrase.HELP_COMES, Phrase.HELP_WANTED, Phrase.HELP_WANTED]
    events = key(here, HOST, "#0")
    assert [event for event in events if isinstance(event, HelpAnswered)] == [
        HelpAnswered("salle", ANNE, HOST),
        HelpAnswered("salle", BRUNO, HOST),
    ]
    assert here.participant(HOST).help_wanted
    assert heard(key(here, HOST, "#0"), HOST) == [Phrase.NOBODY_WAITS]
    assert heard(key(here, ANNE, "#0"), ANNE) == [Phrase.NOT_ALLOWED]


def test_who_wants_help_still_wants_it_in_another_room() -> None:
    here, there = held(), room()
    here.help(ANNE, now=1.0)
    events = join(there, ANNE, invited=True, moved_from=here.take_out(ANNE, by=HOST, now=1.0))
    assert HelpWanted("salle", ANNE) in events
    assert there.participant(ANNE).help_wanted


def test_names_are_one_readable_line() -> None:
    here = held()
    here.rename(ANNE, "  An\nne\x00\u202e  Roy ", by=ANNE, now=0.0)
    assert list(here.events()) == [Renamed("salle", ANNE, "An ne Roy")]
    here.rename(ANNE, "x" * 10_000, by=ANNE, now=0.0)
    assert len(here.participant(ANNE).name) == 100
    with pytest.raises(Refused):
        here.rename(ANNE, "\r\n", by=ANNE, now=0.0)


def test_the_speaker_is_told_once_and_forgotten_when_it_leaves() -> None:
    here = held()
    here.speaking(ANNE, 0.0)
    here.speaking(ANNE, 0.1)
    assert list(here.events()) == [SpeakerChanged("salle", ANNE)]
    assert here.participant(ANNE).speaking
    here.leave(ANNE, 1.0)
    assert SpeakerChanged("salle", None) in list(here.events())
    here.speaking(99, 2.0)
    assert not list(here.events()), "a stranger is nobody"


def test_only_operators_change_settings_and_wrong_ones_change_nothing() -> None:
    here = held()
    with pytest.raises(Forbidden):
        here.change_settings({"capacity": 5}, by=HOST, now=0.0)
    with pytest.raises(ValueError, match="capacity"):
        here.change_settings({"title": "x", "capacity": 0}, by=None, now=0.0)
    assert not list(here.events())
    here.change_settings({"loudest": 3}, by=None, now=0.0)
    (event,) = here.events()
    assert isinstance(event, SettingsChanged)
    assert event.settings.loudest == here.settings.loudest == 3


@pytest.mark.parametrize(
    "command",
    [
        lambda here: here.admit(BRUNO, by=ANNE, now=0.0),
        lambda here: here.admit_all(by=ANNE, now=0.0),
        lambda here: here.turn_away(BRUNO, by=ANNE, now=0.0),
        lambda here: here.set_role(ANNE, "host", by=ANNE, now=0.0),
        lambda here: here.mute(BRUNO, by=ANNE, now=0.0),
        lambda here: here.unmute(BRUNO, by=ANNE, now=0.0),
        lambda here: here.mute_all(by=ANNE, now=0.0),
        lambda here: here.unmute_all(by=ANNE, now=0.0),
        lambda here: here.deafen(BRUNO, True, by=ANNE, now=0.0),
        lambda here: here.set_volume(BRUNO, 3, by=ANNE, now=0.0),
        lambda here: here.step_voice(BRUNO, 1, by=ANNE, now=0.0),
        lambda here: here.rename(BRUNO, "x", by=ANNE, now=0.0),
        lambda here: here.answer_help(BRUNO, by=ANNE, now=0.0),
        lambda here: here.remove(BRUNO, by=ANNE, now=0.0),
        lambda here: here.remove(ANNE, by=ANNE, now=0.0),
        lambda here: here.take_out(BRUNO, by=ANNE, now=0.0),
        lambda here: here.raise_hand(BRUNO, by=ANNE, now=0.0),
        lambda here: here.lower_hand(BRUNO, by=ANNE, now=0.0),
        lambda here: here.give_floor(ANNE, by=ANNE, now=0.0),
        lambda here: here.lock(by=ANNE, now=0.0),
        lambda here: here.unlock(by=ANNE, now=0.0),
        lambda here: here.end(by=ANNE, now=0.0),
    ],
)
def test_guests_may_not_act_on_others_or_the_room(command: object) -> None:
    here = held()
    before = here.snapshot()
    with pytest.raises(Forbidden):
        command(here)  # type: ignore[operator]
    assert here.snapshot() == before
    assert not list(here.events())
    with pytest.raises(NoSuchParticipant):
        here.mute(BRUNO, by=99, now=0.0)


def test_simulated_people_count_and_are_not_spoken_to() -> None:
    here = room(announce_alone=True, announce_people=True)
    assert join(here, ANNE, kind="simulated") == [Joined("salle", ANNE)]
    assert Announce("salle", Spoken(Phrase.PEOPLE_IN_ROOM, number=2), BRUNO) in join(here, BRUNO)


def test_the_snapshot_shows_everything_but_pins() -> None:
    here = held(host_pin="1234", guest_pin="5678", title="Salle A", number="101")
    here.raise_hand(ANNE, by=ANNE, now=0.0)
    shown = here.snapshot()
    assert (shown.name, shown.number, shown.title, shown.locked) == ("salle", "101", "Salle A", False)
    assert shown.hands == (ANNE,)
    anne = shown.participants[1]
    assert (anne.name, anne.hand, anne.muted, anne.state, anne.speaking) == ("Anne", 1, False, "in", False)
    assert "1234" not in str(shown)
    assert "1234" not in repr(here.settings)
