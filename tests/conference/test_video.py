"""Pictures of calls and rooms: what video workers are told, through real endpoints, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.conference.error import Forbidden, Refused
from bridge.conference.event import LayoutChanged, PresentationChanged
from bridge.conference.focus_event import SnapshotTaken
from bridge.conference.house import NoSuchRoom
from bridge.conference.screen import Place
from bridge.conference.settings import RoomSettings
from bridge.signalling import event as sip
from bridge.signalling.media_control import CONTENT_TYPE, MediaControl, build_media_control, parse_media_control
from bridge.signalling.offer import Negotiator
from bridge.signalling.video_codec import VideoCapabilities
from bridge.worker import protocol as media
from bridge.worker import protocol_video as pictures
from tests.conference.house import BRIDGE, House, Terminal
from tests.conference.test_focus import SUBSCRIBE, flow_to
from tests.signalling.network import Honest


def camera(house: House, host: str = "192.0.2.11", room: str = "demo", **kw: object) -> Terminal:
    phone = Terminal(house, host, video=VideoCapabilities(**kw))  # type: ignore[arg-type]
    phone.dial(room)
    house.run(2)
    return phone


def the(house: House) -> pictures.SetVideoStream:
    [spec] = house.screen.streams.values()
    return spec


def test_a_caller_with_a_camera_is_in_the_rooms_picture() -> None:
    house = House(video=1)
    phone = camera(house)
    spec = the(house)
    [audio] = house.notes.streams.values()
    assert spec.room == audio.room != 0
    assert spec.room in house.screen.rooms
    assert spec.remote == media.Address("192.0.2.11", 30002)
    assert spec.port in range(26000, 26016)
    assert spec.send is not None
    assert spec.send.name == "H264"
    assert spec.participant == house.focus.rooms()[0].snapshot.participants[0].number
    assert spec.name == "phone"
    assert spec.cname == audio.cname
    assert spec.at_home
    assert (spec.nack, spec.pli, spec.fir, spec.tmmbr) == (True, True, True, True)
    assert spec.stream != audio.stream
    phone.hangup()
    house.run(40)
    assert not house.screen.streams
    assert not house.screen.rooms


def test_a_caller_without_one_is_in_the_same_room() -> None:
    house = House(video=1)
    camera(house)
    Terminal(house, "192.0.2.12").dial("demo")
    house.run(2)
    assert len(house.screen.streams) == 1
    assert len(house.notes.streams) == 2


def test_without_video_workers_pictures_are_refused() -> None:
    house = House()
    phone = camera(house)
    assert phone.negotiator.agreed is not None
    assert phone.negotiator.agreed.video is None
    assert len(house.notes.streams) == 1


def test_nothing_is_sent_before_the_ack_shows_that_the_caller_is_where_it_says() -> None:
    house = House(video=1)
    house.drop = lambda data, flow: data.startswith(b"ACK")
    camera(house)
    assert the(house).send is None
    house.drop = lambda data, flow: False
    house.run(5)
    assert the(house).send is not None


def test_a_camera_goes_off_and_on_again_while_the_voice_goes_on() -> None:
    house = House(video=1)
    phone = camera(house)
    phone.camera(False)
    house.run(2)
    assert not house.screen.streams
    assert len(house.people("demo")) == 1
    phone.camera(True)
    house.run(2)
    assert phone.negotiator.agreed is not None
    assert phone.negotiator.agreed.video is None, "our own offers leave a picture that was ended off"


def test_hold_holds_pictures_too() -> None:
    house = House(video=1)
    phone = camera(house)
    phone.hold(True)
    house.run(2)
    assert the(house).send is None
    phone.hold(False)
    house.run(2)
    assert the(house).send is not None


def test_nobody_sees_the_room_before_the_pin() -> None:
    house = House(video=1, ad_hoc=False)
    house.focus.add_room(RoomSettings(name="conseil", host_pin="1234"))
    camera(house, room="conseil")
    assert the(house).room == 0
    [audio] = house.notes.streams.values()
    house.press(audio.stream, "1234#")
    house.run(1)
    assert the(house).room != 0


def test_a_late_offer_is_answered_with_pictures_too() -> None:
    house = House(video=1)
    phone = Terminal(house, "192.0.2.11", video=VideoCapabilities(("VP8",)))  # an ACK that UDP holds
    phone.pending = b"late"
    house.drop = lambda data, flow: data.startswith(b"ACK")
    phone.dial("demo", late=True)
    house.run(0.2)
    house.heard(media.Latched(stream=1, remote=media.Address("192.0.2.11", 30000)))
    house.drop = lambda data, flow: False
    house.run(3)
    assert the(house).send is not None
    assert the(house).room != 0


def test_the_speaker_is_forwarded_until_somebody_is_pinned() -> None:
    house = House(video=1)
    camera(house)
    camera(house, "192.0.2.12")
    first, second = (person.number for person in house.focus.rooms()[0].snapshot.participants)
    for audio in house.notes.streams.values():
        house.heard(media.Speaking(room=audio.room, stream=audio.stream))
    assert [command.participant for command in house.screen.of(pictures.SetSpeaker)] == [first, second]
    house.focus.tell("demo", lambda room: room.pin(first, by=None, now=house.now), house.now)
    assert house.screen.of(pictures.SetSpeaker)[-1].participant == first
    house.focus.tell("demo", lambda room: room.pin(None, by=None, now=house.now), house.now)
    assert house.screen.of(pictures.SetSpeaker)[-1].participant == second


def test_layouts_of_the_room_and_of_one() -> None:
    house = House(video=1)
    camera(house)
    [person] = house.focus.rooms()[0].snapshot.participants
    assert next(iter(house.screen.rooms.values())).look.kind == "strip"
    house.focus.tell("demo", lambda room: room.set_layout("grid", by=None, now=house.now), house.now)
    assert next(iter(house.screen.rooms.values())).look.kind == "grid"
    assert the(house).look is None
    house.focus.tell("demo", lambda room: room.set_own_layout(person.number, "single", by=None, now=0), house.now)
    spec = the(house)
    assert spec.look is not None
    assert spec.look.kind == "single"
    house.focus.tell("demo", lambda room: room.set_own_layout(person.number, None, by=None, now=0), house.now)
    assert the(house).look is None
    drawn = (Place(0, 0, 0.5, 1, participant=person.number), Place(0.5, 0, 0.5, 1, letterbox=True))
    house.focus.tell("demo", lambda room: room.set_layout("fixed", drawn, by=None, now=0), house.now)
    look = next(iter(house.screen.rooms.values())).look
    assert (look.kind, look.pinned) == ("fixed", (person.number, 0))
    assert [place.letterbox for place in look.places] == [False, True]
    house.run(0.1)
    told = [(e.participant, e.layout) for e in house.told if isinstance(e, LayoutChanged)]
    assert told == [(None, "grid"), (person.number, "single"), (person.number, None), (None, "fixed")]


@pytest.mark.parametrize(("layout", "places"), [("mosaic", ()), ("fixed", ()), ("grid", (Place(0, 0, 1, 1),))])
def test_layouts_that_make_no_sense_are_refused(layout: str, places: tuple[Place, ...]) -> None:
    house = House(video=1)
    camera(house)
    with pytest.raises(Refused):
        house.focus.tell("demo", lambda room: room.set_layout(layout, places, by=None, now=0), house.now)


def test_guests_change_their_own_layout_only() -> None:
    house = House(video=1)
    camera(house)
    [guest] = house.focus.rooms()[0].snapshot.participants
    house.focus.tell("demo", lambda room: room.set_own_layout(guest.number, "grid", by=guest.number, now=0), 0)
    with pytest.raises(Forbidden):
        house.focus.tell("demo", lambda room: room.set_layout("grid", by=guest.number, now=0), 0)
    with pytest.raises(Forbidden):
        house.focus.tell("demo", lambda room: room.pin(guest.number, by=guest.number, now=0), 0)


def test_names_and_mutes_are_shown() -> None:
    house = House(video=1)
    camera(house)
    [person] = house.focus.rooms()[0].snapshot.participants
    house.focus.tell("demo", lambda room: room.mute(person.number, by=None, now=0), house.now)
    assert the(house).muted
    house.focus.tell("demo", lambda room: room.rename(person.number, "Zoë", by=None, now=0), house.now)
    assert the(house).name == "Zoë"


def test_the_interpreter_of_the_settings_stays_in_view() -> None:
    house = House(video=1, ad_hoc=False)
    house.focus.add_room(RoomSettings(name="conseil", reserved="sip:phone@192.0.2.12"))
    camera(house, room="conseil")
    assert next(iter(house.screen.rooms.values())).reserved == 0
    interpreter = camera(house, "192.0.2.12", "conseil")
    number = house.focus.rooms()[0].snapshot.participants[1].number
    assert next(iter(house.screen.rooms.values())).reserved == number
    interpreter.hangup()
    house.run(2)
    assert next(iter(house.screen.rooms.values())).reserved == 0


def test_who_sends_no_picture_has_a_tile_where_the_room_wants_it() -> None:
    house = House(video=1, ad_hoc=False)
    house.focus.add_room(RoomSettings(name="conseil", show_voices=True))
    phone = Terminal(house, "192.0.2.12")
    phone.dial("conseil")
    house.run(2)
    [voice] = house.screen.of(pictures.SetVoice)
    assert voice.name == "phone"
    phone.hangup()
    house.run(2)
    assert [each.participant for each in house.screen.of(pictures.DropVoice)] == [voice.participant]


def test_a_rooms_picture_is_turned_off_and_on() -> None:
    house = House(video=1)
    camera(house)
    house.focus.tell("demo", lambda room: room.change_settings({"video": False}, by=None, now=0), house.now)
    assert the(house).room == 0
    assert not house.screen.rooms
    with pytest.raises(Refused):
        house.focus.snapshot("demo", "/tmp/x.png", house.now)
    house.focus.tell("demo", lambda room: room.change_settings({"video": True}, by=None, now=0), house.now)
    assert the(house).room in house.screen.rooms


def test_moving_to_a_room_of_another_worker_takes_the_picture_along() -> None:
    house = House(workers=2, video=2)
    phone = camera(house)
    other = camera(house, "192.0.2.12", "autre")
    before = {n: dict(notes.streams) for n, notes in house.screens.items()}
    assert [len(streams) for streams in before.values()] == [1, 1]
    number = next(s.snapshot.participants[0].number for s in house.focus.rooms() if s.snapshot.name == "demo")
    house.focus.move(number, "autre", house.now)
    house.run(3)
    [crowded] = [notes for notes in house.screens.values() if notes.streams]
    assert {spec.remote.host for spec in crowded.streams.values() if spec.remote} == {"192.0.2.11", "192.0.2.12"}
    assert len({spec.room for spec in crowded.streams.values()}) == 1
    assert phone.negotiator.agreed is not None
    assert phone.negotiator.agreed.video is not None
    assert phone.negotiator.agreed.video.remote is not None
    ports = {spec.port for spec in crowded.streams.values()}
    assert phone.negotiator.agreed.video.remote[1] in ports
    for each in (phone, other):
        each.hangup()
    house.run(40)
    assert not any(notes.streams or notes.rooms for notes in house.screens.values())


def test_another_device_takes_the_picture_over_too() -> None:
    house = House(video=1)
    phone = camera(house)
    number = house.focus.rooms()[0].snapshot.participants[0].number
    session = phone.endpoint._stack.calls[phone.call]
    assert session.dialog is not None
    call_id, ours, theirs = session.dialog.id
    replaces = f"{call_id};to-tag={theirs};from-tag={ours}"
    other = Terminal(house, "192.0.2.12", video=VideoCapabilities())
    other.dial("demo", headers=[("Replaces", replaces), ("Require", "replaces")])
    house.run(3)
    spec = the(house)
    assert (spec.participant, spec.room != 0) == (number, True)
    assert spec.remote == media.Address("192.0.2.12", 30002)


def test_a_dialled_out_terminal_is_offered_pictures() -> None:
    house = House(video=1)
    phone = Terminal(house, "192.0.2.11", video=VideoCapabilities())
    participant = house.focus.dial("demo", "sip:phone@192.0.2.11", house.now)
    house.focus.resolved(participant, [flow_to(phone)], "", house.now)
    house.run(3)
    assert the(house).room != 0
    assert not the(house).content


def test_one_who_wants_no_picture_gives_the_ports_back() -> None:
    house = House(video=1)
    phone = Terminal(house, "192.0.2.11")
    participant = house.focus.dial("demo", "sip:phone@192.0.2.11", house.now)
    house.focus.resolved(participant, [flow_to(phone)], "", house.now)
    house.run(3)
    assert len(house.people("demo")) == 1
    assert not house.screen.streams
    for n in range(12, 30):  # as many as there are ports, and more
        camera(house, f"192.0.2.{n}").hangup()
        house.run(40)
    assert len({spec.port for spec in house.screen.of(pictures.SetVideoStream)}) == 8


def test_a_keyframe_is_asked_for_by_info_once_a_second() -> None:
    house = House(video=1)
    phone = camera(house)
    for _ in range(3):
        house.watched(pictures.KeyframeWanted(stream=the(house).stream))
    house.run(0.5)
    [info] = phone.events(sip.InfoReceived)
    assert info.content_type == CONTENT_TYPE
    assert parse_media_control(info.body).fast_update
    house.run(1)
    house.watched(pictures.KeyframeWanted(stream=the(house).stream))
    house.run(0.5)
    assert len(phone.events(sip.InfoReceived)) == 2
    house.watched(pictures.KeyframeWanted(stream=4711))


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (build_media_control(MediaControl(fast_update=True)), 1),
        (build_media_control(MediaControl(fast_update=True, streams=("9",))), 1),
        (build_media_control(MediaControl()), 0),
        (b"<media_control", 0),
    ],
)
def test_one_is_sent_when_the_terminal_asks_by_info(body: bytes, asked: int) -> None:
    house = House(video=1)
    phone = camera(house)
    phone.endpoint.info(phone.call, CONTENT_TYPE, body, house.now)
    house.run(1)
    assert house.screen.of(pictures.AskKeyframe) == [pictures.AskKeyframe(stream=the(house).stream)] * asked


def test_a_rooms_picture_is_written_to_a_file() -> None:
    house = House(video=1)
    camera(house)
    number = house.focus.snapshot("demo", "/tmp/x.png", house.now)
    [wanted] = house.screen.of(pictures.Snapshot)
    assert (wanted.snapshot, wanted.room, wanted.path) == (number, the(house).room, "/tmp/x.png")
    house.watched(pictures.SnapshotDone(snapshot=number))
    assert SnapshotTaken(number, "") in house.told
    with pytest.raises(NoSuchRoom):
        house.focus.snapshot("nowhere", "/tmp/x.png", house.now)


def test_the_demos_talkers_have_pictures() -> None:
    house = House(video=1)
    house.focus.simulate("demo", [("June", ("a",)), ("Luc", ("b",))], house.now)
    painted = house.screen.of(pictures.SetPainted)
    assert [each.name for each in painted] == ["June", "Luc"]
    [audio] = {talker.room for talker in house.notes.told if isinstance(talker, media.SetTalker)}
    assert {each.room for each in painted} == {audio}
    house.focus.tell("demo", lambda room: room.end(by=None, now=house.now), house.now)
    assert {each.stream for each in house.screen.of(pictures.DropVideoStream)} == {each.stream for each in painted}


def test_figures_are_shown() -> None:
    house = House(video=1)
    camera(house)
    spec = the(house)
    report = pictures.VideoStreamReport(
        spec.stream, 100, 1, 2.0, 500_000, 640, 360, 30.0, 99, 0, 1, 0, 100, 900_000, 1280, 720, 30.0, 0.0, 5.0, 0,
        media.SendState(1, 2, 3), 0,
    )  # fmt: skip
    house.watched(pictures.VideoReport((report,), 1, 2, 1, 2, 3, 4, 5, 6.0, 0, 0))
    [status] = house.focus.rooms()
    [found] = status.media.values()
    [video] = found.video
    assert (video.sends, video.receives, video.content, video.report) == ("H264", "H264", False, report)


@pytest.mark.parametrize(
    ("limits", "size"),
    [({}, (1920, 1080)), ({"max_fs": 3600}, (1280, 720)), ({"max_fs": 1000}, (640, 360)), ({"max_fs": 1}, (320, 180))],
)
def test_what_vp8_says_that_it_takes(limits: dict[str, int], size: tuple[int, int]) -> None:
    house = House(video=1)
    camera(house, codecs=("VP8",), max_fps=15, **(limits or {"max_fs": 8160}))
    spec = the(house)
    assert (spec.max_width, spec.max_height, spec.max_rate) == (*size, 15.0)
    assert spec.max_bitrate == 2_000_000


class TestPresentation:
    def test_goes_to_whoever_takes_it(self) -> None:
        house = House(video=1)
        camera(house)
        camera(house, "192.0.2.12")
        first, second = (person.number for person in house.focus.rooms()[0].snapshot.participants)

        def act(take: bool, number: int) -> None:
            def command(room):  # type: ignore[no-untyped-def]
                name = room.take_presentation if take else room.release_presentation
                name(number, by=number, now=house.now)

            house.focus.tell("demo", command, house.now)

        act(True, first)
        assert next(iter(house.screen.rooms.values())).presenting == first
        act(True, first)
        act(True, second)
        assert house.focus.rooms()[0].snapshot.presenter == second
        act(False, first)
        assert next(iter(house.screen.rooms.values())).presenting == second
        act(False, second)
        assert next(iter(house.screen.rooms.values())).presenting == 0
        house.run(0.1)
        told = [event.participant for event in house.told if isinstance(event, PresentationChanged)]
        assert told == [first, second, None]

    def test_ends_with_its_call(self) -> None:
        house = House(video=1)
        phone = camera(house)
        camera(house, "192.0.2.12")
        number = house.focus.rooms()[0].snapshot.participants[0].number
        house.focus.tell("demo", lambda room: room.take_presentation(number, by=number, now=0), house.now)
        phone.hangup()
        house.run(2)
        assert house.focus.rooms()[0].snapshot.presenter is None

    def test_may_be_the_hosts_alone(self) -> None:
        house = House(video=1, ad_hoc=False)
        house.focus.add_room(RoomSettings(name="conseil", presenters="hosts"))
        camera(house, room="conseil")
        [guest] = house.focus.rooms()[0].snapshot.participants
        with pytest.raises(Forbidden):
            house.focus.tell("conseil", lambda room: room.take_presentation(guest.number, by=guest.number, now=0), 0)
        house.focus.tell("conseil", lambda room: room.take_presentation(guest.number, by=None, now=0), 0)


class TestPicturesGoToNobodyElse:
    """Where the description names another host than its signalling comes from."""

    def call(self, house: House) -> Terminal:
        phone = Terminal(house, "192.0.2.11", video=VideoCapabilities())
        phone.local = replace(phone.local, host="192.0.2.66")
        phone.dial("demo")
        house.run(2)
        return phone

    def test_until_something_comes_from_there(self) -> None:
        house = House(video=1)
        self.call(house)
        [audio] = house.notes.streams.values()
        assert the(house).remote == media.Address("192.0.2.66", 30002)
        assert the(house).send is None
        house.heard(media.Latched(stream=audio.stream, remote=media.Address("192.0.2.77", 40000)))
        assert the(house).send is None
        house.heard(media.Latched(stream=audio.stream, remote=media.Address("192.0.2.66", 40000)))
        assert the(house).send is not None

    def test_unless_the_picture_itself_comes(self) -> None:
        house = House(video=1)
        self.call(house)
        house.watched(media.Latched(stream=the(house).stream, remote=media.Address("192.0.2.99", 40000)))
        assert the(house).send is not None, "it is sent to where that came from"


def bare(house: House) -> None:
    house.focus.add_room(RoomSettings(name="bare", video=False))


def test_a_room_without_pictures_refuses_the_video_of_who_calls_it() -> None:
    house = House(video=1)
    bare(house)
    phone = camera(house, room="bare")
    assert phone.negotiator.agreed is not None
    assert phone.negotiator.agreed.send is not None
    assert phone.negotiator.agreed.video is None
    assert not house.screen.streams
    phone.camera(True)
    house.run(2)
    assert phone.negotiator.agreed.video is None


def test_who_is_called_into_a_room_without_pictures_is_offered_none() -> None:
    house = House(video=1)
    bare(house)
    phone = Terminal(house, "192.0.2.11", video=VideoCapabilities())
    number = house.focus.dial("bare", "sip:phone@192.0.2.11", house.now)
    house.focus.resolved(number, [flow_to(phone)], "", house.now)
    house.run(3)
    [event] = phone.events(sip.IncomingCall)
    assert b"m=video" not in event.offer


def test_who_is_moved_to_a_room_without_pictures_loses_the_video_and_keeps_the_voice() -> None:
    house = House(video=1)
    bare(house)
    phone = camera(house)
    number = house.focus.rooms()[0].snapshot.participants[0].number
    house.focus.move(number, "bare", house.now)
    house.run(3)
    assert phone.negotiator.agreed is not None
    assert phone.negotiator.agreed.send is not None
    assert phone.negotiator.agreed.video is None
    assert not house.screen.streams
    house.focus.move(number, "demo", house.now)
    house.run(1)
    phone.negotiator = Negotiator(phone.capabilities, house.rng.randbytes, 2, VideoCapabilities())
    phone.camera(True)
    house.run(3)
    assert len(house.screen.streams) == 1, "its own offer brings it back"


def test_who_watches_the_room_is_told_whose_cameras_are_on() -> None:
    house = House(video=1)
    phone = camera(house)
    watcher = Honest(house, ("192.0.2.31", 5060))
    watcher.send(SUBSCRIBE, BRIDGE)
    house.run(2)
    phone.camera(False)
    house.run(0.5)
    house.run(3)
    in_order = sorted(watcher.requests("NOTIFY"), key=lambda notify: notify.cseq.number)
    bodies = [notify.body for notify in in_order if notify.body]
    assert b"<type>video</type><label>1</label><status>sendrecv</status>" in bodies[0]
    assert bodies[-1].count(b'state="partial"') == 2
    assert b"<type>video</type>" not in bodies[-1]
    assert b"<type>audio</type>" in bodies[-1]
