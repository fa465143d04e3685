"""Calls, rooms and workers together, through real endpoints, in virtual time."""

from __future__ import annotations

import pytest

from bridge.conference.focus_event import CallOver, ResolveWanted, TextReceived
from bridge.conference.settings import RoomSettings
from bridge.signalling import event as sip
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.offer import Unacceptable
from bridge.worker import protocol as media
from tests.conference.house import BRIDGE, House, Terminal
from tests.signalling.network import Honest, Phone
from tests.signalling.scenario import request


def in_rooms(house: House) -> list[media.SetStream]:
    return [spec for notes in house.workers.values() for spec in notes.streams.values() if spec.room]


def flow_to(terminal: Terminal) -> Flow:
    return Flow(Transport.UDP, BRIDGE, (terminal.host, 5060))


@pytest.mark.parametrize("loss", [0.0, 0.15])
def test_three_phones_that_dial_a_name_meet_in_its_room(loss: float) -> None:
    house = House(loss=loss)
    phones = [Terminal(house, f"192.0.2.{n}") for n in (11, 12, 13)]
    for phone in phones:
        phone.dial("demo")
    house.run(10)
    assert house.people("demo") == [f"sip:phone@192.0.2.{n}" for n in (11, 12, 13)] or len(house.people("demo")) == 3
    specs = in_rooms(house)
    assert len(specs) == 3
    assert len({spec.room for spec in specs}) == 1
    assert {spec.remote.host for spec in specs if spec.remote} == {"192.0.2.11", "192.0.2.12", "192.0.2.13"}
    assert len({spec.port for spec in specs}) == 3, "callers whose address is not proved yet have a port each"
    for phone in phones:
        phone.hangup()
    house.run(40)
    assert not house.focus.rooms()
    assert not house.notes.streams
    assert not house.notes.rooms
    assert house.focus.calls == 0


def test_a_late_offer_is_answered_with_ours() -> None:
    house = House()
    phone = Terminal(house, "192.0.2.11")
    phone.pending = b"late"
    phone.dial("demo", late=True)
    house.run(2)
    assert [spec.send.name for spec in in_rooms(house) if spec.send] == ["PCMU"]


def test_nothing_is_sent_before_the_ack_shows_that_the_caller_is_where_it_says() -> None:
    house = House()
    phone = Terminal(house, "192.0.2.11")
    house.drop = lambda data, flow: data.startswith(b"ACK")
    phone.dial("demo")
    house.run(2)
    assert [spec.send for spec in in_rooms(house)] == [None]
    other = Terminal(house, "192.0.2.12")
    other.dial("demo")
    house.run(1)
    [stream] = [spec.stream for spec in in_rooms(house) if spec.remote and spec.remote.host == "192.0.2.12"]
    house.heard(media.Latched(stream=stream, remote=media.Address("192.0.2.12", 30000)))
    assert sorted(spec.send is None for spec in in_rooms(house)) == [False, True], "media counts too"
    house.drop = lambda data, flow: False
    house.run(5)
    assert all(spec.send is not None for spec in in_rooms(house))


def test_hold_stops_what_we_send_and_resume_starts_it_again() -> None:
    house = House()
    phone = Terminal(house, "192.0.2.11")
    phone.dial("demo")
    house.run(2)
    phone.hold(True)
    house.run(2)
    [held] = in_rooms(house)
    assert held.send is None
    assert held.muted, "its music on hold is not for the room"
    house.heard(media.Silent(stream=held.stream, seconds=600.0))
    house.run(1)
    assert len(house.people("demo")) == 1, "nobody is cleared for being silent on hold"
    phone.hold(False)
    house.run(2)
    [back] = in_rooms(house)
    assert back.send is not None
    assert not back.muted


def test_whoever_falls_silent_is_cleared_after_the_time_that_settings_say() -> None:
    house = House(silence_timeout=60.0)
    phone = Terminal(house, "192.0.2.11")
    phone.dial("demo")
    house.run(2)
    [spec] = in_rooms(house)
    house.heard(media.Silent(stream=spec.stream, seconds=59.0))
    house.run(1)
    assert house.people("demo")
    house.heard(media.Silent(stream=spec.stream, seconds=60.0))
    house.run(40)
    assert not house.people("demo")
    assert phone.events(sip.CallEnded)
    [over] = [event for event in house.told if isinstance(event, CallOver)]
    assert over.reason == "lost"


def test_a_key_that_comes_in_three_forms_is_one_key_and_mutes() -> None:
    house = House()
    phone = Terminal(house, "192.0.2.11")
    phone.dial("demo")
    house.run(2)
    [spec] = in_rooms(house)
    for digit in "*6":
        house.heard(media.Key(stream=spec.stream, digit=digit, source="event"))
        phone.endpoint.info(phone.call, "application/dtmf-relay", f"Signal={digit}\r\nDuration=160".encode(), house.now)
        house.run(0.1)
        house.heard(media.Key(stream=spec.stream, digit=digit, source="tone"))
        house.run(0.4)
    [muted] = in_rooms(house)
    assert muted.muted
    assert "muted-by-self" in house.spoken(stream=spec.stream)


def test_three_wrong_pins_end_the_call_and_the_right_one_lets_in() -> None:
    house = House(ad_hoc=False)
    house.focus.add_room(RoomSettings(name="conseil", number="4100", host_pin="1234", guest_pin="5678"))
    phone, other = Terminal(house, "192.0.2.11"), Terminal(house, "192.0.2.12")
    phone.dial("conseil")
    house.run(2)
    [spec] = house.notes.streams.values()
    assert spec.room == 0, "nobody hears the room before the PIN"
    for _ in range(3):
        house.press(spec.stream, "9999#")
        house.say_all()
        house.run(1)
    house.run(60)
    assert phone.events(sip.CallEnded)
    assert not house.notes.streams
    other.dial("4100")
    house.run(2)
    [spec] = house.notes.streams.values()
    house.press(spec.stream, "1234#")
    house.run(1)
    [status] = house.focus.rooms()
    assert status.snapshot.participants[0].role == "host"


@pytest.mark.parametrize("ad_hoc", [True, False])
def test_a_number_that_is_no_rooms_opens_one_by_key_only_where_it_would_by_dialling(ad_hoc: bool) -> None:
    house = House(ad_hoc=ad_hoc, entries={"accueil": "fr-CA"})
    house.focus.add_room(RoomSettings(name="conseil", number="4100"))
    phone = Terminal(house, "192.0.2.11")
    phone.dial("accueil")
    house.run(2)
    [spec] = house.notes.streams.values()
    house.press(spec.stream, "7777#")
    house.run(1)
    assert [status.snapshot.name for status in house.focus.rooms()] == (["7777"] if ad_hoc else [])
    assert ("no-such-room" in house.spoken(stream=spec.stream)) is not ad_hoc


def test_who_dials_anew_for_more_pins_is_soon_told_to_wait() -> None:
    house = House(ad_hoc=False)
    house.focus.add_room(RoomSettings(name="conseil", number="4100", guest_pin="5678"))
    house.focus.add_room(RoomSettings(name="ouvert", number="4200", host_pin="1234"))
    phone, neighbour = Terminal(house, "192.0.2.11"), Terminal(house, "192.0.2.12")

    def wrong_pins(who: Terminal, user: str, digits: str, times: int) -> None:
        who.dial(user)
        house.run(2)
        for _ in range(times):
            for spec in list(house.notes.streams.values()):
                house.press(spec.stream, digits)
            house.say_all()
            house.run(1)
        house.run(60)

    for _ in range(3):
        wrong_pins(phone, "conseil", "9999#", 3)
    assert house.focus.tries.wrong == 9
    phone.dial("conseil")
    house.run(2)
    assert phone.events(sip.CallEnded)[-1].reason == "Too many wrong PINs"
    refusal = next(data for _, data, _ in house.log if data.startswith(b"SIP/2.0 480"))
    assert 1 <= int(refusal.split(b"Retry-After: ")[1].split(b"\r")[0]) <= 600
    assert house.focus.tries.refused == 1
    phone.dial("ouvert")
    house.run(2)
    [spec] = house.notes.streams.values()
    house.press(spec.stream, "#")
    house.run(1)
    assert house.people("ouvert"), "where guests need none he is let in"
    phone.hangup()
    neighbour.dial("conseil")
    house.run(2)
    [spec] = house.notes.streams.values()
    house.press(spec.stream, "5678#")
    house.run(1)
    assert house.people("conseil"), "nobody else waits for him"


def test_a_name_that_is_no_room_gets_404_where_rooms_are_not_opened_by_dialling() -> None:
    house = House(ad_hoc=False)
    phone = Terminal(house, "192.0.2.11")
    phone.dial("nowhere")
    house.run(2)
    assert phone.events(sip.CallEnded)[0].code == 404


def test_the_entry_number_asks_for_the_room() -> None:
    house = House(ad_hoc=False, entries={"accueil": "fr-CA"})
    house.focus.add_room(RoomSettings(name="conseil", number="4100"))
    phone = Terminal(house, "192.0.2.11")
    phone.dial("accueil")
    house.run(2)
    [spec] = house.notes.streams.values()
    assert "enter-number" in house.spoken(stream=spec.stream)
    house.press(spec.stream, "4100#")
    house.run(1)
    assert house.people("conseil") == ["sip:phone@192.0.2.11"]


def test_dialling_out_joins_the_callee_when_it_answers() -> None:
    house = House()
    phone = Terminal(house, "192.0.2.21")
    number = house.focus.dial("demo", "sip:bob@192.0.2.21", house.now)
    house.run(0.1)
    assert ResolveWanted(number, "sip:bob@192.0.2.21") in house.told
    house.focus.resolved(number, [flow_to(phone)], "", house.now)
    house.run(2)
    assert house.people("demo") == ["sip:bob@192.0.2.21"]
    assert [spec.room for spec in in_rooms(house)]


def test_a_callee_that_refuses_srtp_is_called_again_without() -> None:
    house = House()
    phone = Terminal(house, "192.0.2.21")
    phone.answers = False
    number = house.focus.dial("demo", "sip:bob@192.0.2.21", house.now)
    house.run(0.1)
    house.focus.resolved(number, [flow_to(phone)], "", house.now)
    house.run(1)
    [first] = phone.events(sip.IncomingCall)
    phone.endpoint.reject(first.call, 488, house.now)
    phone.answers = True
    house.run(3)
    assert house.people("demo") == ["sip:bob@192.0.2.21"]


def test_nobody_to_be_found_is_told_and_leaves_nothing_behind() -> None:
    house = House()
    number = house.focus.dial("demo", "sip:bob@nowhere.example", house.now)
    house.run(0.1)
    house.focus.resolved(number, [], "no such domain", house.now)
    house.run(1)
    assert any(isinstance(event, CallOver) and event.reason == "no such domain" for event in house.told)
    assert not house.notes.streams


def test_a_host_by_refer_has_somebody_called_and_hears_how_it_goes() -> None:
    house = House(refer="participants")
    phone, bob = Terminal(house, "192.0.2.11"), Terminal(house, "192.0.2.21")
    phone.dial("demo")
    house.run(2)
    phone.endpoint.refer(phone.call, "sip:bob@192.0.2.21", house.now)
    house.run(1)
    [wanted] = [event for event in house.told if isinstance(event, ResolveWanted)]
    house.focus.resolved(wanted.participant, [flow_to(bob)], "", house.now)
    house.run(3)
    assert len(house.people("demo")) == 2
    assert [event.code for event in phone.events(sip.ReferProgress)][-1] == 200


def test_guests_may_not_have_others_called_unless_settings_say_so() -> None:
    house = House(refer="hosts")
    phone = Terminal(house, "192.0.2.11")
    phone.dial("demo")
    house.run(2)
    phone.endpoint.refer(phone.call, "sip:premium@192.0.2.21", house.now)
    house.run(2)
    assert not [event for event in house.told if isinstance(event, ResolveWanted)]
    assert [event.code for event in phone.events(sip.ReferProgress)] == [403]


def test_who_may_have_others_called_may_not_have_them_removed() -> None:
    house = House(refer="participants")
    phone, other = Terminal(house, "192.0.2.11"), Terminal(house, "192.0.2.12")
    phone.dial("demo")
    house.run(2)
    other.dial("demo")
    house.run(2)
    [_, theirs] = house.people("demo")
    phone.endpoint.refer(phone.call, f"{theirs};method=BYE", house.now)
    house.run(2)
    assert len(house.people("demo")) == 2
    assert [event.code for event in phone.events(sip.ReferProgress)][-1] == 403


def test_who_has_no_codec_of_ours_is_told_so() -> None:
    house = House()
    phone = Honest(house, ("192.0.2.31", 5060))
    sdp = (
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.31\r\ns=-\r\nc=IN IP4 192.0.2.31\r\nt=0 0\r\n"
        b"m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 SPEEX/8000\r\n"
    )
    invite = request("INVITE", uri=f"sip:demo@{BRIDGE[0]}", here=phone.place[1], body=sdp)
    phone.send(invite, BRIDGE)
    house.run(1)
    assert phone.responses("INVITE") == [488]
    assert phone.last().headers["Warning"] == f'305 {BRIDGE[0]} "no codec in common"'


def test_a_warning_is_one_quoted_line() -> None:
    name, value = Unacceptable(400, 399, 'bad "\\x" line').header("2001:db8::1")
    assert (name, value) == ("Warning", '399 [2001:db8::1] "bad \\"\\\\x\\" line"')


def test_moving_to_a_room_of_another_worker_moves_the_address_too() -> None:
    house = House(workers=2)
    phone, other = Terminal(house, "192.0.2.11"), Terminal(house, "192.0.2.12")
    phone.dial("one")
    house.run(2)
    other.dial("two")
    house.run(2)
    [there] = house.workers[2].streams.values()
    [who] = [p.number for s in house.focus.rooms() if s.snapshot.name == "one" for p in s.snapshot.participants]
    house.focus.move(who, "two", house.now)
    house.run(3)
    assert len(house.people("two")) == 2
    assert not house.workers[1].streams
    moved = [spec for spec in house.workers[2].streams.values() if spec.stream != there.stream]
    assert [spec.room for spec in moved] == [there.room]
    assert phone.negotiator.agreed is not None
    assert phone.negotiator.agreed.remote == (BRIDGE[0], moved[0].port)


def test_whoever_takes_a_call_over_stays_the_same_participant() -> None:
    house = House()
    phone, tablet = Terminal(house, "192.0.2.11"), Terminal(house, "192.0.2.12")
    phone.dial("demo")
    house.run(2)
    session = phone.endpoint._stack.calls[phone.call]
    assert session.dialog is not None
    call_id, ours, theirs = session.dialog.id
    replaces = f"{call_id};to-tag={theirs};from-tag={ours}"
    tablet.dial("demo", headers=[("Replaces", replaces), ("Require", "replaces")])
    house.run(3)
    assert phone.events(sip.CallEnded)
    [status] = house.focus.rooms()
    assert len(status.snapshot.participants) == 1
    [spec] = in_rooms(house)
    assert spec.remote is not None
    assert spec.remote.host == "192.0.2.12"


def test_the_mixers_speaker_is_the_rooms_speaker() -> None:
    house = House()
    phone = Terminal(house, "192.0.2.11")
    phone.dial("demo")
    house.run(2)
    [spec] = in_rooms(house)
    house.heard(media.Speaking(room=spec.room, stream=spec.stream))
    [status] = house.focus.rooms()
    assert status.snapshot.participants[0].speaking
    house.heard(media.Speaking(room=spec.room, stream=0))
    assert house.focus.rooms()[0].snapshot.speaker is None


def test_text_from_a_phone_reaches_whoever_watches() -> None:
    house = House()
    phone = Terminal(house, "192.0.2.11")
    phone.dial("demo")
    house.run(2)
    phone.endpoint.message(phone.call, "text/plain", "Bonjour à tous".encode(), house.now)
    house.run(1)
    assert [event.text for event in house.told if isinstance(event, TextReceived)] == ["Bonjour à tous"]


def test_draining_takes_no_new_calls_tells_those_in_rooms_and_ends_them() -> None:
    house = House()
    phone, late = Terminal(house, "192.0.2.11"), Terminal(house, "192.0.2.12")
    phone.dial("demo")
    house.run(2)
    [spec] = in_rooms(house)
    house.focus.drain(house.now)
    house.run(0.1)
    assert "service-closes" in house.spoken(room=spec.room)
    late.dial("demo")
    house.run(2)
    assert late.events(sip.CallEnded)[0].code == 503
    assert not phone.events(sip.CallEnded)
    house.run(10)
    assert phone.events(sip.CallEnded)[0].code == 0
    assert house.focus.calls == 0


def test_simulated_talkers_are_in_the_room_take_turns_and_can_be_muted() -> None:
    house = House()
    house.focus.simulate("demo", [("Anne", ("a.g722",)), ("Luc", ("l.g722",)), ("Zoé", ("z.g722",))], house.now)
    talkers = [command for command in house.notes.told if isinstance(command, media.SetTalker)]
    assert [(talker.turn, talker.turns) for talker in talkers] == [(0, 3), (1, 3), (2, 3)]
    [status] = house.focus.rooms()
    luc = status.snapshot.participants[1]
    assert luc.name == "Luc"
    house.focus.tell("demo", lambda room: room.mute(luc.number, by=None, now=house.now), house.now)
    assert [command for command in house.notes.told if isinstance(command, media.SetTalker)][-1].muted


def test_a_simulated_talkers_level_is_shown_without_a_codec() -> None:
    house = House()
    house.focus.simulate("demo", [("Anne", ("a.g722",)), ("Luc", ("l.g722",))], house.now)
    luc = next(c for c in house.notes.told if isinstance(c, media.SetTalker) and c.clips == ("l.g722",))
    figures = media.StreamReport(luc.stream, 0, 0, 0, 0.0, 0.0, -21.5, 0, 0.0, 0.0, 0, 0, media.SendState(1, 1, 1), 0)
    house.heard(media.Report((figures,), 1.0, 2.0, 3.0, 0, 1.0, 0, 0))
    [status] = house.focus.rooms()
    anne, luc_now = (status.media[person.number] for person in status.snapshot.participants)
    assert anne.report is None
    assert luc_now.codec == ""
    assert luc_now.report is figures


SUBSCRIBE = (
    b"SUBSCRIBE sip:demo@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.31:5060;branch=z9hG4bKw1\r\n"
    b"From: <sip:w@192.0.2.31>;tag=w\r\nTo: <sip:demo@192.0.2.1>\r\nCall-ID: watch\r\nCSeq: 1 SUBSCRIBE\r\n"
    b"Contact: <sip:w@192.0.2.31>\r\nEvent: conference\r\nExpires: 600\r\nMax-Forwards: 70\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def test_a_room_that_is_forgotten_leaves_no_watcher() -> None:
    house = House(ad_hoc=False)
    house.focus.add_room(RoomSettings(name="demo"))
    watcher = Honest(house, ("192.0.2.31", 5060))
    watcher.send(SUBSCRIBE, BRIDGE)
    house.run(1)
    house.focus.remove_room("demo", house.now)
    house.run(1)
    in_order = sorted(watcher.requests("NOTIFY"), key=lambda notify: notify.cseq.number)
    ends = [notify.headers["Subscription-State"].partition(";")[0] for notify in in_order]
    assert ends[:2] == ["pending", "active"]
    assert ends[-1] == "terminated"
    assert house.bridge.held()["subscriptions"] == 0


def test_a_watcher_gets_the_whole_room_then_what_changes() -> None:
    house = House()
    watcher, phone = Terminal(house, "192.0.2.31"), Terminal(house, "192.0.2.11")
    del house.endpoints[(Transport.UDP, ("192.0.2.31", 5060))]
    notified = Honest(house, ("192.0.2.31", 5060))
    phone.dial("demo")
    house.run(2)
    notified.send(SUBSCRIBE, BRIDGE)
    house.run(0.5)
    assert 200 in notified.responses("SUBSCRIBE")
    pending, first = notified.requests("NOTIFY")
    assert not pending.body, "nothing is told to an address that may be somebody else's"
    assert b'state="full"' in first.body
    assert b"sip:phone@192.0.2.11" in first.body
    assert watcher is not None


@pytest.mark.parametrize(("ad_hoc", "other"), [(True, 200), (False, 404)])
def test_options_get_what_a_call_would(ad_hoc: bool, other: int) -> None:
    house = House(ad_hoc=ad_hoc, entries={"accueil": ""})
    house.focus.add_room(RoomSettings(name="demo", number="4001"))
    phone = Phone(house, ("192.0.2.31", 5060))
    for n, (user, code) in enumerate(
        {"demo": 200, "4001": 200, "Accueil": 200, "nowhere": other, "a%20b": 404}.items()
    ):
        phone.got.clear()
        phone.send(request("OPTIONS", n, uri=f"sip:{user}@192.0.2.1", here=phone.place[1]), BRIDGE)
        house.run(0.2)
        assert phone.responses() == [code], user


def test_a_crowd_that_comes_at_once_is_not_announced_for_minutes() -> None:
    house = House()
    phones = [Terminal(house, f"192.0.3.{n}") for n in range(1, 31)]
    for phone in phones:
        phone.dial("demo")
    house.run(3)
    room = in_rooms(house)[0].room
    tones = [clip for clip in house.spoken(room=room) if clip == "tone:join"]
    assert 1 <= len(tones) <= 4
    house.say_all()
    late = Terminal(house, "192.0.4.1")
    late.dial("demo")
    house.run(2)
    assert [clip for clip in house.spoken(room=room) if clip == "tone:join"] != tones


def test_more_callers_than_ports_all_get_in() -> None:
    house = House()
    phones = [Terminal(house, f"192.0.3.{n}") for n in range(1, 11)]
    for phone in phones:
        phone.dial("demo")
    house.run(3)
    specs = in_rooms(house)
    assert len(specs) == 10
    assert {spec.port for spec in specs} == set(range(16100, 16108, 2))


def test_a_full_worker_refuses_with_503_and_says_when_to_try_again() -> None:
    house = House(streams=1)
    one, two = Terminal(house, "192.0.2.11"), Terminal(house, "192.0.2.12")
    one.dial("demo")
    house.run(2)
    two.dial("demo")
    house.run(2)
    assert two.events(sip.CallEnded)[0].code == 503
    assert any(b"Retry-After" in data for _, data, _ in house.log)


def works(house: House, worker: int, beat_ms: float) -> None:
    report = media.Report((), beat_ms, beat_ms, beat_ms, 0, 0.0, 0, 0)
    house.focus.heard(worker, report, house.now)


def test_a_worker_with_no_time_left_keeps_its_calls_and_gets_no_new_ones() -> None:
    house = House(workers=2)
    one, two, three, four = (Terminal(house, f"192.0.2.1{n}") for n in range(4))
    one.dial("demo")
    house.run(2)
    [busy] = [n for n, notes in house.workers.items() if notes.streams]
    works(house, busy, 17.0)
    two.dial("demo")
    house.run(2)
    [over] = two.events(sip.CallEnded)
    assert (over.code, over.reason) == (503, "At The Limit, Try Again Soon")
    assert len(house.workers[busy].streams) == 1
    assert not one.events(sip.CallEnded)
    three.dial("another")  # which opens where there is time
    house.run(2)
    assert three.events(sip.CallAnswered)
    works(house, busy, 14.0)  # better, and not yet well
    two.dial("demo")
    house.run(2)
    assert len(two.events(sip.CallEnded)) == 2
    works(house, busy, 12.0)
    four.dial("demo")
    house.run(2)
    assert four.events(sip.CallAnswered)


@pytest.mark.parametrize("asks", [False, True])
def test_a_move_that_crosses_an_offer_of_the_terminals_comes_about_by_that(asks: bool) -> None:
    """``asks``: it makes none, but asks us for one. We called it, so it tries again sooner (RFC 3261 §14.1)."""
    house = House(workers=2)
    phone, other = Terminal(house, "192.0.2.11"), Terminal(house, "192.0.2.12")
    who = house.focus.dial("one", "sip:phone@192.0.2.11", house.now)
    house.focus.resolved(who, [flow_to(phone)], "", house.now)
    house.run(2)
    other.dial("two")
    house.run(2)
    [there] = house.workers[2].streams.values()
    house.focus.move(who, "two", house.now)
    phone.asked = asks
    phone.endpoint.offer(phone.call, None if asks else phone.negotiator.offer(phone.local), house.now)
    house.run(8)
    assert house.sent("SIP/2.0 491")
    assert len(house.people("two")) == 2
    assert not house.workers[1].streams
    moved = [spec for spec in house.workers[2].streams.values() if spec.stream != there.stream]
    assert [spec.room for spec in moved] == [there.room]
    assert phone.negotiator.agreed is not None
    assert phone.negotiator.agreed.remote == (BRIDGE[0], moved[0].port)
