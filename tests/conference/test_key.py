"""Keys: the table, sequences, what they do in a room, and the several forms of one press."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.conference.event import Admitted, Announce, Ended, FloorGiven, HandsChanged, HelpWanted, LayoutChanged
from bridge.conference.key import (
    HOSTS_ONLY,
    INTER_DIGIT,
    PRESSES,
    SAME_PRESS,
    WORDS,
    Action,
    DigitFilter,
    KeyPad,
    KeyTable,
    Verdict,
    markdown,
)
from bridge.conference.participant import LANGUAGES, Role
from bridge.conference.phrase import Phrase, Spoken
from bridge.conference.screen import Place
from bridge.conference.settings import LAYOUTS
from tests.conference.people import ANNE, BRUNO, HOST, heard, held, join, key, room

PAGE = Path(__file__).resolve().parents[2] / "docs" / "keys.md"


def test_the_page_of_keys_is_what_the_table_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "write bridge.conference.key.markdown() to docs/keys.md"


def test_every_action_has_a_key_and_words_in_both_languages() -> None:
    assert {entry.action for entry in KeyTable.standard().keys} == set(Action)
    assert all(WORDS[action][language] for action in Action for language in LANGUAGES)


def test_guests_are_read_the_keys_that_they_may_use() -> None:
    guest = KeyTable.standard().for_role("guest")
    assert not {entry.action for entry in guest} & HOSTS_ONLY
    assert len(KeyTable.standard().for_role("host")) == len(guest) + len(HOSTS_ONLY)
    assert guest[0].action is Action.MUTE_SELF, "what is needed first is read first"


def test_settings_move_keys_and_take_them_away() -> None:
    table = KeyTable.standard().changed([("*8", "lock"), ("*0", ""), ("55", "help")])
    assert table.action("*8") is Action.LOCK
    assert table.action("*7") is None
    assert table.action("*0") is None
    assert table.action("55") is Action.HELP
    assert Action.ADMIT not in {entry.action for entry in table.keys}
    assert KeyTable.standard().action("*7") is Action.LOCK, "the standard table stays as it is"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ([("*", "lock")], "begins"),
        ([("*66", "lock")], "begins"),
        ([("*6x", "lock")], "no key"),
        ([("", "lock")], "no key"),
        ([("x", "")], "no key"),
        ([("12345", "lock")], "no key"),
        ([("#", "lock")], "complete already"),
        ([("*8", "dance")], "no action"),
        ([("*8", "lock"), ("*8", "help")], "twice"),
        (["*8"], "pairs"),
    ],
)
def test_keys_that_nobody_could_use_are_refused(overrides: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        KeyTable.standard().changed(overrides)


def press(pad: KeyPad, digits: str, role: Role = "guest", now: float = 0.0) -> list[Action | Verdict | None]:
    return [pad.press(digit, role, now) for digit in digits]


def test_a_sequence_becomes_its_action_at_its_last_digit() -> None:
    pad = KeyPad(KeyTable.standard())
    assert press(pad, "*6") == [None, Action.MUTE_SELF]
    assert press(pad, "**") == [None, Action.READ_KEYS]
    assert press(pad, "*##", "host") == [None, None, Action.END]
    assert pad.deadline() is None


def test_guests_are_told_what_only_hosts_may() -> None:
    pad = KeyPad(KeyTable.standard())
    assert press(pad, "*7") == [None, Verdict.NOT_ALLOWED]
    assert press(pad, "*7", "host") == [None, Action.LOCK]


def test_an_unknown_sequence_is_told_and_the_next_one_works() -> None:
    pad = KeyPad(KeyTable.standard())
    assert press(pad, "*#5") == [None, None, Verdict.UNKNOWN]
    assert press(pad, "*6") == [None, Action.MUTE_SELF]


def test_half_a_sequence_is_given_up_after_a_while() -> None:
    pad = KeyPad(KeyTable.standard())
    pad.press("*", "guest", 10.0)
    assert pad.deadline() == 10.0 + INTER_DIGIT
    assert pad.expire(10.0 + INTER_DIGIT - 0.01) is None
    assert pad.expire(10.0 + INTER_DIGIT) is Verdict.UNKNOWN
    assert pad.press("6", "guest", 15.0) is None, "a digit alone is nothing"


def test_a_late_digit_begins_anew_even_before_the_time_out_was_served() -> None:
    pad = KeyPad(KeyTable.standard())
    pad.press("*", "guest", 0.0)
    assert press(pad, "*6", now=INTER_DIGIT) == [None, Action.MUTE_SELF]


def test_the_pound_key_after_a_number_that_was_complete_does_nothing() -> None:
    pad = KeyPad(KeyTable.standard())
    assert press(pad, "#*6") == [None, None, Action.MUTE_SELF]
    assert press(pad, "##", "host") == [None, None]
    assert pad.expire(100.0) is None
    assert press(pad, "#1") == [None, Action.VOICE_UP]


@given(st.text("0123456789*#ABCD", max_size=60), st.sampled_from(["host", "guest"]))
def test_whatever_is_keyed_the_pad_holds_less_than_a_sequence(digits: str, role: Role) -> None:
    pad = KeyPad(KeyTable.standard())
    for now, digit in enumerate(digits):
        found = pad.press(digit, role, float(now))
        assert not (isinstance(found, Action) and role == "guest" and found in HOSTS_ONLY)
        assert len(pad._keyed) < 4


def test_host_keys() -> None:
    here = room(lobby="until-admitted")
    join(here, HOST, ANNE)
    assert Admitted("salle", ANNE) in key(here, HOST, "*8")
    key(here, HOST, "*5")
    assert here.everybody_muted
    key(here, HOST, "*5")
    assert not here.everybody_muted
    key(here, HOST, "*7")
    assert here.locked
    key(here, HOST, "*7")
    assert not here.locked
    key(here, ANNE, "*9")
    assert FloorGiven("salle", ANNE) in key(here, HOST, "*2")
    assert key(here, HOST, "*##")[-1] == Ended("salle", "by-host")


def test_guest_keys() -> None:
    here = held()
    assert HandsChanged("salle", (ANNE,)) in key(here, ANNE, "*9")
    assert heard(key(here, ANNE, "*9"), ANNE) == [Phrase.HAND_LOWERED]
    assert heard(key(here, ANNE, "*6"), ANNE) == [Phrase.MUTED_BY_SELF]
    assert heard(key(here, ANNE, "*6"), ANNE) == [Phrase.UNMUTED_BY_SELF]
    assert heard(key(here, ANNE, "*1*1*4#1#4"), ANNE) == [
        Phrase.VOLUME_UP,
        Phrase.VOLUME_UP,
        Phrase.VOLUME_DOWN,
        Phrase.VOICE_UP,
        Phrase.VOICE_DOWN,
    ]
    assert here.participant(ANNE).volume == 3
    assert heard(key(here, ANNE, "*3"), ANNE) == [Phrase.PEOPLE_IN_ROOM]
    assert HelpWanted("salle", ANNE) in key(here, ANNE, "*0")
    assert heard(key(here, ANNE, "*7"), ANNE) == [Phrase.NOT_ALLOWED]
    assert heard(key(here, ANNE, "*#1"), ANNE) == [Phrase.NO_SUCH_KEY]
    (said,) = key(here, ANNE, "**")
    assert isinstance(said, Announce)
    assert said.spoken.keys[0] == ("*6", "mute-self")
    assert ("*7", "lock") not in said.spoken.keys
    assert not key(here, 99, "*6"), "a key of somebody who has gone"


def test_a_host_who_lets_in_nobody_or_calls_nobody_hears_that_nobody_waits() -> None:
    here = held()
    for digits in ("*8", "*2"):
        assert key(here, HOST, digits) == [Announce("salle", Spoken(Phrase.NOBODY_WAITS), HOST)]


def test_in_the_lobby_keys_that_concern_others_say_what_one_waits_for() -> None:
    here = room(lobby="until-admitted")
    join(here, HOST, ANNE)
    assert heard(key(here, ANNE, "*9"), ANNE) == [Phrase.WAIT_TO_BE_ADMITTED]
    assert HelpWanted("salle", ANNE) in key(here, ANNE, "*0")
    assert heard(key(here, ANNE, "*6"), ANNE) == [Phrase.MUTED_BY_SELF], "what is one's own works"


def test_a_half_keyed_sequence_in_a_room_is_told_in_time() -> None:
    here = held()
    key(here, ANNE, "*", now=5.0)
    key(here, BRUNO, "#", now=6.0)
    assert here.deadline() == 5.0 + INTER_DIGIT
    here.expire(6.0 + INTER_DIGIT)
    events = list(here.events())
    assert heard(events, ANNE) == [Phrase.NO_SUCH_KEY]
    assert heard(events, BRUNO) == []
    assert here.deadline() is None


def test_half_a_sequence_of_who_has_left_is_forgotten() -> None:
    here = held()
    key(here, ANNE, "*", now=5.0)
    here.leave(ANNE, 6.0)
    assert here.deadline() is None


def test_keys_are_changed_while_the_room_is_on() -> None:
    here = held()
    here.change_settings({"keys": {"*8": "mute-self"}}, by=None, now=0.0)
    list(here.events())
    assert heard(key(here, ANNE, "*8"), ANNE) == [Phrase.MUTED_BY_SELF]
    assert heard(key(here, ANNE, "*6"), ANNE) == [Phrase.NO_SUCH_KEY]


# ------------------------------------------------------------------------------------ one press in several forms


def test_one_press_in_three_forms_is_one() -> None:
    digits = DigitFilter()
    assert [digits.accept("5", source, when) for source, when in (("event", 0.0), ("tone", 0.08), ("info", 0.7))] == [
        True,
        False,
        False,
    ]


def test_two_quick_presses_of_one_form_are_two() -> None:
    digits = DigitFilter()
    assert digits.accept("5", "event", 0.0)
    assert digits.accept("5", "event", 0.12)


def test_two_quick_presses_in_two_forms_are_two_however_they_interleave() -> None:
    for order in ("eett", "etet", "ettee"[:4], "teet"):
        digits = DigitFilter()
        names = {"e": "event", "t": "tone"}
        assert sum(digits.accept("5", names[one], 0.1 * n) for n, one in enumerate(order)) == 2, order


def test_presses_of_different_digits_are_apart() -> None:
    digits = DigitFilter()
    assert digits.accept("5", "event", 0.0)
    assert digits.accept("6", "info", 0.01)


def test_after_the_window_another_form_is_another_press() -> None:
    digits = DigitFilter()
    assert digits.accept("5", "event", 0.0)
    assert digits.accept("5", "info", SAME_PRESS + 0.01)


def test_what_is_no_digit_is_no_press_and_a_flood_is_bounded() -> None:
    digits = DigitFilter()
    assert not any(digits.accept(text, "info", 0.0) for text in ("", "55", "x", "E", "é"))
    assert sum(digits.accept("5", "event", 0.0) for _ in range(1000)) == PRESSES


@given(st.lists(st.tuples(st.sampled_from("12"), st.floats(0.05, 2.0)), max_size=12), st.data())
def test_every_press_told_by_all_forms_counts_once(presses: list[tuple[str, float]], data: st.DataObject) -> None:
    """Each form is late by its own constant delay, so all tell in the same order."""
    delays = {source: data.draw(st.floats(0.0, 0.45), label=source) for source in ("event", "tone", "info")}
    told, when = [], 0.0
    for digit, gap in presses:
        when += gap
        told += [(when + delay, source, digit) for source, delay in delays.items()]
    digits = DigitFilter()
    assert sum(digits.accept(digit, source, at) for at, source, digit in sorted(told)) == len(presses)


class TestLayouts:
    def test_one_goes_through_them_for_oneself(self) -> None:
        here = held()
        found = []
        for _ in range(4):
            key(here, ANNE, "#2")
            found.append((here.look_of(ANNE) or here.look).layout)
        assert found == ["grid", "side-by-side", "single", "strip"]
        assert here.look_of(ANNE) is None, "the room's again: it changes with that"
        assert here.look.layout == "strip"

    def test_hosts_go_through_them_for_all(self) -> None:
        here = held()
        assert key(here, HOST, "#3") == [LayoutChanged("salle", None, "grid")]
        assert here.look.layout == "grid"

    def test_guests_do_not(self) -> None:
        here = held()
        assert heard(key(here, ANNE, "#3"), ANNE) == [Phrase.NOT_ALLOWED]
        assert here.look.layout == "strip"

    def test_a_layout_drawn_by_hand_is_left_for_the_first(self) -> None:
        here = held()
        here.set_layout("fixed", (Place(0, 0, 1, 1),), by=HOST, now=0.0)
        key(here, HOST, "#3")
        assert here.look.layout == LAYOUTS[0]

    def test_in_a_room_without_pictures_they_do_nothing_and_are_not_read_out(self) -> None:
        here = held(video=False)
        assert heard(key(here, ANNE, "#2"), ANNE) == [Phrase.NO_SUCH_KEY]
        (said,) = key(here, HOST, "**")
        assert isinstance(said, Announce)
        assert not {"layout", "room-layout"} & {action for _, action in said.spoken.keys}
