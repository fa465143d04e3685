"""The way to a room: language, number, PIN, name; in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.conference.admission import (
    CAPTURE_GRACE,
    FIRST_DIGIT,
    NAME_SECONDS,
    SPEECH,
    Admission,
    Admit,
    CaptureName,
    Event,
    HangUp,
    Hush,
    Numbers,
    Say,
)
from bridge.conference.key import INTER_DIGIT
from bridge.conference.phrase import Phrase
from bridge.conference.settings import RoomSettings

ROOMS = Numbers(
    [
        RoomSettings(name="a", number="100", language="en-CA"),
        RoomSettings(name="b", number="1001"),
        RoomSettings(name="c", number="200", host_pin="1234", guest_pin="5678"),
        RoomSettings(name="unnumbered"),
    ]
)


class Caller:
    """A caller who listens to the end, at a virtual clock."""

    def __init__(self, room: RoomSettings | None = None, **details: Any) -> None:
        self.now = 0.0
        self.admission = Admission(ROOMS, self.now, room=room, **details)
        self.saying: list[Say] = []
        self.said: list[Phrase] = []
        self.events: list[Event] = []
        self.drain()

    def drain(self) -> list[Event]:
        new = list(self.admission.events())
        for event in new:
            if isinstance(event, Hush) or (isinstance(event, Say) and event.interrupt):
                self.saying.clear()
            if isinstance(event, Say):
                self.saying.append(event)
                self.said.append(event.spoken.phrase)
        self.events += new
        return new

    def listen(self, seconds: float = 2.0) -> list[Event]:
        new: list[Event] = []
        while self.saying:
            self.now += seconds
            self.admission.said(self.saying.pop(0).number, self.now)
            new += self.drain()
        return new

    def key(self, digits: str, gap: float = 0.3) -> list[Event]:
        new: list[Event] = []
        for digit in digits:
            self.now += gap
            self.admission.press(digit, self.now)
            new += self.drain()
        return new

    def wait(self) -> list[Event]:
        """Until the next deadline."""
        deadline = self.admission.deadline()
        assert deadline is not None
        self.admission.expire(deadline - 0.001)
        assert not list(self.admission.events()), "not before it is due"
        self.now = deadline
        self.admission.expire(deadline)
        return self.drain()


def room(**settings: Any) -> RoomSettings:
    return RoomSettings(name="salle", **settings)


def test_a_room_that_asks_nothing_admits_at_once() -> None:
    caller = Caller(room(language="en-CA"))
    assert caller.events == [Admit("salle", "guest", "en-CA", "")]
    assert caller.admission.done
    assert caller.admission.deadline() is None


@pytest.mark.parametrize(("pin", "role"), [("1234", "host"), ("5678", "guest")])
@pytest.mark.parametrize("pound", ["", "#"])
def test_the_pin_decides_the_role_with_or_without_pound(pin: str, role: str, pound: str) -> None:
    caller = Caller(room(host_pin="1234", guest_pin="5678"))
    assert caller.said == [Phrase.WELCOME, Phrase.ENTER_PIN]
    caller.listen()
    caller.key(pin + pound)
    assert caller.events[-1] == Admit("salle", role, "fr-CA", "")  # type: ignore[arg-type]


def test_the_pound_after_a_number_that_was_known_already_answers_no_later_question() -> None:
    numbers = Numbers([room(number="4001", host_pin="1234", entry="name")])
    caller = Caller()
    caller.admission = Admission(numbers, caller.now, language="fr-CA")
    caller.drain()
    caller.key("4001#")
    assert caller.said[-1] is Phrase.ENTER_HOST_PIN, "# would have made a guest of the host"
    assert caller.saying, "the question goes on"
    caller.key("1234#")
    assert caller.said[-1] is Phrase.SAY_NAME
    assert not [event for event in caller.events if isinstance(event, CaptureName)], "# would have cut what to do"
    assert caller.key("#") == [Hush(), CaptureName(NAME_SECONDS)], "a second one is meant"


def test_a_pound_that_comes_late_is_an_answer() -> None:
    caller = Caller(room(guest_pin="1234", entry="name"))
    caller.key("1234")
    caller.now += INTER_DIGIT
    assert caller.key("#") == [Hush(), CaptureName(NAME_SECONDS)]


def test_a_pin_that_begins_another_needs_pound_or_a_pause() -> None:
    caller = Caller(room(host_pin="12345", guest_pin="1234"))
    caller.listen()
    assert not [event for event in caller.key("1234") if isinstance(event, Admit)]
    assert caller.key("#") == [Admit("salle", "guest", "fr-CA", "")]
    caller = Caller(room(host_pin="12345", guest_pin="1234"))
    caller.listen()
    caller.key("1234")
    keyed = caller.now
    assert caller.wait() == [Admit("salle", "guest", "fr-CA", "")]
    assert caller.now == keyed + INTER_DIGIT


def test_three_wrong_pins_then_goodbye_and_hang_up() -> None:
    caller = Caller(room(host_pin="1234", guest_pin="5678"))
    for _ in range(2):
        caller.listen()
        caller.key("0000#")
        assert caller.said[-2:] == [Phrase.WRONG_PIN, Phrase.ENTER_PIN]
    caller.listen()
    caller.key("0000#")
    assert caller.said[-2:] == [Phrase.TOO_MANY_TRIES, Phrase.GOODBYE]
    assert not caller.key("1234#"), "too late"
    assert not caller.admission.done, "it is said to the end first"
    assert caller.listen() == [HangUp("too-many-tries")]
    assert caller.admission.done


class Watchman:
    """A guard who counts, and has closed or not."""

    def __init__(self, *, closed: bool = False) -> None:
        self.shut, self.wrong = closed, 0

    def closed(self, now: float) -> bool:
        return self.shut

    def failed(self, now: float) -> None:
        self.wrong += 1


def test_wrong_pins_are_counted_and_what_is_none_is_not() -> None:
    guard = Watchman()
    caller = Caller(room(host_pin="1234", guest_pin="5678"), guard=guard)
    caller.key("0000#")
    caller.key("#")
    assert guard.wrong == 1
    assert caller.key("5678")[-1] == Admit("salle", "guest", "fr-CA", "")
    assert guard.wrong == 1


def test_who_tried_too_much_before_is_told_so_and_not_asked() -> None:
    caller = Caller(room(host_pin="1234", guest_pin="5678"), guard=Watchman(closed=True))
    assert caller.said == [Phrase.TOO_MANY_TRIES, Phrase.GOODBYE]
    assert caller.key("5678#") == []
    assert caller.listen() == [HangUp("too-many-tries")]


@pytest.mark.parametrize("pin", ["1234", "9999#"])
def test_where_guests_need_none_a_guesser_may_be_a_guest_and_learns_nothing_of_pins(pin: str) -> None:
    caller = Caller(room(host_pin="1234"), guard=Watchman(closed=True))
    assert caller.said == [Phrase.WELCOME, Phrase.ENTER_HOST_PIN]
    caller.listen()
    caller.key(pin)
    assert caller.said[-2:] == [Phrase.TOO_MANY_TRIES, Phrase.GOODBYE]
    caller = Caller(room(host_pin="1234"), guard=Watchman(closed=True))
    caller.listen()
    assert caller.key("#") == [Admit("salle", "guest", "fr-CA", "")]


def test_a_call_is_closed_to_pins_when_others_of_the_same_caller_used_the_tries_up() -> None:
    guard = Watchman()
    caller = Caller(room(guest_pin="5678"), guard=guard)
    caller.listen()
    guard.shut = True
    caller.key("5678")
    assert caller.said[-2:] == [Phrase.TOO_MANY_TRIES, Phrase.GOODBYE]


def test_where_guests_need_no_pin_pound_or_patience_makes_one_a_guest() -> None:
    caller = Caller(room(host_pin="1234"))
    caller.listen()
    assert caller.key("#") == [Admit("salle", "guest", "fr-CA", "")]
    caller = Caller(room(host_pin="1234"))
    caller.listen()
    said = caller.now
    assert caller.wait() == [Admit("salle", "guest", "fr-CA", "")]
    assert caller.now == said + FIRST_DIGIT
    caller = Caller(room(host_pin="1234"))
    caller.listen()
    caller.key("9999#")
    assert caller.said[-2:] == [Phrase.WRONG_PIN, Phrase.ENTER_HOST_PIN], "who keys something means it"
    assert caller.key("1234")[-1] == Admit("salle", "host", "fr-CA", "")


def test_pound_alone_is_no_guest_pin() -> None:
    caller = Caller(room(guest_pin="5678"))
    caller.listen()
    caller.key("#")
    assert caller.said[-2:] == [Phrase.WRONG_PIN, Phrase.ENTER_PIN]


def test_a_key_cuts_what_is_being_said_once() -> None:
    caller = Caller(room(guest_pin="5678"))
    assert caller.key("5") == [Hush()]
    assert caller.key("6") == []
    number = caller.admission
    number.said(1, caller.now)  # on its way when the key came
    assert number.deadline() == caller.now + INTER_DIGIT
    assert caller.key("78") == [Admit("salle", "guest", "fr-CA", "")]


def test_star_begins_the_entry_anew() -> None:
    caller = Caller(room(guest_pin="5678"))
    caller.listen()
    assert caller.key("99*5678") == [Admit("salle", "guest", "fr-CA", "")]


def test_no_answer_is_asked_three_times() -> None:
    caller = Caller(room(guest_pin="5678"))
    for _ in range(3):
        assert caller.said[-1] is Phrase.ENTER_PIN
        caller.listen()
        caller.wait()
    assert caller.said[-1] is Phrase.GOODBYE
    assert caller.listen() == [HangUp("no-answer")]


def test_nothing_waits_for_ever_when_no_end_of_speech_is_reported() -> None:
    caller = Caller(room(guest_pin="5678"))
    events: list[Event] = []
    while caller.admission.deadline() is not None:
        events += caller.wait()
    assert events[-1] == HangUp("no-answer")
    assert caller.now <= 4 * (SPEECH + FIRST_DIGIT)


def test_a_number_that_can_only_be_one_room_needs_no_pound() -> None:
    caller = Caller()
    assert caller.said == [Phrase.WELCOME, Phrase.ENTER_NUMBER]
    caller.listen()
    assert caller.key("1001") == [Admit("b", "guest", "fr-CA", "")]
    caller = Caller()
    caller.listen()
    assert caller.key("100") == [], "1001 is possible yet"
    assert caller.key("#") == [Admit("a", "guest", "en-CA", "")], "in the room's language"
    caller = Caller()
    caller.listen()
    caller.key("100")
    assert caller.wait() == [Admit("a", "guest", "en-CA", "")]


def test_a_number_and_then_its_pin() -> None:
    caller = Caller()
    caller.listen()
    caller.key("200")
    assert caller.said[-1] is Phrase.ENTER_PIN
    caller.listen()
    assert caller.key("#1234"[1:])[-1] == Admit("c", "host", "fr-CA", "")


def test_wrong_numbers_do_not_count_against_the_pin() -> None:
    caller = Caller()
    caller.listen()
    caller.key("999#999#200")
    assert caller.said[-1] is Phrase.ENTER_PIN
    caller.key("0000#0000#1234")
    assert caller.events[-1] == Admit("c", "host", "fr-CA", "")


def test_three_numbers_that_are_none_then_goodbye() -> None:
    caller = Caller()
    for _ in range(2):
        caller.listen()
        caller.key("999#")
        assert caller.said[-2:] == [Phrase.NO_SUCH_ROOM, Phrase.ENTER_NUMBER]
    caller.listen()
    caller.key("9" * 65)
    assert caller.said[-2:] == [Phrase.TOO_MANY_TRIES, Phrase.GOODBYE]
    assert caller.listen() == [HangUp("too-many-tries")]


def test_the_language_is_chosen_by_key_and_kept() -> None:
    caller = Caller(choose_language=True)
    assert caller.said == [Phrase.CHOOSE_LANGUAGE]
    caller.key("2")
    assert caller.admission.language == "en-CA"
    assert [event.language for event in caller.events if isinstance(event, Say)][1:] == ["en-CA", "en-CA"]
    assert caller.said[1:] == [Phrase.WELCOME, Phrase.ENTER_NUMBER]
    caller.listen()
    assert caller.key("1001")[-1] == Admit("b", "guest", "en-CA", ""), "over the room's"


def test_another_key_asks_for_the_language_again_and_no_key_takes_the_one_at_hand() -> None:
    caller = Caller(room(choose_language=True))
    caller.key("7")
    assert caller.said == [Phrase.CHOOSE_LANGUAGE] * 2
    caller.listen()
    assert caller.wait() == [Admit("salle", "guest", "fr-CA", "")]


def test_three_keys_that_are_no_language_take_the_one_at_hand() -> None:
    caller = Caller(room(choose_language=True))
    assert caller.key("777")[-1] == Admit("salle", "guest", "fr-CA", "")


def test_the_language_of_the_number_dialled_comes_before_the_rooms() -> None:
    caller = Caller(room(language="fr-CA"), language="en-CA")
    assert caller.events == [Admit("salle", "guest", "en-CA", "")]


def test_the_name_is_recorded_where_the_room_tells_names() -> None:
    caller = Caller(room(entry="name", guest_pin="5678"))
    caller.listen()
    caller.key("5678")
    assert caller.said[-1] is Phrase.SAY_NAME
    assert caller.listen() == [CaptureName(NAME_SECONDS)]
    assert caller.key("#") == [], "it ends the recording, which is reported"
    caller.admission.captured("capture:4", 1.2, caller.now)
    assert caller.drain() == [Admit("salle", "guest", "fr-CA", "capture:4")]


def test_a_key_skips_to_the_recording() -> None:
    caller = Caller(room(entry="name"))
    assert caller.key("#") == [Hush(), CaptureName(NAME_SECONDS)]


def test_who_says_nothing_or_whose_recording_is_lost_comes_in_without_name() -> None:
    caller = Caller(room(entry="name"))
    caller.listen()
    caller.admission.captured("capture:4", 0.0, caller.now)
    assert caller.drain() == [Admit("salle", "guest", "fr-CA", "")]
    caller = Caller(room(entry="name"))
    caller.listen()
    asked = caller.now
    assert caller.wait() == [Admit("salle", "guest", "fr-CA", "")]
    assert caller.now == asked + NAME_SECONDS + CAPTURE_GRACE


def test_a_name_that_is_known_is_not_asked() -> None:
    caller = Caller(room(entry="name"), recorded_name="names/anne.wav")
    assert caller.events == [Admit("salle", "guest", "fr-CA", "names/anne.wav")]


def test_two_rooms_with_one_number_are_refused() -> None:
    with pytest.raises(ValueError, match="both have number 7"):
        Numbers([RoomSettings(name="x", number="7"), RoomSettings(name="y", number="7")])


@given(st.sets(st.text("0123", min_size=1, max_size=4), max_size=12), st.text("0123", max_size=5))
def test_longer_says_whether_a_number_goes_on(numbers: set[str], digits: str) -> None:
    plan = Numbers(RoomSettings(name=f"r{number}", number=number) for number in numbers)
    assert plan.longer(digits) == any(n.startswith(digits) and n != digits for n in numbers)


@given(
    st.lists(st.sampled_from([*"0123456789*#A", "listen", "wait", "capture"]), max_size=60),
    st.sampled_from(["", "200", "name"]),
)
def test_whatever_a_caller_does_it_ends_in_a_room_or_hung_up_and_nothing_follows(steps: list[str], which: str) -> None:
    dialled = {"": None, "200": ROOMS.find("200"), "name": room(entry="name", host_pin="1234")}[which]
    caller = Caller(dialled, choose_language=True)
    for step in steps:
        if step == "listen":
            caller.listen()
        elif step == "wait" and not caller.admission.done:
            caller.wait()
        elif step == "capture":
            caller.admission.captured("capture:1", 1.0, caller.now)
            caller.drain()
        elif len(step) == 1:
            caller.key(step)
    for _ in range(40):
        if caller.admission.done:
            break
        caller.listen()
        if not caller.admission.done:
            caller.wait()
    assert caller.admission.done
    ends = [event for event in caller.events if isinstance(event, Admit | HangUp)]
    assert len(ends) == 1
    assert caller.events[-1] is ends[0]
    if isinstance(ends[0], Admit) and ends[0].room == "c":
        assert ends[0].role == ("host" if "1234" in "".join(s for s in steps if len(s) == 1) else "guest")
