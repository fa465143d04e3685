"""Who is in which tile, in virtual time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.mixer.choose import GONE, HOLD, LOOKS, SETTLE, STALL, STEADY, Chooser, Look, Scene, Showing
from bridge.mixer.layout import MOST_TILES, STRIP_TILES, Kind, Place

A, B, C, D, E = range(5)


class Room:
    """A chooser whose people send pictures all the time."""

    def __init__(self, people: int, look: Look | None = None) -> None:
        self.chooser = Chooser(look)
        self.now = 0.0
        self.sending: set[int] = set()
        for who in range(people):
            self.join(who)
        self.run(0.0)

    def join(self, who: int, *, picture: bool = True) -> None:
        self.chooser.join(who, f"P{who}")
        if picture:
            self.sending.add(who)

    def leave(self, who: int) -> None:
        self.chooser.leave(who)
        self.sending.discard(who)

    def run(self, seconds: float, **how: object) -> Scene:
        for step in range(round(seconds / 0.1) + 1):
            self.now += 0.1 * (step > 0)
            for who in self.sending:
                self.chooser.picture(who, self.now)
            scene = self.chooser.scene(self.now, **how)  # type: ignore[arg-type]
        return scene

    def talk(self, who: int | None, seconds: float = 4.0) -> Scene:
        self.chooser.speaks(who, self.now)
        return self.run(seconds)

    def see(self, viewer: int | None = None, look: Look | None = None) -> Scene:
        return self.chooser.scene(self.now, viewer=viewer, look=look)


def seats(scene: Scene) -> list[int | None]:
    return [one.who if one else None for one in scene.people]


def test_the_speaker_is_large_and_the_one_before_takes_his_seat() -> None:
    room = Room(4)
    room.talk(A)
    before = seats(room.see())
    assert before[0] == A
    room.talk(C)
    after = seats(room.see())
    assert after[0] == C
    assert after[before.index(C)] == A
    assert [who for who in before[1:] if who != C] == [who for who in after[1:] if who != A]


def test_a_cough_changes_nothing_but_the_frame() -> None:
    room = Room(3)
    room.talk(A)
    room.chooser.speaks(B, room.now)
    during = room.run(STEADY - 0.2)
    assert seats(during)[0] == A
    assert [one.who for one in during.people if one and one.speaking] == [B]
    assert seats(room.talk(A))[0] == A


def test_a_large_picture_stays_long_enough_to_be_seen() -> None:
    room = Room(3)
    room.talk(A)
    changes, last = [], A
    for turn in range(40):  # two who interrupt each other every second
        who = seats(room.talk((B, C)[turn % 2], 1.0))[0]
        if who != last:
            changes.append(room.now)
            last = who
    gaps = [after - before for before, after in pairwise(changes)]
    assert changes
    assert min(gaps, default=HOLD) >= HOLD - 0.11


def test_who_falls_silent_stays_until_somebody_else_speaks() -> None:
    room = Room(3)
    room.talk(B)
    assert seats(room.talk(None, 20.0))[0] == B


def test_the_speaker_sees_the_previous_one_and_everybody_else_one_scene() -> None:
    room = Room(5)
    room.talk(A)
    room.talk(B)
    everybody = {viewer: room.see(viewer) for viewer in range(5)}
    assert everybody[A] == everybody[C] == everybody[D] == everybody[E] == room.see()
    assert seats(everybody[B])[0] == A
    assert sorted(map(str, seats(everybody[B]))) == sorted(map(str, seats(everybody[C])))
    assert seats(everybody[B]).index(B) == seats(everybody[C]).index(A)


@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.STRIP, Kind.SIDE_BY_SIDE])
@pytest.mark.parametrize("spoken", [0, 1, 2])
def test_nobody_is_shown_large_to_himself(kind: Kind, spoken: int) -> None:
    for people in range(2, 5):
        room = Room(people, Look(kind))
        for who in range(spoken):
            room.talk(who)
        for viewer in range(people):
            large = seats(room.see(viewer))[: 2 if kind is Kind.SIDE_BY_SIDE else 1]
            assert large
            assert viewer not in large


def test_more_scenes_than_two_are_never_needed() -> None:
    for kind in Kind:
        room = Room(9, Look(kind, places=(Place(0, 0, 1, 1),)))
        room.talk(A)
        room.talk(B)
        assert len({room.see(viewer) for viewer in range(9)}) <= 1 + (2 if kind is Kind.SIDE_BY_SIDE else 1)


@given(st.lists(st.tuples(st.sampled_from(["join", "leave", "talk"]), st.integers(0, 29)), max_size=40))
def test_pictures_keep_their_places(steps: list[tuple[str, int]]) -> None:
    room = Room(3, Look(Kind.GRID))
    here = {0, 1, 2}
    for what, who in steps:
        before = seats(room.see())
        if what == "join":
            room.join(who)
            here.add(who)
        elif what == "leave":
            room.leave(who)
            here.discard(who)
        elif who in here:
            room.chooser.speaks(who, room.now)
        after = seats(room.run(HOLD + STEADY + SETTLE))
        assert len(set(after)) == len(after) == min(len(here), MOST_TILES)
        moved = [one for one in before if one in after and after.index(one) != before.index(one)]
        assert len(here) <= 1 or len(moved) <= 1, "only the last moves into what was left free"
        if what == "join" and len(here) <= MOST_TILES:
            assert set(after) == here


def test_whoever_speaks_unseen_takes_the_seat_of_who_spoke_longest_ago() -> None:
    room = Room(30, Look(Kind.GRID))
    before = seats(room.see())
    assert 28 not in before
    after = seats(room.talk(28))
    assert [i for i in range(MOST_TILES) if before[i] != after[i]] == [after.index(28)]
    assert seats(room.talk(3)) == after, "who is seen already moves nobody"


def test_a_strip_has_as_many_as_fit() -> None:
    room = Room(12)
    for who in range(12):
        assert len(seats(room.talk(who))) == 1 + STRIP_TILES
    assert 10 in seats(room.see())


def test_many_who_come_at_once_move_the_tiles_twice() -> None:
    room = Room(2, Look(Kind.GRID))
    room.run(2)
    scenes = []
    for who in range(2, 12):
        room.join(who)
        scenes.append(seats(room.run(0.04)))
        room.now += 0.04
    scenes.append(seats(room.run(SETTLE)))
    changes = [scene for scene, after in pairwise(scenes) if len(scene) != len(after)]
    assert len(scenes[-1]) == 12
    assert len(changes) <= 2


def test_a_stalled_picture_stays_two_seconds_then_there_is_the_name_then_nothing() -> None:
    room = Room(3, Look(Kind.GRID))
    room.run(1)
    room.sending.discard(B)
    assert room.run(STALL - 0.2).people[1].showing is Showing.PICTURE  # type: ignore[union-attr]
    stalled = room.run(0.4).people[1]
    assert stalled
    assert (stalled.who, stalled.showing, stalled.name) == (B, Showing.STALLED, "P1")
    assert B not in room.see().sources()
    assert B not in seats(room.run(GONE))
    room.sending.add(B)
    assert B in room.run(0.2).sources()


def test_a_picture_that_comes_back_is_shown_at_once() -> None:
    room = Room(2, Look(Kind.GRID))
    room.sending.discard(B)
    room.run(5)
    assert B not in room.see().sources()
    room.chooser.picture(B, room.now)
    assert B in room.see().sources()


def test_a_camera_switched_off_is_gone_at_once() -> None:
    room = Room(3, Look(Kind.GRID))
    room.sending.discard(B)
    room.chooser.no_picture(B)
    assert B not in seats(room.see())


def test_callers_without_pictures_are_shown_only_if_wanted() -> None:
    room = Room(3, Look(Kind.GRID))
    room.join(D, picture=False)
    assert D not in seats(room.run(1))
    voices = Look(Kind.GRID, voices=True)
    named = room.see(look=voices).people[3]
    assert named
    assert (named.who, named.showing) == (D, Showing.NAME)
    assert D not in room.see(look=voices).sources()


@pytest.mark.parametrize("kind", [Kind.STRIP, Kind.GRID, Kind.SINGLE, Kind.SIDE_BY_SIDE])
def test_the_only_one_with_a_picture_sees_the_others_names(kind: Kind) -> None:
    room = Room(1, Look(kind))
    room.join(B, picture=False)
    room.run(1)
    assert B in seats(room.see(viewer=A))
    assert A in seats(room.see())


def test_who_is_alone_is_told_to_wait_and_sees_himself() -> None:
    room = Room(1, Look(waiting="Un instant", title="Comité"))
    alone = room.see(viewer=A)
    assert (alone.kind, alone.message, alone.title, seats(alone)) == (Kind.WAITING, "Un instant", "Comité", [A])
    room.join(B)
    both = room.run(1)
    assert both.kind is Kind.STRIP
    assert not both.message
    assert Chooser(Look(waiting="?")).scene(0.0).kind is Kind.WAITING


def test_the_interpreter_stays_beside_whoever_speaks() -> None:
    for kind in (Kind.SINGLE, Kind.STRIP, Kind.GRID, Kind.SIDE_BY_SIDE):
        room = Room(5, Look(kind))
        room.chooser.reserve(E)
        for who in (A, E, B):
            scene = room.talk(who)
            assert scene.reserved
            assert scene.reserved.who == E
            assert E not in seats(scene)
        assert room.see().reserved
        room.chooser.present(99, owner=A)
        assert room.see().reserved
        room.leave(E)
        assert room.run(1).reserved is None


def test_content_is_shown_to_all_but_who_presents() -> None:
    room = Room(4)
    room.chooser.present(77, owner=A, name="Budget")
    for viewer in (None, B, C, D):
        scene = room.see(viewer)
        assert scene.kind is Kind.PRESENTATION
        assert scene.slides
        assert scene.slides.who == 77
        assert 77 in scene.sources()
    own = room.see(A)
    assert own.slides is None
    assert own.kind is Kind.STRIP
    room.chooser.present(None)
    assert room.see().slides is None


def test_fixed_places_keep_whom_the_host_put_there() -> None:
    places = (Place(0, 0, 0.5, 1), Place(0.5, 0, 0.5, 0.5), Place(0.5, 0.5, 0.5, 0.5))
    look = Look(Kind.FIXED, places, (C, None, 9))
    room = Room(5, look)
    assert seats(room.talk(A)) == [C, A, None]
    assert seats(room.talk(B)) == [C, B, None]
    assert seats(room.talk(C)) == [C, B, None]


def test_a_participants_own_layout_is_his_alone() -> None:
    room = Room(6)
    room.talk(A)
    own = room.see(D, Look(Kind.GRID))
    assert own.kind is Kind.GRID
    assert len(own.people) == 6
    assert room.see(E).kind is Kind.STRIP


def test_a_name_and_a_mute_are_seen_at_once() -> None:
    room = Room(2)
    room.chooser.mute(B, True)
    room.chooser.join(B, "Benoît", muted=True)
    shown = next(one for one in room.see().people if one and one.who == B)
    assert (shown.name, shown.muted) == ("Benoît", True)


def test_what_a_stranger_does_keeps_nothing() -> None:
    room = Room(2)
    for who in range(1000, 1400):
        room.join(who)
        room.run(0.1)
        room.leave(who)
    room.run(2)
    for turn in range(LOOKS + 20):
        room.see(A, Look(Kind.FIXED, (Place(0, 0, 1, 1),), (turn,)))
    room.run(0.2)
    chooser = room.chooser
    assert len(chooser._people) == 2
    assert len(chooser._spoken) <= 2
    assert len(chooser._seatings) <= LOOKS
    assert len(chooser._scenes) <= 1


def test_scenes_are_the_same_object_while_nothing_happens() -> None:
    room = Room(3)
    room.run(1)
    assert room.see() is room.see(C)


@given(st.integers(0, 30), st.sampled_from(Kind), st.booleans(), st.booleans(), st.booleans())
def test_every_scene_has_a_tile_for_whom_it_shows(
    people: int, kind: Kind, voices: bool, content: bool, reserved: bool
) -> None:
    room = Room(people, Look(kind, (Place(0, 0, 0.5, 0.5), Place(0.2, 0.2, 0.8, 0.8)), voices=voices))
    room.join(50, picture=False)
    if content:
        room.chooser.present(99, owner=0)
    if reserved and people:
        room.chooser.reserve(people - 1)
    room.run(1)
    for viewer in (None, 0, 1, 50):
        scene = room.see(viewer)
        tiles = scene.tiles(1280, 720)
        assert len(tiles) == len(scene.people) + bool(scene.slides) + bool(scene.reserved)
