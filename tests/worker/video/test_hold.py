"""Calls that are put on hold and come back."""

from __future__ import annotations

from bridge.media.video import feedback
from bridge.mixer.layout import Kind, lay_out
from bridge.worker.protocol_video import VideoLook
from bridge.worker.video.beat import SLOT
from tests.worker.video.terminals import Studio

SMALL = (320, 180)
PAIR = lay_out(640, 360, Kind.GRID, 2).tiles


def test_who_comes_back_from_hold_is_seen_whole_though_no_packet_number_is_missing(studio: Studio) -> None:
    """baresip's encoder goes on while its packets are neither sent nor numbered."""
    studio.room(look=VideoLook("grid"), width=640, height=360)
    a, b = studio.terminal(size=SMALL), studio.terminal(size=SMALL)
    studio.run(1.5)
    studio.tell(a.spec(1, send=None))
    send, a.send_payload = a.send_payload, lambda payload, marker=True: None  # type: ignore[method-assign]
    studio.run(1.5)
    a.send_payload = send  # type: ignore[method-assign]
    studio.tell(a.spec(1))
    for _ in range(8):
        studio.run(0.25)
        assert b.likeness(a, PAIR[0]) > 0.9 or b.tile(PAIR[0].inner).std() < 40, "a broken picture was shown"
    assert b.likeness(a, PAIR[0]) > 0.9
    assert b.likeness(b, PAIR[1]) > 0.9


def test_who_comes_back_from_hold_gets_a_keyframe_twice(studio: Studio) -> None:
    """The first may fall on the remains of the frame that the hold cut short."""
    studio.room(look=VideoLook("grid"), width=640, height=360)
    a, _ = studio.terminal(size=SMALL), studio.terminal(size=SMALL)
    studio.run(1.5)
    studio.tell(a.spec(1, send=None))
    studio.run(1.0)
    held = len(a.frames)
    studio.tell(a.spec(1))
    studio.run(2.0)
    keys = [n for n, frame in enumerate(a.frames[held:]) if frame.keyframe]
    assert keys[0] == 0
    assert len(keys) == 2


def test_who_turns_the_camera_off_gets_a_keyframe_soon_after(studio: Studio) -> None:
    """Its re-INVITE makes baresip lose a packet, for which it asks nobody."""
    studio.room(look=VideoLook("grid"), width=640, height=360)
    a, _ = studio.terminal(size=SMALL), studio.terminal(size=SMALL)
    studio.run(1.5)
    for changes in ({"receive": ()}, {}):
        count = len(a.frames)
        studio.tell(a.spec(1, **changes))
        studio.run(1.5)
        assert sum(frame.keyframe for frame in a.frames[count:]) >= 1


def test_a_hold_does_not_cut_a_frame_in_two(studio: Studio) -> None:
    studio.room(look=VideoLook("grid"), width=640, height=360)
    a, b = studio.terminal(size=SMALL), studio.terminal(size=SMALL)
    markers: list[bool] = []
    receive = a._receive

    def note(data: bytes, now: float) -> None:
        if not 192 <= data[1] <= 223:
            markers.append(data[1] >> 7 == 1)
        receive(data, now)

    a._receive = note  # type: ignore[method-assign]
    studio.run(1.5)
    a.ask(feedback.PictureLoss(a.ssrc, a.peer_ssrc))
    for _ in range(40):
        studio.run(SLOT)
        if markers and not markers[-1]:
            break
    assert not markers[-1], "no frame was under way"
    others = b.packets
    studio.tell(a.spec(1, send=None))
    studio.run(0.5)
    assert markers[-1]
    held = len(markers)
    studio.run(0.5)
    assert len(markers) == held
    assert b.packets > others
