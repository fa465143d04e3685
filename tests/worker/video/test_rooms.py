"""What each sees: everybody in the right tile, as he was sent."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.mixer.layout import Kind, Tile, lay_out
from bridge.worker.protocol_video import (
    DropVideoRoom,
    DropVideoStream,
    DropVoice,
    SetPainted,
    SetSpeaker,
    SetVideoRoom,
    SetVoice,
    Snapshot,
    SnapshotDone,
    VideoFormat,
    VideoLook,
    VideoPlace,
)
from tests.worker.video.terminals import Studio, Terminal

GRID = VideoLook("grid")
SMALL = (320, 180)


def tiles(kind: Kind, people: int, size: tuple[int, int] = (1280, 720), **more: bool) -> tuple[Tile, ...]:
    return lay_out(*size, kind, people, **more).tiles


def who(viewer: Terminal, tile: Tile, studio: Studio) -> int:
    """Whose colours are in a tile: his stream's number."""
    hue = viewer.hue(tile.inner)
    return min(studio.terminals, key=lambda t: abs(28 + (37 * t.stream) % 200 - hue)).stream


def test_three_see_three_each_in_his_tile(studio: Studio) -> None:
    studio.room(look=GRID)
    for codec in ("H264", "VP8", "H264-0"):
        studio.terminal(codec=codec)
    studio.run(2.5)
    for viewer in studio.terminals:
        assert viewer.seen_size == (1280, 720)
        for sender, tile in zip(studio.terminals, tiles(Kind.GRID, 3), strict=True):
            assert viewer.likeness(sender, tile) >= 0.9
            assert who(viewer, tile, studio) == sender.stream
    report = studio.events[-1]
    assert report.encodings == 3  # one a format
    assert not any(stream.errors for stream in report.streams)


def test_frames_come_at_the_rate_of_the_room(studio: Studio) -> None:
    for rate in (30, 25, 15):
        studio.room(rate, look=GRID, rate=rate, width=640, height=360)
        studio.terminal(room=rate, size=SMALL)
    studio.run(1.0)
    before = [terminal.pictures for terminal in studio.terminals]
    studio.run(2.0)
    for terminal, count, rate in zip(studio.terminals, before, (30, 25, 15), strict=True):
        assert terminal.pictures - count == pytest.approx(2 * rate, abs=1)


def test_one_encoding_for_all_who_can_take_it(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    for _ in range(5):
        studio.terminal(size=SMALL)
    studio.run(2.0)
    encoded = studio.beat.work.encoded
    studio.run(1.0)
    assert studio.beat.work.encoded - encoded <= 31
    assert {terminal.frames[-1].data for terminal in studio.terminals} == {studio.terminals[0].frames[-1].data}


def test_a_newcomer_sees_a_picture_at_once(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    studio.terminal(size=SMALL)
    studio.run(1.5)
    late = studio.terminal(size=SMALL)
    begin = studio.now
    studio.run(1.0)
    assert late.seen_at[0] - begin < 0.6
    assert late.frames[0].keyframe


def test_whoever_begins_with_a_keyframe_is_asked_for_none(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    for _ in range(2):
        studio.terminal(size=SMALL)
    studio.run(1.0)
    assert [terminal.keyframes_asked for terminal in studio.terminals] == [0, 0]


def test_nobody_watches_nothing_is_encoded_or_decoded(studio: Studio) -> None:
    studio.room(look=GRID)
    studio.terminal(size=SMALL, join={"send": None})
    studio.run(1.0)
    assert studio.beat.work.encoded == 0
    assert not studio.beat.sources
    assert studio.beat.reception.received[studio.beat.table.rows[1]] > 10


def test_a_still_picture_costs_a_frame_a_second(studio: Studio) -> None:
    studio.room(width=640, height=360, waiting="Vous êtes seul")
    alone = studio.terminal(sending=False)
    studio.run(1.0)
    encoded = studio.beat.work.encoded
    studio.run(4.0)
    assert 3 <= studio.beat.work.encoded - encoded <= 5
    assert alone.pictures >= 4
    assert alone.tile(lay_out(640, 360, Kind.WAITING, 0).message).max() > 140  # type: ignore[arg-type]


def test_the_speaker_is_large_and_sees_whoever_spoke_before(studio: Studio) -> None:
    studio.room(width=640, height=360)
    for _ in range(3):
        studio.terminal(size=SMALL)
    studio.run(1.0)
    studio.tell(SetSpeaker(1, 2))
    studio.run(3.0)
    large = tiles(Kind.STRIP, 3, (640, 360))[0]
    one, two, three = studio.terminals
    assert [who(viewer, large, studio) for viewer in (one, three)] == [2, 2]
    assert who(two, large, studio) != 2
    studio.tell(SetSpeaker(1, 3))
    studio.run(3.5)
    assert [who(viewer, large, studio) for viewer in (one, two, three)] == [3, 3, 2]


def test_who_has_a_look_of_his_own_sees_that(studio: Studio) -> None:
    studio.room(width=640, height=360)
    for _ in range(3):
        studio.terminal(size=SMALL)
    studio.tell(studio.terminals[2].spec(1, look=GRID))
    studio.run(1.5)
    for sender, tile in zip(studio.terminals, tiles(Kind.GRID, 3, (640, 360)), strict=True):
        assert who(studio.terminals[2], tile, studio) == sender.stream


def test_places_that_the_host_has_drawn(studio: Studio) -> None:
    look = VideoLook("fixed", (VideoPlace(0, 0, 0.5, 1), VideoPlace(0.5, 0, 0.5, 1)), (2, 1))
    studio.room(width=640, height=360, look=look)
    for _ in range(2):
        studio.terminal(size=SMALL)
    studio.run(1.5)
    left, right = (tile.inner for tile in tiles(Kind.GRID, 2, (640, 360)))
    one = studio.terminals[0]
    assert one.hue(left) == pytest.approx(28 + 74, abs=12)
    assert one.hue(right) == pytest.approx(28 + 37, abs=12)


def test_who_stops_sending_turns_grey_and_comes_back(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    a, b = studio.terminal(size=SMALL), studio.terminal(size=SMALL)
    studio.run(1.5)
    tile = tiles(Kind.GRID, 2, (640, 360))[1]
    b.sending = False
    studio.run(1.0)
    assert a.hue(tile.inner) == pytest.approx(28 + 74, abs=12)  # the last picture stands
    before = a.pictures
    studio.run(2.0)
    assert a.hue(tile.inner) == pytest.approx(128, abs=8)
    assert a.pictures - before > 50  # nobody waits for him
    b.sending = True
    b._due = studio.now
    studio.run(1.0)
    assert a.likeness(b, tile) > 0.85


def test_another_resolution_in_the_middle(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    a, b = studio.terminal(size=SMALL), studio.terminal(size=(320, 240))
    studio.run(1.5)
    tile = tiles(Kind.GRID, 2, (640, 360))[1]
    for size in ((640, 360), (240, 320), (160, 120)):
        b.resize(*size)
        studio.run(1.0)
        assert a.likeness(b, tile) > 0.9, size


def test_odd_sizes_and_old_codecs(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    a, b = studio.terminal(codec="VP8", size=(322, 186)), studio.terminal(codec="H263-1998", size=(352, 288))
    studio.run(2.0)
    assert a.seen_size == (640, 360)
    assert b.seen_size == (352, 288)
    first, second = tiles(Kind.GRID, 2, (640, 360))
    assert a.likeness(a, first) > 0.9
    assert who(a, second, studio) == 2
    assert who(b, tiles(Kind.GRID, 2, (352, 288))[0], studio) == 1


def test_a_telephone_held_upright_is_turned(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    a = studio.terminal(size=SMALL)
    b = studio.terminal(size=SMALL, join={"orientation": 5})
    b.extension = bytes([0x50, 0x01, 0, 0])  # one quarter (3GPP TS 26.114 §7.4.5)
    studio.run(1.5)
    assert a.likeness(b, tiles(Kind.GRID, 2, (640, 360))[1], turn=90) > 0.9


def test_content_is_large_for_all_and_apart_for_who_can_show_two(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    a, b = studio.terminal(size=SMALL), studio.terminal(size=SMALL)
    slides = studio.terminal(size=(640, 360), join={"participant": 2, "content": True, "send": None})
    screen = studio.terminal(sending=False, join={"participant": 1, "content": True})
    studio.run(1.0)
    assert not screen.pictures
    studio.tell(SetVideoRoom(1, look=GRID, width=640, height=360, presenting=2))
    studio.run(2.0)
    assert screen.seen_size == (640, 360)
    assert screen.hue(tiles(Kind.SINGLE, 1, (640, 360))[0].inner) == pytest.approx(28 + 111, abs=8)
    # Who has it in a second picture sees people in the first; who shows it too.
    for viewer in (a, b):
        assert [who(viewer, tile, studio) for tile in tiles(Kind.GRID, 2, (640, 360))] == [1, 2]
    third = studio.terminal(size=SMALL)
    studio.run(2.0)
    presentation = tiles(Kind.PRESENTATION, 3, (640, 360), slides=True)
    assert third.hue(presentation[3].inner) == pytest.approx(28 + 111, abs=8)
    studio.tell(DropVideoStream(slides.stream))
    studio.terminals.remove(slides)
    slides.close()
    studio.run(1.5)
    assert third.hue(tiles(Kind.GRID, 3, (640, 360))[0].inner) == pytest.approx(28 + 37, abs=12)


def test_the_interpreter_stays_in_view(studio: Studio) -> None:
    studio.room(width=640, height=360, reserved=3)
    for _ in range(3):
        studio.terminal(size=SMALL)
    studio.run(1.5)
    place = tiles(Kind.STRIP, 2, (640, 360), reserved=True)[-1]
    for speaker in (1, 2):
        studio.tell(SetSpeaker(1, speaker))
        studio.run(3.0)
        assert who(studio.terminals[0], place, studio) == 3


def test_who_leaves_leaves_the_picture(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    for _ in range(3):
        studio.terminal(size=SMALL)
    studio.run(1.5)
    studio.tell(DropVideoStream(2))
    gone = studio.terminals.pop(1)
    gone.close()
    studio.run(1.5)
    one = studio.terminals[0]
    assert [who(one, tile, studio) for tile in tiles(Kind.GRID, 2, (640, 360))] == [1, 3]
    assert not studio.beat.table.live[studio.beat.table.stream == 2].any()


def test_who_goes_to_another_room_sees_that_one(studio: Studio) -> None:
    studio.room(1, look=GRID, width=640, height=360)
    studio.room(2, look=GRID, width=640, height=360)
    for room in (1, 1, 2, 2):
        studio.terminal(room=room, size=SMALL)
    studio.run(1.5)
    studio.tell(studio.terminals[1].spec(2))
    studio.run(1.5)
    three = tiles(Kind.GRID, 3, (640, 360))
    assert [who(studio.terminals[1], tile, studio) for tile in three] == [3, 4, 2]


def test_simulated_people_move_and_are_shown(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    studio.tell(*(SetPainted(100 + n, 1, name) for n, name in enumerate(("Léa", "Noé", "Zoé"))))
    alone = studio.terminal(sending=False)
    studio.tell(SetSpeaker(1, 101))
    studio.run(2.0)
    places = tiles(Kind.GRID, 3, (640, 360))
    before = [alone.tile(tile.inner).copy() for tile in places]
    studio.run(0.5)
    for tile, old in zip(places, before, strict=True):
        assert old.std() > 8
        assert np.abs(alone.tile(tile.inner).astype(int) - old).max() > 40


def test_voices_have_tiles_where_that_is_wanted(studio: Studio) -> None:
    studio.room(look=VideoLook("grid", voices=True), width=640, height=360)
    a = studio.terminal(size=SMALL)
    studio.tell(SetVoice(77, 1, "Gaëlle"))
    studio.run(1.5)
    left, right = tiles(Kind.GRID, 2, (640, 360))
    assert who(a, left, studio) == 1
    assert abs(a.tile(right.inner).astype(int) - 56).mean() < 40  # a card


def test_a_voice_that_gets_a_picture_is_one_participant(studio: Studio) -> None:
    studio.room(look=VideoLook("grid", voices=True), width=640, height=360)
    a = studio.terminal(size=SMALL)
    studio.tell(SetVoice(2, 1, "Gaëlle"))
    studio.run(1.0)
    studio.terminal(size=SMALL)
    studio.tell(DropVoice(2, 1))
    studio.run(1.5)
    assert [who(a, tile, studio) for tile in tiles(Kind.GRID, 2, (640, 360))] == [1, 2]


def test_who_calls_again_before_his_first_call_is_gone_is_there_once(studio: Studio) -> None:
    studio.room(look=GRID, width=640, height=360)
    a, b = studio.terminal(size=SMALL), studio.terminal(size=SMALL, join={"participant": 50})
    studio.run(1.0)
    again = studio.terminal(size=SMALL, join={"participant": 50})
    studio.run(0.5)
    studio.tell(DropVideoStream(b.stream))
    b.sending = False
    studio.run(1.5)
    left, right = tiles(Kind.GRID, 2, (640, 360))
    assert [who(a, tile, studio) for tile in (left, right)] == [1, 3]
    assert again.pictures > 30


def test_a_room_has_a_title_and_a_logo(studio: Studio, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from bridge.worker.video.snapshot import write_png

    bar = np.full((90, 40), 128, np.uint8)
    bar[:60] = 235
    path = tmp_path / "logo.png"
    write_png(str(path), bar)
    studio.room(look=GRID, width=640, height=360, title="Salle du conseil")
    a = studio.terminal(size=SMALL)
    studio.run(1.0)
    title = lay_out(640, 360, Kind.WAITING, 1, titled=True).title
    assert title is not None
    before = a.tile(title)
    assert before[:, : title.w // 2].max() > 120
    assert before[:, -60:].max() < 80
    studio.room(look=GRID, width=640, height=360, title="Salle du conseil", logo=str(path))
    studio.run(1.0)
    assert a.tile(title)[:, -60:].max() > 150


def test_a_snapshot_of_a_room_that_nobody_watches(studio: Studio, tmp_path) -> None:  # type: ignore[no-untyped-def]
    import av

    studio.room(look=GRID, width=640, height=360)
    studio.terminal(size=SMALL, join={"send": None})
    studio.terminal(size=SMALL, join={"send": None})
    studio.run(1.0)
    path = tmp_path / "room.png"
    studio.tell(Snapshot(7, 1, str(path), 640, 360))
    studio.run(2.5)
    assert studio.of(SnapshotDone) == [SnapshotDone(7)]
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0)).reformat(format="yuv420p").to_ndarray()
    assert picture.shape == (540, 640)
    left = tiles(Kind.GRID, 2, (640, 360))[0].inner
    assert picture[left.y : left.bottom, left.x : left.right].std() > 20
    studio.tell(Snapshot(8, 1, str(tmp_path / "nowhere" / "room.png")))
    studio.run(0.5)
    assert studio.of(SnapshotDone)[-1].error


def test_nothing_is_left_behind(studio: Studio) -> None:
    beat = studio.beat
    free = beat._pool.free
    for round_ in range(6):
        studio.room(look=GRID, width=640, height=360)
        for n in range(2):
            studio.terminal(size=SMALL, codec=("H264", "VP8")[(n + round_) % 2])
        studio.run(0.8)
        for terminal in studio.terminals[-2:]:
            studio.tell(DropVideoStream(terminal.stream))
            terminal.close()
        del studio.terminals[:]
        studio.tell(DropVideoRoom(1))
        studio.run(0.2)
    assert not beat.sources
    assert not beat.table.rows
    assert not beat.rooms
    assert not beat.fanout.history._encodings
    assert not beat.answers.viewers
    assert not beat._live
    studio.run(0.2)
    assert free - beat._pool.free <= 4096 + 512  # what the receivers hold ready


def test_bad_descriptions_are_told_and_change_nothing(studio: Studio) -> None:
    from bridge.worker.protocol import Trouble

    studio.room()
    a = studio.terminal(size=SMALL)
    for wrong in (
        a.spec(9),
        a.spec(1, port=1),
        a.spec(1, send=VideoFormat("AV9", 99)),
        a.spec(1, send=VideoFormat("H265", 99)),
        a.spec(1, mtu=9000),
        a.spec(1, look=VideoLook("spiral")),
        SetSpeaker(9, 1),
        SetVoice(1, 9, "Noé"),
        SetPainted(70, 9, "Noé"),
        SetVideoRoom(1, look=VideoLook("spiral")),
        SetVideoRoom(2, look=VideoLook("fixed", (VideoPlace(2, 0, 1, 1),))),
        SetVideoRoom(3, logo="/nowhere.png"),
    ):
        count = len(studio.of(Trouble))
        studio.tell(wrong)
        assert len(studio.of(Trouble)) == count + 1, wrong
    studio.run(1.0)
    assert a.pictures
