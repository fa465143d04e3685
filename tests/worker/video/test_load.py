"""The machine can encode only so much: what is lowered for that, in which order, and when it comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.worker.protocol_video import VideoReport
from bridge.worker.video.load import FULL, Asked, Load, cost
from bridge.worker.video.rung import LADDER, OLD_LADDER, Rung, lower
from tests.worker.video.terminals import Studio

HD, SD = LADDER[1], LADDER[3]


def run(load: Load, asked: list[Asked], capacity: float, begin: int, seconds: int) -> list[float]:
    """A machine that encodes ``capacity`` pixels a second in time; what was asked of it, each second."""
    totals = []
    for second in range(begin, begin + seconds):
        total = sum(cost(name, load.eased(name, rung)) for name, rung in asked)
        totals.append(total)
        late = max(0.0, 1 - capacity / total) if total else 0.0
        load.second(asked, late, min(total / capacity, 1.0), float(second))
    return totals


def test_the_rate_goes_before_the_size() -> None:
    assert [(r.height, r.rate) for r in lower(LADDER[0])] == [(1080, 25), (1080, 15), (720, 15), (360, 15)]
    assert [(r.height, r.rate) for r in lower(OLD_LADDER[0])] == [(288, 25), (288, 15), (144, 15)]
    assert lower(LADDER[5]) == ()


def test_nothing_is_lowered_where_there_is_room() -> None:
    load, asked = Load(0.0), [("H264", HD), ("VP8", SD)]
    run(load, asked, 1e9, 1, 60)
    assert load.steps(asked) == 0


def test_the_most_expensive_goes_down_first_and_the_others_stay() -> None:
    asked = [("H264", LADDER[0]), ("H264", HD), ("H264", SD)]
    load = Load(0.0)
    run(load, asked, 0.95 * sum(cost(*each) for each in asked), 1, 8)
    assert load.eased(*asked[0]).rate < 30
    assert load.eased(*asked[1]) == HD
    assert load.eased(*asked[2]) == SD


def test_vp8_goes_before_h264_of_the_same_size() -> None:
    asked = [("H264", HD), ("VP8", HD)]
    load = Load(0.0)
    run(load, asked, 0.9 * sum(cost(*each) for each in asked), 1, 8)
    assert load.eased("VP8", HD) != HD
    assert load.eased("H264", HD) == HD


def test_one_bad_second_changes_nothing() -> None:
    load, asked = Load(0.0), [("H264", HD)]
    load.second(asked, 0.5, 1.0, 10.0)
    load.second(asked, 0.0, 0.5, 11.0)
    load.second(asked, 0.5, 1.0, 12.0)
    assert load.steps(asked) == 0


def test_heavy_overload_is_over_after_two_seconds() -> None:
    load, asked = Load(-10.0), [("VP8", LADDER[0])] * 4
    totals = run(load, asked, 0.2 * sum(cost(*each) for each in asked), 1, 4)
    assert totals[-1] <= 0.2 * totals[0]


def test_it_comes_back_when_there_is_room_again() -> None:
    load, asked = Load(0.0), [("H264", HD), ("VP8", HD)]
    total = sum(cost(*each) for each in asked)
    run(load, asked, 0.5 * total, 1, 20)
    assert load.steps(asked) > 0
    run(load, asked, 4 * total, 21, 120)
    assert load.steps(asked) == 0
    assert load.ceiling == float("inf")


def test_a_step_up_that_proves_too_high_is_tried_less_and_less_often() -> None:
    """Others use the processors, so our share says nothing."""
    load, asked = Load(0.0), [("H264", HD)]
    moves = []
    for second in range(1, 600):
        total = cost("H264", load.eased("H264", HD))
        if load.second(asked, 0.2 if total > 0.6 * cost("H264", HD) else 0.0, 0.1, float(second)):
            moves.append(second)
    assert len(moves) < 20
    assert moves[-1] - moves[-3] > 2 * (moves[3] - moves[1])


@given(
    st.lists(st.tuples(st.sampled_from(["H264", "VP8"]), st.sampled_from(LADDER)), min_size=1, max_size=8),
    st.floats(0.05, 1.5),
)
def test_it_ends_within_what_the_machine_can_do_or_with_all_at_the_least(asked: list[Asked], part: float) -> None:
    load = Load(0.0)
    capacity = part * sum(cost(*each) for each in asked)
    run(load, asked, capacity, 1, 40)
    total = sum(cost(name, load.eased(name, rung)) for name, rung in asked)
    dearest = max(cost(name, load.eased(name, rung)) for name, rung in asked)
    least = max(cost(name, (rung, *lower(rung))[-1]) for name, rung in asked)
    assert total <= 1.06 * capacity or dearest <= least
    before = load.ceiling
    run(load, asked, capacity, 41, 60)
    assert total * FULL > capacity or load.ceiling >= before  # no flapping downwards once it fits


@given(st.sampled_from([*LADDER, *OLD_LADDER]))
def test_what_is_lower_costs_less_and_takes_no_more_bits(rung: Rung) -> None:
    prices = [cost("H264", each) for each in (rung, *lower(rung))]
    assert prices == sorted(set(prices), reverse=True)
    assert all(each.bits <= rung.bits for each in lower(rung))


def test_receivers_are_sent_less_while_frames_are_late_and_more_again(studio: Studio) -> None:
    studio.room(width=640, height=360)
    studio.terminal(rate=10)
    two = studio.terminal(rate=10)

    def report() -> VideoReport:
        last: VideoReport = studio.of(VideoReport)[-1]
        return last

    studio.run(2)
    assert report().lowered == 0
    for _ in range(6):
        studio.beat.work.late += 12  # as if the processors had not been there
        studio.run(1)
    assert report().lowered > 0
    assert all(each.sent_rate < 30 for each in report().streams)
    pictures = two.pictures
    studio.run(1)
    assert 10 <= two.pictures - pictures <= 27
    studio.run(25)
    assert report().lowered == 0
    assert all(each.sent_rate == 30 for each in report().streams)
