"""Calls whose keys come by DTLS: what workers and the gateway are told, through real endpoints, in virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bridge.conference.settings import RoomSettings
from bridge.conference.transport_event import Broken, Keyed, Reached, TransportEvent, Unreachable
from bridge.conference.transports import TransportSettings
from bridge.signalling import event as sip
from bridge.signalling import sdp
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.offer import Local
from bridge.signalling.transport_parameters import Candidate, Fingerprint, Setup, TransportParameters
from bridge.signalling.video_codec import VideoCapabilities
from bridge.worker import protocol as media
from bridge.worker import protocol_video as pictures
from tests.conference.house import House, Terminal

KEYS = (media.SrtpKey("AEAD_AES_128_GCM", bytes(28)), media.SrtpKey("AEAD_AES_128_GCM", bytes(range(28))))
BUNDLE = 19000
SOMEWHERE = media.Address("198.51.100.7", 40000)
THEIRS = TransportParameters(
    (Fingerprint("sha-256", bytes(range(32))),), Setup.ACTPASS, "theirU", "theirpasswordtheirpass12"
)


class Desk:
    """A gateway that does nothing by itself."""

    def __init__(self) -> None:
        self.open_now: dict[str, TransportParameters | None] = {}
        self.full = False
        self.got: list[tuple[bytes, Flow]] = []
        self.restarts = 0
        self._out: deque[tuple[bytes, Flow]] = deque()
        self._events: deque[TransportEvent] = deque()

    def _ours(self, setup: Setup) -> TransportParameters:
        name = f"our{self.restarts:04}"
        return TransportParameters((Fingerprint("sha-256", bytes(32)),), setup, name, "p" * 24, lite=True)

    def open(
        self,
        id: str,
        remote: TransportParameters | None,
        *,
        local: tuple[str, int],
        candidates: tuple[Candidate, ...] = (),
        now: float,
    ) -> TransportParameters:
        assert local in (("", BUNDLE), ("", BUNDLE + 1))
        if self.full:
            raise RuntimeError("full")
        self.open_now[id] = remote
        return self._ours(Setup.ACTPASS if remote is None else Setup.PASSIVE)

    def update(self, id: str, remote: TransportParameters, now: float) -> TransportParameters:
        before = self.open_now[id]
        self.restarts += before is not None and before.ufrag != remote.ufrag
        self.open_now[id] = remote
        return self._ours(Setup.PASSIVE)

    def offer(self, id: str, now: float, *, restart: bool = False) -> TransportParameters:
        assert id in self.open_now
        self.restarts += restart
        return self._ours(Setup.ACTPASS)

    def close(self, id: str, now: float) -> None:
        del self.open_now[id]

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.got.append((data, flow))
        self._out.append((b"\x01answer", flow))

    def expire(self, now: float) -> None:
        pass

    def deadline(self) -> float | None:
        return None

    def datagrams(self) -> Iterator[tuple[bytes, Flow]]:
        while self._out:
            yield self._out.popleft()

    def told(self) -> Iterator[TransportEvent]:
        while self._events:
            yield self._events.popleft()

    def say(self, house: House, *events: TransportEvent) -> None:
        """Something comes, and the gateway finds that out."""
        self._events.extend(events)
        house.heard(media.Datagrams(port=BUNDLE, packets=(media.Datagram(SOMEWHERE, b"\x00check"),)))


class Browser(Terminal):
    def __init__(self, house: House, host: str = "192.0.2.11", *, ice: bool = True) -> None:
        super().__init__(house, host, video=VideoCapabilities())
        theirs = THEIRS if ice else replace(THEIRS, ufrag="", password="")
        self.local = Local(host, 30000, video=30002, transport=replace(theirs, address=(host, 30000)))


def bridge(**settings: object) -> tuple[House, Desk]:
    desk = Desk()
    transports = TransportSettings(desk, {1: BUNDLE}, ("203.0.113.9",))
    return House(video=1, transports=transports, **settings), desk  # type: ignore[arg-type]


def joined() -> tuple[House, Desk, Browser]:
    house, desk = bridge()
    browser = Browser(house)
    browser.dial("demo")
    house.run(2)
    [id] = desk.open_now
    desk.say(house, Reached(id, SOMEWHERE), Keyed(id, *KEYS))
    house.run(1)
    return house, desk, browser


def voice(house: House) -> media.SetStream:
    [spec] = house.notes.streams.values()
    return spec


def seen(house: House) -> pictures.SetVideoStream:
    [spec] = house.screen.streams.values()
    return spec


def test_who_only_watches_tells_what_came_of_it_as_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    house, desk = bridge()
    browser = Browser(house)
    whole = browser.negotiator.offer(browser.local)
    before, _, after = whole.rpartition(b"a=sendrecv")
    monkeypatch.setattr(browser.negotiator, "offer", lambda local: before + b"a=recvonly" + after)
    browser.dial("demo")
    house.run(2)
    [id] = desk.open_now
    desk.say(house, Reached(id, SOMEWHERE), Keyed(id, *KEYS))
    house.run(1)
    video = seen(house)
    assert not video.receive
    assert video.send is not None
    assert (video.nack, video.pli, video.fir, video.transport_cc) == (True,) * 4


def test_networks_without_udp_are_told_a_tcp_port() -> None:
    settings = TransportSettings(Desk(), {1: BUNDLE}, ("203.0.113.9",), {BUNDLE: 443})
    house = House(transports=settings)
    browser = Browser(house)
    browser.dial("demo")
    house.run(2)
    [event] = browser.events(sip.CallAnswered)
    assert list(sdp.parse(event.body).media[0].all("candidate"))[2:] == [
        "t1 1 tcp 1520435199 203.0.113.9 443 typ host tcptype passive",
        "t2 1 tcp 1520434943 192.0.2.1 443 typ host tcptype passive",
    ]


def test_the_answer_is_of_the_gateway_at_the_bundle_port() -> None:
    house, desk = bridge()
    browser = Browser(house)
    browser.dial("demo")
    house.run(2)
    [event] = browser.events(sip.CallAnswered)
    line = sdp.parse(event.body).media[0]
    assert (line.port, line.first("ice-ufrag"), line.first("setup")) == (BUNDLE, "our0000", "passive")
    assert list(line.all("candidate")) == [
        f"1 1 udp 2130706431 203.0.113.9 {BUNDLE} typ host",
        f"2 1 udp 2130706175 192.0.2.1 {BUNDLE} typ host",
    ]
    [remote] = desk.open_now.values()
    assert remote is not None
    assert (remote.ufrag, remote.fingerprints) == ("theirU", THEIRS.fingerprints)


def test_before_keys_and_path_are_there_nothing_is_sent_or_taken_and_nobody_has_joined() -> None:
    house, _ = bridge()
    Browser(house).dial("demo")
    house.run(2)
    for spec in (voice(house), seen(house)):
        assert (spec.keyed, spec.fixed, spec.port) == (True, True, BUNDLE)
        assert spec.remote is spec.remote_rtcp is None
        assert spec.srtp_send is spec.srtp_receive is None
    assert not house.focus.rooms()


def test_with_them_both_workers_are_told_and_it_has_joined() -> None:
    house, _, _ = joined()
    audio, video = voice(house), seen(house)
    for spec in (audio, video):
        assert spec.remote == spec.remote_rtcp == SOMEWHERE
        assert (spec.srtp_send, spec.srtp_receive) == KEYS
        assert spec.rtcp_mux
        assert spec.send is not None
        assert not spec.at_home
    assert audio.room == video.room != 0
    assert video.bundle == audio.stream
    assert (video.mid, video.extensions.mid) == ("1", 4)
    assert {each.payload_type for each in video.receive} | {each.rtx_type for each in video.receive} == set(
        audio.elsewhere
    )
    assert video.remb
    assert video.transport_cc
    [room] = house.focus.rooms()
    [status] = room.media.values()
    assert status.secure
    assert status.video[0].secure
    assert [person.state for person in room.snapshot.participants] == ["in"]


def test_what_is_sent_is_what_the_answer_says() -> None:
    house, _, browser = joined()

    def told() -> list[tuple[str, int]]:
        events = [*browser.events(sip.CallAnswered), *browser.events(sip.OfferAnswered)]
        media = sdp.parse(events[-1].body).media
        return [(line.kind, int(value.split()[0])) for line in media for value in line.all("ssrc")]

    audio, video = voice(house).send_state, seen(house).send_state
    assert audio is not None
    assert video is not None
    assert audio.ssrc not in (video.ssrc, video.ssrc + 1)
    first = told()
    assert first == [("audio", audio.ssrc), ("video", video.ssrc), ("video", video.ssrc + 1)]
    browser.hold(False)
    house.run(2)
    assert told() == first
    assert (voice(house).send_state, seen(house).send_state) == (audio, video)


def test_ports_of_their_own_are_not_held() -> None:
    house, _ = bridge()
    for number in range(20):
        Browser(house, f"192.0.2.{30 + number}").dial("demo")
    house.run(2)
    plain = Terminal(house, "192.0.2.12")
    plain.dial("demo")
    house.run(2)
    [spec] = [each for each in house.notes.streams.values() if each.port != BUNDLE]
    assert spec.port == 16100, "the first is free"


def test_checks_and_handshakes_go_through() -> None:
    house, desk = bridge()
    desk.say(house)
    [(data, flow)] = desk.got
    assert (data, flow) == (b"\x00check", Flow(Transport.UDP, ("", BUNDLE), ("198.51.100.7", 40000)))
    answer = media.Datagrams(port=BUNDLE, packets=(media.Datagram(SOMEWHERE, b"\x01answer"),))
    assert answer in house.notes.told


def test_another_path_is_followed_and_a_lost_one_is_not_sent_to() -> None:
    house, desk, _ = joined()
    [id] = desk.open_now
    elsewhere = media.Address("198.51.100.8", 50000)
    desk.say(house, Reached(id, elsewhere))
    assert voice(house).remote == seen(house).remote == elsewhere
    desk.say(house, Unreachable(id))
    assert voice(house).remote is seen(house).remote is None
    assert voice(house).srtp_send == KEYS[0]
    assert house.focus.calls == 1


def test_a_broken_one_ends_the_call() -> None:
    house, desk, browser = joined()
    [id] = desk.open_now
    desk.say(house, Broken(id, "the certificate is another's"))
    house.run(2)
    assert browser.events(sip.CallEnded)
    assert not desk.open_now
    assert not house.notes.streams
    assert not house.screen.streams


def test_hanging_up_closes_it() -> None:
    house, desk, browser = joined()
    browser.hangup()
    house.run(40)
    assert not desk.open_now
    assert not house.notes.streams


def test_a_restart_has_new_credentials_and_the_keys_stay() -> None:
    house, _, browser = joined()
    transport = browser.local.transport
    assert transport is not None
    browser.local = replace(browser.local, transport=replace(transport, ufrag="theirV"))
    browser.hold(False)
    house.run(2)
    event = browser.events(sip.OfferAnswered)[-1]
    assert sdp.parse(event.body).media[0].first("ice-ufrag") == "our0001"
    assert voice(house).srtp_send == KEYS[0]
    assert voice(house).remote == SOMEWHERE


def test_an_offer_is_asked_for_inside_a_call() -> None:
    house, _, browser = joined()
    browser.asked = True
    browser.endpoint.offer(browser.call, None, house.now)
    house.run(2)
    event = browser.events(sip.OfferAnswered)[-1]
    line = sdp.parse(event.body).media[0]
    assert (line.first("setup"), line.mid, line.port) == ("actpass", "0", BUNDLE)
    assert voice(house).srtp_send == KEYS[0]


def test_when_no_more_fit_the_call_is_refused_for_now() -> None:
    house, desk = bridge()
    desk.full = True
    browser = Browser(house)
    browser.dial("demo")
    house.run(2)
    [event] = browser.events(sip.CallEnded)
    assert event.code == 503
    assert not house.notes.streams
    assert house.focus.calls == 0


def test_without_a_gateway_dtls_is_refused() -> None:
    house = House(video=1)
    browser = Browser(house)
    browser.dial("demo")
    house.run(2)
    [event] = browser.events(sip.CallEnded)
    assert event.code == 488


@pytest.mark.parametrize("bad", [b"v=0\r\n", b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\n"])
def test_what_is_no_offer_is_refused_and_leaves_nothing(bad: bytes) -> None:
    house, desk = bridge()
    phone = Terminal(house, "192.0.2.11")
    flow = Flow(Transport.UDP, ("192.0.2.11", 5060), ("192.0.2.1", 5060))
    phone.endpoint.dial("sip:demo@192.0.2.1", [flow], bad, house.now, from_uri="sip:phone@192.0.2.11")
    house.run(2)
    [event] = phone.events(sip.CallEnded)
    assert event.code in (400, 488)
    assert not desk.open_now
    assert not house.notes.streams
    assert house.focus.calls == 0


def test_phones_without_ice_are_where_their_description_says() -> None:
    house, desk = bridge()
    phone = Browser(house, ice=False)
    phone.dial("demo")
    house.run(2)
    assert [(id.split("-")[1], remote and remote.address) for id, remote in desk.open_now.items()] == [
        ("audio", ("192.0.2.11", 30000)),
        ("video", ("192.0.2.11", 30002)),
    ]
    first, second = desk.open_now
    desk.say(house, Keyed(first, *KEYS))
    assert voice_of(house).remote == media.Address("192.0.2.11", 30000)
    assert voice_of(house).srtp_send == KEYS[0]
    carrier = next(spec for spec in house.notes.streams.values() if spec.elsewhere)
    picture = seen(house)
    assert (carrier.room, carrier.remote, carrier.receive) == (0, media.Address("192.0.2.11", 30002), ())
    assert set(carrier.elsewhere) >= {each.payload_type for each in picture.receive}
    assert picture.bundle == carrier.stream != voice_of(house).stream
    assert picture.srtp_send is None
    desk.say(house, Keyed(second, *KEYS))
    assert seen(house).srtp_send == KEYS[0]
    phone.hangup()
    house.run(40)
    assert not house.notes.streams


def voice_of(house: House) -> media.SetStream:
    return next(spec for spec in house.notes.streams.values() if spec.receive)


def test_a_plain_call_stays_plain() -> None:
    house, desk = bridge()
    phone = Terminal(house, "192.0.2.11")
    phone.dial("demo")
    house.run(2)
    assert not desk.open_now
    assert not voice(house).keyed
    assert voice(house).port == 16100


def test_a_room_without_pictures_refuses_a_browsers() -> None:
    house, _ = bridge()
    house.focus.add_room(RoomSettings(name="bare", video=False))
    browser = Browser(house)
    browser.dial("bare")
    house.run(2)
    assert browser.negotiator.agreed is not None
    assert browser.negotiator.agreed.transport is not None
    assert browser.negotiator.agreed.video is None


def test_a_call_that_moves_to_another_worker_keeps_its_keys_and_finds_its_way_anew() -> None:
    desk = Desk()
    house = House(video=2, workers=2, transports=TransportSettings(desk, {1: BUNDLE, 2: BUNDLE + 1}))
    first = Terminal(house, "192.0.2.12")
    first.dial("first")
    house.run(2)
    browser = Browser(house)
    browser.dial("second")
    house.run(2)
    [id] = desk.open_now
    desk.say(house, Reached(id, SOMEWHERE), Keyed(id, *KEYS))
    house.run(1)
    there, back = [n for n in (1, 2) if any(s.keyed for s in house.workers[n].streams.values())], [1, 2]
    [worker] = there
    back.remove(worker)
    before = next(spec for spec in house.workers[worker].streams.values() if spec.keyed)
    number = next(
        person.number
        for room in house.focus.rooms()
        for person in room.snapshot.participants
        if room.snapshot.name == "second"
    )
    house.focus.move(number, "first", house.now)
    house.run(2)
    [event] = browser.events(sip.OfferReceived)
    line = sdp.parse(event.body).media[0]
    assert line.port == BUNDLE + back[0] - 1
    assert line.first("ice-ufrag") == "our0001"
    after = next(spec for spec in house.workers[back[0]].streams.values() if spec.keyed)
    assert not any(spec.keyed for spec in house.workers[worker].streams.values())
    assert (after.remote, after.srtp_send) == (None, KEYS[0])
    assert after.send_state is not None
    assert before.send_state is not None
    assert after.send_state.ssrc != before.send_state.ssrc, "the same keys, so never the same numbers"
    assert [int(value.split()[0]) for value in line.all("ssrc")] == [after.send_state.ssrc]
    desk.say(house, Reached(id, SOMEWHERE))
    assert next(s for s in house.workers[back[0]].streams.values() if s.keyed).remote == SOMEWHERE
